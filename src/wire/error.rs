//! ErrorResponse and NoticeResponse: building ours, reading fields out of others'.
//!
//! Fields and their letters are those of the manual's section "Error and Notice Message Fields".

use std::fmt;

use super::trouble::Trouble;

/// The field letters that we read or write.
pub mod field {
    /// Severity, possibly translated.
    pub const SEVERITY: u8 = b'S';
    /// Severity, never translated (9.6 and later).
    pub const SEVERITY_PLAIN: u8 = b'V';
    /// SQLSTATE.
    pub const CODE: u8 = b'C';
    /// What happened.
    pub const MESSAGE: u8 = b'M';
    /// More about it.
    pub const DETAIL: u8 = b'D';
    /// What to do about it.
    pub const HINT: u8 = b'H';
    /// Postgres's function that raised it; of our own errors their code.
    pub const ROUTINE: u8 = b'R';
}

/// How bad it is, for the connection rather than for the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The statement failed.
    Error,
    /// The session ends.
    Fatal,
    /// All sessions end.
    Panic,
    /// Nothing failed; goes out as a NoticeResponse.
    Warning,
    /// Nothing failed; goes out as a NoticeResponse.
    Notice,
}

impl Severity {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
            Self::Panic => "PANIC",
            Self::Warning => "WARNING",
            Self::Notice => "NOTICE",
        }
    }

    /// The message type that carries it: ErrorResponse or NoticeResponse.
    fn tag(self) -> u8 {
        match self {
            Self::Error | Self::Fatal | Self::Panic => b'E',
            Self::Warning | Self::Notice => b'N',
        }
    }
}

/// What an error is: one of [our own](super::trouble), or by its SQLSTATE one that Postgres has too.
#[derive(Clone, Copy, Debug)]
pub enum Cause {
    Ours(&'static Trouble),
    AsPostgres(&'static str),
}

impl From<&'static Trouble> for Cause {
    fn from(trouble: &'static Trouble) -> Self {
        Self::Ours(trouble)
    }
}

impl From<&'static str> for Cause {
    fn from(sqlstate: &'static str) -> Self {
        Self::AsPostgres(sqlstate)
    }
}

/// An error that we raise, in Postgres's form, to be sent to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PgError {
    pub severity: Severity,
    /// SQLSTATE: five characters of the manual's appendix A.
    pub code: &'static str,
    pub message: String,
    pub detail: Option<String>,
    pub hint: Option<String>,
    /// Which of our own it is.
    pub trouble: Option<&'static Trouble>,
}

impl PgError {
    /// One of any severity, without detail; with the hint that it has, if it is one of ours.
    pub fn new(severity: Severity, cause: impl Into<Cause>, message: impl Into<String>) -> Self {
        let (code, trouble) = match cause.into() {
            Cause::Ours(trouble) => (trouble.sqlstate, Some(trouble)),
            Cause::AsPostgres(sqlstate) => (sqlstate, None),
        };
        Self {
            severity,
            code,
            message: message.into(),
            detail: None,
            hint: trouble.map(|trouble| trouble.hint.to_owned()),
            trouble,
        }
    }

    /// The statement failed, the session goes on.
    pub fn error(cause: impl Into<Cause>, message: impl Into<String>) -> Self {
        Self::new(Severity::Error, cause, message)
    }

    /// The session ends with this.
    pub fn fatal(cause: impl Into<Cause>, message: impl Into<String>) -> Self {
        Self::new(Severity::Fatal, cause, message)
    }

    /// Says what to do about it, where that is known better than in general.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds more about what happened.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Appends the whole frame: tag, length, fields.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let body = self.body();
        out.push(self.severity.tag());
        let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&body);
    }

    /// The fields, and the zero that ends them. The code of one of ours stands in front of its hint.
    pub fn body(&self) -> Vec<u8> {
        let id = self.trouble.map(|trouble| trouble.id);
        let hint = match (id, self.hint.as_deref()) {
            (Some(id), Some(hint)) => Some(format!("{id}: {hint}")),
            (_, hint) => hint.map(str::to_owned),
        };
        let texts = [
            Some(self.message.as_str()),
            self.detail.as_deref(),
            hint.as_deref(),
            id,
        ];
        encode_body(self.severity, self.code, texts)
    }
}

