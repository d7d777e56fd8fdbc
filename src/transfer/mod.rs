//! The log as lines of JSON, out and in: [`export`] and [`import`]. What a line looks like is in [`mod@line`], and for people
//! in `docs/export.md`.

pub mod export;
pub mod import;
pub mod line;
mod resume;

use std::path::Path;

use chappe_actors::folder::FolderError;
use chappe_actors::log::LogError;

use self::line::BadLine;

/// Why nothing went out or came in, or not all of it.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The data folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Its log cannot be read.
    #[error("the log in {folder}: {source}")]
    Log {
        /// Which folder.
        folder: String,
        /// Why.
        source: LogError,
    },
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A line is not one of an export. All before it is kept.
    #[error("{path}:{number}: {}: {bad}", bad.code())]
    Line {
        /// The file.
        path: String,
        /// The line, from 1.
        number: u64,
        /// What is wrong with it.
        bad: BadLine,
    },
    /// The file that is there is not what would be continued.
    #[error("{path} is there and cannot be continued: {why}. Name another file")]
    Another {
        /// The file.
        path: String,
        /// Why not.
        why: String,
    },
}

fn io(path: &Path) -> impl Fn(std::io::Error) -> TransferError {
    move |source| TransferError::Io { path: path.display().to_string(), source }
}

fn of_log(folder: &Path) -> impl Fn(LogError) -> TransferError {
    move |source| TransferError::Log { folder: folder.display().to_string(), source }
}

#[cfg(test)]
mod refusal_tests;
#[cfg(test)]
mod tests;
