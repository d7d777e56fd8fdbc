//! Sessions under attack: a cookie that somebody else chose, a cookie that somebody else makes the browser send, and what the
//! work behind a refusal tells about who is known here.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::http::{Answer, Http};
use crate::support::programs::run;
use crate::support::server::{CHAPPE, TestServer, command};
use crate::support::tokens::{PASSWORD, claims, now};

/// A browser's session: its cookie, and what the page knows.
struct Browser {
    cookie: String,
    session: Value,
}

impl Browser {
    /// Logs in, whatever cookie the browser has from before.
    fn login(server: &TestServer, name: &str, before: Option<&str>) -> Self {
        let body = json!({"nickname": name, "password": PASSWORD});
        let headers: Vec<_> = before.map(|cookie| ("Cookie", cookie)).into_iter().collect();
        let answer = Http::to(server).call("POST", "/api/sessions", &headers, Some(&body));
        let set = answer.header("set-cookie").expect("a cookie is set");
        let cookie = set.split(';').next().expect("a cookie has a value").to_owned();
        Self { cookie, session: answer.expect(201) }
    }

    fn csrf(&self) -> &str {
        self.session["csrf_token"].as_str().expect("a session has a token for its page")
    }

    /// Whose it is, if anybody's.
    fn user(&self, server: &TestServer) -> Option<u64> {
        whose(server, &self.cookie)
    }
}

fn whose(server: &TestServer, cookie: &str) -> Option<u64> {
    let answer = Http::to(server).call("GET", "/api/sessions/current", &[("Cookie", cookie)], None);
    if answer.status == 200 { answer.json()["user_id"].as_u64() } else { None }
}

#[test]
fn a_cookie_from_before_the_login_is_never_the_session_after_it() {
    let server = TestServer::with_tokens(&[]);
    let (ann, eve) = (server.account("Ann"), server.account("Eve"));
    let mut expired = claims(ann);
    expired["exp"] = json!(now() - 100);
    let of_eve = Browser::login(&server, "Eve", None);
    for planted in [
        of_eve.cookie.clone(),
        "chappe_session=chosen-by-eve".to_owned(),
        format!("chappe_session={}", server.sign(&expired)),
        format!("chappe_session={}", server.token(ann)),
    ] {
        let before = whose(&server, &planted);
        let of_ann = Browser::login(&server, "Ann", Some(&planted));
        assert_ne!(of_ann.cookie, planted);
        assert_eq!(of_ann.user(&server), Some(ann));
        assert_eq!(whose(&server, &planted), before, "what was planted is worth what it was before");
        // The planted one does not end with Ann's either: they have nothing in common.
        let leave = [("Cookie", of_ann.cookie.as_str()), ("X-CSRF-Token", of_ann.csrf())];
        assert_eq!(Http::to(&server).call("DELETE", "/api/sessions/current", &leave, None).status, 204);
        assert_eq!((of_ann.user(&server), whose(&server, &planted)), (None, before));
    }
    assert_eq!(of_eve.user(&server), Some(eve));
    let (one, other) = (Browser::login(&server, "Ann", None), Browser::login(&server, "Ann", None));
    assert!(one.cookie != other.cookie && one.csrf() != other.csrf(), "each login begins a session of its own");
}

#[test]
fn a_second_session_cookie_does_not_take_the_place_of_the_first() {
    let server = TestServer::with_tokens(&[]);
    server.account("Ann");
    server.account("Eve");
    let (ann, eve) = (Browser::login(&server, "Ann", None), Browser::login(&server, "Eve", None));
    for both in [format!("{}; {}", eve.cookie, ann.cookie), format!("{}; {}", ann.cookie, eve.cookie)] {
        assert_eq!(whose(&server, &both), None);
        let origin = format!("http://{}", server.http);
        let headers = [("Cookie", both.as_str()), ("Origin", origin.as_str())];
        let (mut client, _) = Client::handshake(&server, "/ws", &headers, &["chappe.v1.json"]).expect("it opens");
        assert_eq!(client.ask(json!({"packet_type": "Hello", "version": 1}))["code"], "not_authenticated");
    }
    let twice = format!("{0}; {0}", ann.cookie);
    assert_eq!(whose(&server, &twice), ann.user(&server), "the same one twice is one");
}

