//! `pgweir explain` as a person and a program meet it, and that a proxy does what it says.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::support::eventually;
use crate::support::postgres::Postgres;
use crate::support::proxy::Proxy;
use crate::support::wire::{Client, Reply};

const FIXTURE: &str = "
create table customers (id int primary key, name text, born date);
create table orders (id int primary key, customer int references customers on delete cascade, total numeric);
create table notes (id int primary key, body text);
create table log (what text);
create view totals as select c.name, sum(o.total) as total
  from customers c join orders o on o.customer = c.id group by c.name;
create view recent as select id from orders where now() > '2020-01-01';
create function noted() returns trigger language plpgsql as
  $$ begin insert into log values ('x'); return new; end $$;
create trigger note_it after insert or update on notes for each row execute function noted();
create function slug(text) returns text language sql volatile as 'select lower($1)';
create sequence s;
create table mine (id int, owner text);
alter table mine enable row level security;
create policy own on mine using (owner = current_user);
";

fn explain(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pgweir"));
    command
        .arg("explain")
        .args(arguments)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

struct World {
    postgres: Postgres,
    url: String,
}

impl World {
    fn new() -> Self {
        let postgres = Postgres::start();
        postgres.admin().run(FIXTURE);
        let url = format!("postgres://postgres@{}/postgres", postgres.address);
        Self { postgres, url }
    }

    fn run(&self, query: &str, more: &[&str]) -> Output {
        let output = explain(&[&[query, "--upstream", &self.url], more].concat())
            .output()
            .unwrap();
        assert!(output.status.success(), "{query}: {output:?}");
        assert_eq!(text(&output.stderr), "", "{query}");
        output
    }

    fn people(&self, query: &str) -> String {
        text(&self.run(query, &[]).stdout)
    }

    fn json(&self, query: &str) -> Value {
        self.json_with(query, &[])
    }

    fn json_with(&self, query: &str, more: &[&str]) -> Value {
        let output = self.run(query, &[&["--json"], more].concat());
        let value = serde_json::from_slice(&output.stdout).unwrap();
        check(&value);
        value
    }
}

/// That a program finds what the schema promises, and of the kind that it promises.
fn check(value: &Value) {
    let strings = |value: &Value| value.as_array().unwrap().iter().all(Value::is_string);
    let maybe = |value: &Value| value.is_null() || value.is_string();
    let relations = |value: &Value| {
        let mut all = value.as_array().unwrap().iter();
        all.all(|it| it["name"].is_string() && it["kind"].is_string())
    };
    assert_eq!(value["version"], 1);
    let cached = value["cached"].as_bool().unwrap();
    for member in ["reason", "because"] {
        assert_eq!(value[member].is_null(), cached, "{member}");
        assert!(maybe(&value[member]));
    }
    for member in [
        "sentence",
        "class",
        "level",
        "decided_by",
        "mode",
        "shape",
        "fingerprint",
    ] {
        assert!(value[member].is_string(), "{member}");
    }
    assert!(
        maybe(&value["class_reason"]) && value["hint"].get("text").is_none_or(Value::is_string)
    );
    for verdict in value["objects"].as_array().unwrap() {
        let ok = verdict["ok"].as_bool().unwrap();
        assert!(verdict["reason"].is_null() == ok && verdict["writes_anything"].is_boolean());
        assert!(maybe(&verdict["within"]) && !verdict["why"].as_str().unwrap().is_empty());
        let object = verdict["object"].as_str().unwrap();
        let known = [
            "relation", "function", "operator", "type", "column", "other",
        ];
        assert!(known.contains(&object) && verdict["name"].is_string());
    }
    assert!(value["ttl_ms"].is_u64() && value["swr_ms"].is_u64());
    assert!(strings(&value["moments"]));
    let key = &value["key"];
    assert!(key["database"].is_string() && key["user"].is_string() && key["text"].is_string());
    for list in [
        "always",
        "neutral",
        "neutral_beginnings",
        "neutral_endings",
        "forbidding",
    ] {
        assert!(strings(&key["settings"][list]), "{list}");
    }
    assert!(relations(&value["depends"]) && relations(&value["writes"]["relations"]));
    assert!(value["targets"].is_array() && maybe(&value["writes"]["reason"]));
    let scope = value["writes"]["scope"].as_str().unwrap();
    assert!(["nothing", "relations", "everything", "definitions"].contains(&scope));
}

fn names(list: &Value) -> Vec<&str> {
    let list = list.as_array().unwrap().iter();
    list.map(|it| it["name"].as_str().unwrap()).collect()
}

fn object<'v>(value: &'v Value, name: &str) -> &'v Value {
    let mut all = value["objects"].as_array().unwrap().iter();
    all.find(|it| it["name"] == name).unwrap_or(&Value::Null)
}

