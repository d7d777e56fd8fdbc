//! Sessions in token mode: logging in and out, cookies, renewal, expiry, and what ends a connection.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::{Client, Door, Next};
use crate::support::http::{Answer, Http};
use crate::support::server::{CHAPPE, TestServer, command};
use crate::support::tokens::{PASSWORD, claims, hello, now};
use crate::support::{PATIENCE, programs};

fn cookie_of(answer: &Answer) -> String {
    let set = answer.header("set-cookie").expect("a cookie is set");
    set.split(';').next().expect("a cookie has a value").to_owned()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no {field} in {value}"))
}

/// Runs a command on the server's folder, while it runs.
fn chappe(server: &TestServer, arguments: &[&str]) -> programs::Run {
    let mut command = command(&[CHAPPE.to_owned()], &[]);
    programs::run(command.args(arguments).arg("--data").arg(server.data())).fine()
}

/// Waits for the end of a connection: the reason in `Closing`, and its code.
fn closing(client: &mut Client) -> (u64, String) {
    let (packets, _) = client.rest();
    let last = packets.last().expect("a goodbye comes before the end");
    assert_eq!(last["packet_type"], "Closing", "{packets:?}");
    (last["code"].as_u64().expect("a code"), text(last, "reason").to_owned())
}

#[test]
fn a_login_gives_a_session_by_token_and_by_cookie() {
    let server = TestServer::with_tokens(&[]);
    let user = server.account("Ann");
    let body = json!({"nickname": "aNN", "password": PASSWORD});
    let answer = Http::to(&server).post("/api/sessions", &body);
    let set = answer.header("set-cookie").expect("a cookie is set").to_owned();
    for part in ["chappe_session=", "; HttpOnly", "; SameSite=Lax", "; Path=/", "; Max-Age=86400"] {
        assert!(set.contains(part), "{part} in {set}");
    }
    assert!(!set.contains("Secure"), "not over plain HTTP, where the browser would not send it back: {set}");
    let cookie = cookie_of(&answer);
    let session = answer.expect(201);
    assert_eq!(
        (&session["user_id"], text(&session, "nickname"), text(&session, "role")),
        (&json!(user), "Ann", "user")
    );
    let expires_at = session["expires_at"].as_u64().expect("a time");
    assert!((86_000..=86_400).contains(&(expires_at / 1000 - now())), "{expires_at}");

    for headers in [("Authorization", format!("Bearer {}", text(&session, "token"))), ("Cookie", cookie)] {
        let current = Http::to(&server).call("GET", "/api/sessions/current", &[(headers.0, &headers.1)], None);
        let mut expected = session.clone();
        expected.as_object_mut().expect("an object").remove("token");
        assert_eq!(current.expect(200), expected);
    }
    let proxied = [("X-Forwarded-Proto", "https"), ("X-Forwarded-For", "192.0.2.7")];
    let answer = Http::to(&server).call("POST", "/api/sessions", &proxied, Some(&body));
    assert!(answer.header("set-cookie").is_some_and(|set| set.ends_with("; Secure")), "{answer:?}");
    let mut without = body.clone();
    without["cookie"] = json!(false);
    assert_eq!(Http::to(&server).post("/api/sessions", &without).header("set-cookie"), None);
}

#[test]
fn a_change_by_cookie_needs_the_csrf_token_and_a_page_of_our_own() {
    let server = TestServer::with_tokens(&[]);
    server.account("Ann");
    server.account("Bob");
    let answer = Http::to(&server).post("/api/sessions", &json!({"nickname": "Ann", "password": PASSWORD}));
    let (cookie, csrf) = (cookie_of(&answer), text(&answer.json(), "csrf_token").to_owned());
    let of_bob = server.login("Bob")["csrf_token"].as_str().expect("a token").to_owned();
    let post = |headers: &[(&str, &str)]| {
        let body = json!({"title": "lunch"});
        let headers = [&[("Cookie", cookie.as_str())], headers].concat();
        let answer = Http::to(&server).call("POST", "/api/chats", &headers, Some(&body));
        if answer.status == 201 { 201 } else { answer.refusal().0 }
    };
    assert_eq!(post(&[]), 403);
    assert_eq!(post(&[("X-CSRF-Token", "")]), 403);
    assert_eq!(post(&[("X-CSRF-Token", &of_bob)]), 403, "another session's");
    assert_eq!(post(&[("X-CSRF-Token", &csrf), ("Origin", "https://evil.example")]), 403);
    assert_eq!(post(&[("X-CSRF-Token", &csrf)]), 201);
    let get = Http::to(&server).call("GET", "/api/chats", &[("Cookie", &cookie)], None);
    assert_eq!(get.status, 200, "reading needs none");
    assert!(get.json()["chats"].as_array().expect("chats").iter().any(|chat| chat["title"] == "lunch"));
}

