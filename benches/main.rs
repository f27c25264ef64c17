//! The laboratory: Postgres alone, a canned answer, a bare relay, pgweir, PgBouncer and other poolers.
//!
//! Started by `scripts/bench.sh`; benches/README.md says what is measured and what was found.

mod canned;
mod chart;
mod client;
mod contestant;
mod cpu;
mod far;
mod goals;
mod idle;
mod json;
mod load;
mod peers;
mod pgbench;
mod plan;
mod publish;
mod report;
mod rows;
mod sample;
mod script;
mod shapes;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use pgweir::amount::read_duration;
use pgweir::demo::{self, Error};
use pgweir::relay;

use self::rows::Part;

/// One line for each thing that can be chosen.
#[derive(Clone, Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
struct Options {
    /// Under a minute instead of ten: 16 clients, 1,000 idle ones, one round, one distance. Not for
    /// conclusions
    #[arg(long)]
    quick: bool,
    /// How often everything is measured, each contestant in turn [3; quick: 1]
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// How long each measurement takes, in seconds
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "quick")]
    seconds: u32,
    /// Clients at once [1,16,64,1000; quick: 16]
    #[arg(long, value_name = "N,N,...", value_delimiter = ',')]
    clients: Option<Vec<usize>>,
    /// How far away the database is, there and back [0ms,20ms,70ms,200ms; quick: 70ms]
    #[arg(long, value_name = "D,D,...", value_delimiter = ',', value_parser = duration)]
    rtt: Option<Vec<Duration>>,
    /// Worker threads of pgweir, the relay and the responder [what pgweir takes by itself]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// Nothing but these parts
    #[arg(long, value_name = "PART,PART,...", value_delimiter = ',')]
    only: Vec<Part>,
    /// Where the figures go; the chart goes beside them
    #[arg(long, value_name = "FILE", default_value = "target/bench/contest.json")]
    json: PathBuf,
    /// Put chart and tables into benches/ and README.md as well
    #[arg(long, conflicts_with_all = ["quick", "only"])]
    publish: bool,
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

impl Options {
    fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.quick { 1 } else { 3 })
    }

    /// How long one measurement takes.
    fn time(&self) -> Duration {
        if self.quick {
            return Duration::from_millis(200);
        }
        Duration::from_secs(self.seconds.into())
    }

    fn clients(&self) -> Vec<usize> {
        let all: &[usize] = if self.quick {
            &[rows::SOME]
        } else {
            &[1, rows::SOME, 64, 1000]
        };
        self.clients.clone().unwrap_or_else(|| all.to_vec())
    }

    fn round_trips(&self) -> Vec<Duration> {
        let all: &[u64] = if self.quick { &[70] } else { &[0, 20, 70, 200] };
        let all = || all.iter().copied().map(Duration::from_millis).collect();
        self.rtt.clone().unwrap_or_else(all)
    }
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    read_duration(text).ok_or("write 70ms or 1s")
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
    let goals = goals::goals(&result);
    let text = format!("{}\n{}", report::table(&result), goals::table(&goals));
    let printed = io::stdout().lock().write_all(text.as_bytes());
    // A reader that has left (`| head`) has seen what it wanted; the files are for the others.
    printed.ok();
    write(&options.json, &json::render(&result, &goals))?;
    let chart = chart::render(&result);
    write(&options.json.with_extension("svg"), &chart)?;
    if options.publish {
        publish::publish(&result, &goals, &chart)?;
    }
    Ok(())
}

/// As a new file in the old one's place: whoever has a link to that keeps it.
fn write(path: &Path, text: &str) -> Result<(), Error> {
    let directory = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    let fresh = path.with_extension("new");
    let written = directory
        .and_then(|()| std::fs::write(&fresh, text))
        .and_then(|()| std::fs::rename(&fresh, path));
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
