//! What the commands on a data folder share: the folder, with or without a running server, and what can go wrong there.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use chappe_actors::accounts::password::HashError;
use chappe_actors::accounts::store::{self, Store, StoreError};
use chappe_actors::accounts::{Account, Password, password};
use chappe_actors::backup::BackupError;
use chappe_actors::clock::Clock;
use chappe_actors::engine::EngineError;
use chappe_proto::{Millis, Reject, UserId};

use crate::auth::{AuthError, SecretError};
use crate::cli::fail;
use crate::cli::flags::SettingFlags;
use crate::config::{Config, ConfigError, Loaded};
use crate::exit::Exit;
use crate::logging;
use crate::transfer::TransferError;

/// What is read at most where a line is expected.
const MAX_INPUT: u64 = 64 * 1024;

/// Which data folder, and whose settings.
#[derive(Debug, clap::Args)]
pub(super) struct FolderArgs {
    /// The data folder; a server may be using it [default: ./chappe-data] [env: CHAPPE_DATA]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// The configuration file, TOML; none is read unless named [env: CHAPPE_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Which data folder is to be made, and whose settings.
#[derive(Debug, clap::Args)]
pub(super) struct NewFolderArgs {
    /// The data folder, empty or not there [default: ./chappe-data] [env: CHAPPE_DATA]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// The configuration file, TOML; none is read unless named [env: CHAPPE_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl NewFolderArgs {
    /// The folder.
    pub(super) fn path(&self) -> Result<PathBuf, CommandError> {
        Ok(self.settings()?.data)
    }

    /// The settings, which name the folder.
    pub(super) fn settings(&self) -> Result<Config, CommandError> {
        let Self { data, config } = self;
        FolderArgs { data: data.clone(), config: config.clone() }.settings()
    }
}

impl FolderArgs {
    /// The settings, which name the folder.
    pub(super) fn settings(&self) -> Result<Config, CommandError> {
        let Self { data, config } = self;
        let flags = SettingFlags { data: data.clone(), config: config.clone(), ..SettingFlags::default() };
        Ok(flags.load()?.config)
    }

    /// The accounts of a folder that is there.
    pub(super) fn accounts(&self) -> Result<Store, CommandError> {
        let config = self.settings()?;
        if !config.data.is_dir() {
            return Err(CommandError::NoFolder(config.data));
        }
        Ok(Store::open(&config.data)?)
    }

