//! What an operator would look at before a start, and when something is odd: settings, certificates, ports, limits, the
//! disk, the clock, the data folder. It works beside a running server and changes nothing that a server would miss, but leaves
//! traces: a small file that flushes are tried on, if it is killed; SQLite's two files beside a database that is read. With
//! `deep` and without a server it does to the end of the log what a start does.

mod data;
mod disk;
mod doors;
mod sockets;

use std::fmt::Write;
use std::time::{Duration, Instant, SystemTime};

use chappe_actors::folder::{Use, in_use};

use crate::config::Config;

/// Clocks may differ by so much while the rest is looked at.
const JUMP: Duration = Duration::from_secs(1);

/// How one thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// A server runs with it, not as well as it could.
    Warn,
    /// A server does not start with it, or loses by it.
    Fail,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What was looked at, how it is, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was seen.
    pub what: String,
    /// What to do; empty where it is well.
    pub advice: String,
}

impl Check {
    /// It is well.
    pub fn ok(name: &'static str, what: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, what: what.into(), advice: String::new() }
    }

    /// It could be better.
    pub fn warn(name: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warn, what: what.into(), advice: advice.into() }
    }

    /// It is not well.
    pub fn fail(name: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Fail, what: what.into(), advice: advice.into() }
    }
}

/// Looks at everything that these settings need. With `deep` at every record, and where no server runs at the query tables
/// row by row.
pub fn examine(config: &Config, deep: bool, progress: &mut dyn FnMut(u64, u64)) -> Vec<Check> {
    let (began, wall) = (Instant::now(), SystemTime::now());
    let holder = in_use(&config.data).unwrap_or(Use::Free);
    let mut checks = vec![doors::certificate(config), doors::keys(config)];
    checks.extend(doors::ports(config, &holder));
    checks.push(doors::open_files(config, &holder));
    let (disk, takes_writes) = disk::all(&config.data);
    checks.extend(disk);
    let data = data::all(config, &holder, deep, progress);
    checks.extend(data.into_iter().map(|check| if takes_writes { check } else { disk_first(check) }));
    let passed = SystemTime::now().duration_since(wall);
    checks.push(clock_runs(began.elapsed(), passed.ok()));
    checks
}

/// What cannot be opened on a disk that takes no writes may be whole: neither restoring nor deleting would help.
fn disk_first(mut check: Check) -> Check {
    if check.verdict == Verdict::Fail && ["log", "accounts", "query tables", "every record"].contains(&check.name) {
        "first let the disk take writes, and look again: on one that does not, whole files may not open"
            .clone_into(&mut check.advice);
    }
    check
}

/// Whether the wall clock went as the monotonic one did.
fn clock_runs(mono: Duration, wall: Option<Duration>) -> Check {
    let advice = "let the clock be set slowly (chrony, systemd-timesyncd), and look at the machine's clock source";
    match wall {
        Some(wall) if wall.abs_diff(mono) <= JUMP => Check::ok("clock's pace", "it runs evenly"),
        Some(wall) => Check::warn("clock's pace", format!("it went {wall:?} in {mono:?}"), advice),
        None => Check::warn("clock's pace", format!("it went back within {mono:?}"), advice),
    }
}

/// The checks for people: a line each, advice below it, and the sum.
pub fn as_text(checks: &[Check]) -> String {
    let mut text = String::new();
    for Check { name, verdict, what, advice } in checks {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:<5} {name:<14} {what}", verdict.word());
        if !advice.is_empty() {
            let _ = writeln!(text, "{:21}{advice}", "");
        }
    }
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    let [ok, warn, fail] = [Verdict::Ok, Verdict::Warn, Verdict::Fail].map(count);
    let _ = writeln!(text, "{} checks: {ok} ok, {warn} warn, {fail} fail", checks.len());
    text
}

/// The checks for programs.
pub fn as_json(checks: &[Check]) -> String {
    let as_value = |check: &Check| {
        let mut value = serde_json::json!({ "name": check.name, "result": check.verdict.word(), "what": check.what });
        if !check.advice.is_empty() {
            value["advice"] = check.advice.clone().into();
        }
        value
    };
    let all: Vec<_> = checks.iter().map(as_value).collect();
    format!("{:#}\n", serde_json::json!({ "ok": is_well(checks), "checks": all }))
}

/// Whether nothing failed.
pub fn is_well(checks: &[Check]) -> bool {
    checks.iter().all(|check| check.verdict != Verdict::Fail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_is_noticed() {
        let second = Duration::from_secs(1);
        assert_eq!(clock_runs(second, Some(second * 2)).verdict, Verdict::Ok);
        assert_eq!(clock_runs(second, Some(second * 9)).verdict, Verdict::Warn);
        assert_eq!(clock_runs(second * 9, Some(second)).verdict, Verdict::Warn);
        assert_eq!(clock_runs(second, None).verdict, Verdict::Warn);
    }

    #[test]
    fn a_failure_is_told_with_its_advice_and_a_warning_is_none() {
        let mut checks = vec![Check::ok("a", "fine"), Check::warn("b", "slow", "wait")];
        assert!(is_well(&checks));
        checks.push(Check::fail("c", "gone", "look for it"));
        assert!(!is_well(&checks));
        let text = as_text(&checks);
        assert!(text.starts_with("ok    a              fine\nwarn  b              slow\n"), "{text}");
        assert!(text.ends_with("                     look for it\n3 checks: 1 ok, 1 warn, 1 fail\n"), "{text}");
        let json: serde_json::Value = serde_json::from_str(&as_json(&checks)).unwrap();
        assert_eq!((&json["ok"], &json["checks"][2]["result"]), (&false.into(), &"fail".into()));
    }
}