#[test]
fn a_read_over_a_view_is_cached_and_seen_through() {
    let world = World::new();
    let query = "select name from totals where total > 10";
    let value = world.json(query);
    assert_eq!(
        (&value["cached"], &value["class"]),
        (&true.into(), &"read".into())
    );
    let depends = ["public.customers", "public.orders", "public.totals"];
    assert_eq!(names(&value["depends"]), depends);
    assert_eq!(
        (&value["ttl_ms"], &value["swr_ms"]),
        (&60_000.into(), &15_000.into())
    );
    assert_eq!(object(&value, "public.orders")["within"], "public.totals");
    assert_eq!(object(&value, "sum")["within"], "public.totals");
    assert!(object(&value, ">")["ok"].as_bool().unwrap());
    assert_eq!(value["writes"]["scope"], "nothing");

    let text = world.people(query);
    assert!(
        text.starts_with("This query is cached for 60 s (level ryw)"),
        "{text}"
    );
    for wanted in [
        "class       read\n",
        "a write to public.orders\n",
        "public.totals: a view",
        "ok  public.customers (in public.totals): a table",
        "TimeZone",
        value["fingerprint"].as_str().unwrap(),
        "the settings cache.level and cache.ttl",
    ] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
}

#[test]
fn what_is_never_cached_says_why() {
    let world = World::new();
    for (query, reason, sentence) in [
        (
            "select * from orders where now() > '2020-01-01'",
            "volatile",
            "because it calls now(), which depends on the clock",
        ),
        (
            "select * from recent",
            "volatile",
            "because public.recent calls now(), which depends on the clock",
        ),
        (
            "select * from customers where born = 'today'",
            "moment",
            "because a literal or parameter may mean a moment, as 'today' does: 'today'",
        ),
        (
            "select * from mine",
            "rowsecurity",
            "because a relation is under row security: public.mine is under row security",
        ),
        (
            "select * from nowhere",
            "unknownrelation",
            "because it names a relation that is not known: nowhere is not known",
        ),
        (
            "selct * frm orders",
            "parseerror",
            "because the text is not understood",
        ),
        (
            "select 'unended",
            "parseerror",
            "because the text is not understood",
        ),
        ("select 1; select 2", "multiplestatements", "more than one"),
        ("select * from pg_class", "catalog", "system catalogs"),
        ("select * from orders for update", "locks", "it locks rows"),
        (
            "/* pgweir: nocache */ select * from orders",
            "hint",
            "a hint in front of it asks for the database",
        ),
        (
            "/* pgweir: nonsense */ select * from orders",
            "hint",
            "`nonsense` is not known",
        ),
    ] {
        let value = world.json(query);
        assert_eq!(value["reason"], reason, "{query}: {value:#}");
        let people = world.people(query);
        assert!(people.contains(sentence), "{query}: {people}");
        assert!(
            people.starts_with(value["sentence"].as_str().unwrap()),
            "{people}"
        );
    }
    // Everything that is wrong is listed, not the first of it.
    let value = world.json("select random(), now(), lower(name) from customers, mine");
    for (name, ok) in [
        ("random", false),
        ("now", false),
        ("lower", true),
        ("public.mine", false),
    ] {
        assert_eq!(object(&value, name)["ok"], ok, "{name}: {value:#}");
    }
}

#[test]
fn a_write_says_what_it_makes_stale() {
    let world = World::new();
    let value = world.json("delete from customers where id = 1");
    assert_eq!(value["writes"]["scope"], "relations");
    let relations = names(&value["writes"]["relations"]);
    assert!(relations.contains(&"public.orders"), "{relations:?}");
    assert!(relations.contains(&"public.customers"), "{relations:?}");
    assert_eq!(
        value["targets"][0],
        serde_json::json!({"verb": "delete", "name": "customers"})
    );

    let query = "insert into notes values (1, 'x')";
    let value = world.json(query);
    assert_eq!(value["writes"]["scope"], "everything");
    let because = value["writes"]["because"].as_str().unwrap();
    assert!(
        because.contains("trigger note_it on public.notes"),
        "{because}"
    );
    assert!(
        world
            .people(query)
            .contains("Say in [cache.functions] or [cache.triggers]")
    );

    let value = world.json("select slug(body) from notes");
    assert_eq!(value["writes"]["scope"], "everything");
    assert_eq!(object(&value, "slug")["writes_anything"], true);
    assert_eq!(
        world.json("create table t (id int)")["writes"]["scope"],
        "definitions"
    );
}