    /// The accounts, in a folder that is made if it is not there.
    pub(super) fn accounts_or_new(&self) -> Result<Store, CommandError> {
        let config = self.settings()?;
        make(&config)?;
        Ok(Store::open(&config.data)?)
    }
}

/// Which data folder that no server may be using, and whose settings; what is done there is logged.
#[derive(Debug, clap::Args)]
pub(super) struct IdleFolderArgs {
    /// The data folder; no server may be using it [default: ./chappe-data] [env: CHAPPE_DATA]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
    /// The configuration file, TOML; none is read unless named [env: CHAPPE_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What to log [default: info] [env: CHAPPE_LOG]
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
}

impl IdleFolderArgs {
    /// Begins the log; the settings, or what to end with.
    pub(super) fn begin(&self) -> Result<Config, ExitCode> {
        let Self { data, config, log } = self;
        let flags =
            SettingFlags { data: data.clone(), config: config.clone(), log: log.clone(), ..SettingFlags::default() };
        let Loaded { config, .. } = flags.load().map_err(|error| fail(&error, Exit::Configuration))?;
        logging::start(&config.log).map_err(|error| fail(&error, Exit::Failed))?;
        Ok(config)
    }
}

/// The accounts if there are any; nothing is made.
pub(super) fn accounts_if_any(config: &Config) -> Result<Option<Store>, CommandError> {
    let there = config.data.join(store::FILE).exists();
    Ok(if there { Some(Store::open(&config.data)?) } else { None })
}

fn make(config: &Config) -> Result<(), CommandError> {
    let failed = |source| CommandError::Make { path: config.data.clone(), source };
    chappe_actors::folder::make(&config.data).map_err(failed)
}

/// The time.
pub(super) fn now() -> Millis {
    Clock::default().now().wall
}

/// Why a command on a data folder failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CommandError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("there is no folder {}: is it the one that the server is given (--data)?", .0.display())]
    NoFolder(PathBuf),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Auth(#[from] AuthError),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Hash(#[from] HashError),
    #[error("{0} has no account here; `chappe user list` shows who has")]
    Nobody(String),
    #[error("{}", .0.message)]
    Refused(#[from] Reject),
    #[error("{what}: {source}")]
    Input { what: String, source: std::io::Error },
    #[error("{}: {source}", path.display())]
    Make { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Transfer(#[from] TransferError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("{0}")]
    Plain(&'static str),
}

impl CommandError {
    /// What the process ends with.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Config(_) | Self::Auth(AuthError::Key { .. }) => Exit::Configuration,
            Self::Backup(error) => of_backup(error),
            Self::Transfer(error) => of_transfer(error),
            Self::Engine(error) => error.into(),
            Self::Store(error) => error.into(),
            Self::Secret(SecretError::Unfinished(error)) => error.into(),
            Self::NoFolder(_) => Exit::Configuration,
            Self::Make { source, .. }
            | Self::Secret(SecretError::Io { source, .. })
            | Self::Auth(AuthError::Secret(SecretError::Io { source, .. })) => source.into(),
            _ => Exit::Failed,
        }
    }
}

fn of_backup(error: &BackupError) -> Exit {
    match error {
        BackupError::Folder(error) => error.into(),
        BackupError::Log { source, .. } => source.into(),
        BackupError::Foreign(_) | BackupError::Version { .. } | BackupError::Damaged { .. } => Exit::BadFile,
        BackupError::InTheWay(_) => Exit::NotEmpty,
        BackupError::Io { source, .. } => source.into(),
        BackupError::Accounts(_) => Exit::Failed,
    }
}

fn of_transfer(error: &TransferError) -> Exit {
    match error {
        TransferError::Folder(error) => error.into(),
        TransferError::Log { source, .. } => source.into(),
        TransferError::Line { .. } => Exit::BadFile,
        TransferError::Another { .. } => Exit::NotEmpty,
        TransferError::Io { source, .. } => source.into(),
    }
}

/// Leaves the processor to a server on the same machine, which has clients waiting.
pub(super) fn step_back() {
    // Not permitted is no harm.
    let _ = rustix::process::nice(10);
}

/// Tells how it went, and what was asked for.
pub(super) fn finish(done: Result<String, CommandError>) -> ExitCode {
    match done {
        Ok(text) => super::print(&text),
        Err(error) => fail(&error, error.exit()),
    }
}

/// Somebody named on the command line. A number is always an id: nobody can be called one.
#[derive(Debug, Clone)]
pub(super) enum Who {
    Id(UserId),
    Nickname(String),
}

impl From<&str> for Who {
    fn from(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Nickname(text.to_owned()), Self::Id)
    }
}

impl Who {
    /// Whose account it is, if it is one's.
    pub(super) fn account(&self, store: &Store) -> Result<Option<Account>, CommandError> {
        Ok(match self {
            Self::Id(user) => store.account(*user)?,
            Self::Nickname(nickname) => store.account_named(nickname)?,
        })
    }

    /// That there is no such account.
    pub(super) fn nobody(&self) -> CommandError {
        CommandError::Nobody(match self {
            Self::Id(user) => format!("user {user}"),
            Self::Nickname(nickname) => format!("{nickname:?}"),
        })
    }
}

/// Where a password comes from. Never from the command line: other users of the machine can read that.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
pub(super) struct PasswordArgs {
    /// Take the password from the first line of a file
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Take the password from the first line of stdin
    #[arg(long)]
    password_stdin: bool,
    /// No password: who it is shows tokens, and does not log in
    #[arg(long)]
    no_password: bool,
}

impl PasswordArgs {
    /// What is to be kept of the password; without a word about it, it is asked for, twice.
    pub(super) fn hashed(&self) -> Result<Option<String>, CommandError> {
        let password = if self.no_password {
            return Ok(None);
        } else if let Some(path) = &self.password_file {
            let failed = |source| CommandError::Input { what: path.display().to_string(), source };
            Password::new(first_line(std::fs::File::open(path).map_err(failed)?).map_err(failed)?)
        } else if self.password_stdin {
            Password::new(stdin_line()?)
        } else if std::io::stdin().is_terminal() {
            let ask = |prompt: &str| {
                let failed = |source| CommandError::Input { what: "ask for the password".to_owned(), source };
                rpassword::prompt_password(prompt).map(Password::new).map_err(failed)
            };
            let first = ask("Password: ")?;
            password::check(&first)?;
            if !first.is_typed_again(&ask("The same again: ")?) {
                return Err(CommandError::Plain("the two passwords differ"));
            }
            first
        } else {
            return Err(CommandError::Plain(
                "there is no terminal to ask for a password at: give --password-stdin, --password-file FILE or --no-password",
            ));
        };
        password::check(&password)?;
        Ok(Some(password::hash(&password)?))
    }
}

/// The first line of stdin.
pub(super) fn stdin_line() -> Result<String, CommandError> {
    first_line(std::io::stdin().lock()).map_err(|source| CommandError::Input { what: "read stdin".to_owned(), source })
}

fn first_line(from: impl Read) -> std::io::Result<String> {
    let mut text = String::new();
    from.take(MAX_INPUT).read_to_string(&mut text)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Reads a time such as `15m`, `24h` or `30d`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let end = text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)].into_iter().find(|(name, _)| *name == unit);
    let seconds = factor.and_then(|(_, factor)| number.parse::<u64>().ok()?.checked_mul(factor));
    let within = seconds.filter(|seconds| (1..=LONGEST.as_secs()).contains(seconds));
    within.map(Duration::from_secs).ok_or_else(|| "a time is 15m, 24h or 30d: 1s to 3650d".to_owned())
}

/// What a token can live at most: ten years.
pub(super) const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_and_an_end() {
        for (text, seconds) in [("90s", 90), ("15m", 900), ("24h", 86_400), ("30d", 2_592_000), ("3650d", 315_360_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "0s", "15", "h", "1.5h", "-1h", "3651d", "99999999999999999999d", "1w", "1h30m"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_is_an_id_and_everything_else_a_name() {
        assert!(matches!(Who::from("1001"), Who::Id(user) if user.get() == 1001));
        for name in ["ann", "0", "-1", "10 01", "99999999999999999999"] {
            assert!(matches!(Who::from(name), Who::Nickname(_)), "{name}");
        }
    }
}
