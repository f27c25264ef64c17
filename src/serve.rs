//! `pgweir serve`: the life of the process, from the configuration to the last signal.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use pgweir::admin::Shutdown;
use pgweir::config::{self, Config, Environment, Flags, Reload, reload};
use pgweir::listen::orders::{self, Answer, Order, Orders};
use pgweir::listen::{Door, Passed};
use pgweir::telemetry::{self, Level};
use pgweir::wire::error::{PgError, Severity};
use pgweir::wire::trouble;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// File descriptors beyond one for each client: upstreams, control connections, logs, listeners.
const FILES_BESIDE_CLIENTS: usize = 64;

/// Somebody has the address who does not share it: a process that takes over needs one that does.
const IN_USE_ALONE: &str = "; who listens there does not share the address: to take over, that process too has to be started \
     with listen.reuse_port = true";

/// Runs the proxy until it is told to stop.
pub(super) fn serve(flags: &Flags, environment: &Environment) -> ExitCode {
    match run(flags, environment) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is where the caller looks; if it is closed there is nobody to tell.
            let _told = writeln!(std::io::stderr().lock(), "pgweir: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags, environment: &Environment) -> Result<(), String> {
    let passed = Passed::take(environment).map_err(|error| error.to_string())?;
    let flags = flags.clone().sockets(passed.addresses());
    let loaded = config::load(&flags, environment).map_err(|error| error.to_string())?;
    let config = &loaded.config;
    let level = telemetry::start(&config.log)?;
    for warning in passed.warning.iter().chain(&loaded.warnings) {
        tracing::warn!("{warning}");
    }
    raise_file_limit(config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.workers)
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime cannot be started: {error}"))?;
    let load = |said: &BTreeMap<&'static str, String>| {
        config::load(&flags.clone().said(said), environment)
    };
    runtime.block_on(serve_until_told(loaded, passed, level, load))
}

