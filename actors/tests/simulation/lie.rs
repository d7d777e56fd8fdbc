//! Servers that break a promise on purpose: what finds no fault with these is blind.

use std::sync::Arc;

use chappe_actors::messages::{Deliver, Item};
use chappe_actors::origin::SessionId;

use crate::dice::Dice;
use crate::disk::Lies;

/// Which promise is broken, once in a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lie {
    /// None: the server as it is.
    None,
    /// An ack leaves before the commit is done.
    AcksTooEarly,
    /// The disk forgets a commit that it had said to be done.
    ForgetsCommits,
    /// After a failed flush the server goes on as if nothing had been kept.
    GoesOnInDoubt,
    /// An event does not reach a hub.
    LosesEvents,
    /// An event reaches a hub twice.
    RepeatsEvents,
    /// The events of a commit change places.
    SwapsEvents,
    /// A connection is let to hear a chat that its user is no member of.
    TellsStrangers,
    /// Two answers change places.
    SwapsAnswers,
    /// An answer gets lost.
    LosesAnswers,
    /// A connection is not polled though it asked for it.
    SleepsOn,
}

impl Lie {
    pub(crate) const ALL: [Self; 10] = [
        Self::AcksTooEarly,
        Self::ForgetsCommits,
        Self::GoesOnInDoubt,
        Self::LosesEvents,
        Self::RepeatsEvents,
        Self::SwapsEvents,
        Self::TellsStrangers,
        Self::SwapsAnswers,
        Self::LosesAnswers,
        Self::SleepsOn,
    ];

    /// What of it the disk does.
    pub(crate) fn of_the_disk(self) -> Lies {
        Lies {
            too_early: self == Self::AcksTooEarly,
            forgets: self == Self::ForgetsCommits,
            denies: self == Self::GoesOnInDoubt,
        }
    }

    /// Changes what a hub is given; `others` are connections that live there.
    pub(crate) fn spoil(self, Deliver(items): &mut Deliver, others: &[SessionId], dice: &mut Dice) {
        let events: Vec<usize> = (0..items.len()).filter(|at| matches!(items[*at], Item::Event(..))).collect();
        let Some(at) = dice.pick(&events).filter(|_| dice.once_in(10)) else { return self.spoil_answers(items, dice) };
        let Item::Event(chat, seq, bodies) = &items[at] else { return };
        match self {
            Self::LosesEvents => drop(items.remove(at)),
            Self::RepeatsEvents => {
                let again = Item::Event(*chat, *seq, Arc::clone(bodies));
                items.insert(at, again);
            }
            Self::SwapsEvents => items.reverse(),
            Self::TellsStrangers => {
                let chat = *chat;
                if let Some(session) = dice.pick(others) {
                    items.insert(at, Item::Listen(session, vec![chat]));
                }
            }
            _ => self.spoil_answers(items, dice),
        }
    }

    fn spoil_answers(self, items: &mut Vec<Item>, dice: &mut Dice) {
        let acks = |item: &Item| matches!(item, Item::Reply(to, _) if to.ticket.is_some());
        let acks: Vec<usize> = (0..items.len()).filter(|at| acks(&items[*at])).collect();
        match self {
            Self::LosesAnswers if dice.once_in(20) => {
                if let Some(at) = dice.pick(&acks) {
                    items.remove(at);
                }
            }
            Self::SwapsAnswers => {
                for pair in acks.windows(2) {
                    let [Item::Reply(one, _), Item::Reply(other, _)] = [&items[pair[0]], &items[pair[1]]] else {
                        return;
                    };
                    if one.session != other.session {
                        continue;
                    }
                    let (first, second) = (one.ticket, other.ticket);
                    if let Item::Reply(to, _) = &mut items[pair[0]] {
                        to.ticket = second;
                    }
                    if let Item::Reply(to, _) = &mut items[pair[1]] {
                        to.ticket = first;
                    }
                    return;
                }
            }
            _ => {}
        }
    }
}
