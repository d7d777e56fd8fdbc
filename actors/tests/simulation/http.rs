//! What comes over HTTP: chats and who is in them. Each request is answered once, unless the process ends before.

use std::collections::BTreeSet;
use std::time::Duration;

use chappe_actors::command::Command;
use chappe_actors::messages::{Batch, Deliver, Item};
use chappe_actors::origin::{Origin, SessionId};
use chappe_proto::event::ChatKind;
use chappe_proto::{ChatId, UserId};

use crate::dice::Dice;
use crate::disk::with_ledger;
use crate::office::{self, Letter, Who};
use crate::verdict::{broken, holds, tell};

/// The place of all of them at a hub: nobody is there, and the answers are taken out on their way.
const SLOT: u32 = u32::MAX;
/// So many may be open.
const OPEN: usize = 12;

/// See the module.
#[derive(Default)]
pub(crate) struct Http {
    open: BTreeSet<u32>,
    next: u32,
}

impl Http {
    /// Asks for something.
    pub(crate) fn ask(&mut self, dice: &mut Dice, users: u64, hubs: usize) -> bool {
        if self.open.len() >= OPEN {
            return false;
        }
        let mut somebody = || UserId::parse(1 + dice.below(users)).expect("an id");
        let (user, member) = (somebody(), somebody());
        let chats = with_ledger(|ledger| ledger.chats.keys().copied().collect::<Vec<ChatId>>());
        let Some(chat) = dice.pick(&chats) else { return false };
        let by = Some(user);
        let command = match dice.below(16) {
            0..3 if chats.len() < 8 => {
                let kind = dice.pick(&[ChatKind::Group, ChatKind::Group, ChatKind::Direct, ChatKind::Open]);
                let kind = kind.unwrap_or_default();
                let members = (1..=users).filter_map(|id| UserId::parse(id).ok()).filter(|_| dice.once_in(2));
                let members = if kind == ChatKind::Direct { vec![member] } else { members.collect() };
                Command::CreateChat { user: by, title: "made".into(), kind, members }
            }
            0..5 => Command::RenameChat { user: by, chat, title: format!("chat {}", dice.below(9)).into() },
            5 if dice.once_in(6) => Command::DeleteChat { user: by, chat },
            5..11 => Command::AddMember { user: by, chat, member },
            11..15 => Command::RemoveMember { user: by, chat, member },
            _ => Command::GetMembers { user: by, chat, after: None, limit: 500 },
        };
        let generation = self.next;
        self.next += 1;
        self.open.insert(generation);
        let hub = dice.pick(&(0..hubs).collect::<Vec<_>>()).unwrap_or_default();
        let hub = u16::try_from(hub).unwrap_or_default();
        let session = SessionId { hub, slot: SLOT, generation };
        let origin = Origin { session, ticket: None, request_id: None, weight: 0, arrived: Duration::ZERO };
        tell(|| format!("http {generation} asks {command:?}"));
        // From a thread with a hub, as all of it.
        office::post(Who::Hub(hub.into()), Who::Cache, Letter::Batch(Batch(vec![(origin, command)])));
        true
    }

    /// Takes the answers out of what goes to a hub.
    pub(crate) fn take_answers(&mut self, Deliver(items): &mut Deliver) {
        items.retain(|item| match item {
            Item::Reply(to, _) if to.session.slot == SLOT => {
                let is_open = self.open.remove(&to.session.generation);
                holds(is_open, || format!("an HTTP request is answered twice, or was not made: {to:?}"));
                false
            }
            _ => true,
        });
    }

    /// The process is gone.
    pub(crate) fn forget(&mut self) {
        self.open.clear();
    }

    /// Nothing is on its way any more.
    pub(crate) fn is_answered(&self) {
        if let Some(first) = self.open.first() {
            broken(format!("{} HTTP requests were never answered, {first} the first", self.open.len()));
        }
    }
}
