//! Pages of other sites that open a WebSocket in a reader's name: a browser lets them, and sends the reader's cookie along.

use serde_json::json;

use crate::support::client::Client;
use crate::support::http::Http;
use crate::support::server::TestServer;

const ALLOWED: &str = "https://chat.example.com";

/// Origins that look like one of ours and are not.
fn foreign(server: &TestServer) -> Vec<String> {
    let (own, port) = (server.http.to_string(), server.http.port());
    let other = port.checked_add(1).unwrap_or(1);
    vec![
        "null".to_owned(),
        String::new(),
        "https://evil.example".to_owned(),
        // The same machine, and another port, name or kind of page.
        format!("http://127.0.0.1:{other}"),
        "http://127.0.0.1".to_owned(),
        format!("http://localhost:{port}"),
        format!("http://[::1]:{port}"),
        format!("http://127.0.0.2:{port}"),
        format!("http://127.1:{port}"),
        format!("http://2130706433:{port}"),
        "file://".to_owned(),
        format!("chrome-extension://{own}"),
        format!("ws://{own}"),
        format!("//{own}"),
        own.clone(),
        // Names that begin or end like ours.
        format!("http://evil.{own}"),
        format!("http://127.0.0.1.evil.example:{port}"),
        format!("http://{own}.evil.example"),
        format!("http://{own}@evil.example"),
        format!("http://evil.example@{own}"),
        format!("http://{own}/"),
        format!("http://{own}/../evil"),
        format!("http://{own}, http://evil.example"),
        format!("http://evil.example http://{own}"),
        format!("http://{own}#"),
        format!("http://{own}?"),
        format!("http://{own}\\evil"),
        format!("http://127.0.0.1:{port}0"),
        format!("http://127.0.0.1:0{port}"),
        // And like the one that is allowed.
        "http://chat.example.com".to_owned(),
        "https://chat.example.com:8443".to_owned(),
        "https://chat.example.com.evil.example".to_owned(),
        "https://evil.chat.example.com".to_owned(),
        "https://evilchat.example.com".to_owned(),
        "https://chat-example.com".to_owned(),
        "https://example.com".to_owned(),
        "https://chat.example.com.".to_owned(),
        "https://chat.example.com@evil.example".to_owned(),
    ]
}

#[test]
fn only_our_own_pages_and_allowed_ones_open_a_web_socket_and_a_cookie_counts_for_no_others() {
    let server = TestServer::with_tokens(&[("CHAPPE_HTTP_SERVER_ALLOWED_ORIGINS", ALLOWED)]);
    let user = server.account("Ann");
    let session = server.login("Ann");
    let cookie = format!("chappe_session={}", session["token"].as_str().expect("a token"));
    let open = |origins: &[&str]| {
        let origins = origins.iter().map(|origin| ("Origin", *origin));
        let headers: Vec<_> = [("Cookie", cookie.as_str())].into_iter().chain(origins).collect();
        Client::handshake(&server, "/ws", &headers, &["chappe.v1.json"]).map(|(client, _)| client)
    };
    for origin in foreign(&server) {
        assert_eq!(open(&[&origin]).err(), Some(403), "{origin:?}");
    }
    let own = format!("http://{}", server.http);
    let own = own.as_str();
    for twice in [[own, "https://evil.example"], ["https://evil.example", own], [own, own]] {
        assert_eq!(open(&twice).err(), Some(400), "{twice:?}");
    }
    let hello = json!({"packet_type": "Hello", "version": 1});
    for origin in [own, ALLOWED, "https://CHAT.example.com", "https://chat.example.com:443"] {
        let mut client = open(&[origin]).unwrap_or_else(|status| panic!("{origin}: {status}"));
        assert_eq!(client.ask(hello.clone())["user_id"], user, "{origin}");
    }
    // No browser: whoever can choose all headers shows a token, and is nobody by a cookie.
    let mut client = open(&[]).expect("it opens");
    assert_eq!(client.ask(hello)["code"], "not_authenticated");
}

#[test]
fn where_everybody_is_believed_foreign_pages_are_kept_out_all_the_same() {
    let server = TestServer::with(&[("CHAPPE_HTTP_SERVER_ALLOWED_ORIGINS", ALLOWED)]);
    let body = json!({"sender_id": 1, "content": "from afar"});
    let position = server.metric("chappe_log_position");
    for origin in &foreign(&server) {
        let refused = Client::handshake(&server, "/ws", &[("Origin", origin)], &["chappe.v1.json"]).err();
        assert_eq!(refused, Some(403), "{origin:?}");
        let headers = [("Origin", origin.as_str())];
        let answer = Http::to(&server).call("POST", "/api/chats/1/messages", &headers, Some(&body));
        assert_eq!((answer.refusal().0, answer.header("access-control-allow-origin")), (403, None), "{origin:?}");
        let answer = Http::to(&server).call("GET", "/api/chats/1/messages", &headers, None);
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin:?} may not read what it is answered");
    }
    for header in ["Origin", "Host"] {
        let mut http = Http::to(&server);
        let head = format!("GET /api/chats HTTP/1.1\r\nHost: {0}\r\nOrigin: http://{0}\r\n", server.http);
        http.raw(format!("{head}{header}: localhost\r\n\r\n").as_bytes());
        assert_eq!(http.answer("GET").status, 400, "{header} twice");
    }
    assert_eq!(server.metric("chappe_log_position"), position, "nothing was written");
}
