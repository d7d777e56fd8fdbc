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
        let mut of_table = Vec::new();
        let tables = (0..TABLES).map(|index| {
            of_table.clear();
            for run in &mut runs {
                let names = run.iter().map(Name::unpack).take_while(|name| table_of(name.print) <= index);
                let before = of_table.len();
                of_table.extend(names);
                *run = &run[of_table.len() - before..];
            }
            Table::of(&of_table)
        });
        Self { tables: tables.collect() }
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

    /// Adds one; `false` if it is there.
    pub fn insert(&mut self, name: Name) -> bool {
        self.tables[table_of(name.print)].insert(name)
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

    /// With these names: where each stands follows from how many have which home.
    fn of(names: &[Name]) -> Self {
        if names.is_empty() {
            return Self::default();
        }
        let mut table = Self::with_homes(names.len() + names.len() / 6 + 8);
        let mut places = vec![0; table.homes];
        names.iter().for_each(|name| places[table.home(name.print)] += 1);
        let mut end = 0;
        for (home, place) in places.iter_mut().enumerate() {
            let start = end.max(home);
            end = start + *place;
            *place = start;
        }
        table.slots.resize(table.slots.len().max(end), FREE);
        for name in names {
            let place = &mut places[table.home(name.print)];
            table.slots[*place] = *name;
            *place += 1;
        }
        // Those of one home are neighbours in whatever order they came.
        for end in 1..table.slots.len() {
            let mut at = end;
            while at > 0 && table.slots[at].is_used() && table.slots[at] < table.slots[at - 1] {
                table.slots.swap(at, at - 1);
                at -= 1;
            }
        }
        table.used = names.len();
        table
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

    fn insert(&mut self, name: Name) -> bool {
        if (self.used + 1) * 10 > self.homes * 9 {
            self.grow();
        }
        let home = self.home(name.print);
        let smaller = self.slots[home..].iter().take_while(|other| other.is_used() && **other < name).count();
        let at = home + smaller;
        if self.slots.get(at) == Some(&name) {
            return false;
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
        true
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
