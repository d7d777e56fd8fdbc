//! What a request says outside its body: ids in the path, the query, who asks, and the idempotency key.

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderMap, HeaderName};
use actix_web::web::Query;
use chappe_proto::ids::MAX_ID;
use chappe_proto::{ClientId, Code, UserId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::identity::{self, Who};
use super::problem::Problem;

/// Names the user, in open mode, where neither the body nor the query does.
pub(crate) const USER_HEADER: HeaderName = HeaderName::from_static("x-chappe-user");
/// Makes a retry safe, where the body has no `client_id`.
pub(crate) const KEY_HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// The id that stands in the path under `name`.
///
/// # Errors
/// `invalid_field` if it is not an id.
pub(crate) fn path_id<T: TryFrom<u64>>(request: &HttpRequest, name: &str) -> Result<T, Problem> {
    let text = request.match_info().get(name).unwrap_or_default();
    id(text).ok_or_else(|| not_an_id(name, text))
}

/// Only digits: what `u64` reads besides, as a leading plus, nobody writes into a path on purpose.
fn id<T: TryFrom<u64>>(text: &str) -> Option<T> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse::<u64>().ok().filter(|_| digits).and_then(|raw| T::try_from(raw).ok())
}

fn not_an_id(what: &str, text: &str) -> Problem {
    let text: String = text.chars().take(40).collect();
    Problem::new(Code::InvalidField, format!("{what} is an integer from 1 to {MAX_ID}, not {text:?}"))
}

/// The query, as `T` has it. Parameters that `T` does not know are passed over.
///
/// # Errors
/// `invalid_field` for a parameter of the wrong type or out of its range, and for one that stands twice.
pub(crate) fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, Problem> {
    let text = request.query_string();
    let read = |text: &str| Query::<T>::from_query(text).map(Query::into_inner);
    read(text).map_err(|error| {
        // Only the error of a parameter that stands twice names it. One that is wrong is wrong on its own, too.
        let culprit = text.split('&').find_map(|part| read(part).err().map(|error| (part, error)));
        let message = match culprit {
            Some((part, error)) => {
                let part: String = part.chars().take(60).collect();
                format!("{part:?} in the query: {}", reason(&error))
            }
            None => format!("the query: {}", reason(&error)),
        };
        Problem::new(Code::InvalidField, message)
    })
}

fn reason(error: &actix_web::error::QueryPayloadError) -> String {
    match error {
        actix_web::error::QueryPayloadError::Deserialize(error) => error.to_string(),
        other => other.to_string(),
    }
}

/// Reads a parameter from which a list goes on. 0 stands before the first id, so that a loop may begin with it.
pub(crate) fn cursor<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
    T::Error: std::fmt::Display,
{
    match u64::deserialize(deserializer)? {
        0 => Ok(None),
        raw => T::try_from(raw).map(Some).map_err(serde::de::Error::custom),
    }
}

/// Who asks. In open mode: whom the body names, else the query, else the header. In token mode: whose token came, with
/// whom the others agree if they name somebody.
///
/// # Errors
/// `invalid_field` if the header is needed and is not an id; in token mode `identity_mismatch` and `not_authenticated`.
pub(crate) fn user(
    request: &HttpRequest,
    body: Option<UserId>,
    query: Option<UserId>,
) -> Result<Option<UserId>, Problem> {
    let in_header = || -> Result<Option<UserId>, Problem> {
        let Some(text) = only(request.headers(), &USER_HEADER)? else { return Ok(None) };
        let text = String::from_utf8_lossy(text);
        id(&text).map(Some).ok_or_else(|| not_an_id("X-Chappe-User", &text))
    };
    match identity::of(request) {
        None => body.or(query).map_or_else(in_header, |user| Ok(Some(user))),
        Some(Who::Nobody) => Err(Problem::plain(Code::NotAuthenticated)),
        Some(Who::Holder(principal, _)) => {
            let named = [body, query, in_header()?];
            if named.into_iter().flatten().any(|user| user != principal.user) {
                return Err(Problem::plain(Code::IdentityMismatch));
            }
            Ok(Some(principal.user))
        }
    }
}

/// Who asks, in token mode only; for what open mode answers to everybody alike.
///
/// # Errors
/// As [`user`].
pub(crate) fn holder(request: &HttpRequest) -> Result<Option<UserId>, Problem> {
    if identity::of(request).is_none() { Ok(None) } else { user(request, None, None) }
}

/// Who asks, where somebody has to.
///
/// # Errors
/// `not_authenticated` if nobody is named, and as [`user`].
pub(crate) fn known_user(
    request: &HttpRequest,
    body: Option<UserId>,
    query: Option<UserId>,
) -> Result<UserId, Problem> {
    user(request, body, query)?.ok_or_else(|| {
        Problem::new(Code::NotAuthenticated, "name the user: user_id in the body or the query, or X-Chappe-User")
    })
}

/// The request's `Idempotency-Key`: 1 to 128 visible ASCII characters, perhaps in quotes, which do not count.
///
/// # Errors
/// `invalid_field` if it is something else.
pub(crate) fn idempotency_key(request: &HttpRequest) -> Result<Option<ClientId>, Problem> {
    let Some(value) = only(request.headers(), &KEY_HEADER)? else { return Ok(None) };
    let quoted = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    let key = std::str::from_utf8(quoted.unwrap_or(value)).ok().filter(|key| key.bytes().all(|b| b.is_ascii_graphic()));
    let key = key.and_then(|key| ClientId::parse(key).ok());
    let refused = || Problem::new(Code::InvalidField, "Idempotency-Key has 1 to 128 visible ASCII characters");
    key.map(Some).ok_or_else(refused)
}

/// Refuses an `Idempotency-Key` where a repeated request would be carried out twice, rather than pretend.
///
/// # Errors
/// `invalid_field` if there is one.
pub(crate) fn no_idempotency_key(request: &HttpRequest) -> Result<(), Problem> {
    if request.headers().contains_key(KEY_HEADER) {
        return Err(Problem::new(Code::InvalidField, "Idempotency-Key is not supported here yet; messages take it"));
    }
    Ok(())
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a [u8]>, Problem> {
    let mut values = headers.get_all(name);
    let first = values.next().map(|value| value.as_bytes());
    if values.next().is_some() {
        return Err(Problem::new(Code::InvalidField, format!("{name} stands twice")));
    }
    Ok(first)
}
