//! What packages ship of the command line: completion scripts and the manual page, made from its
//! definition.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap_complete::Shell;

use super::{PAPER, clap_command};

/// Prints the script that makes `shell` complete our flags.
pub fn completions(shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut clap_command(), "pgweir", &mut script);
    print(&script)
}

/// Prints the manual page, section 1, all commands on it.
pub fn man() -> ExitCode {
    page().map_or(ExitCode::FAILURE, |page| print(&page))
}

/// The program's page, and behind it the options of each command, so that one file holds all.
fn page() -> io::Result<Vec<u8>> {
    let root = clap_command();
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(root.clone());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    man.render_subcommands_section(&mut page)?;
    for command in root.get_subcommands() {
        let own = command
            .get_arguments()
            .any(|arg| !root.get_arguments().any(|a| a == arg));
        if own {
            let name = command.get_name().to_uppercase();
            writeln!(page, ".SH \"THE COMMAND {name}\"")?;
            if let Some(about) = command.get_about() {
                writeln!(page, "{}.", escaped(&about.to_string()))?;
            }
            let mut alone = command.clone();
            // The settings stand above; here only what the command has of its own.
            let shared: Vec<_> = root.get_arguments().map(|a| a.get_id().clone()).collect();
            for id in shared {
                if alone.get_arguments().any(|a| *a.get_id() == id) {
                    alone = alone.mut_arg(&id, |arg| arg.hide(true));
                }
            }
            clap_mangen::Man::new(alone).render_options_section(&mut page)?;
        }
    }
    man.render_extra_section(&mut page)?;
    for (heading, text) in PAPER {
        writeln!(page, ".SH \"{heading}\"\n{}", escaped(text))?;
    }
    man.render_version_section(&mut page)?;
    Ok(page)
}

/// A hyphen of the text is a hyphen of the page.
fn escaped(text: &str) -> String {
    text.replace('-', "\\-")
}

fn print(text: &[u8]) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_unwritable) => ExitCode::FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_every_flag_and_command() {
        let page = String::from_utf8(page().unwrap()).unwrap();
        let plain = page.replace("\\-", "-");
        for wanted in [
            "--pool-size",
            "--live",
            "--from-pgbouncer",
            "--rtt",
            "pgweir-explain(1)",
            "Say whether a query is cached",
            "SIGNALS\"\nHUP reads",
            "psql -d pgweir",
        ] {
            assert!(plain.contains(wanted), "{wanted}\n{plain}");
        }
        // In the synopsis, as an option, and in what stands below; not again with each command.
        assert_eq!(plain.matches("--pool-size").count(), 3, "{plain}");
    }
}
