//! How the command line has a running server erase somebody: by a file in the data folder, which the server removes when it
//! is done. Should it end in between, the file is there at its next start.

use std::fs::{DirEntry, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chappe_proto::UserId;

use crate::folder;

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

/// It is done.
///
/// # Errors
/// If the file cannot be removed.
pub fn done(folder: &Path, user: UserId) -> io::Result<()> {
    folder::remove(path(folder, user))
}

/// Who is to be erased by now: whoever asks has seen to it that they are not believed, and that takes a moment.
pub fn all(folder: &Path) -> Vec<UserId> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let user = |entry: &DirEntry| entry.file_name().to_str()?.strip_prefix(BEGINNING)?.parse().ok();
    let requests = entries.filter_map(|entry| entry.ok().and_then(|entry| Some((user(&entry)?, entry))));
    requests.filter(|(_, entry)| is_due(entry)).map(|(user, _)| user).collect()
}

/// A clock that was set back keeps nobody waiting.
fn is_due(request: &DirEntry) -> bool {
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
        done(folder.path(), user).unwrap();
        assert!(!is_open(folder.path(), user));
    }
}
