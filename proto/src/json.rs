//! JSON packets: from text to a request, from a packet to text.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::code::{Code, Reject};
use crate::commands::Rule;
use crate::event::Event;
use crate::json_writer;
use crate::limits::JSON_DEPTH;
use crate::packed::MessageView;
use crate::packet::Packet;
use crate::received::{ClientFrame, Refused};
use crate::request::Request;

/// What is read first: enough to know which packet it is and whom to answer.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    packet_type: std::borrow::Cow<'a, str>,
    #[serde(default)]
    request_id: Option<u64>,
}

/// Reads one JSON packet. Unknown fields are ignored; a field that stands twice is an error.
///
/// # Errors
/// [`Refused`] with `malformed`, `too_deep`, `unknown_packet` or `invalid_field`; the packet's `request_id` is in it
/// where it could be read.
pub fn decode(text: &[u8]) -> Result<ClientFrame, Refused> {
    // serde_json looks at the UTF-8 of the strings it keeps, not of those it passes over.
    let text = std::str::from_utf8(text).map_err(|error| Reject::new(Code::Malformed, error.to_string()))?;
    if text.bytes().find(|byte| !byte.is_ascii_whitespace()) != Some(b'{') {
        return Err(Reject::new(Code::Malformed, "a packet is a JSON object").into());
    }
    if is_deeper_than(text.as_bytes(), JSON_DEPTH) {
        return Err(Reject::new(Code::TooDeep, format!("JSON may be nested {JSON_DEPTH} deep")).into());
    }
    let head: Head<'_> = serde_json::from_str(text).map_err(|error| {
        let code = if error.is_data() { Code::InvalidField } else { Code::Malformed };
        Refused::from(Reject::new(code, error.to_string()))
    })?;
    let Some(rule) = Rule::named(&head.packet_type) else {
        let name: String = head.packet_type.chars().take(40).collect();
        let reject = Reject::new(Code::UnknownPacket, format!("there is no packet_type {name:?}"));
        return Err(Refused { request_id: head.request_id, rule: None, reject });
    };
    match body(rule, text) {
        Ok(request) => Ok(ClientFrame { request_id: head.request_id, request }),
        Err(error) => {
            let reject = Reject::new(Code::InvalidField, format!("{}: {error}", rule.name));
            Err(Refused { request_id: head.request_id, rule: Some(rule), reject })
        }
    }
}

/// Reads the fields of the packet that `rule` names.
///
/// Not through serde's internally tagged enum: that one copies every packet into a tree first.
fn body(rule: &Rule, text: &str) -> Result<Request, serde_json::Error> {
    fn read<T: DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
        serde_json::from_str(text)
    }
    Ok(match rule.name {
        "Hello" => Request::Hello(read(text)?),
        "SendMessage" => Request::SendMessage(read(text)?),
        "EditMessage" => Request::EditMessage(read(text)?),
        "DeleteMessage" => Request::DeleteMessage(read(text)?),
        "React" => Request::React(read(text)?),
        "MarkRead" => Request::MarkRead(read(text)?),
        "GetChats" => Request::GetChats(read(text)?),
        "GetMessages" => Request::GetMessages(read(text)?),
        "GetEvents" => Request::GetEvents(read(text)?),
        "Subscribe" => Request::Subscribe(read(text)?),
        "Unsubscribe" => Request::Unsubscribe(read(text)?),
        "Typing" => Request::Typing(read(text)?),
        "Status" => Request::Status(read(text)?),
        "GetPresence" => Request::GetPresence(read(text)?),
        // The table's last row; a test holds the two lists against each other.
        _ => Request::Ping(read(text)?),
    })
}

/// Whether `text` nests deeper than `limit`. Counts brackets outside strings, whatever else is wrong with the text.
pub fn is_deeper_than(text: &[u8], limit: u32) -> bool {
    let mut depth = 0u32;
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'\\' => drop(bytes.next()),
                        b'"' => break,
                        _ => {}
                    }
                }
            }
            b'{' | b'[' => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// Appends `packet` as one JSON object, with the `request_id` it answers.
pub fn encode_into(packet: &Packet, request_id: Option<u64>, out: &mut Vec<u8>) {
    match packet {
        Packet::Event(event) if request_id.is_none() => encode_event_into(event, out),
        _ => write_tagged(packet, request_id, out),
    }
}

/// Appends an event as the packet it is.
pub(crate) fn encode_event_into(event: &Event, out: &mut Vec<u8>) {
    match event {
        Event::Message(message) => json_writer::posted(&MessageView::from(&**message), out),
        other => write_tagged(other, None, out),
    }
}

/// Appends a value that stands inside a packet.
pub(crate) fn encode_part_into(value: &impl serde::Serialize, out: &mut Vec<u8>) {
    write_tagged(value, None, out);
}

