//! What greeting a client asks of the upstream side: `auth.query`, and pass-through logins.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use crate::config::{Admin, Auth};
use crate::pool::control::control;
use crate::pool::error::ConnectError;
use crate::pool::pools::Pools;
use crate::pool::upstream::{self, Credential};
use crate::session::greet::Upstreams;
use crate::wire::error::PgError;

/// Control connections that `auth.query` runs on, one for each database it runs in. More databases
/// than this are asked over a connection of the moment.
const CONNECTIONS_MAX: usize = 64;

/// See the module's text.
#[derive(Debug)]
pub(super) struct Questions {
    pools: Arc<Pools>,
    query: Option<String>,
    database: Option<String>,
    /// Whose databases exist here only.
    console: Admin,
    /// By database. Locked only to look up: who asks locks the place.
    places: Mutex<HashMap<String, Arc<Mutex<Place>>>>,
}

/// Where one database is asked. Locked while a connection is opened: strangers choose the names that
/// are asked for, and each would open one of its own until the first is there.
#[derive(Debug, Default)]
struct Place {
    connection: Option<Arc<Connection>>,
    /// Why there was none, and since when that is known.
    failed: Option<(Instant, ConnectError)>,
}

impl Place {
    fn open(&self) -> Option<&Arc<Connection>> {
        self.connection.as_ref().filter(|open| open.is_good())
    }
}

/// A connection to ask over.
#[derive(Debug)]
struct Connection {
    client: Client,
    /// How long an answer may take: as long as connecting anew.
    answer_max: Duration,
    /// A question was given up. A host that has vanished is noticed by the system after a quarter of
    /// an hour only, and nobody could log in for so long.
    silent: AtomicBool,
}

impl Connection {
    fn is_good(&self) -> bool {
        !self.client.is_closed() && !self.silent.load(Ordering::Relaxed)
    }

    /// What it says of this user; `None` when it says nothing.
    ///
    /// When the future is dropped, because its login takes too long, it has not been answered either.
    async fn ask(
        &self,
        query: &str,
        user: &str,
    ) -> Option<Result<Vec<tokio_postgres::Row>, tokio_postgres::Error>> {
        let mut unanswered = Unanswered(Some(&self.silent));
        let parameters: [&(dyn ToSql + Sync); 1] = [&user];
        let asked = self.client.query(query, &parameters);
        let answer = tokio::time::timeout(self.answer_max, asked).await.ok()?;
        unanswered.0 = None;
        Some(answer)
    }
}

/// A question that waits for its answer: what is to be set if it waits in vain.
struct Unanswered<'a>(Option<&'a AtomicBool>);

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(silent) = self.0 {
            silent.store(true, Ordering::Relaxed);
        }
    }
}

impl Questions {
    pub(super) fn new(pools: Arc<Pools>, auth: &Auth, admin: &Admin) -> Self {
        Self {
            pools,
            query: auth.query.clone(),
            database: auth.query_database.clone(),
            console: admin.clone(),
            places: Mutex::default(),
        }
    }

    /// Where to ask about a client of `database`: the console's clients are known in the URL's own.
    fn asked(&self, database: &str) -> String {
        if !self.console.is_console(database) {
            return database.to_owned();
        }
        let plan = self.pools.plan();
        let target = &plan.upstream;
        // libpq's rule: the database is called like the user unless it is named.
        target.database.as_ref().unwrap_or(&target.user).clone()
    }

    async fn place(&self, database: &str) -> Arc<Mutex<Place>> {
        let mut places = self.places.lock().await;
        if let Some(place) = places.get(database) {
            return Arc::clone(place);
        }
        if places.len() >= CONNECTIONS_MAX {
            places.retain(|_, place| {
                let is_open = || place.try_lock().is_ok_and(|place| place.open().is_some());
                Arc::strong_count(place) > 1 || is_open()
            });
        }
        let place = Arc::default();
        if places.len() < CONNECTIONS_MAX {
            places.insert(database.to_owned(), Arc::clone(&place));
        }
        place
    }

