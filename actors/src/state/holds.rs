//! What is not settled yet: a change on its way to the disk, or a question to the reader. A command that depends on it
//! waits here, in order, and is taken up again once it is settled.
//!
//! What a connection asks takes effect in the order in which it asked. So while one of its commands waits, its later
//! writes wait behind that one, for the same key; and behind a `Hello` everything waits.

use std::collections::VecDeque;

use chappe_proto::{ChatId, MessageId, UserId};

use super::print::Print;
use crate::command::Command;
use crate::map::Map;
use crate::origin::{Origin, SessionId};

/// Something that can be unsettled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Key {
    /// Whether the user exists.
    User(UserId),
    /// Whether the chat exists, its title, its owner.
    Chat(ChatId),
    /// Whether the user is a member of the chat.
    Member(ChatId, UserId),
    /// A message's content.
    Message(MessageId),
    /// Which message a client's name stands for.
    Name(Print),
    /// A member's read mark.
    ReadMark(ChatId, UserId),
}

/// A command that waits, and whom to answer.
pub type Waiting = (Origin, Command);

/// Something unsettled.
#[derive(Debug, Default)]
struct Hold {
    /// How many drafts and questions have to be settled first.
    count: u32,
    waiting: VecDeque<Waiting>,
}

/// The commands of one connection that wait; all of them for one key.
#[derive(Debug)]
struct Lane {
    key: Key,
    commands: usize,
    hellos: usize,
}

/// Who waits for what.
#[derive(Debug, Default)]
pub struct Holds {
    keys: Map<Key, Hold>,
    lanes: Map<SessionId, Lane>,
    parked: usize,
    /// How many of them are of a user; those of nobody in particular together.
    parked_of: Map<Option<UserId>, u32>,
}

impl Holds {
    /// How many commands wait that are to write something; what else waits is bounded by the windows of its connections.
    pub fn parked(&self) -> usize {
        self.parked
    }

    /// How many of them a user asked for, or nobody in particular.
    pub fn parked_of(&self, user: Option<UserId>) -> u32 {
        if self.parked_of.is_empty() { 0 } else { self.parked_of.get(&user).copied().unwrap_or_default() }
    }

    /// Whether all is settled, and nobody waits.
    pub fn is_clear(&self) -> bool {
        self.keys.is_empty() && self.lanes.is_empty() && self.parked == 0 && self.parked_of.is_empty()
    }

    /// The first of `keys` that is unsettled.
    pub fn any(&self, keys: &[Key]) -> Option<Key> {
        if self.keys.is_empty() {
            return None;
        }
        keys.iter().find(|key| self.keys.contains_key(key)).copied()
    }

    /// What `command` of `session` has to wait for because earlier ones of that connection wait for it.
    pub fn ahead(&self, session: SessionId, command: &Command) -> Option<Key> {
        if self.lanes.is_empty() {
            return None;
        }
        let lane = self.lanes.get(&session)?;
        let waits = match command {
            Command::Bye => false,
            Command::Hello { .. } => true,
            command => lane.hellos > 0 || command.is_write(),
        };
        waits.then_some(lane.key)
    }

    /// Marks `key` as unsettled by one more draft or question.
    pub fn hold(&mut self, key: Key) {
        self.keys.entry(key).or_default().count += 1;
    }

    /// Lets a command wait for `key`, which is held.
    pub fn park(&mut self, key: Key, origin: Origin, command: Command) {
        let lane = self.lanes.entry(origin.session).or_insert(Lane { key, commands: 0, hellos: 0 });
        lane.commands += 1;
        lane.hellos += usize::from(is_hello(&command));
        if command.is_write() {
            self.parked += 1;
            *self.parked_of.entry(command.charged(false)).or_default() += 1;
        }
        self.keys.entry(key).or_default().waiting.push_back((origin, command));
    }

    /// One of what holds `key` is settled. If it was the last, answers who waited, in order.
    pub fn release(&mut self, key: Key) -> VecDeque<Waiting> {
        let Some(hold) = self.keys.get_mut(&key) else { return VecDeque::new() };
        hold.count = hold.count.saturating_sub(1);
        if hold.count > 0 {
            return VecDeque::new();
        }
        let waiting = self.keys.remove(&key).unwrap_or_default().waiting;
        for (origin, command) in &waiting {
            self.leave(origin.session, command);
        }
        waiting
    }

    /// Lets those go on waiting whose turn has not come, in order: for `key`, which is held again, or for what the commands
    /// in front of theirs on the same connection wait for by now.
    pub fn put_back(&mut self, key: Key, waiting: VecDeque<Waiting>) {
        for (origin, command) in waiting {
            let key = self.lanes.get(&origin.session).map_or(key, |lane| lane.key);
            self.park(key, origin, command);
        }
    }

    /// The connection is gone: what it waits for is kept where it is a write, and dropped where only it would be told.
    pub fn forget(&mut self, session: SessionId) {
        let Some(key) = self.lanes.get(&session).map(|lane| lane.key) else { return };
        let Some(hold) = self.keys.get_mut(&key) else { return };
        let is_kept = |(origin, command): &Waiting| origin.session != session || command.is_write();
        let (kept, dropped): (VecDeque<_>, VecDeque<_>) = hold.waiting.drain(..).partition(is_kept);
        hold.waiting = kept;
        for (origin, command) in &dropped {
            self.leave(origin.session, command);
        }
    }

    fn leave(&mut self, session: SessionId, command: &Command) {
        if command.is_write() {
            self.parked -= 1;
            let user = command.charged(false);
            if let Some(count) = self.parked_of.get_mut(&user) {
                *count -= 1;
                if *count == 0 {
                    self.parked_of.remove(&user);
                }
            }
        }
        let Some(lane) = self.lanes.get_mut(&session) else { return };
        lane.commands -= 1;
        lane.hellos -= usize::from(is_hello(command));
        if lane.commands == 0 {
            self.lanes.remove(&session);
        }
    }
}

fn is_hello(command: &Command) -> bool {
    matches!(command, Command::Hello { .. })
}