/// Appends a client's packet as one JSON object.
pub fn encode_request_into(frame: &ClientFrame, out: &mut Vec<u8>) {
    write_tagged(&frame.request, frame.request_id, out);
}

fn write_tagged(value: &impl serde::Serialize, request_id: Option<u64>, out: &mut Vec<u8>) {
    // Writing to a `Vec` cannot fail, and none of our types has a map with keys that are not strings.
    let _ = serde_json::to_writer(&mut *out, value);
    if let Some(id) = request_id
        && out.pop_if(|byte| *byte == b'}').is_some()
    {
        out.extend_from_slice(b",\"request_id\":");
        out.extend_from_slice(id.to_string().as_bytes());
        out.push(b'}');
    }
}

/// A packet as a client reads it, with the `request_id` it answers.
///
/// # Errors
/// `serde_json`'s, if the text is not such a packet.
pub fn decode_packet(text: &[u8]) -> Result<(Option<u64>, Packet), serde_json::Error> {
    #[derive(Deserialize)]
    struct Id {
        #[serde(default)]
        request_id: Option<u64>,
    }
    let Id { request_id } = serde_json::from_slice(text)?;
    Ok((request_id, serde_json::from_slice(text)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Code {
        decode(text.as_bytes()).unwrap_err().reject.code
    }

    #[test]
    fn what_is_wrong_is_told_apart() {
        let deep = format!("{{\"packet_type\":\"Ping\",\"x\":{}{}}}", "[".repeat(40), "]".repeat(40));
        for (text, expected) in [
            ("{", Code::Malformed),
            ("[]", Code::Malformed),
            ("", Code::Malformed),
            ("{\"packet_type\":\"Ping\"} {}", Code::Malformed),
            ("{\"packet_type\":\"Pi\u{0}ng\"}", Code::Malformed),
            ("{}", Code::InvalidField),
            ("{\"packet_type\":7}", Code::InvalidField),
            ("{\"packet_type\":\"Nope\"}", Code::UnknownPacket),
            ("{\"packet_type\":\"SendMessage\"}", Code::InvalidField),
            ("{\"packet_type\":\"MarkRead\",\"chat_id\":-1,\"seq\":1}", Code::InvalidField),
            ("{\"packet_type\":\"MarkRead\",\"chat_id\":1,\"chat_id\":2,\"seq\":1}", Code::InvalidField),
            (&deep, Code::TooDeep),
        ] {
            assert_eq!(code(text), expected, "{text}");
        }
        for broken_utf8 in [
            &b"{\"packet_type\":\"P\xff\"}"[..],
            b"{\"packet_type\":\"Status\",\"status_data\":\"\xff\"}",
            b"{\"packet_type\":\"Ping\",\"unknown\":\"\xff\"}",
        ] {
            assert_eq!(decode(broken_utf8).unwrap_err().reject.code, Code::Malformed);
        }
    }

    #[test]
    fn a_refused_packet_keeps_its_request_id() {
        let refused = decode(br#"{"packet_type":"SendMessage","request_id":7,"message":{}}"#).unwrap_err();
        assert_eq!(refused.request_id, Some(7));
        assert_eq!(refused.rule.map(|rule| rule.name), Some("SendMessage"));
    }

    #[test]
    fn every_rule_names_a_packet_that_reads_as_itself() {
        let all = r#""chat_id":1,"message_id":1,"content":"x","emoji":"x","seq":1,"after":0,"chat_ids":[1],
            "status_data":"x","message":{"chat_id":1,"content":"x"}"#;
        for (kind, rule) in crate::commands::RULES.iter().enumerate() {
            let fields = if rule.name == "GetChats" { "" } else { all };
            let comma = if fields.is_empty() { "" } else { "," };
            let text = format!("{{\"packet_type\":\"{}\"{comma}{fields}}}", rule.name);
            let frame = decode(text.as_bytes()).unwrap_or_else(|refused| panic!("{}: {refused:?}", rule.name));
            assert_eq!(frame.request.kind(), kind, "{}", rule.name);
        }
    }

    #[test]
    fn the_packets_of_the_first_clients_still_read() {
        // Every optional field may be there as null, and unknown fields are passed over.
        let text = r#"{"packet_type":"SendMessage","message":{"id":null,"chat_id":1,"sender_id":1,"content":"Hello!",
            "message_type":"Text","created_at":null,"client_id":null},"chat_id":null,"page":null,"user_id":null}"#;
        assert!(matches!(decode(text.as_bytes()).unwrap().request, Request::SendMessage(_)));
        let text = r#"{"packet_type":"Status","message":null,"user_id":1,"status_data":"online"}"#;
        assert!(matches!(decode(text.as_bytes()).unwrap().request, Request::Status(_)));
    }
}
