//! The pages: `/`, `/docs`, `/example` and their files, all of them inside the binary.

use actix_web::http::header::{self, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, Scope, web};
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{fixed, routing};

/// A file inside the binary.
#[derive(Clone, Copy)]
struct File {
    path: &'static str,
    content_type: &'static str,
    policy: Policy,
    text: &'static str,
}

/// What a page may load and run. Nothing that stands in the text of one, and nothing that is made of text.
#[derive(Clone, Copy)]
enum Policy {
    /// Only the server's own files, and connections back to it.
    Own,
    /// The example is one file that people copy, so its script and its style stand in it: those, as they are, and no others.
    /// It connects to whichever server its address names.
    Inside,
}

/// The end of every policy: no frames around, no other base, and no text becomes markup or code.
const REST: &str = "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

impl Policy {
    fn of(self, text: &str) -> String {
        match self {
            Self::Own => format!(
                "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; {REST}"
            ),
            Self::Inside => {
                let script = hash_of(text, "<script type=\"module\">", "</script>");
                let style = hash_of(text, "<style>", "</style>");
                format!(
                    "default-src 'none'; script-src '{script}'; style-src '{style}'; connect-src 'self' ws: wss:; \
                     img-src data:; {REST}"
                )
            }
        }
    }
}

/// What a policy calls the text between these two by.
fn hash_of(text: &str, begin: &str, end: &str) -> String {
    let inside = text.split_once(begin).and_then(|(_, rest)| rest.split_once(end)).map_or("", |(inside, _)| inside);
    format!("sha256-{}", STANDARD.encode(digest::digest(&digest::SHA256, inside.as_bytes())))
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

const fn file(path: &'static str, content_type: &'static str, text: &'static str) -> File {
    File { path, content_type, policy: Policy::Own, text }
}

macro_rules! scripts {
    ($( $name:literal ),*) => {
        [$( file(concat!("/web/", $name), JS, include_str!(concat!("../../web/", $name))) ),*]
    };
}

const PAGES: &[File] = &[
    file("/", HTML, include_str!("../../web/index.html")),
    file("/docs", HTML, include_str!("../../web/docs.html")),
    File { policy: Policy::Inside, ..file("/example", HTML, include_str!("../../examples/browser.html")) },
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
        // Keywords, paths and base64: always a header's value.
        let policy = HeaderValue::try_from(file.policy.of(file.text));
        let policy = policy.unwrap_or(HeaderValue::from_static("default-src 'none'"));
        let show = move |request: HttpRequest| {
            let mut response = fixed::unless_known(&request, file.content_type, &bytes, &etag);
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy.clone());
            response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
            std::future::ready(response)
        };
        let resource = web::resource(file.path).route(routing::get().to(show));
        scope.service(resource.default_service(routing::only(&["GET"])))
    })
}
