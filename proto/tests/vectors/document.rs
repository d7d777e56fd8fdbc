//! Holds PROTOCOL.md against the crate: every packet with its tag and fields, every code with its meaning.

use crate::files::{Compressed, PacketVector, Signing, load, unhex};
use chappe_proto::code::{CloseCode, Code};
use chappe_proto::commands::RULES;
use chappe_proto::ids::ClientId;
use chappe_proto::limits::{self, Limits, Rate};

const DOCUMENT: &str = include_str!("../../PROTOCOL.md");

/// The part of the document between the headings `from` and `to`.
fn part(from: &str, to: &str) -> &'static str {
    let from = format!("\n## {from}\n");
    let start = DOCUMENT.find(&from).unwrap_or_else(|| panic!("there is no heading {from}"));
    let end = DOCUMENT.find(&format!("\n## {to}\n")).unwrap_or_else(|| panic!("there is no heading {to}"));
    &DOCUMENT[start..end]
}

/// The section under a heading of that name, up to the next heading of any depth.
fn section(part: &'static str, name: &str) -> &'static str {
    let heading = format!("# {name}\n");
    let start = part.find(&heading).unwrap_or_else(|| panic!("{name} has no section")) + heading.len();
    let end = part[start..].find("\n#").map_or(part.len(), |end| start + end);
    &part[start..end]
}

/// Sees that `section` begins with the tag, and names every field that stands in `packet`.
fn check(section: &str, name: &str, tag: &str, packet: &serde_json::Value) {
    assert!(section.starts_with(&format!("{tag}.")), "{name} does not begin with {tag}");
    check_fields(section, name, packet);
}

fn check_fields(section: &str, name: &str, value: &serde_json::Value) {
    for field in value.as_object().unwrap().keys().filter(|field| !["packet_type", "request_id"].contains(&&***field)) {
        assert!(section.contains(&format!("`{field}`")), "{name} does not describe `{field}`");
    }
}

#[test]
fn every_packet_is_described_with_its_tag_and_fields() {
    let requests = part("From client to server", "From server to client");
    let answers = part("From server to client", "Acks and retries");
    for file in ["requests.json", "packets.json", "events.json"] {
        for vector in load::<Vec<PacketVector>>(file) {
            let packet: serde_json::Value = serde_json::from_str(&vector.json).unwrap();
            let name = packet["packet_type"].as_str().unwrap();
            let body = unhex(&vector.body);
            let at = if body[1] == 0 { 2 } else { 10 };
            let (part, tag) = match file {
                "requests.json" => (requests, format!("Tag {}", body[at])),
                "packets.json" => (answers, format!("Tag {}", body[at])),
                _ => (answers, format!("Event tag {}", body[at + 4])),
            };
            check(section(part, name), name, &tag, &packet);
            if let Some(message) = packet.get("message") {
                let described = if file == "requests.json" { section(part, name) } else { section(part, "A message") };
                check_fields(described, name, message);
            }
            for nested in ["/heads/0", "/udp"].iter().filter_map(|pointer| packet.pointer(pointer)) {
                check_fields(section(part, name), name, nested);
            }
            if let Some(signature) = packet.pointer("/message/signature") {
                check_fields(self::part("Signatures", "Presence and typing"), name, signature);
            }
        }
    }
    for rule in RULES {
        let section = section(requests, rule.name);
        assert_eq!(section.contains("Also by UDP"), rule.datagram, "{}", rule.name);
        assert_eq!(section.contains("Takes 128 of the"), rule.weight == 128, "{}", rule.name);
    }
}

#[test]
fn every_code_is_described_as_the_crate_explains_it() {
    for (tag, code) in Code::ALL.iter().enumerate() {
        let (about, retry) = (code.explain(), if code.retryable() { "yes" } else { "no" });
        let row = format!(
            "\n| `{code}` | {tag} | {} | {retry} | {} | {} |\n",
            code.http_status(),
            about.meaning,
            about.client
        );
        assert!(DOCUMENT.contains(&row), "missing: {row}");
    }
    for code in CloseCode::ALL {
        let about = code.explain();
        let row = format!("\n| {} | `{}` | {} | {} |\n", code.number(), about.name, about.meaning, about.client);
        assert!(DOCUMENT.contains(&row), "missing: {row}");
    }
}

#[test]
fn the_worked_examples_are_those_of_the_vectors() {
    let without_spaces = DOCUMENT.replace(' ', "");
    let signing = load::<Vec<Signing>>("signatures.json").remove(0);
    let compressed = load::<Vec<Compressed>>("compressed.json");
    let compressed = compressed.iter().find(|row| row.name == "a frame that does not tell its size").unwrap();
    let [key, value] = [signing.signature.key.to_string(), signing.signature.value.to_string()];
    for example in [signing.signed, key, value, compressed.body.clone()] {
        assert!(without_spaces.contains(&example), "missing: {example}");
    }
}

/// As it stands in the document: 65,536.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(|group| String::from_utf8_lossy(group)).collect();
    groups.join(",")
}

