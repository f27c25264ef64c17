//! What the console says of an application's queries.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;

/// Reasons of queries that are no reads of the application: what drivers ask the server about itself when they
/// connect.
const ABOUT_THE_SERVER: [&str; 2] = ["catalog", "session"];

/// What pools ask to see whether a connection is alive; it would flatter.
const PING: &str = "select 0";

/// Shapes that a table lists.
const SHAPES_SHOWN: usize = 8;

/// How much of a shape a table shows.
const SHAPE_SHOWN: usize = 110;

pub(super) struct Figures {
    hits: u64,
    /// Everything else, by reason: misses and bypasses.
    reasons: Vec<(String, u64)>,
    shapes: Vec<Shape>,
}

struct Shape {
    hits: u64,
    misses: u64,
    bypasses: u64,
    reason: String,
    text: String,
}

impl Figures {
    pub(super) fn of(proxy: SocketAddr) -> Self {
        let cache = rows(proxy, "SHOW CACHE");
        let hits = cache.iter().find(|row| row[0] == "hit").unwrap();
        let reasons = rows(proxy, "SHOW BYPASSES");
        let shapes = rows(proxy, "SHOW QUERIES").into_iter().map(|row| Shape {
            hits: number(&row[3]),
            misses: number(&row[4]),
            bypasses: number(&row[5]),
            reason: row[6].clone(),
            text: row.last().unwrap().clone(),
        });
        Self {
            hits: number(&hits[1]),
            reasons: reasons
                .iter()
                .map(|row| (row[0].clone(), number(&row[1])))
                .collect(),
            shapes: shapes.collect(),
        }
    }

    /// Answers from memory among the application's reads.
    pub(super) fn ratio(&self) -> f64 {
        let reads = self.shapes.iter().filter(|shape| shape.is_read());
        let (hits, all) = reads.fold((0, 0), |(hits, all), shape| {
            (hits + shape.hits, all + shape.hits + shape.asked())
        });
        share(hits, all)
    }

    /// Reads of the application that were not even looked up, among all of them.
    pub(super) fn bypassed(&self) -> f64 {
        let reads = self.shapes.iter().filter(|shape| shape.is_read());
        let (bypasses, all) = reads.fold((0, 0), |(bypasses, all), shape| {
            (bypasses + shape.bypasses, all + shape.hits + shape.asked())
        });
        share(bypasses, all)
    }

    /// For people.
    pub(super) fn table(&self, app: &str, variant: &str, visits: usize) -> String {
        let percent = 100.0 * self.ratio();
        let mut out = format!("{app}, {variant}: {visits} pages, all as without pgweir\n");
        let reads = self.shapes.iter().filter(|shape| shape.is_read());
        let hits: u64 = reads.map(|shape| shape.hits).sum();
        let _ = writeln!(
            out,
            "  {percent:.1} % of reads from memory ({hits}), all told:\n  {:6} hit",
            self.hits
        );
        for (reason, count) in &self.reasons {
            let _ = writeln!(out, "  {count:6} {reason}");
        }
        let mut costly: Vec<&Shape> = self
            .shapes
            .iter()
            .filter(|shape| shape.asked() > 0)
            .collect();
        costly.sort_by_key(|shape| std::cmp::Reverse(shape.asked()));
        out += "  hits/misses/bypasses of the shapes that the database had to answer most often:\n";
        for shape in costly.iter().take(SHAPES_SHOWN) {
            let text: String = shape.text.split_whitespace().collect::<Vec<_>>().join(" ");
            let text: String = text.chars().take(SHAPE_SHOWN).collect();
            let Shape {
                hits,
                misses,
                bypasses,
                reason,
                ..
            } = shape;
            let _ = writeln!(out, "  {hits:5}/{misses}/{bypasses} {reason}: {text}");
        }
        out
    }
}

impl Shape {
    fn is_read(&self) -> bool {
        let reads = ["select", "with"]
            .iter()
            .any(|word| self.text.starts_with(word));
        let about_the_server = ABOUT_THE_SERVER
            .iter()
            .any(|word| self.reason.starts_with(word));
        reads && !about_the_server && self.text.trim() != PING
    }

    /// How often the database answered.
    fn asked(&self) -> u64 {
        self.misses + self.bypasses
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share for people")]
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn number(text: &str) -> u64 {
    text.parse().unwrap()
}

/// As psql shows them.
fn rows(proxy: SocketAddr, command: &str) -> Vec<Vec<String>> {
    let port = proxy.port();
    let connection = format!("host=127.0.0.1 port={port} user=postgres dbname=pgweir");
    let mut psql = Command::new("psql");
    psql.args([
        "-X",
        "-A",
        "-t",
        "-F",
        "\u{1f}",
        "-R",
        "\u{1e}",
        "-c",
        command,
        &connection,
    ]);
    let output = psql.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let rows = text
        .trim_end()
        .split('\u{1e}')
        .filter(|row| !row.is_empty());
    rows.map(|row| row.split('\u{1f}').map(str::to_owned).collect())
        .collect()
}
