//! Puts a run's results where people read them: benches/chart.svg, and the generated sections of
//! benches/README.md and README.md.

use std::path::Path;

use pgweir::demo::Error;

use crate::goals::{self, Goal};
use crate::plan::Results;
use crate::{report, write};

/// Around what is generated.
const BEGIN: &str = "<!-- written by scripts/bench.sh --publish -->\n";
const END: &str = "<!-- up to here -->\n";

/// Writes all three.
pub(crate) fn publish(results: &Results, goals: &[Goal], chart: &str) -> Result<(), Error> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    write(&root.join("benches/chart.svg"), chart)?;
    let goals = goals::table(goals);
    let picture = |path: &str| format!("![What a query costs, beside others]({path})\n");
    replace(
        &root.join("README.md"),
        &format!("\n{}\n{goals}\n", picture("benches/chart.svg")),
    )?;
    let table = report::table(results);
    replace(
        &root.join("benches/README.md"),
        &format!("\n{}\n{goals}\n```\n{table}```\n\n", picture("chart.svg")),
    )
}

/// Replaces what is between the marks.
fn replace(path: &Path, section: &str) -> Result<(), Error> {
    let name = path.display();
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|error| Error::io(format!("cannot read {name}"), error))?;
    let parts = text
        .split_once(BEGIN)
        .and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, behind)) = parts else {
        let missing = std::io::Error::other(format!("no section between {BEGIN}and {END}"));
        return Err(Error::io(format!("cannot publish in {name}"), missing));
    };
    write(path, &format!("{before}{BEGIN}{section}{END}{behind}"))
}
