//! Which HTTP requests are let in: of connections that were, and not too many of one address.

use std::net::IpAddr;
use std::rc::Rc;

use actix_web::HttpRequest;
use chappe_actors::hub;
use chappe_proto::{Code, Reject};

use super::HttpSettings;
use super::peer::Proxies;
use super::problem::Problem;
use crate::transport::HttpConnection;

/// What a proxy says whom it speaks for.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The address that a request is counted for, if it is.
pub(crate) fn client(proxies: &Proxies, request: &HttpRequest) -> Option<IpAddr> {
    let peer = request.peer_addr().map(|peer| peer.ip());
    let forwarded: Vec<&str> =
        request.headers().get_all(FORWARDED_FOR).filter_map(|value| value.to_str().ok()).collect();
    proxies.client(peer, forwarded.into_iter())
}

/// Lets a request in.
///
/// # Errors
/// `rate_limited` or `busy`; the connection ends where it was not let in itself.
pub(crate) fn check(settings: &HttpSettings, request: &HttpRequest) -> Result<(), Problem> {
    let refused = request.conn_data::<Rc<HttpConnection>>().and_then(|connection| connection.refused());
    if let Some(reject) = refused.filter(|reject| !is_watched(reject, request.path())) {
        return Err(Problem::from(reject.clone()).closing());
    }
    hub::ask_from(client(&settings.proxies, request)).map_err(Problem::from)
}

/// Who operates a full server can still see that it is.
fn is_watched(reject: &Reject, path: &str) -> bool {
    reject.code == Code::Busy && (path == "/metrics" || path.starts_with("/health"))
}
