//! The results of all runs, their medians, and the file they are kept in.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::tally::{Outcome, Values};
use crate::trouble::Trouble;

/// Everything that was found.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// The machine, the settings, the versions.
    pub(crate) settings: BTreeMap<String, String>,
    /// By scenario and peer, in the order they came first.
    pub(crate) entries: Vec<Entry>,
}

/// The runs of one peer in one scenario.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) scenario: String,
    pub(crate) peer: String,
    pub(crate) runs: Vec<Outcome>,
}

impl Entry {
    /// The median of a value over the runs that count.
    pub(crate) fn median(&self, name: &str) -> Option<f64> {
        let counted = self.runs.iter().filter(|run| run.failures.is_empty());
        let mut values: Vec<f64> = counted.filter_map(|run| run.values.get(name)).copied().collect();
        values.sort_by(f64::total_cmp);
        let (low, high) = (values.get(values.len().checked_sub(1)? / 2)?, values.get(values.len() / 2)?);
        Some((low + high) / 2.0)
    }

    /// The least and the most of a value.
    pub(crate) fn range(&self, name: &str) -> Option<(f64, f64)> {
        let values = || self.runs.iter().filter(|run| run.failures.is_empty()).filter_map(|run| run.values.get(name));
        Some((values().copied().reduce(f64::min)?, values().copied().reduce(f64::max)?))
    }

    /// What made runs not count.
    pub(crate) fn failures(&self) -> impl Iterator<Item = &str> {
        self.runs.iter().flat_map(|run| &run.failures).map(String::as_str)
    }
}

impl Results {
    /// Adds a run.
    pub(crate) fn add(&mut self, scenario: &str, peer: &str, outcome: Outcome) {
        let there = self.entries.iter_mut().find(|entry| entry.scenario == scenario && entry.peer == peer);
        match there {
            Some(entry) => entry.runs.push(outcome),
            None => {
                let (scenario, peer) = (scenario.to_owned(), peer.to_owned());
                self.entries.push(Entry { scenario, peer, runs: vec![outcome] });
            }
        }
    }

    /// What was found in a scenario.
    pub(crate) fn of<'a>(&'a self, scenario: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(move |entry| entry.scenario == scenario)
    }

    /// Whether all runs count.
    pub(crate) fn all_well(&self) -> bool {
        self.entries.iter().all(|entry| entry.failures().next().is_none())
    }

    /// Writes `results.json`.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Trouble> {
        let entries: Vec<Value> = self.entries.iter().map(entry_json).collect();
        let text = serde_json::to_string_pretty(&json!({ "settings": self.settings, "results": entries }));
        let text = text.map_err(|error| Trouble::Input(error.to_string()))?;
        fs::write(folder.join("results.json"), text + "\n").map_err(Trouble::machine("write results.json"))
    }

    /// Reads `results.json`.
    pub(crate) fn read(folder: &Path) -> Result<Self, Trouble> {
        let text = fs::read_to_string(folder.join("results.json")).map_err(Trouble::machine("read results.json"))?;
        let value: Value = serde_json::from_str(&text).map_err(|error| Trouble::Input(error.to_string()))?;
        let mut results = Self::default();
        for (name, setting) in value["settings"].as_object().into_iter().flatten() {
            results.settings.insert(name.clone(), setting.as_str().unwrap_or_default().to_owned());
        }
        for entry in value["results"].as_array().into_iter().flatten() {
            let text = |name: &str| entry[name].as_str().unwrap_or_default();
            for run in entry["runs"].as_array().into_iter().flatten() {
                results.add(text("scenario"), text("peer"), outcome(run));
            }
        }
        Ok(results)
    }
}

fn entry_json(entry: &Entry) -> Value {
    let names: std::collections::BTreeSet<&String> = entry.runs.iter().flat_map(|run| run.values.keys()).collect();
    let medians: Values = names.iter().filter_map(|name| Some(((*name).clone(), entry.median(name)?))).collect();
    let run = |run: &Outcome| json!({ "values": run.values, "failures": run.failures });
    let runs: Vec<Value> = entry.runs.iter().map(run).collect();
    json!({ "scenario": entry.scenario, "peer": entry.peer, "medians": medians, "runs": runs })
}

fn outcome(run: &Value) -> Outcome {
    let values = run["values"].as_object().into_iter().flatten();
    let failures = run["failures"].as_array().into_iter().flatten();
    Outcome {
        values: values.filter_map(|(name, value)| Some((name.clone(), value.as_f64()?))).collect(),
        failures: failures.filter_map(|failure| Some(failure.as_str()?.to_owned())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rate: f64, failure: Option<&str>) -> Outcome {
        let values = BTreeMap::from([("ack_per_s".to_owned(), rate)]);
        Outcome { values, failures: failure.map(str::to_owned).into_iter().collect() }
    }

    #[test]
    fn a_median_is_of_the_runs_that_count_and_all_runs_are_kept() {
        let mut results = Results::default();
        for outcome in [run(3.0, None), run(900.0, Some("acks: 1 lost")), run(1.0, None), run(2.0, None)] {
            results.add("acks", "nats", outcome);
        }
        results.settings.insert("cores".to_owned(), "2".to_owned());
        let folder = tempfile::tempdir().unwrap();
        results.write(folder.path()).unwrap();
        for results in [&results, &Results::read(folder.path()).unwrap()] {
            let entry = results.of("acks").next().unwrap();
            assert_eq!((entry.median("ack_per_s"), entry.range("ack_per_s")), (Some(2.0), Some((1.0, 3.0))));
            assert_eq!((entry.median("nothing"), entry.runs.len()), (None, 4));
            assert!(!results.all_well());
            assert_eq!(results.settings["cores"], "2");
        }
        results.add("acks", "redis", run(1.0, None));
        results.add("acks", "redis", run(2.0, None));
        assert_eq!(results.of("acks").nth(1).unwrap().median("ack_per_s"), Some(1.5));
    }
}
