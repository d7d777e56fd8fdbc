//! Which messages are past their time, or too many.

use std::sync::mpsc::sync_channel;
use std::time::Duration;

use chappe_proto::{ChatId, Millis};

use super::{GetKept, Halt, PAUSE, TrimChats, Work};
use crate::history::{History, tables};
use crate::log::LogError;
use crate::map::Map;
use crate::retention::Retention;
use crate::state::retention::{Kept, Trim};

/// Messages of a chat looked at in one go; the rest have their turn the next time.
const LOOKED_AT: u64 = 5000;
const PAGE: usize = 500;

/// Decides how much of a chat goes.
#[derive(Debug)]
pub(super) struct Measure {
    retention: Retention,
    /// When the oldest message of a chat is due, where that is known.
    due: Map<ChatId, Millis>,
    /// The time that has surely come, whatever the clock says.
    surely: Millis,
}

impl Measure {
    pub(super) fn new(retention: Retention) -> Self {
        Self { retention, due: Map::default(), surely: Millis(u64::MAX) }
    }

    /// Up to where a chat is to be trimmed, if it is. It is asked again until it was: a server that has too much to do, or no
    /// disk, trims nothing.
    fn expired(&mut self, history: &mut History, kept: Kept, now: Millis) -> Result<Option<Trim>, LogError> {
        let mut rank = kept.trimmed.max(self.retention.too_many(kept.messages));
        let surely = now.min(self.surely);
        if let (Some(oldest), Some(age)) = (self.retention.oldest(surely), self.retention.max_age)
            && self.due.get(&kept.chat).is_none_or(|due| *due <= surely)
        {
            let (older, next) = history.older(kept.chat, kept.floor, (oldest, now), LOOKED_AT, PAGE)?;
            rank = rank.max(kept.trimmed + older);
            let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            match next {
                Some(next) if older == 0 => self.due.insert(kept.chat, Millis(next.0.saturating_add(age))),
                _ => self.due.remove(&kept.chat),
            };
        }
        if rank <= kept.trimmed {
            return Ok(None);
        }
        Ok(Some(Trim { chat: kept.chat, up_to: history.nth_message(kept.chat, rank)?, messages: rank }))
    }
}

impl Work {
    /// Looks through all chats once. One that cannot be read keeps no other from being looked at.
    pub(super) fn trim(&mut self) -> Result<(), Halt> {
        let mut history = History::open(&self.folder)?;
        // Nothing is older than the beginning of time.
        self.measure.surely = self.passed.look(self.clock.now()).unwrap_or_default();
        let (mut from, mut failed) = (Some(1), None);
        while let Some(id) = from {
            let (answer, kept) = sync_channel(1);
            self.links.kept.do_send(GetKept(id, answer));
            let (kept, next) = kept.recv().map_err(|_| Halt::Stopped)?;
            let mut trims = Vec::new();
            for kept in kept {
                match self.measure.expired(&mut history, kept, self.clock.now().wall) {
                    Ok(trim) => trims.extend(trim),
                    Err(error) => failed = Some(error),
                }
                self.pause(Duration::ZERO)?;
            }
            if !trims.is_empty() {
                self.links.trim.do_send(TrimChats(trims));
            }
            from = next;
            self.pause(PAUSE)?;
        }
        match failed.or(self.trim_deleted(&mut history)?) {
            Some(error) => {
                if error.is_corrupt() {
                    tables::damaged(&self.folder);
                }
                Err(error.into())
            }
            None => Ok(()),
        }
    }

    /// What nobody can read any more goes as a whole. Why something could not be read, if so.
    fn trim_deleted(&mut self, history: &mut History) -> Result<Option<LogError>, Halt> {
        let mut failed = None;
        let deleted = history.deleted().unwrap_or_else(|error| {
            failed = Some(error);
            Vec::new()
        });
        for chat in deleted {
            if self.ended.contains(&chat) {
                continue;
            }
            match history.last_message(chat) {
                Ok(Some((up_to, messages))) => {
                    self.links.trim.do_send(TrimChats(vec![Trim { chat, up_to, messages }]));
                    self.pause(PAUSE)?;
                }
                Ok(None) => {
                    self.ended.insert(chat);
                }
                Err(error) => failed = Some(error),
            }
        }
        Ok(failed)
    }
}

