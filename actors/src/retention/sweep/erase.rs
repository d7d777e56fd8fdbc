//! Erasing users: files in the folder say who, and go when it is done.

use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use chappe_proto::UserId;

use super::{EraseUser, Halt, PAUSE, Work};
use crate::folder::remove_torn_ends;
use crate::history::tables::{self, Limited};
use crate::log::EventLog;
use crate::log::record::{Fact, Position, Record};
use crate::log::sqlite::SqliteLog;
use crate::retention::requests;
use crate::state::retention::Erasure;

/// So often it is looked in one go whether the query tables know of an erasure.
const LOOKS: u32 = 50;
/// So long the disk has to take it.
const DISK: Duration = Duration::from_secs(90);
/// So much of the log is looked through in one go.
const PAGE_BYTES: usize = 1 << 20;

/// Somebody who is being erased.
#[derive(Debug, Clone, Copy)]
pub(super) struct Erasing {
    user: UserId,
    /// The log says it behind this position, unless the disk refuses it.
    behind: Position,
    since: Instant,
    /// Where the log stood when the disk had had its time for it: it is said before that, or not at all.
    before: Option<Position>,
}

impl Erasing {
    /// Whether the query tables know of it; `None` while they may yet.
    fn is_known(&self, said: Option<Limited>) -> Option<bool> {
        match said {
            Some(said) if said.erased > self.behind => Some(true),
            Some(said) if self.before.is_some_and(|end| said.position >= end) => Some(false),
            _ => None,
        }
    }
}

impl Work {
    /// Erases who is to be erased, as far as that goes without waiting long.
    pub(super) fn erase(&mut self) -> Result<(), Halt> {
        let requests = requests::all(&self.folder);
        self.erasing = self.erasing.filter(|erasing| requests.contains(&erasing.user));
        for user in requests {
            if self.erased.contains(&user) || self.erasing.is_some_and(|erasing| erasing.user != user) {
                continue;
            }
            let Some(erasing) = self.erasing.map_or_else(|| self.begin_erasing(user), |erasing| Ok(Some(erasing)))?
            else {
                continue;
            };
            self.erasing = Some(erasing);
            if !self.is_known(erasing)? {
                break;
            }
            self.erasing = None;
            self.erased.insert(user);
        }
        if !self.erased.is_empty() {
            self.rewrite(true)?;
            remove_torn_ends(&self.folder)?;
        }
        while let Some(user) = self.erased.pop_first() {
            requests::done(&self.folder, user)?;
            self.begun.remove(&user);
            tracing::info!(%user, "erased user");
        }
        Ok(())
    }

    /// Has the log say that a user is erased. Nothing if that is not possible now, or is not to be done.
    fn begin_erasing(&mut self, user: UserId) -> Result<Option<Erasing>, Halt> {
        let erasing = |behind| Erasing { user, behind, since: Instant::now(), before: None };
        if !self.begun.contains(&user) {
            let said = said_before(&self.folder, user, || self.pause(Duration::ZERO))?;
            self.begun.insert(user);
            if let Some(at) = said {
                return Ok(Some(erasing(Position(at.0.saturating_sub(1)))));
            }
        }
        let (answer, erasure) = sync_channel(1);
        self.links.erase.do_send(EraseUser(user, answer));
        match erasure.recv().map_err(|_| Halt::Stopped)? {
            Erasure::Begun(behind) => Ok(Some(erasing(behind))),
            Erasure::NotNow => Ok(None),
            Erasure::Nobody => {
                tracing::warn!(%user, "erase user: there is none");
                requests::done(&self.folder, user)?;
                Ok(None)
            }
        }
    }

    /// Whether the query tables know of an erasure. They may be far behind; it is not said twice for that.
    fn is_known(&mut self, mut erasing: Erasing) -> Result<bool, Halt> {
        if erasing.before.is_none() && erasing.since.elapsed() > DISK {
            erasing.before = Some(SqliteLog::reader(&self.folder)?.last()?);
            self.erasing = Some(erasing);
        }
        for _ in 0..LOOKS {
            match erasing.is_known(tables::limited(&self.folder)?) {
                Some(true) => return Ok(true),
                Some(false) => {
                    tracing::warn!(user = %erasing.user, "erase user: the disk did not take it; it is said again");
                    self.erasing = None;
                    return Ok(false);
                }
                None => self.pause(PAUSE)?,
            }
        }
        Ok(false)
    }
}

/// Where a server before this one has said that a user is erased, if one has. What was said since then stays: whoever it was
/// may have come back as somebody new. If none has begun with it, one has now.
fn said_before(folder: &Path, user: UserId, rest: impl Fn() -> Result<(), Halt>) -> Result<Option<Position>, Halt> {
    let mut log = SqliteLog::reader(folder)?;
    let epoch = log.epoch();
    let Some((_, mut at)) = requests::begun(folder, user).filter(|(of, _)| *of == epoch) else {
        // On disk before it is said.
        requests::begin(folder, user, epoch, log.last()?)?;
        return Ok(None);
    };
    loop {
        let page = log.page(at, PAGE_BYTES)?;
        let Some(last) = page.last() else { return Ok(None) };
        at = last.position;
        let says_so = |record: &&Record| record.entry.fact == Fact::UserErased { user };
        if let Some(said) = page.iter().find(says_so) {
            return Ok(Some(said.position));
        }
        rest()?;
    }
}

#[cfg(test)]
mod tests {
    use chappe_proto::Millis;

    use super::*;
    use crate::log::conformance::{new_chat, post};
    use crate::log::record::{Draft, Place};

    #[test]
    fn tables_that_take_long_to_erase_somebody_are_waited_for() {
        let said = |erased, position| {
            let [trimmed, erased, position] = [0, erased, position].map(Position);
            Some(Limited { trimmed, erased, position, epoch: 1 })
        };
        let erasing =
            |before| Erasing { user: UserId::parse(7).unwrap(), behind: Position(100), since: Instant::now(), before };
        let end = Some(Position(500));
        for (said, before, known) in [
            (None, None, None),
            (said(50, 100), None, None),
            (said(101, 101), None, Some(true)),
            // They are at it still, however long the disk has had: to say it again would only make it longer.
            (said(50, 100), end, None),
            (said(101, 101), end, Some(true)),
            (said(50, 499), end, None),
            (said(50, 500), end, Some(false)),
        ] {
            assert_eq!(erasing(before).is_known(said), known, "{said:?} {before:?}");
        }
    }
    #[test]
    fn what_a_server_before_has_said_is_not_said_again() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = SqliteLog::open(folder.path(), 7, |_| {}).unwrap();
        let user = UserId::parse(7).unwrap();
        let erased = |user| Draft { at: Millis(1), place: Place::Nowhere, fact: Fact::UserErased { user } };
        // An earlier time: whoever it was has come back since.
        log.append(vec![new_chat(), erased(user), post(7, "here again")]).unwrap();
        let said = || match said_before(folder.path(), user, || Ok(())) {
            Ok(said) => said,
            Err(_) => panic!("the log can be read"),
        };
        assert_eq!(said(), None, "begun");
        assert_eq!(said(), None, "and killed before it was said");
        log.append(vec![post(8, "others"), erased(UserId::parse(8).unwrap()), erased(user), post(7, "and again")])
            .unwrap();
        assert_eq!(said(), Some(Position(6)));
        requests::begin(folder.path(), user, 6, Position(0)).unwrap();
        assert_eq!(said(), None, "that was another log");
        assert_eq!(requests::begun(folder.path(), user), Some((7, Position(7))));
    }
}
