//! The bytes of a backup: `chappe backup\n`, the layout as `u16`, then blocks as those of a snapshot, each with its length
//! and its checksum, numbered from 0. The first tells of the log, the last has the SHA-256 of all that stands before it.
//!
//! Records stand in a block as they stand in the log, each with its own checksum, about 256 KiB of them
//! compressed together. Numbers are of variable width, other integers little-endian.

use std::io::{self, Write};

use aws_lc_rs::digest::{Context, Digest, SHA256};
use chappe_proto::Millis;

use crate::log::record::Position;
use crate::snapshot::blocks;
use crate::state::varint::{Reader, put};

/// How a backup begins.
pub(super) const BEGINNING: &[u8; 14] = b"chappe backup\n";
/// The layout this version writes and reads.
pub(super) const LAYOUT: u16 = 1;
/// No block is larger, before or after it is compressed: a record of 16 MiB, and what it shares the block with.
pub(super) const MAX_BLOCK: usize = 64 << 20;
/// Bytes of a SHA-256.
const DIGEST: usize = 32;
/// zstd's fastest usual level: the server needs its processor.
const LEVEL: i32 = 1;

/// What a block holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Block<'a> {
    /// The first: of which log, up to where, and when.
    Header { epoch: u64, head: Position, created: Millis },
    /// Records from `first` on, as the log keeps them.
    Records { first: Position, count: u64, bytes: &'a [u8] },
    /// A part of a file, behind those parts that came before.
    File { name: &'a str, bytes: &'a [u8] },
    /// The last: how many records there were, and the SHA-256 of everything before it.
    End { records: u64, digest: &'a [u8] },
}

impl<'a> Block<'a> {
    fn put(&self, out: &mut Vec<u8>) -> io::Result<()> {
        let bytes = match self {
            Self::Header { epoch, head, created } => {
                out.push(b'h');
                [*epoch, head.0, created.0].into_iter().for_each(|number| put(number, out));
                return Ok(());
            }
            Self::End { records, digest } => {
                out.push(b'e');
                put(*records, out);
                out.extend_from_slice(digest);
                return Ok(());
            }
            Self::Records { first, count, bytes } => {
                out.push(b'r');
                put(first.0, out);
                put(*count, out);
                bytes
            }
            Self::File { name, bytes } => {
                out.push(b'f');
                put(name.len() as u64, out);
                out.extend_from_slice(name.as_bytes());
                bytes
            }
        };
        put(bytes.len() as u64, out);
        out.extend_from_slice(&zstd::bulk::compress(bytes, LEVEL)?);
        Ok(())
    }

    /// Reads a block; `room` is for what was compressed. `None` if it is none.
    pub(super) fn read(block: &'a [u8], room: &'a mut Vec<u8>) -> Option<Self> {
        let mut bytes = Reader(block);
        match bytes.byte()? {
            b'h' => {
                let (epoch, head) = (bytes.number()?, Position(bytes.number()?));
                let created = Millis(bytes.number()?);
                bytes.0.is_empty().then_some(Self::Header { epoch, head, created })
            }
            b'r' => {
                let (first, count) = (Position(bytes.number()?), bytes.number()?);
                Some(Self::Records { first, count, bytes: expand(&mut bytes, room)? })
            }
            b'f' => {
                let name = bytes.text()?;
                Some(Self::File { name, bytes: expand(&mut bytes, room)? })
            }
            b'e' => {
                let records = bytes.number()?;
                (bytes.0.len() == DIGEST).then_some(Self::End { records, digest: bytes.0 })
            }
            _ => None,
        }
    }
}

fn expand<'a>(bytes: &mut Reader<'_>, room: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    let length = usize::try_from(bytes.number()?).ok().filter(|length| *length <= MAX_BLOCK)?;
    *room = zstd::bulk::decompress(bytes.0, length).ok()?;
    (room.len() == length).then_some(room)
}

/// Writes a backup to a file, and sums up what was written.
pub(super) struct Writer<W> {
    file: W,
    sum: Context,
    number: u32,
    bytes: u64,
    block: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins a backup.
    pub(super) fn begin(file: W) -> io::Result<Self> {
        let mut writer = Self { file, sum: Context::new(&SHA256), number: 0, bytes: 0, block: Vec::new() };
        writer.write_all(BEGINNING)?;
        writer.write_all(&LAYOUT.to_le_bytes())?;
        Ok(writer)
    }

    /// Appends a block.
    pub(super) fn block(&mut self, block: &Block<'_>) -> io::Result<()> {
        let mut bytes = std::mem::take(&mut self.block);
        bytes.clear();
        block.put(&mut bytes)?;
        blocks::write(self.number, &bytes, self)?;
        self.number += 1;
        self.block = bytes;
        Ok(())
    }

    /// Appends the last block, and gives the file back.
    pub(super) fn end(mut self, records: u64) -> io::Result<W> {
        let digest = self.sum.clone().finish();
        self.block(&Block::End { records, digest: digest.as_ref() })?;
        Ok(self.file)
    }

    /// How much was written.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The file.
    pub(super) fn file(&self) -> &W {
        &self.file
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.sum.update(bytes.get(..written).unwrap_or_default());
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Sums up what is read.
pub(super) struct Summing<R> {
    file: R,
    sum: Context,
    pub(super) bytes: u64,
}

impl<R: io::Read> Summing<R> {
    pub(super) fn new(file: R) -> Self {
        Self { file, sum: Context::new(&SHA256), bytes: 0 }
    }

    /// The SHA-256 of what was read.
    pub(super) fn digest(&self) -> Digest {
        self.sum.clone().finish()
    }
}

impl<R: io::Read> io::Read for Summing<R> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(room)?;
        self.sum.update(room.get(..read).unwrap_or_default());
        self.bytes += read as u64;
        Ok(read)
    }
}
