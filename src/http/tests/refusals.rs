//! Bad input never reaches the engine: it has no script in these tests, and would fail them if it were asked.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use actix_http::BoxedPayloadStream;
use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::test::TestRequest;
use actix_web::web::{self, Bytes};
use actix_web::{FromRequest, HttpResponse, ResponseError};
use chappe_proto::Code;
use chappe_proto::ids::MAX_ID;
use futures_util::{Stream, StreamExt, stream};

use super::description::{description, operation};
use super::*;

/// Sends a request and expects to be refused, in the form that every refusal has, and as the description says.
async fn refused(request: TestRequest, status: u16, code: Code, what: &str) -> Value {
    let answer = send(request).await;
    let body = answer.json();
    assert_eq!((answer.status.as_u16(), body["code"].as_str()), (status, Some(code.as_str())), "{what}: {body}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}");
    assert_eq!(body["status"], status, "{what}");
    assert_eq!(answer.headers.contains_key("retry-after"), code.retryable(), "{what}");
    let api = description().await;
    let operation = operation(&api, &answer.method, &answer.path);
    if operation.is_object() {
        let described = operation["responses"][answer.status.as_str()]["description"].as_str().unwrap_or_default();
        assert!(described.contains(&format!("`{code}`")), "{what}: {status} {code} is not described: {described:?}");
    }
    body
}

#[actix_web::test]
async fn what_is_wrong_with_a_path_is_told() {
    for (method, path, code) in [
        ("GET", "/nothing", Code::NotFound),
        ("GET", "/api", Code::NotFound),
        ("POST", "/api/chats/1/nothing", Code::NotFound),
        ("GET", "/web/../secret", Code::NotFound),
        ("GET", "/api/chats/0", Code::InvalidField),
        ("GET", "/api/chats/-1", Code::InvalidField),
        ("GET", "/api/chats/+1", Code::InvalidField),
        ("GET", "/api/chats/1.5", Code::InvalidField),
        ("GET", "/api/chats/general", Code::InvalidField),
        ("GET", "/api/chats/9007199254740992/messages", Code::InvalidField),
        ("GET", "/api/chats/99999999999999999999999/events", Code::InvalidField),
        ("GET", "/api/chats/%ff/members", Code::InvalidField),
        ("DELETE", "/api/chats/1/members/x", Code::InvalidField),
        ("DELETE", "/api/messages/x?user_id=1", Code::InvalidField),
    ] {
        refused(request(method, path), code.http_status(), code, path).await;
    }
}

#[actix_web::test]
async fn a_method_that_a_path_does_not_take_is_told_the_ones_it_takes() {
    for (method, path, allow) in [
        ("PUT", "/api/chats", "GET, POST, HEAD, OPTIONS"),
        ("POST", "/api/chats/1", "GET, PATCH, DELETE, HEAD, OPTIONS"),
        ("GET", "/api/messages/1", "PATCH, DELETE, OPTIONS"),
        ("DELETE", "/health", "GET, HEAD, OPTIONS"),
        ("POST", "/", "GET, HEAD, OPTIONS"),
    ] {
        let answer = send(request(method, path)).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, Some(allow)), "{method} {path}");
        assert_eq!(answer.json()["code"], "method_not_allowed");
        let answer = send(request("OPTIONS", path)).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (204, Some(allow)), "OPTIONS {path}");
    }
}

#[actix_web::test]
async fn what_is_wrong_with_a_query_is_told() {
    for (query, named) in [
        ("limit=x", "limit=x"),
        ("limit=-1", "limit=-1"),
        ("limit=0", "limit"),
        ("per_page=0", "per_page"),
        ("limit=1&limit=2", "limit"),
        ("page=1&per%5Fpage=2&per_page=2", "per_page"),
        ("page=0", "page"),
        ("page=2001", "before"),
        ("page=4000000000&per_page=500", "before"),
        ("page=1&before=9", "before"),
        ("before=1&after=1", "before"),
        ("per_page=1&limit=1", "limit"),
        ("before=", "before="),
        ("before=9007199254740992", "before"),
        ("after=18446744073709551616", "after"),
        ("user_id=0", "user_id=0"),
        ("user_id=%ff", "user_id"),
        ("user_id=9007199254740992", "user_id"),
    ] {
        let path = format!("/api/chats/1/messages?{query}");
        let problem = refused(request("GET", &path), 422, Code::InvalidField, query).await;
        assert!(problem["detail"].as_str().unwrap().contains(named), "{query}: {problem}");
    }
    for path in [
        "/api/chats?after=-1",
        "/api/chats?limit=0",
        "/api/chats/1/members?limit=0",
        "/api/chats/1/events?after=0&limit=0",
        "/api/users?limit=0",
        "/api/users/online?limit=0",
        "/api/users?limit=1e3",
        "/api/users/online?limit=",
        "/api/chats/1/events?after=x",
    ] {
        refused(request("GET", path), 422, Code::InvalidField, path).await;
    }
}

