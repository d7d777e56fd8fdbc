//! What the engine may answer to each command.

use std::sync::Arc;

use chappe_actors::command::Command;
use chappe_actors::reply::{Accepted, Reply};
use chappe_proto::event::Event;
use chappe_proto::limits::Limits;
use chappe_proto::message::{Message, MessageType};
use chappe_proto::packet::{self, Welcome};
use chappe_proto::{Code, MessageId, Millis, Reject, Seq, UserId, page};

use super::chat;

/// A message of so many bytes, as the chat's event of this number.
pub(super) fn event(seq: u64, size: usize) -> Event {
    Event::Message(Arc::new(message(seq, size)))
}

fn message(seq: u64, size: usize) -> Message {
    Message {
        id: MessageId::parse(seq.max(1)).unwrap_or_else(|error| panic!("{error}")),
        chat_id: chat(),
        seq: Seq(seq),
        sender_id: UserId::parse(9).unwrap_or_else(|error| panic!("{error}")),
        content: "x".repeat(size).into(),
        message_type: MessageType::Text,
        client_id: None,
        reply_to: None,
        created_at: Millis(1_790_000_000_000),
        edited_at: None,
        deleted: false,
        signature: None,
    }
}

/// One of the answers that fit `command`.
pub(super) fn fitting(command: &Command, how: u8) -> Reply {
    if matches!(command, Command::Typing { .. } | Command::Status { .. } | Command::Bye) {
        return Reply::Quiet;
    }
    let client_id = command.client_id().cloned();
    if how % 4 == 3 {
        let code = Code::ALL[usize::from(how / 4) % Code::ALL.len()];
        return Reply::Rejected { reject: Reject::plain(code), client_id };
    }
    let size = usize::from(how) * 16;
    match command {
        Command::Hello { user, .. } if how % 4 != 2 => welcome(*user),
        Command::Hello { .. } => Reply::TurnedAway(Reject::plain(Code::RateLimited)),
        Command::GetMessages { .. } => {
            let page = packet::Messages { chat_id: chat(), messages: vec![message(1, size).into()], has_more: true };
            Reply::Messages(page::Messages::from(page))
        }
        Command::GetEvents { .. } if how % 4 == 2 => {
            Reply::Reset(packet::Reset { chat_id: chat(), head: Seq(0), reason: "of another log".into() })
        }
        Command::GetEvents { .. } => {
            let page = packet::Events { chat_id: chat(), events: vec![event(1, size)], head: Seq(1) };
            Reply::Events(page::Events::from(page))
        }
        Command::GetChats { .. } => Reply::Chats(packet::Chats { chats: Vec::new(), has_more: false }),
        Command::GetPresence { .. } => Reply::Presence(packet::Presence { users: Vec::new() }),
        Command::Subscribe { .. } | Command::Unsubscribe { .. } => Reply::Done,
        _ => Reply::Accepted(Box::new(Accepted {
            chat: chat(),
            seq: Seq(1),
            message_id: MessageId::parse(1).ok(),
            client_id,
            duplicate: how % 4 == 2,
            message: None,
        })),
    }
}

fn welcome(user_id: UserId) -> Reply {
    Reply::Welcome(Box::new(Welcome {
        version: 1,
        connection_id: 1,
        user_id,
        epoch: 1,
        server_time: Millis(1_790_000_000_000),
        heartbeat_ms: 25_000,
        limits: Limits::default(),
        expires_at: None,
        heads: None,
        more_heads: false,
        udp: None,
        zstd: false,
    }))
}
