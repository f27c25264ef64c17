//! Each rule of H16 and of scan.l, by example.

use proptest::prelude::{ProptestConfig, Strategy, any, prop, prop_oneof, proptest};
use proptest::sample::select;

use super::{Kind, Lexer, Token};

/// The tokens as `kind:text`, standard-conforming.
fn lex(text: &str) -> Vec<String> {
    lex_as(text, true)
}

fn lex_as(text: &str, standard_conforming: bool) -> Vec<String> {
    Lexer::new(text.as_bytes(), standard_conforming)
        .map(|t| format!("{:?}:{}", t.kind, text.get(t.start..t.end).unwrap()))
        .collect()
}

#[test]
fn words_and_punctuation() {
    assert_eq!(
        lex("SELECT a_1$x, \"b\"\"c\" FROM s.t;"),
        [
            "Word:SELECT",
            "Word:a_1$x",
            "Comma:,",
            "Quoted:\"b\"\"c\"",
            "Word:FROM",
            "Word:s",
            "Dot:.",
            "Word:t",
            "Semicolon:;"
        ]
    );
    assert_eq!(lex("é_ü"), ["Word:é_ü"]);
    assert_eq!(lex("a[1:2]").len(), 6);
}

#[test]
fn comments_nest_and_start_inside_operators() {
    assert_eq!(lex("1 /* a /* ; */ ' */ 2"), ["Number:1", "Number:2"]);
    assert_eq!(lex("1/*/*/**/*/*/2"), ["Number:1", "Number:2"]);
    assert_eq!(lex("1 -- ; '\n2"), ["Number:1", "Number:2"]);
    assert_eq!(lex("1--\r2"), ["Number:1", "Number:2"]);
    assert_eq!(lex("1+--x\n2"), ["Number:1", "Operator:+", "Number:2"]);
    assert_eq!(lex("1*/*x*/2"), ["Number:1", "Operator:*", "Number:2"]);
    assert_eq!(lex("1 /* /* */ 2"), ["Number:1", "Unterminated:/* /* */ 2"]);
    assert_eq!(lex("/*/"), ["Unterminated:/*/"]);
    assert_eq!(lex("-- only"), [""; 0]);
}

