//! A client's frame, and the body of a binary one: a byte of flags, then JSON or the binary format.

use crate::code::{Code, Reject};
use crate::commands::RULES;
use crate::compression::Expander;
use crate::format::{self, FormatError};
use crate::json;
use crate::packet::Packet;
use crate::page::Body;
pub use crate::received::{ClientFrame, Refused};
use crate::request::Request;

/// Flag: the body is JSON instead of the binary format.
pub const FLAG_JSON: u8 = 1;
/// Flag: the body is compressed with zstd. Only where both sides agreed on it.
pub const FLAG_ZSTD: u8 = 2;

/// Reads flags and body: a binary TCP frame after its length, a binary WebSocket frame, or a binary datagram.
///
/// # Errors
/// [`Refused`] with `malformed`, `unknown_packet`, `invalid_field` or `too_deep`.
pub fn decode(frame: &[u8]) -> Result<ClientFrame, Refused> {
    let Some((&flags, body)) = frame.split_first() else {
        return Err(Reject::new(Code::Malformed, "the frame is empty").into());
    };
    match flags {
        0 => decode_binary(body, false),
        FLAG_JSON => json::decode(body),
        _ if flags & !FLAG_JSON == FLAG_ZSTD => {
            Err(Reject::new(Code::Malformed, "compression was not agreed on in this connection").into())
        }
        _ => Err(Reject::new(Code::Malformed, format!("unknown flags {flags:#04x}")).into()),
    }
}

/// As [`decode`], on a connection whose frames may be compressed: flags and body have at most `frame_bytes` before and
/// after it.
///
/// # Errors
/// As [`decode`], or `too_large`.
pub fn decode_expanding(frame: &[u8], expander: &mut Expander, frame_bytes: usize) -> Result<ClientFrame, Refused> {
    match frame.split_first() {
        Some((&flags, packed)) if flags & !FLAG_JSON == FLAG_ZSTD => {
            let body = expander.expand(packed, frame_bytes.saturating_sub(1))?;
            if flags & FLAG_JSON == 0 { decode_binary(body, false) } else { json::decode(body) }
        }
        _ => decode(frame),
    }
}

/// Reads flags and body of a binary datagram, which zero bytes behind a binary body may pad, so that there is room for
/// its answer.
///
/// # Errors
/// As [`decode`].
pub fn decode_padded(frame: &[u8]) -> Result<ClientFrame, Refused> {
    match frame.split_first() {
        Some((0, body)) => decode_binary(body, true),
        _ => decode(frame),
    }
}

fn decode_binary(body: &[u8], padded: bool) -> Result<ClientFrame, Refused> {
    let malformed = |error: FormatError| Refused::from(Reject::new(Code::Malformed, error.to_string()));
    let (request_id, used) = format::decode_untrusted_prefix::<Option<u64>>(body).map_err(malformed)?;
    let body = &body[used..];
    let tag = format::decode_untrusted_prefix::<u32>(body).map_err(malformed)?.0;
    let Some(rule) = usize::try_from(tag).ok().and_then(|tag| RULES.get(tag)) else {
        let reject = Reject::new(Code::UnknownPacket, format!("there is no packet with the tag {tag}"));
        return Err(Refused { request_id, rule: None, reject });
    };
    let request = format::decode_untrusted_prefix::<Request>(body).and_then(|(request, used)| {
        let rest = &body[used..];
        let is_padding = padded && rest.iter().all(|byte| *byte == 0);
        if rest.is_empty() || is_padding { Ok(request) } else { Err(FormatError::Trailing(rest.len())) }
    });
    match request {
        Ok(request) => Ok(ClientFrame { request_id, request }),
        Err(error) => {
            let code = if error.is_bad_value() { Code::InvalidField } else { Code::Malformed };
            let reject = Reject::new(code, format!("{}: {error}", rule.name));
            Err(Refused { request_id, rule: Some(rule), reject })
        }
    }
}

/// Appends flags and body of a client's frame in the binary format.
pub fn encode_request_into(frame: &ClientFrame, out: &mut Vec<u8>) {
    out.push(0);
    format::encode_into(&frame.request_id, out);
    format::encode_into(&frame.request, out);
}

/// Appends flags and body of a server's packet in the binary format.
pub fn encode_into(packet: &impl Body, request_id: Option<u64>, out: &mut Vec<u8>) {
    out.push(0);
    format::encode_into(&request_id, out);
    packet.binary(out);
}

/// As [`decode_packet`], for a client that asked for compressed frames.
///
/// # Errors
/// A sentence, if the bytes are not such a packet.
pub fn decode_packet_expanding(frame: &[u8], expander: &mut Expander) -> Result<(Option<u64>, Packet), String> {
    decode_known_packet(frame, expander)?.ok_or_else(|| "a tag names nothing that is known".to_owned())
}

/// As [`decode_packet_expanding`]; `None` for a binary packet of a kind that is newer than this crate.
///
/// # Errors
/// A sentence, if the bytes are not a packet.
pub fn decode_known_packet(frame: &[u8], expander: &mut Expander) -> Result<Option<(Option<u64>, Packet)>, String> {
    let body = match frame.split_first() {
        Some((&FLAG_ZSTD, packed)) => {
            expander.expand(packed, format::MAX_BODY_BYTES).map_err(|reject| reject.to_string())?
        }
        Some((0, body)) => body,
        _ => return decode_packet(frame).map(Some),
    };
    let tag = format::decode_prefix::<(Option<u64>, u32)>(body).map_err(|error| error.to_string())?.0.1;
    if tag < Packet::KINDS { decode_packet_body(body).map(Some) } else { Ok(None) }
}

/// Reads flags and body of a server's packet, as a client does.
///
/// # Errors
/// A sentence, if the bytes are not such a packet.
pub fn decode_packet(frame: &[u8]) -> Result<(Option<u64>, Packet), String> {
    match frame.split_first() {
        Some((0, body)) => decode_packet_body(body),
        Some((&FLAG_JSON, body)) => json::decode_packet(body).map_err(|error| error.to_string()),
        _ => Err("unknown flags".to_owned()),
    }
}

fn decode_packet_body(body: &[u8]) -> Result<(Option<u64>, Packet), String> {
    let (request_id, used) = format::decode_prefix::<Option<u64>>(body).map_err(|error| error.to_string())?;
    let packet = format::decode::<Packet>(&body[used..]).map_err(|error| error.to_string())?;
    Ok((request_id, packet))
}
