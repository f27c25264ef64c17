//! What greeting a client asks of the upstream side: `auth.query`, and pass-through logins.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_postgres::Client;

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
    client: Option<Arc<Client>>,
    /// Why there was none, and since when that is known.
    failed: Option<(Instant, ConnectError)>,
}

impl Place {
    fn open(&self) -> Option<&Arc<Client>> {
        self.client.as_ref().filter(|client| !client.is_closed())
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

    async fn client(&self, database: &str) -> Result<Arc<Client>, ConnectError> {
        let began = Instant::now();
        let place = self.place(database).await;
        let mut place = place.lock().await;
        if let Some(client) = place.open() {
            return Ok(Arc::clone(client));
        }
        if let Some((_, error)) = place.failed.as_ref().filter(|(at, _)| *at >= began) {
            // Another try, made while this one waited: it would only repeat it.
            return Err(error.clone());
        }
        let login = self.pools.control_login(database).map_err(refused)?;
        match control(&login).await {
            Ok((client, _task)) => Ok(Arc::clone(place.client.insert(Arc::new(client)))),
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

impl Upstreams for Questions {
    async fn verifier(&self, user: &str, database: &str) -> Result<Option<String>, ConnectError> {
        let Some(query) = &self.query else {
            return Ok(None);
        };
        let database = match &self.database {
            Some(database) => database.clone(),
            None => self.asked(database),
        };
        let client = self.client(&database).await?;
        let failed = |error: tokio_postgres::Error| {
            tracing::error!(%error, "auth.query failed");
            ConnectError::Login {
                place: "upstream".to_owned(),
                reason: "auth.query failed; see pgweir's log".to_owned(),
            }
        };
        let rows = client
            .query(query.as_str(), &[&user])
            .await
            .map_err(failed)?;
        match rows.first() {
            Some(row) => row.try_get::<_, Option<String>>(1).map_err(failed),
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
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;
    use crate::config::{Config, Environment, Flags, load};

    fn config(port: u16) -> Config {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p.toml");
        let text = format!(
            "upstream.url = 'postgres://u:p@127.0.0.1:{port}/main?sslmode=disable'
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
}
