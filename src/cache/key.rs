//! What is the same question: the whole key as bytes, every part with its length in front, so that
//! no two questions have the same key (H29 to H39).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use thiserror::Error;

use crate::wire::frame;

/// The longest key. Questions that are longer are rarely asked twice, and each is kept in memory
/// while it is being answered.
pub const KEY_BYTES_MAX: usize = 64 * 1024;

/// Contexts that were asked for recently, in two halves; at some 500 bytes each, 16 MB. A context
/// that is forgotten gets another number next time, and so has no hits at first.
const CONTEXTS_MAX: usize = 32 * 1024;

/// And how long they may be together: applications put what they know of their own user into a setting,
/// some kilobytes each time.
const CONTEXTS_BYTES_MAX: usize = CONTEXTS_MAX * 500;

/// Why there is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Unkeyed {
    /// A message is not built as the protocol says: the server will say so.
    #[error("the message is malformed")]
    Unreadable,
    /// It would be longer than [`KEY_BYTES_MAX`].
    #[error("the query and its parameters are too long")]
    Oversized,
}

/// A Bind's body behind the names of portal and statement, read and found whole.
#[derive(Clone, Copy, Debug)]
pub struct Bind<'a> {
    /// None, one, or one per value; each 16 bits.
    formats: &'a [[u8; 2]],
    /// So many, each behind its length.
    values: &'a [u8],
    count: u16,
    results: &'a [[u8; 2]],
}

/// In which formats a result's columns come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResultFormats<'a> {
    Text,
    Binary,
    /// One per column, each 16 bits.
    Mixed(&'a [[u8; 2]]),
}

/// What a key is for; the first byte behind the context.
const RESULT: u8 = b'R';
const DESCRIPTION: u8 = b'D';

/// Builds the key of a query's result: `text` without comments, `types` as in Parse (a count and
/// so many OIDs; empty: none), `bind` (None: a simple query, the same as no parameters and text).
/// `context` is from [`Contexts`].
///
/// # Errors
/// There is no such query, or it is too long.
pub fn result_key(
    out: &mut Vec<u8>,
    context: u64,
    text: &[u8],
    types: &[u8],
    bind: Option<&Bind<'_>>,
) -> Result<(), Unkeyed> {
    start(out, context, RESULT, text, types)?;
    if let Some(bind) = bind {
        out.extend_from_slice(&bind.count.to_be_bytes());
        for (format, value) in bind.parameters() {
            push_value(out, format, value)?;
        }
        bind.result_formats().push(out);
    } else {
        out.extend_from_slice(&0u16.to_be_bytes());
        ResultFormats::Text.push(out);
    }
    within(out)
}

/// Builds the key of what a statement's parameters and columns are.
///
/// # Errors
/// There is no such statement, or it is too long.
pub fn description_key(
    out: &mut Vec<u8>,
    context: u64,
    text: &[u8],
    types: &[u8],
) -> Result<(), Unkeyed> {
    start(out, context, DESCRIPTION, text, types)?;
    within(out)
}

fn start(
    out: &mut Vec<u8>,
    context: u64,
    kind: u8,
    text: &[u8],
    types: &[u8],
) -> Result<(), Unkeyed> {
    out.clear();
    if text.len() > KEY_BYTES_MAX {
        return Err(Unkeyed::Oversized);
    }
    out.extend_from_slice(&context.to_be_bytes());
    out.push(kind);
    push_length(out, text.len())?;
    out.extend_from_slice(text);
    let mut oids = read_types(types)?;
    // A type that is not given is the same as one that is not mentioned.
    while let Some((&[0, 0, 0, 0], front)) = oids.split_last() {
        oids = front;
    }
    push_length(out, oids.len())?;
    out.extend_from_slice(oids.as_flattened());
    Ok(())
}

fn read_types(types: &[u8]) -> Result<&[[u8; 4]], Unkeyed> {
    if types.is_empty() {
        return Ok(&[]);
    }
    let (count, rest) = frame::split_u16(types).ok_or(Unkeyed::Unreadable)?;
    let (oids, odd) = rest.as_chunks::<4>();
    let whole = odd.is_empty() && oids.len() == usize::from(count);
    whole.then_some(oids).ok_or(Unkeyed::Unreadable)
}