#[test]
fn a_web_socket_takes_a_token_from_its_handshake_and_never_repeats_it() {
    let server = TestServer::with_tokens(&[]);
    let user = server.account("Ann");
    let session = server.login("Ann");
    let token = text(&session, "token");
    let (bearer, cookie) = (format!("Bearer {token}"), format!("chappe_session={token}"));
    let own = format!("http://{}", server.http);
    let plain = json!({"packet_type": "Hello", "version": 1});
    let protocol = format!("chappe.bearer.{token}");
    for (headers, protocols) in [
        (vec![("Authorization", bearer.as_str())], vec!["chappe.v1.json"]),
        (vec![], vec!["chappe.v1.json", &protocol]),
        (vec![], vec![&protocol, "chappe.v1.json"]),
        (vec![("Cookie", cookie.as_str()), ("Origin", own.as_str())], vec!["chappe.v1.json"]),
    ] {
        let (mut client, chosen) = Client::handshake(&server, "/ws", &headers, &protocols).expect("it opens");
        assert_eq!(chosen.as_deref(), Some("chappe.v1.json"));
        let refused = client.ask(json!({"packet_type": "GetChats"}));
        assert_eq!(refused["code"], "not_authenticated", "the Hello is still needed");
        let welcome = client.ask(plain.clone());
        assert_eq!((&welcome["packet_type"], &welcome["user_id"]), (&json!("Welcome"), &json!(user)), "{welcome}");
        assert_eq!(welcome["expires_at"], session["expires_at"]);
    }
    let refused = |path: &str, headers: &[(&str, &str)]| {
        Client::handshake(&server, path, headers, &["chappe.v1.json"]).expect_err("it is refused")
    };
    assert_eq!(refused("/ws", &[("Authorization", "Bearer nonsense")]), 401);
    assert_eq!(refused("/ws", &[("Cookie", &cookie), ("Origin", "https://evil.example")]), 403);
    for name in ["token", "access_token", "jwt"] {
        assert_eq!(refused(&format!("/ws?{name}={token}"), &[]), 401);
        let answer = Http::to(&server).get(&format!("/api/chats?{name}={token}"));
        assert_eq!(answer.refusal(), (401, "not_authenticated".into()));
        assert!(answer.text().contains("Authorization: Bearer") && !answer.text().contains(token));
    }
    // What a page sends in vain it is told after the handshake, of which it sees nothing.
    for (headers, protocols) in [
        (vec![], vec!["chappe.v1.json", "chappe.bearer.nonsense"]),
        (vec![("Cookie", cookie.as_str())], vec!["chappe.v1.json"]),
    ] {
        let (mut client, _) = Client::handshake(&server, "/ws", &headers, &protocols).expect("it opens");
        assert_eq!(client.ask(plain.clone())["code"], "not_authenticated");
        assert_eq!(closing(&mut client).0, 4002);
    }
    assert!(!server.log().contains(token));
}

