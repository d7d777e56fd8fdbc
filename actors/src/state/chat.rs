//! One chat: who is in it, how far it got, and its recent events.

use std::collections::BTreeMap;
use std::sync::Arc;

use chappe_proto::event::{ChatKind, Role};
use chappe_proto::packet::ChatSummary;
use chappe_proto::{ChatId, Code, Millis, Reject, Seq, UserId};

use super::recent::Recent;

/// A member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// What they may do.
    pub role: Role,
    /// Read up to and with this number.
    pub read: Seq,
    /// How many messages that is.
    pub read_count: u64,
}

/// A chat.
#[derive(Debug)]
pub struct Chat {
    /// Its id.
    pub id: ChatId,
    /// What people call it.
    pub title: Box<str>,
    /// Who may read it.
    pub kind: ChatKind,
    /// Who made it.
    pub created_by: Option<UserId>,
    /// When.
    pub created_at: Millis,
    /// Who is in it.
    pub members: BTreeMap<UserId, Member>,
    /// Its newest event's number.
    pub head: Seq,
    /// How many messages it has had.
    pub messages: u64,
    /// Up to which number its events are not kept any more.
    pub floor: Seq,
    /// How many messages that is.
    pub trimmed: u64,
    /// Its newest events.
    pub recent: Recent,
    /// Whether `recent` was dropped, and not filled again since.
    pub cold: bool,
    /// Whether the reader was asked to fill `recent`.
    pub warming: bool,
}

impl Chat {
    /// Whether `user` may read.
    ///
    /// # Errors
    /// `not_a_member`, or `not_authenticated` for nobody in particular.
    pub fn readable_by(&self, user: Option<UserId>) -> Result<(), Reject> {
        match user {
            _ if self.kind == ChatKind::Open => Ok(()),
            None => Err(Reject::plain(Code::NotAuthenticated)),
            Some(user) if self.members.contains_key(&user) => Ok(()),
            Some(_) => Err(Reject::plain(Code::NotAMember)),
        }
    }

    /// Whether `user` may write; in an open chat whoever writes becomes a member.
    ///
    /// # Errors
    /// `not_a_member`.
    pub fn writable_by(&self, user: UserId) -> Result<(), Reject> {
        self.readable_by(Some(user))
    }

    /// Whether `user` may rename and delete the chat, and change its members: its owners may. A chat that nobody in
    /// particular made, or that all its owners left, is managed by its members, and in open mode by those who say no name.
    ///
    /// # Errors
    /// `forbidden`, `not_a_member` or `not_authenticated`.
    pub fn managed_by(&self, user: Option<UserId>) -> Result<(), Reject> {
        let member = user.and_then(|user| self.members.get(&user));
        let owned = self.members.values().any(|member| member.role == Role::Owner);
        match (member, user, self.created_by.filter(|_| owned)) {
            (Some(Member { role: Role::Owner, .. }), ..) | (Some(_), _, None) | (None, None, None) => Ok(()),
            (Some(_), ..) => Err(Reject::plain(Code::Forbidden)),
            (None, Some(_), _) => Err(Reject::plain(Code::NotAMember)),
            (None, None, Some(_)) => Err(Reject::plain(Code::NotAuthenticated)),
        }
    }

    /// The chat as `user` sees it.
    pub fn summary(&self, user: Option<UserId>) -> ChatSummary {
        let member = user.and_then(|user| self.members.get(&user));
        ChatSummary {
            chat_id: self.id,
            title: self.title.clone(),
            kind: self.kind,
            created_by: self.created_by,
            created_at: self.created_at,
            members: u32::try_from(self.members.len()).unwrap_or(u32::MAX),
            seq: self.head,
            read_seq: member.map_or(Seq::ZERO, |member| member.read),
            unread: self.messages.saturating_sub(member.map_or(0, |member| member.read_count).max(self.trimmed)),
            last_message: self.recent.last_message().map(Arc::new),
        }
    }

    /// Whether the newest message is missing in its `summary`: there is one, and memory does not hold it.
    pub fn is_told_short(&self, summary: &ChatSummary) -> bool {
        self.messages > self.trimmed && summary.last_message.is_none()
    }

    /// How many of the chat's messages have a number up to `seq`, if memory can tell.
    pub fn messages_up_to(&self, seq: Seq) -> Option<u64> {
        if seq >= self.head {
            return Some(self.messages);
        }
        self.recent.messages_after(seq).map(|after| self.messages.saturating_sub(after))
    }
}
