//! One record as one line of JSON, and back. A line is the event as the protocol has it, behind its position in the log.
//! Nothing is lost either way: a line that says more than is understood is refused.

use chappe_actors::log::record::{Draft, Entry, Fact, Place, Position, Record};
use chappe_actors::log::rules::Broken;
use chappe_proto::event::Event;
use chappe_proto::message::Message;
use chappe_proto::signature::PublicKey;
use chappe_proto::{ChatId, Millis, Seq, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The form of lines that this version writes and reads.
pub const VERSION: u32 = 1;

/// The first and the last line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "packet_type", deny_unknown_fields)]
pub enum Mark {
    /// The first: which records follow.
    Export {
        /// See [`VERSION`].
        version: u32,
        /// Those behind this position.
        after: u64,
        /// Only those of this chat.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        chat_id: Option<ChatId>,
    },
    /// The last: there was no more at this position.
    ExportEnd {
        /// The last of the log when the export began.
        position: u64,
    },
}

impl Mark {
    /// The line, with its end.
    pub fn line(&self) -> String {
        // Numbers and fixed names can always be written.
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// Reads the line, if it is one of these.
    pub fn read(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

/// Records that are no chat's events. `Read` is what the protocol sends, with what is kept besides.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "packet_type")]
enum Beside {
    UserCreated { user_id: UserId, nickname: Box<str>, at: Millis },
    Read { chat_id: ChatId, user_id: UserId, seq: Seq, count: u64, at: Millis },
    KeyRegistered { user_id: UserId, key: Option<PublicKey>, at: Millis },
    Trimmed { chat_id: ChatId, up_to: Seq, messages: u64, at: Millis },
    UserErased { user_id: UserId, at: Millis },
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLine {
    /// It is no JSON object.
    #[error("it is not JSON: {0}")]
    NotJson(String),
    /// It is none of the events.
    #[error("{0}")]
    BadEvent(String),
    /// It says what would be lost.
    #[error("it says more than is understood, or the same twice; it would be kept as {0}")]
    LeftOver(String),
    /// It is not the first line of a whole export.
    #[error("{0}")]
    BadHeader(String),
    /// Records are missing, or it comes too early.
    #[error("position {expected} was expected, and {found} came")]
    OutOfOrder {
        /// The position that comes next.
        expected: u64,
        /// The one in the line.
        found: u64,
    },
    /// The chat's numbers have a gap, or the chat has another id than it would get.
    #[error("the chat's next number was expected: {0}")]
    WrongNumber(String),
    /// It is about a chat or a message that no line before it made.
    #[error("{0} is not known at this place")]
    Unknown(String),
    /// What stands before it says otherwise.
    #[error("{0}")]
    Disagrees(String),
    /// The log has something else at this position, from an earlier import.
    #[error("an earlier import put another record at position {0}: import into a new folder")]
    Differs(u64),
    /// It is longer than any record.
    #[error("it has more than {0} bytes")]
    TooLong(u64),
    /// The file ends in it, or before its last line.
    #[error("the file ends before its end: export again, into the same file")]
    CutShort,
    /// Something follows the last line.
    #[error("it stands behind the last line")]
    BehindTheEnd,
}

impl BadLine {
    /// A name for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotJson(_) => "not_json",
            Self::BadEvent(_) => "bad_event",
            Self::LeftOver(_) => "left_over",
            Self::BadHeader(_) => "bad_header",
            Self::OutOfOrder { .. } => "out_of_order",
            Self::WrongNumber(_) => "wrong_number",
            Self::Unknown(_) => "unknown",
            Self::Disagrees(_) => "disagrees",
            Self::Differs(_) => "differs",
            Self::TooLong(_) => "too_long",
            Self::CutShort => "cut_short",
            Self::BehindTheEnd => "behind_the_end",
        }
    }
}

impl From<Broken> for BadLine {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Unknown(what) => Self::Unknown(what),
            Broken::Disagrees(how) => Self::Disagrees(how),
        }
    }
}

/// Appends the line of a record, with its end. `false` for what has no form in JSON.
pub fn write(record: Record, out: &mut Vec<u8>) -> bool {
    let position = record.position.0;
    let text = match beside(&record.entry) {
        Some(beside) => serde_json::to_string(&beside).ok(),
        None => record.into_event().and_then(|event| serde_json::to_string(&event).ok()),
    };
    let Some(rest) = text.as_deref().and_then(|text| text.strip_prefix('{')) else { return false };
    out.extend_from_slice(format!("{{\"position\":{position},{rest}\n").as_bytes());
    true
}

fn beside(Entry { at, fact, .. }: &Entry) -> Option<Beside> {
    let at = *at;
    Some(match fact {
        Fact::UserCreated { user, nickname } => Beside::UserCreated { user_id: *user, nickname: nickname.clone(), at },
        Fact::ReadMarked { chat, user, seq, count } => {
            Beside::Read { chat_id: *chat, user_id: *user, seq: *seq, count: *count, at }
        }
        Fact::KeyRegistered { user, key } => Beside::KeyRegistered { user_id: *user, key: *key, at },
        Fact::Trimmed { chat, up_to, messages } => {
            Beside::Trimmed { chat_id: *chat, up_to: *up_to, messages: *messages, at }
        }
        Fact::UserErased { user } => Beside::UserErased { user_id: *user, at },
        _ => return None,
    })
}

/// Reads a line, without its end.
///
/// # Errors
/// [`BadLine`]: `NotJson`, `BadEvent`, `LeftOver` or `WrongNumber`.
pub fn read(line: &[u8]) -> Result<Record, BadLine> {
    let mut fields: Map<String, Value> =
        serde_json::from_slice(line).map_err(|error| BadLine::NotJson(error.to_string()))?;
    let position = fields.remove("position").and_then(|position| position.as_u64());
    let position = position.ok_or_else(|| BadLine::BadEvent("it has no position".to_owned()))?;
    let fields = Value::Object(fields);
    let entry = match fields["packet_type"].as_str() {
        Some("UserCreated" | "Read" | "KeyRegistered" | "Trimmed" | "UserErased") => of_beside(whole(&fields)?),
        Some(_) => of_event(whole(&fields)?, position)?,
        None => return Err(BadLine::BadEvent("it has no packet_type".to_owned())),
    };
    Ok(Record { position: Position(position), entry })
}

/// Reads a value that says all that is in `fields`.
fn whole<T: Serialize + for<'a> Deserialize<'a>>(fields: &Value) -> Result<T, BadLine> {
    let value = T::deserialize(fields).map_err(|error| BadLine::BadEvent(error.to_string()))?;
    let kept = serde_json::to_value(&value).map_err(|error| BadLine::BadEvent(error.to_string()))?;
    if kept == *fields { Ok(value) } else { Err(BadLine::LeftOver(kept.to_string())) }
}

fn of_beside(beside: Beside) -> Entry {
    let (at, fact) = match beside {
        Beside::UserCreated { user_id: user, nickname, at } => (at, Fact::UserCreated { user, nickname }),
        Beside::Read { chat_id: chat, user_id: user, seq, count, at } => {
            (at, Fact::ReadMarked { chat, user, seq, count })
        }
        Beside::KeyRegistered { user_id: user, key, at } => (at, Fact::KeyRegistered { user, key }),
        Beside::Trimmed { chat_id: chat, up_to, messages, at } => (at, Fact::Trimmed { chat, up_to, messages }),
        Beside::UserErased { user_id: user, at } => (at, Fact::UserErased { user }),
    };
    Entry { at, numbered: None, fact }
}

fn of_event(event: Event, position: u64) -> Result<Entry, BadLine> {
    let numbered = Some((event.chat_id(), event.seq()));
    let (at, fact) = match event {
        Event::Message(message) => posted((*message).clone(), position)?,
        Event::MessageEdited(edit) => {
            let (message, message_seq, by) = (edit.message_id, edit.message_seq, edit.user_id);
            (edit.edited_at, Fact::MessageEdited { message, message_seq, content: edit.content, by })
        }
        Event::MessageDeleted(deletion) => {
            let (message, message_seq, by) = (deletion.message_id, deletion.message_seq, deletion.user_id);
            (deletion.at, Fact::MessageDeleted { message, message_seq, by })
        }
        Event::Reaction(reaction) => {
            let (message, message_seq, user) = (reaction.message_id, reaction.message_seq, reaction.user_id);
            let (emoji, removed) = (reaction.emoji, reaction.removed);
            (reaction.at, Fact::Reacted { message, message_seq, user, emoji, removed })
        }
        Event::ChatCreated(chat) => {
            let (title, kind, by, members) = (chat.title, chat.kind, chat.created_by, chat.members);
            (chat.at, Fact::ChatCreated { title, kind, by, members })
        }
        Event::ChatUpdated(chat) => {
            (chat.at, Fact::ChatUpdated { title: chat.title, deleted: chat.deleted, by: chat.user_id })
        }
        Event::MemberJoined(member) => (member.at, Fact::MemberJoined { user: member.user_id, role: member.role }),
        Event::MemberLeft(member) => (member.at, Fact::MemberLeft { user: member.user_id }),
    };
    Ok(Entry { at, numbered, fact })
}

fn posted(message: Message, position: u64) -> Result<(Millis, Fact), BadLine> {
    if message.id.get() != position {
        let text = format!("a message's id is its position, {position}, and not {}", message.id);
        return Err(BadLine::WrongNumber(text));
    }
    let erased = Record {
        position: Position(position),
        entry: Entry {
            at: message.created_at,
            numbered: Some((message.chat_id, message.seq)),
            fact: Fact::MessageErased { sender: message.sender_id },
        },
    };
    if let Some(Event::Message(nothing)) = erased.clone().into_event()
        && *nothing == message
    {
        return Ok((message.created_at, erased.entry.fact));
    }
    if message.edited_at.is_some() || message.deleted {
        let text = "a message is exported as it was posted: its edits and its deletion are lines of their own";
        return Err(BadLine::BadEvent(text.to_owned()));
    }
    let Message { sender_id: sender, content, message_type, client_id, reply_to, signature, created_at, .. } = message;
    let fact = match signature {
        None => Fact::MessagePosted { sender, content, message_type, client_id, reply_to },
        Some(signature) => Fact::SignedMessagePosted { sender, content, message_type, client_id, reply_to, signature },
    };
    Ok((created_at, fact))
}

/// The record on its way into another log.
pub fn draft(Record { entry, .. }: &Record) -> Draft {
    let place = match (&entry.fact, entry.numbered) {
        (Fact::ChatCreated { .. }, _) => Place::NewChat,
        (_, Some((chat, _))) => Place::Chat(chat),
        (_, None) => Place::Nowhere,
    };
    Draft { at: entry.at, place, fact: entry.fact.clone() }
}
