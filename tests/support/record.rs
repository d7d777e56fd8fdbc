//! The record that a watched disk keeps (`shim/disk.c`): what was done to the files of a folder, in order, and between it
//! marks of what a test has sent and seen acknowledged. Reads it, and appends the marks.

use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::Path;

use serde_json::{Value, json};

/// Bytes of an entry before what belongs to it.
const HEAD: usize = 32;
/// What the marks have for a kind; those below are the shim's.
const MARK: u32 = 100;

/// What an entry tells. Files are told apart by a number, which is given out again once a file is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A process has begun; the folder that is watched has this number.
    Start {
        root: u64,
        path: String,
    },
    MkDir {
        path: String,
        inode: u64,
    },
    Create {
        path: String,
        inode: u64,
    },
    /// Bytes were written; where they stand in the record.
    Write {
        inode: u64,
        at: u64,
        bytes: Range<usize>,
    },
    /// So many zeros were written.
    Zeros {
        inode: u64,
        at: u64,
        size: u64,
    },
    Truncate {
        inode: u64,
        size: u64,
    },
    /// A flush of a file or folder began; it has a number of its own until the process ends.
    Flush {
        inode: u64,
        number: u64,
    },
    /// What was there when it began is on disk.
    Flushed {
        number: u64,
    },
    FlushFailed {
        number: u64,
    },
    Rename {
        from: String,
        to: String,
    },
    Unlink {
        path: String,
    },
    Link {
        from: String,
        to: String,
    },
    /// The shim does not know how to record what was done.
    Unknown(String),
    /// Said by the test.
    Mark(Mark),
}

/// What a test saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mark {
    Sent(String),
    /// Its id and its number.
    Acked(String, u64, u64),
    /// Somebody was told that a session has ended.
    Ended,
}

/// A record that was read.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) bytes: Vec<u8>,
    pub(crate) entries: Vec<Entry>,
}

impl Record {
    /// Reads all of it.
    pub(crate) fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).expect("there is a record");
        let mut entries = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let word =
                |from: usize| u32::from_le_bytes(bytes[at + from..at + from + 4].try_into().expect("four bytes"));
            let long =
                |from: usize| u64::from_le_bytes(bytes[at + from..at + from + 8].try_into().expect("eight bytes"));
            let (kind, inode, offset) = (word(0), long(8), long(16));
            let first = at + HEAD..at + HEAD + word(4) as usize;
            let second = first.end..first.end + long(24) as usize;
            let text = |range: &Range<usize>| String::from_utf8_lossy(&bytes[range.clone()]).into_owned();
            at = second.end;
            entries.push(match kind {
                1 => Entry::Start { root: inode, path: text(&first) },
                2 => Entry::MkDir { path: text(&first), inode },
                3 => Entry::Create { path: text(&first), inode },
                4 => Entry::Write { inode, at: offset, bytes: second },
                5 => Entry::Truncate { inode, size: offset },
                6 => Entry::Flush { inode, number: offset },
                7 => Entry::Flushed { number: offset },
                8 => Entry::FlushFailed { number: offset },
                9 => Entry::Rename { from: text(&first), to: text(&second) },
                10 => Entry::Unlink { path: text(&first) },
                11 => Entry::Link { from: text(&first), to: text(&second) },
                13 => {
                    let size = bytes[second].try_into().expect("eight bytes");
                    Entry::Zeros { inode, at: offset, size: u64::from_le_bytes(size) }
                }
                MARK => Entry::Mark(mark(&text(&second))),
                _ => Entry::Unknown(text(&first)),
            });
        }
        Self { bytes, entries }
    }
}

fn mark(text: &str) -> Mark {
    let mark: Value = serde_json::from_str(text).expect("a mark is JSON");
    if mark["ended"] == true {
        return Mark::Ended;
    }
    let name = mark["client_id"].as_str().expect("a mark has a name").to_owned();
    match (mark["id"].as_u64(), mark["seq"].as_u64()) {
        (Some(id), Some(seq)) => Mark::Acked(name, id, seq),
        _ => Mark::Sent(name),
    }
}

/// Appends marks to a record while a server writes it.
#[derive(Debug)]
pub(crate) struct Marks(File);

impl Marks {
    pub(crate) fn open(record: &Path) -> Self {
        Self(File::options().append(true).create(true).open(record).expect("a record can be appended to"))
    }

    /// The test is about to send a message.
    pub(crate) fn sent(&self, client_id: &str) {
        self.put(&json!({"client_id": client_id}));
    }

    /// The test has its ack in hand.
    pub(crate) fn acked(&self, client_id: &str, id: u64, seq: u64) {
        self.put(&json!({"client_id": client_id, "id": id, "seq": seq}));
    }

    /// The test was told that another session has ended.
    pub(crate) fn ended(&self) {
        self.put(&json!({"ended": true}));
    }

    fn put(&self, mark: &Value) {
        let text = mark.to_string();
        let mut entry = MARK.to_le_bytes().to_vec();
        entry.extend_from_slice(&[0; 20]);
        entry.extend_from_slice(&(text.len() as u64).to_le_bytes());
        entry.extend_from_slice(text.as_bytes());
        // One call: the server appends to the same file.
        (&self.0).write_all(&entry).expect("a mark can be made");
    }
}
