//! From where a request came: its address, and whether the way was encrypted. Only trusted proxies are believed.

use std::net::IpAddr;

use actix_web::{HttpRequest, web};

use super::peer::Proxies;
use super::{HttpSettings, admission};

/// The address of whoever sent the request: whom a trusted proxy speaks for, else the socket's. `None` for what comes
/// straight from a trusted proxy: it may be anybody's, and no one stands in for all.
pub(super) fn address(request: &HttpRequest) -> Option<IpAddr> {
    with_proxies(request, |proxies| admission::client(proxies, request))
}

/// Whether the browser's connection was encrypted: ours, or that to the proxy in front of us.
pub(super) fn is_secure(request: &HttpRequest) -> bool {
    let by_proxy = || {
        let trusted = |peer: std::net::SocketAddr| with_proxies(request, |proxies| proxies.trusts(peer.ip()));
        request.peer_addr().is_some_and(trusted)
            && last(request, "x-forwarded-proto").is_some_and(|scheme| scheme.eq_ignore_ascii_case("https"))
    };
    let by_us = request.app_data::<web::Data<HttpSettings>>().is_some_and(|settings| settings.tls);
    by_us || by_proxy()
}

/// The last entry of a header that each proxy on the way appends to.
fn last<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers().get_all(name).last()?.to_str().ok()?.rsplit(',').next().map(str::trim)
}

fn with_proxies<T>(request: &HttpRequest, work: impl FnOnce(&Proxies) -> T) -> T {
    match request.app_data::<web::Data<HttpSettings>>() {
        Some(settings) => work(&settings.proxies),
        None => work(&Proxies::default()),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_proxy_on_this_machine_is_believed_and_nobody_else() {
        for (peer, forwarded, proto, expected, secure) in [
            ("127.0.0.1:1", Some("1.2.3.4, 10.0.0.7"), Some("https"), "10.0.0.7", true),
            ("127.0.0.1:1", None, None, "", false),
            ("127.0.0.1:1", Some("nonsense"), Some("http"), "", false),
            ("[::1]:1", Some("2001:db8::1"), Some("http, HTTPS"), "2001:db8::1", true),
            ("10.0.0.9:1", Some("10.0.0.7"), Some("https"), "10.0.0.9", false),
        ] {
            let mut request = TestRequest::default().peer_addr(peer.parse().unwrap());
            for (name, value) in [("x-forwarded-for", forwarded), ("x-forwarded-proto", proto)] {
                if let Some(value) = value {
                    request = request.insert_header((name, value));
                }
            }
            let request = request.to_http_request();
            assert_eq!(address(&request), expected.parse().ok(), "{peer} {forwarded:?}");
            assert_eq!(is_secure(&request), secure, "{peer} {proto:?}");
        }
    }

    #[test]
    fn what_a_client_writes_in_front_does_not_hide_what_its_proxy_adds() {
        for (forwarded, expected) in [
            (&b"\xc3\xa9, 10.0.0.7"[..], Some("10.0.0.7")),
            (b"\xff, 10.0.0.7", Some("10.0.0.7")),
            (b"1.2.3.4 \xc3\xa9, 10.0.0.7, 127.0.0.1", Some("10.0.0.7")),
            (b"10.0.0.7, \xff", None),
        ] {
            let value = HeaderValue::from_bytes(forwarded).unwrap();
            let request = TestRequest::default().peer_addr("127.0.0.1:1".parse().unwrap());
            let request = request.insert_header(("x-forwarded-for", value)).to_http_request();
            assert_eq!(address(&request), expected.map(|text| text.parse().unwrap()), "{forwarded:?}");
        }
    }
}
