//! The simulated disk behind the engine's log. A commit takes until the simulation ends it; until then it is not known
//! whether a crash would keep it. It can be full, and it can fail so that nobody knows what was kept.

use std::cell::RefCell;

use chappe_actors::log::record::{Draft, Position, Record};
use chappe_actors::log::{EventLog, LogError, Numbering};

use chappe_actors::retention::Retention;

use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::office::{self, Who};
use crate::verdict::{holds, tell};

/// How the disk is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Mood {
    #[default]
    Fine,
    /// It takes nothing more.
    Full,
    /// The next commit fails, and nobody knows what was kept.
    Failing,
}

/// What a broken disk, or a broken server, would do instead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Lies {
    /// A commit is answered as done before it is.
    pub(crate) too_early: bool,
    /// A crash takes the last commit with it that was done.
    pub(crate) forgets: bool,
    /// A commit of which nobody knows what was kept counts as one that kept nothing.
    pub(crate) denies: bool,
}

/// See the module.
pub(crate) struct Disk {
    pub(crate) ledger: Ledger,
    numbering: Numbering,
    pub(crate) mood: Mood,
    pub(crate) lies: Lies,
    dice: Dice,
    /// A commit under way: what will be there once it is done.
    under_way: Option<Vec<Record>>,
    /// How many messages the writer had sent before it began.
    before: usize,
    /// How many records the last commit brought.
    last: usize,
    pub(crate) commits: u64,
}

thread_local! {
    static DISK: RefCell<Option<Disk>> = const { RefCell::new(None) };
}

/// Lends the disk.
pub(crate) fn with_disk<T>(work: impl FnOnce(&mut Disk) -> T) -> T {
    DISK.with_borrow_mut(|disk| work(disk.as_mut().expect("a simulation begins with a disk")))
}

/// What is on disk.
pub(crate) fn with_ledger<T>(work: impl FnOnce(&Ledger) -> T) -> T {
    with_disk(|disk| work(&disk.ledger))
}

/// A new disk.
pub(crate) fn begin(dice: Dice, lies: Lies, retention: Retention) {
    let disk = Disk {
        ledger: Ledger::new(retention),
        numbering: Numbering::default(),
        mood: Mood::Fine,
        lies,
        dice,
        under_way: None,
        before: 0,
        last: 0,
        commits: 0,
    };
    DISK.set(Some(disk));
}

impl Disk {
    /// Whether a commit is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.under_way.is_some()
    }

    /// How many messages of the writer may leave: those that it sent before the commit at hand; the rest waits for its end.
    pub(crate) fn lets_leave(&mut self) -> bool {
        if !self.is_busy() || self.lies.too_early {
            return true;
        }
        let may = self.before > 0;
        self.before = self.before.saturating_sub(1);
        may
    }

    /// The commit under way is done.
    pub(crate) fn finish(&mut self) {
        let Some(records) = self.under_way.take() else { return };
        self.keep(records);
    }

    fn keep(&mut self, records: Vec<Record>) {
        self.last = records.len();
        for record in records {
            tell(|| format!("on disk: {record:?}"));
            self.numbering.note(&record);
            self.ledger.add(record);
        }
    }

    /// Keeps what a start writes before anybody is served.
    pub(crate) fn start_with(&mut self, drafts: Vec<Draft>) {
        let records = self.number(drafts);
        self.keep(records);
    }

    /// The process is gone. A commit under way is kept, or is not.
    pub(crate) fn crash(&mut self) {
        if let Some(records) = self.under_way.take()
            && self.dice.once_in(2)
        {
            self.keep(records);
        }
        self.before = 0;
        if self.lies.forgets && self.last > 0 {
            let mut left = std::mem::take(&mut self.ledger.records);
            left.truncate(left.len().saturating_sub(self.last).max(1));
            let retention = self.ledger.retention;
            (self.ledger, self.numbering, self.last) = (Ledger::new(retention), Numbering::default(), 0);
            self.keep(left);
            self.last = 0;
        }
    }

    fn number(&self, drafts: Vec<Draft>) -> Vec<Record> {
        let mut numbering = self.numbering.clone();
        drafts.into_iter().map(|draft| numbering.number(draft)).collect()
    }

    fn append(&mut self, drafts: Vec<Draft>) -> Result<Vec<Record>, LogError> {
        holds(!self.is_busy(), || "two commits at once".to_owned());
        self.before = office::waiting(Who::Persist);
        self.commits += 1;
        match self.mood {
            Mood::Fine => {
                let records = self.number(drafts);
                self.under_way = Some(records.clone());
                Ok(records)
            }
            Mood::Full => {
                self.under_way = Some(Vec::new());
                Err(LogError::Full("simulated".to_owned()))
            }
            Mood::Failing => {
                self.mood = Mood::Fine;
                if self.dice.once_in(2) {
                    let records = self.number(drafts);
                    self.keep(records);
                }
                if self.lies.denies {
                    return Err(LogError::Full("simulated, and not true".to_owned()));
                }
                Err(LogError::Failed("simulated".to_owned()))
            }
        }
    }
}

/// The log that the writer is given.
pub(crate) struct SimulatedLog;

impl EventLog for SimulatedLog {
    fn append(&mut self, drafts: Vec<Draft>) -> Result<Vec<Record>, LogError> {
        // What the writer has sent by now can be seen while the commit is under way.
        office::collect();
        with_disk(|disk| disk.append(drafts))
    }

    fn scan(&mut self, after: Position, limit: usize) -> Result<Vec<Record>, LogError> {
        Ok(with_ledger(|ledger| ledger.log(after.0).take(limit).collect()))
    }

    fn record(&mut self, at: Position) -> Result<Option<Record>, LogError> {
        Ok(with_ledger(|ledger| at.0.checked_sub(1).and_then(|before| ledger.log(before).next())))
    }

    fn probe(&mut self) -> Result<(), LogError> {
        with_disk(|disk| match disk.mood {
            Mood::Full => Err(LogError::Full("simulated".to_owned())),
            Mood::Fine | Mood::Failing => Ok(()),
        })
    }

    fn epoch(&self) -> u64 {
        1
    }
}
