//! Texts and their shapes.

use proptest::prelude::{ProptestConfig, any, proptest};

use super::{Shaper, is_moment};
use crate::sql::lexer::tests::texts;
use crate::sql::lexer::{Kind, Lexer};

fn shape(text: &str) -> String {
    String::from_utf8(Shaper::default().read(text.as_bytes(), true).shape.to_vec()).unwrap()
}

fn key(text: &str) -> String {
    String::from_utf8(Shaper::default().read(text.as_bytes(), true).text.to_vec()).unwrap()
}

#[test]
fn literals_go_and_names_stay() {
    assert_eq!(
        shape("SELECT a, \"B\" FROM s.T WHERE x = 'it''s' AND y=-1.5e3 and z = $12 --x"),
        "select a , \"B\" from s . t where x = ' and y = - 0 and z = $ "
    );
    assert_eq!(
        shape("select E'a', $$b$$, U&'c', x'1F', N'd'"),
        "select ' , ' , ' , ' , ' "
    );
    assert_ne!(shape("select a b"), shape("select ab"));
    assert_ne!(shape("select 'a'"), shape("select 1"));
    assert_ne!(shape("select \"a\""), shape("select a"));
    assert_ne!(shape("select \"A\""), shape("select \"a\""));
}

#[test]
fn lists_of_values_are_cut_to_one() {
    let one = shape("select * from t where a in (1) and b = 2");
    assert_eq!(shape("select * from t where a in (1, 2,3) and b = 5"), one);
    assert_eq!(shape("select array[1,2]"), shape("select array[3]"));
    assert_eq!(
        shape("insert into t values (1,'a'),(2,'b'),($1,null) returning x"),
        shape("insert into t values (1,'a') returning x")
    );
    // These count.
    assert_ne!(shape("select f(1, 2)"), shape("select f(1)"));
    assert_ne!(shape("values (1, 2)"), shape("values (1)"));
    assert_ne!(shape("values (1), (f(1))"), shape("values (1)"));
    assert_ne!(shape("select a in (1, b)"), shape("select a in (1)"));
    assert_ne!(
        shape("select a in (1, 2), 3"),
        shape("select a in (1, 2), 3, 4")
    );
}

#[test]
fn the_key_keeps_all_but_comments_and_ends() {
    for text in ["select  'a  b' ,\n\t1", "select \u{e9}, 'x--y', \"/*z*/\""] {
        assert_eq!(key(text), text);
        assert_eq!(key(&format!(" \n;; {text} ; \n ;")), text);
    }
    assert_eq!(
        key("/* a */ select /* b */1 -- c\n, 2 -- d"),
        "select 1 , 2"
    );
    assert_eq!(
        key("select 1 /* a /* b */ */ /* c */ + 2 /* d */ ;"),
        "select 1 + 2"
    );
    assert_eq!(key("select 1; -- x\n select 2"), "select 1; select 2");
    assert_eq!(key("select 1-- x\n+2"), "select 1 +2");
    assert_eq!(key("-- nothing"), "");
    assert_eq!(key(" ; ; "), "");
    // A literal that a comment interrupts is one token.
    assert_eq!(key("select 'a' -- x\n 'b'"), "select 'a' -- x\n 'b'");
}

#[test]
fn statements_are_counted() {
    for (text, count) in [
        ("", 0),
        (" ; -- x", 0),
        ("select 1", 1),
        (";select 1;;", 1),
        ("select 1;select 2", 2),
        ("select 1;select 2;select 3", 2),
        ("select ';'", 1),
    ] {
        assert_eq!(
            Shaper::default().read(text.as_bytes(), true).statements,
            count,
            "{text}"
        );
    }
}

#[test]
fn buffers_are_used_again() {
    let mut shaper = Shaper::default();
    let first = shaper.read(b"/* x */ select 1 /* y */ from a", true);
    assert_eq!(
        (first.text, first.shape),
        (&b"select 1 from a"[..], &b"select 0 from a "[..])
    );
    let second = shaper.read(b"select 2", true);
    assert_eq!(
        (second.text, second.shape),
        (&b"select 2"[..], &b"select 0 "[..])
    );
}

#[test]
fn broken_texts_say_so() {
    for text in [
        &b"select 'x"[..],
        b"select /* x",
        b"select \"x",
        b"select $a$x",
        b"select \0",
        b"select '\xff'",
    ] {
        assert!(Shaper::default().read(text, true).broken, "{text:?}");
    }
    assert!(!Shaper::default().read(b"select '\xc3\xa9'", true).broken);
}

#[test]
fn hints_stand_in_front() {
    let hint = |text: &str| {
        let mut shaper = Shaper::default();
        let shape = shaper.read(text.as_bytes(), true);
        shape
            .hint
            .map(|hint| String::from_utf8(hint.to_vec()).unwrap())
    };
    assert_eq!(
        hint("/* pgweir: ttl=5s */ select 1").as_deref(),
        Some("ttl=5s")
    );
    assert_eq!(hint(" \n/*pgweir:off*/select 1").as_deref(), Some("off"));
    assert_eq!(hint("select 1 /* pgweir: off */"), None);
    assert_eq!(hint("/* x */ /* pgweir: off */ select 1"), None);
    assert_eq!(hint("/* pgweir: /* x */ off */ select 1"), None);
    assert_eq!(hint("-- pgweir: off\nselect 1"), None);
    assert_eq!(hint("/* pgweir: off"), None);
}

