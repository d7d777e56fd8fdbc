//! Reading a request's JSON body, within bounds of size, depth and time.

use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::{HttpRequest, web};
use chappe_proto::limits::JSON_DEPTH;
use chappe_proto::{Code, json};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use super::HttpSettings;
use super::identity;
use super::problem::Problem;

/// Reads the body as JSON. Fields that `T` does not know are passed over; one that stands twice is an error. A body may
/// take its time: who asks has to be believed at its end as well.
///
/// # Errors
/// `unsupported_media_type` unless it is plain `application/json`, `too_large` beyond `limits.frame_bytes`, 408 beyond
/// the time allowed, `malformed` if it is not JSON, `too_deep`, and `invalid_field` if it is other JSON than `T`'s;
/// `not_authenticated` and `token_expired` where that has come meanwhile.
pub(crate) async fn json<T: DeserializeOwned>(
    request: &HttpRequest,
    payload: web::Payload,
    settings: &HttpSettings,
) -> Result<T, Problem> {
    check_type(request)?;
    let limit = usize::try_from(settings.limits.frame_bytes).unwrap_or(usize::MAX);
    // A body that came with its head is not waited for; then this sets no timer.
    let bytes = tokio::time::timeout(settings.body_time, read(request, payload, limit))
        .await
        .map_err(|_| Problem::body_too_slow())??;
    identity::is_still_believed(request)?;
    parse(&bytes)
}

fn check_type(request: &HttpRequest) -> Result<(), Problem> {
    let refuse = |message: &'static str| Err(Problem::new(Code::UnsupportedMediaType, message));
    let value = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = value(header::CONTENT_TYPE).split(';').map(str::trim);
    if !parts.next().unwrap_or_default().eq_ignore_ascii_case("application/json") {
        return refuse("the body is to be JSON, with Content-Type: application/json");
    }
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        if name.eq_ignore_ascii_case("charset") && !value.trim_matches('"').eq_ignore_ascii_case("utf-8") {
            return refuse("JSON is UTF-8");
        }
    }
    let encoding = value(header::CONTENT_ENCODING);
    if request.headers().contains_key(header::CONTENT_ENCODING) && !encoding.eq_ignore_ascii_case("identity") {
        // A small body could become a large one.
        return refuse("the body is to be sent uncompressed, without Content-Encoding");
    }
    Ok(())
}

async fn read(request: &HttpRequest, mut payload: web::Payload, limit: usize) -> Result<Vec<u8>, Problem> {
    let too_large = || Problem::new(Code::TooLarge, format!("a body has at most {limit} bytes")).closing();
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let claimed = length.and_then(|length| length.parse().ok()).unwrap_or(0);
    if claimed > limit {
        return Err(too_large());
    }
    // What is claimed is not reserved before it comes, but for the small bodies that nearly all are.
    let mut body = Vec::with_capacity(claimed.min(1024));
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(broken)?;
        if body.len() + chunk.len() > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn broken(error: PayloadError) -> Problem {
    Problem::new(Code::Malformed, format!("the body broke off: {error}")).closing()
}

/// Reads JSON text.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Problem::new(Code::Malformed, format!("the body is not UTF-8 from byte {} on", error.valid_up_to()))
    })?;
    if json::is_deeper_than(bytes, JSON_DEPTH) {
        return Err(Problem::new(Code::TooDeep, format!("JSON may be nested {JSON_DEPTH} deep")));
    }
    serde_json::from_str(text).map_err(|error| {
        if !error.is_data() {
            return Problem::new(Code::Malformed, format!("the body is not JSON: {error}"));
        }
        // Read once more, to say where the field is.
        let message = match serde_path_to_error::deserialize::<_, T>(&mut serde_json::Deserializer::from_str(text)) {
            Err(error) if error.path().iter().next().is_some() => error.to_string(),
            _ => error.to_string(),
        };
        Problem::new(Code::InvalidField, message)
    })
}
