//! Queries: what they read from, and which names their CTEs take out of sight.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not listed is another dialect's"
)]

use sqlparser::ast::{
    Cte, Distinct, Expr, Fetch, GroupByExpr, Ident, Join, JoinConstraint, JoinOperator,
    LimitClause, NamedWindowDefinition, NamedWindowExpr, ObjectName, OrderBy, OrderByExpr,
    OrderByKind, Query, Select, SelectFlavor, SelectItem, SelectItemQualifiedWildcardKind, SetExpr,
    TableAlias, TableFactor, TableWithJoins, WildcardAdditionalOptions, With,
};

use super::walk::Walk;
use crate::reason::Reason;

type Walked = Result<(), Reason>;

/// What no text of PostgreSQL makes sqlparser build.
pub(super) fn none<T>(part: Option<&T>) -> Walked {
    if part.is_some() {
        Err(Reason::Opaque)
    } else {
        Ok(())
    }
}

/// The same of a list.
pub(super) fn empty<T>(part: &[T]) -> Walked {
    if part.is_empty() {
        Ok(())
    } else {
        Err(Reason::Opaque)
    }
}

impl Walk<'_> {
    pub(super) fn query(&mut self, query: &Query) -> Walked {
        let Query {
            with,
            body,
            order_by,
            limit_clause,
            fetch,
            locks,
            for_clause,
            settings,
            format_clause,
            pipe_operators,
        } = query;
        // Locking clauses were taken out before.
        empty(locks)?;
        none(for_clause.as_ref())?;
        none(settings.as_ref())?;
        none(format_clause.as_ref())?;
        empty(pipe_operators)?;
        let outer = self.scopes.len();
        if let Some(with) = with {
            self.with(with)?;
        }
        self.set(body)?;
        // The rest of a cast's query does not become its result, but nor does it cost much.
        if let Some(order) = order_by {
            self.order(order)?;
        }
        if let Some(limit) = limit_clause {
            self.limit(limit)?;
        }
        if let Some(Fetch {
            with_ties: _,
            percent: _,
            quantity,
        }) = fetch
        {
            self.optional(quantity.as_ref())?;
        }
        self.scopes.truncate(outer);
        Ok(())
    }

    fn with(&mut self, with: &With) -> Walked {
        if with.recursive {
            for cte in &with.cte_tables {
                self.scopes.push(cte.alias.name.value.as_str().into());
            }
        }
        for cte in &with.cte_tables {
            let Cte {
                alias,
                query,
                from,
                materialized: _,
                closing_paren_token: _,
            } = cte;
            none(from.as_ref())?;
            self.alias(Some(alias))?;
            self.query(query)?;
            if !with.recursive {
                self.scopes.push(alias.name.value.as_str().into());
            }
        }
        Ok(())
    }

    fn set(&mut self, body: &SetExpr) -> Walked {
        // A chain of UNIONs leans to the left.
        let mut body = body;
        loop {
            match body {
                SetExpr::SetOperation {
                    left,
                    op: _,
                    set_quantifier: _,
                    right,
                } => {
                    self.set(right)?;
                    body = left;
                }
                SetExpr::Select(select) => return self.select(select),
                SetExpr::Query(query) => return self.query(query),
                SetExpr::Values(values) => return self.values(values),
                SetExpr::Insert(change)
                | SetExpr::Update(change)
                | SetExpr::Delete(change)
                | SetExpr::Merge(change) => return self.change(change),
                // Written as SELECT before.
                SetExpr::Table(_) => return Err(Reason::Opaque),
            }
        }
    }

    fn select(&mut self, select: &Select) -> Walked {
        let Select {
            select_token: _,
            optimizer_hints,
            distinct,
            select_modifiers,
            top,
            top_before_distinct: _,
            projection,
            exclude,
            into,
            from,
            lateral_views,
            prewhere,
            selection,
            connect_by,
            group_by,
            cluster_by,
            distribute_by,
            sort_by,
            having,
            named_window,
            qualify,
            window_before_qualify: _,
            value_table_mode,
            flavor,
        } = select;
        empty(optimizer_hints)?;
        none(select_modifiers.as_ref())?;
        none(top.as_ref())?;
        none(exclude.as_ref())?;
        none(into.as_ref())?;
        empty(lateral_views)?;
        none(prewhere.as_ref())?;
        empty(connect_by)?;
        empty(cluster_by)?;
        empty(distribute_by)?;
        empty(sort_by)?;
        none(qualify.as_ref())?;
        none(value_table_mode.as_ref())?;
        if *flavor != SelectFlavor::Standard {
            return Err(Reason::Opaque);
        }
        match distinct {
            Some(Distinct::On(list)) => self.all(list)?,
            Some(Distinct::All | Distinct::Distinct) | None => {}
        }
        self.items(projection)?;
        self.sources(from)?;
        self.optional(selection.as_ref())?;
        match group_by {
            GroupByExpr::Expressions(list, modifiers) => {
                empty(modifiers)?;
                self.all(list)?;
            }
            GroupByExpr::All(_) => return Err(Reason::Opaque),
        }
        self.optional(having.as_ref())?;
        for NamedWindowDefinition(name, window) in named_window {
            self.meet(name);
            match window {
                NamedWindowExpr::NamedWindow(name) => self.meet(name),
                NamedWindowExpr::WindowSpec(spec) => self.window(spec)?,
            }
        }
        Ok(())
    }

    /// A select list or RETURNING.
    pub(super) fn items(&mut self, items: &[SelectItem]) -> Walked {
        for item in items {
            match item {
                SelectItem::UnnamedExpr(expr) => self.expr(expr)?,
                SelectItem::ExprWithAlias { expr, alias } => {
                    self.meet(alias);
                    self.rename(alias, expr);
                    self.expr(expr)?;
                }
                SelectItem::QualifiedWildcard(kind, options) => {
                    wildcard(options)?;
                    match kind {
                        SelectItemQualifiedWildcardKind::ObjectName(name) => self.meet_all(name)?,
                        SelectItemQualifiedWildcardKind::Expr(expr) => self.expr(expr)?,
                    }
                    self.volatile |= self.moment;
                }
                SelectItem::Wildcard(options) => {
                    wildcard(options)?;
                    self.volatile |= self.moment;
                }
                SelectItem::ExprWithAliases { .. } => return Err(Reason::Opaque),
            }
        }
        Ok(())
    }

    /// Notes an alias that may be text where a column of its name is not.
    fn rename(&mut self, alias: &Ident, expr: &Expr) {
        let same = match expr {
            Expr::Identifier(column) => column.value == alias.value,
            Expr::CompoundIdentifier(parts) => parts
                .last()
                .is_some_and(|column| column.value == alias.value),
            Expr::Cast { .. } => super::expr::casts_to_moment(expr),
            _ => false,
        };
        if !same {
            self.renamed.insert(alias.value.as_str().into());
        }
    }

    pub(super) fn meet_all(&mut self, name: &ObjectName) -> Walked {
        for part in &name.0 {
            self.meet(part.as_ident().ok_or(Reason::Opaque)?);
        }
        Ok(())
    }

    pub(super) fn sources(&mut self, from: &[TableWithJoins]) -> Walked {
        from.iter().try_for_each(|table| self.source(table))
    }

    fn source(&mut self, table: &TableWithJoins) -> Walked {
        self.factor(&table.relation)?;
        for join in &table.joins {
            self.join(join)?;
        }
        Ok(())
    }

    fn join(&mut self, join: &Join) -> Walked {
        self.factor(&join.relation)?;
        match &join.join_operator {
            JoinOperator::Join(on)
            | JoinOperator::Inner(on)
            | JoinOperator::Left(on)
            | JoinOperator::LeftOuter(on)
            | JoinOperator::Right(on)
            | JoinOperator::RightOuter(on)
            | JoinOperator::FullOuter(on)
            | JoinOperator::CrossJoin(on) => match on {
                JoinConstraint::On(expr) => self.expr(expr),
                JoinConstraint::Using(columns) => {
                    self.found.operator("=");
                    columns.iter().try_for_each(|column| self.meet_all(column))
                }
                JoinConstraint::Natural => {
                    self.found.operator("=");
                    Ok(())
                }
                JoinConstraint::None => Ok(()),
            },
            _ => Err(Reason::Opaque),
        }
    }

    pub(super) fn factor(&mut self, factor: &TableFactor) -> Walked {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args,
                with_hints,
                version,
                with_ordinality: _,
                partitions,
                json_path,
                sample,
                index_hints,
            } => {
                empty(with_hints)?;
                none(version.as_ref())?;
                empty(partitions)?;
                none(json_path.as_ref())?;
                none(sample.as_ref())?;
                empty(index_hints)?;
                match args {
                    None => self.relation(name)?,
                    Some(arguments) => {
                        none(arguments.settings.as_ref())?;
                        self.table_call(name, &arguments.args, alias.as_ref())?;
                    }
                }
                self.alias(alias.as_ref())
            }
            TableFactor::Derived {
                lateral: _,
                subquery,
                alias,
                sample,
            } => {
                none(sample.as_ref())?;
                self.query(subquery)?;
                self.alias(alias.as_ref())
            }
            TableFactor::Function {
                lateral: _,
                name,
                args,
                with_ordinality: _,
                alias,
            } => {
                self.table_call(name, args, alias.as_ref())?;
                self.alias(alias.as_ref())
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias,
            } => {
                self.source(table_with_joins)?;
                self.alias(alias.as_ref())
            }
            _ => Err(Reason::Opaque),
        }
    }

    /// A function in FROM. Its columns have names that the text may not show.
    fn table_call(
        &mut self,
        name: &ObjectName,
        arguments: &[sqlparser::ast::FunctionArg],
        alias: Option<&TableAlias>,
    ) -> Walked {
        let count = u16::try_from(arguments.len()).map_err(|_error| Reason::OversizedQuery)?;
        if let Some(called) = self.call(name, Some(count))?
            && !matches!(&*called.name, "generate_series" | "unnest")
        {
            self.table_functions = true;
        }
        if let Some(alias) = alias {
            self.renamed.insert(alias.name.value.as_str().into());
        }
        self.arguments(arguments)
    }

    /// The name of a table or CTE in the query, and those of its columns.
    fn alias(&mut self, alias: Option<&TableAlias>) -> Walked {
        let Some(TableAlias {
            explicit: _,
            name,
            columns,
            at,
        }) = alias
        else {
            return Ok(());
        };
        none(at.as_ref())?;
        self.meet(name);
        for column in columns {
            none(column.data_type.as_ref())?;
            self.meet(&column.name);
            self.renamed.insert(column.name.value.as_str().into());
        }
        Ok(())
    }

    fn order(&mut self, order: &OrderBy) -> Walked {
        let OrderBy { kind, interpolate } = order;
        none(interpolate.as_ref())?;
        match kind {
            OrderByKind::Expressions(list) => self.order_list(list),
            OrderByKind::All(_) => Err(Reason::Opaque),
        }
    }

    pub(super) fn order_list(&mut self, list: &[OrderByExpr]) -> Walked {
        for OrderByExpr {
            expr,
            options: _,
            with_fill,
        } in list
        {
            none(with_fill.as_ref())?;
            self.expr(expr)?;
        }
        Ok(())
    }

    fn limit(&mut self, limit: &LimitClause) -> Walked {
        match limit {
            LimitClause::LimitOffset {
                limit,
                offset,
                limit_by,
            } => {
                empty(limit_by)?;
                self.optional(limit.as_ref())?;
                self.optional(offset.as_ref().map(|offset| &offset.value))
            }
            LimitClause::OffsetCommaLimit { .. } => Err(Reason::Opaque),
        }
    }
}

fn wildcard(options: &WildcardAdditionalOptions) -> Walked {
    let WildcardAdditionalOptions {
        wildcard_token: _,
        opt_ilike,
        opt_exclude,
        opt_except,
        opt_replace,
        opt_rename,
        opt_alias,
    } = options;
    none(opt_ilike.as_ref())?;
    none(opt_exclude.as_ref())?;
    none(opt_except.as_ref())?;
    none(opt_replace.as_ref())?;
    none(opt_rename.as_ref())?;
    none(opt_alias.as_ref())
}
