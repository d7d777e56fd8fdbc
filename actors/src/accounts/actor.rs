//! The actor that owns the file of accounts while the server runs.

use std::path::Path;

use actix::prelude::*;
use chappe_proto::{Code, Reject};

use super::store::{Store, StoreError};
use super::{
    Account, Accounts, ChangePassword, Denied, Deny, GetAccount, Login, NewAccounts, Register, SubscribeToAccounts,
    SubscribeToDenials,
};
use crate::clock::Clock;

/// See the module.
#[derive(Debug)]
pub struct AccountsActor {
    hubs: Vec<Recipient<Denied>>,
    engine: Option<Recipient<NewAccounts>>,
}

impl AccountsActor {
    /// Opens the file and starts the actor.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(super) fn open(folder: &Path, _clock: Clock) -> Result<Accounts, StoreError> {
        let _ = Store::open(folder)?;
        let actor = Self::start_in_arbiter(&Arbiter::new().handle(), |_| Self { hubs: Vec::new(), engine: None });
        Ok(Accounts { actor, denials: Vec::new() })
    }
}

impl Actor for AccountsActor {
    type Context = Context<Self>;
}

macro_rules! unfinished {
    ($($message:ty => $answer:ty),*) => {
        $(impl Handler<$message> for AccountsActor {
            type Result = Result<$answer, Reject>;

            fn handle(&mut self, _: $message, _: &mut Context<Self>) -> Self::Result {
                Err(Reject::plain(Code::Internal))
            }
        })*
    };
}

unfinished!(Login => Account, Register => Account, ChangePassword => Account, Deny => (), GetAccount => Account);

impl Handler<SubscribeToDenials> for AccountsActor {
    type Result = ();

    fn handle(&mut self, SubscribeToDenials(hub): SubscribeToDenials, _: &mut Context<Self>) {
        self.hubs.push(hub);
    }
}

impl Handler<SubscribeToAccounts> for AccountsActor {
    type Result = ();

    fn handle(&mut self, SubscribeToAccounts(engine): SubscribeToAccounts, _: &mut Context<Self>) {
        self.engine = Some(engine);
    }
}
