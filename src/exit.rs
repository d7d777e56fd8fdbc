//! What the process tells its caller by its exit code. Every command takes its codes from here.
//!
//! A code never changes its meaning. `docs/exit-codes.md` and `chappe explain` list the same ones.

use std::io::{self, ErrorKind};
use std::process::ExitCode;

use chappe_actors::accounts::store::StoreError;
use chappe_actors::engine::EngineError;
use chappe_actors::folder::FolderError;
use chappe_actors::log::LogError;

/// Why the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done; for a server: stopped as asked, and nothing acknowledged was lost.
    Fine = 0,
    /// A failure that has no code of its own; the text on stderr says which.
    Failed = 1,
    /// The command line cannot be understood.
    Usage = 2,
    /// A setting is wrong, or the settings do not fit together.
    Configuration = 3,
    /// An address cannot be listened on; for a client command: the server cannot be reached.
    Address = 4,
    /// Another server uses the data folder.
    Locked = 5,
    /// The log is damaged or gone, or was written by a newer version; or the accounts are gone.
    Log = 6,
    /// `chappe verify` found that the query tables or the snapshot differ from the log.
    Differences = 7,
    /// A restore or an import into the data folder was cut off.
    Unfinished = 8,
    /// A file that is read, such as a backup, is damaged, not whole, or of another version.
    BadFile = 9,
    /// The data folder or the file that is to be made is not empty.
    NotEmpty = 10,
    /// The disk is full, or takes no writes.
    Full = 11,
    /// Interrupted: a server a second time, before its stop was complete; `chappe tail` by Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// Every code, ascending.
    pub const ALL: &'static [Self] = &[
        Self::Fine,
        Self::Failed,
        Self::Usage,
        Self::Configuration,
        Self::Address,
        Self::Locked,
        Self::Log,
        Self::Differences,
        Self::Unfinished,
        Self::BadFile,
        Self::NotEmpty,
        Self::Full,
        Self::Interrupted,
    ];

    /// The number the caller sees.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// What it means, and what to do about it.
    pub const fn meaning(self) -> (&'static str, &'static str) {
        match self {
            Self::Fine => ("Done. A server was asked to stop, and did.", "Nothing."),
            Self::Failed => ("A failure without a code of its own.", "Read stderr."),
            Self::Usage => ("The command line cannot be understood.", "Run `chappe help`."),
            Self::Configuration => (
                "A setting is wrong, or the settings do not fit together.",
                "Mend what stderr lists; `chappe check-config` checks without starting.",
            ),
            Self::Address => (
                "An address cannot be listened on; in client commands, the server cannot be reached.",
                "See what else uses the port, or whether the server runs.",
            ),
            Self::Locked => (
                "Another server uses the data folder.",
                "Stop the other server, or give this one a folder of its own (`--data`).",
            ),
            Self::Log => (
                "The log is damaged or gone, or was written by a newer version; or the accounts are gone.",
                "Read stderr: restore a backup, or install the version it names. Starting again does not help.",
            ),
            Self::Differences => (
                "`chappe verify` found that the query tables or the snapshot differ from the log.",
                "The log is right; stdout lists what differs, and what to do.",
            ),
            Self::Unfinished => (
                "A restore or an import into the data folder was cut off.",
                "Run the same command again, or delete the folder.",
            ),
            Self::BadFile => (
                "A backup, an export, a file to import or a run to compare with is damaged, not whole, or of another version.",
                "Read stderr: it says where. Mend the line and import again, take another backup, or measure again.",
            ),
            Self::NotEmpty => (
                "Something is where a folder or a file is to be made.",
                "Nothing was changed: name another folder or file.",
            ),
            Self::Full => (
                "The disk is full, or takes no writes.",
                "Make room, or let it be written to, and run it again. Nothing was lost.",
            ),
            Self::Interrupted => (
                "Interrupted: a server a second time, before its stop was complete; `chappe tail` by Ctrl-C.",
                "Nothing: what was acknowledged is on disk.",
            ),
        }
    }
}

impl From<&FolderError> for Exit {
    fn from(error: &FolderError) -> Self {
        match error {
            FolderError::Locked { .. } => Self::Locked,
            FolderError::DamagedWal { .. } | FolderError::LostLog { .. } => Self::Log,
            FolderError::Log { source, .. } => source.into(),
            FolderError::Unfinished { .. } => Self::Unfinished,
            FolderError::NotEmpty { .. } => Self::NotEmpty,
            FolderError::Io { source, .. } => source.into(),
            // It names the folder wrongly.
            FolderError::NoLog(_) => Self::Configuration,
        }
    }
}

impl From<&io::Error> for Exit {
    fn from(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::ReadOnlyFilesystem => Self::Full,
            // A file where a folder is to be.
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory => Self::NotEmpty,
            _ => Self::Failed,
        }
    }
}

impl From<&EngineError> for Exit {
    fn from(error: &EngineError) -> Self {
        match error {
            EngineError::Folder(error) => error.into(),
            EngineError::NoLog(_) => Self::Configuration,
            EngineError::UnknownUser(_) | EngineError::NoChance | EngineError::Thread(_) => Self::Failed,
        }
    }
}

impl From<&StoreError> for Exit {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Io { source, .. } => source.into(),
            StoreError::Lost { .. } => Self::Log,
            StoreError::Unknowable(error) | StoreError::Unfinished(error) => error.into(),
            _ => Self::Failed,
        }
    }
}

impl From<&LogError> for Exit {
    fn from(error: &LogError) -> Self {
        match error {
            LogError::Full(_) => Self::Full,
            // It says nothing about what stands in the log: the file cannot be opened, or the disk does not answer.
            LogError::Failed(_) | LogError::Busy(_) | LogError::Behind(_) | LogError::TooLarge(_) => Self::Failed,
            LogError::Corrupt(_)
            | LogError::Damaged(_)
            | LogError::Missing { .. }
            | LogError::Newer { .. }
            | LogError::Older { .. }
            | LogError::Foreign(_) => Self::Log,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_in_the_log_makes_a_log_damaged() {
        let text = || "why".to_owned();
        for passing in [LogError::Failed(text()), LogError::Busy(text()), LogError::Behind(1)] {
            assert_eq!(Exit::from(&passing), Exit::Failed, "{passing}");
        }
        for lasting in [LogError::Corrupt(text()), LogError::Missing { after: 1, found: 3 }, LogError::Foreign(text())]
        {
            assert_eq!(Exit::from(&lasting), Exit::Log, "{lasting}");
        }
    }

    #[test]
    fn the_page_lists_every_code_with_its_meaning() {
        let page = include_str!("../docs/exit-codes.md");
        for exit in Exit::ALL {
            let (meaning, remedy) = exit.meaning();
            let row = format!("| {} | {meaning} | {remedy} |", exit.code());
            assert!(page.contains(&row), "docs/exit-codes.md lacks this row:\n{row}");
        }
    }
}
