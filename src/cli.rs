//! The command line: which command, with which flags. What the commands do stands in `main`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Arg, Command as Clap};

use crate::config::{self, Environment, Flags};
use crate::demo;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Run the proxy.
    Serve,
    /// Print the effective configuration.
    Check,
    /// Show what pgweir does, with a database at that distance.
    Demo { round_trip: Duration },
}

/// A command with its flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub action: Action,
    pub flags: Flags,
}

/// Names and descriptions; `explain` joins here when there is something behind it.
const COMMANDS: &[(&str, Action, &str)] = &[
    (
        "serve",
        Action::Serve,
        "Run the proxy (what happens without a command)",
    ),
    (
        "check",
        Action::Check,
        "Print the effective configuration, each value with its origin",
    ),
    (
        "demo",
        Action::Demo {
            round_trip: demo::ROUND_TRIP,
        },
        "Show side by side what connecting and querying cost, with a throw-away far Postgres",
    ),
];

/// The demo's flag.
const RTT: &str = "rtt";

const AFTER: &str = "\
Durations D are written 250ms, 15s, 10m or 1h. Every flag can also be given as an environment \
variable (PGWEIR_POOL_SIZE for --pool-size); flags win over variables, variables over the file. \
proxy.toml.example lists all settings, also those that have no flag.";

/// Reads the process's own command line. What clap has to say (help, version, a mistake) is
/// printed here; the exit code is for `main` to return.
pub fn parse() -> Result<Command, ExitCode> {
    parse_from(std::env::args_os()).map_err(|error| {
        // Nothing can be said about a failure to say something.
        let _printed = error.print();
        u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
    })
}

/// [`parse`] for a given command line, program name first.
pub fn parse_from<I>(args: I) -> Result<Command, clap::Error>
where
    I: IntoIterator,
    I::Item: Into<OsString> + Clone,
{
    let mut definition = clap_command();
    let matches = definition.try_get_matches_from_mut(args)?;
    let outer = Flags::from_matches(&matches);
    let (action, flags) = match matches.subcommand() {
        Some((name, inner)) => match action(name) {
            Action::Demo { round_trip } => {
                if outer != Flags::default() {
                    let text = "the demo has settings of its own: only --rtt can be given";
                    return Err(definition.error(ErrorKind::ArgumentConflict, text));
                }
                let round_trip = inner.get_one(RTT).copied().unwrap_or(round_trip);
                (Action::Demo { round_trip }, outer)
            }
            action @ (Action::Serve | Action::Check) => {
                (action, Flags::from_matches(inner).or(outer))
            }
        },
        None => (Action::Serve, outer),
    };
    Ok(Command { action, flags })
}

fn read_round_trip(text: &str) -> Result<Duration, String> {
    let round_trip = config::read_duration(text).map_err(|fault| fault.to_string())?;
    // Trips are counted by it, and every client's ten or so have to fit into its patience.
    if (Duration::from_millis(1)..=Duration::from_secs(1)).contains(&round_trip) {
        Ok(round_trip)
    } else {
        Err("a round trip is between 1ms and 1s".to_owned())
    }
}

/// `pgweir check`: prints the configuration, or what is wrong with it, and fails then.
pub fn check(flags: &Flags, env: &Environment) -> ExitCode {
    let mut out = io::stdout().lock();
    let mut err = io::stderr().lock();
    match report(flags, env, &mut out, &mut err) {
        Ok(code) => code,
        // A reader that has seen enough (`| head`) is no failure of the configuration.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_unwritable) => ExitCode::FAILURE,
    }
}

