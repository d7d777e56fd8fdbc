//! Looks at the log's write-ahead file before SQLite opens it.
//!
//! SQLite drops a WAL silently from the first frame whose checksum does not fit: right for the torn end that a power
//! cut leaves, wrong for damage further up, where acknowledged commits would vanish without a word. The two are told
//! apart here: behind a torn end there is at most the rest of one commit, which nobody was told of.
//!
//! Format: <https://sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::fs;
use std::io::{ErrorKind, Read, Result};
use std::os::unix::fs::FileExt;
use std::path::Path;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// What the write-ahead file holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WalReport {
    /// Whole commits that SQLite will take over.
    pub commits: u64,
    /// Where the last of them ends.
    pub whole_bytes: u64,
    /// Bytes of this generation behind the last whole commit, that SQLite will drop.
    pub dropped_bytes: u64,
    /// Commits among the dropped bytes, beyond the one that a cut may leave unfinished.
    pub lost_commits: u64,
    /// Whether frames are missing before a commit among the dropped bytes: they may be of the same, unfinished one, or a
    /// commit of their own.
    pub is_in_doubt: bool,
}

/// Reads the WAL at `path`; a missing or empty one holds nothing.
///
/// # Errors
/// If the file is there and cannot be read.
pub fn inspect(path: &Path) -> Result<WalReport> {
    let mut file = match fs::File::open(path) {
        Ok(file) => std::io::BufReader::with_capacity(1 << 20, file),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(WalReport::default()),
        Err(error) => return Err(error),
    };
    let mut header = [0; HEADER];
    if file.read_exact(&mut header).is_err() {
        return Ok(WalReport::default());
    }
    match Start::read(&header) {
        Some(start) => follow(&mut file, start),
        None => headless(&mut file, &header),
    }
}

/// Writes the first `bytes` of the WAL at `path` again, as they are, and flushes them.
///
/// What can be read there need not be on disk: a process that was killed had no time to flush it, and where a flush failed
/// the system keeps the bytes and never tries again. From here on what is read is what is kept.
///
/// # Errors
/// If the file cannot be read, or the disk does not take it.
pub fn write_again(path: &Path, bytes: u64) -> Result<()> {
    let file = fs::File::options().read(true).write(true).open(path)?;
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    while at < bytes {
        let size = usize::try_from(bytes - at).unwrap_or(usize::MAX).min(buffer.len());
        file.read_exact_at(&mut buffer[..size], at)?;
        file.write_all_at(&buffer[..size], at)?;
        at += size as u64;
    }
    file.sync_data()
}

/// What the header says of the frames behind it.
struct Start {
    page: usize,
    salts: [u32; 2],
    sum: Sum,
}

impl Start {
    /// `None` if the header is not whole.
    fn read(header: &[u8; HEADER]) -> Option<Self> {
        let big_endian = match word(header, 0) {
            0x377f_0682 => false,
            0x377f_0683 => true,
            _ => return None,
        };
        let page = usize::try_from(word(header, 8)).unwrap_or(0);
        if !page.is_power_of_two() || !(512..=65_536).contains(&page) {
            return None;
        }
        let mut sum = Sum { big_endian, a: 0, b: 0 };
        sum.add(&header[..24]);
        let whole = (sum.a, sum.b) == (word(header, 24), word(header, 28));
        whole.then_some(Self { page, salts: [word(header, 16), word(header, 20)], sum })
    }
}

