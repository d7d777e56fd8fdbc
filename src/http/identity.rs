//! Who asks over HTTP, in token mode: a bearer token, or a session cookie. Decided once for a request, at the gate; the
//! handlers find the answer with the request.

use actix_web::dev::RequestHead;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName};
use actix_web::{HttpMessage, HttpRequest, web};
use chappe_actors::principal::{Principal, Standing};
use chappe_proto::{Code, Reject, UserId};

use super::{Tokens, engine};

/// The cookie of a session.
pub(crate) const COOKIE: &str = "chappe_session";
/// Goes with every change that a cookie vouches for: a foreign page can make a browser send the cookie, but not know this.
pub(crate) const CSRF_HEADER: HeaderName = HeaderName::from_static("x-csrf-token");
/// Stands before a token among the subprotocols of a WebSocket, which is all that a page can say in a handshake.
const SUBPROTOCOL: &str = "chappe.bearer.";
/// Parameters of a query that are tokens, whatever stands behind them.
const TOKEN_PARAMETERS: [&str; 7] =
    ["token", "access_token", "id_token", "auth_token", "bearer", "jwt", "authorization"];

/// How somebody showed a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    /// A program that sent it along.
    Header,
    /// A browser that sends it with everything.
    Cookie,
}

/// Who asks, in token mode. In open mode a request has none of these.
#[derive(Debug, Clone)]
pub(crate) enum Who {
    /// Somebody without a token, where none is needed.
    Nobody,
    /// Somebody who is believed.
    Holder(Principal, Via),
}

/// Whether a request needs a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// It is not even looked at: an old cookie is in nobody's way to a new one.
    None,
    /// It counts if there is a good one.
    Optional,
    /// There is no answer without.
    Token,
}

/// What is open to everybody stands here, and nowhere else. All else of the API is not.
pub(crate) fn need(method: &Method, path: &str) -> Need {
    match (method.as_str(), path) {
        ("OPTIONS", _)
        | ("GET" | "HEAD", "/api/openapi.json" | "/api/limits" | "/api/auth")
        | ("POST", "/api/sessions") => Need::None,
        ("POST", "/api/users") => Need::Optional,
        (_, path) if path.starts_with("/api/") || path == "/api" => Need::Token,
        // The pages, health and metrics.
        _ => Need::None,
    }
}

/// Decides who sends a request with this head to this `path`.
///
/// # Errors
/// `not_authenticated`, `token_expired`, and `forbidden` for a change with a cookie and without its CSRF token.
pub(super) fn identify(tokens: &Tokens, head: &RequestHead, path: &str) -> Result<Who, Reject> {
    refuse_in_query(head)?;
    let need = need(&head.method, path);
    if need == Need::None {
        return Ok(Who::Nobody);
    }
    let shown = match bearer(&head.headers)? {
        Some(token) => Some((engine::authenticate(token)?, Via::Header)),
        None => match cookie(&head.headers).map(|token| by_cookie(tokens, head, token)) {
            None => None,
            Some(Ok(principal)) => Some((principal, Via::Cookie)),
            Some(Err(_)) if need == Need::Optional => None,
            Some(Err(reject)) => return Err(reject),
        },
    };
    match shown {
        Some((principal, via)) => Ok(Who::Holder(principal, via)),
        None if need == Need::Optional => Ok(Who::Nobody),
        None => Err(Reject::new(
            Code::NotAuthenticated,
            "send a token as Authorization: Bearer, or log in with POST /api/sessions",
        )),
    }
}

fn by_cookie(tokens: &Tokens, head: &RequestHead, token: &str) -> Result<Principal, Reject> {
    let principal = engine::authenticate(token)?;
    let changes = !matches!(head.method, Method::GET | Method::HEAD);
    let given = head.headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if changes && !tokens.authority.csrf_fits(principal.token, given) {
        let why = "with the session's cookie, X-CSRF-Token has to repeat the csrf_token of the session";
        return Err(Reject::new(Code::Forbidden, why));
    }
    Ok(principal)
}

/// Who opens a WebSocket, if the handshake says so. What pages send is only told here why it is not believed: they see
/// nothing of a handshake that fails, and hear it in the answer to their Hello.
///
/// # Errors
/// `not_authenticated` and `token_expired` for what stands in the query or in `Authorization`.
pub(crate) fn of_handshake(head: &RequestHead) -> Result<Option<Result<Principal, Reject>>, Reject> {
    refuse_in_query(head)?;
    if let Some(token) = bearer(&head.headers)? {
        return engine::authenticate(token).map(|principal| Some(Ok(principal)));
    }
    if let Some(token) = subprotocol(&head.headers) {
        return Ok(Some(engine::authenticate(token)));
    }
    Ok(cookie(&head.headers).map(|token| {
        // The gate has refused foreign origins. Browsers always name one here; what does not name one can send a header.
        if !head.headers.contains_key(header::ORIGIN) {
            return Err(Reject::new(
                Code::NotAuthenticated,
                "a cookie counts with an Origin only; send a bearer token",
            ));
        }
        engine::authenticate(token)
    }))
}

/// A token in an address ends up in histories, proxies' logs and other pages' referrers.
fn refuse_in_query(head: &RequestHead) -> Result<(), Reject> {
    let query = head.uri.query().unwrap_or_default();
    // As the handlers read it, escapes and all.
    let pairs = web::Query::<Vec<(String, String)>>::from_query(query).map(web::Query::into_inner).unwrap_or_default();
    let is_token = |name: &str| TOKEN_PARAMETERS.iter().any(|known| name.eq_ignore_ascii_case(known));
    if pairs.iter().any(|(name, _)| is_token(name)) {
        let why = "a token does not belong into an address, where others find it: send it as Authorization: Bearer, as \
            the WebSocket subprotocol chappe.bearer.TOKEN, or in Hello; and do not use this one any more";
        return Err(Reject::new(Code::NotAuthenticated, why));
    }
    Ok(())
}