fn report(
    flags: &Flags,
    env: &Environment,
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<ExitCode> {
    match config::load(flags, env) {
        Ok(loaded) => {
            for warning in &loaded.warnings {
                writeln!(err, "warning: {warning}")?;
            }
            write!(out, "{}", loaded.show())?;
            out.flush()?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            writeln!(err, "pgweir: {error}")?;
            Ok(ExitCode::FAILURE)
        }
    }
}

fn clap_command() -> Clap {
    let root = Clap::new("pgweir")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A transparent Postgres pooler")
        .after_help(AFTER)
        .max_term_width(110)
        .disable_help_subcommand(true)
        .args(Flags::args());
    COMMANDS.iter().fold(root, |root, (name, action, about)| {
        let command = Clap::new(*name).about(*about);
        root.subcommand(match action {
            Action::Serve | Action::Check => command.after_help(AFTER).args(Flags::args()),
            Action::Demo { .. } => command.arg(
                Arg::new(RTT)
                    .long(RTT)
                    .value_name("D")
                    .value_parser(read_round_trip)
                    .help("The distance of the database, as a round trip [70ms]"),
            ),
        })
    })
}

fn action(name: &str) -> Action {
    let found = COMMANDS.iter().find(|(known, _, _)| *known == name);
    found.map_or(Action::Serve, |(_, action, _)| *action)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Command, clap::Error> {
        parse_from([&["pgweir"], args].concat())
    }

    #[test]
    fn serve_is_what_happens_without_a_command() {
        let bare = parse(&["--upstream", "u", "--pool-size", "3"]).unwrap();
        assert_eq!(bare.action, Action::Serve);
        assert_eq!(
            parse(&["serve", "--upstream", "u", "--pool-size", "3"]).unwrap(),
            bare
        );
        assert_eq!(
            parse(&["--upstream", "u", "serve", "--pool-size", "3"]).unwrap(),
            bare
        );
        let check = parse(&["--upstream", "u", "check", "--pool-size", "3"]).unwrap();
        assert_eq!(
            check,
            Command {
                action: Action::Check,
                ..bare
            }
        );
    }

    #[test]
    fn the_demo_has_one_flag_of_its_own() {
        let action = |args: &[&str]| parse(args).map(|command| command.action);
        let demo = |millis| Action::Demo {
            round_trip: Duration::from_millis(millis),
        };
        assert_eq!(action(&["demo"]).unwrap(), demo(70));
        assert_eq!(action(&["demo", "--rtt", "5ms"]).unwrap(), demo(5));
        for wrong in ["5", "0ms", "2s"] {
            assert!(action(&["demo", "--rtt", wrong]).is_err(), "{wrong}");
        }
        assert!(action(&["demo", "--pool-size", "3"]).is_err());
        assert!(action(&["--pool-size", "3", "demo"]).is_err());
    }

    #[test]
    fn the_definition_is_sound_and_help_fits_a_screen() {
        clap_command().debug_assert();
        let help = clap_command().term_width(100).render_help().to_string();
        assert!(help.lines().count() <= 50, "{help}");
        assert!(
            help.lines().all(|line| line.chars().count() <= 100),
            "{help}"
        );
        for wanted in [
            "--pool-size <N>",
            "[20]",
            "[127.0.0.1:6432]",
            "[number of CPUs]",
            "check",
        ] {
            assert!(help.contains(wanted), "{wanted}\n{help}");
        }
    }

    #[test]
    fn a_misspelt_flag_is_an_error_with_a_hint() {
        let error = parse(&["--pool-sise", "3"]).unwrap_err().to_string();
        assert!(error.contains("--pool-size"), "{error}");
        assert!(parse(&["chek"]).is_err());
    }

    #[test]
    fn check_reports_on_the_right_stream() {
        let run = |args: &[&str]| {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let flags = parse(args).unwrap().flags;
            let code = report(&flags, &Environment::new(), &mut out, &mut err).unwrap();
            (
                code,
                String::from_utf8(out).unwrap(),
                String::from_utf8(err).unwrap(),
            )
        };
        let (code, out, err) = run(&["check", "--upstream", "postgres://a:s3cret@db"]);
        assert_eq!((code, err.as_str()), (ExitCode::SUCCESS, ""));
        assert!(
            out.contains("# flag --upstream") && !out.contains("s3cret"),
            "{out}"
        );
        let (code, out, err) = run(&["check", "--upstream", "db"]);
        assert_eq!((code, out.as_str()), (ExitCode::FAILURE, ""));
        assert!(
            err.starts_with("pgweir: flag --upstream: upstream.url: "),
            "{err}"
        );
    }
}
