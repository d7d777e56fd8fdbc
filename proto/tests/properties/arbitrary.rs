//! Any request, any packet, and bytes that look like a client's. What must hold of them is the tests' question.

use std::sync::Arc;

use chappe_proto::code::{CloseCode, Code};
use chappe_proto::event::*;
use chappe_proto::frame::ClientFrame;
use chappe_proto::ids::MAX_ID;
use chappe_proto::limits::{Limits, Rate};
use chappe_proto::message::{Message, MessageType};
use chappe_proto::packet::{Packet, *};
use chappe_proto::request::{self, Request};
use chappe_proto::signature::{Bytes, Signature};
use chappe_proto::{ChatId, ClientId, MessageId, Millis, Seq, UserId};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;

/// Any text of at most `most` characters, those that need escapes among them.
fn text(most: usize) -> impl Strategy<Value = Box<str>> {
    let odd = select(vec!['"', '\\', '/', '\0', '\n', '\u{1f}', '\u{7f}', '\u{2028}', '{', '}', '[', ']', '😀']);
    vec(prop_oneof![any::<char>(), odd], 0..most).prop_map(|chars| chars.into_iter().collect::<String>().into())
}

fn string() -> impl Strategy<Value = String> {
    text(20).prop_map(String::from)
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![1..=MAX_ID, 1..=300u64, Just(1), Just(MAX_ID)]
}

fn chat() -> impl Strategy<Value = ChatId> {
    number().prop_map(|raw| ChatId::parse(raw).unwrap())
}

fn user() -> impl Strategy<Value = UserId> {
    number().prop_map(|raw| UserId::parse(raw).unwrap())
}

fn message_id() -> impl Strategy<Value = MessageId> {
    number().prop_map(|raw| MessageId::parse(raw).unwrap())
}

fn seq() -> impl Strategy<Value = Seq> {
    prop_oneof![Just(0), number()].prop_map(Seq)
}

fn millis() -> impl Strategy<Value = Millis> {
    any::<u64>().prop_map(Millis)
}

fn client_id() -> impl Strategy<Value = ClientId> {
    text(30).prop_filter_map("1 to 128 bytes", |text| ClientId::parse(text).ok())
}

fn message_type() -> impl Strategy<Value = MessageType> {
    use MessageType::*;
    select(vec![Text, Image, File, System, Data])
}

fn kind() -> impl Strategy<Value = ChatKind> {
    select(vec![ChatKind::Group, ChatKind::Direct, ChatKind::Open])
}

/// Builds a struct from a strategy for each of its fields. Boxed: a tree of all packets by value overflows the stack.
macro_rules! build {
    ($($name:ident)::+ { $($field:ident: $strategy:expr),* $(,)? }) => {
        build!(@nest [$($field),*] [$($strategy),*]).prop_map(|build!(@pattern [$($field),*])| $($name)::+ { $($field),* }).boxed()
    };
    // Nested pairs, since tuples of strategies end at twelve.
    (@nest [$f:ident] [$s:expr]) => { ($s,) };
    (@nest [$f:ident, $($fs:ident),*] [$s:expr, $($ss:expr),*]) => { ($s, build!(@nest [$($fs),*] [$($ss),*])) };
    (@pattern [$f:ident]) => { ($f,) };
    (@pattern [$f:ident, $($fs:ident),*]) => { ($f, build!(@pattern [$($fs),*])) };
}

fn signature() -> impl Strategy<Value = Box<Signature>> {
    (any::<[u8; 32]>(), any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(key, head, tail)| {
        let mut value = [0; 64];
        value[..32].copy_from_slice(&head);
        value[32..].copy_from_slice(&tail);
        Box::new(Signature { key: Bytes(key), value: Bytes(value) })
    })
}

/// A packet that may travel by UDP.
pub(crate) fn beacon() -> impl Strategy<Value = Request> {
    prop_oneof![
        build!(request::Typing { chat_id: chat(), user_id: of(user()), status_data: of(text(20)) })
            .prop_map(Request::Typing),
        build!(request::Status { user_id: of(user()), status_data: text(20) }).prop_map(Request::Status),
        build!(request::Ping { nonce: of(any::<u64>()) }).prop_map(Request::Ping),
    ]
}

