//! What a process has used, from /proc.

use std::fs;

/// Processor time of all threads of a process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Used {
    /// By the scheduler's clock, in nanoseconds.
    pub(crate) total_ns: u64,
    /// The part in user mode and the whole, in ticks of 10 ms: only their ratio is of use.
    user_ticks: u64,
    ticks: u64,
}

impl Used {
    /// Up to now; `None` when the process is gone, or this is not Linux.
    pub(crate) fn by(pid: u32) -> Option<Self> {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
        let times = tasks.filter_map(|task| {
            let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split_whitespace().next()?.parse::<u64>().ok()
        });
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The program's name comes first, in parentheses, and may hold anything.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_whitespace().skip(11);
        let user_ticks = fields.next()?.parse().ok()?;
        let system_ticks: u64 = fields.next()?.parse().ok()?;
        Some(Self {
            total_ns: times.sum(),
            user_ticks,
            ticks: user_ticks + system_ticks,
        })
    }

    /// Microseconds since `before`, and how much of it in user mode.
    pub(crate) fn since(self, before: Self) -> (f64, f64) {
        let micros = self.total_ns.saturating_sub(before.total_ns) as f64 / 1e3;
        let ticks = self.ticks.saturating_sub(before.ticks).max(1) as f64;
        let user = self.user_ticks.saturating_sub(before.user_ticks) as f64;
        (micros, micros * user / ticks)
    }
}

/// The resident memory of a process in KiB.
pub(crate) fn resident_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Processor time of the whole machine, in ticks: all, and of that idle.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    all: u64,
    idle: u64,
}

impl Machine {
    /// Since it was started.
    pub(crate) fn now() -> Option<Self> {
        let text = fs::read_to_string("/proc/stat").ok()?;
        let fields = text.lines().next()?.split_whitespace().skip(1);
        // What guests use is counted as the user's already.
        let ticks: Vec<u64> = fields.take(8).filter_map(|n| n.parse().ok()).collect();
        Some(Self {
            all: ticks.iter().sum(),
            idle: ticks.get(3)? + ticks.get(4)?,
        })
    }

    /// The share that was not idle since `before`.
    pub(crate) fn busy_since(self, before: Self) -> f64 {
        let all = self.all.saturating_sub(before.all).max(1) as f64;
        1.0 - self.idle.saturating_sub(before.idle) as f64 / all
    }
}