#[test]
fn a_logout_ends_the_sessions_connections_before_it_is_answered_and_no_others() {
    let server = TestServer::with_tokens(&[]);
    server.account("Ann");
    let (one, other) = (server.login("Ann"), server.login("Ann"));
    let (one, other) = (text(&one, "token"), text(&other, "token"));
    for door in Door::ALL {
        let session = server.login("Ann");
        let token = text(&session, "token");
        let mut ended = Client::holding(&server, door, token);
        let mut stays = Client::holding(&server, door, other);
        let answer = server.as_user(token, "DELETE", "/api/sessions/current", None);
        assert_eq!(answer.status, 204);
        server.as_user(other, "POST", "/api/chats/1/messages", Some(&json!({"content": "after the end"}))).expect(201);
        let (packets, code) = ended.rest();
        let last = packets.last().expect("a goodbye");
        assert_eq!((&last["packet_type"], &last["code"]), (&json!("Closing"), &json!(4004)), "{packets:?}");
        assert!(!door.is_web_socket() || code == Some(4004), "{code:?}");
        assert!(packets.iter().all(|packet| packet["message"]["content"] != "after the end"), "{packets:?}");
        assert_eq!(server.as_user(token, "GET", "/api/chats", None).refusal(), (401, "not_authenticated".into()));
        stays.wait("the message", |packet| packet["message"]["content"] == "after the end");
        assert_eq!(stays.ask(json!({"packet_type": "GetChats"}))["packet_type"], "Chats");
    }
    let answer = Http::to(&server).call(
        "DELETE",
        "/api/sessions/current",
        &[("Authorization", &format!("Bearer {one}")), ("Cookie", "chappe_session=x")],
        None,
    );
    let cleared = answer.header("set-cookie").expect("the cookie is cleared");
    assert!(cleared.starts_with("chappe_session=;") && cleared.contains("Max-Age=0"), "{cleared}");
}

#[test]
fn all_sessions_of_a_user_can_be_ended_at_once_and_a_new_one_is_good() {
    let server = TestServer::with_tokens(&[]);
    server.account("Ann");
    let bob = server.account("Bob");
    let (one, other) = (server.login("Ann"), server.login("Ann"));
    let mut connections: Vec<_> =
        Door::ALL.iter().map(|door| Client::holding(&server, *door, text(&other, "token"))).collect();
    let mut of_bob = Client::holding(&server, Door::TcpJson, &server.token(bob));
    assert_eq!(server.as_user(text(&one, "token"), "DELETE", "/api/sessions", None).status, 204);
    for client in &mut connections {
        assert_eq!(closing(client).0, 4004);
    }
    for old in [&one, &other] {
        assert_eq!(server.as_user(text(old, "token"), "GET", "/api/chats", None).status, 401);
    }
    let fresh = server.login("Ann");
    assert_eq!(server.as_user(text(&fresh, "token"), "GET", "/api/chats", None).status, 200);
    assert_eq!(of_bob.ask(json!({"packet_type": "GetChats"}))["packet_type"], "Chats");
}

#[test]
fn a_user_who_is_disabled_by_the_command_line_is_out_within_two_seconds() {
    let server = TestServer::with_tokens(&[]);
    let ann = server.account("Ann");
    let session = server.login("Ann");
    let mut client = Client::holding(&server, Door::WsText, text(&session, "token"));
    let began = Instant::now();
    chappe(&server, &["user", "disable", "Ann"]);
    assert_eq!(closing(&mut client).0, 4004);
    // What it took on a quiet machine is far below; a crowded one is no failure of the server.
    assert!(began.elapsed() < Duration::from_secs(2) + PATIENCE / 4, "{:?}", began.elapsed());
    // Each thread is told by itself: another may be a moment behind the one that closed.
    for token in [text(&session, "token"), &server.token(ann)] {
        crate::support::until("every thread to know", || {
            (0..8).all(|_| server.as_user(token, "GET", "/api/chats", None).status == 401).then_some(())
        });
    }
    let login = json!({"nickname": "Ann", "password": PASSWORD});
    assert_eq!(Http::to(&server).post("/api/sessions", &login).refusal(), (401, "not_authenticated".into()));
    chappe(&server, &["user", "enable", "Ann"]);
    crate::support::until("Ann to be believed again", || {
        (Http::to(&server).post("/api/sessions", &login).status == 201).then_some(())
    });
}

