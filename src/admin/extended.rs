//! The extended protocol in the console: as much of it as drivers need that speak no other.
//!
//! Texts have no parameters, and a portal's table is made when it is first described or executed.

use std::collections::HashMap;

use super::Table;
use super::command::{self, Command, TEXT_BYTES_MAX};
use super::console::{Answer, Console, tag_of, too_long};
use super::show::{self, Format};
use crate::session::end::End;
use crate::wire::error::PgError;
use crate::wire::frame::{self, split_cstr, split_i32, split_u16};
use crate::wire::trouble;

/// Statements and portals that a client may keep, each: drivers keep one or two.
const KEPT_MAX: usize = 16;

/// What a client has prepared. Names are bounded by the frame that they come in.
#[derive(Debug, Default)]
pub(super) struct Prepared {
    statements: HashMap<Box<[u8]>, Option<Command>>,
    portals: HashMap<Box<[u8]>, Portal>,
}

/// A bound statement.
#[derive(Debug)]
struct Portal {
    /// `None`: an empty text.
    command: Option<Command>,
    formats: Box<[Format]>,
    /// Made once, so that what was described is what is sent.
    table: Option<Table>,
    /// Rows sent so far.
    sent: usize,
    /// PURGE and its like run once.
    done: bool,
}

impl Prepared {
    /// Portals end with their transaction.
    pub(super) fn end_transaction(&mut self) {
        self.portals.clear();
    }
}

fn malformed() -> PgError {
    PgError::error("08P01", "invalid message format")
}

fn no_statement(name: &[u8]) -> PgError {
    let name = String::from_utf8_lossy(name);
    PgError::error(
        "26000",
        format!("prepared statement \"{name}\" does not exist"),
    )
}

fn no_portal(name: &[u8]) -> PgError {
    let name = String::from_utf8_lossy(name);
    PgError::error("34000", format!("portal \"{name}\" does not exist"))
}

impl Console {
    /// One message; the inner error is for the client.
    pub(super) async fn extended(
        &mut self,
        tag: u8,
        body: Option<Vec<u8>>,
    ) -> Result<Result<(), PgError>, End> {
        let Some(body) = body else {
            return Ok(Err(too_long()));
        };
        Ok(match tag {
            b'P' => self.parse(&body),
            b'B' => self.bind(&body),
            b'D' => self.describe(&body),
            b'C' => self.close(&body),
            b'E' => return self.execute(&body).await,
            // Copy data that nobody asked for.
            _ => Ok(()),
        })
    }

    fn parse(&mut self, body: &[u8]) -> Result<(), PgError> {
        let (name, rest) = split_cstr(body).ok_or_else(malformed)?;
        let (text, types) = split_cstr(rest).ok_or_else(malformed)?;
        let (count, _types) = split_u16(types).ok_or_else(malformed)?;
        if text.len() > TEXT_BYTES_MAX {
            return Err(too_long());
        }
        if count > 0 {
            return Err(PgError::error(
                &trouble::CONSOLE_CANNOT,
                "the console takes no parameters",
            ));
        }
        let mut commands = command::read(text)?;
        if commands.len() > 1 {
            let text = "cannot insert multiple commands into a prepared statement";
            return Err(PgError::error("42601", text));
        }
        let statements = &mut self.prepared.statements;
        let is_new = !statements.contains_key(name);
        if !name.is_empty() && !is_new {
            let name = String::from_utf8_lossy(name);
            let text = format!("prepared statement \"{name}\" already exists");
            return Err(PgError::error("42P05", text));
        }
        check_room(statements.len(), is_new)?;
        statements.insert(name.into(), commands.pop());
        frame::push(&mut self.out, b'1', &[]);
        Ok(())
    }

    fn bind(&mut self, body: &[u8]) -> Result<(), PgError> {
        let (portal, rest) = split_cstr(body).ok_or_else(malformed)?;
        let (statement, rest) = split_cstr(rest).ok_or_else(malformed)?;
        let (formats, rest) = split_u16(rest).ok_or_else(malformed)?;
        let rest = rest.get(2 * usize::from(formats)..).ok_or_else(malformed)?;
        let (values, rest) = split_u16(rest).ok_or_else(malformed)?;
        if values > 0 {
            let text = format!("bind message supplies {values} parameters, but there are none");
            return Err(PgError::error("08P01", text));
        }
        let command = self.prepared.statements.get(statement);
        let command = command.ok_or_else(|| no_statement(statement))?.clone();
        let portals = &mut self.prepared.portals;
        let is_new = !portals.contains_key(portal);
        if !portal.is_empty() && !is_new {
            let portal = String::from_utf8_lossy(portal);
            let text = format!("portal \"{portal}\" already exists");
            return Err(PgError::error("42P03", text));
        }
        check_room(portals.len(), is_new)?;
        let bound = Portal {
            command,
            formats: read_formats(rest)?,
            table: None,
            sent: 0,
            done: false,
        };
        portals.insert(portal.into(), bound);
        frame::push(&mut self.out, b'2', &[]);
        Ok(())
    }