#[actix_web::test]
async fn a_body_is_json_of_bounded_size_and_depth() {
    let post = |body: &str| with_json("POST", "/api/chats", body);
    let deep = format!("{{\"title\":\"x\",\"y\":{}{}}}", "[".repeat(32), "]".repeat(32));
    let quoted = "\\\"[{".repeat(100);
    for (body, code) in [
        ("", Code::Malformed),
        ("{", Code::Malformed),
        ("{\"title\":\"x\"} x", Code::Malformed),
        ("{\"title\":\"\u{1}\"}", Code::Malformed),
        ("[]", Code::InvalidField),
        ("null", Code::InvalidField),
        (&deep, Code::TooDeep),
        ("{\"title\":\"x\",\"title\":\"y\"}", Code::InvalidField),
        (&format!("{{\"title\":\"{quoted}\"}}"), Code::TooLarge),
        (&format!("{{\"title\":\"x\",\"y\":\"{}\"}}", "y".repeat(4096)), Code::TooLarge),
    ] {
        refused(post(body), code.http_status(), code, body).await;
    }
    let broken = post("").set_payload(&b"{\"ignored\":\"\xff\",\"title\":\"x\"}"[..]);
    refused(broken, 400, Code::Malformed, "bad UTF-8, also in a field that is passed over").await;
    let claimed = post("{}").insert_header((header::CONTENT_LENGTH, "999999999999"));
    refused(claimed, 413, Code::TooLarge, "a length that is only claimed").await;
}

#[actix_web::test]
async fn a_body_is_plain_json_and_says_so() {
    let post = |name: header::HeaderName, value: &'static str| {
        with_json("POST", "/api/chats", "{\"title\":\"\"}").insert_header((name, value))
    };
    let unsupported = Code::UnsupportedMediaType;
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "application/json; charset=latin1", ""]
    {
        refused(post(header::CONTENT_TYPE, kind), 415, unsupported, kind).await;
    }
    refused(request("POST", "/api/chats").set_payload("{}"), 415, unsupported, "no type").await;
    for coding in ["gzip", "br", ""] {
        refused(post(header::CONTENT_ENCODING, coding), 415, unsupported, coding).await;
    }
    // These are read; then the title is found to be empty.
    for kind in ["application/json", "Application/JSON; charset=\"UTF-8\"", "application/json;charset=utf-8"] {
        refused(post(header::CONTENT_TYPE, kind), 422, Code::InvalidField, kind).await;
    }
    refused(post(header::CONTENT_ENCODING, "identity"), 422, Code::InvalidField, "identity").await;
}

#[actix_web::test]
async fn what_is_wrong_with_a_field_is_told() {
    let long = |field: &str, bytes: usize| format!("{{\"{field}\":\"{}\",\"user_id\":1}}", "x".repeat(bytes));
    let many = format!("{{\"title\":\"x\",\"members\":[{}]}}", vec!["1"; 1001].join(","));
    let too_large = format!("{{\"title\":\"x\",\"user_id\":{}}}", MAX_ID + 1);
    for (method, path, body, code, named) in [
        ("POST", "/api/chats", "{}", Code::InvalidField, "title"),
        ("POST", "/api/chats", "{\"title\":7}", Code::InvalidField, "title"),
        ("POST", "/api/chats", "{\"title\":null}", Code::InvalidField, "title"),
        ("POST", "/api/chats", "{\"title\":\"\"}", Code::InvalidField, "title"),
        ("POST", "/api/chats", &long("title", 257), Code::TooLarge, "title"),
        ("POST", "/api/chats", "{\"title\":\"x\",\"kind\":\"secret\"}", Code::InvalidField, "kind"),
        ("POST", "/api/chats", "{\"title\":\"x\",\"members\":[1,-2]}", Code::InvalidField, "members[1]"),
        ("POST", "/api/chats", "{\"title\":\"x\",\"members\":{}}", Code::InvalidField, "members"),
        ("POST", "/api/chats", &many, Code::TooLarge, "members"),
        ("POST", "/api/chats", &too_large, Code::InvalidField, "user_id"),
        ("PATCH", "/api/chats/1", &long("title", 257), Code::TooLarge, "title"),
        ("POST", "/api/chats/1/members", "{}", Code::InvalidField, "user_id"),
        ("POST", "/api/chats/1/members", "{\"user_id\":\"1\"}", Code::InvalidField, "user_id"),
        ("POST", "/api/chats/1/messages", "{\"user_id\":1}", Code::InvalidField, "content"),
        ("POST", "/api/chats/1/messages", &long("content", 0), Code::InvalidField, "content"),
        ("POST", "/api/chats/1/messages", &long("content", 1001), Code::TooLarge, "content"),
        ("POST", "/api/chats/1/messages", "{\"user_id\":1.5,\"content\":\"x\"}", Code::InvalidField, "user_id"),
        (
            "POST",
            "/api/chats/1/messages",
            "{\"content\":\"x\",\"message_type\":\"Song\"}",
            Code::InvalidField,
            "message_type",
        ),
        ("POST", "/api/chats/1/messages", "{\"content\":\"x\",\"client_id\":\"\"}", Code::InvalidField, "client_id"),
        ("POST", "/api/chats/1/messages", "{\"content\":\"x\",\"reply_to\":0}", Code::InvalidField, "reply_to"),
        (
            "POST",
            "/api/chats/1/messages",
            "{\"content\":\"x\",\"sender_id\":1,\"user_id\":2}",
            Code::IdentityMismatch,
            "sender_id",
        ),
        ("PATCH", "/api/messages/1", &long("content", 1001), Code::TooLarge, "content"),
        ("POST", "/api/users", &long("nickname", 0), Code::InvalidField, "nickname"),
        ("POST", "/api/users", &long("nickname", 65), Code::TooLarge, "nickname"),
    ] {
        let problem = refused(with_json(method, path, body), code.http_status(), code, body).await;
        assert!(problem["detail"].as_str().unwrap().contains(named), "{method} {path} {body}: {problem}");
    }
}

