//! `chappe token`: makes, shows and revokes tokens, on the data folder. None of it needs a running server.

use std::process::ExitCode;
use std::time::Duration;

use chappe_actors::accounts::store::Store;
use chappe_actors::principal::{Authenticate, Denial, Principal};
use chappe_proto::{Code, Millis, UserId};
use clap::Subcommand;

use crate::auth::{self, Secret, Ticket};
use crate::cli::complain;
use crate::cli::folder::{CommandError, FolderArgs, LONGEST, accounts_if_any, duration, finish, now, stdin_line};
use crate::cli::user::Role;
use crate::config::Config;
use crate::exit::Exit;

/// What `chappe token` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes a token, signed with the data folder's secret, and prints it
    Create {
        /// Whom it speaks for
        #[arg(long, value_name = "ID")]
        user: UserId,
        /// How long it lives: 15m, 24h, 30d [default: auth.session_ttl, 24h]
        #[arg(long, value_name = "TIME", value_parser = duration)]
        ttl: Option<Duration>,
        /// What it lets them do [default: what their account does]
        #[arg(long)]
        role: Option<Role>,
        /// What people call them [default: what their account says]
        #[arg(long, value_name = "NICKNAME")]
        name: Option<String>,
        #[command(flatten)]
        folder: FolderArgs,
    },
    /// Shows what a token says, and whether it is believed; fails if it is not
    Inspect {
        /// The token; without it, or with -, the first line of stdin
        token: Option<String>,
        #[command(flatten)]
        folder: FolderArgs,
    },
    /// Believes a token no longer, and ends its connections
    Revoke {
        /// The token; without it, or with -, the first line of stdin
        #[arg(conflicts_with = "id")]
        token: Option<String>,
        /// Its `jti` instead, if the token itself is not at hand
        #[arg(long, value_name = "JTI")]
        id: Option<String>,
        /// Who made the token that is named by its `jti`
        #[arg(long, value_name = "ISS", requires = "id", default_value = auth::ISSUER)]
        issuer: String,
        #[command(flatten)]
        folder: FolderArgs,
    },
}

/// Does what was asked.
pub(super) fn run(args: &Args) -> ExitCode {
    match &args.command {
        Command::Create { user, ttl, role, name, folder } => {
            finish(create(*user, *ttl, *role, name.as_deref(), folder))
        }
        Command::Inspect { token, folder } => match inspect(token.as_deref(), folder) {
            Ok((text, believed)) => {
                let printed = super::print(&text);
                if believed { printed } else { Exit::Failed.into() }
            }
            Err(error) => finish(Err(error)),
        },
        Command::Revoke { token, id, issuer, folder } => {
            finish(revoke(token.as_deref(), id.as_deref(), issuer, folder))
        }
    }
}

fn create(
    user: UserId,
    ttl: Option<Duration>,
    role: Option<Role>,
    name: Option<&str>,
    folder: &FolderArgs,
) -> Result<String, CommandError> {
    let config = folder.settings()?;
    if let Some(name) = name {
        chappe_actors::bounds::nickname(name)?;
    }
    let (secret, is_new) = Secret::ensure(&config.data)?;
    if is_new {
        // Whoever mistyped the folder would wonder why no server believes the token.
        complain(&format!("made the secret of a new server in {}", config.data.display()));
    }
    let account = match accounts_if_any(&config)? {
        Some(accounts) => accounts.account(user)?,
        None => None,
    };
    if account.as_ref().is_some_and(|account| account.disabled) {
        complain(&format!("warning: user {user} is disabled; the token is worth nothing until they are enabled"));
    }
    let standing = role.map(Into::into).or(account.as_ref().map(|account| account.standing)).unwrap_or_default();
    let name = name.or(account.as_ref().map(|account| account.nickname.as_str()));
    let ticket =
        Ticket { user, name, standing, now: now(), ttl: ttl.unwrap_or(config.auth.session_ttl), renewable: false };
    Ok(format!("{}\n", ticket.sign(&secret, &auth::random_id()?).token))
}

fn inspect(token: Option<&str>, folder: &FolderArgs) -> Result<(String, bool), CommandError> {
    let config = folder.settings()?;
    let token = given(token)?;
    let now = now();
    let (header, claims) = match auth::peek(&token) {
        Ok((header, claims)) => (header, claims),
        Err(what) => return Ok((format!("{:#}\n", problem(&format!("the token {what}"))), false)),
    };
    let verdict = match read(&token, &config, now)? {
        Ok(who) => serde_json::json!({
            "believed": true,
            "user_id": who.user,
            "runs_out_in_seconds": who.expires_at.0.saturating_sub(now.0) / 1000,
        }),
        Err(why) => problem(&why),
    };
    let believed = verdict["believed"] == true;
    let shown = serde_json::json!({ "header": header, "claims": claims, "verdict": verdict });
    Ok((format!("{shown:#}\n"), believed))
}

fn problem(why: &str) -> serde_json::Value {
    serde_json::json!({ "believed": false, "problem": why })
}

/// Who shows this token, or why nobody does.
fn read(token: &str, config: &Config, now: Millis) -> Result<Result<Principal, String>, CommandError> {
    let who = match auth::verifier(config)?.authenticate(token, now) {
        Ok(who) => who,
        Err(refused) => return Ok(Err(refused.message.into_owned())),
    };
    let denied = match accounts_if_any(config)? {
        Some(accounts) => accounts.denials()?.concern(&who),
        None => false,
    };
    Ok(if denied { Err("it was revoked, or its user is not believed any more".to_owned()) } else { Ok(who) })
}

fn revoke(token: Option<&str>, id: Option<&str>, issuer: &str, folder: &FolderArgs) -> Result<String, CommandError> {
    let config = folder.settings()?;
    let now = now();
    let denial = match id {
        // When it runs out is not known; longer than that none lives.
        Some(id) => Denial::Token {
            token: auth::token_id(Some(id), issuer, ""),
            until: Millis(now.0.saturating_add(u64::try_from(LONGEST.as_millis()).unwrap_or(u64::MAX))),
        },
        None => match auth::verifier(&config)?.authenticate(&given(token)?, now) {
            Ok(who) => Denial::Token { token: who.token, until: who.expires_at },
            Err(expired) if expired.code == Code::TokenExpired => {
                complain("it has run out already");
                return Ok(String::new());
            }
            Err(refused) => return Err(refused.into()),
        },
    };
    if !config.data.is_dir() {
        return Err(CommandError::NoFolder(config.data));
    }
    Store::open(&config.data)?.deny(denial)?;
    complain("the token is not believed any more; a running server ends its connections within a second or two");
    Ok(String::new())
}

/// The token that was named, or the one on stdin.
fn given(token: Option<&str>) -> Result<String, CommandError> {
    let token = match token {
        Some(token) if token != "-" => token.to_owned(),
        _ => stdin_line()?,
    };
    Ok(token.trim().to_owned())
}