    fn describe(&mut self, body: &[u8]) -> Result<(), PgError> {
        match what_and_name(body)? {
            (b'S', name) => {
                let statement = self.prepared.statements.get(name);
                let command = statement.ok_or_else(|| no_statement(name))?;
                let table = command.as_ref().and_then(|command| self.columns(command));
                frame::push(&mut self.out, b't', &[&[0, 0]]);
                self.push_columns(table.as_ref(), &[]);
            }
            (_, name) => {
                let portal = self.prepared.portals.remove(name);
                let mut portal = portal.ok_or_else(|| no_portal(name))?;
                if portal.table.is_none() {
                    let command = portal.command.as_ref();
                    portal.table = command.and_then(|command| self.columns(command));
                }
                if let Some(table) = &portal.table {
                    show::check_formats(table, &portal.formats)?;
                }
                self.push_columns(portal.table.as_ref(), &portal.formats);
                self.prepared.portals.insert(name.into(), portal);
            }
        }
        Ok(())
    }

    fn push_columns(&mut self, table: Option<&Table>, formats: &[Format]) {
        match table {
            Some(table) => show::push_description(&mut self.out, table, formats),
            None => frame::push(&mut self.out, b'n', &[]),
        }
    }

    fn close(&mut self, body: &[u8]) -> Result<(), PgError> {
        match what_and_name(body)? {
            (b'S', name) => drop(self.prepared.statements.remove(name)),
            (_, name) => drop(self.prepared.portals.remove(name)),
        }
        frame::push(&mut self.out, b'3', &[]);
        Ok(())
    }

    async fn execute(&mut self, body: &[u8]) -> Result<Result<(), PgError>, End> {
        let Some((name, most)) =
            split_cstr(body).and_then(|(n, rest)| Some((n, split_i32(rest)?.0)))
        else {
            return Ok(Err(malformed()));
        };
        let Some(mut portal) = self.prepared.portals.remove(name) else {
            return Ok(Err(no_portal(name)));
        };
        let ran = match Box::pin(self.run_portal(&mut portal)).await? {
            Ok(ran) => ran,
            Err(error) => return Ok(Err(error)),
        };
        match (ran, &portal.table) {
            (Some(tag), _) => self.push_tag(&tag),
            (None, None) => frame::push(&mut self.out, b'I', &[]),
            (None, Some(table)) => {
                let left = table.rows.len() - portal.sent;
                // Zero, and what makes no sense, mean all.
                let most = usize::try_from(most).ok().filter(|most| *most > 0);
                let end = portal.sent + most.map_or(left, |most| most.min(left));
                self.send_rows(table, portal.sent..end, &portal.formats)
                    .await?;
                portal.sent = end;
                // As in Postgres, a limit that was just reached may mean that there is more.
                if most.is_some_and(|most| most <= left) {
                    frame::push(&mut self.out, b's', &[]);
                } else {
                    self.push_tag(portal.command.as_ref().map_or("SHOW", tag_of));
                }
            }
        }
        self.prepared.portals.insert(name.into(), portal);
        Ok(Ok(()))
    }

    /// Runs what has not run yet: the tag of what has no table. The inner error is for the client.
    async fn run_portal(
        &mut self,
        portal: &mut Portal,
    ) -> Result<Result<Option<String>, PgError>, End> {
        let Some(command) = &portal.command else {
            return Ok(Ok(None));
        };
        if portal.done {
            let text = "the portal cannot be run twice";
            return Ok(Err(PgError::error(&trouble::CONSOLE_CANNOT, text)));
        }
        if portal.table.is_none() {
            match self.perform(command).await? {
                Ok(Answer::Table(table)) => portal.table = Some(table),
                Ok(Answer::Done(tag)) => {
                    portal.done = true;
                    return Ok(Ok(Some(tag)));
                }
                Err(error) => return Ok(Err(error)),
            }
        }
        let checked = match &portal.table {
            Some(table) => show::check_formats(table, &portal.formats),
            None => Ok(()),
        };
        Ok(checked.map(|()| None))
    }
}

fn check_room(kept: usize, is_new: bool) -> Result<(), PgError> {
    if is_new && kept >= KEPT_MAX {
        let text = format!("the console keeps {KEPT_MAX} statements and as many portals");
        return Err(PgError::error(&trouble::CONSOLE_TOO_MUCH, text));
    }
    Ok(())
}

/// The format codes at the end of a Bind.
fn read_formats(codes: &[u8]) -> Result<Box<[Format]>, PgError> {
    let (count, mut rest) = split_u16(codes).ok_or_else(malformed)?;
    let mut formats = Vec::new();
    for _ in 0..count {
        let (code, after) = split_u16(rest).ok_or_else(malformed)?;
        rest = after;
        formats.push(match code {
            0 => Format::Text,
            1 => Format::Binary,
            other => {
                let text = format!("unsupported format code: {other}");
                return Err(PgError::error("22023", text));
            }
        });
    }
    Ok(formats.into())
}

/// `S` or `P`, and the name: Describe and Close.
fn what_and_name(body: &[u8]) -> Result<(u8, &[u8]), PgError> {
    let (what, rest) = body.split_first().ok_or_else(malformed)?;
    let (name, _) = split_cstr(rest).ok_or_else(malformed)?;
    match what {
        b'S' | b'P' => Ok((*what, name)),
        _ => Err(malformed()),
    }
}
