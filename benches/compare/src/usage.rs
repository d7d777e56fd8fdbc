//! What a process has used of the machine, from `/proc`: CPU time of all its threads, and memory.

use std::fs;
use std::process;

/// One process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watched(pub(crate) u32);

impl Watched {
    /// The generator itself.
    pub(crate) fn own() -> Self {
        Self(process::id())
    }

    /// CPU seconds until now, user and system, threads that ended among them; 0 if the process is gone.
    pub(crate) fn cpu_seconds(self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap_or_default();
        ticks(&stat).unwrap_or_default() / tick_rate()
    }

    /// Resident memory in bytes; 0 if the process is gone.
    pub(crate) fn resident(self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or_default() * 1024.0
    }
}

/// User and system time. The name, in brackets, may hold anything.
fn ticks(stat: &str) -> Option<f64> {
    let (_, behind) = stat.rsplit_once(')')?;
    let mut fields = behind.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok();
    Some(next()? + next()?)
}

fn tick_rate() -> f64 {
    u32::try_from(rustix::param::clock_ticks_per_second()).map_or(100.0, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        assert_eq!(ticks("42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0"), Some(200.0));
        assert_eq!(ticks("nonsense"), None);
    }

    #[test]
    fn this_process_has_memory_and_one_that_is_gone_has_none() {
        assert!(Watched::own().resident() > 100_000.0);
        assert_eq!(Watched(u32::MAX).resident(), 0.0);
    }
}
