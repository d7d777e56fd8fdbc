//! How long things took: an HDR histogram, and what is reported of it.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::BenchError;

/// Counts times of up to a minute, in nanoseconds, to three digits.
#[derive(Debug, Clone)]
pub(super) struct Latency(Histogram<u64>);

impl Latency {
    const MOST_NS: u64 = 60_000_000_000;

    /// Nothing counted yet.
    pub(super) fn new() -> Result<Self, BenchError> {
        Histogram::new_with_bounds(1000, Self::MOST_NS, 3)
            .map(Self)
            .map_err(|error| BenchError::Worker(error.to_string()))
    }

    /// Counts one; longer than a minute counts as a minute.
    pub(super) fn record(&mut self, nanoseconds: u64) {
        self.0.saturating_record(nanoseconds);
    }

    /// Takes in what another thread counted.
    pub(super) fn merge(&mut self, other: &Self) -> Result<(), BenchError> {
        self.0.add(&other.0).map_err(|error| BenchError::Worker(error.to_string()))
    }

    /// How many were counted.
    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// What is reported: microseconds by name.
    pub(super) fn percentiles(&self) -> Vec<(&'static str, f64)> {
        let at = |quantile| micros(self.0.value_at_quantile(quantile));
        vec![
            ("p50", at(0.5)),
            ("p90", at(0.9)),
            ("p99", at(0.99)),
            ("p99.9", at(0.999)),
            ("max", if self.0.is_empty() { 0.0 } else { micros(self.0.max()) }),
        ]
    }

    /// The same as JSON.
    pub(super) fn as_json(&self) -> Value {
        let mut object = serde_json::Map::new();
        object.insert("count".to_owned(), json!(self.count()));
        for (name, value) in self.percentiles() {
            object.insert(format!("{name}_us"), json!(value));
        }
        Value::Object(object)
    }
}

fn micros(nanoseconds: u64) -> f64 {
    // Tenths: the histogram holds three digits.
    let tenths = u32::try_from(nanoseconds / 100).unwrap_or(u32::MAX);
    f64::from(tenths) / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut first = Latency::new().unwrap();
        let mut second = Latency::new().unwrap();
        for n in 1..=1000u64 {
            if n % 2 == 0 { first.record(n * 1000) } else { second.record(n * 1000) }
        }
        first.merge(&second).unwrap();
        assert_eq!(first.count(), 1000);
        for ((name, value), expected) in first.percentiles().into_iter().zip([500.0, 900.0, 990.0, 999.0, 1000.0]) {
            assert!((value - expected).abs() <= expected / 500.0, "{name}: {value} instead of {expected}");
        }
    }

    #[test]
    fn an_outlier_beyond_the_range_counts_as_the_most_and_nothing_reports_as_zero() {
        let mut latency = Latency::new().unwrap();
        assert!(latency.percentiles().iter().all(|(_, value)| *value == 0.0));
        latency.record(u64::MAX);
        assert!(latency.percentiles()[4].1 >= 59_000_000.0);
        assert_eq!(latency.as_json()["count"], 1);
    }
}
