//! Whose address a request comes from, behind proxies. Pure.
//!
//! A proxy that the operator trusts says whom it speaks for in `X-Forwarded-For`; what anybody else writes there is
//! nothing. Each proxy adds the address it was reached from at the end, so the client is the last one that is no proxy.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// An address, or a network of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    /// How many bits all of its addresses share.
    bits: u8,
}

/// A text that names no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an address such as 192.0.2.7 nor a network such as 10.0.0.0/8")]
pub struct BadNetwork(String);

impl Network {
    fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => same(own.to_bits().into(), other.to_bits().into(), self.bits, 32),
            (IpAddr::V6(own), IpAddr::V6(other)) => same(own.to_bits(), other.to_bits(), self.bits, 128),
            _ => false,
        }
    }
}

/// Whether two numbers of `size` bits have the same first `bits`.
fn same(one: u128, other: u128, bits: u8, size: u32) -> bool {
    (one ^ other).checked_shr(size.saturating_sub(bits.into())).unwrap_or(0) == 0
}

impl FromStr for Network {
    type Err = BadNetwork;

    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        let bad = || BadNetwork(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| bad())?)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| bad())?;
        let size = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(size);
        if bits > size { Err(bad()) } else { Ok(Self { address, bits }) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.address, self.bits) {
            (IpAddr::V4(address), 32) => address.fmt(f),
            (IpAddr::V6(address), 128) => address.fmt(f),
            (address, bits) => write!(f, "{address}/{bits}"),
        }
    }
}

/// The proxies that are trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxies(pub Vec<Network>);

/// Those on this machine.
impl Default for Proxies {
    fn default() -> Self {
        let v4 = Network { address: Ipv4Addr::new(127, 0, 0, 0).into(), bits: 8 };
        Self(vec![v4, Network { address: Ipv6Addr::LOCALHOST.into(), bits: 128 }])
    }
}

impl Proxies {
    /// Whether `address` is one of them.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.holds(address))
    }

    /// The address that a connection is counted for which comes from `peer`; none for a proxy, which speaks for many.
    pub fn direct(&self, peer: Option<IpAddr>) -> Option<IpAddr> {
        peer.filter(|peer| !self.trusts(*peer))
    }

    /// The address that a request is counted for, which comes from `peer` with these values of `X-Forwarded-For`, the
    /// first one first. None where a proxy does not say.
    pub fn client<'a>(
        &self,
        peer: Option<IpAddr>,
        forwarded: impl DoubleEndedIterator<Item = &'a str>,
    ) -> Option<IpAddr> {
        if !self.trusts(peer?) {
            return peer;
        }
        let mut named = forwarded.rev().flat_map(|value| value.rsplit(','));
        // What is no address was written by nobody that is trusted, nor is what stands before it.
        named.by_ref().map_while(address).find(|address| !self.trusts(*address))
    }
}

/// Reads `192.0.2.7`, `192.0.2.7:1234`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:1234`.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn proxies(all: &[&str]) -> Proxies {
        Proxies(all.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[test]
    fn a_network_holds_what_begins_like_it() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("192.0.2.128/25", "192.0.2.255", "192.0.2.127"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
            ("::1", "::1", "::2"),
            ("127.0.0.0/8", "::ffff:127.0.0.1", "::1"),
        ] {
            let network: Network = network.parse().unwrap();
            assert!(network.holds(ip(inside)), "{network} {inside}");
            assert!(!network.holds(ip(outside)), "{network} {outside}");
            assert_eq!(network.to_string().parse(), Ok(network));
        }
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0", "10.0.0.0/", "10.0.0.0/-1", "proxy.example"] {
            assert_eq!(text.parse::<Network>(), Err(BadNetwork(text.to_owned())));
        }
    }

    #[test]
    fn only_a_trusted_proxy_says_whom_it_speaks_for() {
        let ours = proxies(&["127.0.0.0/8", "10.0.0.0/8"]);
        for (peer, forwarded, expected) in [
            ("203.0.113.9", &[][..], Some("203.0.113.9")),
            ("203.0.113.9", &["198.51.100.1"], Some("203.0.113.9")),
            ("127.0.0.1", &[], None),
            ("127.0.0.1", &["198.51.100.1"], Some("198.51.100.1")),
            ("127.0.0.1", &["198.51.100.1:4711"], Some("198.51.100.1")),
            ("127.0.0.1", &["2001:db8::1"], Some("2001:db8::1")),
            ("127.0.0.1", &["[2001:db8::1]:4711"], Some("2001:db8::1")),
            // What the client itself wrote stands in front.
            ("127.0.0.1", &["192.0.2.1, 198.51.100.1"], Some("198.51.100.1")),
            ("127.0.0.1", &["192.0.2.1", "198.51.100.1, 10.0.0.7"], Some("198.51.100.1")),
            ("127.0.0.1", &["10.0.0.8, 10.0.0.7"], None),
            ("127.0.0.1", &["198.51.100.1, nonsense"], None),
            ("127.0.0.1", &["198.51.100.1, nonsense, 10.0.0.7"], None),
            ("127.0.0.1", &[""], None),
        ] {
            let client = ours.client(Some(ip(peer)), forwarded.iter().copied());
            assert_eq!(client, expected.map(ip), "{peer} {forwarded:?}");
        }
        assert_eq!(ours.direct(Some(ip("127.0.0.1"))), None);
        assert_eq!(ours.direct(Some(ip("203.0.113.9"))), Some(ip("203.0.113.9")));
        assert_eq!(proxies(&[]).direct(Some(ip("127.0.0.1"))), Some(ip("127.0.0.1")));
    }
}
