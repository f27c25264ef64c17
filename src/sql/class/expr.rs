//! Expressions: what they call, which columns they cast, which queries they hold.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not listed is another dialect's, or was written in another way before"
)]

use sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, DataType, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentClause, FunctionArgumentList, FunctionArguments, Ident, ObjectName,
    ObjectNamePart, Subscript, WindowFrame, WindowFrameBound, WindowSpec, WindowType,
};

use super::QName;
use super::query::none;
use super::rewrite::mark;
use super::typename::{self, Family};
use super::walk::Walk;
use crate::reason::Reason;

type Walked = Result<(), Reason>;

/// Functions whose result is no text made up from their arguments; inside a cast to a moment the
/// columns among their arguments say enough.
const NO_TEXT: &[&str] = &[
    "abs",
    "age",
    "array_agg",
    "avg",
    "ceil",
    "count",
    "date",
    "date_bin",
    "date_part",
    "date_trunc",
    "extract",
    "floor",
    "generate_series",
    "greatest",
    "justify_days",
    "lag",
    "last_value",
    "lead",
    "first_value",
    "make_date",
    "make_interval",
    "make_time",
    "make_timestamp",
    "make_timestamptz",
    "max",
    "min",
    "now",
    "round",
    "sum",
    "timezone",
    "to_date",
    "to_timestamp",
    "trunc",
    "unnest",
];

/// Whether the value is plainly a moment, which is no text.
pub(super) fn casts_to_moment(expr: &Expr) -> bool {
    match expr {
        Expr::Cast { data_type, .. } => marked_type(data_type) == Some("moment"),
        _ => false,
    }
}

/// What the rewriting made of a cast's type.
fn marked_type(data_type: &DataType) -> Option<&str> {
    let DataType::Custom(ObjectName(parts), modifiers) = data_type else {
        return None;
    };
    match parts.as_slice() {
        [ObjectNamePart::Identifier(name)]
            if name.span.start.column == mark::TYPE && modifiers.is_empty() =>
        {
            Some(&name.value)
        }
        _ => None,
    }
}

