//! How long the shape of a text takes to be found, and whether texts that differ in literals alone
//! are one shape to a running pgweir.

use std::hint::black_box;

use pgweir::config::Target;
use pgweir::demo::{Error, measure};
use pgweir::pool::control::control;
use pgweir::sql::shape::Shaper;
use pgweir::wire::frame;
use tokio_postgres::SimpleQueryMessage;

use crate::client::Client;
use crate::contestant::{Contestant, Entry, Ground, Who};
use crate::cpu::Used;

/// Texts in one measurement: some tenths of a second of processor time, whose clock may be a tick
/// of 4 ms late.
const TEXTS: u32 = 200_000;

/// Texts that a running pgweir is asked.
const ASKED: i32 = 500;

/// What came out.
#[derive(Debug)]
pub(crate) struct Shapes {
    /// Of processor time for a text, a round after another.
    pub(crate) nanos: Vec<f64>,
    pub(crate) text_bytes: usize,
    /// How many shapes the texts were, and how often the first of them was asked.
    pub(crate) known: Result<(usize, i32), String>,
}

pub(crate) async fn shapes(ground: &Ground, rounds: usize) -> Shapes {
    let texts: Vec<String> = (0..64).map(text).collect();
    let mut shaper = Shaper::default();
    let mut nanos = Vec::new();
    for _ in 0..rounds {
        // Not of the wall: this thread may have to share its processor.
        let before = Used::by(std::process::id()).unwrap_or_default();
        for text in texts.iter().cycle().take(TEXTS as usize) {
            black_box(shaper.read(black_box(text.as_bytes()), true));
        }
        let used = Used::by(std::process::id()).unwrap_or_default();
        nanos.push(used.since(before).0 * 1e3 / f64::from(TEXTS));
    }
    Shapes {
        nanos,
        text_bytes: texts.first().map_or(0, String::len),
        known: known(ground).await.map_err(|error| error.to_string()),
    }
}

/// 200 bytes, such as an application writes them.
fn text(n: i32) -> String {
    let n = 1_000_000 + n;
    format!(
        "SELECT t.tid, t.tbalance, b.bbalance FROM pgbench_tellers t JOIN pgbench_branches b ON \
         b.bid = t.bid WHERE t.tid = {n} AND t.filler IS DISTINCT FROM 'name {n}' AND b.bbalance \
         > -{n} LIMIT 1"
    )
}

async fn known(ground: &Ground) -> Result<(usize, i32), Error> {
    let setting = ground.near(Entry::Clear);
    let Some(pgweir) = Contestant::start(ground, Who::Pgweir, setting).await? else {
        return Ok((0, 0));
    };
    let url = ground.url(pgweir.address, Entry::Clear);
    let mut client = Client::connect(&url).await?;
    let mut request = Vec::new();
    for n in 0..ASKED {
        request.clear();
        frame::push(&mut request, b'Q', &[text(n).as_bytes(), b"\0"]);
        client.ask(&request, 1).await?;
    }
    let mut console = Target::parse(&url)?;
    console.database = Some("pgweir".to_owned());
    let (console, _) = control(&measure::login(&console)?).await?;
    let (mut shapes, mut calls) = (0, 0);
    for message in console.simple_query("SHOW QUERIES").await? {
        let SimpleQueryMessage::Row(row) = message else {
            continue;
        };
        if row
            .get("text")
            .is_some_and(|text| text.contains("pgbench_tellers"))
        {
            shapes += 1;
            calls = row.get("calls").and_then(|n| n.parse().ok()).unwrap_or(0);
        }
    }
    Ok((shapes, calls))
}
