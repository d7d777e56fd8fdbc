//! The disk under the data folder: how long a flush takes, how much room there is, and what sort of disk it is.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chappe_actors::checkup;

use super::{Check, Verdict};
use crate::config::about;

/// About a file system that takes no writes.
pub(super) const READ_ONLY: &str =
    "the file system is read-only: mount it for writing; if it became so by itself, dmesg says why";
/// So often a flush is tried.
const FLUSHES: usize = 20;
/// Longer than this every ack waits noticeably.
const SLOW: Duration = Duration::from_millis(20);
/// Less room, and the log's write-ahead file may not get what it needs.
const LITTLE: u64 = 128 << 20;
/// Less room is soon less than that.
const SOON: u64 = 1 << 30;

/// Looks at the disk under `data`, which need not be there yet. Also whether it takes writes.
pub(super) fn all(data: &Path) -> (Vec<Check>, bool) {
    let place = existing(data);
    let flush = flush(&place);
    let takes_writes = flush.verdict != Verdict::Fail;
    (vec![flush, space(&place), sort(&place)], takes_writes)
}

/// The folder, or the nearest one above it that is there.
fn existing(data: &Path) -> PathBuf {
    let absolute = std::path::absolute(data).unwrap_or_else(|_| data.to_owned());
    absolute.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

fn flush(place: &Path) -> Check {
    const NAME: &str = "flush";
    match checkup::flushes(place, FLUSHES) {
        Ok(taken) => how_slow(&taken),
        Err(error) => Check::fail(NAME, format!("{}: {error}", place.display()), what_to_do(error.kind())),
    }
}

/// About a disk that takes no write.
fn what_to_do(error: ErrorKind) -> &'static str {
    match error {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "make room, or move the folder to a larger disk (stop, copy, --data); nothing was lost"
        }
        ErrorKind::ReadOnlyFilesystem => READ_ONLY,
        ErrorKind::PermissionDenied => "the user that the server runs as has to be able to write there",
        _ => "see what the kernel says of the disk (dmesg)",
    }
}

/// Of times that ascend.
fn how_slow(taken: &[Duration]) -> Check {
    const NAME: &str = "flush";
    let millis = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1000.0);
    let median = taken.get(taken.len() / 2).copied().unwrap_or_default();
    let worst = taken.last().copied().unwrap_or_default();
    let text = format!("{} in the median of {}, {} at worst", millis(median), taken.len(), millis(worst));
    if median > SLOW {
        let advice = "every ack waits for one: another disk, or one with a cache that outlasts the power, is faster";
        Check::warn(NAME, text, advice)
    } else {
        Check::ok(NAME, text)
    }
}

fn space(place: &Path) -> Check {
    const NAME: &str = "disk space";
    match rustix::fs::statvfs(place) {
        Ok(disk) => {
            let files = (disk.f_files > 0).then_some(disk.f_favail);
            enough(disk.f_bavail.saturating_mul(disk.f_frsize), files)
        }
        Err(error) => {
            Check::fail(NAME, format!("{}: {error}", place.display()), "name a folder that can be reached: --data")
        }
    }
}

fn enough(free: u64, files: Option<u64>) -> Check {
    const NAME: &str = "disk space";
    let advice = "make room, or move the folder to a larger disk (stop, copy, --data)";
    let text = format!("{} free", about(free));
    if free < LITTLE {
        return Check::fail(NAME, text, advice);
    }
    match files {
        Some(files @ 0..100) => Check::fail(NAME, format!("{text}, and {files} more files"), "remove files"),
        _ if free < SOON => Check::warn(NAME, text, advice),
        _ => Check::ok(NAME, text),
    }
}

/// What the kernel calls file systems that are none for a log.
fn sort(place: &Path) -> Check {
    const NAME: &str = "file system";
    let Ok(found) = rustix::fs::statfs(place) else { return Check::ok(NAME, "cannot be told") };
    sort_of(u64::try_from(found.f_type).unwrap_or_default())
}

fn sort_of(magic: u64) -> Check {
    const NAME: &str = "file system";
    let network = "a log belongs on a disk of the machine: locks and flushes over the network are not to be relied on";
    match magic {
        0x6969 => Check::warn(NAME, "NFS", network),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => Check::warn(NAME, "SMB", network),
        0x6573_5546 => Check::warn(NAME, "FUSE", "whether a flush reaches a disk is up to the program behind it"),
        0x0102_1994 => {
            Check::warn(NAME, "in memory (tmpfs)", "all is gone with the machine's power: name a folder on a disk")
        }
        0x794c_7630 => {
            Check::warn(NAME, "a container's own (overlay)", "all is gone with the container: mount a volume there")
        }
        magic => Check::ok(NAME, format!("a local one (type {magic:#x})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_decides_and_not_the_worst() {
        let mut taken = vec![Duration::from_millis(2); 11];
        taken.extend(vec![Duration::from_secs(1); 9]);
        assert_eq!(how_slow(&taken).verdict, Verdict::Ok);
        assert_eq!(how_slow(&[Duration::from_millis(21); 20]).verdict, Verdict::Warn);
    }

    #[test]
    fn room_is_warned_of_before_it_is_gone() {
        assert_eq!(enough(100 << 30, Some(1000)).what, "100.0 GiB free");
        let verdict = |free, files| enough(free, files).verdict;
        assert_eq!(verdict(100 << 30, None), Verdict::Ok);
        assert_eq!(verdict(500 << 20, None), Verdict::Warn);
        assert_eq!(verdict(100 << 20, None), Verdict::Fail);
        assert_eq!(verdict(100 << 30, Some(7)), Verdict::Fail);
    }

    #[test]
    fn a_disk_that_is_none_is_named() {
        assert_eq!(sort_of(0x6969).verdict, Verdict::Warn);
        assert_eq!(sort_of(0xef53).verdict, Verdict::Ok);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_stands_on_the_disk_above_it() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(existing(&place.path().join("a/b")), place.path());
        assert_eq!(existing(place.path()), place.path());
    }
}
