//! JSON packets of chappe, as the load writes and reads them: posts, messages, acks.

use memchr::memmem;

use super::text::{number_behind, put_number};
use super::{Found, Seat};
use crate::trouble::Trouble;

const MESSAGE: &[u8] = br#"{"packet_type":"Message","#;
const CONTENT: &[u8] = br#""content":""#;

/// Appends a post, with a name of its own as every client gives it.
pub(super) fn put_post(seat: &Seat, channel: u64, number: u32, payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(br#"{"packet_type":"SendMessage","request_id":"#);
    put_number(number.into(), out);
    out.extend_from_slice(br#","message":{"chat_id":"#);
    put_number(channel, out);
    out.extend_from_slice(br#","sender_id":"#);
    put_number(seat.user, out);
    out.extend_from_slice(br#","content":""#);
    out.extend_from_slice(payload);
    out.extend_from_slice(br#"","client_id":""#);
    put_number(number.into(), out);
    out.extend_from_slice(br#""}}"#);
}

/// What the packet from `from` to `to` is.
pub(super) fn read(bytes: &[u8], from: usize, to: usize, size: usize) -> Result<Option<Found>, Trouble> {
    let body = &bytes[from..to];
    if body.starts_with(MESSAGE) {
        let at = memmem::find(body, CONTENT).ok_or_else(|| Trouble::answer(body))? + CONTENT.len();
        let end = at + size;
        // A content of another length is no payload that was sent.
        let end = if body.get(end) == Some(&b'"') { end } else { at };
        return Ok(Some(Found::Delivery(from + at, from + end)));
    }
    let is = |name: &str| body.starts_with(format!(r#"{{"packet_type":"{name}""#).as_bytes());
    if is("Ack") {
        let number = number_behind(body, br#""request_id":"#).and_then(|number| u32::try_from(number).ok());
        let place = number_behind(body, br#""seq":"#).filter(|_| memmem::find(body, br#""success":true"#).is_some());
        let place = place.ok_or_else(|| Trouble::answer(body))?;
        return Ok(Some(Found::Ack { number, place }));
    }
    if is("Error") || is("Closing") { Err(Trouble::answer(body)) } else { Ok(None) }
}

/// Whether a packet is the answer to `Hello`.
pub(super) fn is_welcome(body: &[u8]) -> bool {
    body.starts_with(br#"{"packet_type":"Welcome""#)
}
