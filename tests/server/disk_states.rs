//! Power cuts on paper: what a server does to its disk is recorded, and the disk is made anew as a cut at any moment could
//! have left it. From each such state the log has to open, whole, with everything that was acknowledged by then.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::SystemTime;

use chappe_actors::accounts::store::Store;
use chappe_actors::folder::Folder;
use chappe_actors::log::{EventLog, Numbering};
use chappe_actors::principal::Denial;
use chappe_proto::event::Event;

use crate::disk_lives::{self, content};
use crate::support::client::{Client, Door};
use crate::support::dice::Dice;
use crate::support::faults::{FaultyDisk, quick_folder};
use crate::support::flood::history;
use crate::support::record::{Entry, Mark, Record};
use crate::support::replay::{Fate, Replay};
use crate::support::server::TestServer;

/// States made of each record, unless `CHAPPE_STATES` says otherwise.
const STATES: usize = 120;
/// One of so many states is also given to a server, and to `chappe verify`.
const SERVED: usize = 40;

/// A state of the disk, made in a folder, and what has to be in it.
struct State {
    what: String,
    folder: tempfile::TempDir,
    /// By `client_id`: the id and the number.
    acked: HashMap<String, (u64, u64)>,
    /// How many sessions have ended.
    ended: usize,
    served: bool,
}

/// What has to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    /// What was acknowledged before the cut.
    Acked,
    /// What was sent before the cut and acknowledged at some time: as if acks did not wait for the disk.
    Sent,
}

/// What is looked at.
#[derive(Debug, Clone, Copy)]
struct Look<'a> {
    record: &'a Record,
    /// The log's, which must not change.
    epoch: u64,
    seed: u64,
    count: usize,
    /// See [`Replay::of`].
    ignored: Option<&'static str>,
    owed: Owed,
    served: bool,
}

/// Makes states of a record: cuts at random moments, more of them where names change and files are taken over.
fn states(look: &Look<'_>, mut give: impl FnMut(State)) {
    let Look { record, seed, count, ignored, owed, .. } = *look;
    let mut dice = Dice::new(seed);
    let acks: HashMap<&str, (u64, u64)> = record
        .entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Mark(Mark::Acked(name, id, seq)) => Some((name.as_str(), (*id, *seq))),
            _ => None,
        })
        .collect();
    let is_rare = |entry: &Entry| {
        let names = matches!(entry, Entry::Create { .. } | Entry::Rename { .. } | Entry::Unlink { .. });
        names || matches!(entry, Entry::Truncate { .. } | Entry::FlushFailed { .. } | Entry::Start { .. })
    };
    let length = record.entries.len();
    let rare: Vec<usize> = (0..length).filter(|at| is_rare(&record.entries[*at])).collect();
    let mut cuts: Vec<usize> = (0..count)
        .map(|nth| match dice.pick(&rare) {
            Some(at) if nth % 3 == 0 => (at + dice.below(12) as usize).min(length),
            _ => dice.below(length as u64 + 1) as usize,
        })
        .collect();
    cuts.sort_unstable();
    let mut replay = Replay::of(record, ignored);
    let (mut acked, mut ended, mut marked) = (HashMap::new(), 0, 0);
    for (nth, cut) in cuts.into_iter().enumerate() {
        replay.play(cut);
        for entry in &record.entries[marked..cut] {
            match entry {
                Entry::Mark(Mark::Acked(name, id, seq)) if owed == Owed::Acked => {
                    acked.insert(name.clone(), (*id, *seq));
                }
                Entry::Mark(Mark::Ended) => ended += 1,
                Entry::Mark(Mark::Sent(name)) if owed == Owed::Sent => {
                    acked.extend(acks.get(name.as_str()).map(|place| (name.clone(), *place)));
                }
                _ => {}
            }
        }
        marked = cut;
        let fate = Fate::thrown(&mut dice, replay.oldest(), cut);
        let folder = quick_folder();
        replay.make(folder.path(), fate, &mut dice);
        let what = format!("a cut before entry {cut} of {length}, the rest {fate:?}, seed {seed}");
        give(State { what, folder, acked: acked.clone(), ended, served: look.served && nth % SERVED == SERVED / 2 });
    }
}

