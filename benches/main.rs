//! What a query costs: Postgres alone, through a bare relay, through pgweir, through PgBouncer.
//!
//! Started by `scripts/bench.sh`; benches/README.md says what is measured and what was found.

mod canned;
mod contestant;
mod cpu;
mod idle;
mod json;
mod load;
mod plan;
mod report;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use pgweir::demo::{self, Error};
use pgweir::relay;

/// One line for each thing that can be chosen.
#[derive(Clone, Debug, Parser)]
struct Options {
    /// 40 seconds instead of three minutes: 16 clients and 1,000 idle ones only, two rounds
    #[arg(long)]
    quick: bool,
    /// How often everything is measured, each contestant in turn
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// How long each measurement takes, in seconds
    #[arg(long, value_name = "N", default_value_t = 1)]
    seconds: u32,
    /// Clients at once
    #[arg(long, value_name = "N,N,...", value_delimiter = ',')]
    clients: Option<Vec<usize>>,
    /// Worker threads of pgweir and of the bare relay [what pgweir takes by itself]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Nothing but this
    #[arg(long, value_name = "PART")]
    only: Option<plan::Part>,
    /// Where the figures go
    #[arg(long, value_name = "FILE", default_value = "target/bench/contest.json")]
    json: PathBuf,
    /// Be the relay, from the first address to the second
    #[arg(long, hide = true, num_args = 2, value_names = ["LISTEN", "UPSTREAM"])]
    relay: Option<Vec<SocketAddr>>,
    /// Be the responder of canned answers, at this address
    #[arg(long, hide = true, value_name = "LISTEN")]
    canned: Option<SocketAddr>,
    /// Given by `cargo bench`, and not by `cargo test`
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let mut err = io::stderr().lock();
    let ended = if let Some([listen, upstream]) = options.relay.as_deref() {
        be(*listen, Some(*upstream), options.workers)
    } else if let Some(listen) = options.canned {
        be(listen, None, options.workers)
    } else if options.bench {
        drop(err);
        let ended = contest(&options);
        err = io::stderr().lock();
        ended
    } else {
        // `cargo test --benches` comes here: figures are no test.
        Ok(())
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        // Nothing can be said about a failure to say something.
        Err(error) => writeln!(err, "bench: {error}").map_or(ExitCode::FAILURE, |()| 1.into()),
    }
}

fn contest(options: &Options) -> Result<(), Error> {
    // For the idle clients, ours and (inherited) the proxies'.
    let files = rlimit::increase_nofile_limit(u64::MAX);
    files.map_err(|error| Error::io("cannot raise the limit of open files", error))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::io("cannot start", error))?;
    let result = runtime.block_on(demo::until_interrupted(plan::run(options)));
    let Some(result) = result.transpose()? else {
        return Ok(());
    };
    let printed = io::stdout().lock().write_all(result.table().as_bytes());
    // A reader that has left (`| head`) has seen what it wanted; the file is for the others.
    printed.ok();
    let path = &options.json;
    let directory = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let written = directory.and_then(|()| std::fs::write(path, json::render(&result)));
    written.map_err(|error| Error::io(format!("cannot write {}", path.display()), error))
}

/// The relay, or without an upstream the responder, as a process of its own on a runtime of the same make as
/// pgweir's.
fn be(
    listen: SocketAddr,
    upstream: Option<SocketAddr>,
    workers: Option<usize>,
) -> Result<(), Error> {
    let failed = |error| Error::io("it cannot start", error);
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = workers {
        builder.worker_threads(workers);
    }
    let runtime = builder.enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(listen)
            .await
            .map_err(failed)?;
        let said = writeln!(io::stderr().lock(), "listening on {listen}");
        said.map_err(failed)?;
        // As a task, so that with several workers it is one of theirs.
        let serving = match upstream {
            Some(upstream) => {
                tokio::spawn(relay::serve(listener, upstream, relay::Line::default()))
            }
            None => tokio::spawn(canned::serve(listener)),
        };
        serving.await.ok();
        Ok(())
    })
}