impl Walk<'_> {
    pub(super) fn optional(&mut self, expr: Option<&Expr>) -> Walked {
        expr.map_or(Ok(()), |expr| self.expr(expr))
    }

    pub(super) fn all(&mut self, list: &[Expr]) -> Walked {
        list.iter().try_for_each(|expr| self.expr(expr))
    }

    pub(super) fn expr(&mut self, expr: &Expr) -> Walked {
        let moment = self.moment;
        let done = self.chain(expr);
        self.moment = moment;
        done
    }

    /// Chains of operators and casts lean to the left, so the left side is walked in a loop.
    fn chain(&mut self, expr: &Expr) -> Walked {
        let mut expr = expr;
        loop {
            expr = match expr {
                Expr::BinaryOp { left, op, right } => {
                    if *op == BinaryOperator::StringConcat {
                        self.volatile |= self.moment;
                    }
                    self.expr(right)?;
                    left
                }
                Expr::AnyOp {
                    left,
                    compare_op: _,
                    right,
                    is_some: _,
                }
                | Expr::AllOp {
                    left,
                    compare_op: _,
                    right,
                } => {
                    self.expr(right)?;
                    left
                }
                Expr::Cast {
                    kind: CastKind::Cast | CastKind::DoubleColon,
                    expr,
                    data_type,
                    format,
                } => {
                    none(format.as_ref())?;
                    self.cast(data_type)?;
                    expr
                }
                Expr::Nested(inner) => inner,
                Expr::UnaryOp { op: _, expr } => expr,
                Expr::Between {
                    expr,
                    negated: _,
                    low,
                    high,
                } => {
                    self.found.compares(&[">=", "<=", "<", ">"]);
                    self.expr(low)?;
                    self.expr(high)?;
                    expr
                }
                Expr::InList {
                    expr,
                    list,
                    negated: _,
                } => {
                    self.all(list)?;
                    expr
                }
                Expr::InSubquery {
                    expr,
                    subquery,
                    negated: _,
                } => {
                    self.query(subquery)?;
                    expr
                }
                Expr::CompoundFieldAccess { root, access_chain } => {
                    self.accesses(access_chain)?;
                    root
                }
                _ => return self.leaf(expr),
            };
        }
    }

    fn cast(&mut self, data_type: &DataType) -> Walked {
        match marked_type(data_type) {
            Some("plain") => {}
            Some("moment" | "unknown") => self.moment = true,
            _ => return Err(Reason::Opaque),
        }
        Ok(())
    }

    fn leaf(&mut self, expr: &Expr) -> Walked {
        match expr {
            Expr::Identifier(name) => self.column(name, &[]),
            Expr::CompoundIdentifier(parts) => {
                if let [first, rest @ ..] = parts.as_slice() {
                    self.column(first, rest)?;
                }
                Ok(())
            }
            Expr::Value(_) => Ok(()),
            Expr::Function(function) => self.function(function),
            Expr::Case {
                case_token: _,
                end_token: _,
                operand,
                conditions,
                else_result,
            } => {
                if operand.is_some() {
                    self.found.operator("=");
                }
                self.optional(operand.as_deref())?;
                for when in conditions {
                    self.expr(&when.condition)?;
                    self.expr(&when.result)?;
                }
                self.optional(else_result.as_deref())
            }
            Expr::Exists {
                subquery,
                negated: _,
            }
            | Expr::Subquery(subquery) => self.query(subquery),
            Expr::Tuple(list) => self.all(list),
            Expr::Array(array) => self.all(&array.elem),
            Expr::GroupingSets(sets) | Expr::Cube(sets) | Expr::Rollup(sets) => {
                sets.iter().try_for_each(|set| self.all(set))
            }
            Expr::Wildcard(_) => {
                self.volatile |= self.moment;
                Ok(())
            }
            Expr::QualifiedWildcard(name, _) => {
                self.volatile |= self.moment;
                self.meet_all(name)
            }
            _ => Err(Reason::Opaque),
        }
    }

    /// A column, behind the names of its table and schema or in front of its fields.
    fn column(&mut self, first: &Ident, rest: &[Ident]) -> Walked {
        self.meet(first);
        for part in rest {
            self.meet(part);
            self.found.attributes.insert(part.value.as_str().into());
        }
        let column = rest.last().unwrap_or(first);
        // Row locks change it, and they write nothing that anybody follows.
        self.volatile |= column.value == "xmax";
        if self.moment {
            self.found
                .datetime_casts
                .insert(column.value.as_str().into());
        }
        Ok(())
    }

    /// `(x).date` casts a text as `x::date` does.
    fn field(&mut self, name: &str) {
        self.found.fields.insert(name.into());
        let name = QName::bare(name);
        match typename::family(&name) {
            Family::Moment => self.moment = true,
            Family::Plain => {}
            Family::Unknown => return,
        }
        self.found.types.insert(name);
    }

    fn accesses(&mut self, chain: &[AccessExpr]) -> Walked {
        for access in chain {
            match access {
                AccessExpr::Dot(Expr::Identifier(field)) => {
                    self.meet(field);
                    self.volatile |= self.moment;
                    self.field(&field.value);
                }
                AccessExpr::Subscript(Subscript::Index { index }) => self.expr(index)?,
                AccessExpr::Subscript(Subscript::Slice {
                    lower_bound,
                    upper_bound,
                    stride,
                }) => {
                    none(stride.as_ref())?;
                    self.optional(lower_bound.as_ref())?;
                    self.optional(upper_bound.as_ref())?;
                }
                AccessExpr::Dot(_) => return Err(Reason::Opaque),
            }
        }
        Ok(())
    }

    fn function(&mut self, function: &Function) -> Walked {
        let Function {
            name,
            uses_odbc_syntax,
            parameters,
            args,
            within_group,
            filter,
            null_treatment: _,
            over,
        } = function;
        if *uses_odbc_syntax || *parameters != FunctionArguments::None {
            return Err(Reason::Opaque);
        }
        let count = match args {
            FunctionArguments::List(list) if within_group.is_empty() => count(list)?,
            FunctionArguments::List(_) => None,
            FunctionArguments::Subquery(_) => Some(1),
            FunctionArguments::None => return Err(Reason::Opaque),
        };
        let called = self.call(name, count)?;
        if let Some(called) = &called {
            self.casts(called, count);
        }
        match args {
            FunctionArguments::List(list) => self.argument_list(list)?,
            FunctionArguments::Subquery(query) => self.query(query)?,
            FunctionArguments::None => {}
        }
        self.order_list(within_group)?;
        self.optional(filter.as_deref())?;
        match over {
            Some(WindowType::WindowSpec(spec)) => self.window(spec),
            Some(WindowType::NamedWindow(name)) => {
                self.meet(name);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// `date(x)` is a cast if no function of that name takes an `x`; and a function inside a cast
    /// may make up a text.
    fn casts(&mut self, called: &QName, arguments: Option<u16>) {
        if self.moment && !NO_TEXT.contains(&&*called.name) {
            self.volatile = true;
        }
        let family = typename::family(called);
        if arguments.is_none_or(|count| count == 1) && family != Family::Unknown {
            self.found.types.insert(called.clone());
            self.moment |= family == Family::Moment;
        }
    }

    fn argument_list(&mut self, list: &FunctionArgumentList) -> Walked {
        let FunctionArgumentList {
            duplicate_treatment: _,
            args,
            clauses,
        } = list;
        self.arguments(args)?;
        for clause in clauses {
            match clause {
                FunctionArgumentClause::OrderBy(list) => self.order_list(list)?,
                _ => return Err(Reason::Opaque),
            }
        }
        Ok(())
    }

    pub(super) fn arguments(&mut self, arguments: &[FunctionArg]) -> Walked {
        for argument in arguments {
            let value = match argument {
                FunctionArg::Unnamed(value) => value,
                FunctionArg::Named {
                    name,
                    arg,
                    operator: _,
                } => {
                    self.meet(name);
                    arg
                }
                FunctionArg::ExprNamed {
                    name: Expr::Identifier(name),
                    arg,
                    operator: _,
                } => {
                    self.meet(name);
                    arg
                }
                FunctionArg::ExprNamed { .. } => return Err(Reason::Opaque),
            };
            match value {
                FunctionArgExpr::Expr(expr) => self.expr(expr)?,
                FunctionArgExpr::QualifiedWildcard(name) => {
                    self.volatile |= self.moment;
                    self.meet_all(name)?;
                }
                FunctionArgExpr::Wildcard => {}
                FunctionArgExpr::WildcardWithOptions(_) => return Err(Reason::Opaque),
            }
        }
        Ok(())
    }

    pub(super) fn window(&mut self, window: &WindowSpec) -> Walked {
        let WindowSpec {
            window_name,
            partition_by,
            order_by,
            window_frame,
        } = window;
        if let Some(name) = window_name {
            self.meet(name);
        }
        self.all(partition_by)?;
        self.order_list(order_by)?;
        let Some(WindowFrame {
            units: _,
            start_bound,
            end_bound,
        }) = window_frame
        else {
            return Ok(());
        };
        self.bound(start_bound)?;
        end_bound.as_ref().map_or(Ok(()), |bound| self.bound(bound))
    }

    fn bound(&mut self, bound: &WindowFrameBound) -> Walked {
        match bound {
            WindowFrameBound::CurrentRow => Ok(()),
            WindowFrameBound::Preceding(expr) | WindowFrameBound::Following(expr) => {
                self.optional(expr.as_deref())
            }
        }
    }
}

/// How many arguments a call has; `count(*)` has none.
fn count(list: &FunctionArgumentList) -> Result<Option<u16>, Reason> {
    if let [FunctionArg::Unnamed(FunctionArgExpr::Wildcard)] = list.args.as_slice() {
        return Ok(Some(0));
    }
    u16::try_from(list.args.len())
        .map(Some)
        .map_err(|_error| Reason::OversizedQuery)
}
