//! RowDescription bodies: a statement's says which columns there are, a portal's also in which
//! formats; the one is made from the other.

use super::key::ResultFormats;
use crate::wire::frame;

/// Bytes of a field behind its name: table, column number, type, size, modifier, format.
const FIELD_BYTES: usize = 18;

/// How many columns a RowDescription's body describes. None: it is not one.
pub fn columns(body: &[u8]) -> Option<u16> {
    walk(body, |_, _| ())
}

/// A RowDescription's body with these formats. None: it is not one, or has another number of
/// columns than there are formats.
pub fn with_formats(body: &[u8], formats: &ResultFormats<'_>) -> Option<Vec<u8>> {
    let mut out = body.to_vec();
    let count = walk(body, |column, at| {
        if let Some(place) = out.get_mut(at..at + 2) {
            place.copy_from_slice(&formats.at(column).to_be_bytes());
        }
    })?;
    match formats {
        ResultFormats::Mixed(each) if each.len() != usize::from(count) => None,
        ResultFormats::Mixed(_) | ResultFormats::Text | ResultFormats::Binary => Some(out),
    }
}

/// Calls back with each column's number and where its format stands.
fn walk(body: &[u8], mut see: impl FnMut(usize, usize)) -> Option<u16> {
    let (count, mut rest) = frame::split_u16(body)?;
    for column in 0..usize::from(count) {
        let (_, field) = frame::split_cstr(rest)?;
        rest = field.get(FIELD_BYTES..)?;
        see(column, body.len() - rest.len() - 2);
    }
    rest.is_empty().then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, format: u16) -> Vec<u8> {
        let mut field = name.as_bytes().to_vec();
        field.push(0);
        field.extend_from_slice(&16_400u32.to_be_bytes());
        field.extend_from_slice(&1u16.to_be_bytes());
        field.extend_from_slice(&25u32.to_be_bytes());
        field.extend_from_slice(&(-1i16).to_be_bytes());
        field.extend_from_slice(&(-1i32).to_be_bytes());
        field.extend_from_slice(&format.to_be_bytes());
        field
    }

    fn body(formats: &[u16]) -> Vec<u8> {
        let mut body = u16::try_from(formats.len()).unwrap().to_be_bytes().to_vec();
        for (index, format) in formats.iter().enumerate() {
            body.extend(field(&"n".repeat(index), *format));
        }
        body
    }

    #[test]
    fn formats_are_put_in_their_places() {
        let described = body(&[0, 0, 0]);
        let same = with_formats(&described, &ResultFormats::Text);
        assert_eq!(same.as_deref(), Some(described.as_slice()));
        let binary = with_formats(&described, &ResultFormats::Binary);
        assert_eq!(binary, Some(body(&[1, 1, 1])));
        let mixed = ResultFormats::Mixed(&[[0, 1], [0, 0], [0, 1]]);
        assert_eq!(with_formats(&described, &mixed), Some(body(&[1, 0, 1])));
        assert_eq!(with_formats(&body(&[0, 0]), &mixed), None);
        assert_eq!(columns(&described), Some(3));
        assert_eq!(columns(&body(&[])), Some(0));
    }

    #[test]
    fn what_is_no_description_is_not_touched() {
        let described = body(&[0, 1]);
        for cut in 0..described.len() {
            assert_eq!(with_formats(&described[..cut], &ResultFormats::Text), None);
        }
        let mut longer = described;
        longer.push(0);
        assert_eq!(with_formats(&longer, &ResultFormats::Text), None);
    }
}
