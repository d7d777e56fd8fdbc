//! Servers that break a promise on purpose: what finds no fault with these is blind.

use std::collections::VecDeque;
use std::sync::Arc;

use chappe_actors::log::record::{Fact, Record};
use chappe_actors::messages::{Batch, Deliver, Item};
use chappe_actors::origin::SessionId;
use chappe_actors::persist::Written;
use chappe_actors::reply::Reply;
use chappe_proto::packet::Reset;
use chappe_proto::page::Events;
use chappe_proto::{Seq, UserId};

use crate::dice::Dice;
use crate::disk::Lies;
use crate::office::{Letter, Who};

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
    /// The writer's acks arrive before the state is told of the commit.
    AcksAheadOfTheState,
    /// What waits for a client that does not read has no limit.
    KeepsAllEvents,
    /// Of two things that a connection asks at once the later takes effect before the earlier.
    OvertakesWrites,
    /// A read mark is acknowledged as it was before.
    MovesMarksBack,
    /// The state does not take in that a chat is trimmed.
    ForgetsTrims,
    /// The state does not take in that somebody is erased.
    ForgetsErasures,
    /// A start does not take in that chats were trimmed.
    StartsWithAll,
    /// More goes than was to go.
    TrimsTooMuch,
    /// Readers answer with what has gone.
    ShowsWhatHasGone,
    /// Readers leave out the first message that is kept.
    HidesWhatIsKept,
    /// Who reads events is told to start afresh, and all are there.
    ResetsTooOften,
}

impl Lie {
    pub(crate) const ALL: [Self; 21] = [
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
        Self::AcksAheadOfTheState,
        Self::KeepsAllEvents,
        Self::OvertakesWrites,
        Self::MovesMarksBack,
        Self::ForgetsTrims,
        Self::ForgetsErasures,
        Self::StartsWithAll,
        Self::TrimsTooMuch,
        Self::ShowsWhatHasGone,
        Self::HidesWhatIsKept,
        Self::ResetsTooOften,
    ];

    /// What of it the disk does.
    pub(crate) fn of_the_disk(self) -> Lies {
        Lies {
            too_early: self == Self::AcksTooEarly,
            forgets: self == Self::ForgetsCommits,
            denies: self == Self::GoesOnInDoubt,
        }
    }

    /// Lets acks go before the commit that they are of, on their way from the writer.
    pub(crate) fn hurry(self, next: &mut VecDeque<(Who, Letter)>) {
        let is_ack_next = matches!(next.get(1), Some((Who::Hub(_), _)));
        if self == Self::AcksAheadOfTheState && is_ack_next && matches!(next.front(), Some((_, Letter::Written(_)))) {
            next.swap(0, 1);
        }
    }

    /// How many bytes of events may wait for a client; `limit` unless that is the lie.
    pub(crate) fn limit_of_an_outbox(self, limit: usize) -> usize {
        if self == Self::KeepsAllEvents { 1 << 30 } else { limit }
    }

    /// Changes what the state is asked.
    pub(crate) fn reorder(self, Batch(asked): &mut Batch) {
        let is_pair = |at: &usize| {
            let [(one, first), (other, second)] = [&asked[*at], &asked[*at + 1]];
            one.session == other.session && first.is_write() && second.is_write()
        };
        if self == Self::OvertakesWrites
            && let Some(at) = (0..asked.len().saturating_sub(1)).find(is_pair)
        {
            asked.swap(at, at + 1);
        }
    }

    /// Changes what the state is told of a commit.
    pub(crate) fn forget(self, written: &mut Written) {
        let Written::Committed(records) = written else { return };
        let Ok(nobody) = UserId::parse(chappe_proto::ids::MAX_ID) else { return };
        for record in records {
            match &mut record.entry.fact {
                Fact::Trimmed { up_to, .. } if self == Self::ForgetsTrims => *up_to = Seq::ZERO,
                // Of somebody else, whom nobody knows.
                Fact::UserErased { user } if self == Self::ForgetsErasures => *user = nobody,
                _ => {}
            }
        }
    }

    /// Whether a start takes a record in.
    pub(crate) fn replays(self, record: &Record) -> bool {
        self != Self::StartsWithAll || !matches!(record.entry.fact, Fact::Trimmed { .. })
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
            Self::MovesMarksBack => {
                let accepted = items.iter_mut().filter_map(|item| match item {
                    Item::Reply(_, Reply::Accepted(accepted)) => Some(accepted),
                    _ => None,
                });
                // Of what a connection may ask only a mark leads to a number without a message.
                for mark in accepted.filter(|accepted| accepted.message_id.is_none() && dice.once_in(4)) {
                    mark.seq = Seq(mark.seq.0.saturating_sub(1));
                }
            }
            Self::ResetsTooOften => {
                for reply in items
                    .iter_mut()
                    .filter_map(|item| if let Item::Reply(_, reply) = item { Some(reply) } else { None })
                {
                    let Reply::Events(Events { events, head }) = &*reply else { continue };
                    let (head, first) = (*head, events.events().next());
                    if let Some(event) = first.filter(|_| dice.once_in(10)) {
                        *reply = Reply::Reset(Reset { chat_id: event.chat_id(), head, reason: "a lie".into() });
                    }
                }
            }
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
