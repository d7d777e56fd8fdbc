//! One file of a replayed disk: its pages and its size on disk, and what happened to them since.
//!
//! After a failed flush the system takes the pages for clean: a later flush, which succeeds, does not bring them to the
//! disk. Only what is written to them again does.

use std::collections::{BTreeMap, HashMap};
use std::fs::File as OnDisk;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use super::super::dice::Dice;
use super::{Fate, kept};

/// A page of the system's cache: it goes to the disk as a whole, if nothing tears it.
const PAGE: usize = 4096;
/// What a disk writes whole.
const SECTOR: usize = 512;
static ZEROS: [u8; PAGE] = [0; PAGE];

/// Bytes that were written to a page and are not on disk yet.
#[derive(Debug, Clone)]
struct Patch<'a> {
    /// The entry.
    at: usize,
    start: usize,
    bytes: &'a [u8],
    /// A flush failed since: the system takes it for written.
    clean: bool,
    /// The file was cut here, which happens as a whole or not at all.
    cut: bool,
}

#[derive(Debug, Clone, Copy)]
enum Size {
    Grown(u64),
    Cut(u64),
}

/// A file: what is on disk, and what happened to it since.
#[derive(Debug, Default)]
pub(super) struct File<'a> {
    pages: HashMap<u64, Arc<[u8; PAGE]>>,
    size: u64,
    pending: BTreeMap<u64, Vec<Patch<'a>>>,
    sizes: Vec<(usize, Size)>,
    /// As the server sees it.
    size_now: u64,
}

impl<'a> File<'a> {
    pub(super) fn write(&mut self, at: usize, offset: u64, bytes: &'a [u8]) {
        let mut rest = bytes;
        let mut place = offset;
        while !rest.is_empty() {
            let (page, start) = (place / PAGE as u64, (place % PAGE as u64) as usize);
            let (now, later) = rest.split_at(rest.len().min(PAGE - start));
            let patch = Patch { at, start, bytes: now, clean: false, cut: false };
            self.pending.entry(page).or_default().push(patch);
            (rest, place) = (later, place + now.len() as u64);
        }
        self.grow(at, place);
    }

    pub(super) fn zeros(&mut self, at: usize, offset: u64, size: u64) {
        let mut place = offset;
        while place < offset + size {
            let (page, start) = (place / PAGE as u64, (place % PAGE as u64) as usize);
            let count = (offset + size - place).min((PAGE - start) as u64) as usize;
            // Where nothing stands there are zeros already.
            if self.pages.contains_key(&page) || self.pending.contains_key(&page) {
                let patch = Patch { at, start, bytes: &ZEROS[..count], clean: false, cut: false };
                self.pending.entry(page).or_default().push(patch);
            }
            place += count as u64;
        }
        self.grow(at, place);
    }

    fn grow(&mut self, at: usize, size: u64) {
        if size > self.size_now {
            self.size_now = size;
            self.sizes.push((at, Size::Grown(size)));
        }
    }

    pub(super) fn truncate(&mut self, at: usize, size: u64) {
        if size >= self.size_now {
            return self.grow(at, size);
        }
        let (page, start) = (size / PAGE as u64, (size % PAGE as u64) as usize);
        let pages = self.pages.keys().chain(self.pending.keys()).copied();
        let mut behind: Vec<u64> = pages.filter(|number| *number >= page).collect();
        behind.sort_unstable();
        behind.dedup();
        for number in behind {
            let start = if number == page { start } else { 0 };
            let patch = Patch { at, start, bytes: &ZEROS[start..], clean: false, cut: true };
            self.pending.entry(number).or_default().push(patch);
        }
        self.size_now = size;
        self.sizes.push((at, Size::Cut(size)));
    }

