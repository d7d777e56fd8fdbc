//! From a snapshot's files to a state, or why not.

use std::io;
use std::path::Path;

use super::names_file::NamesFile;
use super::{Beginning, End, FILE, VERSION, blocks};
use crate::log::record::Position;
use crate::state::slices::Restoring;
use crate::state::{Settings, State};

/// Why a snapshot is left aside.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[source] io::Error),
    /// A file is not as it was written.
    #[error("the file `{0}` is damaged")]
    Damaged(&'static str),
    /// Another version wrote it.
    #[error("it has layout {0}, which is not this version's")]
    Version(u64),
    /// It belongs to a log of another epoch.
    #[error("it belongs to another log")]
    OfAnotherLog,
    /// It knows more than the log.
    #[error("it knows of {0} records that the log does not have")]
    Ahead(u64),
}

/// What a snapshot holds.
#[derive(Debug)]
pub struct Loaded {
    /// As of [`State::head`], and in part as of later, up to `until`: what came behind its head is to be applied again.
    pub state: State,
    /// The log has come so far at least.
    pub until: Position,
    /// Where the names go on.
    pub names: NamesFile,
    /// How large it is, in bytes, without the names.
    pub bytes: u64,
}

/// Loads the snapshot in `folder`, if there is one, for the log of this `epoch`.
///
/// # Errors
/// [`Unusable`].
pub fn load(folder: &Path, epoch: u64, settings: Settings) -> Result<Option<Loaded>, Unusable> {
    let content = match std::fs::read(folder.join(FILE)) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Unusable::Io(error)),
    };
    let damaged = || Unusable::Damaged(FILE);
    let mut all = blocks::read(&content);
    let first = all.next().and_then(Result::ok).and_then(Beginning::read).ok_or_else(damaged)?;
    if first.version != VERSION {
        return Err(Unusable::Version(first.version));
    }
    if first.epoch != epoch {
        return Err(Unusable::OfAnotherLog);
    }
    let all: Vec<&[u8]> = all.collect::<Result<_, _>>().map_err(|_| damaged())?;
    let (last, slices) = all.split_last().ok_or_else(damaged)?;
    let end = End::read(last).ok_or_else(damaged)?;
    let restore = || {
        let mut restoring = Restoring::new(settings);
        slices.iter().try_for_each(|slice| restoring.take(slice))?;
        Some(restoring.finish(end.from, end.last_chat))
    };
    // Each takes about as long as the other.
    let (state, names) = std::thread::scope(|scope| {
        let names = scope.spawn(|| NamesFile::load(folder, end.names_bytes, end.names));
        (restore(), names.join())
    });
    let mut state = state.ok_or_else(damaged)?;
    let (names, dedup) = names.map_err(|_| damaged())??;
    state.set_names(dedup);
    Ok(Some(Loaded { state, until: end.until, names, bytes: content.len() as u64 }))
}
