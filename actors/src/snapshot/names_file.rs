//! The file of names: fingerprints and what they stand for, in runs, each ascending. It is only appended to. Its first
//! block holds the key that the fingerprints are made with, so it is for the server's eyes only.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::blocks;
use super::load::Unusable;
use crate::state::dedup::Dedup;
use crate::state::names::{Name, Names, PackedName};
use crate::state::print::PrintKey;

/// The file's name in the data folder.
pub const FILE: &str = "names";
const BEGINNING: &[u8] = b"chappe names 1 ";

/// The file, for appending.
#[derive(Debug)]
pub struct NamesFile {
    path: PathBuf,
    file: Option<File>,
    key: PrintKey,
    blocks: u32,
    bytes: u64,
    names: u64,
}

impl NamesFile {
    /// A new file, which is made when the first names come; what stands there is written over.
    pub fn new(folder: &Path, key: PrintKey) -> Self {
        Self { path: folder.join(FILE), file: None, key, blocks: 0, bytes: 0, names: 0 }
    }

    /// The names in the first `bytes` of the file, which are so many; and the file, to be appended to behind them.
    ///
    /// # Errors
    /// [`Unusable`] if they are not there.
    pub fn load(folder: &Path, bytes: u64, names: u64) -> Result<(Self, Dedup), Unusable> {
        let path = folder.join(FILE);
        let damaged = || Unusable::Damaged(FILE);
        let length = usize::try_from(bytes).map_err(|_| damaged())?;
        let mut content = Vec::new();
        content.try_reserve_exact(length).map_err(|_| damaged())?;
        File::open(&path).and_then(|file| file.take(bytes).read_to_end(&mut content)).map_err(Unusable::Io)?;
        if content.len() != length {
            return Err(damaged());
        }
        let all: Vec<&[u8]> = blocks::read(&content).collect::<Result<_, _>>().map_err(|_| damaged())?;
        let (first, runs) = all.split_first().ok_or_else(damaged)?;
        let key = read_key(first).ok_or_else(damaged)?;
        let runs: Vec<&[PackedName]> = runs
            .iter()
            .map(|run| Some(run.as_chunks()).filter(|(_, rest)| rest.is_empty()).map(|(run, _)| run))
            .collect::<Option<_>>()
            .ok_or_else(damaged)?;
        if runs.iter().map(|run| run.len() as u64).sum::<u64>() != names {
            return Err(damaged());
        }
        let blocks = u32::try_from(all.len()).map_err(|_| damaged())?;
        Ok((Self { path, file: None, key, blocks, bytes, names }, Dedup::new(key, Names::of_runs(runs))))
    }

    /// How long it is, and how many names that is.
    pub fn extent(&self) -> (u64, u64) {
        (self.bytes, self.names)
    }

    /// Appends names, in whatever order they are. The first time also the key, which is wanted without names, too.
    ///
    /// # Errors
    /// If the disk does not take them; the same can be tried again.
    pub fn append(&mut self, run: &mut [Name]) -> io::Result<()> {
        if self.blocks == 0 {
            let key: Vec<u8> = self.key.0.iter().flat_map(|half| half.to_le_bytes()).collect();
            self.append_block(&[BEGINNING, &key].concat())?;
        }
        if run.is_empty() {
            return Ok(());
        }
        run.sort_unstable();
        let packed: Vec<u8> = run.iter().flat_map(|name| name.packed()).collect();
        self.append_block(&packed)?;
        self.names += run.len() as u64;
        Ok(())
    }

    fn append_block(&mut self, content: &[u8]) -> io::Result<()> {
        let mut block = Vec::with_capacity(content.len() + 8);
        blocks::write(self.blocks, content, &mut block)?;
        let end = self.bytes;
        self.file()?.write_all_at(&block, end)?;
        self.blocks += 1;
        self.bytes += block.len() as u64;
        Ok(())
    }

    fn file(&mut self) -> io::Result<&File> {
        if self.file.is_none() {
            let mut options = OpenOptions::new();
            let file = options.write(true).create(true).truncate(false).mode(0o600).open(&self.path)?;
            // What is behind was written for a snapshot that never came.
            file.set_len(self.bytes)?;
            self.file = Some(file);
        }
        self.file.as_ref().ok_or_else(|| io::Error::other("no file"))
    }

    /// All that was appended is on disk afterwards.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn sync(&mut self) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), File::sync_data)
    }
}

fn read_key(block: &[u8]) -> Option<PrintKey> {
    let (halves, rest) = block.strip_prefix(BEGINNING)?.as_chunks::<8>();
    let &[one, other] = halves else { return None };
    rest.is_empty().then(|| PrintKey([one, other].map(u64::from_le_bytes)))
}
