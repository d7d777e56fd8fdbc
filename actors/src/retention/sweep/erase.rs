//! Erasing users: files in the folder say who, and go when it is done.

use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use chappe_proto::UserId;

use super::{EraseUser, Halt, PAUSE, Work};
use crate::folder::remove_torn_ends;
use crate::history::tables;
use crate::log::record::Position;
use crate::log::sqlite::SqliteLog;
use crate::retention::requests;
use crate::state::retention::Erasure;

/// So often it is looked in one go whether the query tables know of an erasure.
const LOOKS: u32 = 100;
/// After this time without a word of it in a log that the tables have read to its end, the disk did not take it.
const LOST: Duration = Duration::from_secs(60);

/// Somebody who is being erased.
#[derive(Debug, Clone, Copy)]
pub(super) struct Erasing {
    user: UserId,
    /// The log says it behind this position, unless the disk refuses it.
    behind: Position,
    since: Instant,
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
            Erasure::Begun(behind) => Ok(Some(Erasing { user, behind, since: Instant::now() })),
            Erasure::NotNow => Ok(None),
            Erasure::Nobody => {
                tracing::warn!(%user, "erase user: there is none");
                requests::done(&self.folder, user)?;
                Ok(None)
            }
        }
    }

    /// Whether the query tables know of an erasure. They may be far behind; it is not said twice for that.
    fn is_known(&mut self, erasing: Erasing) -> Result<bool, Halt> {
        for _ in 0..LOOKS {
            let Some(said) = tables::limited(&self.folder)? else { return Ok(false) };
            if said.erased > erasing.behind {
                return Ok(true);
            }
            if erasing.since.elapsed() > LOST && SqliteLog::reader(&self.folder)?.last()? == said.position {
                tracing::warn!(user = %erasing.user, "erase user: the disk did not take it; it is said again");
                self.erasing = None;
                return Ok(false);
            }
            self.pause(PAUSE)?;
        }
        Ok(false)
    }
}
