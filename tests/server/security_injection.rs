//! Words of clients that try to be something else: a header of an answer, a line of the log, a path of the file system, a
//! second request.

use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::client::{Client, Door, Next};
use crate::support::http::{Answer, Http};
use crate::support::server::{FAST, TestServer};
use crate::support::udp::Udp;

/// All headers that the server sends.
const HEADERS: [&str; 15] = [
    "access-control-allow-origin",
    "access-control-expose-headers",
    "allow",
    "cache-control",
    "connection",
    "content-length",
    "content-security-policy",
    "content-type",
    "date",
    "etag",
    "location",
    "referrer-policy",
    "retry-after",
    "vary",
    "x-content-type-options",
];

fn has_only_its_own_headers(answer: &Answer, what: &str) {
    for (name, value) in &answer.headers {
        assert!(HEADERS.contains(&name.as_str()), "{what}: {name}: {value}");
        assert!(!value.contains("evil"), "{what}: {name}: {value}");
    }
}

#[test]
fn what_clients_write_never_becomes_a_header_or_an_answer_of_its_own() {
    let server = TestServer::with(&[("CHAPPE_HTTP_SERVER_ALLOWED_ORIGINS", "https://chat.example.com")]);
    let evil = "x\r\nSet-Cookie: evil=1\r\nX-Evil: 1\r\n\r\n<html>evil</html>\r\n\r\nHTTP/1.1 200 OK\r\n";
    let mut http = Http::to(&server);
    // On one connection: an answer that is longer than it says would be taken for the next one.
    let user = http.post("/api/users", &json!({"nickname": evil[..20]}));
    has_only_its_own_headers(&user, "a nickname");
    let user = user.expect(201)["user_id"].clone();
    let chat = http.post("/api/chats", &json!({"title": evil, "user_id": user}));
    has_only_its_own_headers(&chat, "a title");
    let location = chat.header("location").expect("a chat is somewhere").to_owned();
    let chat = chat.expect(201)["chat_id"].clone();
    assert_eq!(location, format!("/api/chats/{chat}"));
    let body = json!({"sender_id": user, "content": evil, "client_id": "k"});
    let path = format!("{location}/messages");
    has_only_its_own_headers(&http.post(&path, &body), "content");
    let read = http.get(&format!("{path}?user_id={user}"));
    has_only_its_own_headers(&read, "a page");
    assert_eq!(read.expect(200)["messages"][0]["content"], evil);
    for path in [
        "/api/chats/1%0d%0aSet-Cookie:%20evil=1",
        "/api/chats?limit=%0d%0aSet-Cookie:%20evil=1",
        "/%0d%0aSet-Cookie:%20evil=1",
        "/web/app.js?%0d%0aevil:1",
        "/api/users/%0d%0aevil/key",
    ] {
        let answer = http.get(path);
        has_only_its_own_headers(&answer, path);
        assert!(matches!(answer.status, 200 | 404 | 405 | 422), "{path}: {}", answer.status);
    }
    for (name, value) in [
        ("X-Request-Id", "evil"),
        ("X-Correlation-Id", "evil"),
        ("Traceparent", "00-evil-evil-01"),
        ("X-Chappe-User", "evil"),
        ("Idempotency-Key", "evil key"),
        ("Origin", "https://evil.example"),
        ("Access-Control-Request-Headers", "x-evil"),
        ("If-None-Match", "\"evil\""),
        ("X-Forwarded-Host", "evil.example"),
        ("Forwarded", "host=evil.example"),
        ("Accept-Language", "evil"),
    ] {
        for (method, path) in [("GET", "/api/chats"), ("GET", "/"), ("POST", "/api/chats"), ("OPTIONS", "/api/chats")] {
            let answer = http.call(method, path, &[(name, value)], None);
            has_only_its_own_headers(&answer, &format!("{name} with {method} {path}"));
        }
    }
    assert_eq!(http.get("/health/live").expect(200)["status"], "ok", "the connection is where it should be");
}

#[test]
fn a_request_has_one_end_that_everybody_agrees_on() {
    let server = TestServer::start();
    let inner = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let host = format!("Host: {}", server.http);
    let chunk = format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
    for (what, head, body) in [
        ("both lengths", format!("Content-Length: {}\r\nTransfer-Encoding: chunked", inner.len()), chunk.as_str()),
        ("two lengths", format!("Content-Length: 0\r\nContent-Length: {}", inner.len()), inner),
        ("a length with a sign", format!("Content-Length: +{}", inner.len()), inner),
        ("a list of lengths", format!("Content-Length: 0, {}", inner.len()), inner),
        ("another coding", "Transfer-Encoding: xchunked".to_owned(), chunk.as_str()),
        ("a coding before chunked", "Transfer-Encoding: chunked, identity".to_owned(), chunk.as_str()),
        ("a folded header", "Transfer-Encoding:\r\n chunked".to_owned(), chunk.as_str()),
        ("a name with a space", format!("Content-Length : {}", inner.len()), inner),
        ("a line that ends too early", format!("X: a\rContent-Length: {}", inner.len()), inner),
        ("a name with a zero", format!("X\0: 1\r\nContent-Length: {}", inner.len()), inner),
        ("a value with a zero", format!("X: 1\0\r\nContent-Length: {}", inner.len()), inner),
    ] {
        let mut http = Http::to(&server);
        http.raw(format!("POST /api/chats HTTP/1.1\r\n{host}\r\n{head}\r\n\r\n{body}").as_bytes());
        let answer = http.answer("POST");
        assert_eq!(answer.status, 400, "{what}: {answer:?}");
        assert!(http.is_closed(), "{what}: what follows is not read");
    }
}

