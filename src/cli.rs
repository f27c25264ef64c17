//! The command line: which command, with which flags. What the commands do stands in `main`.

mod check;
mod paper;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Command as Clap, value_parser};
use clap_complete::Shell;

pub use check::check;
pub use paper::{completions, man};

use crate::config::{self, Flags};
use crate::demo;
use crate::explain::Question;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Run the proxy.
    Serve,
    /// Look at a configuration, or at the proxy that runs with it.
    Check(Check),
    /// Show what pgweir does, with a database at that distance.
    Demo { round_trip: Duration },
    /// Say what the cache makes of a text.
    Explain(Question),
    /// Print a completion script.
    Completions(Shell),
    /// Print the manual page.
    Man,
}

/// What `check` looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// The effective configuration is printed.
    Config,
    /// The running proxy is asked whether it answers.
    Live,
    /// A PgBouncer's configuration is translated.
    FromPgBouncer(PathBuf),
}

/// The commands by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Serve,
    Check,
    Demo,
    Explain,
    Completions,
    Man,
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
        "Print the effective configuration, ask the running proxy, or translate PgBouncer's",
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
    (
        "completions",
        Name::Completions,
        "Print a completion script for a shell",
    ),
    ("man", Name::Man, "Print the manual page"),
];

/// What `check` takes besides settings.
const LIVE: &str = "live";
const FROM_PGBOUNCER: &str = "from-pgbouncer";

/// What `completions` takes.
const SHELL: &str = "shell";

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
proxy.toml.example lists all settings, also those that have no flag.

  PGWEIR_UPSTREAM=postgres://u:p@host/shop pgweir    psql postgres://u:p@127.0.0.1:6432/shop";

/// What the manual page has besides; each is a section.
const PAPER: [(&str, &str); 4] = [
    (
        "SIGNALS",
        "HUP reads the file and the certificates again. TERM and INT end gently: no new clients, running \
         transactions may end within listen.shutdown_timeout; once more, at once. USR1 takes no new \
         clients and ends when the last has left.",
    ),
    (
        "FILES",
        "/etc/pgweir/proxy.toml is the configuration of the service, /etc/default/pgweir its variables. \
         PGPASSFILE or ~/.pgpass has passwords that are not in the URL.",
    ),
    (
        "EXIT STATUS",
        "0 when told to end, or when what was asked for was done; 1 when it could not be; 2 for a command \
         line that is not understood.",
    ),
    (
        "SEE ALSO",
        "psql(1); the console, psql -d pgweir, then SHOW HELP; the page at http://127.0.0.1:6433/; the \
         documents in /usr/share/doc/pgweir.",
    ),
];

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
            Name::Check => {
                let action = Action::Check(what_to_check(inner));
                (action, Flags::from_matches(inner).or(outer))
            }
            Name::Completions => {
                let shell = inner.get_one(SHELL).copied().unwrap_or(Shell::Bash);
                (Action::Completions(shell), outer)
            }
            Name::Man => (Action::Man, outer),
            Name::Explain => {
                let action = Action::Explain(question(inner));
                (action, Flags::from_matches(inner).or(outer))
            }
        },
        None => (Action::Serve, outer),
    };
    Ok(Command { action, flags })
}

fn what_to_check(matches: &ArgMatches) -> Check {
    if matches.get_flag(LIVE) {
        return Check::Live;
    }
    matches
        .get_one::<PathBuf>(FROM_PGBOUNCER)
        .map_or(Check::Config, |path| Check::FromPgBouncer(path.clone()))
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

fn clap_command() -> Clap {
    let root = Clap::new("pgweir")
        .version(env!("CARGO_PKG_VERSION"))
        .about("A transparent Postgres pooler and query cache")
        .after_help(AFTER)
        .max_term_width(110)
        .disable_help_subcommand(true)
        .args(Flags::args());
    COMMANDS.iter().fold(root, |root, (name, action, about)| {
        let command = Clap::new(*name).about(*about);
        root.subcommand(match action {
            Name::Serve => command.after_help(AFTER).args(Flags::args()),
            Name::Check => check_command(command),
            Name::Completions => command.arg(
                Arg::new(SHELL)
                    .value_name("SHELL")
                    .required(true)
                    .value_parser(value_parser!(Shell)),
            ),
            Name::Man => command,
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

fn check_command(command: Clap) -> Clap {
    command
        .after_help(AFTER)
        .arg(
            Arg::new(LIVE).long(LIVE).action(ArgAction::SetTrue).help(
                "Ask the proxy that runs with these settings whether it answers; fail if not",
            ),
        )
        .arg(
            Arg::new(FROM_PGBOUNCER)
                .long(FROM_PGBOUNCER)
                .value_name("INI")
                .value_parser(value_parser!(PathBuf))
                .conflicts_with(LIVE)
                .help("Print the proxy.toml that does what this pgbouncer.ini does"),
        )
        .args(Flags::args())
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
                action: Action::Check(Check::Config),
                ..bare
            }
        );
    }

    #[test]
    fn check_looks_at_one_thing() {
        let action = |args: &[&str]| parse(args).map(|command| command.action);
        assert_eq!(
            action(&["check", "--live", "--listen", "[::1]:1"]).unwrap(),
            Action::Check(Check::Live)
        );
        assert_eq!(
            action(&["check", "--from-pgbouncer", "p.ini"]).unwrap(),
            Action::Check(Check::FromPgBouncer("p.ini".into()))
        );
        assert!(action(&["check", "--live", "--from-pgbouncer", "p.ini"]).is_err());
        assert!(action(&["serve", "--live"]).is_err());
        assert!(action(&["completions"]).is_err() && action(&["completions", "cmd"]).is_err());
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
}
