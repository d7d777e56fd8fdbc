//! How the command line has a running server erase somebody: by a file in the data folder, which the server removes when it
//! is done. Should it end in between, the file is there at its next start, and says from where on in the log that may stand
//! already: said again, it would take what was said since.

use std::fs::{DirEntry, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chappe_proto::UserId;

use crate::folder;
use crate::log::record::Position;

const BEGINNING: &str = "erase-";
/// So soon a server has ended the connections of somebody who is not believed any more. Before that they could say
/// something that would stay.
const BELIEF: Duration = Duration::from_secs(2);

fn path(folder: &Path, user: UserId) -> PathBuf {
    folder.join(format!("{BEGINNING}{user}"))
}

/// Asks for a user to be erased.
///
/// # Errors
/// If the file cannot be written.
pub fn ask(folder: &Path, user: UserId) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path(folder, user))?.sync_all()?;
    folder::flush(folder)
}

/// Whether a user is still to be erased.
pub fn is_open(folder: &Path, user: UserId) -> bool {
    path(folder, user).exists()
}

/// It is begun: if the log of this epoch says that the user is erased, then behind this position.
pub(crate) fn begin(folder: &Path, user: UserId, epoch: u64, behind: Position) -> io::Result<()> {
    folder::write_whole(&path(folder, user), format!("{epoch} {}", behind.0).as_bytes(), 0o600)
}

/// Of which log, by its epoch, and behind which position it was begun, if it was.
pub(crate) fn begun(folder: &Path, user: UserId) -> Option<(u64, Position)> {
    let text = std::fs::read_to_string(path(folder, user)).ok()?;
    let (epoch, behind) = text.split_once(' ')?;
    Some((epoch.parse().ok()?, Position(behind.parse().ok()?)))
}

/// It is done.
///
/// # Errors
/// If the file cannot be removed.
pub fn done(folder: &Path, user: UserId) -> io::Result<()> {
    folder::remove(path(folder, user))?;
    folder::flush(folder)
}

/// Who is to be erased by now: whoever asks has seen to it that they are not believed, and that takes a moment.
pub fn all(folder: &Path) -> Vec<UserId> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let user = |entry: &DirEntry| entry.file_name().to_str()?.strip_prefix(BEGINNING)?.parse().ok();
    let requests = entries.filter_map(|entry| entry.ok().and_then(|entry| Some((user(&entry)?, entry))));
    requests.filter(|(_, entry)| is_due(entry)).map(|(user, _)| user).collect()
}

/// One that was begun is, and a clock that was set back keeps nobody waiting.
fn is_due(request: &DirEntry) -> bool {
    if request.metadata().is_ok_and(|request| request.len() > 0) {
        return true;
    }
    let asked = request.metadata().and_then(|request| request.modified()).ok();
    asked.and_then(|asked| asked.elapsed().ok()).is_none_or(|age| age >= BELIEF)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn a_request_is_due_once_nobody_believes_them_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let user = UserId::parse(7).unwrap();
        ask(folder.path(), user).unwrap();
        assert!(is_open(folder.path(), user));
        assert_eq!(all(folder.path()), []);
        let file = File::open(path(folder.path(), user)).unwrap();
        for at in [SystemTime::now() - BELIEF, SystemTime::now() + BELIEF * 100] {
            file.set_modified(at).unwrap();
            assert_eq!(all(folder.path()), [user]);
        }
        // Asked again it is no later.
        file.set_modified(SystemTime::now() - BELIEF).unwrap();
        ask(folder.path(), user).unwrap();
        assert_eq!(all(folder.path()), [user]);
        // Nor is one that was begun.
        assert_eq!(begun(folder.path(), user), None);
        begin(folder.path(), user, 5, Position(9)).unwrap();
        assert_eq!(all(folder.path()), [user]);
        ask(folder.path(), user).unwrap();
        assert_eq!((all(folder.path()), begun(folder.path(), user)), (vec![user], Some((5, Position(9)))));
        done(folder.path(), user).unwrap();
        assert!(!is_open(folder.path(), user));
    }
}