pub(crate) fn request() -> impl Strategy<Value = Request> {
    use request::*;
    let message = build!(NewMessage {
        chat_id: chat(),
        sender_id: of(user()),
        content: text(60),
        message_type: message_type(),
        client_id: of(client_id()),
        reply_to: of(message_id()),
        signature: of(signature()),
    });
    prop_oneof![
        build!(Hello {
            version: any::<u32>(),
            token: of(string()),
            user_id: of(user()),
            agent: of(string()),
            heads: any::<bool>(),
            zstd: any::<bool>(),
        })
        .prop_map(Request::Hello),
        message.prop_map(|message| Request::SendMessage(SendMessage { message })),
        build!(EditMessage { message_id: message_id(), content: text(60) }).prop_map(Request::EditMessage),
        build!(DeleteMessage { message_id: message_id() }).prop_map(Request::DeleteMessage),
        build!(React { message_id: message_id(), emoji: text(5), remove: any::<bool>() }).prop_map(Request::React),
        build!(MarkRead { chat_id: chat(), seq: seq() }).prop_map(Request::MarkRead),
        build!(GetChats { after: of(chat()), limit: of(any::<u32>()) }).prop_map(Request::GetChats),
        build!(GetMessages {
            chat_id: chat(),
            page: of(any::<u32>()),
            per_page: of(any::<u32>()),
            before: of(seq()),
            after: of(seq()),
            limit: of(any::<u32>()),
        })
        .prop_map(Request::GetMessages),
        build!(GetEvents { chat_id: chat(), after: seq(), limit: of(any::<u32>()) }).prop_map(Request::GetEvents),
        build!(Subscribe { chat_ids: vec(chat(), 0..5) }).prop_map(Request::Subscribe),
        build!(Unsubscribe { chat_ids: vec(chat(), 0..5) }).prop_map(Request::Unsubscribe),
        build!(GetPresence { user_ids: of(vec(user(), 0..5)), chat_id: of(chat()) }).prop_map(Request::GetPresence),
        beacon(),
    ]
}

pub(crate) fn client_frame() -> impl Strategy<Value = ClientFrame> {
    build!(ClientFrame { request_id: of(any::<u64>()), request: request() })
}

fn message() -> impl Strategy<Value = Arc<Message>> {
    build!(Message {
        id: message_id(),
        chat_id: chat(),
        seq: seq(),
        sender_id: user(),
        content: text(40),
        message_type: message_type(),
        client_id: of(client_id()),
        reply_to: of(message_id()),
        created_at: millis(),
        edited_at: of(millis()),
        deleted: any::<bool>(),
        signature: of(signature()),
    })
    .prop_map(Arc::new)
}

/// A strategy for a struct with the fields all events have, and those of its own.
macro_rules! event {
    ($name:ident { $($field:ident: $strategy:expr),* $(,)? }) => {
        build!($name { chat_id: chat(), seq: seq(), $($field: $strategy),* }).prop_map(Event::$name)
    };
}

pub(crate) fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        message().prop_map(Event::Message),
        event!(MessageEdited {
            message_id: message_id(),
            message_seq: seq(),
            user_id: user(),
            content: text(40),
            edited_at: millis(),
        }),
        event!(MessageDeleted { message_id: message_id(), message_seq: seq(), user_id: user(), at: millis() }),
        event!(Reaction {
            message_id: message_id(),
            message_seq: seq(),
            user_id: user(),
            emoji: text(5),
            removed: any::<bool>(),
            at: millis(),
        }),
        event!(ChatCreated {
            title: text(20),
            kind: kind(),
            created_by: of(user()),
            members: vec(user(), 0..4),
            at: millis(),
        }),
        event!(ChatUpdated { title: text(20), deleted: any::<bool>(), user_id: of(user()), at: millis() }),
        event!(MemberJoined { user_id: user(), role: select(vec![Role::Member, Role::Owner]), at: millis() }),
        event!(MemberLeft { user_id: user(), at: millis() }),
    ]
}

fn status() -> impl Strategy<Value = StatusNow> {
    build!(StatusNow { user_id: user(), status_data: text(20), last_seen: of(millis()) })
}

fn summary() -> impl Strategy<Value = ChatSummary> {
    build!(ChatSummary {
        chat_id: chat(),
        title: text(20),
        kind: kind(),
        created_by: of(user()),
        created_at: millis(),
        members: any::<u32>(),
        seq: seq(),
        read_seq: seq(),
        unread: any::<u64>(),
        last_message: of(message()),
    })
}

fn rate() -> impl Strategy<Value = Rate> {
    any::<[u32; 2]>().prop_map(|[per_sec, burst]| Rate { per_sec, burst })
}

fn limits() -> impl Strategy<Value = Limits> {
    build!(Limits {
        frame_bytes: any::<u32>(),
        content_bytes: any::<u32>(),
        window: any::<u32>(),
        outbox_bytes: any::<u32>(),
        page: any::<u32>(),
        members: any::<u32>(),
        chats: any::<u32>(),
        connection_rate: rate(),
        user_rate: rate(),
        chat_rate: rate(),
    })
}

