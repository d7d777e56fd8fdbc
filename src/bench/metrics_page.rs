//! Reads counters off the server's `/metrics` page.

use std::collections::BTreeMap;

use super::BenchError;
use crate::client::http::HttpClient;

/// The series of one counter: labels as they stand on the page, and the value.
pub(super) type Series = BTreeMap<String, u64>;

/// Fetches the page and reads all series called `name`.
pub(super) async fn counter(http: &str, name: &str) -> Result<Series, BenchError> {
    let response = HttpClient::connect(http).await?.get("/metrics").await?;
    if response.status != 200 {
        return Err(BenchError::Worker(format!("/metrics was answered with HTTP {}", response.status)));
    }
    Ok(parse(&String::from_utf8_lossy(&response.body), name))
}

fn parse(page: &str, name: &str) -> Series {
    let mut series = Series::new();
    for line in page.lines() {
        let Some(rest) = line.strip_prefix(name) else { continue };
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => rest.split_once('}').unwrap_or((rest, "")),
            None => ("", rest),
        };
        // Anything but a space here is another, longer name.
        let Some(value) = rest.strip_prefix(' ').and_then(|rest| rest.split(' ').next()) else { continue };
        // Some writers give counters as floats.
        let whole = value.split('.').next().unwrap_or(value);
        if let Ok(value) = whole.parse::<u64>() {
            *series.entry(labels.to_owned()).or_default() += value;
        }
    }
    series
}

/// How much each series grew.
pub(super) fn growth(before: &Series, after: &Series) -> Series {
    let grown = |labels: &String, value: u64| value.saturating_sub(before.get(labels).copied().unwrap_or(0));
    after.iter().map(|(labels, &value)| (labels.clone(), grown(labels, value))).filter(|(_, n)| *n > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# HELP chappe_udp_packets Packets.\n# TYPE chappe_udp_packets counter\n\
        chappe_udp_packets_total{type=\"Status\"} 12\nchappe_udp_packets_total{type=\"Ping\"} 3.0\n\
        chappe_udp_packets_total_more 99\nchappe_udp_drops_total 7\n# EOF\n";

    #[test]
    fn a_counter_is_read_with_its_labels_and_no_other() {
        let series = parse(PAGE, "chappe_udp_packets_total");
        assert_eq!(series.len(), 2);
        assert_eq!(series["type=\"Status\""], 12);
        assert_eq!(series.values().sum::<u64>(), 15);
        assert_eq!(parse(PAGE, "chappe_udp_drops_total").values().sum::<u64>(), 7);
    }

    #[test]
    fn growth_counts_series_that_are_new() {
        let before = parse("x_total{a} 5\nx_total{b} 1\n", "x_total");
        let after = parse("x_total{a} 9\nx_total{b} 1\nx_total{c} 2\n", "x_total");
        let grown: Vec<u64> = growth(&before, &after).into_values().collect();
        assert_eq!(grown, [4, 2]);
    }
}
