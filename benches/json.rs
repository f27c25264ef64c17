//! The figures for programs: every sample, nothing computed.

use crate::contestant::Who;
use crate::load::Sample;
use crate::plan::{Cell, Results};

/// The whole file. All texts in it are ours or version numbers, so that nothing has to be escaped
/// but what `Debug` escapes.
pub(crate) fn render(results: &Results) -> String {
    let cells: Vec<String> = results.cells.iter().flat_map(cell).collect();
    let memory = results.memory.iter().filter_map(|memory| {
        let kib = memory.resident.as_ref().ok()?;
        let (who, clients) = (memory.who.as_str(), memory.clients);
        Some(format!(
            "{{\"who\": {who:?}, \"clients\": {clients}, \"resident_kib\": {kib}}}"
        ))
    });
    format!(
        "{{\n\"version\": {:?},\n\"postgres\": {:?},\n\"pgbouncer\": {:?},\n\"workers\": {},\n\
         \"rounds\": {},\n\"loads\": [\n{}\n],\n\"memory\": [\n{}\n]\n}}\n",
        env!("CARGO_PKG_VERSION"),
        results.postgres,
        results.pgbouncer,
        results.workers,
        results.rounds,
        cells.join(",\n"),
        memory.collect::<Vec<_>>().join(",\n")
    )
}

fn cell(cell: &Cell) -> impl Iterator<Item = String> {
    Who::ALL.into_iter().filter_map(move |who| {
        let samples: Vec<Sample> = cell.samples(who).collect();
        let list = |take: fn(&Sample) -> f64| {
            let figures = samples.iter().map(|sample| format!("{:.3}", take(sample)));
            figures.collect::<Vec<_>>().join(", ")
        };
        (!samples.is_empty()).then(|| {
            format!(
                "{{\"part\": {:?}, \"load\": {:?}, \"clients\": {}, \"who\": {:?}, \"cpu_us\": [{}], \
                 \"user_us\": [{}], \"per_second\": [{}]}}",
                cell.load.workload.part(),
                cell.load.workload.as_str(),
                cell.load.clients,
                who.as_str(),
                list(|sample| sample.cpu_us),
                list(|sample| sample.user_us),
                list(|sample| sample.per_second)
            )
        })
    })
}
