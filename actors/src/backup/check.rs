//! Reading a backup through: every block, every record, and the sum of it all.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::format::{BEGINNING, Block, LAYOUT, MAX_BLOCK, Summing};
use super::{BackupError, Contents, Doing, Progress, damaged, io};
use crate::log::record::{self, Position};
use crate::snapshot::blocks;

/// Reads through a backup. What it returns holds, down to the last record.
///
/// # Errors
/// [`BackupError`]: `Foreign`, `Version`, `Damaged` or `Io`.
pub fn check(path: &Path, progress: Progress<'_>) -> Result<Contents, BackupError> {
    read(path, |_| Ok(()), |done, total| progress(Doing::Checking, done, total))
}

/// Reads through a backup and hands its blocks to `each`, those before damage as well.
pub(super) fn read(
    path: &Path,
    mut each: impl FnMut(&Block<'_>) -> Result<(), BackupError>,
    mut progress: impl FnMut(u64, u64),
) -> Result<Contents, BackupError> {
    let file = File::open(path).map_err(io(path))?;
    let total = file.metadata().map_err(io(path))?.len();
    let mut file = Summing::new(BufReader::with_capacity(1 << 20, file));
    begin(path, &mut file)?;
    let (mut block, mut room) = (Vec::new(), Vec::new());
    let mut contents: Option<Contents> = None;
    let mut at = Position::default();
    for number in 0.. {
        let before = file.digest();
        match blocks::next(number, &mut file, &mut block, MAX_BLOCK) {
            Ok(true) => {}
            Ok(false) => return Err(damaged(path, "it ends before its end")),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => return Err(damaged(path, error)),
            Err(source) => return Err(io(path)(source)),
        }
        let none = || damaged(path, format!("block {number} cannot be read"));
        let found = Block::read(&block, &mut room).ok_or_else(none)?;
        match (&found, contents.as_mut()) {
            (Block::Header { epoch, head, created }, None) => {
                let (epoch, head, created) = (*epoch, *head, *created);
                contents = Some(Contents { created, epoch, head, files: Vec::new(), bytes: total });
            }
            (Block::Records { first, count, bytes }, Some(_)) => {
                if *first != at.next() {
                    return Err(damaged(path, format!("after position {} comes {}", at.0, first.0)));
                }
                at = read_records(at, *count, bytes).map_err(|what| damaged(path, what))?;
            }
            (Block::File { name, .. }, Some(contents)) => {
                if contents.files.last().is_none_or(|last| last != name) {
                    contents.files.push((*name).to_owned());
                }
            }
            (Block::End { records, digest }, Some(contents)) => {
                if before.as_ref() != *digest {
                    return Err(damaged(path, "it does not match its checksum"));
                }
                if *records != at.0 || contents.head != at {
                    return Err(damaged(path, format!("it has {} records of {}", at.0, contents.head.0)));
                }
                let mut behind = [0];
                return match file.read(&mut behind) {
                    Ok(0) => Ok(std::mem::take(contents)),
                    Ok(_) => Err(damaged(path, "something follows its end")),
                    Err(source) => Err(io(path)(source)),
                };
            }
            _ => return Err(none()),
        }
        each(&found)?;
        progress(file.bytes, total);
    }
    Err(damaged(path, "it has no end"))
}

fn begin(path: &Path, file: &mut impl Read) -> Result<(), BackupError> {
    let mut beginning = Vec::new();
    let length = BEGINNING.len() + size_of::<u16>();
    file.by_ref().take(length as u64).read_to_end(&mut beginning).map_err(io(path))?;
    let layout = beginning.strip_prefix(BEGINNING).and_then(|rest| rest.try_into().ok()).map(u16::from_le_bytes);
    match layout {
        Some(LAYOUT) => Ok(()),
        Some(found) => Err(BackupError::Version { path: path.display().to_string(), found, known: LAYOUT }),
        None => Err(BackupError::Foreign(path.display().to_string())),
    }
}

/// Decodes every record behind `at`; where they end.
fn read_records(mut at: Position, count: u64, mut bytes: &[u8]) -> Result<Position, String> {
    for _ in 0..count {
        at = record::decode_from(at.next(), &mut bytes).map_err(|damage| damage.to_string())?.position;
    }
    if bytes.is_empty() { Ok(at) } else { Err(format!("{} bytes behind position {} are none", bytes.len(), at.0)) }
}
