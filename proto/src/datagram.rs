//! UDP: one packet a datagram, JSON if it starts with `{`, else flags and body.
//!
//! A datagram may be padded, JSON with white space and a binary body with zero bytes: an answer is never larger than
//! what was asked, and a binary `Pong` has a byte more than its `Ping`.

use crate::code::{Code, Reject};
use crate::frame::{self, ClientFrame, Refused};
use crate::ids::Millis;
use crate::json;
use crate::limits::DATAGRAM_BYTES;
use crate::packet::{Packet, Pong};
use crate::request::{Ping, Request};

/// Reads one datagram.
///
/// # Errors
/// [`Refused`], which nobody is told: a datagram that is wrong is dropped and counted.
pub fn decode(datagram: &[u8]) -> Result<ClientFrame, Refused> {
    if datagram.len() > DATAGRAM_BYTES {
        return Err(Reject::new(Code::TooLarge, format!("a datagram has at most {DATAGRAM_BYTES} bytes")).into());
    }
    let text = datagram.trim_ascii();
    let frame = if text.first() == Some(&b'{') { json::decode(text)? } else { frame::decode_padded(datagram)? };
    let rule = frame.request.rule();
    if rule.datagram {
        Ok(frame)
    } else {
        let reject = Reject::new(Code::UnknownPacket, format!("{} does not travel by UDP", rule.name));
        Err(Refused { request_id: frame.request_id, rule: Some(rule), reject })
    }
}

/// Writes the answer to a `Ping` into `out`, in the encoding it came in and never larger than it.
///
/// The nonce goes in before the clock, and the `request_id` before both; what does not fit is left out. Returns `false`,
/// and writes nothing, if not even the bare `Pong` fits.
pub fn pong(asked: &[u8], request_id: Option<u64>, ping: &Ping, now: Millis, out: &mut Vec<u8>) -> bool {
    let as_json = asked.trim_ascii_start().first() == Some(&b'{');
    let shrinking = [
        (request_id, ping.nonce, Some(now)),
        (request_id, ping.nonce, None),
        (request_id, None, None),
        (None, None, None),
    ];
    for (request_id, nonce, server_time) in shrinking {
        out.clear();
        let packet = Packet::Pong(Pong { nonce, server_time });
        if as_json {
            json::encode_into(&packet, request_id, out);
        } else {
            frame::encode_into(&packet, request_id, out);
        }
        if out.len() <= asked.len() {
            return true;
        }
    }
    out.clear();
    false
}

/// Writes a request as a datagram.
pub fn encode_request_into(request: Request, as_json: bool, out: &mut Vec<u8>) {
    let frame = ClientFrame::from(request);
    if as_json { json::encode_request_into(&frame, out) } else { frame::encode_request_into(&frame, out) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pong_is_never_larger_than_its_ping() {
        let mut out = Vec::new();
        let bare = br#"{"packet_type":"Ping"}"#;
        assert!(pong(bare, None, &Ping::default(), Millis(1_763_000_000_000), &mut out));
        assert_eq!(out, br#"{"packet_type":"Pong"}"#);
        let mut asked = Vec::new();
        encode_request_into(Request::Ping(Ping::default()), false, &mut asked);
        assert!(!pong(&asked, None, &Ping::default(), Millis(0), &mut out));
        assert!(out.is_empty());
    }

    #[test]
    fn a_padded_ping_leaves_room_for_the_nonce_and_the_clock() {
        let ping = Ping { nonce: Some(7) };
        for (as_json, padding) in [(true, b' '), (false, 0)] {
            let mut asked = Vec::new();
            encode_request_into(Request::Ping(ping.clone()), as_json, &mut asked);
            asked.resize(asked.len() + 40, padding);
            assert_eq!(decode(&asked).unwrap().request, Request::Ping(ping.clone()));
            let mut out = Vec::new();
            assert!(pong(&asked, None, &ping, Millis(9), &mut out));
            let (_, packet) =
                if as_json { json::decode_packet(&out).unwrap() } else { frame::decode_packet(&out).unwrap() };
            assert_eq!(packet, Packet::Pong(Pong { nonce: Some(7), server_time: Some(Millis(9)) }));
            *asked.last_mut().unwrap() = b'x';
            assert!(decode(&asked).is_err());
        }
    }

    #[test]
    fn only_three_packets_travel_by_udp() {
        assert!(decode(br#"{"packet_type":"GetChats"}"#).is_err());
        assert!(decode(b"").is_err());
        assert!(decode(&[b'{'; 1201]).is_err());
        assert!(decode(b"{\"packet_type\":\"Status\",\"user_id\":1,\"status_data\":\"online\"}\n").is_ok());
    }
}
