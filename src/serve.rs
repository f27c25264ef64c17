//! `pgweir serve`: the life of the process, from the configuration to the last signal.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use pgweir::config::{self, Config, Environment, Flags, reload};
use pgweir::listen::{self, Door};
use pgweir::telemetry;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// File descriptors beyond one for each client: upstreams, control connections, logs, listeners.
const FILES_BESIDE_CLIENTS: usize = 64;

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
    let loaded = config::load(flags, environment).map_err(|error| error.to_string())?;
    let config = &loaded.config;
    telemetry::start(&config.log)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    raise_file_limit(config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.workers)
        .enable_all()
        .build()
        .map_err(|error| format!("the runtime cannot be started: {error}"))?;
    let reload = || config::load(flags, environment);
    runtime.block_on(serve_until_told(loaded, reload))
}

async fn serve_until_told<R>(loaded: config::Loaded, reload: R) -> Result<(), String>
where
    R: Fn() -> Result<config::Loaded, config::ConfigError>,
{
    let signals = |kind| signal(kind).map_err(|error| format!("signals: {error}"));
    let mut terminate = signals(SignalKind::terminate())?;
    let mut interrupt = signals(SignalKind::interrupt())?;
    let mut hangup = signals(SignalKind::hangup())?;
    let address = loaded.config.listen.address.clone();
    let listener = listen::bind(&address)
        .await
        .map_err(|error| format!("cannot listen on {address} (listen.address): {error}"))?;
    let door = Door::new(&loaded).map_err(|error| error.to_string())?;
    if let Some(address) = &loaded.config.admin.address.0 {
        let served = std::net::TcpListener::bind(address).and_then(|tcp| door.serve_http(tcp));
        let address = served.map_err(|error| {
            format!("cannot listen on {address} (admin.address, \"\" for none): {error}")
        })?;
        tracing::info!("metrics and health at http://{address}");
    }
    door.warm_up();
    announce(&loaded.config, &listener);
    let mut running = loaded.config;
    loop {
        tokio::select! {
            () = door.accept(&listener) => {}
            Some(()) = hangup.recv() => running = apply(&door, running, &reload),
            () = either(&mut terminate, &mut interrupt) => break,
        }
    }
    tracing::info!("stopping: no new clients, running transactions may end");
    drop(listener);
    let patience = running.listen.shutdown_timeout;
    tokio::select! {
        () = door.drain(patience) => {}
        () = either(&mut terminate, &mut interrupt) => tracing::warn!("stopping at once"),
    }
    Ok(())
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// SIGHUP: takes over what can be taken over, and says what has to wait for a restart.
fn apply<R>(door: &Arc<Door>, running: Config, reload: &R) -> Config
where
    R: Fn() -> Result<config::Loaded, config::ConfigError>,
{
    let mut loaded = match reload() {
        Ok(loaded) => loaded,
        Err(error) => {
            tracing::error!(%error, "the configuration was not reloaded");
            return running;
        }
    };
    let plan = reload::diff(&running, &loaded.config);
    loaded.config = plan.effective;
    if let Err(error) = tokio::task::block_in_place(|| door.reload(&loaded)) {
        tracing::error!(%error, "the configuration was not reloaded");
        return running;
    }
    for key in &plan.restart {
        tracing::warn!(key, "changed, but only a restart applies it");
    }
    tracing::info!(changed = ?plan.live, "configuration reloaded");
    loaded.config
}

/// Says where it listens, and what to put in the connection string.
fn announce(config: &Config, listener: &TcpListener) {
    let address = listener
        .local_addr()
        .map_or_else(|_| config.listen.address.clone(), |a| a.to_string());
    tracing::info!("listening on {address}, upstream {}", config.upstream);
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
