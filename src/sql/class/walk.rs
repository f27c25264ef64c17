//! One statement through sqlparser: what its tree names, and whether the tree is the text's.

use std::collections::BTreeSet;

use sqlparser::ast::{Ident, ObjectName, ObjectNamePart, Statement};
use sqlparser::dialect::PostgreSqlDialect;
use sqlparser::parser::Parser;

use super::pieces::Piece;
use super::rewrite::{self, Rewritten, mark};
use super::{Call, Found, Kind, QName, Write};
use crate::reason::Reason;

/// How deep sqlparser may go; a subquery takes three of these. The worst text of this depth needs
/// a quarter of a worker's stack.
const RECURSION_MAX: usize = 100;

/// What the walk of a statement's tree has met.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is found out on its own, on the way"
)]
pub(super) struct Walk<'a> {
    pub(super) found: &'a mut Found,
    /// The names of the CTEs that are in sight.
    pub(super) scopes: Vec<Box<str>>,
    /// By the place of a piece: whether the tree holds it.
    met: Vec<bool>,
    /// INSERT, UPDATE, DELETE and MERGE in the tree.
    pub(super) changes: usize,
    /// Inside a cast to a type that may be a moment.
    pub(super) moment: bool,
    /// Names of results that are not plainly columns of that name: a column of the same name may
    /// have another type.
    pub(super) renamed: BTreeSet<Box<str>>,
    /// A function in FROM makes columns whose names the text may not show.
    pub(super) table_functions: bool,
    /// A keyword is a name in the tree, or a call none: sqlparser reads the text differently.
    misread: bool,
    /// The statement writes.
    pub(super) writes: bool,
    /// Text that is made up from constants may be cast to a moment.
    pub(super) volatile: bool,
}

/// What a query or data-modifying statement does.
pub(super) fn statement(pieces: &[Piece], found: &mut Found) -> Result<Kind, Reason> {
    let Rewritten {
        tokens,
        names,
        changes,
        locks,
        refused,
        defines,
        ..
    } = rewrite::rewrite(pieces, found)?;
    if defines {
        return Ok(Kind::Definition);
    }
    let dialect = PostgreSqlDialect {};
    let mut parser = Parser::new(&dialect)
        .with_recursion_limit(RECURSION_MAX)
        .with_tokens_with_locations(tokens);
    let mut statements = parser
        .parse_statements()
        .map_err(|_error| Reason::ParseError)?;
    let (Some(statement), true) = (statements.pop(), statements.is_empty()) else {
        return Err(Reason::ParseError);
    };
    let mut walk = Walk {
        found,
        scopes: Vec::new(),
        met: vec![false; pieces.len()],
        changes: 0,
        moment: false,
        renamed: BTreeSet::new(),
        table_functions: false,
        misread: false,
        writes: false,
        volatile: false,
    };
    walk.top(&statement)?;
    // A name that the tree does not hold, or a change that it takes for something else: we and
    // sqlparser read the text differently (H16).
    let met = |name: &usize| walk.met.get(*name).copied().unwrap_or(false);
    if walk.misread || walk.changes != changes || !names.iter().all(met) {
        return Err(Reason::ParseError);
    }
    let casts = &walk.found.datetime_casts;
    if casts.iter().any(|name| walk.renamed.contains(name))
        || (walk.table_functions && !casts.is_empty())
    {
        walk.volatile = true;
    }
    Ok(if walk.writes {
        Kind::Write
    } else if locks {
        Kind::NoCache(Reason::Locks)
    } else if let Some(reason) = refused {
        Kind::NoCache(reason)
    } else if walk.volatile {
        Kind::NoCache(Reason::Volatile)
    } else {
        Kind::Read
    })
}

impl Walk<'_> {
    fn top(&mut self, statement: &Statement) -> Result<(), Reason> {
        if let Statement::Query(query) = statement {
            self.query(query)
        } else {
            self.change(statement)
        }
    }

    /// The tree holds this name.
    pub(super) fn meet(&mut self, name: &Ident) {
        let plain = matches!(name.span.start.column, mark::NAME | mark::ONLY);
        self.misread |= !plain || name.quote_style.is_none();
        self.touch(name);
    }

    fn touch(&mut self, name: &Ident) {
        let place = usize::try_from(name.span.start.line).ok();
        if let Some(met) = place
            .and_then(|line| line.checked_sub(1))
            .and_then(|at| self.met.get_mut(at))
        {
            *met = true;
        }
    }

    /// A name with at most a schema that counts, and the mark of its last part.
    fn qualified(&mut self, name: &ObjectName) -> Result<(QName, u64), Reason> {
        let mut parts = Vec::with_capacity(3);
        for part in &name.0 {
            let ObjectNamePart::Identifier(part) = part else {
                return Err(Reason::Opaque);
            };
            self.touch(part);
            self.misread |= part.quote_style.is_none() && part.span.start.column != mark::FORM;
            parts.push(part);
        }
        // In front of a schema stands the database, which can only be this one.
        let (schema, last) = match parts.as_slice() {
            [last] => (None, last),
            [schema, last] | [_, schema, last] => (Some(schema.value.as_str().into()), last),
            _ => return Err(Reason::ParseError),
        };
        let name = QName {
            schema,
            name: last.value.as_str().into(),
        };
        Ok((name, last.span.start.column))
    }

    /// A relation that is read.
    pub(super) fn relation(&mut self, name: &ObjectName) -> Result<(), Reason> {
        let (name, mark) = self.qualified(name)?;
        self.misread |= !matches!(mark, mark::NAME | mark::ONLY);
        let common = name.schema.is_none() && self.scopes.contains(&name.name);
        if !common {
            self.found.relations.insert(name);
        }
        Ok(())
    }

    /// A relation that is written. It cannot be a CTE.
    pub(super) fn target(
        &mut self,
        name: &ObjectName,
        verbs: &[super::Verb],
    ) -> Result<(), Reason> {
        let (relation, mark) = self.qualified(name)?;
        let only = mark == mark::ONLY;
        self.misread |= !only && mark != mark::NAME;
        for &verb in verbs {
            self.found.writes.insert(Write {
                relation: relation.clone(),
                verb,
                only,
            });
        }
        self.found.relations.insert(relation);
        self.writes = true;
        Ok(())
    }

    /// A function that is called, unless it only looks so.
    pub(super) fn call(
        &mut self,
        name: &ObjectName,
        arguments: Option<u16>,
    ) -> Result<Option<QName>, Reason> {
        let (name, mark) = self.qualified(name)?;
        self.misread |= matches!(mark, mark::ONLY | mark::TYPE);
        if mark == mark::FORM {
            return Ok(None);
        }
        let arguments = if mark == mark::VARIADIC {
            None
        } else {
            arguments
        };
        self.renamed.insert(name.name.clone());
        self.found.functions.insert(Call {
            name: name.clone(),
            arguments,
        });
        Ok(Some(name))
    }
}
