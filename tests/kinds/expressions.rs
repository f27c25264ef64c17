//! Expressions of each type, over further ones.

use super::generator::{Generator, Type};

impl Generator {
    pub(super) fn int(&mut self, depth: u8) -> String {
        let (a, b) = (self.of(Type::Int, depth), self.of(Type::Int, depth));
        match self.random.u8(..10) {
            0 => format!("length({})", self.of(Type::Text, depth)),
            1 => format!(
                "(select count(*)::int from ({}) s)",
                self.select(&[Type::Int], depth)
            ),
            2 => format!("cardinality({})", self.of(Type::Array, depth)),
            3 => format!("extract(year from {})::int", self.of(Type::Date, depth)),
            4 => format!("position('o' in {})", self.of(Type::Text, depth)),
            5 => format!("greatest({a}, {b})"),
            6 => format!("({})[1]", self.of(Type::Array, depth)),
            7 => format!("date_part('day', {})::int", self.of(Type::Stamp, depth)),
            _ => {
                let operator = self.pick(&["+", "-", "*", "|", "#"]);
                format!("(({a}) % 1000 {operator} ({b}) % 1000)")
            }
        }
    }

    pub(super) fn text(&mut self, depth: u8) -> String {
        let a = self.of(Type::Text, depth);
        match self.random.u8(..14) {
            0 => format!("upper({a})"),
            1 => format!("substring({a} from 2 for 2)"),
            2 => format!("({a}) || ({})", self.of(Type::Text, depth)),
            3 => format!(
                "concat({a}, {}, {})",
                self.of(Type::Int, depth),
                self.of(Type::Date, depth)
            ),
            4 => format!(
                "to_char({}, 'YYYY-MM-DD HH24')",
                self.of(Type::Stamp, depth)
            ),
            5 => format!("format('%s-%L', {}, {a})", self.of(Type::Int, depth)),
            6 => format!("({})::text", self.of(Type::Int, depth)),
            7 => format!("({}) ->> 'k'", self.of(Type::Json, depth)),
            8 => format!("trim(both 'o' from {a})"),
            9 => format!(
                "(select string_agg(x, ',' order by x) from ({}) s (x))",
                self.select(&[Type::Text], depth)
            ),
            10 => format!("cast({} as varchar(20))", self.of(Type::Num, depth)),
            11 => format!("regexp_replace({a}, '[aeiou]', '-', 'g')"),
            12 => format!("to_json({})::text", self.of(Type::Stamp, depth)),
            _ => format!("md5({a})"),
        }
    }

    pub(super) fn bool(&mut self, depth: u8) -> String {
        let (a, b) = (self.of(Type::Int, depth), self.of(Type::Int, depth));
        match self.random.u8(..13) {
            0 => format!("({}) like '%o%'", self.of(Type::Text, depth)),
            1 => format!("({a}) in ({b}, 1, 2)"),
            2 => format!("exists ({})", self.select(&[Type::Int], depth)),
            3 => format!("({a}) in ({})", self.select(&[Type::Int], depth)),
            4 => format!("({a}) between 1 and ({b})"),
            5 => format!("({}) is not null", self.of(Type::Text, depth)),
            6 => format!("not ({})", self.of(Type::Bool, depth)),
            7 => format!(
                "({}) {} ({})",
                self.of(Type::Bool, depth),
                self.pick(&["and", "or"]),
                self.of(Type::Bool, depth)
            ),
            8 => format!("({a}) = any ({})", self.of(Type::Array, depth)),
            9 => format!("({}) @> '{{\"k\": 1}}'", self.of(Type::Json, depth)),
            10 => format!("({}) similar to '(o|t)%'", self.of(Type::Text, depth)),
            11 => format!(
                "({}) < ({})",
                self.of(Type::Date, depth),
                self.of(Type::Date, depth)
            ),
            _ => format!(
                "({a}) {} ({b})",
                self.pick(&["=", "<>", "<", ">=", "is distinct from"])
            ),
        }
    }

    pub(super) fn num(&mut self, depth: u8) -> String {
        let a = self.of(Type::Num, depth);
        match self.random.u8(..4) {
            0 => format!("round({a}, 2)"),
            1 => format!("({})::numeric", self.of(Type::Int, depth)),
            2 => format!("abs({a})"),
            _ => format!("({a}) + ({})", self.of(Type::Num, depth)),
        }
    }

    pub(super) fn date(&mut self, depth: u8) -> String {
        match self.random.u8(..4) {
            0 => format!("({})::date", self.of(Type::Stamp, depth)),
            1 => format!("({}) + 1", self.of(Type::Date, depth)),
            2 => "(date '2024-01-01' + interval '1 month')::date".to_owned(),
            _ => self.leaf(Type::Date),
        }
    }

    pub(super) fn stamp(&mut self, depth: u8) -> String {
        match self.random.u8(..4) {
            0 => format!("date_trunc('month', {})", self.of(Type::Stamp, depth)),
            1 => format!(
                "({}) + interval '1 day 2 hours'",
                self.of(Type::Stamp, depth)
            ),
            2 => format!("({})::timestamptz", self.of(Type::Date, depth)),
            _ => format!(
                "({} at time zone 'Asia/Tokyo') at time zone 'UTC'",
                self.leaf(Type::Stamp)
            ),
        }
    }

    pub(super) fn json(&mut self, depth: u8) -> String {
        match self.random.u8(..5) {
            0 => format!("to_jsonb({})", self.of(Type::Text, depth)),
            1 => format!("jsonb_build_object('k', {})", self.of(Type::Int, depth)),
            2 => format!("({}) -> 'a'", self.of(Type::Json, depth)),
            3 => format!(
                "(select jsonb_agg(x order by x) from ({}) s (x))",
                self.select(&[Type::Int], depth)
            ),
            _ => self.leaf(Type::Json),
        }
    }

    pub(super) fn array(&mut self, depth: u8) -> String {
        match self.random.u8(..4) {
            0 => format!(
                "array[{}, {}]",
                self.of(Type::Int, depth),
                self.of(Type::Int, depth)
            ),
            1 => format!(
                "({}) || ({})",
                self.of(Type::Array, depth),
                self.of(Type::Int, depth)
            ),
            2 => format!("array({} order by 1)", self.select(&[Type::Int], depth)),
            _ => self.leaf(Type::Array),
        }
    }
}
