//! What the server's process uses, read from `/proc`: CPU time of all its threads, and resident memory.

use std::time::Duration;

use serde_json::{Value, json};

/// `/proc` counts CPU time in these; the same on every Linux that this runs on.
const TICKS_PER_SEC: u64 = 100;

/// A process to watch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watched(pub(super) u32);

/// The process at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Snapshot {
    cpu: Duration,
    rss_bytes: u64,
}

/// The difference between two moments.
#[derive(Debug, Clone, Copy)]
pub(super) struct Used {
    before: Snapshot,
    after: Snapshot,
    wall: Duration,
    operations: u64,
}

impl Watched {
    /// Looks at the process now; `None` if it is not there.
    pub(super) fn snapshot(self) -> Option<Snapshot> {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{}/{file}", self.0)).ok();
        Some(Snapshot { cpu: cpu(&read("stat")?)?, rss_bytes: rss_bytes(&read("status")?)? })
    }
}

/// User and system time out of `stat`: fields 14 and 15, counted behind the name, which may hold spaces and brackets.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, behind_name) = stat.rsplit_once(") ")?;
    let mut fields = behind_name.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1000 / TICKS_PER_SEC))
}

fn rss_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

impl Snapshot {
    /// What was used from here to `after`, over `operations`.
    pub(super) fn until(self, after: Self, wall: Duration, operations: u64) -> Used {
        Used { before: self, after, wall, operations }
    }

    /// Resident memory.
    pub(super) fn rss_bytes(self) -> u64 {
        self.rss_bytes
    }
}

impl Used {
    /// As printed in the report.
    pub(super) fn values(&self) -> Vec<(&'static str, Value)> {
        let cpu = self.after.cpu.saturating_sub(self.before.cpu);
        let cores = cpu.as_secs_f64() / self.wall.as_secs_f64().max(1e-9);
        let mut values = vec![
            ("server_cpu_s", json!(rounded(cpu.as_secs_f64(), 100.0))),
            ("server_cores", json!(rounded(cores, 100.0))),
            ("server_rss_before_bytes", json!(self.before.rss_bytes)),
            ("server_rss_after_bytes", json!(self.after.rss_bytes)),
        ];
        if let Ok(count) = u32::try_from(self.operations)
            && count > 0
        {
            let each = cpu.as_secs_f64() * 1e6 / f64::from(count);
            values.push(("server_cpu_us_per_op", json!(rounded(each, 1000.0))));
        }
        values
    }
}

/// `number` to a digit: 100 rounds to hundredths.
pub(super) fn rounded(number: f64, parts: f64) -> f64 {
    (number * parts).round() / parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 4 0 1000 0 0";
        assert_eq!(cpu(stat), Some(Duration::from_secs(2)));
        assert_eq!(cpu("nonsense"), None);
    }

    #[test]
    fn this_process_has_memory_and_a_process_that_is_gone_has_none() {
        let me = Watched(std::process::id()).snapshot().unwrap();
        assert!(me.rss_bytes() > 100_000);
        assert_eq!(Watched(u32::MAX).snapshot(), None);
    }

    #[test]
    fn use_is_the_difference_of_two_moments() {
        let moment = |ms, rss_bytes| Snapshot { cpu: Duration::from_millis(ms), rss_bytes };
        let used = moment(1000, 5).until(moment(3000, 7), Duration::from_secs(4), 1000);
        let values: serde_json::Map<String, Value> =
            used.values().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        assert_eq!(values["server_cpu_s"], 2.0);
        assert_eq!(values["server_cores"], 0.5);
        assert_eq!(values["server_cpu_us_per_op"], 2000.0);
    }
}
