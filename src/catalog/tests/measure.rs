//! What loading, polling and resolving cost. By hand, in an optimised build:
//! `cargo test --profile fast --lib catalog::tests::measure -- --ignored --nocapture`.

use std::sync::Arc;

use tokio::time::Instant;

use super::meaning::{FIXTURE, class};
use super::server::Server;
use crate::catalog::load::{digest, load};
use crate::sql::class::Kind;

/// A thousand tables of nine columns, each with a key to the one before it, and a hundred views.
const THOUSAND: &str = "
    DO $$ BEGIN FOR i IN 1..1000 LOOP
      EXECUTE format('CREATE TABLE big%s (id serial PRIMARY KEY, a text NOT NULL DEFAULT '''', b int DEFAULT 0,
        c timestamptz DEFAULT now(), d jsonb, e text, f text, g int CHECK (g > 0), h int REFERENCES big%s ON DELETE CASCADE)',
        i, greatest(1, i - 1));
      IF mod(i, 10) = 0 THEN COMMIT; END IF;
    END LOOP; END $$";
const VIEWS: &str = "DO $$ BEGIN FOR i IN 1..100 LOOP
      EXECUTE format('CREATE VIEW view%s AS SELECT x.*, y.a AS ya, lower(y.e) AS le, count(*) OVER () FROM big%s x JOIN big%s y ON x.id = y.h WHERE y.b > 1', i, i, i + 1);
    END LOOP; END $$";

#[tokio::test]
#[ignore = "measures; run it by hand"]
async fn costs() {
    let Some(server) = Server::start() else {
        return;
    };
    let client = Server::connect(server.port).await.unwrap();
    let several = async |what: &str| {
        for _ in 0..5 {
            let begun = Instant::now();
            let snapshot = load(&client, 1, 0, &Arc::default()).await.unwrap();
            let loaded = begun.elapsed();
            let begun = Instant::now();
            digest(&client).await.unwrap();
            eprintln!("{what}: load {loaded:?}, digest {:?}", begun.elapsed());
            drop(snapshot);
        }
    };
    several("fresh").await;
    client.batch_execute(FIXTURE).await.unwrap();
    client.batch_execute(THOUSAND).await.unwrap();
    client.batch_execute(VIEWS).await.unwrap();
    client.batch_execute("VACUUM ANALYZE").await.unwrap();
    several("1,000 tables").await;
    for text in [
        "users",
        "users orders ; count/0 sum/1 lower/1 ; = + > ~~ ; int4 text",
        "v_join ; count/0 sum/1 lower/1 ; = + > ~~ ; int4 text",
        "big1 big2 ; json_agg/1 coalesce/2 to_char/2 date_trunc/2 ; = < || ->> ; timestamptz",
    ] {
        let class = class(Kind::Read, text);
        let snapshot = load(&client, 1, 0, &Arc::default()).await.unwrap();
        let begun = Instant::now();
        let first = snapshot.resolve(&class);
        let first = (begun.elapsed(), first.read.is_ok());
        let begun = Instant::now();
        for _ in 0..1000 {
            std::hint::black_box(snapshot.resolve(&class));
        }
        eprintln!("{text}: first {first:?}, then {:?}", begun.elapsed() / 1000);
    }
}
