//! The data folder's secret, which signs the server's own tokens: a file of its own that only its owner can read.

use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use chappe_actors::folder;

/// The file in the data folder.
pub const FILE: &str = "token.secret";
/// Its length, and that of no other file.
const LENGTH: usize = 32;

/// Signs the server's own tokens. It is never shown.
#[derive(Clone)]
pub struct Secret([u8; LENGTH]);

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// It cannot be read or made.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The folder is not whole.
    #[error(transparent)]
    Unfinished(#[from] folder::FolderError),
    /// It is not what was written.
    #[error(
        "{path} has {found} bytes, but a secret has {LENGTH}: restore it from a backup, or delete it, which ends all sessions"
    )]
    Length {
        /// The file.
        path: String,
        /// How many bytes it has.
        found: usize,
    },
    /// There is no chance on this machine.
    #[error("the operating system gives no random numbers")]
    Chance,
}

impl Secret {
    /// Reads the secret in `folder`.
    ///
    /// # Errors
    /// [`SecretError`]; `Io` with `NotFound` if there is none.
    pub fn read(folder: &Path) -> Result<Self, SecretError> {
        let path = folder.join(FILE);
        let io = |source| SecretError::Io { path: path.display().to_string(), source };
        let bytes = std::fs::read(&path).map_err(io)?;
        let mode = std::fs::metadata(&path).map_err(io)?.permissions().mode();
        if mode & 0o077 != 0 {
            tracing::warn!(path = %path.display(), "others can read the secret that signs tokens: chmod 600");
        }
        let secret = <[u8; LENGTH]>::try_from(bytes.as_slice());
        secret.map(Self).map_err(|_| SecretError::Length { path: path.display().to_string(), found: bytes.len() })
    }

    /// Reads the secret in the folder `data`, or makes the folder and the secret; `true` if it was made.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn ensure(data: &Path) -> Result<(Self, bool), SecretError> {
        let path = data.join(FILE);
        let io = |source| SecretError::Io { path: path.display().to_string(), source };
        match Self::read(data) {
            Err(SecretError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
            found => {
                let secret = found?;
                // Who made it may have been killed before its name was on disk.
                folder::flush(data).map_err(io)?;
                return Ok((secret, false));
            }
        }
        folder::make(data).map_err(io)?;
        folder::refuse_unfinished(data)?;
        let secret = Self::random()?;
        // Written beside it and then linked: nobody sees half of it, and of two who make one, both use the first.
        let beside = data.join(format!("{FILE}.{}", std::process::id()));
        let _ = std::fs::remove_file(&beside);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside).map_err(io)?;
        file.write_all(&secret.0).and_then(|()| file.sync_all()).map_err(io)?;
        let linked = std::fs::hard_link(&beside, &path);
        let _ = std::fs::remove_file(&beside);
        match linked {
            Ok(()) => {
                folder::flush(data).map_err(io)?;
                Ok((secret, true))
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok((Self::read(data)?, false)),
            Err(error) => Err(io(error)),
        }
    }

    /// One that nobody has.
    pub(super) fn random() -> Result<Self, SecretError> {
        let mut secret = [0; LENGTH];
        aws_lc_rs::rand::fill(&mut secret).map_err(|_| SecretError::Chance)?;
        Ok(Self(secret))
    }

    /// The bytes, for signing.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
