//! tokio-postgres: it pipelines, prepares, asks for types by itself.
use std::error::Error;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt, TryStreamExt, future, pin_mut};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, IsolationLevel};
use tokio_postgres_rustls::MakeRustlsConnect;

type Done = Result<(), Box<dyn Error + Send + Sync>>;

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

fn tls() -> MakeRustlsConnect {
    let pem = std::fs::read(env("PGSSLROOTCERT")).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    for root in rustls_pemfile::certs(&mut pem.as_slice()) {
        roots.add(root.unwrap()).unwrap();
    }
    let config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    MakeRustlsConnect::new(config)
}

async fn connect() -> Result<Client, Box<dyn Error + Send + Sync>> {
    let mut config = Config::new();
    config.host(env("PGHOST")).port(env("PGPORT").parse()?).user(env("PGUSER"));
    config.password(env("PGPASSWORD")).dbname(env("PGDATABASE"));
    config.ssl_mode(tokio_postgres::config::SslMode::Require);
    let (client, connection) = config.connect(tls()).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn statements(client: &Client) -> Done {
    let plus = client.prepare("select $1::int4 + 1").await?;
    for n in 0..20 {
        assert_eq!(client.query_one(&plus, &[&n]).await?.get::<_, i32>(0), n + 1);
    }
    let all = future::try_join_all((0..50).map(|n| {
        let plus = plus.clone();
        async move { client.query_one(&plus, &[&n]).await }
    }));
    assert_eq!(all.await?.len(), 50);
    client.batch_execute("drop type if exists mood; create type mood as enum ('sad', 'glad')").await?;
    let row = client.query_one("select 'glad'::mood::text, array['glad'::mood]::text", &[]).await?;
    assert_eq!(row.get::<_, &str>(1), "{glad}");
    client.prepare("select $1::mood").await?;
    client.batch_execute("drop type mood").await?;
    let rows = client.query_raw("select g from generate_series(1, 2000) g", Vec::<i32>::new()).await?;
    assert_eq!(rows.try_collect::<Vec<_>>().await?.len(), 2000);
    Ok(())
}

async fn transaction(client: &mut Client) -> Done {
    client.batch_execute("drop table if exists life_tokio; create table life_tokio (id int primary key)").await?;
    let mut outer = client.build_transaction().isolation_level(IsolationLevel::Serializable).start().await?;
    outer.execute("insert into life_tokio values ($1)", &[&1]).await?;
    let inner = outer.transaction().await?;
    let error = inner.execute("insert into life_tokio values ($1)", &[&1]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::UNIQUE_VIOLATION));
    inner.rollback().await?;
    let portal = outer.bind("select g from generate_series(1, 95) g", &[]).await?;
    assert_eq!(outer.query_portal(&portal, 50).await?.len(), 50);
    assert_eq!(outer.query_portal(&portal, 50).await?.len(), 45);
    outer.commit().await?;
    drop(client.transaction().await?); // rolls back by itself
    assert_eq!(client.query_one("select count(*) from life_tokio", &[]).await?.get::<_, i64>(0), 1);
    Ok(())
}

async fn copy(client: &Client) -> Done {
    let sink = client.copy_in("copy life_tokio from stdin").await?;
    pin_mut!(sink);
    for n in 100..1100 {
        sink.send(std::io::Cursor::new(format!("{n}\n").into_bytes())).await?;
    }
    assert_eq!(sink.finish().await?, 1000);
    {
        let unfinished = client.copy_in::<_, std::io::Cursor<Vec<u8>>>("copy life_tokio from stdin").await?;
        drop(unfinished); // sends CopyFail
    }
    let out = client.copy_out("copy life_tokio to stdout").await?;
    let parts: Vec<_> = out.try_collect().await?;
    assert_eq!(parts.len(), 1001);
    client.batch_execute("drop table life_tokio").await?;
    Ok(())
}

async fn error_and_cancel(client: &Client) -> Done {
    let error = client.query("select 1/0", &[]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::DIVISION_BY_ZERO));
    let token = client.cancel_token();
    let cancel = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        token.cancel_query(tls()).await
    };
    let (slept, cancelled) = tokio::join!(client.batch_execute("select pg_sleep(20)"), cancel);
    cancelled?;
    assert_eq!(slept.unwrap_err().code(), Some(&SqlState::QUERY_CANCELED));
    assert_eq!(client.query_one("select 2", &[]).await?.get::<_, i32>(0), 2);
    Ok(())
}

async fn one_of_many(number: i32) -> Done {
    let client = connect().await?;
    client.batch_execute(&format!("set app.me = '{number}'")).await?;
    let text = format!("select $1::int4 * 100 + {number}, current_setting('app.me')");
    let own = client.prepare(&text).await?;
    for n in 0..20 {
        let row = client.query_one(&own, &[&n]).await?;
        assert_eq!(row.get::<_, i32>(0), n * 100 + number);
        assert_eq!(row.get::<_, String>(1), number.to_string());
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Done {
    rustls::crypto::ring::default_provider().install_default().unwrap();
    let mut client = connect().await?;
    statements(&client).await?;
    transaction(&mut client).await?;
    copy(&client).await?;
    error_and_cancel(&client).await?;
    let many = futures_util::stream::iter(0..48).map(|n| tokio::spawn(one_of_many(n))).buffer_unordered(12);
    many.map(|joined| joined.unwrap()).try_collect::<Vec<()>>().await?;
    Ok(())
}
