//! What two runs beside each other say, and with what there is no comparing.

use super::*;

fn settings(size: u32) -> Vec<(&'static str, Value)> {
    vec![("size", json!(size)), ("rate", Value::Null), ("tcp", json!("127.0.0.1:1")), ("server_pid", json!(7))]
}

fn report(acks: f64, p99: f64, cpu: f64) -> Value {
    json!({
        "bench": "send", "version": "0.1.0", "cores": 2, "ok": true,
        "settings": {"size": 128, "rate": null, "tcp": "127.0.0.1:9999", "server_pid": null},
        "results": {"acks_per_s": acks, "acks": 1_000_000, "refused": 0, "verified": "all"},
        "latency": {"ack": {"count": 3, "p50_us": 100.0, "p99_us": p99, "max_us": 5000.0}},
        "server": {"server_cpu_us_per_op": cpu, "server_cpu_s": 3.0},
    })
}

fn read(text: &str, bench: &'static str, settings: &[(&'static str, Value)]) -> Result<Earlier, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Earlier::read(file.path(), 0.1, bench, settings).map_err(|error| error.to_string())
}

fn earlier() -> Earlier {
    read(&report(1000.0, 200.0, 4.0).to_string(), "send", &settings(128)).unwrap()
}

#[test]
fn a_number_is_worse_beyond_the_tolerance_in_its_own_direction() {
    let earlier = earlier();
    for (new, worse) in [
        (report(1000.0, 200.0, 4.0), &[][..]),
        (report(901.0, 219.0, 4.39), &[]),
        (report(899.0, 200.0, 4.0), &["acks_per_s"]),
        (report(1000.0, 221.0, 4.5), &["ack p99_us", "server_cpu_us_per_op"]),
        // Better is not worse, and what follows from the rest is not judged.
        (report(9000.0, 2.0, 0.1), &[]),
    ] {
        assert_eq!(earlier.beside(&new).worse(), worse, "{new}");
    }
}

#[test]
fn every_number_of_both_runs_is_shown_old_new_and_their_ratio() {
    let (earlier, mut new) = (earlier(), report(500.0, 200.0, 4.0));
    new["server"] = Value::Null;
    let comparison = earlier.beside(&new);
    let shown = comparison.as_json();
    assert_eq!(shown["numbers"]["acks_per_s"], json!({"old": 1000.0, "new": 500.0, "ratio": 0.5, "worse": true}));
    assert_eq!(shown["numbers"]["ack max_us"]["ratio"], 1.0);
    // The server was not watched this time.
    assert_eq!(shown["numbers"].get("server_cpu_us_per_op"), None);
    assert_eq!(shown["worse"], json!(["acks_per_s"]));
    let text = comparison.as_text();
    let line = text.lines().find(|line| line.contains("acks_per_s")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["acks_per_s", "1000.0", "500.0", "0.500", "WORSE"]);
    let line = text.lines().find(|line| line.contains(" acks ")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["acks", "1,000,000", "1,000,000", "1.000"]);
    let line = text.lines().find(|line| line.contains("refused")).unwrap();
    assert_eq!(line.split_whitespace().collect::<Vec<_>>(), ["refused", "0", "0", "-"]);
}

#[test]
fn what_is_no_run_of_this_benchmark_with_these_settings_is_refused_with_its_reason() {
    let whole = report(1.0, 1.0, 1.0);
    let with = |name: &str, value: Value| {
        let mut report = whole.clone();
        report[name] = value;
        report.to_string()
    };
    for (text, bench, settings, reason) in [
        ("acks_per_s 5".to_owned(), "send", settings(128), "not_a_report: "),
        ("{}".to_owned(), "send", settings(128), "not_a_report: "),
        ("[1]".to_owned(), "send", settings(128), "not_a_report: "),
        (whole.to_string(), "udp", settings(128), "is of `bench send`, not of `bench udp`"),
        (with("ok", json!(false)), "send", settings(128), "failed_run: "),
        (whole.to_string(), "send", settings(64), "size=128 instead of 64"),
        (with("settings", json!({"size": 128, "rate": 5})), "send", settings(128), "rate=5 instead of null"),
        (with("settings", json!({"size": 128, "old": 5})), "send", settings(128), "old=5, which there is no more"),
    ] {
        let error = read(&text, bench, &settings).unwrap_err();
        assert!(error.contains(reason), "{error}");
    }
    let missing = Earlier::read(Path::new("/no/such/file"), 0.1, "send", &settings(128)).unwrap_err();
    assert!(missing.to_string().starts_with("unreadable: /no/such/file"), "{missing}");
}

#[test]
fn a_tolerance_is_a_percentage() {
    for (text, part) in [("10%", 0.1), ("5", 0.05), ("0%", 0.0), ("2.5 %", 0.025)] {
        assert!((parse_tolerance(text).unwrap() - part).abs() < 1e-9, "{text}");
    }
    for bad in ["", "%", "-1%", "ten", "NaN", "inf", "2000%"] {
        assert!(parse_tolerance(bad).is_err(), "{bad}");
    }
}
