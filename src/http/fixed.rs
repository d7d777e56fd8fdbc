//! Answers that never change while the server runs: sent whole once, and then only confirmed.

use actix_web::http::header::{self, HeaderValue};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};

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