    /// What happened before the entry `before` is on disk; what the system believes to be there already stays as it is.
    pub(super) fn flush(&mut self, before: usize) {
        let Self { pages, pending, .. } = self;
        pending.retain(|number, patches| {
            if patches.iter().any(|patch| patch.at < before && (patch.cut || !patch.clean)) {
                let page = Arc::make_mut(pages.entry(*number).or_insert_with(|| Arc::new(ZEROS)));
                let done = patches.partition_point(|patch| patch.at < before);
                patches.drain(..done).for_each(|patch| put(page, &patch));
            }
            !patches.is_empty()
        });
        let done = self.sizes.partition_point(|(at, _)| *at < before);
        self.size = self.sizes.drain(..done).fold(self.size, |size, (_, change)| resized(size, change));
    }

    pub(super) fn fail(&mut self, before: usize) {
        let patches = self.pending.values_mut().flatten();
        patches.filter(|patch| patch.at < before).for_each(|patch| patch.clean = true);
    }

    pub(super) fn oldest(&self) -> Option<usize> {
        let patches = self.pending.values().filter_map(|patches| patches.first()).map(|patch| patch.at);
        patches.chain(self.sizes.first().map(|(at, _)| *at)).min()
    }

    /// Writes it to `path`, as `fate` has it.
    pub(super) fn make(&self, path: &Path, fate: Fate, dice: &mut Dice) {
        let kept = kept(&self.sizes, fate, dice);
        let size = self.sizes[..kept].iter().fold(self.size, |size, (_, change)| resized(size, *change));
        // Where a cut did not get to the disk, nothing did that came behind it: it would need room that is not free.
        let lost_cut = self.sizes[kept..].iter().find(|(_, change)| matches!(change, Size::Cut(_)));
        let end = lost_cut.map_or(usize::MAX, |(at, _)| *at);
        let file = OnDisk::create(path).expect("a file can be made");
        file.set_len(size).expect("it has room");
        let place = |number: u64| (number * PAGE as u64, size.saturating_sub(number * PAGE as u64).min(PAGE as u64));
        for (number, page) in &self.pages {
            let (at, length) = place(*number);
            if length > 0 && !self.pending.contains_key(number) {
                file.write_all_at(&page[..length as usize], at).expect("it has room");
            }
        }
        for (number, patches) in &self.pending {
            let (at, length) = place(*number);
            if length > 0 {
                let patches = &patches[..patches.partition_point(|patch| patch.at < end)];
                let page = self.pages.get(number).map_or(ZEROS, |page| **page);
                let page = settled(page, patches, fate, dice);
                file.write_all_at(&page[..length as usize], at).expect("it has room");
            }
        }
    }
}

fn resized(size: u64, change: Size) -> u64 {
    match change {
        Size::Grown(to) => size.max(to),
        Size::Cut(to) => to,
    }
}

fn put(page: &mut [u8; PAGE], patch: &Patch<'_>) {
    page[patch.start..patch.start + patch.bytes.len()].copy_from_slice(patch.bytes);
}

/// A page, with some of what was written to it since. What a page or a sector holds is what it held at some moment.
fn settled(page: [u8; PAGE], patches: &[Patch<'_>], fate: Fate, dice: &mut Dice) -> [u8; PAGE] {
    // The last cut that happened is behind all that is kept before it.
    let least = patches.iter().rposition(|patch| patch.cut).map_or(0, |last| last + 1);
    let version = |count: usize| {
        let mut version = page;
        patches[..count.max(least)].iter().for_each(|patch| put(&mut version, patch));
        version
    };
    let all = patches.len();
    match fate {
        Fate::Lost => version(0),
        Fate::Kept => version(all),
        Fate::Any => version(dice.below(all as u64 + 1) as usize),
        Fate::Until(moment) => {
            let count = patches.partition_point(|patch| patch.at < moment);
            let mut torn = version(count);
            if patches.get(count).is_some_and(|patch| patch.at == moment) {
                let next = version(count + 1);
                let sectors = dice.below((PAGE / SECTOR) as u64 + 1) as usize * SECTOR;
                torn[..sectors].copy_from_slice(&next[..sectors]);
            }
            torn
        }
        Fate::Torn => {
            let mut torn = page;
            for start in (0..PAGE).step_by(SECTOR) {
                let version = version(dice.below(all as u64 + 1) as usize);
                torn[start..start + SECTOR].copy_from_slice(&version[start..start + SECTOR]);
            }
            torn
        }
    }
}