/// Every route that changes something and takes a cookie, with ids filled in.
fn changes(server: &TestServer) -> Vec<(String, String)> {
    let api = Http::to(server).get("/api/openapi.json").expect(200);
    let mut all = Vec::new();
    for (path, item) in api["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let by_cookie =
                operation["security"].as_array().expect("security").iter().any(|way| !way["cookie"].is_null());
            if method != "get" && by_cookie {
                let path = path.split('/').map(|part| if part.starts_with('{') { "1" } else { part });
                all.push((method.to_uppercase(), path.collect::<Vec<_>>().join("/")));
            }
        }
    }
    all
}

/// Whether a change was refused because nothing proved that the page asked for it.
fn is_forged(answer: &Answer) -> bool {
    let detail = answer.json()["detail"].to_string();
    answer.status == 403 && (detail.contains("X-CSRF-Token") || detail.contains("a page of"))
}

#[test]
fn no_route_that_changes_something_believes_a_cookie_alone() {
    let server = TestServer::with_tokens(&[]);
    server.account("Ann");
    server.account("Eve");
    let eve = Browser::login(&server, "Eve", None);
    let changes = changes(&server);
    assert!(changes.len() >= 14, "{changes:?}");
    for (method, path) in &changes {
        let position = server.metric("chappe_log_position");
        // Some of them end it.
        let ann = Browser::login(&server, "Ann", None);
        let send = |headers: &[(&str, &str)]| {
            let headers = [&[("Cookie", ann.cookie.as_str())], headers].concat();
            Http::to(&server).call(method, path, &headers, None)
        };
        let own = format!("http://{}", server.http);
        for forged in [
            &[][..],
            &[("Origin", own.as_str())],
            &[("X-CSRF-Token", "")],
            &[("X-CSRF-Token", "null")],
            &[("X-CSRF-Token", eve.csrf())],
            &[("X-CSRF-Token", &ann.csrf()[1..])],
            &[("Content-Type", "text/plain")],
            &[("X-CSRF-Token", ann.csrf()), ("Origin", "https://evil.example")],
            &[("X-CSRF-Token", ann.csrf()), ("Origin", "null")],
        ] {
            let answer = send(forged);
            if (method.as_str(), path.as_str()) == ("POST", "/api/users") && answer.status == 401 {
                // The cookie does not count at all there: that is for nobody, and nobody may.
                continue;
            }
            assert!(is_forged(&answer), "{method} {path} with {forged:?}: {answer:?}");
        }
        assert_eq!(server.metric("chappe_log_position"), position, "{method} {path} has changed something");
        assert!(ann.user(&server).is_some(), "{method} {path} has ended the session");
        let meant = send(&[("X-CSRF-Token", ann.csrf()), ("Origin", &own)]);
        assert!(meant.body.is_empty() || !is_forged(&meant), "{method} {path} by the page itself: {meant:?}");
    }
}

#[test]
fn a_foreign_page_logs_nobody_in() {
    let server = TestServer::with_tokens(&[]);
    server.account("Eve");
    let body = json!({"nickname": "Eve", "password": PASSWORD});
    for origin in ["https://evil.example", "null", "http://localhost"] {
        let answer = Http::to(&server).call("POST", "/api/sessions", &[("Origin", origin)], Some(&body));
        assert_eq!((answer.refusal().0, answer.header("set-cookie")), (403, None), "{origin}");
    }
    // A form can only be sent as what a form is.
    for form in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let text = body.to_string();
        let mut http = Http::to(&server);
        let head = format!("POST /api/sessions HTTP/1.1\r\nHost: {}\r\nContent-Type: {form}", server.http);
        http.raw(format!("{head}\r\nContent-Length: {}\r\n\r\n{text}", text.len()).as_bytes());
        let answer = http.answer("POST");
        assert_eq!((answer.refusal().0, answer.header("set-cookie")), (415, None), "{form}");
    }
}

