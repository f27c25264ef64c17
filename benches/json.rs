//! The figures for programs: every sample, nothing computed but the goals.

use serde_json::{Value, json};

use crate::far::STEPS;
use crate::goals::Goal;
use crate::plan::{Cell, Results};
use crate::report::{CPU, P50, P99, RATE, Take};
use crate::sample::Outcome;

/// The whole file.
pub(crate) fn render(results: &Results, goals: &[Goal]) -> String {
    let peers = results.peers.iter();
    let peers = peers.map(|(who, version)| json!({"who": who.as_str(), "version": version}));
    let memory = results.memory.iter().map(|memory| {
        json!({
            "who": memory.who.as_str(),
            "tls": memory.entry != crate::contestant::Entry::Clear,
            "clients": memory.clients,
            "resident_kib": memory.resident_kib.as_ref().ok(),
            "failure": memory.resident_kib.as_ref().err(),
        })
    });
    let goals = goals.iter().map(|goal| {
        json!({
            "work": goal.work,
            "goal": goal.aim,
            "found": goal.found,
            "reached": goal.is_reached,
        })
    });
    let shapes = results.shapes.as_ref().map(|shapes| {
        json!({
            "text_bytes": shapes.text_bytes,
            "ns": shapes.nanos,
            "shapes": shapes.known.as_ref().ok().map(|known| known.0),
            "calls": shapes.known.as_ref().ok().map(|known| known.1),
        })
    });
    let absent = results.absent.iter();
    let absent = absent.map(|(who, why)| json!({"who": who.as_str(), "why": why}));
    let whole = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "postgres": results.postgres,
        "peers": peers.collect::<Vec<_>>(),
        "processors": results.processors,
        "workers": results.workers,
        "rounds": results.rounds,
        "busy_before": results.busy_before,
        "goals": goals.collect::<Vec<_>>(),
        "loads": results.cells.iter().flat_map(cell).collect::<Vec<_>>(),
        "memory": memory.collect::<Vec<_>>(),
        "far": far(results),
        "shapes": shapes,
        "absent": absent.collect::<Vec<_>>(),
    });
    format!("{whole:#}\n")
}

fn cell(cell: &Cell) -> impl Iterator<Item = Value> {
    cell.outcomes.iter().filter_map(move |(who, outcomes)| {
        let list = |take: Take| cell.rounds(*who, take).flatten().collect::<Vec<f64>>();
        let failures = outcomes.iter().filter_map(|outcome| match outcome {
            Outcome::Failed(why) => Some(why.clone()),
            Outcome::Measured(_) | Outcome::Missing => None,
        });
        (!outcomes.is_empty()).then(|| {
            json!({
                "part": cell.load.part.as_str(),
                "load": cell.load.name,
                "clients": cell.load.clients,
                "who": who.as_str(),
                "cpu_us": list(CPU),
                "user_us": list(|sample| sample.user_us),
                "per_second": list(RATE),
                "p50_us": list(P50),
                "p99_us": list(P99),
                "evenness": list(|sample| sample.evenness),
                "failures": failures.collect::<Vec<_>>(),
            })
        })
    })
}

fn far(results: &Results) -> Vec<Value> {
    let mut all = Vec::new();
    for distance in &results.far {
        for (way, lives) in &distance.lives {
            for (step, name) in STEPS.iter().enumerate() {
                let took = lives.iter().filter_map(|life| life.get(step));
                all.push(json!({
                    "round_trip_ms": distance.round_trip.as_secs_f64() * 1e3,
                    "way": way.as_str(),
                    "step": name,
                    "ms": took.map(|t| t.as_secs_f64() * 1e3).collect::<Vec<_>>(),
                }));
            }
        }
    }
    all
}
