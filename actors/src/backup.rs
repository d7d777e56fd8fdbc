//! Backups: one file that holds what a data folder cannot do without. The log, as far as it had come when the backup
//! began; the accounts; and the small files that the program names. Query tables and snapshots are built from the log.
//!
//! What is in the file is in [`format`]; [`take`] makes one, also beside a running server, [`check`] reads one through,
//! and [`restore`] makes a data folder of it.

mod check;
mod format;
mod pace;
mod restore;
mod take;
mod target;

use std::path::Path;

use chappe_proto::Millis;

pub use self::check::check;
pub use self::restore::restore;
pub use self::take::{Order, take};
use crate::accounts::store::StoreError;
use crate::folder::FolderError;
use crate::log::LogError;
use crate::log::record::Position;

/// What a backup holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// When it was begun.
    pub created: Millis,
    /// The epoch of the log.
    pub epoch: u64,
    /// The last position in it; the first is 1, and none is missing.
    pub head: Position,
    /// The other files in it.
    pub files: Vec<String>,
    /// How large it is.
    pub bytes: u64,
}

/// What is being done, for who waits: how much of how much is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Records are copied.
    Copying,
    /// The backup is read back; bytes are counted.
    Checking,
    /// Records are put into the new log.
    Restoring,
    /// The new log is read as a start reads it.
    Reading,
}

/// Is told how far it is.
pub type Progress<'a> = &'a mut dyn FnMut(Doing, u64, u64);

/// Why there is no backup, or nothing comes of one.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The log cannot be read.
    #[error("the log in {folder}: {source}. If no server has run since the machine lost its power, start it once")]
    Log {
        /// Which folder.
        folder: String,
        /// Why.
        source: LogError,
    },
    /// The accounts cannot be read.
    #[error(transparent)]
    Accounts(#[from] StoreError),
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// What is to be written over is something else.
    #[error("{0} is there and is no backup: it is not written over")]
    InTheWay(String),
    /// It is not a backup.
    #[error("{0} is no backup of chappe's")]
    Foreign(String),
    /// Another version of chappe made it.
    #[error(
        "{path} is a backup of layout {found}, and this version of chappe reads {known}: restore it with the version that made it"
    )]
    Version {
        /// The backup.
        path: String,
        /// Its layout.
        found: u16,
        /// Ours.
        known: u16,
    },
    /// It is not as it was written.
    #[error("{path} is damaged: {what}. Nothing was made of it")]
    Damaged {
        /// The backup.
        path: String,
        /// What is wrong.
        what: String,
    },
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> BackupError {
    move |source| BackupError::Io { path: path.display().to_string(), source }
}

fn damaged(path: &Path, what: impl ToString) -> BackupError {
    BackupError::Damaged { path: path.display().to_string(), what: what.to_string() }
}

#[cfg(test)]
mod tests;
