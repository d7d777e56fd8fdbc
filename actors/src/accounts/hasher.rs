//! Hashes passwords, one at a time, on a thread of its own: a revocation never waits behind it.

use actix::prelude::*;

use super::Password;
use super::password::{self, HashError};

/// What is to be kept of this?
///
/// From: the accounts actor, which bounds how many wait.
#[derive(Debug, Message)]
#[rtype(result = "Result<String, HashError>")]
pub(super) struct Hash(pub(super) Password);

/// Is this what that was made of? `None` takes as long, and is not.
///
/// From: the accounts actor, which bounds how many wait.
#[derive(Debug, Message)]
#[rtype(result = "bool")]
pub(super) struct Compare(pub(super) Password, pub(super) Option<String>);

/// See the module.
#[derive(Debug)]
pub(super) struct Hasher;

impl Hasher {
    /// Starts one on a thread of its own.
    pub(super) fn start() -> Addr<Self> {
        SyncArbiter::start(1, || Self)
    }
}

impl Actor for Hasher {
    type Context = SyncContext<Self>;
}

impl Handler<Hash> for Hasher {
    type Result = Result<String, HashError>;

    fn handle(&mut self, Hash(password): Hash, _: &mut SyncContext<Self>) -> Self::Result {
        password::hash(&password)
    }
}

impl Handler<Compare> for Hasher {
    type Result = bool;

    fn handle(&mut self, Compare(password, kept): Compare, _: &mut SyncContext<Self>) -> bool {
        password::fits(&password, kept.as_deref())
    }
}