fn push_value(out: &mut Vec<u8>, format: u16, value: Option<&[u8]>) -> Result<(), Unkeyed> {
    let Some(value) = value else {
        // Has no format: NULL is NULL.
        out.push(b'N');
        return Ok(());
    };
    // Before it is copied.
    if value.len() > KEY_BYTES_MAX {
        return Err(Unkeyed::Oversized);
    }
    out.push(if format == 0 { b't' } else { b'b' });
    push_length(out, value.len())?;
    out.extend_from_slice(value);
    within(out)
}

fn push_length(out: &mut Vec<u8>, length: usize) -> Result<(), Unkeyed> {
    let length = u32::try_from(length).or(Err(Unkeyed::Oversized))?;
    out.extend_from_slice(&length.to_be_bytes());
    Ok(())
}

fn within(out: &[u8]) -> Result<(), Unkeyed> {
    if out.len() > KEY_BYTES_MAX {
        return Err(Unkeyed::Oversized);
    }
    Ok(())
}

impl<'a> Bind<'a> {
    /// Reads a Bind's body behind the names of portal and statement.
    ///
    /// # Errors
    /// It is not built as the protocol says, down to the last byte.
    pub fn read(body: &'a [u8]) -> Result<Self, Unkeyed> {
        Self::parts(body).ok_or(Unkeyed::Unreadable)
    }

    fn parts(body: &'a [u8]) -> Option<Self> {
        let (formats, rest) = split_formats(body)?;
        let (count, values) = frame::split_u16(rest)?;
        let mut rest = values;
        for _ in 0..count {
            (_, rest) = split_value(rest)?;
        }
        let values = values.get(..values.len().checked_sub(rest.len())?)?;
        let (results, rest) = split_formats(rest)?;
        let fit = formats.len() <= 1 || formats.len() == usize::from(count);
        (fit && rest.is_empty()).then_some(Self {
            formats,
            values,
            count,
            results,
        })
    }

    /// The parameters in order: format (0 text, 1 binary) and value, None for NULL.
    pub fn parameters(&self) -> impl Iterator<Item = (u16, Option<&'a [u8]>)> + use<'a> {
        let formats = self.formats;
        let mut rest = self.values;
        (0..usize::from(self.count)).map_while(move |index| {
            let (value, after) = split_value(rest)?;
            rest = after;
            Some((format_at(formats, index), value))
        })
    }

    /// In which formats the result is wanted.
    pub fn result_formats(&self) -> ResultFormats<'a> {
        if self.results.iter().all(|format| *format == [0, 0]) {
            ResultFormats::Text
        } else if self.results.iter().all(|format| *format == [0, 1]) {
            ResultFormats::Binary
        } else {
            ResultFormats::Mixed(self.results)
        }
    }
}

impl ResultFormats<'_> {
    /// The format of a column: 0 text, 1 binary.
    pub fn at(&self, column: usize) -> u16 {
        match self {
            Self::Text => 0,
            Self::Binary => 1,
            Self::Mixed(formats) => format_at(formats, column),
        }
    }

    fn push(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text => out.push(b't'),
            Self::Binary => out.push(b'b'),
            Self::Mixed(formats) => {
                out.push(b'm');
                out.extend(formats.iter().map(|[_, low]| *low));
            }
        }
    }
}

/// One format stands for all, none for text.
fn format_at(formats: &[[u8; 2]], index: usize) -> u16 {
    let format = match formats {
        [] => return 0,
        [one] => one,
        each => each.get(index).unwrap_or(&[0, 0]),
    };
    u16::from_be_bytes(*format)
}

fn split_formats(body: &[u8]) -> Option<(&[[u8; 2]], &[u8])> {
    let (count, rest) = frame::split_u16(body)?;
    let (formats, rest) = rest.split_at_checked(usize::from(count) * 2)?;
    let (formats, _) = formats.as_chunks::<2>();
    let known = formats.iter().all(|format| matches!(format, [0, 0 | 1]));
    known.then_some((formats, rest))
}

/// None as a value is NULL.
fn split_value(body: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let (length, rest) = frame::split_i32(body)?;
    if length == -1 {
        return Some((None, rest));
    }
    let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    Some((Some(value), rest))
}

/// Gives a number to everything about a session that can change a result: the database's identity,
/// session user, current role, settings. Numbers are never given twice, so equal numbers mean
/// equal bytes.
#[derive(Debug)]
pub struct Contexts {
    known: Mutex<Known>,
    half_max: usize,
}