#[test]
fn every_limit_stands_as_it_is() {
    let limits = part("Windows and limits", "Gaps and recovery");
    let Limits {
        frame_bytes,
        content_bytes,
        window,
        outbox_bytes,
        page,
        members,
        chats,
        connection_rate,
        user_rate,
        chat_rate,
    } = Limits::default();
    for (name, default) in [
        ("frame_bytes", frame_bytes),
        ("content_bytes", content_bytes),
        ("window", window),
        ("outbox_bytes", outbox_bytes),
        ("page", page),
        ("members", members),
        ("chats", chats),
    ] {
        let row = format!("\n| `{name}` | `u32` | {} |", grouped(usize::try_from(default).unwrap()));
        assert!(limits.contains(&row), "missing: {row}");
    }
    for (name, Rate { per_sec, burst }) in
        [("connection_rate", connection_rate), ("user_rate", user_rate), ("chat_rate", chat_rate)]
    {
        let [per_sec, burst] = [per_sec, burst].map(|number| grouped(usize::try_from(number).unwrap()));
        let row = format!("\n| `{name}` | rate | {per_sec}, {burst} |");
        assert!(limits.contains(&row), "missing: {row}");
    }
    for field in ["per_sec", "burst"] {
        assert!(limits.contains(&format!("\n| `{field}` | `u32` |")), "a rate's {field} is not described");
    }
    let heads = format!("at most {}", grouped(limits::MAX_HEADS));
    assert!(section(part("From server to client", "Acks and retries"), "Welcome").contains(&heads), "{heads}");
    let compressed = format!("at least {} bytes", limits::COMPRESSED_BYTES);
    assert!(part("Encodings", "A connection").contains(&compressed), "missing: {compressed}");
    let status = limits::MAX_STATUS_BYTES;
    assert_eq!((status, status), (limits::MAX_NICKNAME_BYTES, limits::MAX_EMOJI_BYTES));
    let fixed = format!(
        "a datagram has at most {} bytes; a list names at most {} ids; a title has at most {} bytes, a nickname, a status \
         and an emoji at most {status}, a `client_id` {}; JSON nests at most {} deep.",
        grouped(limits::DATAGRAM_BYTES),
        grouped(limits::MAX_LIST),
        limits::MAX_TITLE_BYTES,
        ClientId::MAX_BYTES,
        limits::JSON_DEPTH
    );
    assert!(limits.replace('\n', " ").contains(&fixed), "missing: {fixed}");
    let pages = format!("Pages reach {} messages back", grouped(usize::try_from(limits::MAX_PAGE_DEPTH).unwrap()));
    let document = DOCUMENT.replace('\n', " ");
    assert!(document.contains(&pages), "missing: {pages}");
    assert_eq!(
        document
            .matches(&format!(
                "at least 1, and more than {most} counts as {most}; {} if absent",
                limits::DEFAULT_PAGE,
                most = limits::MAX_PAGE
            ))
            .count(),
        4,
        "every page size"
    );
}