/// What is wrong with a state.
fn fault(state: &State, epoch: u64) -> Result<(), String> {
    let data = state.folder.path().join("data");
    if state.acked.is_empty() && state.ended == 0 && !data.exists() {
        return Ok(());
    }
    // Before the log is opened here, which would mend what a server has to.
    let copy = state.served.then(|| copied(&data));
    opened(state, &data, epoch)?;
    denied(state, &data)?;
    copy.map_or(Ok(()), |copy| served(state, &copy.path().join("data")))
}

fn copied(data: &Path) -> tempfile::TempDir {
    let copy = quick_folder();
    std::fs::create_dir(copy.path().join("data")).unwrap();
    for file in std::fs::read_dir(data).into_iter().flatten().map(Result::unwrap) {
        std::fs::copy(file.path(), copy.path().join("data").join(file.file_name())).unwrap();
    }
    copy
}

/// Opens the log as a start does, and looks through it.
fn opened(state: &State, data: &Path, epoch: u64) -> Result<(), String> {
    let folder = Folder::lock(data).map_err(|error| error.to_string())?;
    let mut log = folder.open_log(epoch).map_err(|error| error.to_string())?;
    let (mut found, mut names, mut seqs) = (HashMap::new(), 0, HashMap::new());
    let mut strange = None;
    let torn = folder.read_log(&mut log, Numbering::default(), |record| {
        let Some(event) = record.into_event() else { return };
        let seq = seqs.entry(event.chat_id()).or_insert(0);
        *seq += 1;
        if event.seq().0 != *seq {
            strange = Some(format!("event {} of chat {} stands at {seq}", event.seq(), event.chat_id()));
        }
        if let Event::Message(message) = event
            && let Some(name) = &message.client_id
        {
            let name = name.as_str().to_owned();
            if !message.content.starts_with(&name) || *message.content != content(&name, message.content.len()) {
                strange = Some(format!("{name} says something else"));
            }
            names += 1;
            found.insert(name, (message.id.get(), message.seq.0));
        }
    });
    if let Some(torn) = torn.map_err(|error| error.to_string())? {
        return Err(format!("a row is torn at {}: {}", torn.position.0, torn.damage));
    }
    if let Some(strange) = strange {
        return Err(strange);
    }
    if names != found.len() {
        return Err(format!("{} messages are there twice", names - found.len()));
    }
    if !state.acked.is_empty() && log.epoch() != epoch {
        return Err(format!("the log is another: epoch {} instead of {epoch}", log.epoch()));
    }
    let lost: BTreeSet<_> =
        state.acked.iter().filter(|(name, place)| found.get(*name) != Some(place)).map(|(name, _)| name).collect();
    if lost.is_empty() {
        Ok(())
    } else {
        Err(format!("{} of {} acknowledged messages are lost: {:?}", lost.len(), state.acked.len(), lost.first()))
    }
}

/// Opens the accounts as a start does, and counts the tokens that are not believed.
fn denied(state: &State, data: &Path) -> Result<(), String> {
    if state.ended == 0 {
        return Ok(());
    }
    let denials = Store::open(data).and_then(|store| store.denials()).map_err(|error| error.to_string())?;
    let count = denials.iter().filter(|denial| matches!(denial, Denial::Token { .. })).count();
    if count < state.ended {
        return Err(format!("{} of {} sessions that had ended go on", state.ended - count, state.ended));
    }
    Ok(())
}

/// Starts a server on the state, and lets `chappe verify` look at what it leaves.
fn served(state: &State, data: &Path) -> Result<(), String> {
    let mut server = TestServer::in_folder(data);
    let messages = history(&server, 1, 1);
    let places: HashMap<_, _> = messages
        .iter()
        .filter_map(|message| {
            Some((message["client_id"].as_str()?, (message["id"].as_u64()?, message["seq"].as_u64()?)))
        })
        .collect();
    if let Some((name, _)) = state.acked.iter().find(|(name, place)| places.get(name.as_str()) != Some(place)) {
        return Err(format!("the server does not know {name}"));
    }
    Client::hello(&server, Door::TcpJson, 1).post(1, "it goes on");
    if let Some(line) = server.log().lines().find(|line| line.contains("lost its end") || line.contains("ERROR")) {
        return Err(format!("the server says: {line}"));
    }
    server.caught_up();
    if server.stop() != Some(0) {
        return Err(format!("the server does not end well: {}", server.log()));
    }
    let verified = TestServer::verify(data);
    if verified.code == Some(0) { Ok(()) } else { Err(format!("{verified:?}")) }
}

