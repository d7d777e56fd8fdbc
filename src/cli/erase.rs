//! `chappe user erase`: takes what a user said, what they are called and where they were out of the data folder, for good.
//! A running server does it itself; without one it is done here.

use std::process::ExitCode;
use std::time::Duration;

use chappe_actors::accounts::Account;
use chappe_actors::engine::EngineError;
use chappe_actors::folder::FolderError;
use chappe_actors::retention::requests;
use chappe_proto::UserId;

use crate::app::{self, AppError};
use crate::cli::folder::{CommandError, FolderArgs, Who, accounts_if_any, now};
use crate::cli::{compact, complain, fail, print};
use crate::config::Config;

/// How often it is looked whether the server is done.
const LOOK: Duration = Duration::from_millis(100);
/// So soon a server has ended the connections of somebody who is not believed any more.
const BELIEF: Duration = Duration::from_secs(2);

/// Erases somebody.
pub(super) fn run(who: &Who, folder: &FolderArgs) -> ExitCode {
    let (config, user, account) = match find(who, folder) {
        Ok(found) => found,
        Err(error) => return fail(&error, error.exit()),
    };
    // First what they are called: whoever reads accounts makes users of them.
    if let Err(error) = forget_account(&config, user) {
        return fail(&error, error.exit());
    }
    match app::erase(&config, user) {
        Ok(done) => {
            // A server was asked before it ended.
            let _ = requests::done(&config.data, user);
            complain(&format!("user {user} is erased"));
            print(&compact::in_words(&done))
        }
        Err(AppError::Engine(EngineError::Folder(FolderError::Locked { .. }))) => match ask(&config, user) {
            Ok(()) => print(&format!("user {user} is erased; the server goes on\n")),
            Err(error) => fail(&error, error.exit()),
        },
        // Nobody has heard of them but here.
        Err(AppError::Engine(EngineError::UnknownUser(_) | EngineError::NoLog(_))) if account.is_some() => {
            print(&format!("user {user} is erased: there was only an account\n"))
        }
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
fn ask(config: &Config, user: UserId) -> Result<(), CommandError> {
    let failed = |source| CommandError::Input { what: config.data.display().to_string(), source };
    if accounts_if_any(config)?.is_some() {
        // Until then they could say something more.
        std::thread::sleep(BELIEF);
    }
    requests::ask(&config.data, user).map_err(failed)?;
    complain(
        "a server uses the folder and was asked to erase them; should this end before, the server goes on with it",
    );
    while requests::is_open(&config.data, user) {
        std::thread::sleep(LOOK);
    }
    Ok(())
}
