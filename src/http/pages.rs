//! The pages: `/`, `/docs`, `/example` and their files, all of them inside the binary.

use actix_web::http::header::{self, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, Scope, web};

use super::routing;

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
    "outbox.js"
];

/// Adds the pages to `scope`.
pub(super) fn register(scope: Scope) -> Scope {
    PAGES.iter().chain(SCRIPTS).fold(scope, |scope, file| {
        let bytes = Bytes::from_static(file.text.as_bytes());
        let etag = etag(&bytes);
        let show = move |request: HttpRequest| {
            let mut response = unless_known(&request, file.content_type, &bytes, &etag);
            let policy = HeaderValue::from_static(file.policy);
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
            response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
            std::future::ready(response)
        };
        let resource = web::resource(file.path).route(routing::get().to(show));
        scope.service(resource.default_service(routing::only(&["GET"])))
    })
}

/// The bytes, or 304 for a client that has them. Clients ask every time: after an upgrade nobody runs old scripts.
pub(super) fn unless_known(
    request: &HttpRequest,
    content_type: &'static str,
    bytes: &Bytes,
    etag: &HeaderValue,
) -> HttpResponse {
    let known = request.headers().get_all(header::IF_NONE_MATCH).any(|value| {
        let listed = |tags: &str| {
            tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_start_matches("W/").as_bytes() == etag)
        };
        value.to_str().is_ok_and(listed)
    });
    let mut response = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((header::ETAG, etag.clone()))
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-cache")))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")));
    if known {
        return response.finish();
    }
    response.insert_header((header::CONTENT_TYPE, HeaderValue::from_static(content_type))).body(bytes.clone())
}

/// A name for these bytes: FNV-1a, which tells versions of a file apart and is not meant to withstand forgery.
pub(super) fn etag(bytes: &[u8]) -> HeaderValue {
    let hash = bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3));
    HeaderValue::try_from(format!("\"{hash:016x}\"")).unwrap_or(HeaderValue::from_static("\"0\""))
}
