//! The `options` parameter: command-line arguments of a backend, as libpq's PGOPTIONS.

use super::packet::Setting;
use crate::wire::error::PgError;

/// Reads the settings out of the arguments, in order. Of the switches of `postgres` those are known
/// that set something for a session: `-c name=value`, `--name=value`, `-e` and `-S size`.
pub(super) fn parse(text: &[u8]) -> Result<Vec<Setting>, PgError> {
    let mut settings = Vec::new();
    let mut words = split(text).into_iter();
    while let Some(word) = words.next() {
        // getopt takes a switch's argument from the same word or from the next.
        let argument = |attached: &[u8], words: &mut std::vec::IntoIter<Vec<u8>>| {
            if attached.is_empty() {
                words.next().ok_or_else(|| invalid(&word))
            } else {
                Ok(attached.to_vec())
            }
        };
        match word.as_slice() {
            [b'-', b'-'] => break,
            [b'-', b'-', long @ ..] => settings.push(assignment(long, "--")?),
            [b'-', b'c', attached @ ..] => {
                settings.push(assignment(&argument(attached, &mut words)?, "-c ")?);
            }
            [b'-', b'S', attached @ ..] => {
                let size = argument(attached, &mut words)?;
                settings.push((b"work_mem".as_slice().into(), size.into()));
            }
            b"-e" => settings.push((b"datestyle".as_slice().into(), b"euro".as_slice().into())),
            _ => return Err(invalid(&word)),
        }
    }
    Ok(settings)
}

/// Postgres's `pg_split_opts`: white space separates, a backslash takes the next byte as it is.
fn split(text: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            // C's isspace.
            b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c => words.extend(word.take()),
            b'\\' => {
                let word = word.get_or_insert_default();
                word.extend(bytes.next());
            }
            other => word.get_or_insert_default().push(*other),
        }
    }
    words.extend(word);
    words
}

/// Postgres's `ParseLongOption`: a `-` in a name stands for `_`.
fn assignment(text: &[u8], switch: &str) -> Result<Setting, PgError> {
    let Some(equals) = text.iter().position(|byte| *byte == b'=') else {
        let text = String::from_utf8_lossy(text);
        return Err(PgError::fatal(
            "42601",
            format!("{switch}{text} requires a value"),
        ));
    };
    let (name, value) = text.split_at_checked(equals).unwrap_or_default();
    let name = name
        .iter()
        .map(|byte| if *byte == b'-' { b'_' } else { *byte });
    Ok((name.collect(), value.get(1..).unwrap_or_default().into()))
}

fn invalid(word: &[u8]) -> PgError {
    let word = String::from_utf8_lossy(word);
    let text = format!("invalid command-line argument for server process: {word}");
    PgError::fatal("42601", text).hint("pgweir knows -c name=value, --name=value, -e and -S.")
}
