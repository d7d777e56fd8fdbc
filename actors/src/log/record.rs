//! What the log holds: facts, numbered.
//!
//! A [`Draft`] is a fact on its way to the log; the log gives it a position, and the chat's next `seq`, and it is a
//! [`Record`]. The bytes of a record are `u32` length, `u32` CRC-32 of (position, body), body; all little-endian; the
//! body is the binary format of the protocol crate.

use std::sync::Arc;

use chappe_proto::event::{
    ChatCreated, ChatKind, ChatUpdated, Event, MemberJoined, MemberLeft, MessageDeleted, MessageEdited, Reaction, Role,
};
use chappe_proto::format::{self, Decode, Encode};
use chappe_proto::message::{Message, MessageType};
use chappe_proto::signature::{PublicKey, Signature};
use chappe_proto::{ChatId, ClientId, MessageId, Millis, Seq, UserId};

/// A record's place in the log: 1, 2, 3 … without gaps. A message's id is the position of its record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub u64);

impl Position {
    /// The place after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The place so many further on.
    #[must_use]
    pub fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }

    /// The id of the message posted at this place; `None` at place 0, where nothing is.
    pub fn message(self) -> Option<MessageId> {
        MessageId::parse(self.0).ok()
    }
}

/// Something that happened and is kept. A variant's place is its number in the log: new ones come at the end.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "chappe_proto::format")]
pub enum Fact {
    /// A user was made.
    UserCreated {
        /// Who.
        user: UserId,
        /// What people call them.
        nickname: Box<str>,
    },
    /// A chat began. Its id is given by the log.
    ChatCreated {
        /// What people call it.
        title: Box<str>,
        /// Who may read it.
        kind: ChatKind,
        /// Its owner, if somebody made it.
        by: Option<UserId>,
        /// Its first members; the owner is one of them.
        members: Vec<UserId>,
    },
    /// A chat was renamed, or deleted.
    ChatUpdated {
        /// The title from now on.
        title: Box<str>,
        /// Whether it is gone.
        deleted: bool,
        /// Who did it.
        by: Option<UserId>,
    },
    /// Someone became a member.
    MemberJoined {
        /// Who.
        user: UserId,
        /// As what.
        role: Role,
    },
    /// Someone stopped being a member.
    MemberLeft {
        /// Who.
        user: UserId,
    },
    /// A message was posted.
    MessagePosted {
        /// Who wrote it.
        sender: UserId,
        /// What it says.
        content: Box<str>,
        /// What the content is.
        message_type: MessageType,
        /// The sender's own name for it.
        client_id: Option<ClientId>,
        /// The message it answers.
        reply_to: Option<MessageId>,
    },
    /// A message's content was replaced.
    MessageEdited {
        /// The message.
        message: MessageId,
        /// Its number in the chat.
        message_seq: Seq,
        /// What it says from now on.
        content: Box<str>,
        /// Who did it.
        by: UserId,
    },
    /// A message was deleted.
    MessageDeleted {
        /// The message.
        message: MessageId,
        /// Its number in the chat.
        message_seq: Seq,
        /// Who did it.
        by: UserId,
    },
    /// A reaction was added or taken back.
    Reacted {
        /// The message.
        message: MessageId,
        /// Its number in the chat.
        message_seq: Seq,
        /// Whose.
        user: UserId,
        /// Which.
        emoji: Box<str>,
        /// Whether it was taken back.
        removed: bool,
    },
    /// A member's read mark moved. It is kept, but takes no number of the chat.
    ReadMarked {
        /// The chat.
        chat: ChatId,
        /// Who read.
        user: UserId,
        /// Up to and with this number.
        seq: Seq,
        /// How many of the chat's messages that is.
        count: u64,
    },
    /// A message was posted that its sender signed.
    SignedMessagePosted {
        /// Who wrote it.
        sender: UserId,
        /// What it says.
        content: Box<str>,
        /// What the content is.
        message_type: MessageType,
        /// The sender's own name for it.
        client_id: Option<ClientId>,
        /// The message it answers.
        reply_to: Option<MessageId>,
        /// The signature, which was good.
        signature: Box<Signature>,
    },
    /// A user's messages may be signed with this key from now on, or with none.
    KeyRegistered {
        /// Whose.
        user: UserId,
        /// Which.
        key: Option<PublicKey>,
    },
}

