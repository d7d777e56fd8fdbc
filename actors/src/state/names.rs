//! Fingerprints and the messages they stand for: a hash table of about 19 bytes a name, for hundreds of millions.
//!
//! The top bits of a fingerprint choose one of many small tables, so that growing never takes long, and never twice the
//! memory. In a table the entries stand in ascending order, each at its home or behind it, with no free slot between:
//! a search ends at the first that is free or larger, however full the table is.

use chappe_proto::MessageId;

use super::print::Print;

/// A fingerprint, and the message that was posted under a name of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// The name's fingerprint.
    pub print: Print,
    /// The message's id; 0 in a free slot.
    pub message: u64,
}

/// A [`Name`] as it is kept on disk: fingerprint and message, little-endian.
pub type PackedName = [u8; 16];

const FREE: Name = Name { print: Print(0), message: 0 };
/// The top bits that choose a table.
const TABLE_BITS: u32 = 12;
const TABLES: usize = 1 << TABLE_BITS;
/// Slots behind the last home, for what is displaced there.
const BEHIND: usize = 8;

/// See the module.
#[derive(Debug)]
pub struct Names {
    tables: Vec<Table>,
}

#[derive(Debug, Default, Clone)]
struct Table {
    /// Homes, and behind them what is displaced there.
    slots: Vec<Name>,
    homes: usize,
    used: usize,
}

impl Default for Names {
    fn default() -> Self {
        Self { tables: vec![Table::default(); TABLES] }
    }
}

impl Names {
    /// All the names in `runs`, each ascending: they are gone through together, one small table after the other.
    pub fn of_runs(mut runs: Vec<&[PackedName]>) -> Self {
        let mut names = Self::default();
        for (index, table) in names.tables.iter_mut().enumerate() {
            let is_of_table = |name: &&PackedName| table_of(Name::unpack(name).print) <= index;
            let counts: Vec<usize> = runs.iter().map(|run| run.iter().take_while(is_of_table).count()).collect();
            *table = Table::with_room_for(counts.iter().sum());
            for (run, count) in runs.iter_mut().zip(counts) {
                let (of_table, rest) = run.split_at(count);
                of_table.iter().for_each(|name| table.insert(Name::unpack(name)));
                *run = rest;
            }
        }
        names
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.tables.iter().map(|table| table.used).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.tables.iter().all(|table| table.used == 0)
    }

    /// The messages under a fingerprint: one as a rule; two names with one fingerprint are as good as impossible.
    pub fn find(&self, print: Print) -> impl Iterator<Item = MessageId> {
        self.tables[table_of(print)].find(print).filter_map(|name| MessageId::parse(name.message).ok())
    }

    /// Adds one; the same twice is one.
    pub fn insert(&mut self, name: Name) {
        self.tables[table_of(name.print)].insert(name);
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Name> {
        self.tables.iter().flat_map(|table| table.slots.iter().copied().filter(Name::is_used))
    }
}

impl Name {
    /// As it is kept on disk.
    pub fn packed(&self) -> PackedName {
        (u128::from(self.message) << 64 | u128::from(self.print.0)).to_le_bytes()
    }

    /// The name that was packed.
    fn unpack(packed: &PackedName) -> Self {
        let &[a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = packed;
        let print = Print(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
        Self { print, message: u64::from_le_bytes([i, j, k, l, m, n, o, p]) }
    }

    const fn is_used(&self) -> bool {
        self.message != 0
    }
}

fn table_of(print: Print) -> usize {
    usize::try_from(print.0 >> (64 - TABLE_BITS)).unwrap_or_default()
}

impl Table {
    fn with_homes(homes: usize) -> Self {
        Self { slots: vec![FREE; homes + BEHIND], homes, used: 0 }
    }

    fn with_room_for(count: usize) -> Self {
        if count == 0 { Self::default() } else { Self::with_homes(count + count / 6 + 8) }
    }

    /// Where a fingerprint would stand if it were alone.
    fn home(&self, print: Print) -> usize {
        let part = u128::from(print.0 << TABLE_BITS) * self.homes as u128;
        usize::try_from(part >> 64).unwrap_or_default()
    }

    fn find(&self, print: Print) -> impl Iterator<Item = &Name> {
        let from = self.slots.get(self.home(print)..).unwrap_or_default().iter();
        from.take_while(move |name| name.is_used() && name.print <= print).filter(move |name| name.print == print)
    }

    fn insert(&mut self, name: Name) {
        if (self.used + 1) * 10 > self.homes * 9 {
            self.grow();
        }
        let home = self.home(name.print);
        let smaller = self.slots[home..].iter().take_while(|other| other.is_used() && **other < name).count();
        let at = home + smaller;
        if self.slots.get(at) == Some(&name) {
            return;
        }
        match self.slots[at..].iter().position(|other| !other.is_used()) {
            Some(larger) => {
                self.slots.copy_within(at..at + larger, at + 1);
                self.slots[at] = name;
            }
            None => {
                self.make_room();
                self.slots.insert(at, name);
            }
        }
        self.used += 1;
    }

    /// Where the end is crowded: a few more slots behind it, not twice as many.
    fn make_room(&mut self) {
        if self.slots.len() == self.slots.capacity() {
            self.slots.reserve_exact(BEHIND);
        }
    }

    /// Moves all to an eighth more homes.
    fn grow(&mut self) {
        let mut larger = Self::with_homes(self.homes + (self.homes / 8).max(8));
        let mut next = 0;
        for name in self.slots.iter().filter(|name| name.is_used()) {
            let at = larger.home(name.print).max(next);
            next = at + 1;
            match larger.slots.get_mut(at) {
                Some(slot) => *slot = *name,
                None => {
                    larger.make_room();
                    larger.slots.push(*name);
                }
            }
        }
        larger.used = self.used;
        *self = larger;
    }
}

#[cfg(test)]
#[path = "names_tests.rs"]
mod tests;
