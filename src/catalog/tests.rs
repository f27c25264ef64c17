//! Against a real server, started for the test.

mod epochs;
mod meaning;
mod measure;
mod queries;
mod server;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Client;

use self::server::Server;

use super::{Catalog, Snapshot};
use crate::cache::generation::Generations;
use crate::sql::analyze;
use crate::sql::effect::Analysis;

const PATIENCE: Duration = Duration::from_secs(20);

/// The next snapshot later than `generation`.
async fn next(catalog: &Catalog, generation: u64) -> Arc<Snapshot> {
    let loaded = async {
        loop {
            let current = catalog.current();
            if let Some(snapshot) = current.as_ref()
                && snapshot.generation() > generation
            {
                return Arc::clone(snapshot);
            }
            drop(current);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, loaded).await.unwrap()
}

/// pgbench's tables and what it sends (TPC-B, as of `pgbench --show-script`).
const PGBENCH: &[&str] = &[
    "UPDATE pgbench_accounts SET abalance = abalance + -42 WHERE aid = 7;",
    "SELECT abalance FROM pgbench_accounts WHERE aid = $1;",
    "UPDATE pgbench_tellers SET tbalance = tbalance + $1 WHERE tid = $2;",
    "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 1, 7, -42, CURRENT_TIMESTAMP);",
    "select count(*) from pgbench_branches",
    "vacuum pgbench_branches",
    "truncate pgbench_history",
];

const FUNCTIONS: &str = "
    CREATE TABLE audit (n bigserial PRIMARY KEY, what text);
    CREATE FUNCTION f_setpath() RETURNS void LANGUAGE plpgsql
      AS $$BEGIN PERFORM set_config('search_path','evil,public',false); END$$;
    CREATE FUNCTION f_calls() RETURNS void LANGUAGE sql AS 'SELECT f_setpath()';
    CREATE FUNCTION f_atomic() RETURNS void BEGIN ATOMIC; SELECT f_calls(); END;
    CREATE FUNCTION f_default(a text DEFAULT set_config('a.b', 'c', false)) RETURNS text LANGUAGE sql AS 'SELECT a';
    CREATE FUNCTION f_writes(text) RETURNS bigint LANGUAGE sql AS 'INSERT INTO audit(what) VALUES($1) RETURNING n';
    CREATE FUNCTION step(int, int) RETURNS int LANGUAGE plpgsql AS 'BEGIN SET work_mem = 65; RETURN 1; END';
    CREATE AGGREGATE agg(int) (SFUNC = step, STYPE = int);
    CREATE FUNCTION public.upper(varchar) RETURNS text LANGUAGE sql AS 'SELECT f_setpath()::text';
    CREATE EXTENSION pg_trgm; CREATE EXTENSION pgcrypto; CREATE EXTENSION pg_stat_statements;";

#[tokio::test]
async fn verdicts_of_a_real_database() {
    let Some(server) = Server::start() else {
        return;
    };
    let port = server.port;
    let direct = Server::connect(port).await.unwrap();
    let catalog = Catalog::new(Generations::new(), Arc::default(), Arc::default());
    let keeper =
        Arc::clone(&catalog).keep(move || Server::connect(port), Duration::from_millis(50));
    let keeper = tokio::spawn(keeper);

    let first = next(&catalog, 0).await;
    assert_eq!(first.unsafe_everywhere(), None);
    assert_eq!(first.unsafe_trigger(), None);
    for sql in PGBENCH {
        let analysis = analyze(sql.as_bytes(), true, Some(&first));
        assert_eq!(analysis, Analysis::Plain, "{sql}");
    }
    assert_eq!(first.is_safe(b"now"), Some(true));
    assert_eq!(first.is_safe(b"query_to_xml"), Some(false));
    assert_eq!(first.is_safe(b"f_setpath"), None);

    // Seen by the poll.
    direct.batch_execute(FUNCTIONS).await.unwrap();
    let second = next(&catalog, first.generation()).await;
    let unsafe_ = [
        "f_setpath",
        "f_calls",
        "f_atomic",
        "step",
        "agg",
        "upper",
        "set_limit",
    ];
    for name in unsafe_ {
        assert_eq!(second.is_safe(name.as_bytes()), Some(false), "{name}");
    }
    for name in [
        "f_writes",
        "similarity",
        "gen_salt",
        "lower",
        "pg_stat_statements",
    ] {
        assert_eq!(second.is_safe(name.as_bytes()), Some(true), "{name}");
    }
    assert_eq!(second.unsafe_everywhere(), Some("function f_default"));
    direct
        .batch_execute("DROP FUNCTION f_default")
        .await
        .unwrap();
    let second = next(&catalog, second.generation()).await;
    assert_eq!(second.unsafe_everywhere(), None);

    reach(&direct, &catalog, second.generation()).await;

    // Out of reach for longer than a poll: nothing is known.
    drop(server);
    let gone = async {
        while catalog.current().is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    keeper.abort();
}

/// Objects that bring an unsafe function into reach, one by one.
async fn reach(direct: &Client, catalog: &Catalog, generation: u64) {
    let mut generation = generation;
    for (make, undo) in [
        ("CREATE VIEW v AS SELECT f_op(1)", "DROP VIEW v"),
        (
            "CREATE VIEW v AS SELECT set_config('a.b', 'c', false) AS x",
            "DROP VIEW v",
        ),
        (
            "CREATE OPERATOR === (RIGHTARG = int, FUNCTION = f_op)",
            "DROP OPERATOR === (NONE, int)",
        ),
        (
            "CREATE DOMAIN d AS int CHECK (f_op(VALUE) > 0)",
            "DROP DOMAIN d",
        ),
        (
            "ALTER TABLE audit ALTER what SET DEFAULT set_config('a.b', 'c', false)",
            "ALTER TABLE audit ALTER what DROP DEFAULT",
        ),
        (
            "CREATE POLICY p ON audit USING (f_op(1) > 0)",
            "DROP POLICY p ON audit",
        ),
        (
            "CREATE TYPE c AS (a int); CREATE FUNCTION attribute(c) RETURNS void LANGUAGE sql AS 'SELECT f_setpath()'",
            "DROP TYPE c CASCADE",
        ),
    ] {
        direct
            .batch_execute("CREATE OR REPLACE FUNCTION f_op(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN PERFORM f_setpath(); RETURN 1; END'")
            .await
            .unwrap();
        direct.batch_execute(make).await.unwrap();
        // The poll may see the function before the object.
        let made = loop {
            let made = next(catalog, generation).await;
            generation = made.generation();
            if made.unsafe_everywhere().is_some() {
                break made;
            }
        };
        assert_eq!(made.unsafe_trigger(), None, "{make}");
        direct.batch_execute(undo).await.unwrap();
        let undone = next(catalog, generation).await;
        generation = undone.generation();
        assert_eq!(undone.unsafe_everywhere(), None, "{undo}");
    }
    direct
        .batch_execute("CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM f_setpath(); RETURN NULL; END'; CREATE TRIGGER tr AFTER INSERT ON audit EXECUTE FUNCTION tg()")
        .await
        .unwrap();
    let made = next(catalog, generation).await;
    assert!(made.unsafe_trigger().is_some());
    assert_eq!(made.unsafe_everywhere(), None);
    // Who writes may fire it.
    assert_eq!(made.is_safe(b"f_writes"), Some(false));
    direct
        .batch_execute("ALTER TABLE audit DISABLE TRIGGER tr")
        .await
        .unwrap();
    let off = next(catalog, made.generation()).await;
    assert_eq!(off.unsafe_trigger(), None);
    // An invalidation reads again though nothing has changed.
    catalog.invalidate();
    assert!(catalog.current().is_none());
    next(catalog, off.generation()).await;
}
