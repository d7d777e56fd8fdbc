//! Addresses to listen on: reading them, and whether other machines can reach them.

use std::net::{SocketAddr, ToSocketAddrs};

use crate::config::value::Misfit;

/// Reads `host:port`; a host name is looked up, and its first IPv4 address is taken if it has one.
pub(crate) fn parse(text: &str) -> Result<SocketAddr, Misfit> {
    let text = text.trim();
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(if text.parse::<u16>().is_ok() {
            Misfit::hint(format!("did you mean 127.0.0.1:{text}?"))
        } else if text.is_empty() || text.eq_ignore_ascii_case("off") {
            Misfit::default()
        } else {
            Misfit::hint("the port is missing")
        });
    };
    if text.contains("//") {
        return Err(Misfit::hint("leave out what makes it a URL"));
    }
    if host.is_empty() {
        return Err(Misfit::hint(format!("did you mean 127.0.0.1:{port}, or 0.0.0.0:{port} for all interfaces?")));
    }
    if port.parse::<u16>().is_err() {
        return Err(Misfit::hint("a port is a number from 0 to 65535; 0 picks a free one"));
    }
    if host.contains(':') && !host.starts_with('[') {
        return Err(Misfit::hint(format!("an IPv6 address needs brackets: [{host}]:{port}")));
    }
    let found: Vec<SocketAddr> =
        text.to_socket_addrs().map_err(|error| Misfit::hint(format!("{host} cannot be resolved: {error}")))?.collect();
    found
        .iter()
        .find(|address| address.is_ipv4())
        .or_else(|| found.first())
        .copied()
        .ok_or_else(|| Misfit::hint(format!("{host} has no address")))
}

/// Reads `host:port` or `off`.
pub(crate) fn parse_or_off(text: &str) -> Result<Option<SocketAddr>, Misfit> {
    if text.trim().eq_ignore_ascii_case("off") { Ok(None) } else { parse(text).map(Some) }
}

/// Whether only programs on this machine can reach the address.
pub(crate) fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// Whether two TCP listeners would get into each other's way.
pub(crate) fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let same_host = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && one.port() != 0 && same_host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port() {
        for (text, expected) in [
            ("127.0.0.1:0", "127.0.0.1:0"),
            (" 0.0.0.0:8080 ", "0.0.0.0:8080"),
            ("[::1]:8080", "[::1]:8080"),
            ("localhost:8080", "127.0.0.1:8080"),
        ] {
            assert_eq!(parse(text), Ok(expected.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_wrong_address_is_told_what_may_be_meant() {
        for (text, hint) in [
            ("8080", "did you mean 127.0.0.1:8080?"),
            (":8080", "did you mean 127.0.0.1:8080, or 0.0.0.0:8080 for all interfaces?"),
            ("localhost", "the port is missing"),
            ("127.0.0.1:http", "a port is a number from 0 to 65535; 0 picks a free one"),
            ("127.0.0.1:65536", "a port is a number from 0 to 65535; 0 picks a free one"),
            ("::1:8080", "an IPv6 address needs brackets: [::1]:8080"),
            ("http://127.0.0.1:8080", "leave out what makes it a URL"),
        ] {
            assert_eq!(parse(text), Err(Misfit::hint(hint)), "{text}");
        }
        assert!(parse("").is_err());
        assert!(parse("off").is_err());
        assert_eq!(parse_or_off("Off"), Ok(None));
    }

    #[test]
    fn loopback_is_seen_in_every_notation() {
        for (text, expected) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("0.0.0.0:1", false),
            ("[::]:1", false),
            ("192.168.0.1:1", false),
            ("[::ffff:10.0.0.1]:1", false),
        ] {
            assert_eq!(is_loopback(text.parse().unwrap()), expected, "{text}");
        }
    }
}
