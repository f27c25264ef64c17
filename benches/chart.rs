//! The chart: a few bars of what matters most, as SVG.
//!
//! It has no background, and colours of its own for dark pages, so that it is readable on both.

use std::fmt::Write;

use crate::contestant::{Entry, Who};
use crate::far::Way;
use crate::plan::{FAR, Results};
use crate::report::{CPU, RATE};
use crate::rows::{Part, SOME};
use crate::script::Protocol;

/// In pixels.
const PANEL_WIDTH: usize = 440;
const LABEL_WIDTH: usize = 104;
const BAR_WIDTH: usize = 240;
const BAR_HEIGHT: usize = 18;
const TITLE_HEIGHT: usize = 34;
/// Below the bars of the fullest panel.
const GAP: usize = 22;
const COLUMNS: usize = 2;

const STYLE: &str = "<style>
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 }
.bar { fill: #9aa4b0 }
.own { fill: #2f81b7 }
@media (prefers-color-scheme: dark) {
text { fill: #d5dbe1 }
.bar { fill: #656f7a }
.own { fill: #4ea1d8 }
}
</style>
";

/// A few bars; shorter is better unless the title says otherwise.
struct Panel {
    title: String,
    bars: Vec<Bar>,
}

struct Bar {
    name: &'static str,
    figure: f64,
    is_own: bool,
}

/// The whole file.
pub(crate) fn render(results: &Results) -> String {
    let all = [
        cpu(results, Part::Hits, "µs of CPU per hit"),
        cpu(results, Part::Misses, "µs of CPU per miss"),
        rate(results),
        far(results),
        idle(results, Entry::Clear, "KiB per idle client, in clear"),
        idle(results, Entry::Tls, "KiB per idle client, TLS"),
    ];
    let panels = all.iter().filter(|panel| !panel.bars.is_empty());
    let rows = panels.clone().count().div_ceil(COLUMNS);
    let most = all.iter().map(|panel| panel.bars.len()).max().unwrap_or(0);
    let panel_height = TITLE_HEIGHT + most * BAR_HEIGHT + GAP;
    let (width, height) = (COLUMNS * PANEL_WIDTH, rows * panel_height);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" role=\"img\">\n<title>What a query costs</title>\n{STYLE}"
    );
    for (n, panel) in panels.enumerate() {
        let (x, y) = (n % COLUMNS * PANEL_WIDTH, n / COLUMNS * panel_height);
        text += &draw(panel, x, y);
    }
    text + "</svg>\n"
}

fn draw(panel: &Panel, x: usize, y: usize) -> String {
    let most = panel.bars.iter().map(|bar| bar.figure).fold(0.0, f64::max);
    let title = escape(&panel.title);
    let mut text = format!(
        "<g transform=\"translate({x} {y})\">\n<text class=\"title\" x=\"8\" y=\"20\">{title}</text>\n"
    );
    for (n, bar) in panel.bars.iter().enumerate() {
        let top = TITLE_HEIGHT + n * BAR_HEIGHT;
        let base = top + BAR_HEIGHT - 5;
        let long = (bar.figure / most.max(f64::MIN_POSITIVE) * BAR_WIDTH as f64).max(1.0);
        let class = if bar.is_own { "own" } else { "bar" };
        let (label, high) = (LABEL_WIDTH - 8, BAR_HEIGHT - 4);
        let end = LABEL_WIDTH as f64 + long + 6.0;
        // A String takes everything.
        let _written = writeln!(
            text,
            "<text x=\"{label}\" y=\"{base}\" text-anchor=\"end\">{}</text>\
             <rect class=\"{class}\" x=\"{LABEL_WIDTH}\" y=\"{top}\" width=\"{long:.1}\" height=\"{high}\"/>\
             <text x=\"{end:.1}\" y=\"{base}\">{}</text>",
            escape(bar.name),
            number(bar.figure)
        );
    }
    text + "</g>\n"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// Three digits that mean something, and no more.
fn number(figure: f64) -> String {
    match figure {
        _ if figure >= 100.0 => format!("{figure:.0}"),
        _ if figure >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.2}"),
    }
}

fn bar(who: Who, figure: f64) -> Bar {
    Bar {
        name: who.as_str(),
        figure,
        is_own: matches!(who, Who::Pgweir | Who::Uncached | Who::OneWorker),
    }
}

/// In the extended protocol with some clients, which PgBouncer always has.
fn cell(results: &Results, part: Part) -> Option<&crate::plan::Cell> {
    let mut cells = results.cells(part);
    cells.find(|cell| cell.load.clients == SOME && cell.load.protocol == Protocol::Extended)
}

fn cpu(results: &Results, part: Part, title: &str) -> Panel {
    let mut bars = Vec::new();
    if let Some(cell) = cell(results, part) {
        for (who, _) in cell
            .outcomes
            .iter()
            .filter(|(who, _)| *who != Who::OneWorker)
        {
            bars.extend(cell.spread(*who, CPU).map(|cpu| bar(*who, cpu.median)));
        }
    }
    let title = format!("{title} ({SOME} clients)");
    Panel { title, bars }
}

fn rate(results: &Results) -> Panel {
    let mut bars = Vec::new();
    if let Some(cell) = cell(results, Part::Hits) {
        for who in [Who::Direct, Who::Canned, Who::Pgweir] {
            bars.extend(cell.spread(who, RATE).map(|rate| bar(who, rate.median)));
        }
    }
    let title = format!("hits a second ({SOME} clients; longer is better)");
    Panel { title, bars }
}

fn far(results: &Results) -> Panel {
    let mut bars = Vec::new();
    if let Some(distance) = results
        .far
        .iter()
        .find(|distance| distance.round_trip == FAR)
    {
        for way in Way::ALL {
            bars.extend(distance.millis(way, 0).map(|took| Bar {
                name: way.as_str(),
                figure: took.median,
                is_own: matches!(way, Way::Pooled | Way::First | Way::Cached),
            }));
        }
    }
    let title = format!(
        "connect + query, ms, {} ms away, TLS+SCRAM",
        FAR.as_millis()
    );
    Panel { title, bars }
}

fn idle(results: &Results, entry: Entry, title: &str) -> Panel {
    let mut seen: Vec<Who> = Vec::new();
    let mut bars = Vec::new();
    for memory in &results.memory {
        if !seen.contains(&memory.who) {
            seen.push(memory.who);
            let each = results.each_kib(memory.who, entry);
            bars.extend(each.map(|each| bar(memory.who, each)));
        }
    }
    let title = title.to_owned();
    Panel { title, bars }
}