#[test]
fn a_path_leads_to_what_is_inside_the_binary_and_nowhere_else() {
    let server = TestServer::with(&FAST);
    let steps =
        ["..", "%2e%2e", "%2E%2E", ".%2e", "%252e%252e", "..%00", "%c0%ae%c0%ae", "%uff0e%uff0e", "..;", "....", "~"];
    let slashes = ["/", "%2f", "%5c", "\\", "%252f", "//", "%c0%af", "/./"];
    let targets = ["etc/passwd", "Cargo.toml", "log.db", "token.secret", "web/index.html"];
    let mut http = Http::to(&server);
    let mut tried = 0;
    for base in ["", "/web", "/docs", "/example", "/api/chats"] {
        for step in steps {
            for slash in slashes {
                for target in targets {
                    let target = target.replace('/', slash);
                    let path = format!("{base}/{step}{slash}{step}{slash}{step}{slash}{target}");
                    let answer = http.get(&path);
                    tried += 1;
                    let text = String::from_utf8_lossy(&answer.body);
                    assert!(matches!(answer.status, 400 | 404 | 422), "{path}: {} {text:.200}", answer.status);
                    assert!(
                        !text.contains("root:") && !text.contains("[package]") && !text.contains("<html"),
                        "{path}"
                    );
                }
            }
        }
    }
    assert!(tried > 2000, "{tried}");
    for path in [
        "//etc/passwd",
        "/web//etc/passwd",
        "/web/",
        "/web",
        "/web/.",
        "/web/app.js%00",
        "/web/app.js/",
        "/web/APP.js",
        "/web/app.js.",
        "/web/app.js::$DATA",
        "/web/C:%5cboot.ini",
        "/web/..%2findex.html",
        "/proc/self/environ",
        "/.git/config",
    ] {
        assert_eq!(http.get(path).status, 404, "{path}");
    }
    let plain = http.get("/web/app.js");
    let written = http.get("/web/%61pp.js");
    assert!(written.status == 404 || written.body == plain.body, "one file has one content, however it is called");
}

/// What a client would like to see in the log.
const FORGED: &str = "{\"timestamp\":\"2026-01-01T00:00:00Z\",\"level\":\"INFO\",\"message\":\"forged\"}";

#[test]
fn what_clients_say_is_no_line_of_the_log_and_steers_no_terminal() {
    let server = TestServer::with(&[("CHAPPE_LOG", "trace")]);
    let evil = format!("\u{1b}[2J\u{1b}]0;forged\u{7}\r\n{FORGED}\n\u{9b}31m\u{202e}");
    let short: String = evil.chars().take(50).collect();
    let mut http = Http::to(&server);
    let user = http.post("/api/users", &json!({"nickname": short})).expect(201)["user_id"].as_u64().expect("an id");
    let chat = http.post("/api/chats", &json!({"title": evil, "user_id": user})).expect(201)["chat_id"].clone();
    let percent: String = evil.bytes().map(|byte| format!("%{byte:02x}")).collect();
    for path in [
        format!("/{percent}"),
        format!("/api/chats/{percent}"),
        format!("/api/chats?limit={percent}"),
        format!("/web/{percent}"),
        format!("/ws?{percent}"),
        format!("/api/users/{percent}/key"),
    ] {
        http.get(&path);
    }
    for door in Door::ALL {
        let mut client = Client::connect(&server, door);
        client.ask(json!({"packet_type": "Hello", "version": 1, "user_id": user, "agent": short}));
        let mut post = json!({"packet_type": "SendMessage", "message": {"chat_id": chat, "content": evil}});
        let ack = client.ask(post.clone());
        assert_eq!(ack["success"], true, "{ack}");
        client.ask(json!({"packet_type": "React", "message_id": ack["message_id"], "emoji": short}));
        client.send(&json!({"packet_type": "Status", "status_data": short}));
        client.send(&json!({"packet_type": "Typing", "chat_id": chat, "status_data": short}));
        if !door.is_binary() {
            post["packet_type"] = json!(evil);
            client.ask(post);
            client.ask(
                json!({"packet_type": "SendMessage", "message": {"chat_id": evil, "content": 7, "message_type": evil}}),
            );
        }
        let mut garbage = evil.clone().into_bytes();
        if door == Door::TcpJson {
            garbage.push(b'\n');
        }
        client.send_body(garbage);
        // Heard, and answered by an error or by the end of the connection.
        loop {
            match client.next_within(PATIENCE) {
                Next::Packet(packet) if packet["packet_type"] == "Error" => break,
                Next::Packet(_) => {}
                Next::End(_) => break,
                Next::Silence => panic!("no answer on {door:?}"),
            }
        }
    }
    let udp = Udp::to(&server);
    udp.send(evil.as_bytes());
    udp.say(&json!({"packet_type": evil}));
    udp.send(b"{\"packet_type\":\"\n\x1b\"}");
    udp.say(&json!({"packet_type": "Ping", "nonce": 1}));
    udp.receive();
    for head in ["GET / HTTP/1.1\r\nHost: local\x1bhost\r\n\r\n", "GE\x1bT / HTTP/1.1\r\n\r\n", "\x1b[2J\n{}\n"] {
        let mut http = Http::to(&server);
        http.raw(head.as_bytes());
        assert_eq!(http.answer("GET").status, 400);
    }
    for line in server.log().lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        assert!(event["level"].is_string() && event["message"] != "forged", "{line}");
        assert!(!line.contains(|letter: char| letter.is_control() || letter == '\u{202e}'), "{line:?}");
    }
    assert!(server.log().lines().count() > 100, "the log is talkative");
}
