//! The report in Markdown: what was measured on what, a table a scenario, the figures.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use crate::idle::STEPS;
use crate::pace::Pace;
use crate::peers;
use crate::pictures::{self, unit};
use crate::results::{Entry, Results};
use crate::scenario::{self, Kind, Scenario, Unit};
use crate::tally::Outcome;
use crate::trouble::Trouble;
use chappe_plot::short;

/// A generator that is this busy has no time to ask for more.
const BUSY: f64 = 0.93;

/// Writes report.md and the figures.
pub(crate) fn write(folder: &Path, results: &Results) -> Result<(), Trouble> {
    let mut out = String::from(
        "# chappe and its peers\n\nOne run of `benches/compare/run` on one machine; what is compared and what is not stands in [comparing.md](comparing.md).\n\n",
    );
    for (name, text) in &results.settings {
        let _ = writeln!(out, "- {name}: {}", text.replace('\n', " "));
    }
    out.push_str("\nEvery delivery and every ack was checked. A \\* marks where the generator was the limit: that server could do more.\n");
    for scenario in scenario::ALL.iter().filter(|scenario| results.of(scenario.name).next().is_some()) {
        let _ = write!(out, "\n## {}\n\n{}.\n\n", scenario.name, capital(scenario.what));
        out += &match scenario.kind {
            Kind::Idle => memory_table(results, scenario),
            _ => load_table(results, scenario),
        };
        for entry in results.of(scenario.name) {
            for failure in entry.failures() {
                let _ = writeln!(out, "\n**A run of {} does not count**: {}", entry.peer, failure.replace('\n', " "));
            }
        }
    }
    out.push_str("\n## What each promises\n\n");
    for peer in peers::ALL {
        let _ = writeln!(out, "- {}: {}", peer.name(), peer.promise());
    }
    for name in pictures::write(folder, results)? {
        let _ = write!(out, "\n![{name}]({name})\n");
    }
    fs::write(folder.join("report.md"), out).map_err(Trouble::machine("write report.md"))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// One row a peer; what was not measured is left out.
fn table(heads: &[String], rows: Vec<(String, Vec<Option<String>>)>) -> String {
    let shown: Vec<bool> = (0..heads.len()).map(|at| rows.iter().any(|(_, row)| row[at].is_some())).collect();
    let kept = |cells: Vec<String>| -> String {
        let kept: Vec<_> = cells.into_iter().zip(&shown).filter(|(_, shown)| **shown).map(|(cell, _)| cell).collect();
        kept.join(" | ")
    };
    let mut out = format!(
        "| | {} |\n|---|{}\n",
        kept(heads.to_vec()),
        "--:|".repeat(shown.iter().filter(|shown| **shown).count())
    );
    for (name, row) in rows {
        let cells = row.into_iter().map(|cell| cell.unwrap_or_else(|| "–".to_owned())).collect();
        let _ = writeln!(out, "| {name} | {} |", kept(cells));
    }
    out
}

fn load_table(results: &Results, scenario: &Scenario) -> String {
    let unit = if matches!(scenario.kind, Kind::Bare) { "ack" } else { unit(scenario.unit()) };
    let plural = if unit == "ack" { "acks" } else { "deliveries" };
    let heads = [
        format!("{plural}/s"),
        "of the runs".to_owned(),
        format!("server CPU µs/{unit}"),
        "server cores".to_owned(),
        "generator cores".to_owned(),
        "p50 ms".to_owned(),
        "p99 ms".to_owned(),
        "p99.9 ms".to_owned(),
        "ack p50 ms".to_owned(),
        "ack p99 ms".to_owned(),
    ];
    let rows = results.of(scenario.name).map(|entry| {
        let value = |name: &str| entry.median(name);
        let ms = |name: &str| value(name).map(|us| millis(us / 1e3));
        let latency = |percentile: &str| ms(&format!("{unit}_{percentile}_us"));
        // In fan-outs the acks of the publisher, where there are any.
        let acks = |name: &str| ms(name).filter(|_| scenario.unit() == Unit::Delivery && unit != "ack");
        let star = if value("generator_cores").is_some_and(|cores| cores > BUSY) && is_saturated(scenario) {
            "\\*"
        } else {
            ""
        };
        let rate = value(&format!("{unit}_per_s")).map(|rate| format!("{}{star}", thousands(rate)));
        let range = entry.range(&format!("{unit}_per_s"));
        let cells = vec![
            rate,
            range.map(|(low, high)| format!("{} – {}", short(low), short(high))),
            value(&format!("{unit}_cpu_us")).map(|us| format!("{us:.2}")),
            value("server_cores").map(|cores| format!("{cores:.2}")),
            value("generator_cores").map(|cores| format!("{cores:.2}")),
            latency("p50"),
            latency("p99"),
            latency("p999"),
            acks("ack_p50_us"),
            acks("ack_p99_us"),
        ];
        (entry.peer.clone(), cells)
    });
    table(&heads, rows.collect())
}

fn is_saturated(scenario: &Scenario) -> bool {
    matches!(scenario.kind, Kind::Load(_, Pace::Window(window)) if window > 1)
}

fn memory_table(results: &Results, scenario: &Scenario) -> String {
    let mut heads = vec!["empty".to_owned()];
    heads.extend(STEPS.map(|step| format!("{step} connections")));
    heads.extend(STEPS.iter().rev().take(2).map(|step| format!("each of {step}")));
    let mib = |bytes: f64| format!("{:.1} MiB", bytes / (1024.0 * 1024.0));
    let kib = |bytes: f64| format!("{:.1} KiB", bytes / 1024.0);
    let row = |entry: &Entry| {
        let mut cells = vec![entry.median("server_resident_bytes").map(mib)];
        cells.extend(STEPS.map(|step| entry.median(&format!("resident_{step}_bytes")).map(mib)));
        cells.extend(STEPS.iter().rev().take(2).map(|step| entry.median(&format!("each_of_{step}_bytes")).map(kib)));
        (entry.peer.clone(), cells)
    };
    table(&heads, results.of(scenario.name).map(row).collect())
}

/// Three digits that say something.
fn millis(ms: f64) -> String {
    match ms {
        ms if ms >= 100.0 => format!("{ms:.0}"),
        ms if ms >= 10.0 => format!("{ms:.1}"),
        ms if ms >= 1.0 => format!("{ms:.2}"),
        ms => format!("{ms:.3}"),
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A run, as progress is told.
pub(crate) fn in_a_line(scenario: &Scenario, outcome: &Outcome) -> String {
    let value = |name: &str| outcome.values.get(name).copied();
    let unit = if matches!(scenario.kind, Kind::Bare) { "ack" } else { unit(scenario.unit()) };
    let mut parts = Vec::new();
    parts.extend(value(&format!("{unit}_per_s")).map(|rate| format!("{}/s", thousands(rate))));
    parts.extend(value(&format!("{unit}_cpu_us")).map(|us| format!("{us:.2} µs of CPU each")));
    parts.extend(value(&format!("{unit}_p50_us")).map(|us| format!("p50 {} ms", millis(us / 1e3))));
    parts.extend(value(&format!("{unit}_p99_us")).map(|us| format!("p99 {} ms", millis(us / 1e3))));
    parts.extend(value("server_cores").map(|cores| format!("server {cores:.2}")));
    parts.extend(value("generator_cores").map(|cores| format!("generator {cores:.2} cores")));
    parts.extend(STEPS.iter().filter_map(|step| {
        Some(format!("{step}: {} KiB each", short(value(&format!("each_of_{step}_bytes"))? / 1024.0)))
    }));
    parts.extend(outcome.failures.iter().map(|failure| format!("DOES NOT COUNT: {failure}")));
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn outcome(values: &[(&str, f64)], failures: &[&str]) -> Outcome {
        let values = values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect::<BTreeMap<_, _>>();
        Outcome { values, failures: failures.iter().map(|failure| (*failure).to_owned()).collect() }
    }

    #[test]
    fn a_report_has_a_row_for_each_peer_and_says_which_runs_do_not_count() {
        let mut results = Results::default();
        let fast = [("delivery_per_s", 7_300_000.0), ("delivery_cpu_us", 0.15), ("generator_cores", 0.99)];
        results.add("fanout-100", "nats", outcome(&fast, &[]));
        results.add("fanout-100", "redis", outcome(&[], &["deliveries: 3 lost"]));
        results.add("idle", "nats", outcome(&[("resident_10_bytes", 1048576.0)], &[]));
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &results).unwrap();
        let report = fs::read_to_string(folder.path().join("report.md")).unwrap();
        assert!(report.contains("| nats | 7,300,000\\* | 7.3M – 7.3M | 0.15 | 0.99 |"), "{report}");
        assert!(report.contains("| redis | – |") && report.contains("redis does not count**: deliveries: 3 lost"));
        assert!(report.contains("1.0 MiB") && report.contains("![cpu.svg](cpu.svg)"));
        assert!(!report.contains("latency.svg"));
        assert!(folder.path().join("throughput.svg").exists());
    }
}
