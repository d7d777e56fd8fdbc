//! `--compare`: the numbers of a run beside those of an earlier one, which `--json` printed.
//!
//! Two runs are compared if they are of the same benchmark with the same settings. Where the server is and what its
//! process is called may differ: it is another one each time.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::report::plain;
use super::server_use::rounded;
use crate::bounded;

/// Settings that say where the server is, not what is asked of it.
const WHERE: [&str; 4] = ["http", "tcp", "udp", "server_pid"];

/// Far more than any run prints.
const MAX_REPORT: u64 = 16 << 20;

/// What to compare with.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Comparing {
    /// Compare with an earlier run: the file has what `--json` printed. Exit 1 if a number is worse, 9 if the file
    /// cannot be compared with.
    #[arg(long, value_name = "FILE")]
    pub(super) compare: Option<PathBuf>,
    /// How much worse a number may be than in the earlier run.
    #[arg(long, value_name = "PERCENT", default_value = "10%", value_parser = parse_tolerance)]
    tolerance: f64,
}

/// Why there is nothing to compare with.
#[derive(Debug, thiserror::Error)]
pub(super) enum CompareError {
    #[error("unreadable: {0}: {1}")]
    Unreadable(String, std::io::Error),
    #[error("not_a_report: {0} is not what `chappe bench --json` prints: {1}")]
    NotAReport(String, String),
    #[error("failed_run: {0} is of a run that failed; its numbers say nothing")]
    FailedRun(String),
    #[error("other_benchmark: {0} is of `bench {1}`, not of `bench {2}`")]
    OtherBenchmark(String, String, &'static str),
    #[error("other_settings: {0} is of a run with {1}")]
    OtherSettings(String, String),
}

/// An earlier run.
#[derive(Debug)]
pub(super) struct Earlier {
    file: String,
    report: Value,
    tolerance: f64,
}

/// Which way a number gets better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Good {
    High,
    Low,
    /// It follows from others, or from one event.
    Neither,
}

/// One number of both runs.
#[derive(Debug, PartialEq)]
struct Row {
    name: String,
    old: Value,
    new: Value,
    /// New by old, where that is a number.
    ratio: Option<f64>,
    worse: bool,
}

/// Two runs beside each other.
#[derive(Debug)]
pub(super) struct Comparison<'a> {
    earlier: &'a Earlier,
    rows: Vec<Row>,
}

