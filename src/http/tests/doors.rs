//! Whose pages may do what: `Host`, `Origin` and CORS.

use chappe_actors::reply::Reply;
use chappe_proto::packet::Chats;

use super::*;
use crate::http::engine;

fn from(origin: &'static str, request: TestRequest) -> TestRequest {
    request.insert_header(("host", "localhost:8080")).insert_header(("origin", origin))
}

fn no_chats() {
    engine::script(|_| Reply::Chats(Chats { chats: Vec::new(), has_more: false }));
}

#[actix_web::test]
async fn a_foreign_page_cannot_change_anything() {
    for (method, path) in [
        ("POST", "/api/chats"),
        ("POST", "/api/chats/1/messages?user_id=1"),
        ("PATCH", "/api/messages/1?user_id=1"),
        ("DELETE", "/api/chats/1"),
        ("PUT", "/nothing"),
    ] {
        for origin in ["https://evil.example", "http://localhost:3000", "http://127.0.0.1:8080", "null"] {
            let answer = send(from(origin, with_json(method, path, "{\"title\":\"x\",\"content\":\"x\"}"))).await;
            assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (403, &"forbidden".into()), "{origin} {path}");
            assert_eq!(answer.header("access-control-allow-origin"), None);
        }
    }
}

#[actix_web::test]
async fn a_foreign_page_learns_nothing() {
    no_chats();
    let answer = send(from("https://evil.example", request("GET", "/api/chats"))).await;
    // The browser keeps the answer from the page.
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (200, None));
    let preflight = request("OPTIONS", "/api/chats").insert_header(("access-control-request-method", "POST"));
    let answer = send(from("https://evil.example", preflight)).await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
    assert_eq!(answer.header("access-control-allow-methods"), None);
}

#[actix_web::test]
async fn an_allowed_page_may_do_what_a_program_may() {
    no_chats();
    let answer = send(from("https://shop.example", request("GET", "/api/chats"))).await;
    assert_eq!(answer.status.as_u16(), 200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(answer.header("vary"), Some("origin"));

    let preflight = request("OPTIONS", "/api/chats").insert_header(("access-control-request-method", "POST"));
    let answer = send(from("https://shop.example", preflight)).await;
    assert_eq!(answer.status.as_u16(), 204);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(answer.header("access-control-allow-methods"), Some("GET, POST, PUT, PATCH, DELETE"));

    // Also when it is refused: the page is to read why.
    let answer = send(from("https://shop.example", with_json("POST", "/api/chats", "{}"))).await;
    assert_eq!(answer.status.as_u16(), 422);
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://shop.example"));
}

#[actix_web::test]
async fn an_allowed_page_can_read_how_long_to_wait() {
    no_chats();
    allow_requests(1);
    let by = |origin, method| {
        let asked = request(method, "/api/chats").insert_header(("access-control-request-method", "POST"));
        from(origin, asked.peer_addr("192.0.2.7:1".parse().unwrap()))
    };
    assert_eq!(send(by("https://shop.example", "GET")).await.status.as_u16(), 200);
    for (origin, readable) in [("https://shop.example", Some("https://shop.example")), ("https://evil.example", None)] {
        let refused = send(by(origin, "GET")).await;
        assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, Some("1")), "{origin}");
        assert_eq!(refused.header("access-control-allow-origin"), readable);
        assert_eq!(refused.header("access-control-expose-headers"), readable.map(|_| "location, retry-after"));
    }
    // Else the browser would not even ask.
    assert_eq!(send(by("https://shop.example", "OPTIONS")).await.status.as_u16(), 204);
    assert_eq!(send(by("https://evil.example", "OPTIONS")).await.status.as_u16(), 429);
}

#[actix_web::test]
async fn the_servers_own_page_gets_no_cors_headers() {
    no_chats();
    let answer = send(from("http://localhost:8080", request("GET", "/api/chats"))).await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (200, None));
}

#[actix_web::test]
async fn a_foreign_name_for_loopback_is_not_answered() {
    for path in ["/", "/api/chats", "/health", "/nothing"] {
        let answer = send(request("GET", path).insert_header(("host", "evil.example:8080"))).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["code"]), (403, &"forbidden".into()), "{path}");
        let answer = send(request("GET", &format!("http://evil.example{path}"))).await;
        assert_eq!(answer.status.as_u16(), 403, "{path} as the absolute form");
    }
    for host in ["127.0.0.1:8080", "[::1]:8080", "localhost", "shop.example"] {
        let answer = send(request("GET", "/health/live").insert_header(("host", host))).await;
        assert_eq!(answer.status.as_u16(), 200, "{host}");
    }
}
