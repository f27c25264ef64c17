//! Tables as frames, and the tables that need no facts.

use super::action::FORMS;
use super::command::Show;
use super::{Dialect, Facts, Kind, Table};
use crate::wire::error::PgError;
use crate::wire::frame;

/// How a client wants values written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Binary,
}

/// The formats that a Bind asks for: none, one for all columns, or one for each.
pub(super) type Formats = [Format];

/// What `SHOW show` shows.
pub(super) fn table(show: Show, dialect: Dialect, facts: &dyn Facts) -> Table {
    if show == Show::Help {
        help()
    } else if show == Show::Version {
        version()
    } else {
        facts.show(show, dialect)
    }
}

fn help() -> Table {
    let mut table = Table::of(&[("command", Kind::Text), ("what", Kind::Text)]);
    let shows = Show::ALL.map(|(word, _, what)| (format!("SHOW {word}"), what));
    let actions = FORMS.map(|(form, what)| (form.to_owned(), what));
    let rows = shows.into_iter().chain(actions);
    table.rows = rows
        .map(|(command, what)| vec![Some(command), Some(what.to_owned())])
        .collect();
    table
}

fn version() -> Table {
    let mut table = Table::of(&[("version", Kind::Text)]);
    let version = concat!("pgweir ", env!("CARGO_PKG_VERSION"));
    table.rows = vec![vec![Some(version.to_owned())]];
    table
}

impl Kind {
    /// OID and length of its type: text, int8, float8.
    fn of_type(self) -> (u32, i16) {
        match self {
            Self::Text => (25, -1),
            Self::Int => (20, 8),
            Self::Float => (701, 8),
        }
    }
}

/// The format of the column at that place.
fn format_at(formats: &Formats, at: usize) -> Format {
    let format = match formats {
        [one] => Some(one),
        several => several.get(at),
    };
    format.copied().unwrap_or(Format::Text)
}

/// Whether there are as many formats as there may be.
///
/// # Errors
/// As Postgres words it.
pub(super) fn check_formats(table: &Table, formats: &Formats) -> Result<(), PgError> {
    let (given, columns) = (formats.len(), table.columns.len());
    if given <= 1 || given == columns {
        return Ok(());
    }
    let text = format!("bind message has {given} result formats but query has {columns} columns");
    Err(PgError::error("08P01", text))
}

/// Appends a RowDescription.
pub(super) fn push_description(out: &mut Vec<u8>, table: &Table, formats: &Formats) {
    let mut body = Vec::with_capacity(32 * table.columns.len());
    body.extend_from_slice(&count(table.columns.len()));
    for (at, column) in table.columns.iter().enumerate() {
        let (oid, length) = column.kind.of_type();
        let format = match format_at(formats, at) {
            Format::Text => 0_i16,
            Format::Binary => 1,
        };
        body.extend_from_slice(column.name.as_bytes());
        // Of no table, and no column of one.
        body.extend_from_slice(&[0; 1 + 4 + 2]);
        body.extend_from_slice(&oid.to_be_bytes());
        body.extend_from_slice(&length.to_be_bytes());
        body.extend_from_slice(&(-1_i32).to_be_bytes());
        body.extend_from_slice(&format.to_be_bytes());
    }
    frame::push(out, b'T', &[&body]);
}

/// Appends the row at that place as a DataRow.
pub(super) fn push_row(out: &mut Vec<u8>, table: &Table, at: usize, formats: &Formats) {
    let row = table.rows.get(at).map(Vec::as_slice).unwrap_or_default();
    let mut body = Vec::with_capacity(16 * table.columns.len());
    body.extend_from_slice(&count(table.columns.len()));
    for (at, column) in table.columns.iter().enumerate() {
        let value = row.get(at).and_then(Option::as_deref);
        push_value(&mut body, value, (column.kind, format_at(formats, at)));
    }
    frame::push(out, b'D', &[&body]);
}

fn push_value(body: &mut Vec<u8>, value: Option<&str>, how: (Kind, Format)) {
    let number: Option<[u8; 8]> = match (how, value) {
        ((Kind::Int, Format::Binary), Some(text)) => text.parse().ok().map(i64::to_be_bytes),
        ((Kind::Float, Format::Binary), Some(text)) => text.parse().ok().map(f64::to_be_bytes),
        (_, _) => None,
    };
    let is_number = how.1 == Format::Binary && how.0 != Kind::Text;
    let bytes = match (&number, value) {
        (Some(number), _) => Some(number.as_slice()),
        // A number that is none would be a fault of ours; NULL is better than eight wrong bytes.
        (None, Some(_)) if is_number => None,
        (None, text) => text.map(str::as_bytes),
    };
    let length = bytes.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap_or(i32::MAX));
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(bytes.unwrap_or_default());
}

fn count(n: usize) -> [u8; 2] {
    u16::try_from(n).unwrap_or(u16::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let columns = [("t", Kind::Text), ("i", Kind::Int), ("f", Kind::Float)];
        let mut table = Table::of(&columns);
        let row = |values: [Option<&str>; 3]| values.map(|v| v.map(str::to_owned)).to_vec();
        table.rows = vec![row([Some("a"), Some("7"), Some("0.5")]), row([None; 3])];
        table
    }

    #[test]
    fn text_rows() {
        let mut out = Vec::new();
        push_row(&mut out, &table(), 0, &[]);
        let expected = b"D\0\0\0\x17\0\x03\0\0\0\x01a\0\0\0\x017\0\0\0\x030.5";
        assert_eq!(out, expected);
        out.clear();
        push_row(&mut out, &table(), 1, &[Format::Binary]);
        let null = (-1_i32).to_be_bytes();
        let expected = [b"D\0\0\0\x12\0\x03".as_slice(), &null, &null, &null].concat();
        assert_eq!(out, expected);
    }

    #[test]
    fn binary_rows() {
        let mut out = Vec::new();
        push_row(&mut out, &table(), 0, &[Format::Binary]);
        let (seven, half) = (7_i64.to_be_bytes(), 0.5_f64.to_be_bytes());
        let eight = 8_i32.to_be_bytes();
        let body = [
            b"\0\x03\0\0\0\x01a".as_slice(),
            &eight,
            &seven,
            &eight,
            &half,
        ]
        .concat();
        assert_eq!(out.get(5..).unwrap(), body);
    }

    #[test]
    fn formats_are_counted() {
        use Format::{Binary, Text};
        for formats in [&[][..], &[Binary], &[Text, Binary, Text]] {
            assert_eq!(check_formats(&table(), formats), Ok(()));
        }
        assert_eq!(
            check_formats(&table(), &[Text, Text]).unwrap_err().code,
            "08P01"
        );
        let mut out = Vec::new();
        push_description(&mut out, &table(), &[Text, Binary, Text]);
        assert!(out.windows(2 + 8).any(|w| w == b"i\0\0\0\0\0\0\0\0\0"));
        assert_eq!(out.iter().filter(|b| **b == b'T').count(), 1);
    }

    #[test]
    fn help_names_every_command() {
        let rows = help().rows;
        assert_eq!(rows.len(), Show::ALL.len() + FORMS.len());
    }
}