#[cfg(test)]
mod tests {
    use chappe_proto::Seq;

    use super::*;
    use crate::history::tests::folder;
    use crate::log::conformance::{new_chat, post};
    use crate::log::record::Draft;

    fn kept(messages: u64, trimmed: u64) -> Kept {
        Kept { chat: ChatId::parse(1).unwrap(), floor: Seq(trimmed + u64::from(trimmed > 0)), trimmed, messages }
    }

    #[test]
    fn what_was_to_go_and_did_not_is_still_to_go() {
        let posts = [10, 20, 30_000].map(|at| Draft { at: Millis(at), ..post(1, "words") });
        let (folder, ..) = folder(&[std::iter::once(new_chat()).chain(posts).collect()], usize::MAX, 2);
        let mut history = History::open(folder.path()).unwrap();
        let second = Duration::from_secs(1);
        let retention =
            Retention { max_age: Some(second), max_messages_per_chat: None, every: second, compact_every: second };
        let mut measure = Measure::new(retention);
        let mut expired = |trimmed, now| measure.expired(&mut history, kept(3, trimmed), Millis(now)).unwrap();
        let two = Trim { chat: ChatId::parse(1).unwrap(), up_to: Seq(3), messages: 2 };
        assert_eq!(expired(0, 1000), None);
        assert_eq!(expired(0, 2000), Some(two));
        assert_eq!(expired(0, 2001), Some(two), "nobody did it");
        assert_eq!(expired(2, 2002), None);
        assert_eq!(expired(2, 30_000), None);
        assert_eq!(expired(2, 31_001), Some(Trim { up_to: Seq(4), messages: 3, ..two }));
    }

    #[test]
    fn a_clock_that_is_ahead_makes_nothing_old() {
        let (folder, ..) = folder(&[vec![new_chat(), Draft { at: Millis(10), ..post(1, "words") }]], usize::MAX, 2);
        let mut history = History::open(folder.path()).unwrap();
        let second = Duration::from_secs(1);
        let retention =
            Retention { max_age: Some(second), max_messages_per_chat: None, every: second, compact_every: second };
        let mut measure = Measure::new(retention);
        let mut trimmed = |surely, now| {
            measure.surely = Millis(surely);
            measure.expired(&mut history, kept(1, 0), Millis(now)).unwrap().map(|trim| trim.messages)
        };
        let year = 31_536_000_000;
        assert_eq!(trimmed(0, year), None);
        assert_eq!(trimmed(500, year), None);
        assert_eq!(trimmed(1011, 500), None, "nor one that is behind");
        assert_eq!(trimmed(1011, year), Some(1));
    }

    #[test]
    fn what_was_said_while_the_clock_was_far_ahead_holds_nothing_up_and_takes_nothing_with_it() {
        let year = 31_536_000_000;
        let posts = [10, year, year + 1, 20, 9_000, year + 2].map(|at| Draft { at: Millis(at), ..post(1, "words") });
        let (folder, ..) = folder(&[std::iter::once(new_chat()).chain(posts).collect()], usize::MAX, 2);
        let mut history = History::open(folder.path()).unwrap();
        let second = Duration::from_secs(1);
        let retention =
            Retention { max_age: Some(second), max_messages_per_chat: None, every: second, compact_every: second };
        let mut expired = |now| {
            Measure::new(retention).expired(&mut history, kept(6, 0), Millis(now)).unwrap().map(|trim| trim.messages)
        };
        assert_eq!(expired(1_000), None);
        assert_eq!(expired(1_015), Some(1), "whether those behind are old is not known yet");
        assert_eq!(expired(2_000), Some(4));
        assert_eq!(expired(10_001), Some(5), "nothing old is behind the last");
        assert_eq!(expired(year + 5_000), Some(6), "in the end they are as old as they say");
    }
}
