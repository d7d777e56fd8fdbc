//! Looks at the log's write-ahead file before SQLite opens it.
//!
//! SQLite drops a WAL silently from the first frame whose checksum does not fit: right for the torn end that a power
//! cut leaves, wrong for damage further up, where acknowledged commits would vanish without a word. The two are told
//! apart here: behind a torn end there is at most the rest of one commit, which nobody was told of.
//!
//! Format: <https://sqlite.org/fileformat2.html#the_write_ahead_log>.

use std::fs;
use std::io::{ErrorKind, Read, Result};
use std::path::Path;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// What the write-ahead file holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WalReport {
    /// Whole commits that SQLite will take over.
    pub commits: u64,
    /// Bytes of this generation behind the last whole commit, that SQLite will drop.
    pub dropped_bytes: u64,
    /// Commits among the dropped bytes, beyond the one that a cut may leave unfinished.
    pub lost_commits: u64,
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
    let big_endian = match word(&header, 0) {
        0x377f_0682 => false,
        0x377f_0683 => true,
        _ => return Ok(WalReport::default()),
    };
    let page = usize::try_from(word(&header, 8)).unwrap_or(0);
    if !page.is_power_of_two() || !(512..=65_536).contains(&page) {
        return Ok(WalReport::default());
    }
    let mut sum = Sum { big_endian, a: 0, b: 0 };
    sum.add(&header[..24]);
    if (sum.a, sum.b) != (word(&header, 24), word(&header, 28)) {
        return Ok(WalReport::default());
    }
    let salt = [word(&header, 16), word(&header, 20)];
    let mut report = WalReport::default();
    let mut whole = true;
    let mut commits_behind = 0u64;
    let mut frame = vec![0; FRAME_HEADER + page];
    loop {
        let got = read_up_to(&mut file, &mut frame)?;
        if got < FRAME_HEADER || [word(&frame, 8), word(&frame, 12)] != salt {
            // The end, or what an earlier generation left behind.
            break;
        }
        let commits = word(&frame, 4) != 0;
        if whole && got == frame.len() {
            sum.add(&frame[..8]);
            sum.add(&frame[FRAME_HEADER..]);
            whole = (sum.a, sum.b) == (word(&frame, 16), word(&frame, 20));
        } else {
            whole = false;
        }
        report.dropped_bytes += got as u64;
        if whole && commits {
            report.commits += 1;
            report.dropped_bytes = 0;
        } else if !whole && commits {
            commits_behind += 1;
        }
        if got < frame.len() {
            break;
        }
    }
    report.lost_commits = commits_behind.saturating_sub(1);
    Ok(report)
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
        assert_eq!(report(&wal_of(5)), WalReport { commits: 5, dropped_bytes: 0, lost_commits: 0 });
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
    fn a_flipped_byte_before_other_commits_is_a_loss() {
        let mut wal = wal_of(5);
        let middle = wal.len() / 2;
        wal[middle] ^= 1;
        let report = report(&wal);
        assert!(report.lost_commits >= 1, "{report:?}");
        assert!(report.commits < 4);
    }
}
