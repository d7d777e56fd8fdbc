//! Who is told that it is not let in, and for how long.

use actix::prelude::*;
use chappe_proto::Code;
use tokio::io::DuplexStream;

use super::*;

/// How long anything may take that is not meant to take any time.
const PATIENCE: Duration = Duration::from_secs(20);

fn refused(time: Duration) -> DuplexStream {
    let (client, server) = tokio::io::duplex(64 * 1024);
    tell_within(time, server, Reject { retry_after_ms: Some(1500), ..Reject::plain(Code::RateLimited) });
    client
}

async fn rest(client: &mut DuplexStream) -> String {
    let mut text = String::new();
    tokio::time::timeout(PATIENCE, client.read_to_string(&mut text)).await.expect("an end").unwrap();
    text
}

#[test]
fn who_is_not_let_in_is_told_once_it_asks_and_the_connection_ends() {
    System::new().block_on(async {
        let mut client = refused(PATIENCE);
        client.write_all(b"GET /api/chats HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let text = rest(&mut client).await;
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 429 Too Many Requests\r\n"), "{head}");
        for line in ["connection: close", "retry-after: 2", "content-type: application/problem+json"] {
            assert!(head.lines().any(|other| other == line), "{line} is not in {head}");
        }
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
        assert!(body.contains("\"code\":\"rate_limited\""), "{body}");
    });
}

#[test]
fn who_is_not_let_in_and_says_nothing_does_not_stay() {
    System::new().block_on(async {
        let mut told: Vec<_> = (0..AT_A_TIME).map(|_| refused(Duration::from_millis(100))).collect();
        let mut one_more = refused(PATIENCE);
        assert_eq!(rest(&mut one_more).await, "", "there is no room to tell it");
        assert_eq!(TOLD.get(), AT_A_TIME);
        for client in &mut told {
            assert_eq!(rest(client).await, "");
        }
        assert_eq!(TOLD.get(), 0);
    });
}