impl Comparing {
    /// The earlier run, if one is asked for: of this benchmark, with these settings.
    pub(super) fn earlier(
        &self,
        bench: &'static str,
        settings: &[(&'static str, Value)],
    ) -> Result<Option<Earlier>, CompareError> {
        let Some(path) = &self.compare else { return Ok(None) };
        Earlier::read(path, self.tolerance, bench, settings).map(Some)
    }
}

impl Earlier {
    fn read(
        path: &Path,
        tolerance: f64,
        bench: &'static str,
        settings: &[(&'static str, Value)],
    ) -> Result<Self, CompareError> {
        let file = path.display().to_string();
        let text =
            bounded::read_file(path, MAX_REPORT).map_err(|error| CompareError::Unreadable(file.clone(), error))?;
        let not = |why: String| CompareError::NotAReport(file.clone(), why);
        let report: Value = serde_json::from_slice(&text).map_err(|error| not(error.to_string()))?;
        let (Some(found), Some(old), Some(_)) =
            (report["bench"].as_str(), report["settings"].as_object(), report["results"].as_object())
        else {
            return Err(not("it names no bench, settings and results".to_owned()));
        };
        if found != bench {
            return Err(CompareError::OtherBenchmark(file, found.to_owned(), bench));
        }
        if report["ok"] != true {
            return Err(CompareError::FailedRun(file));
        }
        let differences = differences(old, settings);
        if !differences.is_empty() {
            return Err(CompareError::OtherSettings(file, differences.join(", ")));
        }
        Ok(Self { file, report, tolerance })
    }

    /// The numbers of this run beside those of the earlier one.
    pub(super) fn beside(&self, report: &Value) -> Comparison<'_> {
        let new = numbers(report);
        let rows = numbers(&self.report).into_iter().filter_map(|(name, old)| {
            let new = new.iter().find(|(other, _)| *other == name)?.1.clone();
            let (before, now) = (old.as_f64()?, new.as_f64()?);
            let worse = match good(&name) {
                Good::High => now < before * (1.0 - self.tolerance),
                Good::Low => now > before * (1.0 + self.tolerance),
                Good::Neither => false,
            };
            let ratio = Some(now / before).filter(|ratio| ratio.is_finite());
            Some(Row { name, old, new, ratio, worse })
        });
        Comparison { earlier: self, rows: rows.collect() }
    }
}

impl Comparison<'_> {
    /// The names of what became worse.
    pub(super) fn worse(&self) -> Vec<&str> {
        self.rows.iter().filter(|row| row.worse).map(|row| row.name.as_str()).collect()
    }

    /// A few aligned lines.
    pub(super) fn as_text(&self) -> String {
        let Earlier { file, report, tolerance } = self.earlier;
        let (version, cores) = (plain(&report["version"]), plain(&report["cores"]));
        let percent = tolerance * 100.0;
        let mut text = format!("compared with {file}: chappe {version}, {cores} cores; tolerance {percent} %\n");
        for Row { name, old, new, ratio, worse } in &self.rows {
            let mark = if *worse { "  WORSE" } else { "" };
            let ratio = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.3}"));
            text.push_str(&format!("  {name:<28}{:>16}{:>16}{ratio:>9}{mark}\n", plain(old), plain(new)));
        }
        text
    }

    /// The same as JSON.
    pub(super) fn as_json(&self) -> Value {
        let number = |row: &Row| {
            let ratio = row.ratio.map(|ratio| rounded(ratio, 1000.0));
            (row.name.clone(), json!({"old": row.old, "new": row.new, "ratio": ratio, "worse": row.worse}))
        };
        let numbers: Map<String, Value> = self.rows.iter().map(number).collect();
        let Earlier { file, tolerance, .. } = self.earlier;
        json!({"file": file, "tolerance": tolerance, "numbers": numbers, "worse": self.worse()})
    }
}

/// What is set otherwise, in words.
fn differences(old: &Map<String, Value>, new: &[(&'static str, Value)]) -> Vec<String> {
    let differs = |name: &str| !WHERE.contains(&name);
    let changed = new.iter().filter(|(name, value)| differs(name) && old.get(*name).unwrap_or(&Value::Null) != value);
    let shown = |name: &str, value: &Value| format!("{name}={}", plain(value));
    let changed = changed.map(|(name, value)| {
        let old = old.get(*name).unwrap_or(&Value::Null);
        format!("{} instead of {}", shown(name, old), plain(value))
    });
    let gone = old.iter().filter(|(name, _)| differs(name) && new.iter().all(|(other, _)| other != name));
    changed.chain(gone.map(|(name, value)| format!("{}, which there is no more", shown(name, value)))).collect()
}

/// All numbers of a report, by name.
fn numbers(report: &Value) -> Vec<(String, Value)> {
    let of = |value: &Value, prefix: &str| -> Vec<(String, Value)> {
        let fields = value.as_object().into_iter().flatten();
        let numbers = fields.filter(|(_, value)| value.is_number());
        numbers.map(|(name, value)| (format!("{prefix}{name}"), value.clone())).collect()
    };
    let mut all = of(&report["results"], "");
    for (name, latency) in report["latency"].as_object().into_iter().flatten() {
        all.extend(of(latency, &format!("{name} ")));
    }
    all.extend(of(&report["server"], ""));
    all
}

/// How a number is judged.
fn good(name: &str) -> Good {
    match name {
        "server_cpu_us_per_op" | "server_bytes_per_connection" | "last_complete_s" => Good::Low,
        _ if name.ends_with("_per_s") => Good::High,
        // Of the highest percentiles one event decides.
        _ if [" p50_us", " p90_us", " p99_us"].iter().any(|percentile| name.ends_with(percentile)) => Good::Low,
        _ => Good::Neither,
    }
}

fn parse_tolerance(text: &str) -> Result<f64, String> {
    match text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>() {
        Ok(percent) if (0.0..=1000.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err("a tolerance is a percentage from 0 to 1000: 10%".to_owned()),
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
