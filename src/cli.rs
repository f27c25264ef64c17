//! The command line: which command, with which flags. What the commands do stands in `main`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command as Clap};

use crate::config::{self, Environment, Flags};
use crate::demo;
use crate::explain::Question;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Run the proxy.
    Serve,
    /// Print the effective configuration.
    Check,
    /// Show what pgweir does, with a database at that distance.
    Demo { round_trip: Duration },
    /// Say what the cache makes of a text.
    Explain(Question),
}

/// The commands by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Serve,
    Check,
    Demo,
    Explain,
}

/// A command with its flags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub action: Action,
    pub flags: Flags,
}

/// Names and descriptions.
const COMMANDS: &[(&str, Name, &str)] = &[
    (
        "serve",
        Name::Serve,
        "Run the proxy (what happens without a command)",
    ),
    (
        "check",
        Name::Check,
        "Print the effective configuration, each value with its origin",
    ),
    (
        "demo",
        Name::Demo,
        "Show side by side what connecting and querying cost, with a throw-away far Postgres",
    ),
    (
        "explain",
        Name::Explain,
        "Say whether a query is cached and for how long, and why; or what a write makes stale",
    ),
];

/// The demo's flag.
const RTT: &str = "rtt";

/// What `explain` takes.
const TEXT: &str = "text";
const JSON: &str = "json";
const DATABASE: &str = "database";
const USER: &str = "user";

/// The settings that `explain --help` shows; it takes them all.
const EXPLAIN_FLAGS: [&str; 6] = [
    "config",
    "upstream",
    "pool-mode",
    "cache",
    "cache-ttl",
    "cache-swr",
];

const AFTER_EXPLAIN: &str = "\
It asks the upstream's catalog, as the URL's user, and never runs the text. Settings come from \
flags, PGWEIR_ variables and the file, as for serve. The status is 0 when it could be explained, \
whether the query is cached or not.

  pgweir explain 'SELECT * FROM orders WHERE id = 1' --upstream postgres://u:p@host/shop
  pgweir explain - -c proxy.toml --json < query.sql";

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
        Some((name, inner)) => match command(name) {
            Name::Demo => {
                if outer != Flags::default() {
                    let text = "the demo has settings of its own: only --rtt can be given";
                    return Err(definition.error(ErrorKind::ArgumentConflict, text));
                }
                let round_trip = inner.get_one(RTT).copied().unwrap_or(demo::ROUND_TRIP);
                (Action::Demo { round_trip }, outer)
            }
            Name::Serve => (Action::Serve, Flags::from_matches(inner).or(outer)),
            Name::Check => (Action::Check, Flags::from_matches(inner).or(outer)),
            Name::Explain => {
                let action = Action::Explain(question(inner));
                (action, Flags::from_matches(inner).or(outer))
            }
        },
        None => (Action::Serve, outer),
    };
    Ok(Command { action, flags })
}

fn question(matches: &ArgMatches) -> Question {
    let given = |name| matches.get_one::<String>(name).cloned();
    Question {
        text: given(TEXT).unwrap_or_default(),
        json: matches.get_flag(JSON),
        database: given(DATABASE),
        user: given(USER),
    }
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
            Name::Serve | Name::Check => command.after_help(AFTER).args(Flags::args()),
            Name::Explain => explain_command(command),
            Name::Demo => command.arg(
                Arg::new(RTT)
                    .long(RTT)
                    .value_name("D")
                    .value_parser(read_round_trip)
                    .help("The distance of the database, as a round trip [70ms]"),
            ),
        })
    })
}

fn explain_command(command: Clap) -> Clap {
    let named = |name: &'static str, help| Arg::new(name).long(name).value_name("NAME").help(help);
    let flags = Flags::args().into_iter().map(|arg| {
        let shown = EXPLAIN_FLAGS.contains(&arg.get_id().as_str());
        arg.hide(!shown)
    });
    command
        .after_help(AFTER_EXPLAIN)
        .arg(
            Arg::new(TEXT)
                .value_name("TEXT")
                .required(true)
                .help("The text, as a client would send it; - reads it from standard input"),
        )
        .arg(
            Arg::new(JSON)
                .long(JSON)
                .action(ArgAction::SetTrue)
                .help("For programs"),
        )
        .arg(named(
            DATABASE,
            "The client's database [that of the upstream's URL]",
        ))
        .arg(named(
            USER,
            "The client's user [that of the upstream's URL]",
        ))
        .args(flags)
}

fn command(name: &str) -> Name {
    let found = COMMANDS.iter().find(|(known, _, _)| *known == name);
    found.map_or(Name::Serve, |(_, name, _)| *name)
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
    fn explain_takes_a_text_and_the_settings_of_serve() {
        let parsed = parse(&["-c", "p.toml", "explain", "-", "--json", "--user", "bob"]).unwrap();
        let question = Question {
            text: "-".to_owned(),
            json: true,
            database: None,
            user: Some("bob".to_owned()),
        };
        assert_eq!(parsed.action, Action::Explain(question));
        assert_eq!(parsed.flags.config, Some("p.toml".into()));
        assert!(parse(&["explain"]).is_err());
        assert!(parse(&["explain", "select 1", "--pool-size", "3"]).is_ok());
        let mut whole = clap_command();
        let explain = whole.find_subcommand_mut("explain").unwrap();
        let help = explain.clone().term_width(100).render_help().to_string();
        assert!(help.lines().count() <= 30, "{help}");
        assert!(
            help.contains("--upstream <URL>") && !help.contains("--pool-size"),
            "{help}"
        );
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
