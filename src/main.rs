//! The `pgweir` program: reads the command line and the configuration, and runs the command.

mod serve;

use std::process::ExitCode;

use pgweir::cli::{self, Action};
use pgweir::{config, demo, explain};

// A query allocates and frees a handful of small blocks, often on different threads; of the
// allocators at hand this one does it cheapest.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let environment = config::environment();
    let command = match cli::parse() {
        Ok(command) => command,
        Err(code) => return code,
    };
    match command.action {
        Action::Serve => serve::serve(&command.flags, &environment),
        Action::Check(what) => cli::check(&what, &command.flags, &environment),
        Action::Demo { round_trip } => demo::run(round_trip),
        Action::Explain(question) => explain::run(&command.flags, &environment, &question),
        Action::Completions(shell) => cli::completions(shell),
        Action::Man => cli::man(),
    }
}
