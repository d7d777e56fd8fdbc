//! Tests of sealed datagrams: whatever is touched, nothing opens. `vectors/sealed.json` has the bytes for other languages.

use serde::Deserialize;

use super::*;

const PING: &[u8] = br#"{"packet_type":"Ping","nonce":7}"#;

fn session(number: u64) -> Session {
    Session::new(UserId::parse(42).unwrap(), 1_763_003_600, [1, 2, 3, 4], number)
}

fn seal() -> Seal {
    Secret::new(&[7; 32]).seal(session(1)).unwrap()
}

fn sealed(side: Side, counter: u64, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(seal().seal(side, counter, plain, &mut out));
    out
}

#[test]
fn what_a_client_seals_the_server_opens_and_the_other_way_round() {
    let secret = Secret::new(&[7; 32]);
    let client = Seal::from_told(&secret.told(session(1)).unwrap()).unwrap();
    for (side, from, to) in [(Side::Client, &client, &seal()), (Side::Server, &seal(), &client)] {
        for counter in [0, 1, u64::MAX] {
            for plain in [&[][..], PING, &[0; DATAGRAM_BYTES - OVERHEAD]] {
                let mut out = Vec::new();
                assert!(from.seal(side, counter, plain, &mut out));
                assert_eq!((out.len(), out[0]), (plain.len() + OVERHEAD, MARK));
                let opened = Session::of(&out).unwrap();
                assert_eq!((opened.user(), opened.number()), (UserId::parse(42).ok(), 1));
                assert_eq!((opened.expires_at_s(), opened.token()), (1_763_003_600, [1, 2, 3, 4]));
                assert_eq!(to.open(side, &mut out), Some((counter, &mut plain.to_vec()[..])));
            }
        }
    }
}

#[test]
fn a_flipped_bit_anywhere_opens_nothing() {
    let whole = sealed(Side::Client, 5, PING);
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut touched = whole.clone();
            touched[at] ^= 1 << bit;
            // As the server does it: the key follows from the session that the datagram names.
            let opened = Session::of(&touched)
                .and_then(|session| Secret::new(&[7; 32]).seal(session))
                .is_some_and(|seal| seal.open(Side::Client, &mut touched).is_some());
            assert!(!opened, "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn nothing_opens_with_another_key_direction_or_length() {
    let whole = sealed(Side::Client, 5, PING);
    assert!(seal().open(Side::Server, &mut whole.clone()).is_none(), "sent back to where it came from");
    let other = Secret::new(&[8; 32]).seal(session(1)).unwrap();
    assert!(other.open(Side::Client, &mut whole.clone()).is_none(), "the server was started again");
    let next = Secret::new(&[7; 32]).seal(session(2)).unwrap();
    assert!(next.open(Side::Client, &mut whole.clone()).is_none(), "another session");
    for length in 0..whole.len() {
        assert!(seal().open(Side::Client, &mut whole[..length].to_vec()).is_none(), "{length} bytes");
    }
    let longer = [&whole[..], &[0]].concat();
    assert!(seal().open(Side::Client, &mut longer.clone()).is_none());
    assert!(!seal().seal(Side::Client, 1, &[0; DATAGRAM_BYTES - OVERHEAD + 1], &mut Vec::new()), "too long");
}

#[test]
fn a_sealed_datagram_is_never_taken_for_an_ordinary_one() {
    assert!(crate::datagram::decode(&sealed(Side::Client, 0, PING)).is_err());
    assert!(Session::of(PING).is_none());
}

#[derive(Deserialize)]
struct Vector {
    session: String,
    key: String,
    side: String,
    counter: u64,
    plain: String,
    sealed: String,
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn the_vectors_hold() {
    let vectors: Vec<Vector> = serde_json::from_str(include_str!("../vectors/sealed.json")).unwrap();
    assert!(vectors.len() >= 4);
    for Vector { session, key, side, counter, plain, sealed } in vectors {
        let seal = Seal::from_told(&Udp { session: session.into(), key: key.into() }).unwrap();
        let side = if side == "client" { Side::Client } else { Side::Server };
        let mut out = Vec::new();
        assert!(seal.seal(side, counter, &hex(&plain), &mut out));
        assert_eq!(out, hex(&sealed), "{side:?} {counter}");
        assert_eq!(seal.open(side, &mut out), Some((counter, &mut hex(&plain)[..])));
    }
}
