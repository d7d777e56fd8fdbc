//! Erasing users: files in the folder say who, and go when it is done.

use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use chappe_proto::UserId;

use super::{EraseUser, Halt, PAUSE, Work};
use crate::folder::remove_torn_ends;
use crate::history::tables::{self, Limited};
use crate::log::record::Position;
use crate::log::sqlite::SqliteLog;
use crate::retention::requests;
use crate::state::retention::Erasure;

/// So often it is looked in one go whether the query tables know of an erasure.
const LOOKS: u32 = 50;
/// So long the disk has to take it.
const DISK: Duration = Duration::from_secs(90);

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
            tracing::info!(%user, "erased user");
        }
        Ok(())
    }

    /// Has the log say that a user is erased. Nothing if that is not possible now, or is not to be done.
    fn begin_erasing(&self, user: UserId) -> Result<Option<Erasing>, Halt> {
        let (answer, erasure) = sync_channel(1);
        self.links.erase.do_send(EraseUser(user, answer));
        match erasure.recv().map_err(|_| Halt::Stopped)? {
            Erasure::Begun(behind) => Ok(Some(Erasing { user, behind, since: Instant::now(), before: None })),
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
