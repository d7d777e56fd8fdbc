//! The actor that owns the file of accounts while the server runs: answers, keeps, and tells.
//!
//! It has a thread of its own, because the file may block it. It never hashes: that is its neighbour's work.

use std::path::Path;
use std::time::Duration;

use actix::prelude::*;
use chappe_proto::{Code, Reject, UserId};

use super::denials::{Denials, before};
use super::hasher::{Compare, Hash, Hasher};
use super::store::{Draft, Store, StoreError};
use super::{
    Account, Accounts, ChangePassword, Denied, Deny, FindFree, GetAccount, Login, NewAccounts, Password, Register,
    SubscribeToAccounts, SubscribeToDenials, nickname, password,
};
use crate::clock::Clock;
use crate::passed::Passed;
use crate::principal::{Denial, Standing};

/// How often the actor looks whether the command line has changed the file.
const LOOK: Duration = Duration::from_secs(1);
/// How often what has run out is forgotten.
const PRUNE: Duration = Duration::from_secs(60);
/// How many passwords may wait to be hashed: some two seconds' worth.
const WAITING: usize = 64;

/// See the module.
#[derive(Debug)]
pub struct AccountsActor {
    store: Store,
    clock: Clock,
    passed: Passed,
    hasher: Addr<Hasher>,
    /// Passwords on their way to the hasher and back.
    waiting: usize,
    hubs: Vec<Recipient<Denied>>,
    engine: Option<SubscribeToAccounts>,
    /// What the hubs know.
    told: Denials,
    /// The last account that the engine knows.
    last: i64,
    /// The version of the file that was read last.
    version: i64,
    /// Whether the file could be read then.
    readable: bool,
}

impl AccountsActor {
    /// Opens the file and starts the actor.
    pub(super) fn open(folder: &Path, clock: Clock, passed: Passed) -> Result<Accounts, StoreError> {
        let store = Store::open(folder)?;
        // The version first: what changes in between is read twice rather than never.
        let version = store.version()?;
        let told = store.denials()?;
        let denials = told.iter().collect();
        let arbiter = Arbiter::new();
        let actor = Self::start_in_arbiter(&arbiter.handle(), move |_| Self {
            store,
            clock,
            passed,
            hasher: Hasher::start(),
            waiting: 0,
            hubs: Vec::new(),
            engine: None,
            told,
            last: 0,
            version,
            readable: true,
        });
        Ok(Accounts { actor, denials })
    }

    /// Says to all hubs what is not believed any more; done when all have heard.
    fn tell(&mut self, denials: Vec<Denial>) -> impl Future<Output = ()> + use<> {
        denials.iter().for_each(|denial| self.told.add(*denial));
        self.hubs.retain(Recipient::connected);
        // Sent to all before the first has answered. A hub that has ended has no connections that would have to hear.
        let hubs = if denials.is_empty() { &[][..] } else { &self.hubs };
        let answers: Vec<_> = hubs.iter().map(|hub| hub.send(Denied(denials.clone()))).collect();
        async move {
            for answer in answers {
                let _ = answer.await;
            }
        }
    }

    /// Says to the engine who has got an account; done when it knows them.
    fn tell_engine(&mut self) -> Result<impl Future<Output = ()> + use<>, StoreError> {
        let answer = match &self.engine {
            Some(engine) => {
                let (new, last) = self.store.made_after(self.last)?;
                self.last = last;
                (!new.is_empty()).then(|| engine.new.send(NewAccounts(new)))
            }
            None => None,
        };
        Ok(async move {
            if let Some(answer) = answer {
                let _ = answer.await;
            }
        })
    }

    /// Reads what somebody else has written, and tells.
    fn look(&mut self, context: &mut Context<Self>) {
        match self.news() {
            Ok(Some(told)) => {
                context.spawn(told.into_actor(self));
            }
            Ok(None) => {}
            Err(error) if self.readable => tracing::error!(%error, "read accounts: changes by the command line wait"),
            Err(_) => {}
        }
    }

    fn news(&mut self) -> Result<Option<impl Future<Output = ()> + use<>>, StoreError> {
        let found = self.store.version().and_then(|version| {
            let news = if version == self.version { None } else { Some(self.store.denials()?) };
            Ok((version, news))
        });
        self.readable = found.is_ok();
        let (version, Some(denials)) = found? else { return Ok(None) };
        let news = self.told.difference(&denials);
        tracing::debug!(denials = news.len(), "accounts were changed from outside");
        let hubs = self.tell(news);
        let engine = self.tell_engine()?;
        self.version = version;
        Ok(Some(async move {
            hubs.await;
            engine.await;
        }))
    }

    /// Takes one of the places in the hasher's queue.
    fn queue(&mut self) -> Result<(), Reject> {
        if self.waiting >= WAITING {
            return Err(Reject::new(Code::Busy, "many others log in at the moment"));
        }
        self.waiting += 1;
        Ok(())
    }