#[test]
fn plain_strings_follow_standard_conforming_strings() {
    assert_eq!(lex(r"'a\' 'b'"), [r"Text:'a\'", "Text:'b'"]);
    assert_eq!(
        lex_as(r"'a\' 'b'", false),
        [r"Text:'a\' '", "Unterminated:b'"]
    );
    assert_eq!(lex("'it''s;'"), ["Text:'it''s;'"]);
    assert_eq!(lex(r"N'a\'x"), [r"Text:N'a\'", "Word:x"]);
    assert_eq!(lex_as(r"n'a\'x'", false), [r"Text:n'a\'x'"]);
    assert_eq!(lex("'abc"), ["Unterminated:'abc"]);
    assert_eq!(lex_as(r"'abc\", false), [r"Unterminated:'abc\"]);
}

#[test]
fn prefixed_strings() {
    assert_eq!(
        lex(r"E'a\'b' e'\\'"),
        [r"TextEscape:E'a\'b'", r"TextEscape:e'\\'"]
    );
    assert_eq!(
        lex(r"U&'a\' u&'b'"),
        [r"TextUnicode:U&'a\'", "TextUnicode:u&'b'"]
    );
    assert_eq!(
        lex("U&\"d\"\"\" U & 'x' u&y"),
        [
            "QuotedUnicode:U&\"d\"\"\"",
            "Word:U",
            "Operator:&",
            "Text:'x'",
            "Word:u",
            "Operator:&",
            "Word:y"
        ]
    );
    // A bit string ends at its first quote; what follows is a string of its own.
    assert_eq!(lex_as(r"B'01''\''", false), ["Bits:B'01'", r"Text:'\''"]);
    assert_eq!(lex("X'1f' xy'z'"), ["Bits:X'1f'", "Word:xy", "Text:'z'"]);
    assert_eq!(lex("ae'x'"), ["Word:ae", "Text:'x'"]);
}

#[test]
fn strings_continue_behind_a_newline() {
    assert_eq!(lex("'a'\n'b'"), ["Text:'a'\n'b'"]);
    assert_eq!(lex("'a' 'b'"), ["Text:'a'", "Text:'b'"]);
    assert_eq!(
        lex("'a' -- x\n -- ' y\r'b' c"),
        ["Text:'a' -- x\n -- ' y\r'b'", "Word:c"]
    );
    assert_eq!(lex("'a' /* x */\n'b'").len(), 2);
    assert_eq!(lex("'a'\n-- no newline").len(), 1);
    assert_eq!(lex("'a'\n- 'b'").len(), 3);
    // The continuation escapes as its beginning did.
    assert_eq!(lex("E'a'\n'b\\''"), ["TextEscape:E'a'\n'b\\''"]);
    assert_eq!(lex("'a'\n'b\\'"), ["Text:'a'\n'b\\'"]);
    assert_eq!(lex("B'0'\n'1'"), ["Bits:B'0'\n'1'"]);
}

#[test]
fn dollar_quotes_and_parameters() {
    assert_eq!(lex("$$a;'$b$$x"), ["TextDollar:$$a;'$b$$", "Word:x"]);
    assert_eq!(lex("$a$ $b$a$ y"), ["TextDollar:$a$ $b$a$", "Word:y"]);
    assert_eq!(lex("$a$ $$a$"), ["TextDollar:$a$ $$a$"]);
    assert_eq!(lex("$A$ $a$").last().unwrap(), "Unterminated:$A$ $a$");
    assert_eq!(lex("foo$$bar$$"), ["Word:foo$$bar$$"]);
    assert_eq!(lex("$1$$;$$"), ["Param:$1", "TextDollar:$$;$$"]);
    assert_eq!(
        lex("$12+$x"),
        ["Param:$12", "Operator:+", "Other:$", "Word:x"]
    );
    assert_eq!(lex("$é1$ ; $é1$"), ["TextDollar:$é1$ ; $é1$"]);
}

#[test]
fn numbers() {
    for number in [
        "1",
        "1.5",
        ".5",
        "1.",
        "1e5",
        "1.e-5",
        ".5E+10",
        "0x1F",
        "0X_ff",
        "0o17",
        "0b1_0",
        "1_000",
        "1_0.2_5e1_0",
    ] {
        assert_eq!(lex(number), [format!("Number:{number}")]);
    }
    assert_eq!(lex("1..2"), ["Number:1", "DotDot:..", "Number:2"]);
    assert_eq!(lex("1else"), ["Number:1", "Word:else"]);
    assert_eq!(lex("1e+x"), ["Number:1", "Word:e", "Operator:+", "Word:x"]);
    assert_eq!(
        lex("0or 1and"),
        ["Number:0", "Word:or", "Number:1", "Word:and"]
    );
    assert_eq!(lex("1__0"), ["Number:1", "Word:__0"]);
    assert_eq!(lex("t.1"), ["Word:t", "Number:.1"]);
}

#[test]
fn operators() {
    assert_eq!(
        lex("a=-1"),
        ["Word:a", "Operator:=", "Operator:-", "Number:1"]
    );
    assert_eq!(lex("a@-1"), ["Word:a", "Operator:@-", "Number:1"]);
    assert_eq!(
        lex("a*+-+b"),
        [
            "Word:a",
            "Operator:*",
            "Operator:+",
            "Operator:-",
            "Operator:+",
            "Word:b"
        ]
    );
    assert_eq!(lex("a->>'b'"), ["Word:a", "Operator:->>", "Text:'b'"]);
    assert_eq!(
        lex("a::b:=c=>d"),
        [
            "Word:a",
            "Typecast:::",
            "Word:b",
            "Assign::=",
            "Word:c",
            "Operator:=>",
            "Word:d"
        ]
    );
    assert_eq!(lex("@/*x*/1"), ["Operator:@", "Number:1"]);
    assert_eq!(lex("?|&-"), ["Operator:?|&-"]);
}

#[test]
fn any_bytes_end() {
    let mut state = 1_u64;
    let alphabet = b"'\"$a\\-/*\n e.1;(:U&\xff";
    for _ in 0..20_000 {
        let text: Vec<u8> = (0..24)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                alphabet[(state >> 33) as usize % alphabet.len()]
            })
            .collect();
        for standard_conforming in [true, false] {
            let mut last = 0;
            for token in Lexer::new(&text, standard_conforming) {
                assert!(token.start >= last && token.end > token.start && token.end <= text.len());
                last = token.end;
                assert!(token.kind != Kind::Unterminated || last == text.len());
            }
        }
    }
}

