//! When everything that is cached becomes stale, and when not; and the settling of commits whose
//! outcome nobody told.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Client;

use super::server::Server;
use super::{PATIENCE, next};
use crate::cache::generation::{Generations, Live, WriteSet};
use crate::catalog::Catalog;
use crate::catalog::load::{digest, load};

/// What an application does all day, and what the server does by itself.
const ORDINARY: &[&str] = &[
    "INSERT INTO t VALUES (1, 'a'), (2, 'b')",
    "UPDATE t SET v = 'c'",
    "DELETE FROM t WHERE id = 2",
    "TRUNCATE t",
    "ANALYZE t",
    "VACUUM t",
    "CREATE TEMP TABLE s (id serial PRIMARY KEY, v text DEFAULT now()::text CHECK (v <> ''))",
    "CREATE INDEX ON s (lower(v))",
    "DROP TABLE s",
    "SELECT nextval('t_id_seq')",
    "REINDEX TABLE t",
];

/// Each of these may change what a query means, returns, or to whom.
const CHANGES: &[&str] = &[
    "CREATE TABLE u (id int PRIMARY KEY, t int)",
    "ALTER TABLE u ADD v varchar(10)",
    "ALTER TABLE u ALTER v TYPE varchar(20)",
    "ALTER TABLE u RENAME v TO w",
    "ALTER TABLE u ALTER w SET DEFAULT 'x'",
    "ALTER TABLE u DROP w",
    "ALTER TABLE u ADD FOREIGN KEY (t) REFERENCES t (id) ON DELETE CASCADE",
    "ALTER TABLE u RENAME TO u2",
    "CREATE TABLE p (id int) PARTITION BY LIST (id)",
    "CREATE TABLE p1 (id int)",
    "ALTER TABLE p ATTACH PARTITION p1 FOR VALUES IN (1)",
    "ALTER TABLE p DETACH PARTITION p1",
    "CREATE VIEW w AS SELECT 1 AS a",
    "CREATE OR REPLACE VIEW w AS SELECT 2 AS a",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 2'",
    "GRANT EXECUTE ON FUNCTION f() TO reader",
    "CREATE FUNCTION tg() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "CREATE TRIGGER tr AFTER INSERT ON t EXECUTE FUNCTION tg()",
    "ALTER TABLE t DISABLE TRIGGER tr",
    "DROP TRIGGER tr ON t",
    "CREATE RULE r AS ON INSERT TO t DO ALSO NOTIFY x",
    "ALTER TABLE t ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY a ON t USING (true)",
    "ALTER POLICY a ON t USING (id > 0)",
    "ALTER TABLE t FORCE ROW LEVEL SECURITY",
    "GRANT SELECT ON t TO reader",
    "GRANT SELECT (v) ON t TO reader",
    "REVOKE SELECT ON t FROM reader",
    "ALTER TABLE t OWNER TO reader",
    "CREATE ROLE team",
    "GRANT team TO reader",
    "REVOKE team FROM reader",
    "ALTER ROLE reader BYPASSRLS",
    "ALTER ROLE reader SET extra_float_digits = 0",
    "GRANT USAGE ON SCHEMA public TO reader",
    "CREATE TYPE m AS ENUM ('a')",
    "ALTER TYPE m RENAME VALUE 'a' TO 'b'",
    "CREATE DOMAIN d AS int",
    "ALTER DOMAIN d ADD CHECK (VALUE > 0)",
    "CREATE CAST (text AS m) WITH INOUT AS IMPLICIT",
    "CREATE TABLE k (id int)",
    "CREATE TABLE k2 () INHERITS (k)",
    "ALTER TABLE k2 NO INHERIT k",
    "CREATE EXTENSION pg_trgm",
    "CREATE SCHEMA late",
    "ALTER TABLE k SET SCHEMA late",
    "ALTER TEXT SEARCH DICTIONARY english_stem (StopWords = 'german')",
];

