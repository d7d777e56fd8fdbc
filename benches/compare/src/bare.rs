//! The disk without a server: what a commit of one row costs at the least.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::payload::{Payload, Pen};
use crate::tally::{Latency, Outcome};
use crate::trouble::Trouble;

/// Commits one row after the other to SQLite, in the settings in which chappe's log is written.
pub(crate) fn sqlite(folder: &Path, measure: Duration, size: usize) -> Result<Outcome, Trouble> {
    let database = Connection::open(folder.join("bare.db"))?;
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "FULL")?;
    database.execute_batch("CREATE TABLE bare (id INTEGER PRIMARY KEY, body BLOB NOT NULL)")?;
    let mut insert = database.prepare("INSERT INTO bare (body) VALUES (?1)")?;
    repeat(measure, size, |row| Ok(insert.execute([row]).map(|_| ())?))
}

/// Appends to a file and waits until it is on disk.
pub(crate) fn append(folder: &Path, measure: Duration, size: usize) -> Result<Outcome, Trouble> {
    let mut file = File::create(folder.join("bare.log")).map_err(Trouble::machine("make a file"))?;
    repeat(measure, size, |row| {
        file.write_all(row).and_then(|()| file.sync_data()).map_err(Trouble::machine("append to a file"))
    })
}

fn repeat(
    measure: Duration,
    size: usize,
    mut commit: impl FnMut(&[u8]) -> Result<(), Trouble>,
) -> Result<Outcome, Trouble> {
    let (pen, mut row, mut latency) = (Pen::new(0, size), Vec::new(), Latency::new()?);
    let (start, mut count) = (Instant::now(), 0);
    while start.elapsed() < measure {
        pen.write(Payload { line: 0, number: count, due_ns: 0 }, &mut row);
        let begun = Instant::now();
        commit(&row)?;
        latency.record(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX));
        count += 1;
    }
    let mut outcome = Outcome::default();
    outcome.values.insert("ack_per_s".to_owned(), f64::from(count) / start.elapsed().as_secs_f64());
    latency.tell("ack", &mut outcome.values);
    Ok(outcome)
}
