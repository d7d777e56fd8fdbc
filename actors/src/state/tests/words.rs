//! Replies and events in a few words, so that a test reads as a sentence.

use chappe_proto::event::Event;
use chappe_proto::packed::MessageView;
use chappe_proto::packet::{ChatSummary, Packet, StatusNow};
use chappe_proto::{ChatId, MessageId, UserId};

use super::world::World;
use crate::command::Command;
use crate::origin::Origin;
use crate::reply::Reply;

const NAMES: [&str; 6] = ["ann", "bob", "cat", "dan", "eve", "fox"];

pub(crate) fn user(name: &str) -> UserId {
    let index = NAMES.iter().position(|other| *other == name).unwrap();
    UserId::parse(index as u64 + 1).unwrap()
}

pub(super) fn name(user: UserId) -> String {
    let index = usize::try_from(user.get()).unwrap() - 1;
    NAMES.get(index).map_or_else(|| user.to_string(), |name| (*name).to_owned())
}

pub(crate) fn message(id: u64) -> MessageId {
    MessageId::parse(id).unwrap()
}

impl World {
    pub(super) fn in_words(&self, to: Origin, reply: &Reply) -> String {
        let who = name(UserId::parse(to.session.slot.into()).unwrap());
        let title = |chat: ChatId| self.titles.get(&chat).cloned().unwrap_or_else(|| chat.to_string());
        let what = match reply {
            Reply::Accepted(accepted) => {
                let again = if accepted.duplicate { " again" } else { "" };
                format!("ok {}#{}{again}", title(accepted.chat), accepted.seq)
            }
            Reply::Rejected { reject, .. } => format!("refused {}", reject.code),
            Reply::Done => "done".to_owned(),
            Reply::Quiet => "quiet".to_owned(),
            Reply::Welcome(_) => "welcome".to_owned(),
            Reply::Reset(reset) => format!("reset {}", reset.head),
            Reply::Chats(chats) => {
                let one = |chat: &ChatSummary| format!("{}+{}", chat.title, chat.unread);
                chats.chats.iter().map(one).collect::<Vec<_>>().join(" ")
            }
            Reply::Messages(page) => {
                let more = if page.has_more { " more" } else { "" };
                let one = |message: MessageView<'_>| String::from_utf8_lossy(message.content).into_owned();
                format!("{}{more}", page.messages.messages().map(one).collect::<Vec<_>>().join(" "))
            }
            Reply::Events(events) => {
                events.events.events().map(|event| in_words(&event)).collect::<Vec<_>>().join(", ")
            }
            Reply::User(user) => format!("{} with key {:?}", user.nickname, user.public_key.map(|key| key.0[0])),
            Reply::Presence(presence) => {
                let one = |status: &StatusNow| format!("{} {}", name(status.user_id), status.status_data);
                presence.users.iter().map(one).collect::<Vec<_>>().join(", ")
            }
            other => format!("{other:?}"),
        };
        format!("{who}: {what}")
    }
}

pub(super) fn in_words(event: &Event) -> String {
    let what = match event {
        Event::Message(message) if message.deleted => "gone".to_owned(),
        Event::Message(message) => message.content.to_string(),
        Event::MessageEdited(edited) => format!("edited {} {}", edited.message_seq, edited.content),
        Event::MessageDeleted(deleted) => format!("deleted {}", deleted.message_seq),
        Event::Reaction(reaction) => format!("reacted {} {}", reaction.message_seq, reaction.emoji),
        Event::ChatCreated(_) => "created".to_owned(),
        Event::ChatUpdated(updated) if updated.deleted => "chat deleted".to_owned(),
        Event::ChatUpdated(updated) => format!("titled {}", updated.title),
        Event::MemberJoined(joined) => format!("joined {}", name(joined.user_id)),
        Event::MemberLeft(left) => format!("left {}", name(left.user_id)),
    };
    format!("#{} {what}", event.seq())
}

pub(super) fn status(status: &StatusNow) -> String {
    format!("status {} {}", name(status.user_id), status.status_data)
}

pub(super) fn ephemeral(packet: &Packet) -> String {
    match packet {
        Packet::Typing(typing) => format!("typing {} {}", name(typing.user_id), typing.status_data),
        Packet::Read(read) => format!("read {} {}", name(read.user_id), read.seq),
        other => format!("{other:?}"),
    }
}

/// Says who a connection is.
pub(crate) fn hello(user: UserId) -> Command {
    Command::Hello { user, nickname: None, heads: false }
}