#[test]
fn moments_are_seen_in_any_literal() {
    let moment = |text: &str| Shaper::default().read(text.as_bytes(), true).moment;
    for text in [
        "select 'now'",
        "select ' Tomorrow '::date",
        "select 'today 10:00'",
        "select '10:00today'",
        "select $$YESTERDAY$$",
        "select $q$today$q$",
        "select e'today'",
        r"select e'\x74oday'",
        r"select U&'\0074oday'",
        "select U&'!0074oday' uescape '!'",
        "select 'to'\n'day'",
        "select N'now'",
        "select '[today,)'::daterange",
        "select '{\"a\": [\"now\"]}'",
        // What these types leave out of a value may stand in a word.
        r"select '{n\ow}'::date[]",
        r"select e'{n\\ow}'::date[]",
        r#"select '[n"o"w,)'::daterange"#,
        r#"select '(1,"tod\ay")'::own"#,
        r#"select '{"at": "\u006eow"}'"#,
    ] {
        assert!(moment(text), "{text}");
    }
    for text in [
        "select 'x'",
        "select 'nowhere', 'snow', 'todays'",
        "select now, \"today\"",
        "select 'it''s'",
        r"select e'^Mill \\d+$', e'100\\%', e'it\'s'",
        r#"select '{"path": "C:\\temp", "say": "\"hi\""}'"#,
        "select ''",
    ] {
        assert!(!moment(text), "{text}");
    }
    assert!(Shaper::default().read(br"select 'tod\x61y'", false).moment);
    assert!(moment(r"select e'\\\x74oday'"));
    assert!(moment(r"select e'\ntoday'"));
    assert!(moment(r"select e'\\today'"));
    assert!(
        !Shaper::default()
            .read(br"select '^Mill \\d+$'", false)
            .moment
    );
}

#[test]
fn moments_in_parameters() {
    let blanks = " ".repeat(500);
    assert!(is_moment(format!("{blanks}today{blanks}").as_bytes()));
    let words = "word ".repeat(100);
    assert!(!is_moment(format!("{words} now").as_bytes()));
    assert!(is_moment(format!("{{{words}, now}}").as_bytes()));
    assert!(is_moment(format!(" [\"{words}\", \"now\"]").as_bytes()));
    // An array in the binary format.
    let mut array = vec![0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 25];
    array.extend(words.as_bytes());
    array.extend([0, 0, 0, 3]);
    array.extend(b"now");
    assert!(is_moment(&array));
    assert!(!is_moment(b"") && !is_moment(b"2024-01-01") && !is_moment(&[0, 0, 0, 5]));
}

/// The shape of a text without lists, its key, and how many statements it has: token by token.
fn plainly(text: &[u8], standard: bool) -> (Vec<u8>, Vec<u8>, u8) {
    let (mut shape, mut key, mut statements) = (Vec::new(), Vec::new(), 0);
    // What the key gets when a token follows that is no semicolon.
    let (mut waiting, mut last_end, mut between) = (Vec::new(), 0, true);
    for token in Lexer::new(text, standard) {
        let raw = &text[token.start..token.end];
        let gap = &text[last_end..token.start];
        let comment = gap.iter().any(|byte| b"-/".contains(byte));
        if statements > 0 {
            waiting.extend_from_slice(if comment { b" " } else { gap });
        }
        last_end = token.end;
        waiting.extend_from_slice(raw);
        if token.kind == Kind::Semicolon {
            between = true;
            if statements == 0 {
                waiting.clear();
            }
            continue;
        }
        key.append(&mut waiting);
        if between {
            if statements > 0 {
                shape.extend_from_slice(b"; ");
            }
            statements = 2.min(statements + 1);
            between = false;
        }
        match token.kind {
            Kind::Word => shape.extend(raw.to_ascii_lowercase()),
            Kind::Number => shape.push(b'0'),
            Kind::Param => shape.push(b'$'),
            Kind::Unterminated => {}
            Kind::Text | Kind::TextEscape | Kind::TextUnicode | Kind::TextDollar | Kind::Bits => {
                shape.push(b'\'');
            }
            _ => shape.extend_from_slice(raw),
        }
        shape.push(b' ');
    }
    (shape, key, statements)
}

#[test]
fn long_texts_and_short_ones_in_turn() {
    let mut shaper = Shaper::default();
    let long = "select \"quoted as long as it can be\", abcdefghijklmnop+1 ;".repeat(3_000);
    for text in [
        long.as_str(),
        "a",
        "",
        long.as_str(),
        "abcdefgh",
        "abcdefghi",
    ] {
        let found = shaper.read(text.as_bytes(), true);
        let (shape, key, statements) = plainly(text.as_bytes(), true);
        assert!(
            found.shape == shape && found.text == key,
            "{} bytes",
            text.len()
        );
        assert_eq!(found.statements, statements);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn shapes_are_made_token_by_token(text in texts(), standard in any::<bool>()) {
        let mut shaper = Shaper::default();
        let found = shaper.read(&text, standard);
        let (shape, key, statements) = plainly(&text, standard);
        let text = String::from_utf8_lossy(&text);
        assert_eq!(String::from_utf8_lossy(found.shape), String::from_utf8_lossy(&shape), "{text}");
        assert_eq!(String::from_utf8_lossy(found.text), String::from_utf8_lossy(&key), "{text}");
        assert_eq!(found.statements, statements);
        let odd = text.contains('\0') || text.contains('\x0b');
        let open = Lexer::new(text.as_bytes(), standard).any(|token| token.kind == Kind::Unterminated);
        let utf8 = !text.contains('\u{fffd}');
        assert_eq!(found.broken, odd || open || !utf8, "{text}");
    }
}