#[actix_web::test]
async fn who_writes_a_message_has_to_be_named() {
    let content = "{\"content\":\"x\"}";
    for (method, path) in
        [("POST", "/api/chats/1/messages"), ("PATCH", "/api/messages/1"), ("DELETE", "/api/messages/1")]
    {
        refused(with_json(method, path, content), 401, Code::NotAuthenticated, path).await;
        for header in ["", "0", "ann", "-1", "+1", "9007199254740992"] {
            let named = with_json(method, path, content).insert_header(("x-chappe-user", header));
            refused(named, 422, Code::InvalidField, header).await;
        }
        let twice = with_json(method, path, content)
            .append_header(("x-chappe-user", "1"))
            .append_header(("x-chappe-user", "1"));
        refused(twice, 422, Code::InvalidField, "named twice").await;
    }
}

#[actix_web::test]
async fn an_idempotency_key_is_visible_ascii_and_agrees_with_the_body() {
    let post = |key: &str| {
        let body = "{\"content\":\"x\",\"user_id\":1,\"client_id\":\"a\"}";
        with_json("POST", "/api/chats/1/messages", body).insert_header(("idempotency-key", key.to_owned()))
    };
    let long = "k".repeat(129);
    for key in ["", "\"\"", "a b", "ä", &long, "b", "\"b\""] {
        refused(post(key), 422, Code::InvalidField, key).await;
    }
    refused(post("a").append_header(("idempotency-key", "a")), 422, Code::InvalidField, "two keys").await;
    // Where a second request would be a second chat or user, nothing is promised.
    for (path, body) in [("/api/chats", "{\"title\":\"x\"}"), ("/api/users", "{\"nickname\":\"x\"}")] {
        let request = with_json("POST", path, body).insert_header(("idempotency-key", "a"));
        refused(request, 422, Code::InvalidField, path).await;
    }
}

/// What is answered to a request whose body is `stream`, and that does not say how long it is.
async fn streamed(
    stream: impl Stream<Item = Result<Bytes, PayloadError>> + 'static,
    body_time: Duration,
) -> HttpResponse {
    let request = request("POST", "/api/chats").insert_header(("content-type", "application/json")).to_http_request();
    let stream: BoxedPayloadStream = Box::pin(stream);
    let payload = web::Payload::from_request(&request, &mut Payload::Stream { payload: stream }).await.unwrap();
    let settings = HttpSettings { body_time, ..settings() };
    crate::http::body::json::<Value>(&request, payload, &settings).await.unwrap_err().error_response()
}

#[actix_web::test]
async fn a_body_that_does_not_come_is_waited_for_only_so_long() {
    let response = streamed(stream::pending(), Duration::from_millis(10)).await;
    assert_eq!(response.status().as_u16(), 408);
    assert!(!response.head().keep_alive(), "what comes later is not taken for a new request");
}

#[actix_web::test]
async fn a_body_that_goes_on_and_on_is_not_read_to_its_end() {
    let read = Rc::new(Cell::new(0));
    let counted = read.clone();
    let kibibytes = stream::repeat(Bytes::from_static(&[b' '; 1024])).take(100).map(move |chunk| {
        counted.set(counted.get() + 1);
        Ok(chunk)
    });
    let response = streamed(kibibytes, Duration::from_secs(10)).await;
    assert_eq!((response.status().as_u16(), read.get()), (413, 5));
    assert!(!response.head().keep_alive());
}
