//! `chappe user erase`: takes what a user said, what they are called and where they were out of the data folder, for good.
//! A running server does it itself; without one it is done here.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use chappe_actors::accounts::Account;
use chappe_actors::engine::EngineError;
use chappe_actors::folder::{FolderError, Use, in_use, log_error};
use chappe_actors::history::History;
use chappe_actors::principal::Denial;
use chappe_actors::retention::requests;
use chappe_proto::UserId;

use crate::app::{self, AppError};
use crate::cli::folder::{CommandError, FolderArgs, Who, accounts_if_any, finish, now};
use crate::cli::{compact, complain, fail, print};
use crate::config::Config;

/// How often it is looked whether the server is done.
const LOOK: Duration = Duration::from_millis(100);
/// A server that left the folder alone for so long is not just being started again.
const GONE: Duration = Duration::from_secs(5);

/// Erases somebody.
pub(super) fn run(who: &Who, folder: &FolderArgs) -> ExitCode {
    let (config, user, account) = match find(who, folder) {
        Ok(found) => found,
        Err(error) => return fail(&error, error.exit()),
    };
    match app::erase(&config, user) {
        Ok(done) => {
            // The account goes last: until all is done it can be named.
            if let Err(error) = forget_account(&config, user) {
                return fail(&error, error.exit());
            }
            // A server was asked before it ended.
            let _ = requests::done(&config.data, user);
            complain(&format!("user {user} is erased"));
            print(&compact::in_words(&done))
        }
        Err(AppError::Engine(EngineError::Folder(FolderError::Locked { .. }))) => {
            finish(ask(&config, user, account.as_ref()))
        }
        // Nobody has heard of them but here.
        Err(AppError::Engine(EngineError::UnknownUser(_) | EngineError::NoLog(_))) if account.is_some() => finish(
            forget_account(&config, user).map(|()| format!("user {user} is erased: there was only an account\n")),
        ),
        Err(error) => fail(&error, error.exit_code()),
    }
}

fn find(who: &Who, folder: &FolderArgs) -> Result<(Config, UserId, Option<Account>), CommandError> {
    let config = folder.settings()?;
    if !config.data.is_dir() {
        return Err(CommandError::NoFolder(config.data));
    }
    let account = match accounts_if_any(&config)? {
        Some(accounts) => who.account(&accounts)?,
        None => None,
    };
    let user = match (&account, who) {
        (Some(account), _) => account.user,
        (None, Who::Id(user)) => *user,
        (None, Who::Nickname(_)) => return Err(who.nobody()),
    };
    Ok((config, user, account))
}

/// They have no account from now on, and whatever they show is not believed.
fn forget_account(config: &Config, user: UserId) -> Result<(), CommandError> {
    match accounts_if_any(config)? {
        Some(mut accounts) => Ok(accounts.erase(user, now())?),
        None => Ok(()),
    }
}

/// Has the server that uses the folder do it, and waits for that.
fn ask(config: &Config, user: UserId, account: Option<&Account>) -> Result<String, CommandError> {
    // Before anything is said of them: an id may be a slip, and a stranger's.
    if account.is_none() && !is_known(config, user)? {
        return Err(EngineError::UnknownUser(user).into());
    }
    // Before the server is asked: from then on they soon say nothing more.
    if let Some(mut accounts) = accounts_if_any(config)? {
        accounts.deny(Denial::User(user))?;
    }
    let failed = |source| CommandError::Input { what: config.data.display().to_string(), source };
    requests::ask(&config.data, user).map_err(failed)?;
    // Last: until here they can be named by it.
    forget_account(config, user)?;
    complain(&format!(
        "a server uses the folder and was asked to erase user {user}; should this end before, the server goes on with it"
    ));
    let mut seen = Instant::now();
    while requests::is_open(&config.data, user) {
        if in_use(&config.data).map_err(EngineError::from)? != Use::Free {
            seen = Instant::now();
        }
        if seen.elapsed() > GONE {
            return Err(CommandError::Plain(
                "no server uses the folder any more: the next one goes on with it, or run this again",
            ));
        }
        std::thread::sleep(LOOK);
    }
    Ok(format!("user {user} is erased; the server goes on\n"))
}

/// Whether the server's log or tables know of a user.
fn is_known(config: &Config, user: UserId) -> Result<bool, CommandError> {
    let known = History::open(&config.data).and_then(|mut history| history.knows(user));
    Ok(known.map_err(|source| EngineError::from(log_error(&config.data, source)))?)
}
