//! What a benchmark found, for people and for programs.

use serde_json::{Map, Value, json};

use super::arguments::cores;
use super::latency::Latency;
use super::server_use::Used;

/// The findings of one run.
pub(super) struct Report {
    /// Which benchmark.
    pub(super) bench: &'static str,
    /// What it ran with.
    pub(super) settings: Vec<(&'static str, Value)>,
    /// Counts and rates.
    pub(super) results: Vec<(&'static str, Value)>,
    /// How long things took.
    pub(super) latencies: Vec<(&'static str, Latency)>,
    /// What the server used, if it was watched.
    pub(super) server: Option<Used>,
    /// What was not as promised. Empty is a success.
    pub(super) failures: Vec<String>,
}

impl Report {
    /// Nothing found yet.
    pub(super) fn new(bench: &'static str, settings: Vec<(&'static str, Value)>) -> Self {
        Self { bench, settings, results: Vec::new(), latencies: Vec::new(), server: None, failures: Vec::new() }
    }

    /// Adds a result.
    pub(super) fn result(&mut self, name: &'static str, value: impl Into<Value>) {
        self.results.push((name, value.into()));
    }

    /// As a JSON object.
    pub(super) fn as_json(&self) -> Value {
        let object = |pairs: &[(&'static str, Value)]| -> Map<String, Value> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
        };
        let latencies: Map<String, Value> =
            self.latencies.iter().map(|(name, latency)| ((*name).to_owned(), latency.as_json())).collect();
        json!({
            "bench": self.bench,
            "version": env!("CARGO_PKG_VERSION"),
            "cores": cores(),
            "settings": object(&self.settings),
            "results": object(&self.results),
            "latency": latencies,
            "server": self.server.as_ref().map(|used| object(&used.values())),
            "failures": self.failures,
            "ok": self.failures.is_empty(),
        })
    }

    /// A few aligned lines.
    pub(super) fn as_text(&self) -> String {
        let mut text = format!("chappe {} bench {}, {} cores\n", env!("CARGO_PKG_VERSION"), self.bench, cores());
        let settings: Vec<String> = self
            .settings
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| format!("{name}={}", plain(value)))
            .collect();
        text.push_str(&format!("  with {}\n", settings.join(" ")));
        for (name, value) in &self.results {
            text.push_str(&format!("  {name:<28}{:>16}\n", plain(value)));
        }
        for (name, latency) in &self.latencies {
            let percentiles: Vec<String> =
                latency.percentiles().iter().map(|(name, us)| format!("{name} {}", duration(*us))).collect();
            text.push_str(&format!("  {name:<28}{}  ({})\n", percentiles.join("  "), latency.count()));
        }
        for (name, value) in self.server.iter().flat_map(Used::values) {
            text.push_str(&format!("  {name:<28}{:>16}\n", plain(&value)));
        }
        text
    }
}

/// A value as people write it: digits in groups, texts without quotes.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_u64() {
            Some(whole) => grouped(whole),
            None => number.to_string(),
        },
        other => other.to_string(),
    }
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn duration(us: f64) -> String {
    if us >= 1_000_000.0 {
        format!("{:.2} s", us / 1_000_000.0)
    } else if us >= 1000.0 {
        format!("{:.2} ms", us / 1000.0)
    } else {
        format!("{us:.0} µs")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new("send", vec![("size", json!(128)), ("rate", Value::Null)]);
        report.result("acks_per_s", 123_456_u64);
        let mut latency = Latency::new().unwrap();
        latency.record(1_500_000);
        report.latencies.push(("ack", latency));
        report.failures.push("one ack is missing".to_owned());
        report
    }

    #[test]
    fn the_json_report_says_whether_all_was_well() {
        let value = report().as_json();
        assert_eq!(value["ok"], false);
        assert_eq!(value["settings"]["size"], 128);
        assert_eq!(value["results"]["acks_per_s"], 123_456);
        assert_eq!(value["latency"]["ack"]["count"], 1);
        assert_eq!(value["failures"][0], "one ack is missing");
    }

    #[test]
    fn the_text_report_shows_the_settings_and_the_numbers() {
        let text = report().as_text();
        for part in ["bench send", "size=128", "123,456", "p99.9 1.50 ms"] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(!text.contains("rate="));
    }

    #[test]
    fn digits_come_in_groups_of_three() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(number), text);
        }
    }
}
