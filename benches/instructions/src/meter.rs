//! What tells callgrind what to count: two functions that do nothing, whose names the tool is given, before and behind it.

use std::hint::black_box;

/// The names of the functions below, as callgrind is to look for them.
pub(crate) const BEGIN: &str = "*chappe_instructions::meter::begin*";
/// See [`BEGIN`].
pub(crate) const END: &str = "*chappe_instructions::meter::end*";

/// Counts the work of one benchmark.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    operations: u32,
}

impl Meter {
    /// Counts `work`, which is so many operations. Once a benchmark.
    pub(crate) fn count(&mut self, operations: u32, work: impl FnOnce()) {
        begin();
        work();
        self.operations = end(operations);
    }

    /// How many operations were counted.
    pub(crate) fn operations(&self) -> u32 {
        self.operations
    }
}

#[inline(never)]
fn begin() {
    black_box(());
}

#[inline(never)]
fn end(operations: u32) -> u32 {
    black_box(operations)
}
