//! What is known of messages beside the chats' recent events: where the fresh ones stand, and what the reader was
//! asked lately.

use std::collections::VecDeque;
use std::sync::Arc;

use chappe_proto::message::Message;
use chappe_proto::{ChatId, MessageId, Seq, UserId};
use hashlink::LruCache;

use super::step::{Answer, Question, Spot};
use crate::log::record::Position;

/// So many of the newest messages are located without a question.
const FRESH: usize = 65_536;
/// So many answers of each kind are kept.
const ASKED: usize = 4096;

/// See the module.
#[derive(Debug)]
pub(super) struct Known {
    fresh: VecDeque<Spot>,
    spots: LruCache<MessageId, Option<Spot>>,
    counts: LruCache<(ChatId, Seq), u64>,
    originals: LruCache<MessageId, Option<Arc<Message>>>,
    /// Deleted lately: what was looked up before that, and is answered after it, must not bring them back.
    gone: LruCache<MessageId, ()>,
    /// Users erased lately, and the position of that: likewise.
    erased: LruCache<UserId, Position>,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            fresh: VecDeque::new(),
            spots: LruCache::new(ASKED),
            counts: LruCache::new(ASKED),
            originals: LruCache::new(ASKED / 16),
            gone: LruCache::new(ASKED),
            erased: LruCache::new(ASKED),
        }
    }
}

impl Known {
    /// Notes a message just posted.
    pub(super) fn posted(&mut self, spot: Spot) {
        if self.fresh.len() >= FRESH {
            self.fresh.pop_front();
        }
        self.fresh.push_back(spot);
    }

    /// Notes a message just deleted.
    pub(super) fn deleted(&mut self, id: MessageId) {
        self.gone.insert(id, ());
        if let Ok(index) = self.fresh.binary_search_by_key(&id, |spot| spot.id) {
            self.fresh[index].deleted = true;
        }
        if let Some(Some(spot)) = self.spots.get_mut(&id) {
            spot.deleted = true;
        }
    }

    /// A user's messages before a position were erased.
    pub(super) fn erased(&mut self, user: UserId, before: Position) {
        self.erased.insert(user, before);
        self.fresh.iter_mut().filter(|spot| spot.sender == user).for_each(|spot| spot.deleted = true);
        // They are asked for again.
        self.spots.clear();
        self.originals.clear();
    }

    /// Where a message stands; the outer `None` says to ask.
    pub(super) fn spot(&mut self, id: MessageId, last: u64) -> Option<Option<Spot>> {
        if id.get() > last {
            return Some(None);
        }
        if let Ok(index) = self.fresh.binary_search_by_key(&id, |spot| spot.id) {
            return Some(Some(self.fresh[index]));
        }
        if self.fresh.front().is_some_and(|oldest| oldest.id < id) {
            return Some(None);
        }
        self.spots.get(&id).copied()
    }

    /// How many messages of `chat` have a number up to `seq`.
    pub(super) fn count(&mut self, chat: ChatId, seq: Seq) -> Option<u64> {
        self.counts.get(&(chat, seq)).copied()
    }

    /// A message as it was posted.
    pub(super) fn original(&mut self, id: MessageId) -> Option<Option<Arc<Message>>> {
        self.originals.get(&id).cloned()
    }

    /// As if so much had happened since that all of it was displaced, but for the latest deletions.
    #[cfg(test)]
    pub(super) fn forget(&mut self) {
        let Self { gone, erased, .. } = std::mem::take(self);
        *self = Self { gone, erased, ..Self::default() };
    }

    /// Whether the sender of a message was erased lately, and after it.
    fn is_erased(&self, sender: UserId, id: MessageId) -> bool {
        self.erased.peek(&sender).is_some_and(|before| id.get() < before.0)
    }

    /// Keeps an answer.
    pub(super) fn learn(&mut self, question: Question, answer: Answer) {
        match (question, answer) {
            (Question::Locate(id), Answer::Located(mut spot)) => {
                if let Some(spot) = &mut spot {
                    spot.deleted |= self.gone.peek(&id).is_some() || self.is_erased(spot.sender, id);
                }
                self.spots.insert(id, spot);
            }
            (Question::Count(chat, seq), Answer::Counted(count)) => {
                self.counts.insert((chat, seq), count);
            }
            (Question::Original(id), Answer::Original(message)) => {
                let message = message.filter(|message| !self.is_erased(message.sender_id, id));
                self.originals.insert(id, message);
            }
            _ => {}
        }
    }
}