/// Goes through the frames behind a whole header.
fn follow(file: &mut impl Read, Start { page, salts, mut sum }: Start) -> Result<WalReport> {
    let mut report = WalReport::default();
    let mut at = HEADER as u64;
    let mut whole = true;
    let mut commits_behind = 0u64;
    let mut is_missing = false;
    // Bytes since the last frame of this generation: the end, what an earlier generation left, or damage.
    let mut foreign = 0u64;
    let mut frame = vec![0; FRAME_HEADER + page];
    loop {
        let got = read_up_to(file, &mut frame)?;
        if got == 0 {
            break;
        }
        foreign += got as u64;
        at += got as u64;
        if got >= FRAME_HEADER && [word(&frame, 8), word(&frame, 12)] == salts {
            let commits = word(&frame, 4) != 0;
            whole = whole && got == frame.len() && {
                sum.add(&frame[..8]);
                sum.add(&frame[FRAME_HEADER..]);
                (sum.a, sum.b) == (word(&frame, 16), word(&frame, 20))
            };
            report.dropped_bytes += foreign;
            foreign = 0;
            if whole && commits {
                report.commits += 1;
                report.whole_bytes = at;
                report.dropped_bytes = 0;
            } else if commits {
                commits_behind += 1;
                report.is_in_doubt |= is_missing;
            }
        } else {
            // Whatever follows of this generation, SQLite stops here.
            (whole, is_missing) = (false, true);
        }
        if got < frame.len() {
            break;
        }
    }
    report.lost_commits = commits_behind.saturating_sub(1);
    Ok(report)
}

/// SQLite takes nothing over from a file whose header is not whole. A power cut leaves such a header only before the
/// first commit of a generation is on disk; so frames that commit more than once, or whose checksums lead back to
/// this header, were lost to damage.
fn headless(file: &mut impl Read, header: &[u8; HEADER]) -> Result<WalReport> {
    /// The page size of every log of ours; the header cannot be asked.
    const PAGE: usize = 4096;
    let mut computed = Sum { big_endian: word(header, 0) & 1 == 1, a: 0, b: 0 };
    computed.add(&header[..24]);
    let stored = (word(header, 24), word(header, 28));
    let mut commits = std::collections::HashMap::<[u32; 2], u64>::new();
    let mut linked = false;
    let mut dropped_bytes = 0;
    let mut frame = vec![0; FRAME_HEADER + PAGE];
    while read_up_to(file, &mut frame)? == frame.len() {
        let salts = [word(&frame, 8), word(&frame, 12)];
        if salts == [0, 0] {
            continue;
        }
        if dropped_bytes == 0 {
            // The first frame follows on the header's checksum, as it is stored or as it is computed, in either order
            // of bytes.
            let seeds = [stored, (computed.a, computed.b)];
            linked = seeds.iter().flat_map(|seed| [(seed, false), (seed, true)]).any(|((a, b), big_endian)| {
                let mut sum = Sum { big_endian, a: *a, b: *b };
                sum.add(&frame[..8]);
                sum.add(&frame[FRAME_HEADER..]);
                (sum.a, sum.b) == (word(&frame, 16), word(&frame, 20))
            });
        }
        dropped_bytes += frame.len() as u64;
        *commits.entry(salts).or_default() += u64::from(word(&frame, 4) != 0);
    }
    let most = commits.into_values().max().unwrap_or(0);
    let lost_commits = if linked { most.max(1) } else { most.saturating_sub(1) };
    Ok(WalReport { dropped_bytes, lost_commits, ..WalReport::default() })
}

