//! The HTTP door of the running server: every route that the description lists, pages of other sites, and what
//! operators read.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::client::{Client, Door};
use crate::support::http::Http;
use crate::support::server::TestServer;

#[test]
fn every_route_of_the_description_does_what_it_says() {
    let server = TestServer::start();
    let mut http = Http::to(&server);
    let api = http.get("/api/openapi.json").expect(200);
    let mut untried: BTreeSet<(String, String)> = api["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| methods.as_object().unwrap().keys().map(|method| (method.clone(), path.clone())))
        .collect();
    let mut call = |method: &str, template: &str, path: &str, body: Option<Value>, status: u16| {
        let known = untried.remove(&(method.to_ascii_lowercase(), template.to_owned()));
        let described = &api["paths"][template][method.to_ascii_lowercase()]["responses"][status.to_string()];
        assert!(known || described.is_object(), "{method} {template} is not described, or not with {status}");
        let answer = http.call(method, path, &[], body.as_ref());
        assert_eq!(answer.status, status, "{method} {path}: {}", String::from_utf8_lossy(&answer.body));
        if answer.body.is_empty() || answer.header("content-type") != Some("application/json") {
            return Value::String(String::from_utf8(answer.body).unwrap());
        }
        answer.json()
    };
    let user = call("POST", "/api/users", "/api/users", Some(json!({"nickname": "Ann"})), 201);
    let ann = user["user_id"].as_u64().unwrap();
    assert_eq!(user["nickname"], "Ann");
    let users = call("GET", "/api/users", &format!("/api/users?after={}&limit=1", ann - 1), None, 200);
    assert_eq!(users["users"][0], user);
    let one = format!("/api/users/{ann}");
    assert_eq!(call("GET", "/api/users/{user_id}", &one, None, 200), user);
    let public_key = "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg";
    let key = Some(json!({"public_key": public_key, "user_id": ann}));
    let with_key = call("PUT", "/api/users/{user_id}/key", &format!("{one}/key"), key, 200);
    assert_eq!(with_key["public_key"], public_key);
    assert_eq!(call("DELETE", "/api/users/{user_id}/key", &format!("{one}/key?user_id={ann}"), None, 200), user);
    let new = json!({"title": "lunch", "members": [ann, 2], "user_id": ann});
    let chat = call("POST", "/api/chats", "/api/chats", Some(new), 201);
    assert_eq!((&chat["title"], &chat["kind"], &chat["members"]), (&json!("lunch"), &json!("group"), &json!(2)));
    let at = format!("/api/chats/{}", chat["chat_id"]);
    let as_ann = format!("user_id={ann}");
    let chats = call("GET", "/api/chats", &format!("/api/chats?{as_ann}"), None, 200);
    assert!(chats["chats"].as_array().unwrap().contains(&chat), "{chats}");
    assert_eq!(call("GET", "/api/chats/{chat_id}", &format!("{at}?{as_ann}"), None, 200), chat);
    let patch = json!({"title": "dinner", "user_id": ann});
    assert_eq!(call("PATCH", "/api/chats/{chat_id}", &at, Some(patch), 200)["title"], "dinner");
    let members = "/api/chats/{chat_id}/members";
    let add = || Some(json!({"user_id": 3, "by": ann}));
    assert_eq!(call("POST", members, &format!("{at}/members"), add(), 201)["user_id"], 3);
    call("POST", members, &format!("{at}/members"), add(), 200);
    let listed = call("GET", members, &format!("{at}/members?{as_ann}"), None, 200);
    assert_eq!(listed["members"].as_array().unwrap().len(), 3);
    call("DELETE", "/api/chats/{chat_id}/members/{member_id}", &format!("{at}/members/3?{as_ann}"), None, 204);
    let messages = "/api/chats/{chat_id}/messages";
    let post = || Some(json!({"sender_id": ann, "content": "hello", "client_id": "k", "message_type": "Data"}));
    let message = call("POST", messages, &format!("{at}/messages"), post(), 201);
    let mut repeat = call("POST", messages, &format!("{at}/messages"), post(), 200);
    assert_eq!(repeat.as_object_mut().unwrap().remove("duplicate"), Some(json!(true)));
    assert_eq!(repeat, message);
    let page = call("GET", messages, &format!("{at}/messages?{as_ann}&page=1&per_page=5"), None, 200);
    assert_eq!(page, json!({"chat_id": chat["chat_id"], "messages": [message], "has_more": false}));
    let one = format!("/api/messages/{}", message["id"]);
    let edit = json!({"content": "hello, all", "user_id": ann});
    let edited = call("PATCH", "/api/messages/{message_id}", &one, Some(edit), 200);
    assert_eq!(edited["message_id"], message["id"]);
    let deleted = call("DELETE", "/api/messages/{message_id}", &format!("{one}?{as_ann}"), None, 200);
    let events = call("GET", "/api/chats/{chat_id}/events", &format!("{at}/events?after=1&{as_ann}"), None, 200);
    assert_eq!(events["head"], deleted["seq"]);
    assert_eq!(events["events"].as_array().unwrap().len() as u64, deleted["seq"].as_u64().unwrap() - 1);
    let online = call("GET", "/api/users/online", "/api/users/online", None, 200);
    assert_eq!(online["users"], json!([]));
    call("DELETE", "/api/chats/{chat_id}", &format!("{at}?{as_ann}"), None, 204);
    assert_eq!(call("GET", "/api/limits", "/api/limits", None, 200)["frame_bytes"], 65_536);
    assert_eq!(call("GET", "/health", "/health", None, 200)["status"], "ok");
    assert_eq!(call("GET", "/health/live", "/health/live", None, 200)["status"], "ok");
    assert_eq!(call("GET", "/health/ready", "/health/ready", None, 200)["status"], "ok");
    assert!(call("GET", "/metrics", "/metrics", None, 200).as_str().unwrap().ends_with("# EOF\n"));
    assert!(call("GET", "/api/openapi.json", "/api/openapi.json", None, 200)["paths"].is_object());
    let rules = call("GET", "/api/auth", "/api/auth", None, 200);
    assert_eq!(rules, json!({"mode": "open", "registration": true}));
    // In token mode they are tried in `sessions`; here there are none.
    for (method, path) in [
        ("POST", "/api/sessions"),
        ("DELETE", "/api/sessions"),
        ("GET", "/api/sessions/current"),
        ("DELETE", "/api/sessions/current"),
        ("POST", "/api/sessions/current/renew"),
        ("PUT", "/api/users/{user_id}/password"),
    ] {
        call(method, path, &path.replace("{user_id}", "7"), None, 404);
    }
    assert_eq!(untried, BTreeSet::new(), "described, and not tried here");
}

#[test]
fn pages_of_other_sites_cannot_use_the_server_and_allowed_ones_can() {
    let server = TestServer::with(&[("CHAPPE_HTTP_SERVER_ALLOWED_ORIGINS", "https://chat.example.com")]);
    let own = format!("http://{}", server.http);
    let forbidden = (403, "forbidden".to_owned());
    let body = json!({"sender_id": 1, "content": "x"});
    let mut http = Http::to(&server);
    let mut post = |origin: &str| http.call("POST", "/api/chats/1/messages", &[("Origin", origin)], Some(&body));
    for foreign in ["https://evil.example", "null", "http://127.0.0.1:1", "http://chat.example.com"] {
        assert_eq!(post(foreign).refusal(), forbidden, "{foreign}");
    }
    assert_eq!(post(&own).status, 201);
    let allowed = post("https://chat.example.com");
    assert_eq!(allowed.status, 201);
    assert_eq!(allowed.header("access-control-allow-origin"), Some("https://chat.example.com"));
    let read = http.call("GET", "/api/chats", &[("Origin", "https://evil.example")], None);
    assert_eq!((read.status, read.header("access-control-allow-origin")), (200, None));
    for (host, expected) in [
        ("evil.example", 403),
        ("evil.example:80", 403),
        ("localhost", 200),
        ("127.0.0.1:9", 200),
        ("chat.example.com", 200),
    ] {
        assert_eq!(http.call("GET", "/api/chats", &[("Host", host)], None).status, expected, "{host}");
    }

    let upgrade = |origin: &str, host: Option<&str>| {
        let host = host.map_or_else(|| server.http.to_string(), str::to_owned);
        let headers = [
            ("Host", host.as_str()),
            ("Origin", origin),
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let mut http = Http::to(&server);
        let head: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        http.raw(format!("GET /ws HTTP/1.1\r\n{head}\r\n").as_bytes());
        http.answer("HEAD").status
    };
    assert_eq!(upgrade("https://evil.example", None), 403);
    assert_eq!(upgrade("null", None), 403);
    assert_eq!(upgrade(&own, Some("evil.example")), 403);
    assert_eq!(upgrade(&own, None), 101);
    assert_eq!(upgrade("https://chat.example.com", None), 101);
}

#[test]
fn bytes_that_are_not_http_cost_only_their_connection() {
    let server = TestServer::start();
    for (bytes, status) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("NONSENSE\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n".to_owned(), 400),
        (format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(200_000)), 431),
    ] {
        let mut http = Http::to(&server);
        http.raw(bytes.as_bytes());
        let what: String = bytes.chars().take(60).collect();
        assert_eq!(http.answer("GET").status, status, "{what:?}");
        assert!(http.is_closed(), "{what:?}");
    }
    assert_eq!(Http::to(&server).get("/health").status, 200);
}

