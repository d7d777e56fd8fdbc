//! A disk made anew from a record, as a power cut could have left it: what was flushed is there; of the rest any part is,
//! each page and each half-written one as it was at some moment. Stricter than a file system of today: a name is only
//! safe once its folder was flushed.

mod file;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use self::file::File;
use super::dice::Dice;
use super::record::{Entry, Record};

/// What became of all that was not flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// None of it is there.
    Lost,
    /// All of it is.
    Kept,
    /// What was done before this entry is, and nothing behind it; what was written just there is torn.
    Until(usize),
    /// Each page and each name is as it was at a moment of its own.
    Any,
    /// The same, for each sector.
    Torn,
}

impl Fate {
    /// One of them, for a cut in front of the entry `cut`.
    pub(crate) fn thrown(dice: &mut Dice, oldest: usize, cut: usize) -> Self {
        match dice.below(8) {
            0 => Self::Lost,
            1 => Self::Kept,
            2..=4 => Self::Until(oldest + dice.below((cut - oldest) as u64 + 1) as usize),
            5 => Self::Any,
            _ => Self::Torn,
        }
    }
}

/// How many of these changes, which happen in order, are on disk.
fn kept<T>(changes: &[(usize, T)], fate: Fate, dice: &mut Dice) -> usize {
    match fate {
        Fate::Lost => 0,
        Fate::Kept => changes.len(),
        Fate::Until(moment) => changes.partition_point(|(at, _)| *at < moment),
        Fate::Any | Fate::Torn => dice.below(changes.len() as u64 + 1) as usize,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Folder,
    File(usize),
}

/// What happened to names: they are put there, and taken away.
#[derive(Debug, Clone)]
struct Names {
    folder: String,
    put: Option<(String, Node)>,
    remove: Option<String>,
}

impl Names {
    fn apply(&self, to: &mut BTreeMap<String, Node>) {
        if let Some(name) = &self.remove {
            to.remove(name);
        }
        if let Some((name, node)) = &self.put {
            to.insert(name.clone(), *node);
        }
    }
}

/// The disk. Entries of the record are played to it one after the other.
pub(crate) struct Replay<'a> {
    record: &'a Record,
    /// The next entry.
    at: usize,
    root: String,
    files: Vec<File<'a>>,
    by_inode: HashMap<u64, usize>,
    folders: HashMap<u64, String>,
    names: BTreeMap<String, Node>,
    names_now: BTreeMap<String, Node>,
    pending: Vec<(usize, Names)>,
    /// Flushes under way: of what, and from where.
    flushes: HashMap<u64, (u64, usize)>,
    /// What is flushed under a name that ends so never gets to the disk: how a disk would be that lies.
    ignored: Option<&'static str>,
}

impl<'a> Replay<'a> {
    /// An empty disk; flushes of files whose name ends with `ignored` do nothing.
    pub(crate) fn of(record: &'a Record, ignored: Option<&'static str>) -> Self {
        Self {
            record,
            at: 0,
            root: String::new(),
            files: Vec::new(),
            by_inode: HashMap::new(),
            folders: HashMap::new(),
            names: BTreeMap::new(),
            names_now: BTreeMap::new(),
            pending: Vec::new(),
            flushes: HashMap::new(),
            ignored,
        }
    }

    /// Plays all entries in front of `to`.
    pub(crate) fn play(&mut self, to: usize) {
        while self.at < to {
            let entry = &self.record.entries[self.at];
            self.take(entry);
            self.at += 1;
        }
    }

