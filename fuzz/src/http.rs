//! HTTP requests behind the library that reads them: paths, queries, headers and bodies. No engine stands behind them, so
//! that each ends in a refusal at the latest where the engine would be asked; and every refusal has the form of all.

use std::cell::OnceCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::time::Instant;

use actix::{System, SystemRunner};
use actix_web::body::to_bytes;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{Method, Uri};
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, web};
use bytes::Bytes;
use chappe::http::origin::Policy;
use chappe::http::peer::Proxies;
use chappe::http::{Answering, BODY_TIME, HEALTH_TIME, HttpSettings, routes};
use chappe_proto::limits::Limits;
use serde_json::Value;

/// A response: status, type, body.
type Answer = (u16, Option<String>, Bytes);
/// Asks the server.
type Ask = Box<dyn Fn(TestRequest) -> Pin<Box<dyn Future<Output = Answer>>>>;

thread_local! {
    static SERVER: OnceCell<&'static Server> = const { OnceCell::new() };
}

/// The server of this thread, and what it runs on.
struct Server {
    system: SystemRunner,
    ask: Ask,
}

fn server() -> &'static Server {
    let system = System::new();
    let settings = HttpSettings {
        limits: Limits::default(),
        proxies: Proxies::default(),
        origins: Policy::new(&["https://shop.example".to_owned()], true).unwrap_or_default().into(),
        tls: false,
        started: Instant::now(),
        body_time: BODY_TIME,
        health_time: HEALTH_TIME,
        tokens: None,
        answering: Answering::default(),
    };
    let app = App::new().configure(|config| routes(config, web::Data::new(settings)));
    let app = Rc::new(system.block_on(init_service(app)));
    let ask = move |request: TestRequest| -> Pin<Box<dyn Future<Output = Answer>>> {
        let app = Rc::clone(&app);
        Box::pin(async move {
            let response = call_service(&*app, request.to_request()).await.into_parts().1;
            let status = response.status().as_u16();
            let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).map(str::to_owned);
            let body = to_bytes(response.into_body()).await.unwrap_or_else(|_| panic!("{status}: the body breaks off"));
            (status, kind, body)
        })
    };
    // For as long as the process lives: at its end, what it needs may be gone before it.
    Box::leak(Box::new(Server { system, ask: Box::new(ask) }))
}

pub(crate) fn run(bytes: &[u8]) {
    let Some((request, is_head)) = read(bytes) else { return };
    let Server { system, ask } = SERVER.with(|cell| *cell.get_or_init(server));
    let (status, kind, body) = system.block_on(ask(request));
    assert_ne!(status, 500, "{}", String::from_utf8_lossy(&body));
    if status < 400 || is_head {
        return;
    }
    assert_eq!(kind.as_deref(), Some("application/problem+json"), "{status}");
    let problem: Value = serde_json::from_slice(&body).unwrap_or_else(|error| panic!("{status}: {error}"));
    assert_eq!(problem["status"], status, "{problem}");
    for field in ["type", "title", "detail", "code"] {
        assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field} of {problem}");
    }
    assert!(body.len() < 4096, "a refusal is short: {problem}");
}

/// The first line is method and path, those behind it are headers, and what follows an empty line is the body. `None` if the
/// library would not let it through.
fn read(bytes: &[u8]) -> Option<(TestRequest, bool)> {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let first = std::str::from_utf8(lines.next()?).ok()?;
    let (method, path) = first.split_once(' ')?;
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    // What it is in a request line: a path, or everything with an authority.
    let uri = Uri::try_from(path).ok().filter(|_| path.starts_with('/'))?;
    let is_head = method == Method::HEAD;
    let mut request = TestRequest::with_uri(&uri.to_string()).method(method);
    let mut rest = lines.next().unwrap_or_default();
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        let (line, behind) = rest.split_at(end);
        rest = behind.get(1..).unwrap_or_default();
        if line.is_empty() {
            break;
        }
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = HeaderName::from_bytes(parts.next()?).ok()?;
        let value = HeaderValue::from_bytes(parts.next()?.trim_ascii()).ok()?;
        request = request.append_header((name, value));
    }
    Some((request.set_payload(rest.to_vec()), is_head))
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let json = "content-type: application/json\n\n";
    let with = |line: &str, body: &str| format!("{line}\n{json}{body}").into_bytes();
    let mut seeds: Vec<Vec<u8>> = [
        "GET /api/chats/1/messages?page=1&per_page=50&user_id=1",
        "GET /api/chats/1/messages?before=100&limit=7\nx-chappe-user: 7",
        "GET /api/chats/1/messages?after=1",
        "GET /api/chats/1/events?after=0&limit=500",
        "GET /api/chats?after=0&limit=10&user_id=1",
        "GET /api/chats/1/members?after=3",
        "DELETE /api/chats/1/members/2?user_id=1",
        "GET /api/users?after=9007199254740991",
        "GET /api/users/online?user_id=1",
        "GET /api/users/1",
        "DELETE /api/messages/1?user_id=1",
        "GET /health",
        "GET /metrics",
        "GET /api/limits\nhost: localhost\norigin: https://shop.example",
        "OPTIONS /api/chats\norigin: https://shop.example\naccess-control-request-method: POST",
        "GET /docs",
        "GET /web/app.js\nif-none-match: \"x\"",
        "GET /api/%2e%2e/%ff",
        "PUT /api/nothing",
    ]
    .into_iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    seeds.extend([
        with("POST /api/chats/1/messages\nidempotency-key: \"abc\"", r#"{"sender_id":1,"content":"x","reply_to":1}"#),
        with("POST /api/chats", r#"{"title":"ops","kind":"group","members":[2,3],"user_id":1}"#),
        with("PATCH /api/chats/1", r#"{"title":"new","user_id":1}"#),
        with("POST /api/chats/1/members", r#"{"user_id":3,"by":1}"#),
        with("PATCH /api/messages/1", r#"{"content":"x","user_id":1}"#),
        with("POST /api/users", r#"{"nickname":"Ann"}"#),
        with("PUT /api/users/1/key", r#"{"key":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}"#),
    ]);
    seeds
}
