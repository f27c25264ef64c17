//! The span of the application that a query belongs to: `traceparent`, as W3C's Trace Context has it.

use crate::sql::comment;

/// A span of somebody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    pub trace: [u8; 16],
    pub span: [u8; 8],
    /// Whether those who began the trace want it recorded.
    pub sampled: bool,
}

/// The flag of `traceparent` that says so.
const SAMPLED: u8 = 1;

impl Parent {
    /// The one that a comment at either end of the text names, in the form of sqlcommenter.
    pub fn of(text: &[u8]) -> Option<Self> {
        Self::read(comment::value(text, b"traceparent")?)
    }

    /// Reads `00-TRACE-SPAN-FLAGS`; `None` for what is no such thing. Later versions may have more behind it.
    pub fn read(text: &[u8]) -> Option<Self> {
        let (version, rest) = text.split_at_checked(2)?;
        let [version] = hex(version)?;
        let (trace, rest) = rest.strip_prefix(b"-")?.split_at_checked(32)?;
        let (span, rest) = rest.strip_prefix(b"-")?.split_at_checked(16)?;
        let (flags, rest) = rest.strip_prefix(b"-")?.split_at_checked(2)?;
        let [flags] = hex(flags)?;
        let ends = rest.is_empty() || version > 0 && rest.starts_with(b"-");
        let parent = Self {
            trace: hex(trace)?,
            span: hex(span)?,
            sampled: flags & SAMPLED != 0,
        };
        let valid = ends && version != 0xff && parent.trace != [0; 16] && parent.span != [0; 8];
        valid.then_some(parent)
    }
}

/// Bytes in small hexadecimal letters, exactly `N` of them.
fn hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_chunks::<2>() else {
        return None;
    };
    let mut bytes = [0; N];
    if pairs.len() != N {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_comment_names_the_parent() {
        let text =
            format!("select 1 /*route='%2Fshop',traceparent='00-{TRACE}-00f067aa0ba902b7-01'*/;");
        let parent = Parent::of(text.as_bytes()).unwrap();
        assert_eq!(parent.trace[..3], [0x4b, 0xf9, 0x2f]);
        assert_eq!(parent.span, [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]);
        assert!(parent.sampled);
    }

    #[test]
    fn only_what_is_one_is_taken() {
        let read = |text: &str| Parent::read(text.as_bytes());
        assert!(
            !read(&format!("00-{TRACE}-00f067aa0ba902b7-00"))
                .unwrap()
                .sampled
        );
        assert!(
            read(&format!("cc-{TRACE}-00f067aa0ba902b7-03-more"))
                .unwrap()
                .sampled
        );
        for text in [
            String::new(),
            format!("00-{TRACE}-00f067aa0ba902b7"),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{TRACE}x-00f067aa0ba902b7-01"),
        ] {
            assert_eq!(read(&text), None, "{text}");
        }
    }
}
