//! How much a trial was: counts of a history, for people, and for who has to see that it was not too quiet.

use std::fmt;

use crate::history::{Change, History, Note};

/// See the module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Acknowledged messages; those of them that had been stored by an earlier attempt.
    pub posts: u64,
    /// See [`Tally::posts`].
    pub duplicates: u64,
    /// Acknowledged edits.
    pub edits: u64,
    /// Acknowledged deletions.
    pub deletions: u64,
    /// Acknowledged reactions.
    pub reactions: u64,
    /// Acknowledged arrivals and departures.
    pub memberships: u64,
    /// Acknowledged read marks.
    pub marks: u64,
    /// Reads that were answered.
    pub reads: u64,
    /// Changes whose connection was lost before their answer: at a kill, a stop.
    pub in_doubt: u64,
    /// Changes whose connection the client left before their answer.
    pub left: u64,
    /// Refusals.
    pub refused: u64,
    /// Connections over which events came.
    pub connections: u64,
    /// Events that came by themselves.
    pub heard: u64,
    /// Gaps that were told.
    pub gaps: u64,
}

impl Tally {
    /// The counts of a history.
    pub fn of(history: &History) -> Self {
        let mut tally = Self::default();
        let mut asked = std::collections::HashMap::new();
        for entry in &history.entries {
            match &entry.note {
                Note::Asked { attempt, change } => drop(asked.insert(*attempt, change)),
                Note::Acked { attempt, ack } => {
                    match asked.get(attempt) {
                        Some(Change::Post { .. }) => tally.posts += 1,
                        Some(Change::Edit { .. }) => tally.edits += 1,
                        Some(Change::Delete { .. }) => tally.deletions += 1,
                        Some(Change::React { .. }) => tally.reactions += 1,
                        Some(Change::Join { .. } | Change::Leave { .. }) => tally.memberships += 1,
                        Some(Change::Mark { .. }) => tally.marks += 1,
                        None => {}
                    }
                    tally.duplicates += u64::from(ack.duplicate && ack.name.is_some());
                }
                Note::Page { .. } | Note::Newest { .. } | Note::Heads { .. } => tally.reads += 1,
                Note::InDoubt { lost, .. } => *(if *lost { &mut tally.in_doubt } else { &mut tally.left }) += 1,
                Note::Refused { .. } => tally.refused += 1,
                Note::Opened { .. } => tally.connections += 1,
                Note::Heard(_) => tally.heard += 1,
                Note::Gap { .. } => tally.gaps += 1,
                Note::AskedToRead { .. } | Note::Missed { .. } | Note::Nonsense(_) => {}
            }
        }
        tally
    }

    /// Both together.
    pub fn add(&mut self, other: &Self) {
        self.posts += other.posts;
        self.duplicates += other.duplicates;
        self.edits += other.edits;
        self.deletions += other.deletions;
        self.reactions += other.reactions;
        self.memberships += other.memberships;
        self.marks += other.marks;
        self.reads += other.reads;
        self.in_doubt += other.in_doubt;
        self.left += other.left;
        self.refused += other.refused;
        self.connections += other.connections;
        self.heard += other.heard;
        self.gaps += other.gaps;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { posts, duplicates, edits, deletions, reactions, memberships, marks, .. } = self;
        let Self { reads, in_doubt, left, refused, connections, heard, gaps, .. } = self;
        write!(
            f,
            "acknowledged: {posts} messages ({duplicates} of them by an earlier attempt), {edits} edits, {deletions} \
             deletions, {reactions} reactions, {memberships} arrivals and departures, {marks} read marks; {in_doubt} \
             changes in doubt when their connection was lost, {left} when the client left it; {refused} refusals; {reads} \
             reads; {heard} events heard on {connections} connections, {gaps} gaps told"
        )
    }
}
