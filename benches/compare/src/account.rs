//! One listener's account of one line of messages, or one connection's of its acks: every number once and in order, or
//! what went wrong.

use std::ops::AddAssign;

/// What has come of numbers that are counted from 0.
#[derive(Debug, Default, Clone)]
pub(crate) struct Account {
    /// The number that comes next.
    next: u32,
    /// Numbers that were passed over and have not come since: from, up to.
    missing: Vec<(u32, u32)>,
}

/// What a number means to those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The next one, or one beyond it: then those between are missing for now.
    New,
    /// It was missing: others overtook it.
    Late,
    /// It came before.
    Again,
}

/// What went wrong, by kind.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Never came.
    pub(crate) lost: u64,
    /// Came more than once.
    pub(crate) doubled: u64,
    /// Came after one that was sent later.
    pub(crate) swapped: u64,
    /// Was not what was sent.
    pub(crate) damaged: u64,
    /// Came to one who did not listen.
    pub(crate) stray: u64,
}

impl Account {
    /// Takes note of a number.
    pub(crate) fn take(&mut self, number: u32) -> Heard {
        if number == self.next {
            self.next += 1;
            return Heard::New;
        }
        if number > self.next {
            self.missing.push((self.next, number));
            self.next = number + 1;
            return Heard::New;
        }
        let Some(at) = self.missing.iter().position(|(from, to)| (*from..*to).contains(&number)) else {
            return Heard::Again;
        };
        let (from, to) = self.missing.swap_remove(at);
        self.missing.extend([(from, number), (number + 1, to)].into_iter().filter(|(from, to)| from < to));
        Heard::Late
    }

    /// The number that comes next.
    pub(crate) fn next(&self) -> u32 {
        self.next
    }

    /// Whether a number has come.
    pub(crate) fn has(&self, number: u32) -> bool {
        number < self.next && !self.missing.iter().any(|(from, to)| (*from..*to).contains(&number))
    }

    /// How many of the first `sent` numbers have not come.
    pub(crate) fn lost(&self, sent: u32) -> u64 {
        let passed: u64 = self.missing.iter().map(|(from, to)| u64::from(to - from)).sum();
        passed + u64::from(sent.saturating_sub(self.next))
    }
}

impl Faults {
    /// Counts what was heard; whether it was the first time.
    pub(crate) fn count(&mut self, heard: Heard) -> bool {
        self.swapped += u64::from(heard == Heard::Late);
        self.doubled += u64::from(heard == Heard::Again);
        heard != Heard::Again
    }

    /// In words, if there is anything.
    pub(crate) fn told(&self, of: &str) -> Option<String> {
        let kinds = [
            (self.lost, "lost"),
            (self.doubled, "doubled"),
            (self.swapped, "swapped"),
            (self.damaged, "damaged"),
            (self.stray, "stray"),
        ];
        let found: Vec<_> =
            kinds.iter().filter(|(count, _)| *count > 0).map(|(count, kind)| format!("{count} {kind}")).collect();
        (!found.is_empty()).then(|| format!("{of}: {}", found.join(", ")))
    }
}

impl AddAssign for Faults {
    fn add_assign(&mut self, other: Self) {
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.swapped += other.swapped;
        self.damaged += other.damaged;
        self.stray += other.stray;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(numbers: &[u32], sent: u32) -> Faults {
        let (mut account, mut faults) = (Account::default(), Faults::default());
        for number in numbers {
            faults.count(account.take(*number));
        }
        faults.lost = account.lost(sent);
        faults
    }

    #[test]
    fn each_kind_of_fault_is_told_from_the_others() {
        let fine = Faults::default();
        for (numbers, expected) in [
            (&[0, 1, 2, 3][..], fine),
            (&[0, 1, 3], Faults { lost: 1, ..fine }),
            (&[0, 1, 2], Faults { lost: 1, ..fine }),
            (&[], Faults { lost: 4, ..fine }),
            (&[0, 1, 1, 2, 3], Faults { doubled: 1, ..fine }),
            (&[0, 2, 1, 3], Faults { swapped: 1, ..fine }),
            (&[3, 0, 2, 1], Faults { swapped: 3, ..fine }),
            (&[3, 1, 1], Faults { lost: 2, doubled: 1, swapped: 1, ..fine }),
        ] {
            assert_eq!(faults(numbers, 4), expected, "{numbers:?}");
        }
    }

    #[test]
    fn faults_are_told_in_words() {
        assert_eq!(Faults::default().told("deliveries"), None);
        let faults = Faults { lost: 2, stray: 1, ..Faults::default() };
        assert_eq!(faults.told("deliveries").unwrap(), "deliveries: 2 lost, 1 stray");
    }
}
