//! Takes the write-ahead file over into the log's file, behind the acks, so that it begins anew instead of growing.
//!
//! A thread of its own copies nearly all of it while commits go on; the writer copies the little that came meanwhile and
//! begins at the file's start again. The file keeps its size: a commit that writes over what is there already has no size
//! and no new blocks to put on disk beside its data, which halves what a flush takes.

use std::fs::{File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;
use rustix::fs::{FallocateFlags, fallocate};

use super::LogError;
use super::sqlite::FILE;
use crate::folder;

/// The write-ahead file is taken over when about so much was appended, and has so much room from the start.
pub(super) const WAL_BYTES: usize = 16 * 1024 * 1024;
/// Beyond this the writer waits for the disk itself, rather than let the file grow.
pub(super) const MAX_WAL_BYTES: usize = 8 * WAL_BYTES;
/// What is left is little when it is at most so many frames: the writer copies them in about a millisecond.
const LITTLE: i64 = 128;
/// Times to go over it; a flood appends faster than a slow disk takes over.
const ROUNDS: usize = 8;
/// SQLite's index of the write-ahead file grows by so much, for some 4,000 frames of it each time.
const INDEX_STEP: u64 = 32 * 1024;
/// For [`MAX_WAL_BYTES`], and a commit beyond.
pub(super) const INDEX_BYTES: u64 = 9 * INDEX_STEP;

/// The thread, which ends with this.
#[derive(Debug)]
pub(super) struct Checkpointer {
    /// `None` once it is to end.
    wake: Option<SyncSender<()>>,
    nearly_done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts the thread for the log in `folder`.
    ///
    /// # Errors
    /// [`LogError::Failed`] if no thread can be started.
    pub(super) fn start(folder: &Path) -> Result<Self, LogError> {
        let (wake, woken) = sync_channel(1);
        let nearly_done = Arc::new(AtomicBool::new(false));
        let (file, done) = (folder.join(FILE), Arc::clone(&nearly_done));
        let thread = std::thread::Builder::new()
            .name("chappe-wal".to_owned())
            .spawn(move || run(&file, &woken, &done))
            .map_err(|error| LogError::Failed(error.to_string()))?;
        Ok(Self { wake: Some(wake), nearly_done, thread: Some(thread) })
    }

    /// Whether only a little is left to take over, once; if not, sees to it that it becomes so.
    pub(super) fn is_nearly_done(&self) -> bool {
        let done = self.nearly_done.swap(false, Ordering::Acquire);
        if !done && let Some(wake) = &self.wake {
            // Full means that it is at it.
            let _ = wake.try_send(());
        }
        done
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            // It can only fail by a panic, after which the writer does the work.
            let _ = thread.join();
        }
    }
}

fn run(file: &Path, woken: &Receiver<()>, nearly_done: &AtomicBool) {
    while woken.recv().is_ok() {
        if let Err(error) = nearly_all_of(file) {
            // The writer comes to the same, and says it where it counts.
            tracing::debug!(%error, "take over the write-ahead file");
        }
        nearly_done.store(true, Ordering::Release);
    }
}

/// Takes nearly all of the write-ahead file over, while commits go on.
///
/// # Errors
/// As for [`take_over`].
pub(crate) fn nearly_all(folder: &Path) -> Result<(), LogError> {
    nearly_all_of(&folder.join(FILE))
}

fn nearly_all_of(file: &Path) -> Result<(), LogError> {
    let connection = Connection::open(file)?;
    connection.execute_batch("PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;")?;
    let mut before = 0;
    for _ in 0..ROUNDS {
        let frames = take_over(&connection)?;
        if (frames - before).abs() <= LITTLE {
            break;
        }
        before = frames;
    }
    Ok(())
}

/// Copies what is in the write-ahead file and no reader still needs there; answers how many frames it has.
///
/// # Errors
/// [`LogError`] if the disk does not take it. Nothing is lost: what was committed stays where it is.
pub(super) fn take_over(connection: &Connection) -> Result<i64, LogError> {
    // Never waits for readers or the writer, and keeps nobody waiting.
    Ok(connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |row| row.get(1))?)
}

/// Gives the write-ahead file its room, in zeros, which SQLite takes for the end. To be called before the first commit.
/// Where the disk has little room, commits make theirs as they go.
pub(super) fn reserve(folder: &Path) {
    let path = folder.join(format!("{FILE}-wal"));
    let reserve = || {
        if folder::free_bytes(folder)? < MAX_WAL_BYTES as u64 {
            return Ok(());
        }
        let mut wal = OpenOptions::new().write(true).open(&path)?;
        let mut size = wal.seek(SeekFrom::End(0))?;
        let zeros = vec![0; 1 << 20];
        while size < WAL_BYTES as u64 {
            wal.write_all(&zeros)?;
            size += zeros.len() as u64;
        }
        wal.sync_data()
    };
    let reserved: std::io::Result<()> = reserve();
    if let Err(error) = reserved {
        tracing::debug!(%error, "make room for the write-ahead file");
    }
}

/// Opens SQLite's index of the write-ahead file, for [`reserve_index`], and for as long as the process lives: closing it
/// would take the locks away that SQLite has on it. For servers only, and once the log is open.
pub(super) fn index(folder: &Path) -> Option<&'static File> {
    match OpenOptions::new().write(true).open(folder.join(format!("{FILE}-shm"))) {
        Ok(file) => Some(Box::leak(Box::new(file))),
        Err(error) => {
            tracing::debug!(%error, "open the index of the write-ahead file");
            None
        }
    }
}

/// Gives SQLite's index of the write-ahead file its room, or as much of it as there is. SQLite takes it only once a commit
/// is written, which a disk without room then leaves in doubt. What stands in the index stays, and it never gets shorter.
pub(super) fn reserve_index(index: &File) {
    for step in 0..INDEX_BYTES / INDEX_STEP {
        if let Err(error) = fallocate(index, FallocateFlags::empty(), step * INDEX_STEP, INDEX_STEP) {
            tracing::debug!(%error, "make room for the index of the write-ahead file");
            return;
        }
    }
}
