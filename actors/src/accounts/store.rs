//! The file of accounts and denials.

use std::path::Path;

/// Why the file of accounts cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite says no.
    #[error("{path}: {source}")]
    Sqlite {
        /// The file.
        path: String,
        /// Why.
        source: rusqlite::Error,
    },
}

/// The accounts, open.
#[derive(Debug)]
pub struct Store {}

impl Store {
    /// Opens the file in `folder`, or makes it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let _ = folder;
        Ok(Self {})
    }
}
