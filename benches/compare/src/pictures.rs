//! Which figures a comparison has, and what stands in them.

use std::fs;
use std::path::Path;

use crate::idle::STEPS;
use crate::pace::Pace;
use crate::peers;
use crate::results::{Entry, Results};
use crate::scenario::{self, Kind, Scenario, Unit};
use crate::trouble::Trouble;
use chappe_plot::{Figure, Series};

/// Writes the figures that these results are enough for; returns their names.
pub(crate) fn write(folder: &Path, results: &Results) -> Result<Vec<&'static str>, Trouble> {
    let mut written = Vec::new();
    for (name, figure) in [
        ("throughput.svg", throughput(results)),
        ("latency.svg", latency(results, Unit::Delivery)),
        ("latency-acks.svg", latency(results, Unit::Ack)),
        ("cpu.svg", cpu(results)),
        ("memory.svg", memory(results)),
    ] {
        if figure.series.is_empty() {
            continue;
        }
        fs::write(folder.join(name), figure.svg()).map_err(Trouble::machine("write a figure"))?;
        written.push(name);
    }
    Ok(written)
}

/// What a unit is called in results.
pub(crate) fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Delivery => "delivery",
        Unit::Ack => "ack",
    }
}

fn is_paced(scenario: &Scenario) -> bool {
    matches!(scenario.kind, Kind::Load(_, Pace::Rate(_)))
}

/// One series a peer, in its colour, of what `points` finds in the scenarios.
fn by_peer(results: &Results, points: impl Fn(&Scenario, &Entry) -> Vec<(String, f64)>) -> Vec<Series> {
    let mut all = Vec::new();
    for (colour, peer) in peers::ALL.iter().enumerate() {
        let entries = scenario::ALL.iter().flat_map(|scenario| {
            let own = results.of(scenario.name).filter(|entry| entry.peer == peer.name());
            own.flat_map(|entry| points(scenario, entry)).collect::<Vec<_>>()
        });
        let points: Vec<_> = entries.collect();
        if !points.is_empty() {
            all.push(Series { name: peer.name().to_owned(), colour, points });
        }
    }
    all
}

fn throughput(results: &Results) -> Figure {
    let point = |scenario: &Scenario, entry: &Entry| {
        let saturated = matches!(scenario.kind, Kind::Load(_, Pace::Window(window)) if window > 1);
        let rate = entry.median(&format!("{}_per_s", unit(scenario.unit()))).filter(|_| saturated);
        rate.map(|rate| (scenario.name.to_owned(), rate)).into_iter().collect()
    };
    Figure {
        title: "Throughput: acks, else deliveries, a second, with a window (higher is better)".to_owned(),
        x: "scenario".to_owned(),
        y: "a second".to_owned(),
        log_y: true,
        series: by_peer(results, point),
        ..Figure::default()
    }
}

fn latency(results: &Results, of: Unit) -> Figure {
    let points = |scenario: &Scenario, entry: &Entry| {
        let shown = is_paced(scenario) && scenario.unit() == of;
        let percentiles = [("p50", "p50"), ("p99", "p99"), ("p999", "p99.9")].into_iter().filter(|_| shown);
        let value = |(name, shown): (&str, &str)| {
            let value = entry.median(&format!("{}_{name}_us", unit(of)))?;
            Some((format!("{}, {shown}", scenario.name), value / 1e3))
        };
        percentiles.filter_map(value).collect()
    };
    let what = if of == Unit::Ack { "10,000 acks a second" } else { "1,000 listeners at 50 and 200 messages a second" };
    Figure {
        title: format!("Latency from when a message was due: {what} (lower is better)"),
        x: "scenario and percentile".to_owned(),
        y: "milliseconds".to_owned(),
        log_y: true,
        series: by_peer(results, points),
        ..Figure::default()
    }
}

fn cpu(results: &Results) -> Figure {
    let point = |scenario: &Scenario, entry: &Entry| {
        let value = entry.median(&format!("{}_cpu_us", unit(scenario.unit())));
        value.map(|value| (scenario.name.to_owned(), value)).into_iter().collect()
    };
    Figure {
        title: "CPU time of the server for each ack, else each delivery (lower is better)".to_owned(),
        x: "scenario".to_owned(),
        y: "microseconds".to_owned(),
        log_y: true,
        series: by_peer(results, point),
        ..Figure::default()
    }
}

fn memory(results: &Results) -> Figure {
    let points = |_: &Scenario, entry: &Entry| {
        let value = |step: u32| {
            let value = entry.median(&format!("resident_{step}_bytes"))?;
            Some((step.to_string(), value / (1024.0 * 1024.0)))
        };
        STEPS.into_iter().filter_map(value).collect()
    };
    Figure {
        title: "Resident memory by idle connections (lower is better)".to_owned(),
        x: "connections".to_owned(),
        y: "MiB".to_owned(),
        log_x: true,
        log_y: true,
        series: by_peer(results, points),
    }
}
