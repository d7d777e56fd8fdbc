//! Which HTTP requests are let in: of connections that were, and not too many of one address.

use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;

use actix_web::HttpRequest;
use actix_web::http::header::HeaderValue;
use chappe_actors::hub;
use chappe_proto::{Code, Reject};

use super::HttpSettings;
use super::peer::Proxies;
use super::problem::Problem;
use crate::transport::HttpConnection;

/// What a proxy says whom it speaks for.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The address that a request is counted for, if it is.
pub(crate) fn client<'a>(proxies: &Proxies, request: &'a HttpRequest) -> Option<IpAddr> {
    let peer = request.peer_addr().map(|peer| peer.ip());
    // What is no text is the client's; the address that the proxy added stands behind it all the same.
    let text = |value: &'a HeaderValue| String::from_utf8_lossy(value.as_bytes());
    let forwarded: Vec<Cow<'a, str>> = request.headers().get_all(FORWARDED_FOR).map(text).collect();
    proxies.client(peer, forwarded.iter().map(AsRef::as_ref))
}

/// Lets a request in.
///
/// # Errors
/// `rate_limited` or `busy`, and the connection ends.
pub(crate) fn check(settings: &HttpSettings, request: &HttpRequest) -> Result<(), Problem> {
    check_connection(request)?;
    if is_probe(request.path()) {
        return Ok(());
    }
    // Else requests on a connection that stays would be refused as fast as they come, at the expense of all others.
    hub::ask_from(client(&settings.proxies, request)).map_err(|reject| Problem::from(reject).closing())
}

/// Lets a request in that does not count for itself.
///
/// # Errors
/// `busy`, and the connection ends.
pub(crate) fn check_connection(request: &HttpRequest) -> Result<(), Problem> {
    let refused = request.conn_data::<Rc<HttpConnection>>().and_then(|connection| connection.refused());
    if let Some(reject) = refused.filter(|reject| !is_watched(reject, request.path())) {
        return Err(Problem::from(reject.clone()).closing());
    }
    Ok(())
}

/// Who operates a full server can still see that it is.
fn is_watched(reject: &Reject, path: &str) -> bool {
    reject.code == Code::Busy && (path == "/metrics" || path.starts_with("/health"))
}

/// Whoever decides over restarts may share an address with clients that ask too fast, and takes a refusal for a dead
/// server. These answers cost no more than the refusal would.
fn is_probe(path: &str) -> bool {
    matches!(path, "/health/live" | "/health/ready")
}