#[test]
fn settings_come_as_for_serve() {
    let world = World::new();
    let query = "select * from orders where id = 7";
    let fingerprint = world.json(query)["fingerprint"]
        .as_str()
        .unwrap()
        .to_owned();
    // Other literals have the same shape.
    assert_eq!(
        world.json("select * from orders where id = 8")["fingerprint"],
        *fingerprint
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("proxy.toml");
    let file = format!(
        "upstream.url = 'postgres://postgres@127.0.0.1:1/postgres'\n\
         [cache.triggers]\nnote_it = {{ writes = ['log'] }}\n\
         [cache.functions]\nslug = 'pure'\n\
         [[cache.rules]]\ntable = 'orders'\nttl = '5s'\n\
         [[cache.rules]]\nshape = '{fingerprint}'\nuser = 'bob'\nnever = true\n\
         [[cache.rules]]\ndatabase = 'elsewhere'\nlevel = 'ttl'\n\
         [databases.elsewhere]\ndbname = 'postgres'\n"
    );
    std::fs::write(&path, file).unwrap();
    let path = path.to_str().unwrap();
    let with = |query: &str, more: &[&str]| world.json_with(query, &[&["-c", path], more].concat());

    let value = with(query, &[]);
    assert_eq!(
        (&value["ttl_ms"], &value["swr_ms"]),
        (&5000.into(), &5000.into())
    );
    assert_eq!(value["decided_by"], "rule 1 of [[cache.rules]]");
    let value = with(query, &["--user", "bob"]);
    assert_eq!(
        (&value["reason"], &value["cached"]),
        (&"disabled".into(), &false.into())
    );
    assert_eq!(value["because"], "by rule 2 of [[cache.rules]]");
    let value = with(query, &["--database", "elsewhere"]);
    assert_eq!(
        (&value["level"], &value["cached"]),
        (&"ttl".into(), &true.into())
    );
    assert_eq!(
        with("select slug(body) from notes", &[])["reason"],
        Value::Null
    );
    let value = with("insert into notes values (1)", &[]);
    assert_eq!(
        names(&value["writes"]["relations"]),
        ["public.log", "public.notes"]
    );
    assert_eq!(
        with(query, &["--cache", "off", "--database", "postgres"])["level"],
        "off"
    );

    // The environment stands between flag and file, and a text may come from standard input.
    let mut child = explain(&["-", "--json"])
        .env("PGWEIR_UPSTREAM", &world.url)
        .env("PGWEIR_CONFIG", path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"select *\nfrom orders -- all\n;").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&value["ttl_ms"], &value["cached"]),
        (&5000.into(), &true.into())
    );
    assert_eq!(value["key"]["text"], "select *\nfrom orders");
}

#[test]
fn without_an_answer_it_fails_with_a_hint() {
    let failing = |arguments: &[&str], wanted: &[&str]| {
        let output = explain(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        let error = text(&output.stderr);
        for wanted in wanted {
            assert!(error.contains(wanted), "{error}");
        }
        assert!(output.stdout.is_empty());
    };
    let nobody = "postgres://u:s3cret@127.0.0.1:1/shop";
    let wanted = [
        "pgweir: connection to",
        "refused",
        "hint: Is Postgres running",
    ];
    failing(&["select 1", "--upstream", nobody], &wanted);
    failing(&["select 1"], &["upstream.url"]);
    failing(&[" ", "--upstream", nobody], &["the text is empty"]);
    let nameless = "postgres://127.0.0.1:1";
    failing(&["select 1", "--upstream", nameless], &["--database"]);
}

/// What the notices of a reply say became of its query.
fn reasons(reply: &Reply) -> Vec<String> {
    let notices = reply.0.iter().filter(|frame| frame.tag == b'N');
    let messages = notices.filter_map(|notice| {
        let body = text(&notice.body);
        let field = body.split('\0').find_map(|f| f.strip_prefix("Mpgweir: "))?;
        Some(field.split(',').next().unwrap().to_owned())
    });
    messages.collect()
}

#[test]
fn a_proxy_does_what_it_says() {
    let world = World::new();
    let proxy = Proxy::cached_to(world.postgres.address, 1, "");
    let settings = [
        ("user", "postgres"),
        ("database", "postgres"),
        ("pgweir.explain", "on"),
    ];
    let mut client = Client::connect(proxy.address, &settings).unwrap();
    eventually("the catalog is read", || {
        (reasons(&client.run("select 1")) != ["catalogunknown"]).then_some(())
    });
    for query in [
        "select name from totals",
        "select * from recent",
        "select * from orders where now() > '2020-01-01'",
        "select * from customers where born = 'today'",
        "select * from customers where born = '2020-01-01' and name like 'a%'",
        "select * from mine",
        "select * from pg_class limit 1",
        "select * from orders for update",
        "select current_user",
        "select current_setting('TimeZone')",
        "select slug(body) from notes",
        "select random()",
        "select set_config('a.b', 'c', false)",
        "insert into log values ('y')",
        "insert into notes values (10, 'y')",
        "explain select 1",
        "show timezone",
        "/* pgweir: nocache */ select * from orders",
        "select count(*), max(total), extract(year from born) from orders, customers group by born",
        // The last: it pins.
        "select nextval('s') from (select 1) x",
    ] {
        let says = world.json(query);
        let says = says["reason"].as_str().unwrap_or("miss");
        assert_eq!(reasons(&client.run(query)), [says], "{query}");
    }
}
