//! `chappe token`: makes, shows and revokes tokens, on the data folder. None of it needs a running server.

use std::process::ExitCode;
use std::time::Duration;

use chappe_actors::accounts::store::Store;
use chappe_actors::principal::{Authenticate, Denial, Principal, TokenId};
use chappe_proto::{Code, Millis, Reject, UserId};
use clap::Subcommand;

use crate::auth::{self, Secret, Session, Ticket, Verifier};
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
        Ticket { user, name, standing, now: now(), ttl: ttl.unwrap_or(config.auth.session_ttl), longest: None };
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
        Some(id) => Some(for_good(auth::token_id(Some(id), issuer, ""), now)),
        None => end_of(&given(token)?, &auth::verifier(&config)?, now)?,
    };
    let Some(denial) = denial else {
        complain("it has run out already");
        return Ok(String::new());
    };
    if !config.data.is_dir() {
        return Err(CommandError::NoFolder(config.data));
    }
    Store::open(&config.data)?.deny(denial)?;
    complain("the token is not believed any more; a running server ends its connections within a second or two");
    Ok(String::new())
}

/// What ends this token and, if it is a session's, all that renewed it: they have its name, and outlive it. `None` if it
/// has ended by itself.
fn end_of(token: &str, verifier: &Verifier, now: Millis) -> Result<Option<Denial>, Reject> {
    let session = Session::of(token);
    match (verifier.authenticate(token, now), session) {
        (Ok(_), Some(session)) => Ok(Some(for_good(session.id(), now))),
        (Ok(who), None) => Ok(Some(Denial::Token { token: who.token, until: who.expires_at })),
        // Its signature was looked at before.
        (Err(refused), Some(session)) if refused.code == Code::TokenExpired => Ok(Some(for_good(session.id(), now))),
        (Err(refused), None) if refused.code == Code::TokenExpired => Ok(None),
        (Err(refused), _) => Err(refused),
    }
}

/// Where it is not known when the last of them runs out: no token lives longer than that.
fn for_good(token: TokenId, now: Millis) -> Denial {
    let longest = u64::try_from(LONGEST.as_millis()).unwrap_or(u64::MAX);
    Denial::Token { token, until: Millis(now.0.saturating_add(longest)) }
}

/// The token that was named, or the one on stdin.
fn given(token: Option<&str>) -> Result<String, CommandError> {
    let token = match token {
        Some(token) if token != "-" => token.to_owned(),
        _ => stdin_line()?,
    };
    Ok(token.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_revokes_a_token_ends_what_renewed_it_as_well() {
        let folder = tempfile::tempdir().unwrap();
        let (secret, _) = Secret::ensure(folder.path()).unwrap();
        let config = Config { data: folder.path().to_owned(), ..Config::default() };
        let verifier = auth::verifier(&config).unwrap();
        let made = Millis(1_800_000_000_000);
        let (name, standing, ttl) = (None, Role::User.into(), Duration::from_secs(70));
        let ticket = Ticket { user: UserId::parse(7).unwrap(), name, standing, now: made, ttl, longest: Some(ttl) };
        let token = ticket.sign(&secret, "jti").token;
        // Renewed in the last moment.
        let renewed = Ticket { now: Millis(made.0 + 68_000), ..ticket }.sign(&secret, "jti");
        for shown in [made.0, made.0 + 69_000, made.0 + 80_000] {
            let Some(Denial::Token { token, until }) = end_of(&token, &verifier, Millis(shown)).unwrap() else {
                panic!("nothing ends at {shown}");
            };
            assert_eq!(token, renewed.id);
            assert!(until > renewed.expires_at, "believed again after {until:?}");
        }
        // What nothing renews ends by itself.
        let alone = Ticket { longest: None, ..ticket }.sign(&secret, "other");
        let ended = end_of(&alone.token, &verifier, made).unwrap();
        assert_eq!(ended, Some(Denial::Token { token: alone.id, until: alone.expires_at }));
        assert_eq!(end_of(&alone.token, &verifier, Millis(made.0 + 80_000)).unwrap(), None);
        // Nobody but the server says what is a session.
        let forged = ticket.sign(&Secret::ensure(&folder.path().join("other")).unwrap().0, "jti");
        assert!(end_of(&forged.token, &verifier, Millis(made.0 + 80_000)).is_err());
    }
}
