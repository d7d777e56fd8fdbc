//! What the benchmarks send: an ordinary message.

use std::sync::Arc;
use std::time::Duration;

use chappe_actors::command::{Command, Post};
use chappe_actors::origin::{Origin, SessionId};
use chappe_proto::event::Event;
use chappe_proto::frame::ClientFrame;
use chappe_proto::message::{Message, MessageType};
use chappe_proto::packet::Packet;
use chappe_proto::request::{NewMessage, Request, SendMessage};
use chappe_proto::{ChatId, ClientId, MessageId, Millis, Seq, UserId};

/// 128 bytes, as people write.
const CONTENT: &str = "shall we meet at the old bridge after work, \"around seven\"?\nI bring the maps and the coffee; Zoë said \
                       she would come, too :)";

pub(crate) fn user(index: u64) -> UserId {
    parsed(UserId::parse(1000 + index))
}

pub(crate) fn chat(id: u64) -> ChatId {
    parsed(ChatId::parse(id))
}

/// Something that is right by how it is written here.
#[expect(clippy::panic, reason = "a benchmark that cannot go on should say so")]
pub(crate) fn parsed<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error:?}"))
}

fn client_id(n: u64) -> ClientId {
    parsed(ClientId::parse(format!("bench-{n:010x}")))
}

/// The client's packet.
pub(crate) fn send(n: u64) -> ClientFrame {
    let message = NewMessage {
        chat_id: chat(2),
        sender_id: Some(user(0)),
        content: CONTENT.into(),
        message_type: MessageType::Text,
        client_id: Some(client_id(n)),
        reply_to: None,
        signature: None,
    };
    Request::SendMessage(SendMessage { message }).into()
}

/// What it asks of the engine.
pub(crate) fn post(chat: ChatId, sender: UserId, n: u64) -> Command {
    let (client_id, reply_to, signature) = (Some(client_id(n)), None, None);
    let (content, message_type) = (CONTENT.into(), MessageType::Text);
    Command::Post(Box::new(Post { chat, sender, content, message_type, client_id, reply_to, signature }))
}

/// What the chat's members get.
pub(crate) fn event(seq: u64) -> Packet {
    Packet::Event(Arc::new(Event::Message(Arc::new(Message {
        id: parsed(MessageId::parse(1_000_000 + seq)),
        chat_id: chat(2),
        seq: Seq(seq),
        sender_id: user(0),
        content: CONTENT.into(),
        message_type: MessageType::Text,
        client_id: Some(client_id(seq)),
        reply_to: None,
        created_at: Millis(1_790_000_000_000),
        edited_at: None,
        deleted: false,
        signature: None,
    }))))
}

/// Request `n` of a connection.
pub(crate) fn origin(slot: u64, n: u64) -> Origin {
    let slot = u32::try_from(slot).unwrap_or(u32::MAX);
    // Two hubs, as on two cores.
    let session = SessionId { hub: u16::from(slot % 2 == 1), slot, generation: 0 };
    Origin { session, ticket: Some(n), request_id: None, weight: 1, arrived: Duration::ZERO }
}
