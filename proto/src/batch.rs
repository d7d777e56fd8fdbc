//! Several statuses in one packet: each is encoded once, and joined for each listener from those that concern it. One is
//! a `Status`, more are a `Presence` that nobody asked for.

use crate::outgoing::{Encoder, Wire};
use crate::packet::{Packet, Presence, StatusNow};
use crate::{format, frame, json};

/// A status as it stands inside a packet, in the formats that are in use.
#[derive(Debug, Default)]
pub struct StatusPart {
    json: Vec<u8>,
    binary: Vec<u8>,
}

impl StatusPart {
    /// Encodes `status` in the formats that have listeners.
    pub fn encode(status: &StatusNow, with_json: bool, with_binary: bool) -> Self {
        let mut part = Self::default();
        if with_json {
            json::encode_part_into(status, &mut part.json);
        }
        if with_binary {
            format::encode_into(status, &mut part.binary);
        }
        part
    }

    /// Its bytes in the format of `wire`; none if that was not encoded.
    fn get(&self, wire: Wire) -> &[u8] {
        if wire.is_json() { &self.json } else { &self.binary }
    }

    /// How many bytes it adds to a packet for `wire`.
    pub fn size(&self, wire: Wire) -> usize {
        self.get(wire).len() + usize::from(wire.is_json())
    }
}

/// Appends one packet with these statuses to `out`, as it leaves on `wire`; nothing if there are none.
pub fn put<'a>(encoder: &mut Encoder, wire: Wire, parts: impl Iterator<Item = &'a StatusPart>, out: &mut Vec<u8>) {
    let parts: Vec<&[u8]> = parts.map(|part| part.get(wire)).filter(|part| !part.is_empty()).collect();
    let mut body = Vec::with_capacity(64 + parts.iter().map(|part| part.len() + 1).sum::<usize>());
    match (parts.as_slice(), wire.is_json()) {
        ([], _) => return,
        ([one], true) => {
            // The part is an object of its own: the type goes in front of its first field.
            body.extend_from_slice(b"{\"packet_type\":\"Status\",");
            body.extend_from_slice(one.strip_prefix(b"{").unwrap_or_default());
        }
        (several, true) => {
            json::encode_into(&NOBODY, None, &mut body);
            body.truncate(body.len() - b"]}".len());
            for (nth, part) in several.iter().enumerate() {
                if nth > 0 {
                    body.push(b',');
                }
                body.extend_from_slice(part);
            }
            body.extend_from_slice(b"]}");
        }
        ([one], false) => {
            body.push(0);
            format::encode_into(&None::<u64>, &mut body);
            format::encode_into(&STATUS_TAG, &mut body);
            body.extend_from_slice(one);
        }
        (several, false) => {
            frame::encode_into(&NOBODY, None, &mut body);
            // The count stands last, as long as there is nobody to count.
            body.truncate(body.len() - size_of::<u64>());
            let count = u64::try_from(several.len()).unwrap_or(u64::MAX);
            format::encode_into(&count, &mut body);
            several.iter().for_each(|part| body.extend_from_slice(part));
        }
    }
    encoder.frame(wire, &body, out);
}

/// What stands around the statuses.
const NOBODY: Packet = Packet::Presence(Presence { users: Vec::new() });
/// The tag of `Status` among the packets.
const STATUS_TAG: u32 = 13;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Millis, UserId};

    fn status(id: u64) -> StatusNow {
        let text = if id.is_multiple_of(2) { "online" } else { "at \"lunch\", back soon \u{2615}" };
        let last_seen = (id != 3).then_some(Millis(1000 + id));
        StatusNow { user_id: UserId::parse(id).unwrap(), status_data: text.into(), last_seen }
    }

    #[test]
    fn joined_parts_are_the_packet_that_would_be_encoded_whole() {
        for wire in Wire::ALL {
            for count in [1u64, 2, 3, 300] {
                let users: Vec<StatusNow> = (1..=count).map(status).collect();
                let parts: Vec<StatusPart> = users.iter().map(|user| StatusPart::encode(user, true, true)).collect();
                let whole = match users.as_slice() {
                    [one] => Packet::Status(one.clone()),
                    _ => Packet::Presence(Presence { users: users.clone() }),
                };
                let mut expected = Vec::new();
                Encoder::default().put(wire, &whole, None, &mut expected);
                let mut joined = Vec::new();
                put(&mut Encoder::default(), wire, parts.iter(), &mut joined);
                assert_eq!(joined, expected, "{wire:?} {count}");
                let size: usize = parts.iter().map(|part| part.size(wire)).sum();
                assert!(joined.len() <= size + 64, "what is around {count} parts is small");
            }
        }
    }

    #[test]
    fn of_nothing_nothing_is_made() {
        let mut out = Vec::new();
        put(&mut Encoder::default(), Wire::WsText, std::iter::empty(), &mut out);
        // Encoded before anybody spoke JSON.
        put(&mut Encoder::default(), Wire::WsText, [StatusPart::encode(&status(1), false, true)].iter(), &mut out);
        assert!(out.is_empty());
    }
}