#[tokio::test]
async fn what_the_digest_notices() {
    let Some(server) = Server::start() else {
        return;
    };
    let client = Server::connect(server.port).await.unwrap();
    let table = "CREATE TABLE t (id serial PRIMARY KEY, v text); CREATE ROLE reader";
    client.batch_execute(table).await.unwrap();
    let mut before = digest(&client).await.unwrap();
    for sql in ORDINARY {
        client.batch_execute(sql).await.unwrap();
        assert_eq!(digest(&client).await.unwrap(), before, "{sql}");
    }
    for sql in CHANGES {
        client.batch_execute(sql).await.unwrap();
        let after = digest(&client).await.unwrap();
        assert_ne!(after, before, "{sql}");
        before = after;
    }
    let database = "ALTER DATABASE postgres SET default_transaction_isolation = 'serializable'";
    client.batch_execute(database).await.unwrap();
    let snapshot = load(&client, 1, 0, &Arc::default()).await.unwrap();
    let forbids = snapshot.forbids().unwrap();
    assert!(
        forbids.contains("default_transaction_isolation is serializable"),
        "{forbids}"
    );
}

/// Waits until `done`.
async fn eventually(what: &str, done: impl Fn() -> bool) {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect(what);
}

/// The backend's number.
async fn pid(client: &Client) -> i32 {
    let row = client.query_one("SELECT pg_backend_pid()", &[]).await;
    row.unwrap().get(0)
}

#[tokio::test]
async fn epochs_and_lost_commits() {
    let Some(server) = Server::start() else {
        return;
    };
    let port = server.port;
    let direct = Server::connect(port).await.unwrap();
    direct
        .batch_execute("CREATE TABLE t (id int)")
        .await
        .unwrap();
    let generations = Generations::new();
    let catalog = Catalog::new(Arc::clone(&generations), Arc::default(), Arc::default());
    let keeper = Arc::clone(&catalog);
    let keeper = keeper.keep(move || Server::connect(port), Duration::from_millis(50));
    let keeper = tokio::spawn(keeper);
    let first = next(&catalog, 0).await;
    assert_eq!(first.epoch(), generations.epoch());
    let t = first.relations_named("t");
    let stamp = generations.stamp(first.epoch(), &t).unwrap();

    // Changed elsewhere: stale, and known anew under a later epoch.
    direct
        .batch_execute("ALTER TABLE t ADD v text")
        .await
        .unwrap();
    let second = next(&catalog, first.generation()).await;
    assert!(second.epoch() > first.epoch());
    assert_eq!(stamp.state(), Live::Stale);

    // A write that was resolved under the old snapshot keeps the new one from being published.
    let write = generations.mark(&WriteSet::Relations(&t), second.epoch(), 1);
    catalog.invalidate();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(catalog.current().is_none());
    write.settle();
    let third = next(&catalog, second.generation()).await;
    assert!(third.epoch() > second.epoch());

    // A backend that was lost while it was writing: dirty until it is gone.
    let lost = Server::connect(port).await.unwrap();
    let lost_pid = pid(&lost).await;
    drop(generations.mark(&WriteSet::Relations(&t), third.epoch(), lost_pid));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(generations.lost(), [lost_pid]);
    assert!(generations.stamp(third.epoch(), &t).is_none());
    drop(lost);
    eventually("buried", || generations.lost().is_empty()).await;
    assert!(generations.stamp(third.epoch(), &t).is_some());
    keeper.abort();
}

#[tokio::test]
async fn a_lost_connection_is_a_new_epoch() {
    let Some(server) = Server::start() else {
        return;
    };
    let port = server.port;
    let direct = Server::connect(port).await.unwrap();
    let generations = Generations::new();
    let catalog = Catalog::new(Arc::clone(&generations), Arc::default(), Arc::default());
    let keeper = Arc::clone(&catalog);
    let keeper = keeper.keep(move || Server::connect(port), Duration::from_millis(50));
    let keeper = tokio::spawn(keeper);
    let first = next(&catalog, 0).await;
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
    direct.batch_execute(others).await.unwrap();
    let second = next(&catalog, first.generation()).await;
    assert!(second.epoch() > first.epoch());
    assert_eq!(second.epoch(), generations.epoch());
    keeper.abort();
}