#[test]
fn a_token_of_the_command_line_is_good_until_it_is_revoked_there() {
    let server = TestServer::with_tokens(&[]);
    let made = chappe(&server, &["token", "create", "--user", "7", "--ttl", "1h"]);
    let token = made.stdout.trim();
    assert_eq!(made.stdout.lines().count(), 1, "the token alone");
    let mut client = Client::holding(&server, Door::TcpBinary, token);
    assert_eq!(client.ask(json!({"packet_type": "GetChats"}))["packet_type"], "Chats");
    chappe(&server, &["token", "revoke", token]);
    assert_eq!(closing(&mut client).0, 4004);
    // Each thread is told by itself: another may be a moment behind the one that closed.
    crate::support::until("every thread to know", || {
        (0..8).all(|_| server.as_user(token, "GET", "/api/chats", None).status == 401).then_some(())
    });
}

#[test]
fn a_connection_is_warned_before_its_token_runs_out_and_then_ended() {
    let server = TestServer::with_tokens(&[]);
    let connect = |door| (door, server.token_for(7, 4));
    let mut clients: Vec<_> = Door::ALL
        .into_iter()
        .map(connect)
        .map(|(door, token)| {
            let mut client = Client::connect(&server, door);
            let expires_at = client.show(&token)["expires_at"].clone();
            (client, expires_at)
        })
        .collect();
    for (client, expires_at) in &mut clients {
        let warning = client.wait_for("Expiring");
        assert_eq!(&warning["expires_at"], expires_at);
        assert_eq!(closing(client).0, 4202);
        let ended = u64::try_from(
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("past 1970").as_millis(),
        );
        assert!(ended.expect("a time") >= expires_at.as_u64().expect("a time"), "not before");
    }
}

#[test]
fn another_hello_renews_a_live_connection_and_only_for_the_same_user() {
    let server = TestServer::with_tokens(&[]);
    let mut client = Client::connect(&server, Door::WsText);
    let first = client.show(&server.token_for(7, 4));
    client.wait_for("Expiring");
    let refused = client.ask(hello(&server.token(8)));
    assert_eq!(refused["code"], "identity_mismatch");
    let refused = client.ask(hello("nonsense"));
    assert_eq!(refused["code"], "not_authenticated", "the old token goes on being good");
    // Who asks for something else with it needs no other token.
    let heads = client.ask(json!({"packet_type": "Hello", "version": 1, "heads": true}));
    assert_eq!((&heads["packet_type"], &heads["user_id"]), (&json!("Welcome"), &json!(7)), "{heads}");
    assert_eq!(heads["heads"][0]["chat_id"], 1);
    assert_eq!(client.ask(json!({"packet_type": "Hello", "user_id": 8}))["code"], "identity_mismatch");
    let second = client.show(&server.token(7));
    assert_eq!(second["connection_id"], first["connection_id"]);
    assert!(second["expires_at"].as_u64() > first["expires_at"].as_u64().map(|time| time + 1_000_000));
    // Past the end of the first.
    let deadline = Instant::now() + Duration::from_secs(6);
    loop {
        match client.next_within(deadline.saturating_duration_since(Instant::now())) {
            Next::Packet(packet) if packet["packet_type"] == "Status" || packet["packet_type"] == "Presence" => {}
            Next::Silence => break,
            other => panic!("nothing else was to come, but: {other:?}"),
        }
    }
    assert_eq!(client.ask(json!({"packet_type": "GetChats"}))["packet_type"], "Chats");
}

