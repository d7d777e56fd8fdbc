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
        if bits > size {
            return Err(bad());
        }
        // IPv4 as IPv6 writes it, which is how it is compared.
        match (address.to_canonical(), bits.checked_sub(96)) {
            (IpAddr::V4(v4), Some(bits)) if address.is_ipv6() => Ok(Self { address: v4.into(), bits }),
            _ => Ok(Self { address, bits }),
        }
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
#[path = "peer_tests.rs"]
mod tests;