impl Fact {
    /// Whether it is a message.
    pub fn is_post(&self) -> bool {
        matches!(self, Self::MessagePosted { .. } | Self::SignedMessagePosted { .. })
    }
}

/// Where a fact belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// To no chat's numbering: accounts, read marks.
    Nowhere,
    /// To a chat that begins with it.
    NewChat,
    /// To this chat.
    Chat(ChatId),
}

/// A fact on its way to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// When it happened.
    pub at: Millis,
    /// Where it belongs.
    pub place: Place,
    /// What happened.
    pub fact: Fact,
}

/// A fact in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its place in the log.
    pub position: Position,
    /// What was kept.
    pub entry: Entry,
}

/// A record without its position, which is implied by where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "chappe_proto::format")]
pub struct Entry {
    /// When it happened.
    pub at: Millis,
    /// The chat and the chat's number, where the fact has one.
    pub numbered: Option<(ChatId, Seq)>,
    /// What happened.
    pub fact: Fact,
}

impl Record {
    /// The chat event that the record is, as clients see it; `None` for accounts and read marks.
    pub fn into_event(self) -> Option<Event> {
        let (chat_id, seq) = self.entry.numbered?;
        let at = self.entry.at;
        let id = self.position.message()?;
        let posted = |sender_id, content, message_type, client_id, reply_to, signature| {
            let (created_at, edited_at, deleted) = (at, None, false);
            Event::Message(Arc::new(Message {
                id,
                chat_id,
                seq,
                sender_id,
                content,
                message_type,
                client_id,
                reply_to,
                created_at,
                edited_at,
                deleted,
                signature,
            }))
        };
        Some(match self.entry.fact {
            Fact::UserCreated { .. } | Fact::ReadMarked { .. } | Fact::KeyRegistered { .. } => return None,
            Fact::MessagePosted { sender, content, message_type, client_id, reply_to } => {
                posted(sender, content, message_type, client_id, reply_to, None)
            }
            Fact::SignedMessagePosted { sender, content, message_type, client_id, reply_to, signature } => {
                posted(sender, content, message_type, client_id, reply_to, Some(signature))
            }
            Fact::MessageEdited { message: message_id, message_seq, content, by } => {
                let (user_id, edited_at) = (by, at);
                Event::MessageEdited(MessageEdited {
                    chat_id,
                    seq,
                    message_id,
                    message_seq,
                    user_id,
                    content,
                    edited_at,
                })
            }
            Fact::MessageDeleted { message: message_id, message_seq, by } => {
                Event::MessageDeleted(MessageDeleted { chat_id, seq, message_id, message_seq, user_id: by, at })
            }
            Fact::Reacted { message: message_id, message_seq, user: user_id, emoji, removed } => {
                Event::Reaction(Reaction { chat_id, seq, message_id, message_seq, user_id, emoji, removed, at })
            }
            Fact::ChatCreated { title, kind, by, members } => {
                Event::ChatCreated(ChatCreated { chat_id, seq, title, kind, created_by: by, members, at })
            }
            Fact::ChatUpdated { title, deleted, by } => {
                Event::ChatUpdated(ChatUpdated { chat_id, seq, title, deleted, user_id: by, at })
            }
            Fact::MemberJoined { user: user_id, role } => {
                Event::MemberJoined(MemberJoined { chat_id, seq, user_id, role, at })
            }
            Fact::MemberLeft { user: user_id } => Event::MemberLeft(MemberLeft { chat_id, seq, user_id, at }),
        })
    }
}

/// Bytes of a record's head: length and checksum.
const HEAD: usize = 8;