#[test]
fn a_refused_login_costs_one_hash_whatever_it_is_refused_for() {
    let server = TestServer::with_tokens(&[]);
    let chappe = |arguments: &[&str]| {
        run(command(&[CHAPPE.to_owned()], &[]).args(arguments).arg("--data").arg(server.data())).fine();
    };
    server.account("Ann");
    let disabled = server.account("Bob");
    chappe(&["user", "add", "carl", "--no-password"]);
    // The next login shows that the server knows.
    chappe(&["user", "disable", "Bob"]);
    crate::support::until("Bob to be refused", || {
        (server.as_user(&server.token(disabled), "GET", "/api/chats", None).status == 401).then_some(())
    });
    let hashed = || server.metric("chappe_passwords_hashed_total");
    let long = "x".repeat(10_000);
    let long = long.as_str();
    let mut refusals = Vec::new();
    // The first is somebody unknown: nothing is prepared at that time that others would not wait for.
    for (name, password) in [
        ("nobody", PASSWORD),
        ("nobody", "wrong horse"),
        ("Ann", "wrong horse"),
        ("Ann", ""),
        ("Ann", long),
        ("Bob", PASSWORD),
        ("Bob", "wrong horse"),
        ("carl", PASSWORD),
        ("carl", ""),
        ("", ""),
        ("a\0b", "wrong horse"),
        (long, long),
        ("1001", PASSWORD),
    ] {
        let before = hashed();
        let answer = Http::to(&server).post("/api/sessions", &json!({"nickname": name, "password": password}));
        assert_eq!(answer.refusal(), (401, "not_authenticated".into()));
        assert_eq!(hashed() - before, 1.0, "{:.20} {:.20}", name, password);
        refusals.push(answer.text());
    }
    assert!(refusals.iter().all(|refusal| *refusal == refusals[0]), "{refusals:?}");
    let before = hashed();
    server.login("Ann");
    assert_eq!(hashed() - before, 1.0, "and so does a good one");
}

#[test]
fn what_is_asked_with_a_token_that_ends_before_the_request_does_is_not_done() {
    let server = TestServer::with_tokens(&[]);
    let ann = server.account("Ann");
    let of_bob = format!("Bearer {}", server.token(server.account("Bob")));
    let password = format!("/api/users/{ann}/password");
    let requests = [
        ("POST", "/api/chats/1/messages", json!({"content": "after the end"})),
        ("POST", "/api/chats", json!({"title": "after the end", "kind": "group", "members": []})),
        ("PUT", password.as_str(), json!({"current": PASSWORD, "password": "another good password"})),
    ];
    for (method, path, body) in requests {
        let of_ann = format!("Bearer {}", server.token(ann));
        let body = body.to_string();
        let mut http = Http::to(&server);
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: {of_ann}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\nExpect: 100-continue\r\n\r\n",
            server.http,
            body.len()
        );
        http.raw(head.as_bytes());
        assert_eq!(http.answer(method).status, 100, "who asks is believed");
        let leave = [("Authorization", of_ann.as_str())];
        Http::to(&server).call("DELETE", "/api/sessions/current", &leave, None).expect(204);
        http.raw(body.as_bytes());
        assert_eq!(http.answer(method).refusal(), (401, "not_authenticated".to_owned()), "{method} {path}");
    }
    let heard = Http::to(&server).call("GET", "/api/chats/1/messages", &[("Authorization", &of_bob)], None);
    assert!(!heard.text().contains("after the end"));
    Browser::login(&server, "Ann", None);
}