fn head() -> impl Strategy<Value = Head> {
    build!(Head { chat_id: chat(), seq: seq() })
}

fn udp() -> impl Strategy<Value = Udp> {
    build!(Udp { session: text(32), key: text(43) })
}

pub(crate) fn packet() -> impl Strategy<Value = Packet> {
    let answers = prop_oneof![
        build!(Welcome {
            version: any::<u32>(),
            connection_id: any::<u64>(),
            user_id: user(),
            epoch: any::<u64>(),
            server_time: millis(),
            heartbeat_ms: any::<u32>(),
            limits: limits(),
            expires_at: of(millis()),
            heads: of(vec(head(), 0..4)),
            more_heads: any::<bool>(),
            udp: of(udp()),
            zstd: any::<bool>(),
        })
        .prop_map(|welcome| Packet::Welcome(Box::new(welcome))),
        build!(Ack {
            message_id: any::<u64>(),
            success: any::<bool>(),
            error: of(text(20)),
            code: of(select(Code::ALL)),
            client_id: of(client_id()),
            chat_id: of(chat()),
            seq: of(seq()),
            duplicate: any::<bool>(),
            retry_after_ms: of(any::<u32>()),
        })
        .prop_map(Packet::Ack),
        build!(Messages { chat_id: chat(), messages: vec(message(), 0..3), has_more: any::<bool>() })
            .prop_map(Packet::Messages),
        build!(Events { chat_id: chat(), events: vec(event(), 0..3), head: seq() }).prop_map(Packet::Events),
        build!(Reset { chat_id: chat(), head: seq(), reason: text(20) }).prop_map(Packet::Reset),
        build!(Chats { chats: vec(summary(), 0..3), has_more: any::<bool>() }).prop_map(Packet::Chats),
        build!(Presence { users: vec(status(), 0..3) }).prop_map(Packet::Presence),
        build!(Pong { nonce: of(any::<u64>()), server_time: of(millis()) }).prop_map(Packet::Pong),
        build!(ErrorPacket {
            code: select(Code::ALL),
            error: text(20),
            retryable: any::<bool>(),
            retry_after_ms: of(any::<u32>()),
        })
        .prop_map(Packet::Error),
    ];
    prop_oneof![
        4 => answers,
        2 => event().prop_map(|event| Packet::Event(Arc::new(event))),
        1 => build!(Gap { chat_id: chat(), from: seq(), to: seq() }).prop_map(Packet::Gap),
        1 => build!(Closing { code: select(CloseCode::ALL), reason: text(20), reconnect_after_ms: of(any::<u32>()) })
            .prop_map(Packet::Closing),
        1 => build!(Read { chat_id: chat(), user_id: user(), seq: seq() }).prop_map(Packet::Read),
        1 => build!(TypingNow { chat_id: chat(), user_id: user(), status_data: text(20) }).prop_map(Packet::Typing),
        1 => status().prop_map(Packet::Status),
        1 => millis().prop_map(|expires_at| Packet::Expiring(Expiring { expires_at })),
    ]
}

/// Bytes that reach deeper than random ones: pieces of packets, strung together.
pub(crate) fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let token = select(vec![
        "{",
        "}",
        "[",
        "]",
        "\"",
        "\\",
        ",",
        ":",
        "\n",
        " ",
        "\r\n",
        "1",
        "-1",
        "1e9",
        "null",
        "x",
        "\0",
        "\0\0\0\u{6}",
        "\0\0\0\u{7}\0\0\u{e}\0\0\0\0",
        "{\"packet_type\":\"Ping\"}",
        "{\"packet_type\":",
        "\"SendMessage\"",
        "\"chat_id\":1",
        "\"request_id\":7,",
        "\u{feff}",
        "\u{16}\u{3}\u{1}",
    ]);
    let tokens = vec(token, 0..40).prop_map(|tokens| tokens.concat().into_bytes());
    let mangled = (client_frame(), any::<bool>(), vec((any::<prop::sample::Index>(), any::<u8>()), 0..4));
    let mangled = mangled.prop_map(|(frame, as_json, changes)| {
        let mut bytes = if as_json { Vec::new() } else { vec![0; 4] };
        if as_json {
            chappe_proto::json::encode_request_into(&frame, &mut bytes);
        } else {
            chappe_proto::frame::encode_request_into(&frame, &mut bytes);
            let length = u32::try_from(bytes.len() - 4).unwrap();
            bytes[..4].copy_from_slice(&length.to_be_bytes());
        }
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    });
    let one = prop_oneof![tokens, mangled, vec(any::<u8>(), 0..60)];
    vec(one, 0..4).prop_map(|parts| parts.concat())
}
