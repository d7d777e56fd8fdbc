//! What a client wants next: plain, by throws of its dice. It remembers what it knows, and what it has to ask again.

use std::collections::{BTreeMap, VecDeque};

use super::{OWNER, WANDERERS};
use crate::dice::Dice;
use crate::history::{Ack, Change, Event, Fact};
use crate::wire::Door;

/// Messages of others that a client remembers.
const SEEN: usize = 64;

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// Something is to change.
    Change(Change),
    /// The events behind a number.
    Events { chat: u64, after: u64 },
    /// The newest messages.
    Newest { chat: u64 },
    /// The newest numbers of all chats.
    Heads,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Mind {
    pub(super) user: u64,
    pub(super) dice: Dice,
    chats: Vec<u64>,
    next: u64,
    /// Messages that are its own, as far as it knows.
    own: Vec<u64>,
    /// Messages of anybody.
    seen: VecDeque<u64>,
    /// Reactions that it gave.
    given: Vec<(u64, String)>,
    /// How far it knows each chat.
    places: BTreeMap<u64, u64>,
    /// What has to be asked again.
    again: VecDeque<Change>,
}

impl Mind {
    pub(super) fn new(user: u64, chats: Vec<u64>, dice: Dice) -> Self {
        Self {
            user,
            dice,
            chats,
            next: 0,
            own: Vec::new(),
            seen: VecDeque::new(),
            given: Vec::new(),
            places: BTreeMap::new(),
            again: VecDeque::new(),
        }
    }

    /// Whether nothing waits to be asked again.
    pub(super) fn is_settled(&self) -> bool {
        self.again.is_empty()
    }

    /// What has to be asked again, if it can be asked at this door.
    pub(super) fn old(&mut self, door: Door) -> Option<Change> {
        let at = self.again.iter().position(|change| can_be_asked(change, door))?;
        self.again.remove(at)
    }

    /// What to ask at this door: what is in doubt first.
    pub(super) fn next(&mut self, door: Door) -> Wish {
        if let Some(change) = self.old(door) {
            return Wish::Change(change);
        }
        let chat = self.dice.pick(&self.chats).unwrap_or_default();
        let place = self.places.get(&chat).copied().unwrap_or_default();
        let throw = self.dice.below(100);
        if self.user == OWNER && throw < 50 {
            let member = self.dice.pick(&WANDERERS).unwrap_or_default();
            let lets_in = self.dice.once_in(2);
            return Wish::Change(if lets_in { Change::Join { chat, member } } else { Change::Leave { chat, member } });
        }
        let change = match throw {
            0..10 => self.edit(),
            10..16 => self.delete(),
            16..28 => self.react(),
            28..33 => Some(Change::Mark { chat, seq: place }),
            33..43 => return Wish::Events { chat, after: place.saturating_sub(self.dice.below(80)) },
            43..48 => return Wish::Newest { chat },
            48..52 => return Wish::Heads,
            _ => None,
        };
        match change.filter(|change| can_be_asked(change, door)) {
            Some(change) => Wish::Change(change),
            None => Wish::Change(self.post(chat)),
        }
    }

    pub(super) fn post(&mut self, chat: u64) -> Change {
        let nth = self.number();
        let filling = "x".repeat(usize::try_from(self.dice.below(300)).unwrap_or_default());
        Change::Post { chat, name: format!("{}-{nth}", self.user), content: format!("{nth} {filling}") }
    }

    fn edit(&mut self) -> Option<Change> {
        let message = self.dice.pick(&self.own)?;
        let (user, nth) = (self.user, self.number());
        Some(Change::Edit { message, content: format!("{user} edits, {nth}") })
    }

    fn delete(&mut self) -> Option<Change> {
        let message = self.dice.pick(&self.own)?;
        self.own.retain(|own| *own != message);
        Some(Change::Delete { message })
    }

    fn react(&mut self) -> Option<Change> {
        if self.dice.once_in(3)
            && let Some((message, emoji)) = self.given.pop()
        {
            return Some(Change::React { message, emoji, removed: true });
        }
        let at = self.dice.below(u64::try_from(self.seen.len()).unwrap_or_default());
        let message = *self.seen.get(usize::try_from(at).ok()?)?;
        Some(Change::React { message, emoji: format!("{}", self.number()), removed: false })
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// It was done.
    pub(super) fn done(&mut self, change: Change, ack: &Ack) {
        match change {
            Change::Post { .. } => self.own.extend(ack.message),
            Change::React { message, emoji, removed: false } => self.given.push((message, emoji)),
            _ => {}
        }
        if let (Some(chat), Some(seq)) = (ack.chat, ack.seq) {
            self.knows(chat, seq);
        }
    }

    /// Nobody knows whether it was done. A message is always sent again, of the rest some is left as it may be.
    pub(super) fn in_doubt(&mut self, change: Change) {
        if matches!(change, Change::Post { .. }) || !self.dice.once_in(4) {
            self.again.push_back(change);
        }
    }

    /// It was refused for now.
    pub(super) fn later(&mut self, change: Change) {
        self.again.push_back(change);
    }

    /// It knows so far of a chat.
    pub(super) fn knows(&mut self, chat: u64, seq: u64) {
        let place = self.places.entry(chat).or_default();
        *place = seq.max(*place);
    }

    /// It saw an event.
    pub(super) fn saw(&mut self, event: &Event) {
        self.knows(event.chat, event.seq);
        if let Fact::Posted { message, .. } = event.fact {
            self.seen.push_back(message);
            if self.seen.len() > SEEN {
                self.seen.pop_front();
            }
        }
    }
}

/// HTTP has no way to react and to mark as read; and only HTTP has one to let people in and out.
fn can_be_asked(change: &Change, door: Door) -> bool {
    match change {
        Change::React { .. } | Change::Mark { .. } => door != Door::Http,
        Change::Join { .. } | Change::Leave { .. } => door == Door::Http,
        _ => true,
    }
}
