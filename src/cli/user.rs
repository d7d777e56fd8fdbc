//! `chappe user`: who has an account of the server's own, and who is not believed any more. A running server notices
//! within a second.

use std::fmt::Write;
use std::process::ExitCode;

use chappe_actors::accounts::nickname;
use chappe_actors::accounts::store::{Draft, Store};
use chappe_actors::accounts::{Account, store};
use chappe_actors::principal::{Denial, Standing};
use chappe_proto::UserId;
use clap::{Subcommand, ValueEnum};

use crate::cli::folder::{CommandError, FolderArgs, PasswordArgs, Who, finish, now};
use crate::cli::{complain, erase};

/// What `chappe user` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes an account, and prints its user's id; asks for the password unless told otherwise
    Add {
        /// What people call them, and what they log in with
        nickname: String,
        /// Their id [default: the next one that nobody has]
        #[arg(long, value_name = "ID")]
        id: Option<UserId>,
        /// What they may do
        #[arg(long, default_value = "user")]
        role: Role,
        #[command(flatten)]
        password: PasswordArgs,
        #[command(flatten)]
        folder: FolderArgs,
    },
    /// Lists the accounts
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        folder: FolderArgs,
    },
    /// Believes somebody no longer, whatever they show, and ends their connections
    Disable {
        /// Their id, or their nickname if they have an account
        #[arg(value_name = "ID|NICKNAME")]
        who: Who,
        #[command(flatten)]
        folder: FolderArgs,
    },
    /// Believes somebody again
    Enable {
        /// Their id, or their nickname if they have an account
        #[arg(value_name = "ID|NICKNAME")]
        who: Who,
        #[command(flatten)]
        folder: FolderArgs,
    },
    /// Takes what somebody said, what they are called and where they were out of the data folder, for good
    Erase {
        /// Their id, or their nickname if they have an account
        #[arg(value_name = "ID|NICKNAME")]
        who: Who,
        #[command(flatten)]
        folder: FolderArgs,
    },
    /// Sets a new password, and ends their sessions and tokens
    Passwd {
        /// Their id or nickname
        #[arg(value_name = "ID|NICKNAME")]
        who: Who,
        #[command(flatten)]
        password: PasswordArgs,
        #[command(flatten)]
        folder: FolderArgs,
    },
}

/// What somebody may do.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum Role {
    /// What their chats let them
    User,
    /// Also make accounts, and name members who have not come yet
    Admin,
}

impl From<Role> for Standing {
    fn from(role: Role) -> Self {
        match role {
            Role::User => Self::User,
            Role::Admin => Self::Admin,
        }
    }
}

/// Does what was asked.
pub(super) fn run(args: &Args) -> ExitCode {
    finish(match &args.command {
        Command::Add { nickname, id, role, password, folder } => add(nickname, *id, *role, password, folder),
        Command::List { json, folder } => list(*json, folder),
        Command::Disable { who, folder } => believe(false, who, folder),
        Command::Enable { who, folder } => believe(true, who, folder),
        Command::Erase { who, folder } => return erase::run(who, folder),
        Command::Passwd { who, password, folder } => passwd(who, password, folder),
    })
}

fn add(
    nickname: &str,
    user: Option<UserId>,
    role: Role,
    password: &PasswordArgs,
    folder: &FolderArgs,
) -> Result<String, CommandError> {
    nickname::check(nickname)?;
    let mut accounts = folder.accounts_or_new()?;
    // Before a password is typed, and hashed.
    if accounts.account_named(nickname)?.is_some() {
        return Err(store::StoreError::NicknameTaken(nickname.to_owned()).into());
    }
    let password = password.hashed()?;
    let draft = Draft { user, nickname, password: password.as_deref(), standing: role.into() };
    let account = accounts.add(&draft, now())?;
    complain(&format!("{} has an account: user {}", account.nickname, account.user));
    Ok(format!("{}\n", account.user))
}

fn list(json: bool, folder: &FolderArgs) -> Result<String, CommandError> {
    let accounts = folder.accounts()?.accounts()?;
    if json {
        let as_json = |account: &Account| {
            serde_json::json!({
                "user_id": account.user,
                "nickname": account.nickname,
                "role": role(account.standing),
                "disabled": account.disabled,
                "created_at": account.created_at,
            })
        };
        let all: Vec<_> = accounts.iter().map(as_json).collect();
        return Ok(format!("{:#}\n", serde_json::Value::from(all)));
    }
    let mut text = String::new();
    for account in &accounts {
        let disabled = if account.disabled { "disabled" } else { "" };
        let line = format!("{:<8} {:<6} {:<9} {}", account.user, role(account.standing), disabled, account.nickname);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{line}");
    }
    Ok(text)
}

fn role(standing: Standing) -> &'static str {
    match standing {
        Standing::User => "user",
        Standing::Admin => "admin",
    }
}

fn believe(again: bool, who: &Who, folder: &FolderArgs) -> Result<String, CommandError> {
    let mut accounts = folder.accounts()?;
    let (user, name) = find(who, &accounts)?;
    if again {
        accounts.deny(Denial::Lifted(user))?;
    } else {
        accounts.deny(Denial::User(user))?;
        // Who is let in again later logs in again: a token that was stolen stays worthless.
        accounts.deny(Denial::IssuedBefore { user, time: now() })?;
    }
    complain(&if again {
        format!("{name} is believed again")
    } else {
        format!("{name} is not believed any more; a running server ends their connections within a second or two")
    });
    Ok(String::new())
}

/// Somebody with an account, or somebody else's user by their id.
fn find(who: &Who, accounts: &Store) -> Result<(UserId, String), CommandError> {
    match (who.account(accounts)?, who) {
        (Some(account), _) => Ok((account.user, format!("user {} ({})", account.user, account.nickname))),
        (None, Who::Id(user)) => Ok((*user, format!("user {user}, who has no account here,"))),
        (None, Who::Nickname(_)) => Err(who.nobody()),
    }
}

fn passwd(who: &Who, password: &PasswordArgs, folder: &FolderArgs) -> Result<String, CommandError> {
    let mut accounts = folder.accounts()?;
    let account = who.account(&accounts)?.ok_or_else(|| who.nobody())?;
    let password = password.hashed()?;
    if accounts.set_password(account.user, password.as_deref(), now())?.is_none() {
        return Err(who.nobody());
    }
    complain(&format!(
        "user {} ({}) has a new password; a running server ends their sessions within a second or two",
        account.user, account.nickname
    ));
    Ok(String::new())
}
