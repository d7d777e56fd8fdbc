//! Rewriting the log of a running server without what is not kept, behind the acks.

use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use super::{Halt, PAUSE, RETRY, Work};
use crate::folder::write_whole;
use crate::history::tables::{self, Limited};
use crate::log::compact::{Compaction, Step};
use crate::log::record::Position;
use crate::log::sqlite::SqliteLog;
use crate::log::{LogError, checkpoint};
use crate::persist::{Replace, Scrub};
use crate::retention::requests;

/// After a step so many times as long as it took, for meanwhile the log's writer commits nothing else.
const RESTS: u32 = 9;
/// How often it is tried to leave nothing in the write-ahead file: a reader may stand in the way.
const TRIES: u32 = 100;
/// The file that says of which log, by its epoch, and how far what it says of what goes was carried out.
const FILE: &str = "compacted";

/// Up to where the log was rewritten without what the tables know is not kept. After a log lost its end, its positions are
/// others.
fn done(folder: &Path, said: &Limited) -> Position {
    let text = std::fs::read_to_string(folder.join(FILE)).unwrap_or_default();
    let place = text.strip_prefix(&format!("{} ", said.epoch)).and_then(|place| place.trim().parse().ok());
    Position(place.unwrap_or_default())
}

/// Notes that the log was rewritten without what the tables know is not kept.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn note_done(folder: &Path, said: &Limited) -> std::io::Result<()> {
    write_whole(&folder.join(FILE), format!("{} {}", said.epoch, said.position.0).as_bytes(), 0o600)
}

impl Work {
    /// Has the log rewritten, if something is to go that is there still: at once for somebody who was erased, else when
    /// it `is_due`. Whether it was.
    pub(super) fn rewrite(&self, is_due: bool) -> Result<bool, Halt> {
        let Some(said) = tables::limited(&self.folder)? else { return Ok(false) };
        let done = done(&self.folder, &said);
        let erased = said.erased > done;
        let trimmed = is_due && said.trimmed > done;
        if !erased && !trimmed {
            return Ok(false);
        }
        let mut log = SqliteLog::reader(&self.folder)?;
        let mut compaction = Compaction::begin(&log, said.position)?;
        let mut reduced = 0;
        loop {
            match compaction.next(&mut log)? {
                Step::Looked => self.pause(Duration::ZERO)?,
                Step::Rewrite(step) => {
                    reduced += step.reduced;
                    let begun = Instant::now();
                    let (answer, done) = sync_channel(1);
                    self.links.replace.do_send(Replace(step, answer));
                    if !done.recv().map_err(|_| Halt::Stopped)? {
                        return Err(Halt::Failed(LogError::Full("the log takes no changes".to_owned())));
                    }
                    self.pause((begun.elapsed() * RESTS).clamp(PAUSE, RETRY))?;
                }
                Step::End => break,
            }
            if !erased && !requests::all(&self.folder).is_empty() {
                // Somebody who waits to be erased comes first. What was done is done; the rest is begun anew.
                return Ok(false);
            }
        }
        drop(log);
        self.scrub()?;
        if erased {
            // The one that is there may say what they were called.
            self.links.scribe.anew().recv().map_err(|_| Halt::Stopped)??;
        }
        note_done(&self.folder, &said)?;
        tracing::info!(reduced, up_to = said.position.0, "rewrote the log without what is not kept");
        Ok(true)
    }

    /// Leaves nothing in the log's write-ahead file.
    fn scrub(&self) -> Result<(), Halt> {
        for _ in 0..TRIES {
            checkpoint::nearly_all(&self.folder)?;
            let (answer, done) = sync_channel(1);
            self.links.scrub.do_send(Scrub(answer));
            if done.recv().map_err(|_| Halt::Stopped)? {
                return Ok(());
            }
            self.pause(PAUSE * 10)?;
        }
        Err(Halt::Failed(LogError::Failed("readers stand in the way of the write-ahead file".to_owned())))
    }
}