impl fmt::Display for PgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = self.severity.as_str();
        let (message, code) = (&self.message, self.code);
        match self.trouble {
            Some(trouble) => write!(f, "{severity}: {message} (SQLSTATE {code}, {})", trouble.id),
            None => write!(f, "{severity}: {message} (SQLSTATE {code})"),
        }
    }
}

impl std::error::Error for PgError {}

/// The body of an ErrorResponse, in the order in which Postgres writes the fields; the texts are
/// message, detail, hint and routine.
pub fn encode_body(severity: Severity, code: &str, texts: [Option<&str>; 4]) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    put(&mut out, field::SEVERITY, severity.as_str());
    put(&mut out, field::SEVERITY_PLAIN, severity.as_str());
    put(&mut out, field::CODE, code);
    let kinds = [field::MESSAGE, field::DETAIL, field::HINT, field::ROUTINE];
    for (kind, text) in kinds.into_iter().zip(texts) {
        if let Some(text) = text {
            put(&mut out, kind, text);
        }
    }
    out.push(0);
    out
}

/// A zero byte would end the field early and make the rest of the text into fields, so it is dropped.
fn put(out: &mut Vec<u8>, kind: u8, text: &str) {
    out.push(kind);
    out.extend(text.bytes().filter(|byte| *byte != 0));
    out.push(0);
}

/// The fields of a raw ErrorResponse or NoticeResponse body, in order; stops at the first that is
/// cut short.
pub fn fields(body: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = body;
    std::iter::from_fn(move || {
        let (&kind, tail) = rest.split_first()?;
        if kind == 0 {
            return None;
        }
        let end = tail.iter().position(|byte| *byte == 0)?;
        let (value, after) = tail.split_at_checked(end)?;
        rest = after.get(1..)?;
        Some((kind, value))
    })
}

/// The first field of that kind (a letter of [`mod@field`]) in a raw body.
pub fn field(body: &[u8], kind: u8) -> Option<&[u8]> {
    fields(body).find_map(|(k, value)| (k == kind).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_is_what_postgres_writes() {
        let error = PgError::fatal("28P01", "no\0pe").detail("d").hint("h");
        let mut out = b"before".to_vec();
        error.encode(&mut out);
        let expected = b"beforeE\0\0\0\x26SFATAL\0VFATAL\0C28P01\0Mnope\0Dd\0Hh\0\0";
        assert_eq!(out, expected);
        assert_eq!(
            error.to_string().replace('\0', ""),
            "FATAL: nope (SQLSTATE 28P01)"
        );
    }

    #[test]
    fn our_own_carry_their_code() {
        let error = PgError::error(&crate::wire::trouble::WOULD_PIN, "m");
        let body = error.body();
        assert_eq!(field(&body, field::CODE), Some(&b"0A000"[..]));
        assert_eq!(field(&body, field::ROUTINE), Some(&b"PW0402"[..]));
        let hint = field(&body, field::HINT).unwrap();
        assert!(hint.starts_with(b"PW0402: Set pool.pin"));
        let better = error.hint("Better.");
        assert_eq!(
            field(&better.body(), field::HINT),
            Some(&b"PW0402: Better."[..])
        );
        assert_eq!(better.to_string(), "ERROR: m (SQLSTATE 0A000, PW0402)");
    }

    #[test]
    fn notices_have_their_own_tag() {
        let mut out = Vec::new();
        PgError::new(Severity::Notice, "00000", "m").encode(&mut out);
        assert_eq!(out, b"N\0\0\0\x1fSNOTICE\0VNOTICE\0C00000\0Mm\0\0");
    }

    #[test]
    fn fields_are_found_and_cut_bodies_survive() {
        let body = b"SERROR\0C42601\0Mone\0Mtwo\0\0";
        assert_eq!(field(body, field::MESSAGE), Some(&b"one"[..]));
        assert_eq!(field(body, field::HINT), None);
        for end in 0..body.len() {
            for (kind, _) in fields(&body[..end]) {
                assert!(b"SCM".contains(&kind));
            }
        }
        assert_eq!(field(b"M", b'M'), None);
        assert_eq!(field(b"", b'M'), None);
    }
}
