//! sqlx: a pool that pings, a cache of prepared statements, a cursor per query.
use std::error::Error;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions, PgSslMode};
use sqlx::{Acquire, Row};

type Done = Result<(), Box<dyn Error>>;

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

fn code(error: sqlx::Error) -> String {
    let error = error.into_database_error().expect("an error of the database");
    error.code().expect("a code").into_owned()
}

async fn statements(pool: &PgPool) -> Done {
    for n in 0..20 {
        let next: i32 = sqlx::query_scalar("select $1 + 1").bind(n).fetch_one(pool).await?;
        assert_eq!(next, n + 1);
        let words = vec!["a".to_owned(), "b".to_owned()];
        let row = sqlx::query("select $1::text[] as w").bind(&words).fetch_one(pool).await?;
        assert_eq!(row.get::<Vec<String>, _>("w"), words);
    }
    sqlx::raw_sql("select 1; select 2").execute(pool).await?;
    let rows = sqlx::query("select g from generate_series(1, 2000) g").fetch(pool);
    assert_eq!(rows.try_collect::<Vec<_>>().await?.len(), 2000);
    Ok(())
}

async fn transaction(pool: &PgPool) -> Done {
    sqlx::raw_sql("drop table if exists life_sqlx; create table life_sqlx (id int primary key)").execute(pool).await?;
    let mut outer = pool.begin().await?;
    sqlx::query("insert into life_sqlx values ($1)").bind(1).execute(&mut *outer).await?;
    let mut inner = outer.begin().await?;
    let again = sqlx::query("insert into life_sqlx values (1)").execute(&mut *inner).await;
    assert_eq!(code(again.unwrap_err()), "23505");
    inner.rollback().await?;
    outer.commit().await?;
    let mut lost = pool.begin().await?;
    sqlx::query("delete from life_sqlx").execute(&mut *lost).await?;
    drop(lost);
    let count: i64 = sqlx::query_scalar("select count(*) from life_sqlx").fetch_one(pool).await?;
    assert_eq!(count, 1);
    Ok(())
}

async fn copy(pool: &PgPool) -> Done {
    let mut connection = pool.acquire().await?;
    let mut sink = connection.copy_in_raw("copy life_sqlx from stdin").await?;
    sink.send("100\n101\n".as_bytes()).await?;
    assert_eq!(sink.finish().await?, 2);
    let sink = connection.copy_in_raw("copy life_sqlx from stdin").await?;
    sink.abort("never mind").await?;
    let out = connection.copy_out_raw("copy life_sqlx to stdout").await?;
    assert_eq!(out.try_collect::<Vec<_>>().await?.concat().split(|b| *b == b'\n').count(), 4);
    sqlx::query("drop table life_sqlx").execute(pool).await?;
    Ok(())
}

/// sqlx has no cancel: a statement timeout, and a query that is dropped while it runs.
async fn error_and_timeout(pool: &PgPool) -> Done {
    let error = sqlx::query("select 1/0").execute(pool).await.unwrap_err();
    assert_eq!(code(error), "22012");
    let mut connection = pool.acquire().await?;
    sqlx::query("set statement_timeout = 100").execute(&mut *connection).await?;
    let error = sqlx::query("select pg_sleep(20)").execute(&mut *connection).await.unwrap_err();
    assert_eq!(code(error), "57014");
    sqlx::query("reset statement_timeout").execute(&mut *connection).await?;
    let slow = sqlx::query("select pg_sleep(0.5)").execute(&mut *connection);
    assert!(tokio::time::timeout(Duration::from_millis(100), slow).await.is_err());
    let two: i32 = sqlx::query_scalar("select 2").fetch_one(&mut *connection).await?;
    assert_eq!(two, 2);
    Ok(())
}

async fn listening(pool: &PgPool) -> Done {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen("life_sqlx").await?;
    sqlx::query("select pg_notify('life_sqlx', 'hello')").execute(pool).await?;
    let heard = tokio::time::timeout(Duration::from_secs(10), listener.recv()).await??;
    assert_eq!(heard.payload(), "hello");
    Ok(())
}

#[tokio::main]
async fn main() -> Done {
    let options = PgConnectOptions::new()
        .host(&env("PGHOST"))
        .port(env("PGPORT").parse()?)
        .username(&env("PGUSER"))
        .password(&env("PGPASSWORD"))
        .database(&env("PGDATABASE"))
        .ssl_mode(PgSslMode::VerifyFull)
        .ssl_root_cert(env("PGSSLROOTCERT"));
    let pool = PgPoolOptions::new().max_connections(12).min_connections(12).connect_with(options).await?;
    statements(&pool).await?;
    transaction(&pool).await?;
    copy(&pool).await?;
    error_and_timeout(&pool).await?;
    listening(&pool).await?;
    futures_util::stream::iter(0..300)
        .for_each_concurrent(12, |n| {
            let pool = &pool;
            async move {
                let own = format!("client {n}");
                let text: String = sqlx::query_scalar("select $1::text").bind(&own).fetch_one(pool).await.unwrap();
                assert_eq!(text, own);
            }
        })
        .await;
    pool.close().await;
    Ok(())
}
