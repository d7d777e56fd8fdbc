//! Datagrams: plain, and sealed. Nothing is answered by more than was asked, and only what was sealed is believed.

use chappe_actors::udp_session::{UdpKeys, UdpSessions, Unbelieved};
use chappe_proto::frame::ClientFrame;
use chappe_proto::limits::DATAGRAM_BYTES;
use chappe_proto::request::Request;
use chappe_proto::sealed::{OVERHEAD, Seal, Secret, Session, Side};
use chappe_proto::{Millis, UserId, datagram};

use crate::bodies::is_read_well;
use crate::corpus;
use crate::throws::Throws;

const NOW: Millis = Millis(1_790_000_000_000);

pub(crate) fn datagram(bytes: &[u8]) {
    let read = datagram::decode(bytes);
    if let Ok(ClientFrame { request_id, request }) = &read {
        assert!(bytes.len() <= DATAGRAM_BYTES && request.rule().datagram, "{request:?} in {} bytes", bytes.len());
        if let Request::Ping(ping) = request {
            let mut out = Vec::new();
            let answered = datagram::pong(bytes, *request_id, ping, NOW, &mut out);
            assert_eq!(answered, !out.is_empty());
            assert!(out.len() <= bytes.len(), "{} bytes answer {}", out.len(), bytes.len());
        }
    }
    is_read_well(read);
}

/// Sealed with these bytes in it, and these bytes as they are.
pub(crate) fn sealed(bytes: &[u8]) {
    const RANDOM: [u8; 32] = [7; 32];
    let mut throws = Throws::of(bytes);
    let session = UserId::parse(7).ok().map(|user| Session::new(user, u32::MAX, [1, 2, 3, 4], 1 + throws.next() / 2));
    let Some((session, seal)) = session.and_then(|session| Some((session, Secret::new(&RANDOM).seal(session)?))) else {
        return;
    };
    let mut sessions = UdpSessions::new(UdpKeys::new(&RANDOM));
    let mut open = |datagram: &[u8]| {
        let mut datagram = datagram.to_vec();
        let believed = sessions.open(&mut datagram, NOW, |_| false);
        believed.map(|believed| (believed.user, believed.datagram.to_vec()))
    };
    assert!(open(bytes).is_err(), "nobody sealed this");
    let counter = throws.next();
    let mut sealed = Vec::new();
    if !seal.seal(Side::Client, counter, bytes, &mut sealed) {
        assert!(bytes.len() + OVERHEAD > DATAGRAM_BYTES && sealed.is_empty());
        return;
    }
    let mut harmed = sealed.clone();
    let bit = throws.below(8 * harmed.len());
    harmed[bit / 8] ^= 1 << (bit % 8);
    assert!(open(&harmed).is_err(), "bit {bit} was changed");
    assert!(open(&sealed[..throws.below(sealed.len())]).is_err(), "cut short");
    assert_eq!(open(&from_the_server(&seal, counter, bytes)), Err(Unbelieved::Forged), "the server's own words");
    let whose = session.user().map(|user| (user, bytes.to_vec()));
    assert_eq!(open(&sealed).ok(), whose, "what was sealed is believed");
    assert_eq!(open(&sealed), Err(Unbelieved::Replayed), "once");
}

fn from_the_server(seal: &Seal, counter: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    seal.seal(Side::Server, counter, bytes, &mut out);
    out
}

pub(crate) fn datagrams() -> Vec<Vec<u8>> {
    let mut seeds = corpus::column("pings.json", "asked");
    seeds.extend(corpus::column("requests.json", "json"));
    seeds.extend(corpus::column("requests.json", "body"));
    seeds.extend(corpus::column("refused.json", "input"));
    seeds.extend(corpus::column("sealed.json", "sealed"));
    seeds
}