    fn take(&mut self, entry: &'a Entry) {
        let at = self.at;
        match entry {
            Entry::Start { root, path } => {
                self.flushes.clear();
                self.folders.insert(*root, path.clone());
                self.root.clone_from(path);
            }
            Entry::MkDir { path, inode } => {
                self.folders.insert(*inode, path.clone());
                self.name(Some((path.clone(), Node::Folder)), None);
            }
            Entry::Create { path, inode } => {
                self.by_inode.insert(*inode, self.files.len());
                self.name(Some((path.clone(), Node::File(self.files.len()))), None);
                self.files.push(File::default());
            }
            Entry::Write { inode, at: offset, bytes } => {
                let bytes = &self.record.bytes[bytes.clone()];
                self.with(*inode, |file| file.write(at, *offset, bytes));
            }
            Entry::Zeros { inode, at: offset, size } => self.with(*inode, |file| file.zeros(at, *offset, *size)),
            Entry::Truncate { inode, size } => self.with(*inode, |file| file.truncate(at, *size)),
            Entry::Flush { inode, number } => {
                self.flushes.insert(*number, (*inode, at));
            }
            Entry::Flushed { number } => {
                if let Some((inode, before)) = self.flushes.remove(number) {
                    self.flush(inode, before);
                }
            }
            Entry::FlushFailed { number } => {
                if let Some((inode, before)) = self.flushes.remove(number) {
                    self.with(inode, |file| file.fail(before));
                }
            }
            Entry::Rename { from, to } => {
                let node = self.names_now.get(from).copied();
                self.name(node.map(|node| (to.clone(), node)), Some(from.clone()));
            }
            Entry::Link { from, to } => {
                let node = self.names_now.get(from).copied();
                self.name(node.map(|node| (to.clone(), node)), None);
            }
            Entry::Unlink { path } => self.name(None, Some(path.clone())),
            Entry::Unknown(what) => panic!("the server uses {what}, which the record cannot tell of"),
            Entry::Mark(_) => {}
        }
    }

    fn with(&mut self, inode: u64, change: impl FnOnce(&mut File<'a>)) {
        if let Some(file) = self.by_inode.get(&inode) {
            change(&mut self.files[*file]);
        }
    }

    fn name(&mut self, put: Option<(String, Node)>, remove: Option<String>) {
        let path = put.as_ref().map(|(path, _)| path).or(remove.as_ref()).expect("something happens to a name");
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder).to_owned();
        let change = Names { folder, put, remove };
        change.apply(&mut self.names_now);
        self.pending.push((self.at, change));
    }

    fn flush(&mut self, inode: u64, before: usize) {
        if let Some(folder) = self.folders.get(&inode) {
            let names = &mut self.names;
            self.pending.retain(|(at, change)| {
                let done = *at < before && change.folder == *folder;
                if done {
                    change.apply(names);
                }
                !done
            });
        } else if let Some(file) = self.by_inode.get(&inode).copied() {
            let is_ignored = |name: &str| self.ignored.is_some_and(|ignored| name.ends_with(ignored));
            let ignored = self.names_now.iter().any(|(name, node)| *node == Node::File(file) && is_ignored(name));
            if !ignored {
                self.files[file].flush(before);
            }
        }
    }

    /// The oldest entry that is not on disk as a whole.
    pub(crate) fn oldest(&self) -> usize {
        let files = self.names_now.values().filter_map(|node| match node {
            Node::File(file) => self.files[*file].oldest(),
            Node::Folder => None,
        });
        files.chain(self.pending.first().map(|(at, _)| *at)).min().unwrap_or(self.at)
    }

    /// Makes the disk in the folder `target`, as `fate` has it.
    pub(crate) fn make(&self, target: &Path, fate: Fate, dice: &mut Dice) {
        let mut names = self.names.clone();
        let kept = kept(&self.pending, fate, dice);
        for (nth, (_, change)) in self.pending.iter().enumerate() {
            // No order is promised among names; those of today keep one.
            let there = if fate == Fate::Any { dice.once_in(2) } else { nth < kept };
            if there {
                change.apply(&mut names);
            }
        }
        for (path, node) in &names {
            let inside = path.strip_prefix(&self.root).expect("it lies on the disk").trim_start_matches('/');
            let path = target.join(inside);
            match node {
                Node::Folder => std::fs::create_dir_all(&path).expect("a folder can be made"),
                // A name whose folder is not there is lost with it.
                Node::File(file) if path.parent().is_some_and(Path::exists) => {
                    self.files[*file].make(&path, fate, dice);
                }
                Node::File(_) => {}
            }
        }
    }
}
