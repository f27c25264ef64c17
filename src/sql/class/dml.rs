//! INSERT, UPDATE, DELETE and MERGE: what they write, and what they read to do so.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "of a hundred statements and thirty kinds of table, a change is one of few"
)]

use sqlparser::ast::{
    Assignment, AssignmentTarget, Delete, FromTable, Insert, Merge, MergeAction, MergeClause,
    MergeInsertExpr, MergeInsertKind, MergeUpdateExpr, MergeUpdateKind, ObjectName, OnConflict,
    OnConflictAction, OnInsert, OutputClause, Statement, TableFactor, TableObject, TableWithJoins,
    Update, UpdateTableFromKind, Values,
};

use super::Verb;
use super::query::{empty, none};
use super::walk::Walk;
use crate::reason::Reason;

type Walked = Result<(), Reason>;

impl Walk<'_> {
    /// A statement that writes.
    pub(super) fn change(&mut self, statement: &Statement) -> Walked {
        self.changes += 1;
        match statement {
            Statement::Insert(insert) => self.insert(insert),
            Statement::Update(update) => self.update(update),
            Statement::Delete(delete) => self.delete(delete),
            Statement::Merge(merge) => self.merge(merge),
            _ => Err(Reason::Opaque),
        }
    }

    fn insert(&mut self, insert: &Insert) -> Walked {
        let Insert {
            insert_token: _,
            optimizer_hints,
            or,
            ignore,
            into,
            table,
            table_alias,
            columns,
            overwrite,
            source,
            assignments,
            partitioned,
            after_columns,
            has_table_keyword,
            on,
            returning,
            output,
            replace_into,
            priority,
            insert_alias,
            settings,
            format_clause,
            multi_table_insert_type,
            multi_table_into_clauses,
            multi_table_when_clauses,
            multi_table_else_clause,
        } = insert;
        empty(optimizer_hints)?;
        none(or.as_ref())?;
        empty(assignments)?;
        none(partitioned.as_ref())?;
        empty(after_columns)?;
        none(output.as_ref())?;
        none(priority.as_ref())?;
        none(insert_alias.as_ref())?;
        none(settings.as_ref())?;
        none(format_clause.as_ref())?;
        none(multi_table_insert_type.as_ref())?;
        empty(multi_table_into_clauses)?;
        empty(multi_table_when_clauses)?;
        none(multi_table_else_clause.as_ref())?;
        if *ignore || !*into || *overwrite || *has_table_keyword || *replace_into {
            return Err(Reason::Opaque);
        }
        let TableObject::TableName(table) = table else {
            return Err(Reason::Opaque);
        };
        self.target(table, &[Verb::Insert])?;
        if let Some(alias) = table_alias {
            self.meet(&alias.alias);
        }
        columns
            .iter()
            .try_for_each(|column| self.meet_all(column))?;
        if let Some(source) = source {
            self.query(source)?;
        }
        self.on_insert(table, on.as_ref())?;
        self.items(returning.as_deref().unwrap_or_default())
    }

    fn on_insert(&mut self, table: &ObjectName, on: Option<&OnInsert>) -> Walked {
        let Some(on) = on else {
            return Ok(());
        };
        let OnInsert::OnConflict(OnConflict {
            conflict_target,
            action,
        }) = on
        else {
            return Err(Reason::Opaque);
        };
        // Its target was taken out before.
        none(conflict_target.as_ref())?;
        match action {
            OnConflictAction::DoNothing => Ok(()),
            OnConflictAction::DoUpdate(update) => {
                self.changes += 1;
                self.target(table, &[Verb::Update])?;
                self.assignments(&update.assignments)?;
                self.optional(update.selection.as_ref())
            }
        }
    }

    fn assignments(&mut self, assignments: &[Assignment]) -> Walked {
        for Assignment { target, value } in assignments {
            match target {
                AssignmentTarget::ColumnName(column) => self.meet_all(column)?,
                AssignmentTarget::Tuple(columns) => {
                    columns
                        .iter()
                        .try_for_each(|column| self.meet_all(column))?;
                }
            }
            self.expr(value)?;
        }
        Ok(())
    }

    fn update(&mut self, update: &Update) -> Walked {
        let Update {
            update_token: _,
            optimizer_hints,
            table,
            assignments,
            from,
            selection,
            returning,
            output,
            or,
            order_by,
            limit,
        } = update;
        empty(optimizer_hints)?;
        none(output.as_ref())?;
        none(or.as_ref())?;
        empty(order_by)?;
        none(limit.as_ref())?;
        self.one(table, &[Verb::Update])?;
        self.assignments(assignments)?;
        match from {
            Some(UpdateTableFromKind::AfterSet(from)) => self.sources(from)?,
            Some(UpdateTableFromKind::BeforeSet(_)) => return Err(Reason::Opaque),
            None => {}
        }
        self.optional(selection.as_ref())?;
        self.items(returning.as_deref().unwrap_or_default())
    }

    fn delete(&mut self, delete: &Delete) -> Walked {
        let Delete {
            delete_token: _,
            optimizer_hints,
            tables,
            from,
            using,
            selection,
            returning,
            output,
            order_by,
            limit,
        } = delete;
        empty(optimizer_hints)?;
        empty(tables)?;
        none(output.as_ref())?;
        empty(order_by)?;
        none(limit.as_ref())?;
        let FromTable::WithFromKeyword(from) = from else {
            return Err(Reason::Opaque);
        };
        let [table] = from.as_slice() else {
            return Err(Reason::Opaque);
        };
        self.one(table, &[Verb::Delete])?;
        self.sources(using.as_deref().unwrap_or_default())?;
        self.optional(selection.as_ref())?;
        self.items(returning.as_deref().unwrap_or_default())
    }

    fn merge(&mut self, merge: &Merge) -> Walked {
        let Merge {
            merge_token: _,
            optimizer_hints,
            into,
            table,
            source,
            on,
            clauses,
            output,
        } = merge;
        empty(optimizer_hints)?;
        if !*into {
            return Err(Reason::Opaque);
        }
        let mut verbs = Vec::with_capacity(clauses.len());
        for MergeClause {
            when_token: _,
            clause_kind: _,
            predicate,
            action,
        } in clauses
        {
            self.optional(predicate.as_ref())?;
            verbs.extend(self.merge_action(action)?);
        }
        self.changes += verbs.len();
        self.written(table, &verbs)?;
        self.factor(source)?;
        self.expr(on)?;
        match output {
            Some(OutputClause::Returning {
                returning_token: _,
                select_items,
            }) => self.items(select_items),
            Some(OutputClause::Output { .. }) => Err(Reason::Opaque),
            None => Ok(()),
        }
    }

    fn merge_action(&mut self, action: &MergeAction) -> Result<Option<Verb>, Reason> {
        match action {
            MergeAction::Insert(MergeInsertExpr {
                insert_token: _,
                columns,
                kind_token: _,
                kind: MergeInsertKind::Values(values),
                insert_predicate: None,
            }) => {
                columns
                    .iter()
                    .try_for_each(|column| self.meet_all(column))?;
                self.values(values)?;
                Ok(Some(Verb::Insert))
            }
            MergeAction::Update(MergeUpdateExpr {
                update_token: _,
                kind: MergeUpdateKind::Set(assignments),
                update_predicate: None,
                delete_predicate: None,
            }) => {
                self.assignments(assignments)?;
                Ok(Some(Verb::Update))
            }
            MergeAction::Delete { delete_token: _ } => Ok(Some(Verb::Delete)),
            MergeAction::DoNothing { .. } => Ok(None),
            MergeAction::Insert(_) | MergeAction::Update(_) => Err(Reason::Opaque),
        }
    }

    pub(super) fn values(&mut self, values: &Values) -> Walked {
        let Values {
            explicit_row,
            value_keyword,
            rows,
        } = values;
        if *explicit_row || *value_keyword {
            return Err(Reason::Opaque);
        }
        rows.iter().try_for_each(|row| self.all(&row.content))
    }

    fn one(&mut self, table: &TableWithJoins, verbs: &[Verb]) -> Walked {
        empty(&table.joins)?;
        self.written(&table.relation, verbs)
    }

    /// The table that is written, with an alias perhaps.
    fn written(&mut self, factor: &TableFactor, verbs: &[Verb]) -> Walked {
        let TableFactor::Table {
            name, args: None, ..
        } = factor
        else {
            return Err(Reason::Opaque);
        };
        self.target(name, verbs)?;
        // Met once more as what it reads; a CTE of its name is an error to the server.
        self.factor(factor)
    }
}
