//! Who types where. A `start` lapses by itself; said again it is told again only after a while.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use chappe_proto::{ChatId, UserId};

/// A `start` that is not said again lapses after so long.
pub const LAPSE: Duration = Duration::from_secs(6);
/// Said again within this time of the last one that was told, it is news to nobody.
const REPEAT: Duration = Duration::from_secs(3);
/// So many users can type at once, each chat counted; more are not told of.
const MAX_TYPING: usize = 100_000;

/// Somebody types in a chat, or did until a moment ago.
#[derive(Debug)]
struct Entry {
    typing: bool,
    /// When others were told of the last `start`.
    told: Duration,
    lapses: Duration,
}

/// Everybody who types.
#[derive(Debug, Default)]
pub struct Typing {
    entries: BTreeMap<(UserId, ChatId), Entry>,
    /// When to look at each entry; one for each, in order.
    endings: VecDeque<(Duration, UserId, ChatId)>,
}

impl Typing {
    /// The user says that they type in a chat; whether others are to be told. `now` is on the actors' clock.
    pub fn start(&mut self, user: UserId, chat: ChatId, now: Duration) -> bool {
        let lapses = now + LAPSE;
        if let Some(entry) = self.entries.get_mut(&(user, chat)) {
            let tell = !entry.typing || now >= entry.told + REPEAT;
            entry.told = if tell { now } else { entry.told };
            (entry.typing, entry.lapses) = (true, lapses);
            return tell;
        }
        if self.entries.len() >= MAX_TYPING {
            return false;
        }
        self.entries.insert((user, chat), Entry { typing: true, told: now, lapses });
        self.endings.push_back((lapses, user, chat));
        true
    }

    /// The user types there no longer; whether others are to be told.
    pub fn stop(&mut self, user: UserId, chat: ChatId) -> bool {
        // The entry goes when its turn to be looked at comes: there is one turn for each, however often one changes.
        self.entries.get_mut(&(user, chat)).is_some_and(|entry| std::mem::take(&mut entry.typing))
    }

    /// The user is gone; the chats where others are to be told.
    pub fn gone(&mut self, user: UserId) -> Vec<ChatId> {
        let Ok(first) = ChatId::parse(1) else { return Vec::new() };
        let theirs = self.entries.range_mut((user, first)..).take_while(|((who, _), _)| *who == user);
        theirs.filter_map(|((_, chat), entry)| std::mem::take(&mut entry.typing).then_some(*chat)).collect()
    }

    /// Those whose last `start` has lapsed since the last call.
    pub fn lapsed(&mut self, now: Duration) -> Vec<(UserId, ChatId)> {
        let mut lapsed = Vec::new();
        while let Some((look_at, user, chat)) = self.endings.front().copied()
            && look_at <= now
        {
            self.endings.pop_front();
            match self.entries.get(&(user, chat)) {
                Some(entry) if entry.typing && entry.lapses > now => {
                    self.endings.push_back((entry.lapses, user, chat));
                }
                Some(entry) => {
                    if entry.typing {
                        lapsed.push((user, chat));
                    }
                    self.entries.remove(&(user, chat));
                }
                None => {}
            }
        }
        lapsed
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nobody types.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
#[path = "typing_tests.rs"]
mod tests;
