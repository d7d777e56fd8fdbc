//! Accounts of chappe's own, and what is no longer believed: what can be asked, and by whom it is answered.
//!
//! A session is a signed token, not a row: every thread believes it without asking. Kept here are names and passwords,
//! and the few tokens and users that are not believed any more. The command line writes the same file while the server
//! runs; [`AccountsActor`] notices and tells.

mod actor;
pub mod denials;
mod file;
mod hasher;
mod known;
pub mod nickname;
pub mod password;
pub mod store;

use std::fmt;
use std::path::Path;

use actix::prelude::*;
use chappe_proto::{Millis, Reject, UserId};

use crate::clock::Clock;
use crate::passed::Passed;
use crate::principal::{Denial, Standing};

pub use actor::AccountsActor;

/// Somebody who is known here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub user: UserId,
    /// What people call them, and what they log in with.
    pub nickname: String,
    /// What they may do.
    pub standing: Standing,
    /// Whether they are believed no longer.
    pub disabled: bool,
    /// Since when the account is there.
    pub created_at: Millis,
}

/// A password on its way to be checked. It is never shown, and compared with what is kept of it only.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// Takes what somebody typed, whatever it is: its length is checked when one is set.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Whether somebody has typed the same twice. What is kept is compared by [`password::fits`] alone.
    pub fn is_typed_again(&self, again: &Self) -> bool {
        self.0 == again.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Somebody logs in.
///
/// # Errors
/// `not_authenticated` for an unknown name, a wrong password and a disabled account alike, after the same time;
/// `busy` while many others log in.
#[derive(Debug, Message)]
#[rtype(result = "Result<Account, Reject>")]
pub struct Login {
    /// What they call themselves.
    pub nickname: String,
    /// Their proof.
    pub password: Password,
}

/// Somebody gets an account. Whether they may is the caller's question.
///
/// # Errors
/// `conflict` if the nickname or the id is taken, `invalid_field` for a nickname or a password out of bounds, `busy`.
#[derive(Debug, Message)]
#[rtype(result = "Result<Account, Reject>")]
pub struct Register {
    /// Their id; `None`: the next one that nobody has.
    pub user: Option<UserId>,
    /// What people will call them.
    pub nickname: String,
    /// What they will log in with.
    pub password: Password,
}

/// A new password. All tokens of the user that were made before are refused from then on, which every hub has heard
/// when this is answered.
///
/// # Errors
/// `unknown_user`, `not_authenticated` if `old` is not the present one, `invalid_field` for a new one out of bounds,
/// `busy`.
#[derive(Debug, Message)]
#[rtype(result = "Result<Account, Reject>")]
pub struct ChangePassword {
    /// Whose.
    pub user: UserId,
    /// The present one; `None` if somebody changes it who may do so without.
    pub old: Option<Password>,
    /// The new one.
    pub new: Password,
}

/// From now on this is not believed. It is on disk, and every hub has heard it, when this is answered.
///
/// # Errors
/// `storage_unavailable` if it cannot be kept: nobody was told then.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), Reject>")]
pub struct Deny(pub Denial);

/// Who has this id.
///
/// # Errors
/// `unknown_user`.
#[derive(Debug, Message)]
#[rtype(result = "Result<Account, Reject>")]
pub struct GetAccount(pub UserId);

/// Tells a hub from now on what is not believed; what is not believed already it hears before this is answered.
#[derive(Message)]
#[rtype(result = "()")]
pub struct SubscribeToDenials(pub Recipient<Denied>);

/// Tells the engine from now on who has an account; of those that are there already it hears before this is answered.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SubscribeToAccounts {
    /// Hears of them.
    pub new: Recipient<NewAccounts>,
    /// Is asked which ids nobody has.
    pub free: Recipient<FindFree>,
}

/// An id from this one on that no user has or had, and none is about to get.
///
/// From: [`AccountsActor`]. To: the engine.
#[derive(Debug, Clone, Copy, Message)]
#[rtype(result = "Option<UserId>")]
pub struct FindFree(pub UserId);

/// These are not believed any more, or again. Answered when it is so.
///
/// From: [`AccountsActor`]. To: the hubs.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Denied(pub Vec<Denial>);

/// These users have accounts: the engine should know them by these names. Those that it knows keep theirs.
///
/// From: [`AccountsActor`]. To: the engine.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct NewAccounts(pub Vec<NewAccount>);

/// A user who has an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAccount {
    /// The user.
    pub user: UserId,
    /// What people call them.
    pub nickname: String,
}

/// The accounts, running.
#[derive(Debug)]
pub struct Accounts {
    /// Where to ask.
    pub actor: Addr<AccountsActor>,
    /// What is not believed as of now: for a hub to begin with, until it has subscribed.
    pub denials: Vec<Denial>,
}

/// Opens the accounts in the data folder, which has to exist, on a thread of their own. To be called inside an actix
/// system.
///
/// # Errors
/// [`store::StoreError`]: the file cannot be used.
pub fn start(folder: &Path, clock: Clock, passed: Passed) -> Result<Accounts, store::StoreError> {
    AccountsActor::open(folder, clock, passed)
}
