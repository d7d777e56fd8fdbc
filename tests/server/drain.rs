//! A stop finishes what was taken, and tells everybody when to come back.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::process::Signal;
use serde_json::json;

use crate::recovery::write_until;
use crate::slow::stuck_client;
use crate::support::client::{Client, Door};
use crate::support::flood::{assert_kept, history};
use crate::support::http::Http;
use crate::support::server::TestServer;
use crate::support::until;

#[test]
fn a_stop_in_a_flood_keeps_what_was_acknowledged_and_tells_everybody_when_to_come_back() {
    let mut server = TestServer::for_floods();
    for (round, signal) in [Signal::TERM, Signal::INT].into_iter().enumerate() {
        let idle: Vec<_> = (0..20).map(|nth| Client::hello(&server, Door::ALL[nth % 4], 20)).collect();
        let mut code = None;
        let written = write_until(&mut server, u32::try_from(round).unwrap(), 500, |server| {
            server.signal(signal);
            code = server.ended();
        });
        assert_eq!(code, Some(0), "{signal:?}: {}", server.log());
        for written in &written {
            let closing = written.closing.as_ref().expect("a writer is told of the stop");
            assert_eq!((&closing["code"], &closing["reconnect_after_ms"].is_u64()), (&json!(4201), &true), "{closing}");
            assert!(written.refused.values().all(|code| code == "shutting_down"), "{:?}", written.refused);
        }
        let mut waits = HashSet::new();
        for mut client in idle {
            let (packets, close_code) = client.rest();
            let closing = packets.last().expect("an idle client is told of the stop");
            assert_eq!((&closing["packet_type"], &closing["code"]), (&json!("Closing"), &json!(4201)), "{closing}");
            let wait = closing["reconnect_after_ms"].as_u64().unwrap();
            assert!(wait <= 5000, "{closing}");
            waits.insert(wait / 250);
            if matches!(client.door, Door::WsText | Door::WsBinary) {
                assert_eq!(close_code, Some(4201), "{:?}", client.door);
            }
        }
        assert!(waits.len() >= 8, "20 clients are to come back spread over 5 s, not at {waits:?} quarters of a second");
        server.restart();
        assert_kept(&history(&server, 1, 1), &written);
    }
    assert!(TestServer::verify_stopped(&mut server).contains("agree with the log"));
}

#[test]
fn who_posts_over_http_is_answered_until_an_answer_ends_the_connection() {
    let mut server = TestServer::for_floods();
    let answers = AtomicU64::new(0);
    let last = std::thread::scope(|scope| {
        let posters = (1..=8).map(|user| {
            let (mut http, answers) = (Http::to(&server), &answers);
            scope.spawn(move || {
                loop {
                    // Fails where the connection ends instead.
                    let answer = http.post("/api/chats/1/messages", &json!({"sender_id": user, "content": "x"}));
                    answers.fetch_add(1, Ordering::Relaxed);
                    if answer.header("connection") == Some("close") {
                        return answer.status;
                    }
                }
            })
        });
        let posters: Vec<_> = posters.collect();
        until("the posts", || (answers.load(Ordering::Relaxed) >= 200).then_some(()));
        assert_eq!(server.stop(), Some(0), "{}", server.log());
        posters.into_iter().map(|poster| poster.join().expect("every request is answered")).collect::<Vec<_>>()
    });
    assert!(last.iter().all(|status| [201, 503].contains(status)), "{last:?}");
}

#[test]
fn a_server_can_be_stopped_the_moment_it_says_that_it_is_ready() {
    let mut server = TestServer::start();
    for _ in 0..10 {
        assert_eq!(server.stop(), Some(0), "{}", server.log());
        server.restart();
    }
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    for second in [Signal::TERM, Signal::INT] {
        let mut server = TestServer::start();
        // The stop waits for this one, who does not take its goodbye.
        let stuck = stuck_client(&server);
        server.signal(Signal::TERM);
        until("the stop to begin", || server.log().contains("stop: finish what was taken").then_some(()));
        server.signal(second);
        assert_eq!(server.ended(), Some(130), "{second:?}");
        drop(stuck);
    }
}

#[test]
fn who_does_not_take_the_goodbye_holds_the_stop_up_only_for_a_while() {
    let mut server = TestServer::start();
    let stuck = stuck_client(&server);
    assert_eq!(server.stop(), Some(0));
    drop(stuck);
}
