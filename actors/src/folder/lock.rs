//! Getting the lock of a data folder, whoever looks at it in that moment, and whoever asks.

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// So long a start tries to get it.
const MOMENT: Duration = Duration::from_secs(1);

/// Locks the file. Whoever only looks holds it for some microseconds, and stops no server by that.
pub(super) fn try_for_a_moment(lock: &File) -> Result<(), TryLockError> {
    let began = Instant::now();
    loop {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) if began.elapsed() < MOMENT => std::thread::sleep(MOMENT / 100),
            result => return result,
        }
    }
}

/// What root makes in somebody else's folder is theirs: their server has to open it.
pub(super) fn hand_over(file: &File, folder: &Path) {
    let owners = || -> std::io::Result<_> { Ok((file.metadata()?, std::fs::metadata(folder)?)) };
    if rustix::process::geteuid().is_root()
        && let Ok((of_file, of_folder)) = owners()
        && of_file.uid() == 0
    {
        // Where root may not do even that, the server says what is missing.
        let _ = std::os::unix::fs::fchown(file, Some(of_folder.uid()), Some(of_folder.gid()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Folder, LOCK};
    use super::*;

    #[test]
    fn who_only_looks_stops_no_server() {
        let place = tempfile::tempdir().unwrap();
        drop(Folder::lock(place.path()).unwrap());
        let looks = File::open(place.path().join(LOCK)).unwrap();
        looks.lock_shared().unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let path = place.path().to_owned();
        std::thread::spawn(move || tell.send(Folder::lock(&path)));
        // Not refused as long as somebody looks.
        assert!(told.recv_timeout(MOMENT / 20).is_err());
        drop(looks);
        told.recv().unwrap().unwrap();
    }

    #[test]
    fn what_is_made_in_somebody_s_folder_is_theirs() {
        let place = tempfile::tempdir().unwrap();
        let (us, nobody) = (rustix::process::geteuid(), 65534);
        let owner = if us.is_root() { nobody } else { us.as_raw() };
        std::os::unix::fs::chown(place.path(), Some(owner), None).unwrap();
        let _folder = Folder::lock(place.path()).unwrap();
        assert_eq!(std::fs::metadata(place.path().join(LOCK)).unwrap().uid(), owner);
    }
}
