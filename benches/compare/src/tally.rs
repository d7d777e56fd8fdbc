//! What a run found: counts, latencies, use of the machine, faults.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::account::Faults;
use crate::trouble::Trouble;
use crate::usage::Watched;

/// The longest latency that is told from longer ones: a minute.
const CEILING_NS: u64 = 60_000_000_000;

/// Numbers of a run, by name. What is not there was not measured.
pub(crate) type Values = BTreeMap<String, f64>;

/// What a run came to.
#[derive(Debug, Default, Clone)]
pub(crate) struct Outcome {
    pub(crate) values: Values,
    /// Why the run does not count.
    pub(crate) failures: Vec<String>,
}

/// Latencies.
#[derive(Debug)]
pub(crate) struct Latency(Histogram<u64>);

impl Latency {
    /// None yet.
    pub(crate) fn new() -> Result<Self, Trouble> {
        Histogram::new_with_bounds(1000, CEILING_NS, 3).map(Self).map_err(|error| Trouble::Input(error.to_string()))
    }

    /// Takes one more.
    pub(crate) fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    /// Adds percentiles in microseconds, named behind `name`.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn tell(&self, name: &str, values: &mut Values) {
        if self.0.is_empty() {
            return;
        }
        for (percentile, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)] {
            values.insert(format!("{name}_{percentile}_us"), self.0.value_at_quantile(quantile) as f64 / 1e3);
        }
        values.insert(format!("{name}_max_us"), self.0.max() as f64 / 1e3);
    }
}

/// Counts while the load runs.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) deliveries: u64,
    pub(crate) acks: u64,
    pub(crate) delivery: Latency,
    pub(crate) ack: Latency,
    /// How much later than due a message was written: the generator's own delay.
    pub(crate) late: Latency,
    pub(crate) delivered: Faults,
    pub(crate) acked: Faults,
}

impl Tally {
    /// Nothing yet.
    pub(crate) fn new() -> Result<Self, Trouble> {
        Ok(Self {
            deliveries: 0,
            acks: 0,
            delivery: Latency::new()?,
            ack: Latency::new()?,
            late: Latency::new()?,
            delivered: Faults::default(),
            acked: Faults::default(),
        })
    }
}

/// A moment at which measuring begins or ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    now_ns: u64,
    deliveries: u64,
    acks: u64,
    server_cpu: f64,
    own_cpu: f64,
}

impl Mark {
    /// Now.
    pub(crate) fn now(now_ns: u64, tally: &Tally, server: Watched) -> Self {
        Self {
            now_ns,
            deliveries: tally.deliveries,
            acks: tally.acks,
            server_cpu: server.cpu_seconds(),
            own_cpu: Watched::own().cpu_seconds(),
        }
    }

    /// What was done and used between here and a later moment.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn until(&self, end: &Self, values: &mut Values) {
        let seconds = (end.now_ns - self.now_ns) as f64 / 1e9;
        let server = end.server_cpu - self.server_cpu;
        values.insert("server_cores".to_owned(), server / seconds);
        values.insert("generator_cores".to_owned(), (end.own_cpu - self.own_cpu) / seconds);
        for (unit, count) in [("delivery", end.deliveries - self.deliveries), ("ack", end.acks - self.acks)] {
            if count > 0 {
                let count = count as f64;
                values.insert(format!("{unit}_per_s"), count / seconds);
                values.insert(format!("{unit}_cpu_us"), server * 1e6 / count);
            }
        }
    }
}