async fn serve_until_told<L>(
    loaded: config::Loaded,
    mut passed: Passed,
    level: Level,
    load: L,
) -> Result<(), String>
where
    L: Fn(&BTreeMap<&'static str, String>) -> Result<config::Loaded, config::ConfigError>,
{
    let signals = |kind| signal(kind).map_err(|error| format!("signals: {error}"));
    let mut terminate = signals(SignalKind::terminate())?;
    let mut interrupt = signals(SignalKind::interrupt())?;
    let mut hangup = signals(SignalKind::hangup())?;
    let mut succeeded = signals(SignalKind::user_defined1())?;
    let listen = &loaded.config.listen;
    let listener = passed.clients(listen).await.map_err(|error| {
        let address = &listen.address;
        let is_alone = listen.reuse_port && error.kind() == ErrorKind::AddrInUse;
        let advice = if is_alone {
            IN_USE_ALONE
        } else {
            advice(error.kind())
        };
        format!("cannot listen on {address} (listen.address): {error}{advice}")
    })?;
    let (door, mut orders) = Door::new(&loaded).map_err(|error| error.to_string())?;
    if let Some(address) = &loaded.config.admin.address.0 {
        let served = passed.admin(address).and_then(|tcp| door.serve_http(tcp));
        let address = served.map_err(|error| {
            let advice = advice(error.kind());
            format!("cannot listen on {address} (admin.address, \"\" for none): {error}{advice}")
        })?;
        let from = loaded.origins.of("admin.address");
        tracing::info!(%from, "metrics and health at http://{address}");
    }
    let exporter = door
        .export(&loaded.config.telemetry)
        .map_err(|error| format!("nothing can be sent to telemetry.endpoint: {error}"))?;
    door.warm_up();
    announce(&loaded, &listener);
    let mut running = Running {
        config: loaded.config,
        said: BTreeMap::new(),
        level,
        load,
    };
    // A task of its own, where the clients' are: what this one waits for is woken on another thread,
    // and each new client would cost two switches between them.
    let listener = Arc::new(listener);
    let accepting = tokio::spawn({
        let (door, listener) = (Arc::clone(&door), Arc::clone(&listener));
        async move { door.accept(&listener).await }
    });
    let when = loop {
        tokio::select! {
            Some(()) = hangup.recv() => drop(running.reload(&door)),
            Some(order) = orders.recv() => if let Some(when) = running.obey(&door, order) {
                break Some(when);
            },
            () = either(&mut terminate, &mut interrupt) => break None,
            // As HAProxy has it: another process listens, and clients leave when they like.
            Some(()) = succeeded.recv() => break Some(Shutdown::WaitForClients),
        }
    };
    accepting.abort();
    // It has let go of the listener when this is ready.
    let _aborted = accepting.await;
    door.accept_queued(&listener).await;
    drop(listener);
    tokio::select! {
        () = stop(&door, when, running.config.listen.shutdown_timeout) => {}
        () = told_again(&mut orders) => door.kill().await,
        () = either(&mut terminate, &mut interrupt) => tracing::warn!("stopping at once"),
    }
    door.close_consoles().await;
    if let Some(exporter) = exporter {
        exporter.finish().await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// Waits for those whose end is waited for: by the console's word, or as after a signal.
async fn stop(door: &Door, when: Option<Shutdown>, patience: Duration) {
    match when {
        None => {
            tracing::info!("stopping: no new clients, running transactions may end");
            door.drain(patience).await;
        }
        Some(Shutdown::Now) => {
            tracing::info!("stopping at once");
            door.kill().await;
        }
        Some(Shutdown::WaitForServers) => {
            tracing::info!("stopping: no new clients, running transactions may end");
            door.servers_free().await;
        }
        Some(Shutdown::WaitForClients) => {
            tracing::info!("stopping: no new clients, until all have left");
            door.clients_gone().await;
        }
    }
}

/// While the process stops there is one more order that counts.
async fn told_again(orders: &mut Orders) {
    while let Some(order) = orders.recv().await {
        match order {
            Order::Shutdown(Shutdown::Now) => return,
            Order::Shutdown(_) => {}
            // Whoever asked may have gone.
            Order::Reload(reply) | Order::Set(_, _, reply) => {
                let _told = reply.send(Err(orders::stopping()));
            }
        }
    }
    std::future::pending().await
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// The configuration in force, and where the next one comes from.
struct Running<L> {
    config: Config,
    /// What was set in the console, by key.
    said: BTreeMap<&'static str, String>,
    level: Level,
    load: L,
}

impl<L> Running<L>
where
    L: Fn(&BTreeMap<&'static str, String>) -> Result<config::Loaded, config::ConfigError>,
{
    /// Does what the console asks; when the process is to end, if it is.
    fn obey(&mut self, door: &Arc<Door>, order: Order) -> Option<Shutdown> {
        let (answer, reply) = match order {
            Order::Shutdown(when) => return Some(when),
            Order::Reload(reply) => (self.reload(door), reply),
            Order::Set(key, value, reply) => (self.set(door, key, value), reply),
        };
        // Whoever asked may have gone.
        let _told = reply.send(answer);
        None
    }

    /// RELOAD and SIGHUP: what was set in the console is as it was before.
    fn reload(&mut self, door: &Arc<Door>) -> Answer {
        self.apply(door, BTreeMap::new())
    }

    fn set(&mut self, door: &Arc<Door>, key: &'static str, value: Option<String>) -> Answer {
        let settings = config::table::all();
        let restart = |s: &&config::Setting<Config>| s.key == key && s.reload == Reload::Restart;
        if settings.filter(restart).count() > 0 {
            let text = format!("{key} cannot be changed while pgweir runs");
            return Err(PgError::error(&trouble::CONSOLE_RESTART, text));
        }
        let mut said = self.said.clone();
        match value {
            Some(value) => said.insert(key, value),
            None => said.remove(key),
        };
        self.apply(door, said)
    }

    /// Takes over what can be taken over, and says what has to wait for a restart.
    fn apply(&mut self, door: &Arc<Door>, said: BTreeMap<&'static str, String>) -> Answer {
        let failed = |error: String| {
            tracing::error!(error, "the configuration was not reloaded");
            let text = format!("nothing was changed: {error}");
            Err(PgError::error(&trouble::CONSOLE_NOT_RELOADED, text))
        };
        let mut loaded = match (self.load)(&said) {
            Ok(loaded) => loaded,
            Err(error) => return failed(error.to_string()),
        };
        let plan = reload::diff(&self.config, &loaded.config);
        loaded.config = plan.effective;
        if let Err(error) = tokio::task::block_in_place(|| door.reload(&loaded)) {
            return failed(error.to_string());
        }
        if let Err(error) = self.level.set(&loaded.config.log.level) {
            // It was read when the file was checked; what else was read is in force.
            tracing::error!(error, "the level of the log stays as it was");
        }
        let notice = |severity, text| PgError::new(severity, "00000", text);
        let mut notices = Vec::new();
        for key in &plan.live {
            notices.push(notice(Severity::Notice, format!("{key} has changed")));
        }
        for key in &plan.restart {
            tracing::warn!(key, "changed, but only a restart applies it");
            let text = format!("{key} has changed, but only a restart applies it");
            notices.push(notice(Severity::Warning, text));
        }
        tracing::info!(changed = ?plan.live, "configuration reloaded");
        self.config = loaded.config;
        self.said = said;
        Ok(notices)
    }
}

/// What to do about an address that cannot be had.
fn advice(kind: ErrorKind) -> &'static str {
    let known = [
        (
            ErrorKind::AddrInUse,
            "; `ss -ltnp` shows who listens there: stop that process, or give another address",
        ),
        (
            ErrorKind::AddrNotAvailable,
            "; it is no address of this machine: give another one",
        ),
        (
            ErrorKind::PermissionDenied,
            "; give a port from 1024 on, or the right to lower ones",
        ),
    ];
    let found = known.iter().find(|(known, _)| *known == kind);
    found.map_or("", |(_, advice)| *advice)
}

/// Says where it listens, and what to put in the connection string.
fn announce(loaded: &config::Loaded, listener: &TcpListener) {
    let config = &loaded.config;
    let from = loaded.origins.of("listen.address");
    let address = listener
        .local_addr()
        .map_or_else(|_| config.listen.address.clone(), |a| a.to_string());
    tracing::info!(%from, "listening on {address}, upstream {}", config.upstream);
    let user = match config.upstream.user.as_str() {
        "" => "USER",
        user => user,
    };
    let database = config.upstream.database.as_deref().unwrap_or("DATABASE");
    tracing::info!("connect with postgres://{user}:PASSWORD@{address}/{database}");
}

/// Every client is a file descriptor, and so is every upstream.
fn raise_file_limit(config: &Config) -> Result<(), String> {
    let wanted = config.listen.clients_max + config.pool.size_max + FILES_BESIDE_CLIENTS;
    let limit = rlimit::increase_nofile_limit(u64::MAX)
        .map_err(|error| format!("the limit on open files cannot be read: {error}"))?;
    if limit < wanted as u64 {
        return Err(format!(
            "listen.clients_max = {} needs {wanted} open files, but the limit (ulimit -n) is {limit}; \
             raise it, or lower listen.clients_max",
            config.listen.clients_max
        ));
    }
    Ok(())
}