    /// Makes an account; without an id, under one from `from` on that nobody has or had.
    fn make(&mut self, new: New, from: Option<UserId>) -> ResponseActFuture<Self, Result<Account, Reject>> {
        if new.user.is_some() {
            return Box::pin(fut::ready(self.store.add(&new.draft(), self.clock.now().wall).map_err(refuse)));
        }
        let asked = self.store.unnamed(from).map_err(refuse).and_then(|from| match &self.engine {
            // It knows all that the log does, and who is on their way there; the query tables are behind.
            Some(engine) => Ok(engine.free.send(FindFree(from))),
            None => Err(Reject::new(Code::Busy, "the server is only beginning")),
        });
        let asked = match asked {
            Ok(asked) => asked,
            Err(reject) => return Box::pin(fut::err(reject)),
        };
        Box::pin(asked.into_actor(self).then(move |free, actor, _| {
            let free = free.map_err(|_| Reject::plain(Code::ShuttingDown));
            let made = match free.and_then(|free| free.ok_or_else(|| refuse(StoreError::NoIdLeft))) {
                Ok(free) => match actor.store.add_as(free, &new.draft(), actor.clock.now().wall) {
                    // The file names them, as the engine does not; or the command line was quicker.
                    Err(StoreError::IdTaken(_)) => return actor.make(new, Some(free)),
                    made => made.map_err(refuse),
                },
                Err(reject) => Err(reject),
            };
            Box::pin(fut::ready(made))
        }))
    }

    /// Whether this is what is kept; without anything kept it takes as long, and is not.
    fn compare(&mut self, password: Password, kept: Option<String>) -> impl Future<Output = bool> + use<> {
        let answer = self.hasher.send(Compare(password, kept));
        async move { answer.await.unwrap_or(false) }
    }

    /// What is to be kept of a password.
    fn hash(&mut self, password: Password) -> impl Future<Output = Result<String, Reject>> + use<> {
        let answer = self.hasher.send(Hash(password));
        async move {
            let failed = |error: &dyn std::error::Error| {
                tracing::error!(%error, "hash password");
                Reject::plain(Code::Internal)
            };
            match answer.await {
                Ok(Ok(hash)) => Ok(hash),
                Ok(Err(error)) => Err(failed(&error)),
                Err(error) => Err(failed(&error)),
            }
        }
    }
}

/// Somebody who is to get an account.
struct New {
    user: Option<UserId>,
    nickname: String,
    hash: String,
}

impl New {
    fn draft(&self) -> Draft<'_> {
        Draft { user: self.user, nickname: &self.nickname, password: Some(&self.hash), standing: Standing::User }
    }
}

/// What a client is told of the file's troubles.
fn refuse(error: StoreError) -> Reject {
    match &error {
        StoreError::NicknameTaken(_) | StoreError::IdTaken(_) | StoreError::IdDenied(_) | StoreError::NoIdLeft => {
            Reject::new(Code::Conflict, error.to_string())
        }
        _ => {
            tracing::error!(%error, "use accounts");
            Reject::plain(Code::StorageUnavailable)
        }
    }
}

/// One sentence for an unknown name, a wrong password and a disabled account: none of them is anybody's business.
fn wrong() -> Reject {
    Reject::new(Code::NotAuthenticated, "the nickname or the password is wrong")
}

impl Actor for AccountsActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Context<Self>) {
        context.run_interval(LOOK, Self::look);
        context.run_interval(PRUNE, |actor, _| {
            // A clock that is ahead for a while makes nothing believed again.
            let Some(now) = actor.passed.look(actor.clock.now()) else { return };
            let now = before(now);
            actor.told.prune(now);
            if let Err(error) = actor.store.prune(now) {
                tracing::warn!(%error, "forget tokens that have run out");
            }
        });
    }
}

impl Handler<Login> for AccountsActor {
    type Result = ResponseActFuture<Self, Result<Account, Reject>>;

    fn handle(&mut self, Login { nickname, password }: Login, _: &mut Context<Self>) -> Self::Result {
        let kept = match self.store.find_named(&nickname) {
            Ok(kept) => kept,
            Err(error) => return Box::pin(fut::err(refuse(error))),
        };
        if let Err(busy) = self.queue() {
            return Box::pin(fut::err(busy));
        }
        let user = kept.as_ref().map(|kept| kept.account.user);
        let compared = self.compare(password, kept.and_then(|kept| kept.password));
        Box::pin(compared.into_actor(self).map(move |fits, actor, _| {
            actor.waiting -= 1;
            let user = user.filter(|_| fits).ok_or_else(wrong)?;
            // Read again: it may have been disabled meanwhile.
            let account = actor.store.account(user).map_err(refuse)?;
            account.filter(|account| !account.disabled).ok_or_else(wrong)
        }))
    }
}

