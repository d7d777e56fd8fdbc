//! Whose word about an address is believed.

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
        ("::ffff:10.0.0.1", "10.0.0.1", "10.0.0.2"),
        ("::ffff:10.0.0.0/104", "10.255.0.1", "11.0.0.1"),
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
