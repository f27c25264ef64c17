//! The server itself as the judge: what a statement locks for writing must be among what it is
//! said to write (H62), and what it locks for reading among what its result is said to depend on.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio_postgres::Client;

use super::meaning::FIXTURE;
use super::server::Server;
use crate::catalog::load::load;
use crate::catalog::{Snapshot, WriteSet};
use crate::sql::class::classify;

const ROWS: &str = "
    INSERT INTO users (name) VALUES ('a'), ('b'), ('c');
    INSERT INTO orders (user_id, total) VALUES (1, 1), (2, 2), (3, 3);
    INSERT INTO items (order_id, n) VALUES (1, 1), (2, 2), (3, 3);
    INSERT INTO notes (body) VALUES ('x');
    INSERT INTO tree VALUES (1, NULL, NULL), (2, 1, NULL), (3, 2, NULL);
    INSERT INTO ring_a VALUES (1, NULL); INSERT INTO ring_b VALUES (1, 1); UPDATE ring_a SET b = 1;
    INSERT INTO events VALUES (1, '2020-05-05'), (2, '2021-05-05'), (150, '2020-01-01');
    INSERT INTO animals VALUES (1, 'x'); INSERT INTO cats VALUES (2, 'y', 9); INSERT INTO kittens VALUES (3, 'z', 9);
    INSERT INTO to_watched VALUES (1), (2); INSERT INTO watched VALUES (1, 1), (2, 2);
    INSERT INTO declared VALUES (1, 1); INSERT INTO ruled VALUES (1); INSERT INTO unwatched VALUES (1, 1);
    INSERT INTO docs VALUES (1, 't', 'b'); INSERT INTO touched VALUES (1, now());
    INSERT INTO pairs VALUES (1, row(1, 2)); INSERT INTO log (what) VALUES ('2020-01-01');
    CREATE TABLE hub (id int, part int, PRIMARY KEY (id, part)) PARTITION BY LIST (part);
    CREATE TABLE hub_1 PARTITION OF hub FOR VALUES IN (1); CREATE TABLE hub_2 PARTITION OF hub FOR VALUES IN (2);
    CREATE TABLE spoke (id int PRIMARY KEY, hub int, part int, FOREIGN KEY (hub, part) REFERENCES hub ON DELETE CASCADE ON UPDATE CASCADE);
    INSERT INTO hub VALUES (1, 1), (2, 2); INSERT INTO spoke VALUES (1, 1, 1), (2, 2, 2);
    CREATE TABLE many (id int, part int) PARTITION BY LIST (part);
    CREATE TABLE many_1 PARTITION OF many FOR VALUES IN (1); CREATE TABLE many_2 PARTITION OF many FOR VALUES IN (2);
    CREATE TABLE hubs (id int PRIMARY KEY);
    ALTER TABLE many ADD FOREIGN KEY (id) REFERENCES hubs ON DELETE SET NULL;
    INSERT INTO hubs VALUES (1), (2); INSERT INTO many VALUES (1, 1), (2, 2);
    CREATE RULE never AS ON DELETE TO hubs WHERE false DO INSTEAD NOTHING;
    CREATE VIEW v_cats AS SELECT * FROM cats WHERE lives > 1;
    CREATE VIEW v_v_cats AS SELECT id FROM v_cats;
    CREATE VIEW v_ruled AS SELECT id FROM ruled;";

const WRITES: &[&str] = &[
    "INSERT INTO users (name) VALUES ('n')",
    "UPDATE users SET name = 'n'",
    "DELETE FROM users",
    "DELETE FROM users WHERE id = 1",
    "DELETE FROM orders",
    "UPDATE orders SET id = id + 100",
    "DELETE FROM tree WHERE id = 1",
    "DELETE FROM ring_a",
    "UPDATE ring_a SET id = 7",
    "UPDATE ring_b SET id = 7",
    "TRUNCATE users CASCADE",
    "TRUNCATE events_1",
    "INSERT INTO events VALUES (3, '2020-02-02')",
    "INSERT INTO events_1 VALUES (3, '2020-02-02')",
    "UPDATE events SET id = 160 WHERE id = 1",
    "UPDATE events_1 SET at = '2021-02-02' WHERE id = 1",
    "DELETE FROM events",
    "DELETE FROM ONLY events_1a",
    "UPDATE animals SET name = 'q'",
    "UPDATE ONLY animals SET name = 'q'",
    "DELETE FROM cats",
    "TRUNCATE animals",
    "UPDATE v_users SET name = 'v'",
    "DELETE FROM v_again",
    "INSERT INTO v_again VALUES ('v')",
    "DELETE FROM v_v_cats",
    "UPDATE v_cats SET lives = 3",
    "INSERT INTO v_ruled VALUES (5)",
    "DELETE FROM v_watched",
    "UPDATE watched SET v = 2",
    "INSERT INTO watched VALUES (9, 1)",
    "DELETE FROM to_watched",
    "INSERT INTO unwatched VALUES (9, 9)",
    "INSERT INTO declared VALUES (9, 9)",
    "UPDATE touched SET id = 4",
    "INSERT INTO ruled VALUES (9)",
    "INSERT INTO defaulted (id) VALUES (1)",
    "INSERT INTO domained VALUES (1, 'a')",
    "INSERT INTO generated (id) VALUES (1)",
    "INSERT INTO v_instead VALUES (1)",
    "DELETE FROM hub",
    "DELETE FROM hub_1",
    "UPDATE hub SET id = id + 10",
    "UPDATE hub_2 SET id = 9",
    "UPDATE hub SET part = 2 WHERE part = 1",
    "TRUNCATE hub CASCADE",
    "TRUNCATE hub_1 CASCADE",
    "DELETE FROM hubs",
    "WITH g AS (DELETE FROM users RETURNING id) UPDATE tree SET user_id = NULL FROM g WHERE tree.id = g.id",
    "MERGE INTO orders o USING users u ON o.user_id = u.id WHEN MATCHED THEN DELETE",
    "INSERT INTO ruled SELECT id + 50 FROM users",
    "INSERT INTO orders (user_id) VALUES (1) ON CONFLICT (id) DO UPDATE SET total = 1",
    "SELECT f_log('x')",
    "SELECT l FROM v_logs",
    "SELECT 'x'::logged_twice",
];

