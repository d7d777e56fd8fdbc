//! A folder that is being filled: empty at first, and no server's before it is whole. A file in it says so, from before
//! anything else is made until all of it is on disk.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use super::{Folder, FolderError, LOCK, io};

/// The file that says that the folder is not whole, and what did not come to its end.
const UNFINISHED: &str = "unfinished";
/// What may be in an empty folder: `lost+found` stands in every new file system.
const NOTHING: [&str; 2] = [LOCK, "lost+found"];

/// A folder that is ours to fill.
#[derive(Debug)]
pub struct Filling {
    /// The folder, locked.
    pub folder: Folder,
    /// Whether something was begun here before, and cut off.
    pub again: bool,
}

impl Folder {
    /// Takes an empty folder, or makes it, to be filled by `work`; or one where the same work was cut off. No server
    /// starts there before [`Filling::finish`].
    ///
    /// # Errors
    /// [`FolderError`]: `NotEmpty`, `Unfinished` by other work, `Locked` or `Io`.
    pub fn fill(path: &Path, work: &str) -> Result<Filling, FolderError> {
        // Before anything is made in a folder that may be the wrong one.
        was_begun(path, work)?;
        let mut folder = Self::lock(path)?;
        // Somebody may have been quicker.
        let begun = was_begun(path, work)?;
        folder.filling = true;
        // Cut off before its first word, nothing else was made.
        let again = begun.is_some_and(|begun| !begun.is_empty());
        if !again {
            let marker = path.join(UNFINISHED);
            let written = File::create(&marker).and_then(|mut file| {
                file.write_all(work.as_bytes())?;
                file.sync_all()
            });
            written.map_err(|source| io(&marker, source))?;
            sync(path)?;
        }
        Ok(Filling { folder, again })
    }
}

impl Filling {
    /// All is there, and on disk: from now on it is a server's.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn finish(self) -> Result<(), FolderError> {
        let path = self.folder.path();
        sync(path)?;
        let marker = path.join(UNFINISHED);
        fs::remove_file(&marker).map_err(|source| io(&marker, source))?;
        sync(path)
    }
}

/// What was begun in the folder and not finished; `None` if it is empty.
fn was_begun(path: &Path, work: &str) -> Result<Option<String>, FolderError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(io(path, source)),
    };
    if let Some(begun) = begun(path)? {
        return if begun == work || begun.is_empty() { Ok(Some(begun)) } else { Err(unfinished(path, begun)) };
    }
    for entry in entries {
        let name = entry.map_err(|source| io(path, source))?.file_name();
        if !NOTHING.iter().any(|nothing| name == *nothing) {
            let (folder, found) = (path.display().to_string(), name.to_string_lossy().into_owned());
            return Err(FolderError::NotEmpty { folder, found });
        }
    }
    Ok(None)
}

/// Refuses a folder that is not whole: what anybody else makes there is gone with the next try, or in its way.
///
/// # Errors
/// [`FolderError`]: `Unfinished` or `Io`.
pub fn refuse_unfinished(path: &Path) -> Result<(), FolderError> {
    begun(path)?.map_or(Ok(()), |work| Err(unfinished(path, work)))
}

fn begun(path: &Path) -> Result<Option<String>, FolderError> {
    let marker = path.join(UNFINISHED);
    match fs::read_to_string(&marker) {
        Ok(work) => Ok(Some(work)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(io(&marker, source)),
    }
}

fn unfinished(path: &Path, work: String) -> FolderError {
    let work = if work.is_empty() { "restore or import".to_owned() } else { work };
    FolderError::Unfinished { folder: path.display().to_string(), work }
}

fn sync(path: &Path) -> Result<(), FolderError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|source| io(path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_being_filled_is_no_server_s_until_it_is_whole() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("data");
        let filling = Folder::fill(&path, "restore").unwrap();
        assert!(!filling.again);
        drop(filling);
        let folder = Folder::lock(&path).unwrap();
        assert!(matches!(folder.open_log(1), Err(FolderError::Unfinished { .. })));
        drop(folder);
        let other = Folder::fill(&path, "import").unwrap_err().to_string();
        assert!(other.contains("an unfinished restore"), "{other}");
        let filling = Folder::fill(&path, "restore").unwrap();
        assert!(filling.again);
        filling.finish().unwrap();
        assert!(Folder::lock(&path).unwrap().open_log(1).is_ok());
        assert!(matches!(Folder::fill(&path, "restore"), Err(FolderError::NotEmpty { .. })));
    }

    #[test]
    fn nothing_is_made_in_a_folder_where_something_is() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("mine"), "x").unwrap();
        assert!(matches!(Folder::fill(place.path(), "import"), Err(FolderError::NotEmpty { .. })));
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
        fs::rename(place.path().join("mine"), place.path().join("lost+found")).unwrap();
        assert!(Folder::fill(place.path(), "import").is_ok());
    }
}