impl Handler<Register> for AccountsActor {
    type Result = ResponseActFuture<Self, Result<Account, Reject>>;

    fn handle(&mut self, Register { user, nickname, password }: Register, _: &mut Context<Self>) -> Self::Result {
        let checked = nickname::check(&nickname).and_then(|()| password::check(&password));
        // Asked before the work of hashing as well as after it.
        let free = |taken: Option<Account>| match taken {
            Some(_) => Err(refuse(StoreError::NicknameTaken(nickname.clone()))),
            None => Ok(()),
        };
        let free = checked.and_then(|()| self.store.account_named(&nickname).map_err(refuse)).and_then(free);
        if let Err(reject) = free.and_then(|()| self.queue()) {
            return Box::pin(fut::err(reject));
        }
        let made = self.hash(password).into_actor(self).then(move |hash, actor, _| {
            actor.waiting -= 1;
            match hash {
                Ok(hash) => actor.make(New { user, nickname, hash }, None),
                Err(reject) => Box::pin(fut::err(reject)),
            }
        });
        let told = made.map(|made, actor, _| Ok((made?, actor.tell_engine().map_err(refuse)?)));
        Box::pin(told.then(|made: Result<_, Reject>, actor, _| {
            async move {
                let (account, known) = made?;
                known.await;
                Ok(account)
            }
            .into_actor(actor)
        }))
    }
}

impl Handler<ChangePassword> for AccountsActor {
    type Result = ResponseActFuture<Self, Result<Account, Reject>>;

    fn handle(&mut self, ChangePassword { user, old, new }: ChangePassword, _: &mut Context<Self>) -> Self::Result {
        let found = password::check(&new).and_then(|()| self.store.find(user).map_err(refuse));
        let kept = found.and_then(|kept| kept.ok_or_else(|| unknown(user)));
        let kept = match kept.and_then(|kept| self.queue().map(|()| kept)) {
            Ok(kept) => kept,
            Err(reject) => return Box::pin(fut::err(reject)),
        };
        // Both are on their way before either is awaited; what is hashed in vain is rare, and bounded.
        let compared = old.map(|old| self.compare(old, kept.password));
        let hashed = self.hash(new);
        let hashed = async move {
            let fits = match compared {
                Some(compared) => compared.await,
                None => true,
            };
            let hash = hashed.await;
            if fits { hash } else { Err(Reject::new(Code::NotAuthenticated, "the present password is wrong")) }
        };
        let changed = hashed.into_actor(self).map(move |hash: Result<String, Reject>, actor, _| {
            actor.waiting -= 1;
            let now = actor.clock.now().wall;
            let ended = actor.store.set_password(user, Some(&hash?), now).map_err(refuse)?;
            let Some(ended) = ended else {
                return Err(unknown(user));
            };
            Ok((kept.account, actor.tell(vec![ended])))
        });
        Box::pin(changed.then(|changed, actor, _| {
            async move {
                let (account, told) = changed?;
                told.await;
                Ok(account)
            }
            .into_actor(actor)
        }))
    }
}

fn unknown(user: UserId) -> Reject {
    Reject::new(Code::UnknownUser, format!("user {user} has no account"))
}

impl Handler<Deny> for AccountsActor {
    type Result = ResponseFuture<Result<(), Reject>>;

    fn handle(&mut self, Deny(denial): Deny, _: &mut Context<Self>) -> Self::Result {
        let kept = self.store.deny(denial).map(|kept| self.tell(vec![kept]));
        Box::pin(async move {
            kept.map_err(refuse)?.await;
            Ok(())
        })
    }
}

impl Handler<GetAccount> for AccountsActor {
    type Result = Result<Account, Reject>;

    fn handle(&mut self, GetAccount(user): GetAccount, _: &mut Context<Self>) -> Self::Result {
        self.store.account(user).map_err(refuse)?.ok_or_else(|| unknown(user))
    }
}

impl Handler<SubscribeToDenials> for AccountsActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, SubscribeToDenials(hub): SubscribeToDenials, _: &mut Context<Self>) -> Self::Result {
        let known = hub.send(Denied(self.told.iter().collect()));
        self.hubs.push(hub);
        Box::pin(async move {
            let _ = known.await;
        })
    }
}

impl Handler<SubscribeToAccounts> for AccountsActor {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, engine: SubscribeToAccounts, _: &mut Context<Self>) -> Self::Result {
        self.engine = Some(engine);
        self.last = 0;
        match self.tell_engine() {
            Ok(told) => Box::pin(told),
            Err(error) => {
                tracing::error!(%error, "tell the engine who has an account");
                Box::pin(async {})
            }
        }
    }
}

#[cfg(test)]
#[path = "actor_tests.rs"]
mod tests;
