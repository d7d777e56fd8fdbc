//! `chappe bench` against a server that keeps its promises, and one run beside another.

use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::NamedTempFile;

use crate::support::programs::run;
use crate::support::server::{CHAPPE, TestServer, command};

fn bench(server: &TestServer, arguments: &str) -> Command {
    let mut command = command(&[CHAPPE.to_owned()], &[]);
    command.arg("bench").args(arguments.split(' ')).args(["--duration", "300ms", "--warmup", "100ms", "--json"]);
    command.env("CHAPPE_TCP", server.tcp.to_string()).env("CHAPPE_HTTP", server.http.to_string());
    command
}

#[test]
fn every_kind_of_load_is_made_and_found_as_promised() {
    let server = TestServer::start();
    for (arguments, counted) in [
        ("send --rate 200 --connections 4", "acks"),
        ("send --rate 200 --chats 2 --members 1010 --content random --wire json", "acks"),
        ("fanout --rate 50 --listeners 20", "deliveries"),
        ("fanout --rate 50 --listeners 20 --door tcp --wire binary", "deliveries"),
        ("fanout --rate 50 --listeners 20 --door tcp", "deliveries"),
        ("rooms --rate 200 --chats 20 --members 5 --users 30", "deliveries"),
        ("rooms --rate 200 --chats 20 --members 5 --users 30 --wire json", "deliveries"),
        ("history --rate 100 --chats 10 --messages 60 --page 2", "pages"),
    ] {
        let run = run(bench(&server, arguments).stderr(Stdio::inherit())).fine();
        let report: Value = serde_json::from_str(&run.stdout).unwrap();
        assert_eq!(report["ok"], true, "{arguments}: {report}");
        assert!(report["results"][counted].as_u64().unwrap() > 0, "{arguments}: {report}");
    }
}

#[test]
fn a_run_beside_an_earlier_one_fails_where_it_is_worse_and_where_there_is_no_comparing() {
    let server = TestServer::start();
    let load = "send --rate 100 --connections 2";
    let before = run(&mut bench(&server, load)).fine().stdout;
    let beside = |factor: f64, more: &str| {
        let mut report: Value = serde_json::from_str(&before).unwrap();
        let rate = report["results"]["acks_per_s"].as_f64().unwrap();
        report["results"]["acks_per_s"] = (rate * factor).into();
        report["latency"]["ack"] = Value::Null;
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), report.to_string()).unwrap();
        run(&mut bench(&server, &format!("{load} --compare {} {more}", file.path().display())))
    };
    let better = beside(0.01, "--tolerance 50%").fine();
    let report: Value = serde_json::from_str(&better.stdout).unwrap();
    assert!(report["compared"]["numbers"]["acks_per_s"]["ratio"].as_f64().unwrap() > 10.0, "{report}");
    let worse = beside(100.0, "--tolerance 50%");
    assert_eq!(worse.code, Some(1), "{worse:?}");
    assert!(worse.stderr.contains("WORSE: acks_per_s"), "{worse:?}");
    let other = beside(1.0, "--size 64");
    assert_eq!((other.code, other.stdout.as_str()), (Some(9), ""), "{other:?}");
    assert!(other.stderr.contains("other_settings: "), "{other:?}");
}
