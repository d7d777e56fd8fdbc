//! Messages as JSON, written by hand: byte for byte what `serde_json` makes of them, in a fraction of its time. A message
//! is what nearly all of the JSON that leaves is.

use crate::json;
use crate::message::MessageType;
use crate::packed::MessageView;

/// Appends a posted message as the event it is.
pub(crate) fn posted(view: &MessageView<'_>, out: &mut Vec<u8>) {
    put(b"{\"packet_type\":\"Message\",\"chat_id\":", out);
    number(view.chat_id.get(), out);
    put(b",\"seq\":", out);
    number(view.seq.0, out);
    put(b",\"message\":", out);
    message(view, out);
    out.push(b'}');
}

pub(crate) fn message(view: &MessageView<'_>, out: &mut Vec<u8>) {
    put(b"{\"id\":", out);
    number(view.id.get(), out);
    put(b",\"chat_id\":", out);
    number(view.chat_id.get(), out);
    put(b",\"seq\":", out);
    number(view.seq.0, out);
    put(b",\"sender_id\":", out);
    number(view.sender_id.get(), out);
    put(b",\"content\":", out);
    string(view.content, out);
    put(
        match view.message_type {
            MessageType::Text => b",\"message_type\":\"Text\"",
            MessageType::Image => b",\"message_type\":\"Image\"",
            MessageType::File => b",\"message_type\":\"File\"",
            MessageType::System => b",\"message_type\":\"System\"",
            MessageType::Data => b",\"message_type\":\"Data\"",
        },
        out,
    );
    if let Some(id) = view.client_id {
        put(b",\"client_id\":", out);
        string(id, out);
    }
    if let Some(answered) = view.reply_to {
        put(b",\"reply_to\":", out);
        number(answered.get(), out);
    }
    put(b",\"created_at\":", out);
    number(view.created_at.0, out);
    if let Some(at) = view.edited_at {
        put(b",\"edited_at\":", out);
        number(at.0, out);
    }
    if view.deleted {
        put(b",\"deleted\":true", out);
    }
    if let Some(signature) = &view.signature {
        put(b",\"signature\":", out);
        json::encode_part_into(signature, out);
    }
    out.push(b'}');
}

pub(crate) fn put(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(bytes);
}

pub(crate) fn number(number: u64, out: &mut Vec<u8>) {
    put(itoa::Buffer::new().format(number).as_bytes(), out);
}

/// A JSON string, escaped where the standard wants it and nowhere else.
fn string(mut text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    loop {
        let (plain, rest) = text.split_at(plain_bytes(text));
        put(plain, out);
        let Some((&byte, rest)) = rest.split_first() else { break };
        match byte {
            b'"' => put(b"\\\"", out),
            b'\\' => put(b"\\\\", out),
            0x08 => put(b"\\b", out),
            b'\t' => put(b"\\t", out),
            b'\n' => put(b"\\n", out),
            0x0c => put(b"\\f", out),
            b'\r' => put(b"\\r", out),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                put(b"\\u00", out);
                out.extend([byte >> 4, byte & 15].map(|digit| HEX[usize::from(digit)]));
            }
        }
        text = rest;
    }
    out.push(b'"');
}

/// How many bytes there are before the first that needs an escape.
fn plain_bytes(text: &[u8]) -> usize {
    let escaped = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    // Sixteen at a time and without a branch for each: the compiler makes one comparison of vectors of it.
    let whole = text.chunks_exact(16).take_while(|chunk| !chunk.iter().fold(false, |any, byte| any | escaped(*byte)));
    let plain = whole.count() * 16;
    plain + text[plain..].iter().position(|byte| escaped(*byte)).unwrap_or(text.len() - plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_escaped_as_serde_does_wherever_it_stands() {
        for code in 0..=0x2ffu32 {
            let odd = char::from_u32(code).unwrap();
            for before in 0..40 {
                let text = format!("{}{odd}{}{odd}", "x".repeat(before), "y".repeat(20));
                let mut out = Vec::new();
                string(text.as_bytes(), &mut out);
                assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&text).unwrap());
            }
        }
    }
}
