//! What the server says of itself.

use std::time::Duration;

use chappe_actors::health::{Connections, Health, Phase, Storage};
use serde_json::json;

use super::*;
use crate::http::engine;

fn broken() -> Storage {
    Storage::Unavailable { reason: "no space left on device".into() }
}

#[actix_web::test]
async fn health_says_what_is_wrong_and_answers_all_the_same() {
    let connections = Connections { websocket: 3, tcp: 2 };
    let (log_position, projected_position) = (9, 7);
    let storage = broken();
    let (damage, are_tables_damaged) = (None, false);
    let phase = Phase::Serving;
    let health = Health { phase, storage, damage, are_tables_damaged, log_position, projected_position, connections };
    engine::script_health(Some(health));
    let answer = send(request("GET", "/health")).await;
    let expected = json!({
        "status": "degraded",
        "version": env!("CARGO_PKG_VERSION"),
        "uptime_s": 0,
        "storage": {"writable": false, "reason": "no space left on device"},
        "log_position": 9,
        "projector_lag": 2,
        "connections": {"websocket": 3, "tcp": 2},
    });
    assert_eq!((answer.status.as_u16(), answer.json()), (200, expected));
}

#[actix_web::test]
async fn damaged_query_tables_are_told_and_the_server_stays_ready() {
    let health = Health { phase: Phase::Serving, are_tables_damaged: true, ..Health::default() };
    engine::script_health(Some(health));
    let report = send(request("GET", "/health")).await.json();
    assert_eq!(report["status"], "degraded");
    assert!(report["query_tables"].as_str().is_some_and(|what| what.starts_with("damaged")), "{report}");
    assert_eq!(send(request("GET", "/health/ready")).await.status.as_u16(), 200);
}

#[actix_web::test]
async fn ready_is_only_a_server_that_takes_writes_and_live_is_any() {
    for (phase, storage, status, code, shown) in [
        (Phase::Serving, Storage::Writable, 200, None, "ok"),
        (Phase::Serving, broken(), 503, Some("storage_unavailable"), "degraded"),
        (Phase::Starting, Storage::Writable, 503, Some("busy"), "starting"),
        (Phase::Draining, Storage::Writable, 503, Some("shutting_down"), "draining"),
    ] {
        engine::script_health(Some(Health { phase, storage, ..Health::default() }));
        let answer = send(request("GET", "/health/ready")).await;
        assert_eq!((answer.status.as_u16(), answer.json()["code"].as_str()), (status, code), "{phase:?}");
        assert_eq!(send(request("GET", "/health/live")).await.status.as_u16(), 200);
        assert_eq!(send(request("GET", "/health")).await.json()["status"], shown);
    }
}

#[actix_web::test]
async fn an_engine_that_does_not_answer_is_not_waited_for() {
    engine::script_health(None);
    for (path, status) in [("/health", 503), ("/health/ready", 503), ("/health/live", 200)] {
        let settings = HttpSettings { health_time: Duration::from_millis(10), ..settings() };
        assert_eq!(send_with(settings, request("GET", path)).await.status.as_u16(), status, "{path}");
    }
}

#[actix_web::test]
async fn probes_are_answered_however_fast_their_address_asks() {
    allow_requests(1);
    let from = |path| request("GET", path).peer_addr("192.0.2.7:1".parse().unwrap());
    assert_eq!(send(from("/api/limits")).await.status.as_u16(), 200);
    for _ in 0..3 {
        for (path, status) in [("/health/live", 200), ("/health/ready", 200), ("/health", 429), ("/metrics", 429)] {
            let answer = send(from(path)).await;
            assert_eq!((answer.status.as_u16(), answer.closes), (status, status == 429), "{path}");
        }
    }
}

#[actix_web::test]
async fn metrics_are_openmetrics_text() {
    let answer = send(request("GET", "/metrics")).await;
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, Some(content_type)));
    assert!(answer.bytes.ends_with(b"# EOF\n"));
}