#[test]
fn each_byte_alone() {
    for byte in 0..=u8::MAX {
        let expected = match byte {
            b'\t'..=b'\r' | b' ' => None,
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => Some(Kind::Word),
            b'0'..=b'9' => Some(Kind::Number),
            b'\'' | b'"' => Some(Kind::Unterminated),
            b'.' => Some(Kind::Dot),
            b',' => Some(Kind::Comma),
            b';' => Some(Kind::Semicolon),
            b'(' => Some(Kind::Open),
            b')' => Some(Kind::Close),
            _ if b"~!@#^&|`?%+-*/<>=".contains(&byte) => Some(Kind::Operator),
            _ => Some(Kind::Other),
        };
        for standard_conforming in [true, false] {
            let mut tokens = Lexer::new(std::slice::from_ref(&byte), standard_conforming);
            assert_eq!(tokens.next().map(|token| token.kind), expected, "{byte}");
            assert_eq!(tokens.next(), None);
        }
    }
}

/// Texts of what the lexer knows of, and of any bytes.
pub(crate) fn texts() -> impl Strategy<Value = Vec<u8>> {
    const PARTS: &[&str] = &[
        "select ",
        "FROM ",
        "a",
        "_a$1",
        "abcdefg ",
        "ABCDEFGH",
        "pgbench_accounts",
        "\u{e9}",
        "uescape ",
        "'",
        "''",
        "'x'",
        "'a' \n",
        "N'",
        "E'",
        "e'\\",
        "\\'",
        "U&'",
        "u&\"",
        "B'01'",
        "x'1F' ",
        "\"",
        "$",
        "$$",
        "$a$",
        "$1",
        "--",
        "/*",
        "*/",
        "/",
        "-",
        "+",
        "<=",
        "@",
        "::",
        ":=",
        ":",
        ".",
        "..",
        "1",
        "23456789 ",
        "1.5",
        "1e5",
        "1e+",
        "0x1F",
        "1_0",
        "(",
        ")",
        ",",
        ";",
        "[",
        " ",
        "  ",
        "\n",
        "\x0b",
    ];
    let part = prop_oneof![
        8 => select(PARTS).prop_map(|part| part.as_bytes().to_vec()),
        1 => any::<u8>().prop_filter("IN would begin a list", |byte| *byte | 0x20 != b'i').prop_map(|byte| vec![byte]),
    ];
    prop::collection::vec(part, 0..16).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// Some bytes are looked at eight at a time, which goes otherwise at the end of a text.
    #[test]
    fn what_stands_around_a_text_does_not_matter(text in texts(), before in 0..9_usize, standard in any::<bool>()) {
        let around = [&b" ".repeat(before), &*text, b"                "].concat();
        let moved = |token: Token| Token {
            kind: token.kind,
            start: token.start - before,
            end: (token.end - before).min(text.len()),
        };
        let alone: Vec<_> = Lexer::new(&text, standard).collect();
        let inside: Vec<_> = Lexer::new(&around, standard).map(moved).collect();
        assert_eq!(alone, inside, "{}", String::from_utf8_lossy(&text));
    }
}

#[test]
fn large_texts_take_linear_time() {
    for part in [
        "(",
        "'' ",
        "$$",
        "$a",
        "/*",
        "'a'\n--\n",
        "--",
        "- ",
        "\"\"",
        "$a$ $a",
    ] {
        let text = part.repeat(400_000);
        assert!(Lexer::new(text.as_bytes(), true).count() <= 800_000);
    }
}
