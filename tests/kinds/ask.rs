//! A statement put to somebody in one of the forms, and what there was to see.

use std::io;

use crate::support::wire::{
    Client, Frame, bind, close_statement, copy_data, copy_done, describe_portal, execute, parse,
    query, sync,
};

/// How a statement is put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Simple,
    Extended,
    /// Under a name of its own; the second time without Parse.
    Named,
}

/// What a client sees of an answer, as far as it must be the same in another database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) state: String,
    /// The tags of all commands.
    pub(crate) done: Vec<String>,
    /// Name and type of each column; types of the database's own have other numbers elsewhere.
    pub(crate) columns: Vec<(String, u32)>,
    /// Sorted: their order is not promised.
    pub(crate) rows: Vec<Vec<u8>>,
    pub(crate) status: u8,
}

/// Types below this come with Postgres.
const OWN_TYPES: u32 = 16384;

impl Form {
    pub(crate) const ALL: [Self; 3] = [Self::Simple, Self::Extended, Self::Named];

    fn request(self, sql: &str, name: &str, again: bool) -> Vec<u8> {
        let run = |name: &str| {
            let shape = [bind("", name, &[]), describe_portal("")].concat();
            [shape, execute("", 0), sync()].concat()
        };
        match (self, again) {
            (Self::Simple, _) => query(sql),
            (Self::Extended, _) => [parse("", sql), run("")].concat(),
            (Self::Named, true) => run(name),
            (Self::Named, false) => [close_statement(name), parse(name, sql), run(name)].concat(),
        }
    }
}

/// A statement, and how it is put.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) sql: &'a str,
    pub(crate) form: Form,
    /// Its name, where it gets one, and whether this client has defined that before.
    pub(crate) name: (&'a str, bool),
}

impl<'a> Ask<'a> {
    pub(crate) fn new(sql: &'a str, form: Form) -> Self {
        let name = ("k", false);
        Self { sql, form, name }
    }

    /// An error is a hang, or a connection that was closed.
    pub(crate) fn of(self, client: &mut Client) -> io::Result<Seen> {
        client.send(&self.form.request(self.sql, self.name.0, self.name.1))?;
        let mut seen = Seen::default();
        loop {
            let frame = client.next()?;
            match frame.tag {
                b'E' if seen.state.is_empty() => seen.state = field(&frame.body, b'C'),
                b'C' | b'I' | b's' => {
                    let tag = String::from_utf8_lossy(&frame.body);
                    seen.done.push(tag.into_owned());
                }
                b'T' => seen.columns = columns(&frame),
                b'D' => seen.rows.push(frame.body),
                b'G' => {
                    client.send(&[copy_data(b"copied\n"), copy_done()].concat())?;
                    if self.form != Form::Simple {
                        client.send(&sync())?;
                    }
                }
                b'Z' => {
                    seen.status = frame.body[0];
                    seen.rows.sort_unstable();
                    return Ok(seen);
                }
                _ => {}
            }
        }
    }
}

fn field(error: &[u8], wanted: u8) -> String {
    let mut fields = error.split(|byte| *byte == 0);
    let found = fields.find_map(|field| field.strip_prefix(&[wanted]));
    String::from_utf8_lossy(found.unwrap_or_default()).into_owned()
}

fn columns(frame: &Frame) -> Vec<(String, u32)> {
    let (count, mut rest) = frame.body.split_at(2);
    let count = u16::from_be_bytes(count.try_into().unwrap());
    let mut all = Vec::new();
    for _ in 0..count {
        let end = rest.iter().position(|byte| *byte == 0).unwrap();
        let name = String::from_utf8_lossy(&rest[..end]).into_owned();
        let of = u32::from_be_bytes(rest[end + 7..end + 11].try_into().unwrap());
        all.push((name, if of < OWN_TYPES { of } else { 0 }));
        rest = &rest[end + 19..];
    }
    all
}
