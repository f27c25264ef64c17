//! What greeting a client asks of the upstream side: `auth.query`, and pass-through logins.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Mutex;
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
    /// Locked only to look up: a query holds its client by itself.
    clients: Mutex<HashMap<String, Arc<Client>>>,
}

impl Questions {
    pub(super) fn new(pools: Arc<Pools>, auth: &Auth, admin: &Admin) -> Self {
        Self {
            pools,
            query: auth.query.clone(),
            database: auth.query_database.clone(),
            console: admin.clone(),
            clients: Mutex::new(HashMap::new()),
        }
    }

    /// Where to ask about a client of `database`: the console's clients are known in the URL's own.
    fn place(&self, database: &str) -> String {
        if !self.console.is_console(database) {
            return database.to_owned();
        }
        let plan = self.pools.plan();
        let target = &plan.upstream;
        // libpq's rule: the database is called like the user unless it is named.
        target.database.as_ref().unwrap_or(&target.user).clone()
    }

    async fn client(&self, database: &str) -> Result<Arc<Client>, ConnectError> {
        let known = self.clients.lock().await.get(database).cloned();
        if let Some(client) = known.filter(|client| !client.is_closed()) {
            return Ok(client);
        }
        let login = self.pools.control_login(database).map_err(refused)?;
        let (client, _task) = control(&login).await?;
        let client = Arc::new(client);
        let mut clients = self.clients.lock().await;
        clients.retain(|_, client| !client.is_closed());
        if clients.len() < CONNECTIONS_MAX {
            clients.insert(database.to_owned(), Arc::clone(&client));
        }
        Ok(client)
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
            None => self.place(database),
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
            .client_login(&self.place(database), user, credential.clone())
            .map_err(refused)?;
        upstream::connect(&login).await.map(drop)
    }
}