/// The token in `Authorization`.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Reject> {
    let refuse = || Reject::new(Code::NotAuthenticated, "write Authorization: Bearer TOKEN, once");
    let mut values = headers.get_all(header::AUTHORIZATION);
    let Some(value) = values.next() else { return Ok(None) };
    let (scheme, token) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(refuse)?;
    if !scheme.eq_ignore_ascii_case("bearer") || values.next().is_some() {
        return Err(refuse());
    }
    Ok(Some(token.trim()))
}

fn subprotocol(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(',')).find_map(|name| name.trim().strip_prefix(SUBPROTOCOL))
}

/// The session's cookie. Where there are two they count as none: a page of a neighbouring host can set cookies for this one
/// as well, and would have put its own session in front of the reader's.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(header::COOKIE).filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.split_once('='));
    let ours = |(name, value): (&str, &str)| name.trim() == COOKIE && !value.trim().is_empty();
    let mut sessions = pairs.filter(|pair| ours(*pair)).map(|(_, value)| value.trim());
    let first = sessions.next()?;
    sessions.all(|other| other == first).then_some(first)
}

/// The token that a request came with, as the gate has accepted it.
pub(crate) fn token(headers: &HeaderMap) -> Option<&str> {
    bearer(headers).ok().flatten().or_else(|| cookie(headers))
}

/// Who asks. `None` in open mode.
pub(crate) fn of(request: &HttpRequest) -> Option<Who> {
    request.extensions().get::<Who>().cloned()
}

/// Who asks, where it has to be somebody with a token.
///
/// # Errors
/// `not_authenticated`; in open mode `not_found`: there are no sessions.
pub(crate) fn holder(request: &HttpRequest) -> Result<(Principal, Via), Reject> {
    match of(request) {
        Some(Who::Holder(principal, via)) => Ok((principal, via)),
        Some(Who::Nobody) => Err(Reject::plain(Code::NotAuthenticated)),
        None => Err(no_sessions()),
    }
}

/// Whether who asks is still believed, where some time has passed since the gate asked: the word that a token is
/// worth nothing any more may have come meanwhile.
///
/// # Errors
/// `not_authenticated` and `token_expired`.
pub(crate) fn is_still_believed(request: &HttpRequest) -> Result<(), Reject> {
    match of(request) {
        Some(Who::Holder(principal, _)) => engine::believes(&principal),
        Some(Who::Nobody) | None => Ok(()),
    }
}

/// In open mode there are neither sessions nor passwords.
pub(crate) fn no_sessions() -> Reject {
    Reject::new(Code::NotFound, "in open mode there are no sessions: name the user; auth.mode = \"token\" has them")
}

/// Whether `principal` may act for `user`: for themselves, and an admin for everybody.
pub(crate) fn may_act_for(principal: &Principal, user: UserId) -> bool {
    principal.user == user || principal.standing == Standing::Admin
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_token_is_found_where_it_belongs() {
        for (name, value, expected) in [
            ("authorization", "Bearer abc", Some("abc")),
            ("authorization", "bearer  abc ", Some("abc")),
            ("cookie", "a=b; chappe_session=abc; c=d", Some("abc")),
            ("cookie", "chappe_session=; other_chappe_session=x", None),
            ("cookie", "chappe_session", None),
            ("cookie", "chappe_session=abc; chappe_session=abc", Some("abc")),
            ("cookie", "chappe_session=abc; chappe_session=def", None),
        ] {
            let request = TestRequest::default().insert_header((name, value)).to_http_request();
            assert_eq!(token(request.headers()), expected, "{name}: {value}");
        }
        for bad in ["abc", "Basic abc", "Bearer"] {
            let request = TestRequest::default().insert_header(("authorization", bad)).to_http_request();
            assert!(bearer(request.headers()).is_err(), "{bad}");
        }
        let offered = TestRequest::default()
            .insert_header(("sec-websocket-protocol", "chappe.v1.json, chappe.bearer.a.b-c_d"))
            .to_http_request();
        assert_eq!(subprotocol(offered.headers()), Some("a.b-c_d"));
    }

    #[test]
    fn a_token_in_an_address_is_refused_and_not_repeated() {
        for query in ["token=hunter2", "a=1&access_token=hunter2", "TOKEN", "x&Jwt=hunter2&y"] {
            let request = TestRequest::with_uri(&format!("/ws?{query}")).to_http_request();
            let reject = refuse_in_query(request.head()).unwrap_err();
            assert!(!reject.message.contains("hunter2"), "{reject}");
        }
        let request = TestRequest::with_uri("/api/chats?after=1&tokens=3").to_http_request();
        assert_eq!(refuse_in_query(request.head()), Ok(()));
    }

    #[test]
    fn all_of_the_api_needs_a_token_but_for_a_short_list() {
        for (method, path, expected) in [
            (Method::GET, "/", Need::None),
            (Method::GET, "/metrics", Need::None),
            (Method::POST, "/api/sessions", Need::None),
            (Method::DELETE, "/api/sessions", Need::Token),
            (Method::GET, "/api/sessions/current", Need::Token),
            (Method::POST, "/api/users", Need::Optional),
            (Method::GET, "/api/users", Need::Token),
            (Method::GET, "/api/limits", Need::None),
            (Method::POST, "/api/limits", Need::Token),
            (Method::GET, "/api/whatever", Need::Token),
        ] {
            assert_eq!(need(&method, path), expected, "{method} {path}");
        }
    }
}