#[test]
fn the_metrics_are_openmetrics_and_count_what_happened() {
    let server = TestServer::start();
    let mut client = Client::hello(&server, Door::WsText, 1);
    for nth in 0..7 {
        client.post(1, &format!("{nth}"));
    }
    client.ask(json!({"packet_type": "GetMessages", "chat_id": 1}));
    let answer = Http::to(&server).get("/metrics");
    assert!(answer.header("content-type").unwrap().starts_with("application/openmetrics-text"), "{answer:?}");
    let text = answer.text();
    assert!(text.ends_with("# EOF\n"));
    let mut described = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# ") {
            if let Some(typed) = rest.strip_prefix("TYPE ") {
                described.insert(typed.split(' ').next().unwrap().to_owned());
            }
            continue;
        }
        // name{labels} value
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no value in {line:?}"));
        value.parse::<f64>().unwrap_or_else(|error| panic!("{error} in {line:?}"));
        let name = series.split('{').next().unwrap();
        assert!(name.starts_with("chappe_"), "{line:?}");
        let base = ["_total", "_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        assert!(described.contains(name) || base.is_some_and(|base| described.contains(base)), "{line:?} has no TYPE");
    }
    assert_eq!(server.metric("chappe_acks_total{result=\"accepted\"}"), 7.0);
    assert_eq!(server.metric("chappe_packets_total{packet_type=\"SendMessage\"}"), 7.0);
    assert_eq!(server.metric("chappe_connections{door=\"websocket\"}"), 1.0);
    assert_eq!(server.metric("chappe_ack_latency_seconds_count"), 7.0);
    assert!(server.metric("chappe_log_position") >= 8.0);
    assert_eq!(server.metric("chappe_storage_writable"), 1.0);
}

#[test]
fn heads_and_bodies_that_never_come_to_an_end_are_not_waited_for() {
    let server = TestServer::start();
    let mut head = Http::to(&server);
    head.raw(b"GET /api/chats HTTP/1.1\r\nHost: localhost\r\nX-Slow: ");
    let mut body = Http::to(&server);
    let post =
        "POST /api/users HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{";
    body.raw(post.as_bytes());
    // Others are served meanwhile.
    Http::to(&server).post("/api/users", &json!({"nickname": "Quick"})).expect(201);
    assert_eq!(body.answer("POST").refusal(), (408, "malformed".to_owned()));
    assert!(body.is_closed());
    assert_eq!(head.answer("GET").status, 408);
    assert!(head.is_closed());
}