#[derive(Debug, Default)]
struct Known {
    /// Those asked for since the halves were last turned over, and before.
    new: HashMap<Box<[u8]>, u64, foldhash::fast::RandomState>,
    old: HashMap<Box<[u8]>, u64, foldhash::fast::RandomState>,
    /// Of the new ones.
    bytes: usize,
    last: u64,
}

impl Default for Contexts {
    fn default() -> Self {
        Self::with_limit(CONTEXTS_MAX)
    }
}

impl Contexts {
    fn with_limit(most: usize) -> Self {
        Self {
            known: Mutex::default(),
            half_max: (most / 2).max(1),
        }
    }

    /// The number of this context. Sessions keep it until their context changes.
    pub fn id(&self, context: &[u8]) -> u64 {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = known.new.get(context) {
            return *id;
        }
        let id = known.old.remove(context).unwrap_or_else(|| {
            known.last += 1;
            known.last
        });
        if known.new.len() >= self.half_max || known.bytes >= CONTEXTS_BYTES_MAX / 2 {
            known.old = std::mem::take(&mut known.new);
            known.bytes = 0;
        }
        known.bytes += context.len();
        known.new.insert(context.into(), id);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(formats: &[u16], values: &[Option<&[u8]>], results: &[u16]) -> Vec<u8> {
        let mut body = Vec::new();
        let count = |body: &mut Vec<u8>, n: usize| {
            body.extend_from_slice(&u16::try_from(n).unwrap().to_be_bytes());
        };
        count(&mut body, formats.len());
        formats
            .iter()
            .for_each(|f| body.extend_from_slice(&f.to_be_bytes()));
        count(&mut body, values.len());
        for value in values {
            match value {
                None => body.extend_from_slice(&(-1i32).to_be_bytes()),
                Some(value) => {
                    let length = i32::try_from(value.len()).unwrap();
                    body.extend_from_slice(&length.to_be_bytes());
                    body.extend_from_slice(value);
                }
            }
        }
        count(&mut body, results.len());
        results
            .iter()
            .for_each(|f| body.extend_from_slice(&f.to_be_bytes()));
        body
    }

    fn types(oids: &[u32]) -> Vec<u8> {
        let mut list = u16::try_from(oids.len()).unwrap().to_be_bytes().to_vec();
        oids.iter()
            .for_each(|oid| list.extend_from_slice(&oid.to_be_bytes()));
        list
    }

    fn key(context: u64, text: &[u8], types: &[u8], bind: Option<&[u8]>) -> Vec<u8> {
        let mut out = vec![1, 2, 3];
        let bind = bind.map(|body| Bind::read(body).unwrap());
        result_key(&mut out, context, text, types, bind.as_ref()).unwrap();
        out
    }

    #[test]
    fn a_simple_query_is_an_extended_one_without_parameters() {
        let simple = key(7, b"select 1", b"", None);
        let empty = bind(&[], &[], &[]);
        assert_eq!(simple, key(7, b"select 1", &types(&[]), Some(&empty)));
        let zero = bind(&[], &[], &[0]);
        assert_eq!(simple, key(7, b"select 1", &types(&[]), Some(&zero)));
        let binary = bind(&[], &[], &[1]);
        assert_ne!(simple, key(7, b"select 1", &types(&[]), Some(&binary)));
        assert_ne!(simple, key(8, b"select 1", b"", None));
        assert_ne!(simple, key(7, b"select 2", b"", None));
    }

    #[test]
    fn what_means_the_same_has_one_key() {
        let one = |formats: &[u16], results: &[u16]| {
            let body = bind(formats, &[Some(b"a"), None], results);
            key(1, b"q", &types(&[25]), Some(&body))
        };
        assert_eq!(one(&[], &[]), one(&[0, 0], &[0, 0]));
        assert_eq!(one(&[1], &[1]), one(&[1, 1], &[1, 1]));
        // NULL has no format.
        assert_eq!(one(&[1, 0], &[]), one(&[1], &[]));
        let unmentioned = key(1, b"q", &types(&[25, 0]), Some(&bind(&[], &[], &[])));
        assert_eq!(
            unmentioned,
            key(1, b"q", &types(&[25]), Some(&bind(&[], &[], &[])))
        );
    }

    #[test]
    fn no_two_questions_share_a_key() {
        let values: [&[Option<&[u8]>]; 9] = [
            &[],
            &[None],
            &[Some(b"")],
            &[Some(b"NULL")],
            &[Some(b"ab"), Some(b"c")],
            &[Some(b"a"), Some(b"bc")],
            &[Some(b"abc"), Some(b"")],
            &[Some(b""), Some(b"abc")],
            &[None, Some(b"abc")],
        ];
        let mut keys = Vec::new();
        for text in [b"q".as_slice(), b"qt", b""] {
            for types in [types(&[]), types(&[23]), types(&[0, 23]), types(&[23, 25])] {
                for values in values {
                    let formats: &[&[u16]] = if values.iter().any(Option::is_some) {
                        &[&[0], &[1]]
                    } else {
                        &[&[0]]
                    };
                    for formats in formats {
                        for results in [&[0u16] as &[u16], &[1], &[0, 1], &[1, 0], &[0, 1, 0]] {
                            let body = bind(formats, values, results);
                            keys.push(key(1, text, &types, Some(&body)));
                        }
                    }
                }
                let mut out = Vec::new();
                description_key(&mut out, 1, text, &types).unwrap();
                keys.push(out);
            }
        }
        let all = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), all);
    }

    #[test]
    fn a_bind_is_read_whole_or_not_at_all() {
        let body = bind(&[1, 0], &[Some(b"xyz"), None], &[0, 1]);
        let read = Bind::read(&body).unwrap();
        let parameters: Vec<_> = read.parameters().collect();
        assert_eq!(parameters, [(1, Some(b"xyz".as_slice())), (0, None)]);
        assert_eq!(read.result_formats().at(0), 0);
        assert_eq!(read.result_formats().at(1), 1);
        for cut in 0..body.len() {
            assert!(Bind::read(&body[..cut]).is_err(), "cut at {cut}");
        }
        let mut longer = body.clone();
        longer.push(0);
        assert!(Bind::read(&longer).is_err());
        // Formats that are neither one nor one each, that do not exist; a length that does not.
        assert!(Bind::read(&bind(&[0, 1], &[None], &[])).is_err());
        assert!(Bind::read(&bind(&[2], &[None], &[])).is_err());
        assert!(Bind::read(&bind(&[], &[], &[256])).is_err());
        assert!(Bind::read(b"\0\0\0\x01\xff\xff\xff\xfe\0\0").is_err());
    }

    #[test]
    fn types_must_be_as_many_as_they_say() {
        let mut out = Vec::new();
        for types in [b"\0".as_slice(), b"\0\x01", b"\0\x01\0\0\0", b"\0\0\0"] {
            let key = result_key(&mut out, 1, b"q", types, None);
            assert_eq!(key, Err(Unkeyed::Unreadable));
        }
    }

    #[test]
    fn long_questions_have_no_key() {
        let mut out = Vec::new();
        let long = vec![b'x'; KEY_BYTES_MAX];
        let key = result_key(&mut out, 1, &long, b"", None);
        assert_eq!(key, Err(Unkeyed::Oversized));
        let body = bind(&[], &[Some(&long)], &[]);
        let bind = Bind::read(&body).unwrap();
        let key = result_key(&mut out, 1, b"q", b"", Some(&bind));
        assert_eq!(key, Err(Unkeyed::Oversized));
    }

    #[test]
    fn a_contexts_number_is_never_given_to_another() {
        let contexts = Contexts::with_limit(8);
        let kept = contexts.id(b"kept");
        let mut seen = HashMap::from([(kept, "kept".to_owned())]);
        for round in 0..100 {
            let name = format!("context {round}");
            let id = contexts.id(name.as_bytes());
            assert_eq!(id, contexts.id(name.as_bytes()));
            assert_eq!(seen.insert(id, name), None);
            // Who is asked for keeps its number, however many others come.
            assert_eq!(contexts.id(b"kept"), kept);
        }
        let known = contexts.known.lock().unwrap();
        assert!(known.new.len() + known.old.len() <= 8);
    }

    #[test]
    fn long_contexts_are_forgotten_sooner() {
        const LONG: usize = 100_000;
        let contexts = Contexts::default();
        let context = |number: u32| {
            let mut bytes = vec![b'x'; LONG];
            bytes.extend_from_slice(&number.to_be_bytes());
            bytes
        };
        for number in 0..1_000 {
            let id = contexts.id(&context(number));
            assert_eq!(id, contexts.id(&context(number)));
        }
        let known = contexts.known.lock().unwrap();
        let bytes = (known.new.len() + known.old.len()) * LONG;
        assert!(bytes <= CONTEXTS_BYTES_MAX + 2 * LONG, "{bytes} bytes");
    }
}
