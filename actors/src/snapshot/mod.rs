//! Snapshots: what a start takes instead of most of the log. The log stays the truth; a snapshot that is missing,
//! damaged, of another log or ahead of it is left aside, and the whole log is read.
//!
//! `snapshot` is written anew each time and holds the chats and users, in slices, each of its own moment (see
//! [`crate::state::slices`]). `names` is appended to, and holds the fingerprints of names; `snapshot` says how much of it
//! belongs to it. Both are blocks with a checksum each.

pub mod blocks;
pub mod load;
pub mod names_file;
pub mod scribe;

use std::path::Path;

use crate::folder;
use crate::log::record::Position;
use crate::state::varint::{Reader, put};

/// The file of chats and users, in the data folder.
pub const FILE: &str = "snapshot";
/// What it is called until it is whole.
pub const UNFINISHED: &str = "snapshot.tmp";
/// The layout this version reads and writes.
const VERSION: u64 = 2;
const BEGINNING: &[u8] = b"chappe snapshot ";
const END: &[u8] = b"end ";

/// Removes the last snapshot in `folder`, and what there is of another: a start before there is a new one reads the whole log.
///
/// # Errors
/// If a file cannot be removed.
pub fn remove_last(folder: &Path) -> std::io::Result<()> {
    // The one that is loaded first.
    for file in [FILE, UNFINISHED] {
        folder::remove(folder.join(file))?;
    }
    folder::flush(folder)
}

/// Leaves nothing of snapshots in `folder`, names either.
///
/// # Errors
/// If a file cannot be removed.
pub fn remove(folder: &Path) -> std::io::Result<()> {
    remove_last(folder)?;
    folder::remove(folder.join(names_file::FILE))?;
    folder::flush(folder)
}

/// What the first block says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Beginning {
    version: u64,
    epoch: u64,
}

impl Beginning {
    fn bytes(self) -> Vec<u8> {
        let mut out = BEGINNING.to_vec();
        put(self.version, &mut out);
        put(self.epoch, &mut out);
        out
    }

    fn read(block: &[u8]) -> Option<Self> {
        let mut bytes = Reader(block.strip_prefix(BEGINNING)?);
        Some(Self { version: bytes.number()?, epoch: bytes.number()? })
    }
}

/// What the last block says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    /// Where the log stood when the first slice was taken: what comes behind is read from there.
    from: Position,
    /// Where it stood when the last was.
    until: Position,
    /// The newest chat there had been.
    last_chat: u64,
    /// How many bytes of the names' file belong to it, and how many names they are.
    names_bytes: u64,
    names: u64,
}

impl End {
    fn bytes(self) -> Vec<u8> {
        let mut out = END.to_vec();
        let Self { from, until, last_chat, names_bytes, names } = self;
        [from.0, until.0, last_chat, names_bytes, names].into_iter().for_each(|number| put(number, &mut out));
        out
    }

    fn read(block: &[u8]) -> Option<Self> {
        let mut bytes = Reader(block.strip_prefix(END)?);
        let mut number = || bytes.number();
        let (from, until) = (Position(number()?), Position(number()?));
        Some(Self { from, until, last_chat: number()?, names_bytes: number()?, names: number()? })
    }
}
