//! What is asked for, as an HTTP response: JSON written once, into the bytes that are sent.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use serde::Serialize;

/// A response with `body` as JSON.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    json_of_about(512, status, body)
}

/// A response with `body` as JSON, which is going to have about `bytes` bytes.
pub(crate) fn json_of_about(bytes: usize, status: StatusCode, body: &impl Serialize) -> HttpResponse {
    let mut out = Vec::with_capacity(bytes);
    // Writing to a `Vec` cannot fail, and none of our types has a map with keys that are not strings.
    let _ = serde_json::to_writer(&mut out, body);
    written(status, out)
}

/// A response with this JSON.
pub(crate) fn written(status: StatusCode, json: Vec<u8>) -> HttpResponse {
    HttpResponse::build(status)
        .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("application/json")))
        .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
        .body(json)
}

/// A response that says no more than that it is done.
pub(crate) fn done() -> HttpResponse {
    HttpResponse::NoContent().finish()
}
