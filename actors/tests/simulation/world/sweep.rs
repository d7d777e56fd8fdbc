//! Keeping less: what the sweep and the command line have a running server do, a step at a time. Between what is asked and
//! what is done about it anything may happen.

use chappe_actors::retention::Retention;
use chappe_actors::state::retention::{Kept, Trim};
use chappe_proto::{ChatId, Seq, UserId};

use super::World;
use crate::disk::{with_disk, with_ledger};
use crate::keeping::may_go;
use crate::ledger::Ledger;
use crate::lie::Lie;
use crate::server::now;
use crate::verdict::tell;

/// What it has found to go, and has not said yet.
#[derive(Default)]
pub(super) struct Sweep {
    trims: Vec<Trim>,
}

impl World {
    /// The sweep goes on.
    pub(super) fn sweep(&mut self) -> bool {
        let Some(server) = self.server.as_mut().filter(|_| self.stalled[0] <= self.steps) else { return false };
        match self.dice.below(8) {
            0..3 => {
                let kept = server.kept();
                let (retention, lie) = (self.shape.retention, self.lie);
                self.sweep.trims = with_ledger(|ledger| {
                    let trims = kept.iter().filter_map(|kept| expired(ledger, *kept, retention));
                    let trims = trims.chain(ended(ledger, retention));
                    trims.map(|trim| lie.trim(ledger, trim)).collect()
                });
            }
            3..6 => {
                let trims = std::mem::take(&mut self.sweep.trims);
                if trims.is_empty() {
                    return false;
                }
                tell(|| format!("these go: {trims:?}"));
                server.trim(trims);
            }
            6 if self.shape.erases && self.dice.once_in(2) => {
                let user = UserId::parse(1 + self.dice.below(self.shape.users)).expect("an id");
                let erasure = server.erase(user);
                tell(|| format!("{user} is to be erased: {erasure:?}"));
            }
            7 if self.dice.once_in(2) => with_disk(|disk| disk.ledger.rewrite()),
            _ => return false,
        }
        true
    }
}

/// The messages of a chat in order, and when they were posted.
fn posts(ledger: &Ledger, chat: ChatId) -> Vec<(Seq, u64)> {
    let events = ledger.chats.get(&chat).map_or(&[][..], |book| book.events.as_slice());
    let records = events.iter().map(|index| &ledger.records[*index]).filter(|record| record.entry.fact.is_post());
    records.filter_map(|record| Some((record.entry.numbered?.1, record.entry.at.0))).collect()
}

/// Up to where a chat is to be trimmed, if it is.
fn expired(ledger: &Ledger, kept: Kept, retention: Retention) -> Option<Trim> {
    let posts = posts(ledger, kept.chat);
    let place = |nth: u64| usize::try_from(nth).unwrap_or(usize::MAX);
    let goes = |rank: u64| {
        let (_, posted) = posts.get(place(rank))?;
        may_go(retention, *posted, now().wall.0, kept.messages.checked_sub(rank + 1)?).then_some(rank + 1)
    };
    let mut rank = kept.trimmed;
    while let Some(next) = goes(rank) {
        rank = next;
    }
    let (up_to, _) = posts.get(place(rank.checked_sub(1)?)).filter(|_| rank > kept.trimmed)?;
    Some(Trim { chat: kept.chat, up_to: *up_to, messages: rank })
}

/// What nobody can read any more goes as a whole.
fn ended(ledger: &Ledger, retention: Retention) -> Vec<Trim> {
    let ended = ledger.chats.iter().filter(|(_, book)| book.is_deleted && retention.is_on());
    let trim = |chat: ChatId| {
        let posts = posts(ledger, chat);
        let (up_to, _) = *posts.last()?;
        let is_news = up_to > ledger.keeping.floor(chat, u64::MAX);
        is_news.then_some(Trim { chat, up_to, messages: posts.len() as u64 })
    };
    ended.filter_map(|(chat, _)| trim(*chat)).collect()
}

impl Lie {
    /// Has a chat keep a message less than it is to.
    fn trim(self, ledger: &Ledger, trim: Trim) -> Trim {
        let next = posts(ledger, trim.chat).into_iter().find(|(seq, _)| *seq > trim.up_to);
        match next {
            Some((up_to, _)) if self == Self::TrimsTooMuch => Trim { up_to, messages: trim.messages + 1, ..trim },
            _ => trim,
        }
    }
}