const READS: &[&str] = &[
    "SELECT * FROM users JOIN orders ON orders.user_id = users.id",
    "SELECT * FROM v_again",
    "SELECT * FROM v_join",
    "SELECT * FROM v_union",
    "SELECT * FROM mv",
    "SELECT (SELECT max(id) FROM items) FROM notes WHERE EXISTS (SELECT FROM tree)",
    "SELECT * FROM v_v_cats",
    "SELECT * FROM events",
    "SELECT * FROM animals",
    "SELECT * FROM hub JOIN spoke ON hub.id = spoke.hub",
    "WITH x AS (SELECT * FROM ring_a) SELECT * FROM x JOIN ring_b ON x.b = ring_b.id",
];

/// The tables and views that a statement locks, in modes that are for writing or that are not.
async fn locked(client: &Client, sql: &str, writing: bool) -> BTreeSet<String> {
    client.batch_execute("BEGIN").await.unwrap();
    client
        .batch_execute(sql)
        .await
        .unwrap_or_else(|e| panic!("{sql}: {e:?}"));
    let query = "SELECT n.nspname || '.' || c.relname FROM pg_locks l
        JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE l.pid = pg_backend_pid() AND c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm')
          AND n.nspname NOT LIKE 'pg_%' AND (l.mode NOT IN ('AccessShareLock', 'RowShareLock')) = $1";
    let rows = client.query(query, &[&writing]).await.unwrap();
    client.batch_execute("ROLLBACK").await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// Those, and what holds them: children stand for their parents.
fn names(snapshot: &Snapshot, oids: &[u32]) -> BTreeSet<String> {
    let name = |&oid: &u32| snapshot.relation_name(oid).unwrap().to_owned();
    oids.iter().map(name).collect()
}

#[tokio::test]
async fn nothing_is_locked_that_was_not_foretold() {
    let Some(server) = Server::start() else {
        return;
    };
    let client = Server::connect(server.port).await.unwrap();
    client.batch_execute(FIXTURE).await.unwrap();
    client.batch_execute(ROWS).await.unwrap();
    let told = Arc::new(super::meaning::declared());
    let snapshot = load(&client, 1, 0, &Arc::default()).await.unwrap();
    let told = load(&client, 1, 0, &told).await.unwrap();
    let mut wrong = Vec::new();
    for sql in WRITES {
        let locked = locked(&client, sql, true).await;
        assert!(!locked.is_empty(), "{sql}");
        for snapshot in [&snapshot, &told] {
            let foretold = match snapshot.resolve(&classify(sql.as_bytes(), true)).writes {
                WriteSet::Everything(_) => continue,
                WriteSet::Relations(oids) => names(snapshot, &oids),
                other @ (WriteSet::Nothing | WriteSet::Definitions) => panic!("{sql}: {other:?}"),
            };
            if !locked.is_subset(&foretold) {
                wrong.push(format!("{sql}: {locked:?} and not only {foretold:?}"));
            }
        }
    }
    for sql in READS {
        let locked = locked(&client, sql, false).await;
        let read = snapshot.resolve(&classify(sql.as_bytes(), true)).read;
        let read = read.unwrap_or_else(|refusal| panic!("{sql}: {refusal:?}"));
        let mut covered = names(&snapshot, &read);
        for oid in &read {
            let node = &snapshot.known.nodes[oid];
            covered.extend(names(&snapshot, &snapshot.known.descendants(node)));
        }
        if !locked.is_subset(&covered) {
            wrong.push(format!("{sql}: {locked:?} and not only {covered:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