/// Why bytes are not the record that should stand at a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The bytes end inside the record.
    #[error("the record at position {0} is cut short")]
    Short(u64),
    /// The checksum does not fit.
    #[error("the record at position {0} does not match its checksum")]
    Checksum(u64),
    /// The checksum fits, but the body is not one this version knows.
    #[error("the record at position {0} cannot be read: {1}")]
    Unreadable(u64, String),
}

fn checksum(position: Position, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&position.0.to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

/// Appends the bytes of one record.
pub fn encode_into(position: Position, entry: &Entry, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD]);
    format::encode_into(entry, out);
    let body = &out[start + HEAD..];
    // A record is a message of at most 32 KiB or a list of at most 1,000 members; `admit` holds both.
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let sum = checksum(position, body);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..start + HEAD].copy_from_slice(&sum.to_le_bytes());
}

/// Takes the record of `position` from the front of `bytes`, checking it.
///
/// # Errors
/// [`Damage`] if it is not whole.
pub fn decode_from(position: Position, bytes: &mut &[u8]) -> Result<Record, Damage> {
    let body = take_body(position, bytes)?;
    match format::decode::<Entry>(body) {
        Ok(entry) => Ok(Record { position, entry }),
        Err(error) => Err(Damage::Unreadable(position.0, error.to_string())),
    }
}

/// Takes the body of the record of `position` from the front of `bytes`, checking it, without reading it.
///
/// # Errors
/// [`Damage`] if it is not whole.
pub fn take_body<'a>(position: Position, bytes: &mut &'a [u8]) -> Result<&'a [u8], Damage> {
    let short = Damage::Short(position.0);
    let Some((head, rest)) = bytes.split_at_checked(HEAD) else { return Err(short) };
    let &[a, b, c, d, e, f, g, h] = head else { return Err(short) };
    let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    let Some((body, rest)) = rest.split_at_checked(length) else { return Err(short) };
    if checksum(position, body) != u32::from_le_bytes([e, f, g, h]) {
        return Err(Damage::Checksum(position.0));
    }
    *bytes = rest;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let chat = ChatId::parse(7).unwrap();
        let sender = UserId::parse(1).unwrap();
        let fact = Fact::MessagePosted {
            sender,
            content: "hello".into(),
            message_type: MessageType::Text,
            client_id: ClientId::parse("a").ok(),
            reply_to: None,
        };
        Entry { at: Millis(5), numbered: Some((chat, Seq(9))), fact }
    }

    #[test]
    fn a_record_reads_as_it_was_written() {
        let mut bytes = Vec::new();
        encode_into(Position(3), &entry(), &mut bytes);
        let mut rest = bytes.as_slice();
        assert_eq!(decode_from(Position(3), &mut rest), Ok(Record { position: Position(3), entry: entry() }));
        assert!(rest.is_empty());
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let mut bytes = Vec::new();
        encode_into(Position(3), &entry(), &mut bytes);
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_from(Position(3), &mut bad.as_slice()).is_err(), "bit {bit}");
        }
        for cut in 0..bytes.len() {
            assert_eq!(decode_from(Position(3), &mut &bytes[..cut]), Err(Damage::Short(3)));
        }
        assert_eq!(decode_from(Position(4), &mut bytes.as_slice()), Err(Damage::Checksum(4)), "moved");
    }

    /// A log that was written before reads as it did.
    #[test]
    fn facts_keep_their_numbers_and_their_bytes() {
        let bytes = |fact: &Fact| {
            let mut bytes = Vec::new();
            format::encode_into(fact, &mut bytes);
            bytes
        };
        let user = UserId::parse(7).unwrap();
        assert_eq!(bytes(&Fact::MemberLeft { user }), [4, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
        let posted = bytes(&entry().fact);
        assert_eq!((posted[0], posted.len()), (5, 4 + 8 + 8 + 5 + 4 + 1 + 8 + 1 + 1));
        let chat = ChatId::parse(1).unwrap();
        assert_eq!(bytes(&Fact::ReadMarked { chat, user, seq: Seq(1), count: 1 })[0], 9);
        let key = PublicKey::parse(&"A".repeat(43));
        assert_eq!(bytes(&Fact::KeyRegistered { user, key })[0], 11);
    }
}
