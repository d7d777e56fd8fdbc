//! Who asks too fast is told when to come again, on every door; nobody else notices.

use std::time::Duration;

use serde_json::{Value, json};

use crate::acks::group_chat;
use crate::support::client::{Client, Door, Next, message};
use crate::support::http::Http;
use crate::support::server::TestServer;
use crate::support::until;

fn wait(answer: &Value) {
    let ms = answer["retry_after_ms"].as_u64().expect("a refusal says when to come again");
    assert!((1..=10_000).contains(&ms), "{answer}");
    std::thread::sleep(Duration::from_millis(ms));
}

fn limited(server: &TestServer, limit: &str) -> f64 {
    server.metric(&format!("chappe_rate_limited_total{{limit=\"{limit}\"}}"))
}

#[test]
fn a_connection_that_asks_too_fast_gets_its_refusals_in_order_and_is_served_after_the_wait() {
    let server = TestServer::with(&[("CHAPPE_LIMITS_CONNECTION_RATE", "5/s burst 20")]);
    for (nth, door) in Door::ALL.into_iter().enumerate() {
        let mut client = Client::hello(&server, door, nth as u64 + 1);
        let asked: Vec<u64> = (0..60).map(|nth| client.begin(message(1, &nth.to_string()))).collect();
        let mut acks = Vec::new();
        while acks.len() < asked.len() {
            let packet = client.wait_for("Ack");
            acks.push(packet);
        }
        let answered: Vec<u64> = acks.iter().filter_map(|ack| ack["request_id"].as_u64()).collect();
        assert_eq!(answered, asked, "{door:?}: refusals keep their place among the acks");
        let fine = acks.iter().filter(|ack| ack["success"] == true).count();
        // What comes back while 60 requests are sent is not much.
        assert!((19..50).contains(&fine), "{door:?}: {fine} were let through");
        let refused = acks.iter().rfind(|ack| ack["success"] == false).expect("some are refused");
        assert_eq!(refused["code"], "rate_limited", "{refused}");
        wait(refused);
        client.post(1, "after the wait");
        // Questions are refused as well, and a connection of its own is not concerned.
        let answers: Vec<u64> = (0..30).map(|_| client.begin(json!({"packet_type": "Ping"}))).collect();
        let last = client.answer(answers[29]);
        assert_eq!((&last["packet_type"], &last["code"]), (&json!("Error"), &json!("rate_limited")), "{door:?}");
        Client::hello(&server, door, nth as u64 + 1).post(1, "by another connection");
    }
    assert!(limited(&server, "connection") > 100.0);
}

#[test]
fn typing_too_fast_is_dropped_without_a_word_and_counted() {
    let server = TestServer::with(&[("CHAPPE_LIMITS_CONNECTION_RATE", "1/s burst 10")]);
    let mut client = Client::hello(&server, Door::TcpJson, 1);
    for _ in 0..50 {
        client.send(&json!({"packet_type": "Typing", "chat_id": 1}));
    }
    until("the drops to be counted", || (limited(&server, "connection") >= 40.0).then_some(()));
    assert_eq!(client.next_within(Duration::from_millis(50)), Next::Silence);
    // The window is whole: what is dropped holds no place in it.
    wait(&client.ask(message(1, "too fast")));
    client.post(1, "fine");
}

#[test]
fn a_user_has_one_rate_over_all_connections_and_http() {
    let server = TestServer::with(&[("CHAPPE_LIMITS_USER_RATE", "1/s burst 10")]);
    let mut ann = [Client::hello(&server, Door::TcpJson, 1), Client::hello(&server, Door::WsBinary, 1)];
    for nth in 0..10 {
        ann[nth % 2].post(1, "hello");
    }
    for client in &mut ann {
        assert_eq!(client.ask(message(1, "one too many"))["code"], "rate_limited");
    }
    let mut http = Http::to(&server);
    let body = json!({"sender_id": 1, "content": "over HTTP"});
    let refused = http.post("/api/chats/1/messages", &body);
    assert_eq!(refused.refusal(), (429, "rate_limited".to_owned()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(http.get("/api/chats?user_id=1").refusal(), (429, "rate_limited".to_owned()));
    // Others are served, and so is the user after the wait.
    Client::hello(&server, Door::WsText, 2).post(1, "not mine");
    wait(&refused.json());
    http.post("/api/chats/1/messages", &body).expect(201);
    until("the metric, told once a second", || (limited(&server, "user") >= 4.0).then_some(()));
}

#[test]
fn a_chat_has_one_rate_over_all_its_members() {
    let server = TestServer::with(&[("CHAPPE_LIMITS_CHAT_RATE", "1/s burst 6")]);
    let (busy, quiet) = (group_chat(&server, &[1, 2]), group_chat(&server, &[1, 2]));
    let mut clients = [Client::hello(&server, Door::TcpJson, 1), Client::hello(&server, Door::WsText, 2)];
    for nth in 0..6 {
        clients[nth % 2].post(busy, "hello");
    }
    let refused = clients[0].ask(message(busy, "one too many"));
    assert_eq!(refused["code"], "rate_limited");
    assert_eq!(clients[1].ask(message(busy, "one too many"))["code"], "rate_limited");
    clients[0].post(quiet, "in another chat");
    wait(&refused);
    clients[0].post(busy, "after the wait");
}

#[test]
fn an_address_has_one_rate_of_http_requests_and_a_trusted_proxy_speaks_for_many() {
    // Not trusted: the test is its own client, and a header of its own making means nothing.
    let rate = ("CHAPPE_LIMITS_IP_REQUEST_RATE", "1/s burst 5");
    let server = TestServer::with(&[rate, ("CHAPPE_HTTP_SERVER_TRUSTED_PROXIES", "192.0.2.1")]);
    let from = |http: &mut Http, address: &str| http.call("GET", "/api/limits", &[("X-Forwarded-For", address)], None);
    for nth in 0..5 {
        from(&mut Http::to(&server), &format!("198.51.100.{nth}")).expect(200);
    }
    let refused = Http::to(&server).get("/api/limits");
    assert_eq!(refused.refusal(), (429, "rate_limited".to_owned()));

    // Trusted, as a proxy on the same machine is by itself: each address has its own rate, and nobody else is counted.
    let server = TestServer::with(&[rate]);
    let mut http = Http::to(&server);
    for nth in 0..5 {
        // Whatever the client itself wrote stands in front.
        from(&mut http, &format!("203.0.113.{nth}, 198.51.100.1")).expect(200);
    }
    assert_eq!(from(&mut http, "198.51.100.1").refusal(), (429, "rate_limited".to_owned()));
    from(&mut http, "198.51.100.2").expect(200);
    for _ in 0..20 {
        http.get("/api/limits").expect(200);
    }
    assert_eq!(limited(&server, "address"), 1.0);
}

#[test]
fn the_limits_can_be_read_by_everyone_and_are_those_that_welcome_tells_of() {
    let server = TestServer::with(&[("CHAPPE_LIMITS_WINDOW", "77"), ("CHAPPE_LIMITS_USER_RATE", "off")]);
    let limits = Http::to(&server).get("/api/limits").expect(200);
    let welcome = Client::connect(&server, Door::TcpJson).greet(1);
    for (name, value) in welcome["limits"].as_object().expect("limits") {
        assert_eq!(&limits[name], value, "{name}");
    }
    assert_eq!((&limits["window"], &limits["user_rate"]["per_sec"]), (&json!(77), &json!(0)));
    assert_eq!(limits["connections_per_ip"], 1000);
    assert_eq!(limits["idle_time_ms"], 300_000);
}