#[test]
fn a_session_is_renewed_over_http_while_its_account_is_good() {
    let server = TestServer::with_tokens(&[]);
    server.account("Ann");
    let answer = Http::to(&server).post("/api/sessions", &json!({"nickname": "Ann", "password": PASSWORD}));
    let (cookie, session) = (cookie_of(&answer), answer.json());
    let renewed = server.as_user(text(&session, "token"), "POST", "/api/sessions/current/renew", None);
    assert_eq!(renewed.header("set-cookie"), None, "who came by a header has no cookie");
    let renewed = renewed.expect(200);
    assert_ne!(renewed["token"], session["token"]);
    assert_eq!(server.as_user(text(&renewed, "token"), "GET", "/api/chats", None).status, 200);
    assert_eq!(server.as_user(text(&session, "token"), "GET", "/api/chats", None).status, 200, "the old one stays");
    let by_cookie = [("Cookie", cookie.as_str()), ("X-CSRF-Token", text(&session, "csrf_token"))];
    let renewed = Http::to(&server).call("POST", "/api/sessions/current/renew", &by_cookie, None);
    assert_ne!(cookie_of(&renewed), cookie);
    // They are one session, and end together; with them what came with any of them.
    let [first, second] = [&session, &renewed.json()].map(|session| text(session, "token").to_owned());
    let mut client = Client::holding(&server, Door::TcpJson, &first);
    assert_eq!(server.as_user(&second, "DELETE", "/api/sessions/current", None).status, 204);
    assert_eq!(closing(&mut client).0, 4004);
    for token in [&first, &second] {
        assert_eq!(server.as_user(token, "GET", "/api/chats", None).refusal(), (401, "not_authenticated".into()));
    }
    // Who was given a token for so long has it for so long.
    let given = chappe(&server, &["token", "create", "--user", "1001", "--ttl", "1m"]).fine();
    let refused = server.as_user(given.stdout.trim(), "POST", "/api/sessions/current/renew", None);
    assert_eq!(refused.refusal(), (403, "forbidden".into()));
    let without_account = server.as_user(&server.token(77), "POST", "/api/sessions/current/renew", None);
    assert_eq!(without_account.refusal(), (403, "forbidden".into()));
    // A token that was made for less is not renewed for more.
    let boss = server.as_user(&server.admin(), "POST", "/api/sessions/current/renew", None);
    assert_eq!(boss.refusal(), (403, "forbidden".into()), "a token of the secret alone has no account");
}

#[test]
fn a_restart_keeps_good_sessions_good_and_ended_ones_ended() {
    let mut server = TestServer::with_tokens(&[]);
    server.account("Ann");
    let bob = server.account("Bob");
    let (kept, ended) = (server.login("Ann"), server.login("Ann"));
    let old = server.login("Bob");
    assert_eq!(server.as_user(text(&ended, "token"), "DELETE", "/api/sessions/current", None).status, 204);
    assert_eq!(server.as_user(text(&old, "token"), "DELETE", "/api/sessions", None).status, 204);
    server.kill();
    server.restart();
    let status = |token: &str| server.as_user(token, "GET", "/api/chats", None).status;
    assert_eq!(status(text(&kept, "token")), 200);
    assert_eq!(status(text(&ended, "token")), 401);
    assert_eq!(status(text(&old, "token")), 401);
    assert_eq!(status(&server.token(bob)), 200, "made since");
    Client::holding(&server, Door::TcpJson, text(&kept, "token"));
}

#[test]
fn no_token_and_no_password_is_ever_logged() {
    let server = TestServer::with_tokens(&[("CHAPPE_LOG", "trace")]);
    server.account("Ann");
    let session = server.login("Ann");
    let token = text(&session, "token");
    let tail = token.rsplit('.').next().expect("a signature");
    for door in Door::ALL {
        let mut client = Client::holding(&server, door, token);
        client.ask(hello(&token[..token.len() - 2]));
        client.send_body(format!("{{\"packet_type\":\"Hello\",\"token\":\"{token}\",,}}").into_bytes());
    }
    let bearer = format!("chappe.bearer.{token}");
    let _ = Client::handshake(&server, "/ws", &[], &["chappe.v1.json", &bearer]);
    let _ = Client::handshake(&server, &format!("/ws?token={token}"), &[], &[]);
    Http::to(&server).get(&format!("/api/chats?access_token={token}"));
    Http::to(&server).call("GET", "/api/chats", &[("Cookie", &format!("chappe_session={token}"))], None);
    server.as_user(&format!("{token}x"), "GET", "/api/chats", None);
    server.as_user(token, "DELETE", "/api/sessions/current", None);
    let mut expired = claims(7);
    expired["exp"] = json!(now() - 100);
    let expired = server.sign(&expired);
    Client::connect(&server, Door::TcpJson).ask(hello(&expired));
    let log = server.log();
    assert!(log.contains("DEBUG") || log.contains("TRACE"), "the log is talkative");
    for secret in [tail, expired.rsplit('.').next().expect("a signature"), PASSWORD] {
        assert!(!log.contains(&secret[..secret.len() - 3]), "a secret is in the log");
    }
}