    async fn connection(&self, database: &str) -> Result<Arc<Connection>, ConnectError> {
        let began = Instant::now();
        let place = self.place(database).await;
        let mut place = place.lock().await;
        if let Some(open) = place.open() {
            return Ok(Arc::clone(open));
        }
        if let Some((_, error)) = place.failed.as_ref().filter(|(at, _)| *at >= began) {
            // Another try, made while this one waited: it would only repeat it.
            return Err(error.clone());
        }
        let login = self.pools.control_login(database).map_err(refused)?;
        match control(&login).await {
            Ok((client, _task)) => {
                let connection = Connection {
                    client,
                    answer_max: login.connect_timeout,
                    silent: AtomicBool::new(false),
                };
                Ok(Arc::clone(place.connection.insert(Arc::new(connection))))
            }
            Err(error) => {
                place.failed = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }
}

fn refused(error: PgError) -> ConnectError {
    ConnectError::Refused {
        place: "upstream".to_owned(),
        body: error.body().into(),
    }
}

/// What went wrong is for the log; who asks is a stranger.
fn failed(error: &dyn fmt::Display) -> ConnectError {
    tracing::error!(%error, "auth.query failed");
    ConnectError::Login {
        place: "upstream".to_owned(),
        reason: "auth.query failed; see pgweir's log".to_owned(),
    }
}

/// A refusal of our own login: the client would take it for one of its own.
fn not_yours(error: ConnectError) -> ConnectError {
    let is_refused = matches!(error, ConnectError::Refused { .. });
    if is_refused && error.sqlstate().starts_with("28") {
        return failed(&error);
    }
    error
}

impl Upstreams for Questions {
    async fn verifier(&self, user: &str, database: &str) -> Result<Option<String>, ConnectError> {
        let Some(query) = &self.query else {
            return Ok(None);
        };
        let database = match &self.database {
            Some(database) => database.clone(),
            None => self.asked(database),
        };
        let connection = self.connection(&database).await.map_err(not_yours)?;
        let answer = connection.ask(query, user).await;
        let rows = answer.ok_or_else(|| failed(&"no answer"))?;
        let rows = rows.map_err(|error| failed(&error))?;
        match rows.first() {
            Some(row) => row
                .try_get::<_, Option<String>>(1)
                .map_err(|error| failed(&error)),
            None => Ok(None),
        }
    }

    async fn log_in(
        &self,
        user: &str,
        database: &str,
        credential: &Credential,
    ) -> Result<(), ConnectError> {
        let login = self
            .pools
            .client_login(&self.asked(database), user, credential.clone())
            .map_err(refused)?;
        upstream::connect(&login).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::atomic::AtomicUsize;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;
    use crate::config::{Config, Environment, Flags, load};

    fn config(port: u16) -> Config {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p.toml");
        let text = format!(
            "upstream.url = 'postgres://u:p@127.0.0.1:{port}/main?sslmode=disable&connect_timeout=1'
            auth.query = 'select $1'"
        );
        std::fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap().to_owned();
        let env: Environment = [("PGWEIR_CONFIG".to_owned(), path)].into_iter().collect();
        load(&Flags::default(), &env).unwrap().config
    }

    /// Each name that a stranger tries is a question, but not each a connection.
    #[tokio::test]
    async fn a_burst_of_strangers_opens_one_connection() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let config = config(listener.local_addr().unwrap().port());
        let pools = Arc::new(Pools::new(crate::listen::plan(&config)));
        let questions = Arc::new(Questions::new(pools, &config.auth, &config.admin));
        let mut asked = JoinSet::new();
        for number in 0..50 {
            let questions = Arc::clone(&questions);
            let user = format!("user{number}");
            asked.spawn(async move { questions.verifier(&user, "main").await });
        }
        let accepted = AtomicUsize::new(0);
        let hang_up = async {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                accepted.fetch_add(1, Ordering::Relaxed);
                // Until all others wait for it.
                tokio::time::sleep(Duration::from_millis(100)).await;
                drop(tcp);
            }
        };
        let answers = tokio::select! {
            () = hang_up => Vec::new(),
            answers = asked.join_all() => answers,
        };
        assert_eq!(answers.len(), 50);
        assert!(answers.iter().all(Result::is_err));
        assert_eq!(accepted.into_inner(), 1);
    }

    /// A host that has vanished does not even close its connections.
    #[tokio::test]
    async fn who_does_not_answer_is_not_asked_again() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let config = config(listener.local_addr().unwrap().port());
        let pools = Arc::new(Pools::new(crate::listen::plan(&config)));
        let questions = Questions::new(pools, &config.auth, &config.admin);
        let fall_silent = async {
            let mut all = Vec::new();
            loop {
                let (mut tcp, _) = listener.accept().await.unwrap();
                tcp.read_u8().await.unwrap();
                let ready = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
                tcp.write_all(ready).await.unwrap();
                all.push(tcp);
                if all.len() == 3 {
                    return;
                }
            }
        };
        let ask = async {
            questions.verifier("first", "main").await.unwrap_err();
            // This one's login takes too long before its answer does.
            let asked = questions.verifier("second", "main");
            let second = tokio::time::timeout(Duration::from_millis(500), asked).await;
            second.unwrap_err();
            questions.verifier("third", "main").await
        };
        tokio::select! {
            () = fall_silent => {}
            answer = ask => panic!("{answer:?}"),
        }
    }

    /// The password in upstream.url is wrong, and not the client's.
    #[tokio::test]
    async fn a_refusal_of_ours_is_not_the_client_s() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let config = config(listener.local_addr().unwrap().port());
        let pools = Arc::new(Pools::new(crate::listen::plan(&config)));
        let questions = Questions::new(pools, &config.auth, &config.admin);
        let refuse = async {
            let (mut tcp, _) = listener.accept().await.unwrap();
            tcp.read_u8().await.unwrap();
            let mut words = Vec::new();
            PgError::fatal("28P01", "wrong password of u").encode(&mut words);
            tcp.write_all(&words).await.unwrap();
            tcp
        };
        let (answer, _tcp) = tokio::join!(questions.verifier("client", "main"), refuse);
        let error = answer.unwrap_err();
        assert!(matches!(error, ConnectError::Login { .. }), "{error}");
    }
}
