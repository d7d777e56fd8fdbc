//! The users that a data folder knows beside its accounts: what no account gets the id of. Whoever got one would be taken
//! for the one before.

use std::collections::BTreeSet;
use std::path::Path;

use chappe_proto::UserId;
use rusqlite::Connection;

use crate::folder::{FolderError, log_error, open_beside_if_any};
use crate::history::tables::{self, Tables};
use crate::log::record::{self, Fact, Kind, Position};
use crate::log::sqlite::SqliteLog;
use crate::log::{EventLog, LogError, to_sql};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The query tables, if they are there and the log's.
    tables: Option<Connection>,
    /// Users whom the log has and the tables have not.
    beyond: BTreeSet<u64>,
}

impl Known {
    /// Looks into `folder`, whether a server uses it or not. Cost: what of the log is not in the query tables.
    ///
    /// # Errors
    /// [`FolderError`]: there is, or was, a log, and it cannot be read.
    pub(super) fn open(folder: &Path) -> Result<Self, FolderError> {
        let Some(mut log) = open_beside_if_any(folder)? else { return Ok(Self::default()) };
        // The log is the truth: where the tables cannot be used it says it all.
        let (tables, at) =
            tables_of(folder, &log).map_or((None, Position::default()), |(tables, at)| (Some(tables), at));
        let beyond = made_after(&mut log, at).map_err(|source| log_error(folder, source))?;
        Ok(Self { tables, beyond })
    }

    /// Whether there is, or was, such a user.
    ///
    /// # Errors
    /// [`LogError`] if the disk cannot be read.
    pub(super) fn has(&self, id: u64) -> Result<bool, LogError> {
        let Some(tables) = self.tables.as_ref().filter(|_| !self.beyond.contains(&id)) else {
            return Ok(self.beyond.contains(&id));
        };
        Ok(tables.prepare_cached("SELECT 1 FROM users WHERE id = ?1")?.exists([to_sql(id)])?)
    }
}

/// The query tables made from this log, and how far they are.
fn tables_of(folder: &Path, log: &SqliteLog) -> Option<(Connection, Position)> {
    let open = || -> Result<_, LogError> {
        let tables = Tables::reader(&folder.join(tables::FILE))?;
        let place = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
        let (epoch, position) = tables.query_row("SELECT epoch, position FROM progress", (), place)?;
        Ok((tables, epoch, Position(u64::try_from(position).unwrap_or_default())))
    };
    let (tables, epoch, position) = open().ok()?;
    (epoch == to_sql(log.epoch()) && position <= log.last().ok()? && !tables::are_doubted(folder))
        .then_some((tables, position))
}

/// The users made in the log after a position.
fn made_after(log: &mut SqliteLog, after: Position) -> Result<BTreeSet<u64>, LogError> {
    let mut made = BTreeSet::new();
    log.visit(after, |position, body| {
        let (head, fact) = record::open(position, body)?;
        // Most records are events of chats: they are not read further.
        if head.numbered.is_none()
            && Kind::of(fact) == Kind::Other
            && let Fact::UserCreated { user, .. } = record::decode(position, body)?.entry.fact
        {
            made.insert(UserId::get(user));
        }
        Ok(true)
    })?;
    Ok(made)
}