fn read_up_to(file: &mut impl Read, buffer: &mut [u8]) -> Result<usize> {
    let mut got = 0;
    while got < buffer.len() {
        match file.read(&mut buffer[got..]) {
            Ok(0) => break,
            Ok(n) => got += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|word| word.try_into().ok()).map_or(0, u32::from_be_bytes)
}

/// The running checksum of the WAL.
struct Sum {
    big_endian: bool,
    a: u32,
    b: u32,
}

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        let read = |word: &[u8]| {
            let word = word.try_into().unwrap_or([0; 4]);
            if self.big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
        };
        let (mut a, mut b) = (self.a, self.b);
        for pair in bytes.chunks_exact(8) {
            a = a.wrapping_add(read(&pair[..4])).wrapping_add(b);
            b = b.wrapping_add(read(&pair[4..])).wrapping_add(a);
        }
        (self.a, self.b) = (a, b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A WAL of `commits` commits, copied away while its connection is open.
    fn wal_of(commits: usize) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let connection = rusqlite::Connection::open(folder.path().join("x.db")).unwrap();
        connection
            .execute_batch("PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t (x BLOB);")
            .unwrap();
        for _ in 1..commits {
            connection.execute("INSERT INTO t VALUES (randomblob(9000))", ()).unwrap();
        }
        fs::read(folder.path().join("x.db-wal")).unwrap()
    }

    fn report(bytes: &[u8]) -> WalReport {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        inspect(file.path()).unwrap()
    }

    #[test]
    fn a_whole_wal_loses_nothing() {
        let wal = wal_of(5);
        let whole_bytes = wal.len() as u64;
        assert_eq!(
            report(&wal),
            WalReport { commits: 5, whole_bytes, dropped_bytes: 0, lost_commits: 0, is_in_doubt: false }
        );
        assert_eq!(report(&[]), WalReport::default());
    }

    #[test]
    fn a_cut_end_is_a_torn_commit_and_not_a_loss() {
        let wal = wal_of(5);
        for cut in [1, 100, 5000] {
            let report = report(&wal[..wal.len() - cut]);
            assert_eq!((report.commits, report.lost_commits), (4, 0));
            assert!(report.dropped_bytes > 0);
        }
    }

    #[test]
    fn a_flipped_byte_before_other_commits_is_a_loss_wherever_it_is() {
        let wal = wal_of(5);
        // In the header, in a frame's header (its salts too), in a page: all but the last commit, which may be torn.
        let last = FRAME_HEADER + 4096;
        for at in (0..HEADER + FRAME_HEADER).chain((HEADER..wal.len() - 4 * last).step_by(97)) {
            let mut damaged = wal.clone();
            damaged[at] ^= 1;
            let report = report(&damaged);
            assert!(report.lost_commits >= 1, "byte {at}: {report:?}");
            assert!(report.commits < 5);
        }
    }

    #[test]
    fn a_lost_frame_before_the_last_commit_is_in_doubt() {
        // Commits of a page each.
        let folder = tempfile::tempdir().unwrap();
        let connection = rusqlite::Connection::open(folder.path().join("x.db")).unwrap();
        connection
            .execute_batch(
                "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t (x); INSERT INTO t VALUES (0);",
            )
            .unwrap();
        (1..4).for_each(|x| assert_eq!(connection.execute("UPDATE t SET x = ?1", [x]), Ok(1)));
        let wal = fs::read(folder.path().join("x.db-wal")).unwrap();
        let frame = FRAME_HEADER + 4096;
        let frames = (wal.len() - HEADER) / frame;
        for (lost, expected) in [(1, (0, false)), (2, (0, true)), (3, (1, true))] {
            let mut wal = wal.clone();
            wal[HEADER + (frames - lost) * frame..][..frame].fill(0);
            let report = report(&wal);
            assert_eq!((report.lost_commits, report.is_in_doubt), expected, "{lost} from the end");
        }
    }

    #[test]
    fn a_header_that_was_never_written_is_no_loss() {
        let mut wal = wal_of(1);
        wal[..HEADER].fill(0);
        assert_eq!(report(&wal).lost_commits, 0, "one commit, of which nobody can have been told");
        assert_eq!(report(&vec![0; 100_000]), WalReport::default());
    }

    #[test]
    fn what_an_earlier_generation_left_is_no_loss() {
        let (old, new) = (wal_of(9), wal_of(3));
        let mut wal = new.clone();
        wal.extend_from_slice(&old[new.len()..]);
        let whole_bytes = new.len() as u64;
        assert_eq!(
            report(&wal),
            WalReport { commits: 3, whole_bytes, dropped_bytes: 0, lost_commits: 0, is_in_doubt: false }
        );
    }

    #[test]
    fn what_is_written_again_is_as_it_was() {
        let wal = wal_of(300);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &wal).unwrap();
        write_again(file.path(), report(&wal).whole_bytes).unwrap();
        assert!(wal.len() > 2 << 20 && fs::read(file.path()).unwrap() == wal);
        assert!(write_again(file.path(), wal.len() as u64 + 1).is_err(), "so much is not there");
    }
}
