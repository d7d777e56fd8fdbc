//! Holds a history against what the server promises: plain code over what was written down. Each rule has a history that breaks
//! it among the tests, so that silence means something.

mod answers;
mod book;
mod changes;
mod hearing;
mod kept;
mod reads;

use std::collections::BTreeMap;
use std::fmt;

use self::book::Book;
use crate::history::History;

/// Faults of a kind that are told in full.
const SHOWN: usize = 4;
/// And as much of each.
const WIDTH: usize = 400;

/// What may not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// What was acknowledged is not there.
    Lost,
    /// An ack tells of something else than what was asked.
    AckOfAnother,
    /// A name stands twice in a chat.
    DoubledName,
    /// A change was made more often than it was asked for, or by nobody.
    Unasked,
    /// A chat's numbers are not 1, 2, 3 …
    Hole,
    /// Two saw different events under one number.
    TwoOrders,
    /// Somebody saw an event that is not kept.
    Vanished,
    /// What came later has a smaller number.
    Order,
    /// Acks of a connection do not come in the order of its requests.
    AckOrder,
    /// A read knows less than was known before it was asked.
    Backwards,
    /// A connection heard an event again.
    Repeated,
    /// A connection did not hear an event, and was not told so.
    SilentGap,
    /// A message does not say what its sender last made it say.
    Content,
    /// Ways to read a chat differ.
    Disagreement,
    /// Who is in a chat is not who came and did not go.
    Members,
    /// A read mark moved back.
    Mark,
    /// Something that has to be granted was refused for good.
    Refusal,
    /// Something else than the protocol was said.
    Nonsense,
}

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Which.
    pub rule: Rule,
    /// How.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.what)
    }
}

/// Faults for people: how many of each kind, and some of them.
pub fn in_words(faults: &[Fault]) -> String {
    let mut kinds: BTreeMap<Rule, Vec<&Fault>> = BTreeMap::new();
    for fault in faults {
        kinds.entry(fault.rule).or_default().push(fault);
    }
    let lines = kinds.iter().flat_map(|(rule, faults)| {
        let some = faults.iter().take(SHOWN).map(|fault| {
            let what: String = fault.what.chars().take(WIDTH).collect();
            format!("  {what}\n")
        });
        [format!("{rule:?}: {}\n", faults.len())].into_iter().chain(some)
    });
    lines.collect()
}

/// The faults found so far.
#[derive(Debug, Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, rule: Rule, what: impl Into<String>) {
        self.0.push(Fault { rule, what: what.into() });
    }
}

/// Everything in `history` that may not be; nothing if the server did as it promises.
pub fn check(history: &History) -> Vec<Fault> {
    let book = Book::of(history);
    let mut faults = Faults::default();
    kept::check(history, &book, &mut faults);
    changes::check(history, &book, &mut faults);
    answers::check(history, &book, &mut faults);
    hearing::check(history, &book, &mut faults);
    reads::check(history, &book, &mut faults);
    faults.0
}

#[cfg(test)]
mod known_bad;
