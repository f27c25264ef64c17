//! The reads: many texts for each register, each in all forms of the protocol, as bytes made once.

use super::line::Format;
use super::registers::{COMMON, How, KEYS, KINDS, SCHEMA, face, of, schema_register};
use crate::support::wire::{
    bind_formats, close_statement, describe_portal, describe_statement, execute, flush, parse,
    query, sync,
};

/// How a read is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Simple,
    /// Parse, Bind, Describe, Execute.
    Extended,
    /// The same without Describe, parameters in the text.
    Bare,
    Binary,
    /// A statement that stays.
    Named,
    NamedDescribed,
    NamedBinary,
    /// Parse and Describe first, the rest when the answer has come.
    Asked,
    /// The same with Flush instead of the first Sync.
    Flushed,
}

impl Form {
    pub(crate) const ALL: [Self; 9] = [
        Self::Simple,
        Self::Extended,
        Self::Bare,
        Self::Binary,
        Self::Named,
        Self::NamedDescribed,
        Self::NamedBinary,
        Self::Asked,
        Self::Flushed,
    ];

    pub(crate) fn format(self) -> Format {
        match self {
            Self::Binary | Self::NamedBinary => Format::Binary,
            Self::Simple
            | Self::Extended
            | Self::Bare
            | Self::Named
            | Self::NamedDescribed
            | Self::Asked
            | Self::Flushed => Format::Text,
        }
    }

    pub(crate) fn is_named(self) -> bool {
        matches!(self, Self::Named | Self::NamedDescribed | Self::NamedBinary)
    }
}

/// A read of some registers: its answer has value and tag of each.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) number: usize,
    /// With the key in it.
    pub(crate) sql: String,
    pub(crate) observed: Vec<usize>,
    /// By form. First what must go before (and be answered), if anything.
    requests: Vec<(Option<Vec<u8>>, Vec<u8>)>,
    /// What defines its statement, to go before the request where the connection has none yet.
    define: Vec<u8>,
}

impl Text {
    fn new(number: usize, template: &str, observed: Vec<usize>) -> Self {
        let (_, key) = of(observed[0]);
        let sql = template.replace("{key}", &key.to_string());
        let parameterised = template.replace("{key}", "$1");
        let requests = Form::ALL.map(|form| request(form, number, &sql, &parameterised));
        let name = name(number);
        let define = [close_statement(&name), parse(&name, &parameterised)].concat();
        Self {
            number,
            sql,
            observed,
            requests: requests.to_vec(),
            define,
        }
    }

    /// What goes first and is answered first, if anything, and the request.
    pub(crate) fn request(&self, form: Form) -> (Option<&[u8]>, &[u8]) {
        let place = Form::ALL.iter().position(|f| *f == form).unwrap();
        let (first, then) = &self.requests[place];
        (first.as_deref(), then)
    }

    /// See [`Form::is_named`].
    pub(crate) fn define(&self) -> &[u8] {
        &self.define
    }
}

fn name(number: usize) -> String {
    format!("r{number}")
}

fn request(form: Form, number: usize, sql: &str, asked: &str) -> (Option<Vec<u8>>, Vec<u8>) {
    let name = name(number);
    let key = parameter(sql, asked);
    let values: Vec<Option<&[u8]>> = key.iter().map(|key| Some(key.as_slice())).collect();
    let text = |statement: &str| bind_formats("", statement, &[], &values, &[]);
    let binary = |statement: &str| bind_formats("", statement, &[], &values, &[1]);
    let (run, end, shape) = (execute("", 0), sync(), describe_portal(""));
    let whole = match form {
        Form::Simple => query(sql),
        Form::Extended => [parse("", asked), text(""), shape, run, end].concat(),
        Form::Bare => {
            let literal = bind_formats("", "", &[], &[], &[]);
            [parse("", sql), literal, run, end].concat()
        }
        Form::Binary => [parse("", asked), binary(""), shape, run, end].concat(),
        Form::Named => [text(&name), run, end].concat(),
        Form::NamedDescribed => [text(&name), shape, run, end].concat(),
        Form::NamedBinary => [binary(&name), shape, run, end].concat(),
        Form::Asked | Form::Flushed => {
            let last = if form == Form::Asked { sync() } else { flush() };
            let first = [parse("", asked), describe_statement(""), last].concat();
            return (Some(first), [text(""), run, end].concat());
        }
    };
    (None, whole)
}