impl Look<'_> {
    /// Looks at states on two threads; how many there were, and what is wrong with some.
    fn faults(&self) -> (usize, Vec<String>) {
        let work = |states: Receiver<State>| {
            let (mut count, mut faults) = (0, Vec::new());
            for state in states {
                count += 1;
                if let Err(fault) = fault(&state, self.epoch) {
                    faults.push(format!("{fault} ({})", state.what));
                }
            }
            (count, faults)
        };
        std::thread::scope(|scope| {
            let ((one, ones), (other, others)) = (sync_channel(2), sync_channel(2));
            let workers = [ones, others].map(|states| scope.spawn(move || work(states)));
            let mut given = 0;
            states(self, |state| {
                given += 1;
                let to = if given % 2 == 0 { &one } else { &other };
                to.send(state).expect("a worker takes states");
            });
            drop((one, other));
            let found = workers.map(|worker| worker.join().unwrap());
            let [(some, mut faults), (more, others)] = found;
            faults.extend(others);
            (some + more, faults)
        })
    }
}

/// Lets a server live on a recorded disk, and looks at what cuts leave of it; the record, for more looks.
fn prove(name: &str, life: impl FnOnce(&FaultyDisk)) -> (Record, u64, u64) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("it is a number"));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = number("CHAPPE_SEED").unwrap_or(now.as_nanos() as u64);
    let disk = FaultyDisk::in_memory();
    life(&disk);
    let folder = Folder::lock(&disk.data()).unwrap();
    let epoch = folder.open_log(0).unwrap().epoch();
    let record = Record::read(&disk.record());
    let count = number("CHAPPE_STATES").map_or(STATES, |count| count as usize);
    let look = Look { record: &record, epoch, seed, count, ignored: None, owed: Owed::Acked, served: true };
    let (count, faults) = look.faults();
    let entries = record.entries.len();
    println!("{name}: {count} states of {entries} entries, seed {seed}, {} faults", faults.len());
    if let Some(fault) = faults.first() {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.record"));
        std::fs::copy(disk.record(), &kept).unwrap();
        panic!(
            "{} of {count} states are wrong, first: {fault}; the record is kept in {}",
            faults.len(),
            kept.display()
        );
    }
    (record, epoch, seed)
}

#[test]
fn no_cut_loses_what_was_acknowledged_from_a_folder_that_was_not_there_over_clean_stops() {
    let (record, epoch, seed) = prove("clean-stops", disk_lives::with_clean_stops);
    // The same states have to be wrong where the server is: a test that does not see that sees nothing.
    let look = Look { record: &record, epoch, seed, count: 40, ignored: None, owed: Owed::Acked, served: false };
    for (broken, look) in [
        ("commits are not flushed", Look { ignored: Some("log.db-wal"), ..look }),
        ("acks do not wait for the commit", Look { owed: Owed::Sent, ..look }),
    ] {
        let (count, faults) = look.faults();
        println!("{broken}: {} of {count} states are wrong, such as: {:?}", faults.len(), faults.first());
        assert!(faults.iter().any(|fault| fault.contains("are lost")), "{broken}, and nothing is lost");
    }
}

#[test]
fn no_cut_loses_what_was_acknowledged_between_kills_and_failed_flushes() {
    prove("kills", disk_lives::with_kills_and_failed_flushes);
}

#[test]
fn no_cut_loses_what_was_acknowledged_while_the_write_ahead_file_begins_anew() {
    prove("begun-anew", disk_lives::in_which_the_write_ahead_file_begins_anew);
}

#[test]
fn no_cut_brings_back_a_session_of_which_somebody_was_told_that_it_has_ended() {
    prove("sessions", disk_lives::in_which_sessions_end);
}
