//! Queries at random, over the fixture, mostly such that Postgres has an answer.

use fastrand::Rng;

use super::fixture::RELATIONS;

/// What an expression is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Int,
    Text,
    Bool,
    Num,
    Date,
    Stamp,
    Json,
    Array,
}

impl Type {
    const ALL: [Self; 8] = [
        Self::Int,
        Self::Text,
        Self::Bool,
        Self::Num,
        Self::Date,
        Self::Stamp,
        Self::Json,
        Self::Array,
    ];

    /// The columns of this type.
    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Int => &["id", "n"],
            Self::Text => &["v"],
            Self::Bool => &["b"],
            Self::Num => &["q"],
            Self::Date => &["d"],
            Self::Stamp => &["ts"],
            Self::Json => &["j"],
            Self::Array => &["a"],
        }
    }
}

/// See the module's text.
pub(crate) struct Generator {
    pub(super) random: Rng,
    /// Names for tables in use.
    scope: Vec<String>,
    aliases: usize,
}

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            random: Rng::with_seed(seed),
            scope: Vec::new(),
            aliases: 0,
        }
    }

    pub(super) fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.random.usize(..of.len())]
    }

    /// True once in so many times.
    fn once_in(&mut self, n: u32) -> bool {
        self.random.u32(..n) == 0
    }

    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("r{}", self.aliases)
    }

    /// A whole statement.
    pub(crate) fn query(&mut self) -> String {
        self.scope.clear();
        self.aliases = 0;
        match self.random.u8(..20) {
            0 => {
                let relation = self.pick(&RELATIONS);
                format!("table {relation}")
            }
            1 => format!("values {}, {}", self.row(2), self.row(2)),
            2 => {
                let (types, width) = ([Type::Int, Type::Text], 2);
                let (a, b) = (self.select(&types, 1), self.select(&types, 1));
                let how = self.pick(&["union", "union all", "intersect", "except", "except all"]);
                format!("{a} {how} {b}{}", ordered(width))
            }
            3 => {
                let inner = self.select(&[Type::Int, Type::Text], 1);
                let outer = self.select(&[Type::Int], 2);
                let kind = self.pick(&["", "materialized ", "not materialized "]);
                format!(
                    "with c (x, y) as {kind}({inner}) select c.*, ({outer} limit 1) as z from c order by 1, 2, 3"
                )
            }
            4 => self.grouped(),
            5 => self.window(),
            6 => {
                let columns = self.types(2);
                let select = self.select(&columns, 2);
                format!("{select}{} limit {}", ordered(2), self.random.u8(..4))
            }
            7 => {
                let columns = self.types(2);
                format!("({})", self.select(&columns, 2))
            }
            8 => self.lateral(),
            _ => {
                let count = self.random.usize(1..4);
                let columns = self.types(count);
                self.select(&columns, 3)
            }
        }
    }

    fn types(&mut self, count: usize) -> Vec<Type> {
        let any = |random: &mut Rng| Type::ALL[random.usize(..Type::ALL.len())];
        (0..count).map(|_| any(&mut self.random)).collect()
    }

    fn row(&mut self, depth: u8) -> String {
        format!(
            "({}, {})",
            self.of(Type::Int, depth),
            self.of(Type::Text, depth)
        )
    }

    /// FROM one relation or two; their names are in scope from here.
    fn from(&mut self) -> String {
        let mut text = String::new();
        for number in 0..self.random.usize(1..3) {
            let (relation, alias) = (self.pick(&RELATIONS), self.alias());
            let only = if self.once_in(15) && relation.starts_with("inh") {
                "only "
            } else {
                ""
            };
            let sample = if self.once_in(40) && !relation.starts_with("v_") {
                " tablesample bernoulli (60)"
            } else {
                ""
            };
            if number == 0 {
                text += &format!("{only}{relation} as {alias}{sample}");
            } else {
                let join = self.pick(&["join", "left join", "full join"]);
                let first = self.scope[self.scope.len() - 1].clone();
                text +=
                    &format!(" {join} {only}{relation} {alias}{sample} on {first}.id = {alias}.id");
            }
            self.scope.push(alias);
        }
        text
    }

    pub(super) fn select(&mut self, columns: &[Type], depth: u8) -> String {
        let outer = self.scope.len();
        let from = self.from();
        let list: Vec<String> = columns
            .iter()
            .map(|column| self.of(*column, depth))
            .collect();
        let list = list.join(", ");
        let condition = if self.random.bool() {
            format!(" where {}", self.of(Type::Bool, depth))
        } else {
            String::new()
        };
        let distinct = if self.once_in(12) && !columns.contains(&Type::Json) {
            "distinct "
        } else {
            ""
        };
        let lock = if self.once_in(60) && outer == 0 && distinct.is_empty() {
            " for update"
        } else {
            ""
        };
        self.scope.truncate(outer);
        format!("select {distinct}{list} from {from}{condition}{lock}")
    }

    fn grouped(&mut self) -> String {
        let from = self.from();
        let (key, inner, filter) = (
            self.of(Type::Int, 1),
            self.of(Type::Int, 1),
            self.of(Type::Bool, 1),
        );
        let text = self.of(Type::Text, 1);
        let more = self.pick(&["", " filter (where true)"]);
        let group = self.pick(&["1", "rollup (1)", "1 having count(*) > 0"]);
        let group = if group == "rollup (1)" {
            format!("rollup ({key})")
        } else {
            group.to_owned()
        };
        format!(
            "select {key}, count(*), sum({inner}){more}, string_agg({text}, ',' order by {text}), bool_or({filter}), \
             json_agg({inner} order by {inner}) from {from} group by {group}"
        )
    }

    fn window(&mut self) -> String {
        let from = self.from();
        let (part, order) = (self.of(Type::Int, 1), self.of(Type::Int, 1));
        let function = self.pick(&["row_number()", "rank()", "count(*)", "dense_rank()"]);
        let value = self.of(Type::Text, 1);
        format!(
            "select count(*), max(w), min(x) from (select {function} over (partition by {part} order by {order}) as w, \
             {value} as x from {from}) s"
        )
    }

    fn lateral(&mut self) -> String {
        let from = self.from();
        let inner = self.select(&[Type::Int], 1);
        let function = self.pick(&[
            "generate_series(1, 3) l (x)",
            "unnest(array[1, 2]) with ordinality l (x, o)",
            "jsonb_array_elements('[1, 2]') l (x)",
            "(values (1), (2)) l (x)",
        ]);
        let outer = self.of(Type::Int, 1);
        format!(
            "select l.x, {outer}, m.* from {from} cross join {function} cross join lateral ({inner} limit 1) m (y) order by 1, 2, 3"
        )
    }

    /// An expression of this type.
    pub(super) fn of(&mut self, of: Type, depth: u8) -> String {
        if self.once_in(60) {
            return self.unusual(of);
        }
        if depth == 0 || self.once_in(3) {
            return self.leaf(of);
        }
        if self.once_in(8) {
            return self.common(of, depth - 1);
        }
        let depth = depth - 1;
        match of {
            Type::Int => self.int(depth),
            Type::Text => self.text(depth),
            Type::Bool => self.bool(depth),
            Type::Num => self.num(depth),
            Type::Date => self.date(depth),
            Type::Stamp => self.stamp(depth),
            Type::Json => self.json(depth),
            Type::Array => self.array(depth),
        }
    }

    pub(super) fn leaf(&mut self, of: Type) -> String {
        if !self.scope.is_empty() && !self.once_in(4) {
            let place = self.random.usize(..self.scope.len());
            let column = self.pick(of.columns());
            return format!("{}.{column}", self.scope[place]);
        }
        let literals: &[&str] = match of {
            Type::Int => &[
                "1",
                "-7",
                "0",
                "2147483647",
                "'3'::int",
                "int '4'",
                "null::int",
            ],
            Type::Text => &[
                "'one'",
                "''",
                "'it''s'",
                "E'a\\tb'",
                "U&'d\\0061t'",
                "$$now()$$",
                "'straße'",
                "'%o%'",
                "null::text",
            ],
            Type::Bool => &["true", "false", "'t'::bool", "null::bool"],
            Type::Num => &["1.5", "-0.001", "1e3::numeric", "'NaN'::numeric"],
            Type::Date => &[
                "'2024-02-29'::date",
                "date '1999-12-31'",
                "make_date(2024, 1, 2)",
            ],
            Type::Stamp => &[
                "'2024-07-01 12:00Z'::timestamptz",
                "timestamptz 'epoch'",
                "to_timestamp(0)",
            ],
            Type::Json => &["'{\"k\": 1}'::jsonb", "'[1, 2]'::jsonb", "'null'::jsonb"],
            Type::Array => &["array[1, 2]", "'{1,2}'::int[]", "'{}'::int[]"],
        };
        self.pick(literals).to_owned()
    }

    /// What is not to be remembered, or is not a read at all.
    fn unusual(&mut self, of: Type) -> String {
        let words: &[&str] = match of {
            Type::Int => &[
                "nextval('sq')::int",
                "f_writes('gen')::int",
                "(random() * 1000)::int",
                "pg_backend_pid()",
                "extract(microseconds from clock_timestamp())::int",
                "txid_current()::int",
                "length(f_reads(1))",
                "(select count(*)::int from pg_class)",
                "(select last_value::int from sq)",
                "pg_my_temp_schema()::int",
            ],
            Type::Text => &[
                "f_reads(1)",
                "current_user::text",
                "now()::text",
                "clock_timestamp()::text",
                "'x'::dvol::text",
                "row(1, 2, 3)::rgb::text",
                "gen_random_uuid()::text",
                "md5(random()::text)",
                "current_setting('application_name')",
                "timeofday()",
                "inet_client_port()::text",
                "query_to_xml('select random()', true, false, '')::text",
            ],
            Type::Bool => &[
                "('a' === 'b'::text)",
                "random() < 0.5",
                "has_table_privilege('t', 'select')",
                "pg_try_advisory_xact_lock(1)",
                "f_writes('bool') > 0",
                "exists (select f_writes('exists'))",
            ],
            Type::Num => &["random()::numeric", "extract(epoch from clock_timestamp())"],
            Type::Date => &[
                "current_date",
                "'today'::date",
                "date 'tomorrow'",
                "now()::date",
            ],
            Type::Stamp => &[
                "now()",
                "current_timestamp",
                "'now'::timestamptz",
                "statement_timestamp()",
                "(select at from v_now)",
            ],
            Type::Json => &[
                "to_jsonb(random())",
                "jsonb_build_object('at', clock_timestamp())",
            ],
            Type::Array => &[
                "array[(random() * 100)::int]",
                "array[f_writes('array')::int]",
            ],
        };
        self.pick(words).to_owned()
    }

    /// Forms that any type takes.
    fn common(&mut self, of: Type, depth: u8) -> String {
        match self.random.u8(..4) {
            0 => {
                let (condition, a, b) = (
                    self.of(Type::Bool, depth),
                    self.of(of, depth),
                    self.of(of, depth),
                );
                format!("case when {condition} then {a} else {b} end")
            }
            1 => format!("coalesce({}, {})", self.of(of, depth), self.of(of, depth)),
            2 if of != Type::Json && of != Type::Bool && of != Type::Array => {
                let inner = self.select(&[of], depth);
                format!("(select max(x) from ({inner}) s (x))")
            }
            _ => format!("({})", self.of(of, depth)),
        }
    }
}

/// By every column, so that it is the same each time.
fn ordered(columns: usize) -> String {
    let columns: Vec<String> = (1..=columns).map(|column| column.to_string()).collect();
    format!(" order by {}", columns.join(", "))
}