/// The key, which stands in the text where the other one has its parameter.
fn parameter(sql: &str, asked: &str) -> Option<Vec<u8>> {
    let at = asked.find("$1")?;
    Some(sql.as_bytes()[at..=at].to_vec())
}

/// `{a}` and `{b}` are two faces of a register, `{key}` its key.
const TEMPLATES: [&str; 9] = [
    "select v, tag from {a} x where k = {key}",
    "select v, tag from {b} x where k = {key}",
    "select x.v, x.tag from {a} as x where x.k in ({key})",
    "select x.v, x.tag, y.v, y.tag from {a} x join {b} y on x.k = y.k where x.k = {key}",
    "select x.v, x.tag, y.v, y.tag from {b} x, {a} y where x.k = y.k and y.k = {key}",
    "select max(v), max(tag) from {b} x where k = {key}",
    "with w as (select * from {a} x) select v, tag from w where k = {key}",
    "/* trace {a} 77 */ select (select v from {b} x where k = {key}), (select tag from {b} x where k = {key})",
    "select v, tag from {a} x where k = {key} union select v, tag from {b} y where k = {key}",
];

/// Every text about every register; the schema's own registers only on demand.
pub(crate) fn texts(with_schema: bool) -> Vec<Text> {
    let mut texts = Vec::new();
    let mut add = |template: String, observed: Vec<usize>| {
        let number = texts.len();
        texts.push(Text::new(number, &template, observed));
    };
    for register in 0..COMMON * KEYS {
        let (kind, _) = of(register);
        for template in TEMPLATES {
            let observed = if template.contains("x.v, x.tag, y.v") {
                vec![register; 2]
            } else {
                vec![register]
            };
            let second = if kind.faces.len() > 2 && template.contains("x.k = y.k") {
                2
            } else {
                1
            };
            let (a, b) = (face(register, 0), face(register, second));
            add(template.replace("{a}", &a).replace("{b}", &b), observed);
        }
        add(
            two_keys(register),
            vec![register - register % KEYS, register - register % KEYS + 1],
        );
        let other = (register + KEYS + 1) % (COMMON * KEYS);
        add(two_registers(register, other), vec![register, other]);
    }
    if with_schema {
        for name in SCHEMA {
            let register = schema_register(name);
            for template in TEMPLATES.iter().take(4) {
                let both = template.contains("y.v");
                let observed = vec![register; if both { 2 } else { 1 }];
                add(template.replace("{a}", name).replace("{b}", name), observed);
            }
        }
    }
    texts
}

/// The texts that begin with this register.
pub(crate) fn about(texts: &[Text], register: usize) -> Vec<usize> {
    let begins = |text: &&Text| text.observed.first() == Some(&register);
    texts
        .iter()
        .filter(begins)
        .map(|text| text.number)
        .collect()
}

/// Both keys of a kind, two rows.
fn two_keys(register: usize) -> String {
    format!(
        "select v, tag from {} x where k <= 2 order by k",
        face(register, 0)
    )
}

fn two_registers(one: usize, other: usize) -> String {
    let (_, other_key) = of(other);
    let (x, y) = (face(one, 0), face(other, 1));
    format!(
        "select x.v, x.tag, y.v, y.tag from {x} x, {y} y where x.k = {{key}} and y.k = {other_key}"
    )
}

/// Counts start at one row, which is 0.
#[test]
fn every_common_register_can_be_read() {
    let texts = texts(true);
    let read = |register| texts.iter().any(|text| text.observed.contains(&register));
    assert!((0..COMMON * KEYS).all(read));
    assert!(KINDS.iter().filter(|kind| kind.how == How::Schema).count() == SCHEMA.len());
}
