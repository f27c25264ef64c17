//! What a comment in front of a text or behind it says, in the form of sqlcommenter:
//! `/*key='value',key='value'*/`. Values are percent-encoded, and left so.

/// How much of a text is searched from either end: trace context and the like are some hundred
/// bytes, and a text of a megabyte must not cost more than a short one.
const SEARCHED_MAX: usize = 4 * 1024;

/// The value that the comment behind the text gives to `key`, or else the one in front of it.
pub fn value<'a>(text: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let of = |comment: Option<&'a [u8]>| comment.and_then(|comment| find(comment, key));
    of(behind(text)).or_else(|| of(in_front(text)))
}

/// The inside of the comment that the text ends in. No literal ends in `*/`, so it is one.
fn behind(text: &[u8]) -> Option<&[u8]> {
    let mut text = text.trim_ascii_end();
    while let Some(rest) = text.strip_suffix(b";") {
        text = rest.trim_ascii_end();
    }
    let text = text.strip_suffix(b"*/")?;
    let searched = text
        .get(text.len().saturating_sub(SEARCHED_MAX)..)
        .unwrap_or_default();
    let start = searched.windows(2).rposition(|pair| pair == b"/*")?;
    searched.get(start + 2..)
}

/// The inside of the comment that the text begins with.
fn in_front(text: &[u8]) -> Option<&[u8]> {
    let text = text.trim_ascii_start().strip_prefix(b"/*")?;
    let searched = text.get(..text.len().min(SEARCHED_MAX)).unwrap_or_default();
    let end = searched.windows(2).position(|pair| pair == b"*/")?;
    searched.get(..end)
}

/// The value of `key` inside of a comment.
fn find<'a>(comment: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let mut at = 0;
    while let Some(found) = comment
        .get(at..)?
        .windows(key.len())
        .position(|window| window == key)
    {
        let start = at + found;
        let begins = start == 0
            || comment
                .get(start - 1)
                .is_some_and(|byte| matches!(byte, b',' | b' ' | b'\t' | b'\n'));
        at = start + key.len();
        if let (true, Some(rest)) = (begins, comment.get(at..)?.strip_prefix(b"='")) {
            let end = rest.iter().position(|byte| *byte == b'\'')?;
            return rest.get(..end);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_at_either_end() {
        for (text, expected) in [
            ("select 1 /*a='x',k='v'*/", Some("v")),
            ("select 1 /* k='v' */ ; \n", Some("v")),
            ("/*k='v',z='%27'*/ select 1", Some("v")),
            ("/*k='front'*/ select 1 /*k='behind'*/", Some("behind")),
            ("/*k='front'*/ select 1 /*z='behind'*/", Some("front")),
            ("select 1 /*mk='no',k='v'*/", Some("v")),
            ("select 1 /*k='open*/", None),
            ("select 1 /*k=v*/", None),
            ("select '/*k=''v''*/'", None),
            ("select /*k='v'*/ 1", None),
            ("select 1", None),
            ("*/", None),
            ("/*", None),
            ("", None),
        ] {
            let found = value(text.as_bytes(), b"k");
            assert_eq!(found, expected.map(str::as_bytes), "{text}");
        }
    }

    #[test]
    fn long_comments_are_not_searched_to_their_end() {
        let long = format!("/*{}k='v'*/ select 1", " ".repeat(SEARCHED_MAX));
        assert_eq!(value(long.as_bytes(), b"k"), None);
    }
}
