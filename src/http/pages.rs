//! The pages: `/`, `/docs`, `/example` and their files, all of them inside the binary.

use actix_web::http::header::{self, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, Scope, web};

use super::{fixed, routing};

/// A file inside the binary.
#[derive(Clone, Copy)]
struct File {
    path: &'static str,
    content_type: &'static str,
    policy: &'static str,
    text: &'static str,
}

/// Only the server's own files, and connections back to it.
const STRICT: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; \
    img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";
/// The example is one file that people copy, so its script stands in it. It shows text as text only.
const INLINE: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
    connect-src 'self' ws: wss:; img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

const fn file(path: &'static str, content_type: &'static str, text: &'static str) -> File {
    File { path, content_type, policy: STRICT, text }
}

macro_rules! scripts {
    ($( $name:literal ),*) => {
        [$( file(concat!("/web/", $name), JS, include_str!(concat!("../../web/", $name))) ),*]
    };
}

const PAGES: &[File] = &[
    file("/", HTML, include_str!("../../web/index.html")),
    file("/docs", HTML, include_str!("../../web/docs.html")),
    File { policy: INLINE, ..file("/example", HTML, include_str!("../../examples/browser.html")) },
    file("/web/style.css", CSS, include_str!("../../web/style.css")),
];
const SCRIPTS: &[File] = &scripts![
    "api.js",
    "app.js",
    "chat.js",
    "client.js",
    "connection.js",
    "conversation.js",
    "docs.js",
    "element.js",
    "messages.js",
    "outbox.js",
    "session.js"
];

/// Adds the pages to `scope`.
pub(super) fn register(scope: Scope) -> Scope {
    PAGES.iter().chain(SCRIPTS).fold(scope, |scope, file| {
        let bytes = Bytes::from_static(file.text.as_bytes());
        let etag = fixed::etag(&bytes);
        let show = move |request: HttpRequest| {
            let mut response = fixed::unless_known(&request, file.content_type, &bytes, &etag);
            let policy = HeaderValue::from_static(file.policy);
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
            response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
            std::future::ready(response)
        };
        let resource = web::resource(file.path).route(routing::get().to(show));
        scope.service(resource.default_service(routing::only(&["GET"])))
    })
}
