//! Tests of the accounts actor: what it answers, and what it tells.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::accounts::{self, NewAccount};
use crate::free::first_free_of;
use crate::principal::TokenId;
use chappe_proto::Millis;

/// A hub or an engine that passes on what it hears.
struct Ear<T>(mpsc::UnboundedSender<T>);

impl<T: Unpin + 'static> Actor for Ear<T> {
    type Context = Context<Self>;
}

impl Handler<Denied> for Ear<Vec<Denial>> {
    type Result = ();

    fn handle(&mut self, Denied(denials): Denied, _: &mut Context<Self>) {
        let _ = self.0.send(denials);
    }
}

impl Handler<NewAccounts> for Ear<Vec<NewAccount>> {
    type Result = ();

    fn handle(&mut self, NewAccounts(accounts): NewAccounts, _: &mut Context<Self>) {
        let _ = self.0.send(accounts);
    }
}

impl Handler<FindFree> for Ear<Vec<NewAccount>> {
    type Result = Option<UserId>;

    fn handle(&mut self, FindFree(from): FindFree, _: &mut Context<Self>) -> Self::Result {
        // It knows these two, whom no file names yet.
        first_free_of(from.get(), |id| [1002, 1004].contains(&id))
    }
}

struct World {
    folder: tempfile::TempDir,
    accounts: Accounts,
    denied: mpsc::UnboundedReceiver<Vec<Denial>>,
    known: mpsc::UnboundedReceiver<Vec<NewAccount>>,
}

impl World {
    async fn new() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap()).await
    }

    async fn in_folder(folder: tempfile::TempDir) -> Self {
        let accounts = accounts::start(folder.path(), Clock::default(), Passed::default()).unwrap();
        let (sender, denied) = mpsc::unbounded_channel();
        let hub = Ear(sender).start();
        accounts.actor.send(SubscribeToDenials(hub.recipient())).await.unwrap();
        let (sender, known) = mpsc::unbounded_channel();
        let engine = Ear(sender).start();
        let (new, free) = (engine.clone().recipient(), engine.recipient());
        accounts.actor.send(SubscribeToAccounts { new, free }).await.unwrap();
        let mut world = Self { folder, accounts, denied, known };
        world.denied.try_recv().unwrap();
        world
    }

    async fn register(&self, nickname: &str, password: &str) -> Result<Account, Reject> {
        let register = Register { user: None, nickname: nickname.into(), password: Password::new(password) };
        self.accounts.actor.send(register).await.unwrap()
    }

    async fn login(&self, nickname: &str, password: &str) -> Result<Account, Reject> {
        let login = Login { nickname: nickname.into(), password: Password::new(password) };
        self.accounts.actor.send(login).await.unwrap()
    }

    async fn change(&self, user: UserId, old: Option<&str>, new: &str) -> Result<Account, Reject> {
        let change = ChangePassword { user, old: old.map(Password::new), new: Password::new(new) };
        self.accounts.actor.send(change).await.unwrap()
    }
}

#[actix::test]
async fn who_registered_logs_in_and_all_who_do_not_hear_the_same() {
    let mut world = World::new().await;
    let ann = world.register("Ann", "correct horse").await.unwrap();
    let told = vec![NewAccount { user: ann.user, nickname: "Ann".into() }];
    assert_eq!(world.known.try_recv().unwrap(), told, "the engine knows before the answer");
    assert_eq!(world.login("ann", "correct horse").await.unwrap(), ann);
    world.accounts.actor.send(Deny(Denial::User(ann.user))).await.unwrap().unwrap();
    let mut refusals = Vec::new();
    for (name, password) in [("ann", "correct horse"), ("ann", "wrong horse"), ("nobody", "correct horse")] {
        refusals.push(world.login(name, password).await.unwrap_err());
    }
    assert!(refusals.iter().all(|refusal| *refusal == wrong()), "{refusals:?}");
    world.accounts.actor.send(Deny(Denial::Lifted(ann.user))).await.unwrap().unwrap();
    assert!(world.login("ANN", "correct horse").await.is_ok());
}

#[actix::test]
async fn an_id_is_one_that_neither_the_engine_nor_the_file_knows() {
    let world = World::new().await;
    let mut cli = Store::open(world.folder.path()).unwrap();
    cli.deny(Denial::User(UserId::parse(1005).unwrap())).unwrap();
    for (nickname, id) in [("ann", 1001), ("bob", 1003), ("cat", 1006)] {
        let account = world.register(nickname, "correct horse").await.unwrap();
        assert_eq!((account.user.get(), account.disabled), (id, false), "{nickname}");
    }
}

#[actix::test]
async fn a_taken_name_and_what_is_out_of_bounds_are_refused() {
    let world = World::new().await;
    world.register("ann", "correct horse").await.unwrap();
    for (nickname, password, code) in [
        ("ANN", "correct horse", Code::Conflict),
        ("bob", "short", Code::InvalidField),
        ("", "correct horse", Code::InvalidField),
        ("1001", "correct horse", Code::InvalidField),
    ] {
        assert_eq!(world.register(nickname, password).await.unwrap_err().code, code, "{nickname} {password}");
    }
}

#[actix::test]
async fn a_denial_is_on_disk_and_heard_before_it_is_answered() {
    let mut world = World::new().await;
    let denial = Denial::Token { token: TokenId([1; 16]), until: Millis(u64::MAX / 4) };
    world.accounts.actor.send(Deny(denial)).await.unwrap().unwrap();
    let told = world.denied.try_recv().unwrap();
    let disk = Store::open(world.folder.path()).unwrap().denials().unwrap();
    assert_eq!(disk.iter().collect::<Vec<_>>(), told);
    let [Denial::Token { token, .. }] = told[..] else { panic!("{told:?}") };
    assert_eq!(token, TokenId([1; 16]));
    let again = accounts::start(world.folder.path(), Clock::default(), Passed::default()).unwrap();
    assert_eq!(again.denials, told, "a restart forgets nothing");
    let past = Denial::Token { token: TokenId([2; 16]), until: Millis(1) };
    world.accounts.actor.send(Deny(past)).await.unwrap().unwrap();
    let again = accounts::start(world.folder.path(), Clock::default(), Passed::default()).unwrap();
    assert_eq!(again.denials.len(), 2, "the clock may be ahead");
}

#[actix::test]
async fn a_new_password_needs_the_old_one_and_ends_what_was_made_before() {
    let mut world = World::new().await;
    let ann = world.register("ann", "correct horse").await.unwrap();
    let refused = world.change(ann.user, Some("wrong horse"), "battery staple").await.unwrap_err();
    assert_eq!(refused.code, Code::NotAuthenticated);
    assert!(world.denied.try_recv().is_err() && world.login("ann", "correct horse").await.is_ok());
    assert_eq!(world.change(ann.user, None, "short").await.unwrap_err().code, Code::InvalidField);
    world.change(ann.user, Some("correct horse"), "battery staple").await.unwrap();
    let told = world.denied.try_recv().unwrap();
    assert!(matches!(told[..], [Denial::IssuedBefore { user, time }] if user == ann.user && time > Millis(0)));
    assert!(world.login("ann", "correct horse").await.is_err());
    assert!(world.login("ann", "battery staple").await.is_ok());
    let nobody = UserId::parse(9).unwrap();
    assert_eq!(world.change(nobody, None, "battery staple").await.unwrap_err().code, Code::UnknownUser);
}

/// A hub that passes on what it hears, and answers when it is let.
struct SlowHub(mpsc::UnboundedSender<Vec<Denial>>, Option<oneshot::Receiver<()>>);

impl Actor for SlowHub {
    type Context = Context<Self>;
}

impl Handler<Denied> for SlowHub {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, Denied(denials): Denied, _: &mut Context<Self>) -> Self::Result {
        // The first is what is known already.
        let wait = if denials.is_empty() { None } else { self.1.take() };
        let _ = self.0.send(denials);
        Box::pin(async move {
            if let Some(wait) = wait {
                let _ = wait.await;
            }
        })
    }
}

#[actix::test]
async fn a_denial_is_not_answered_before_the_slowest_hub_has_answered() {
    let world = World::new().await;
    let actor = world.accounts.actor.clone();
    let (sender, mut heard) = mpsc::unbounded_channel();
    let (release, wait) = oneshot::channel();
    actor.send(SubscribeToDenials(SlowHub(sender, Some(wait)).start().recipient())).await.unwrap();
    heard.recv().await.unwrap();
    let user = UserId::parse(3).unwrap();
    let mut denied = pin!(actor.send(Deny(Denial::User(user))));
    assert_eq!(heard.recv().await.unwrap(), [Denial::User(user)]);
    // There and back so often that an answer would have come in between.
    for _ in 0..500 {
        actor.send(GetAccount(user)).await.unwrap().unwrap_err();
        assert!(poll_fn(|context| Poll::Ready(denied.as_mut().poll(context).is_pending())).await);
    }
    release.send(()).unwrap();
    denied.await.unwrap().unwrap();
}

/// What comes, if it comes in time.
async fn soon<T>(from: &mut mpsc::UnboundedReceiver<T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), from.recv()).await.expect("nothing was told").unwrap()
}

#[actix::test]
async fn what_another_process_writes_is_noticed_and_told() {
    let mut world = World::new().await;
    let mut outside = Store::open(world.folder.path()).unwrap();
    let draft = Draft { user: None, nickname: "bob", password: None, standing: Standing::User };
    let bob = outside.add(&draft, Millis(1)).unwrap();
    assert_eq!(soon(&mut world.known).await, [NewAccount { user: bob.user, nickname: "bob".into() }]);
    outside.deny(Denial::User(bob.user)).unwrap();
    assert_eq!(soon(&mut world.denied).await, [Denial::User(bob.user)]);
    outside.deny(Denial::Lifted(bob.user)).unwrap();
    assert_eq!(soon(&mut world.denied).await, [Denial::Lifted(bob.user)]);
}

#[actix::test]
async fn who_subscribes_later_hears_what_was_before() {
    let first = World::new().await;
    let ann = first.register("ann", "correct horse").await.unwrap();
    first.accounts.actor.send(Deny(Denial::User(ann.user))).await.unwrap().unwrap();
    let (sender, mut denied) = mpsc::unbounded_channel();
    first.accounts.actor.send(SubscribeToDenials(Ear(sender).start().recipient())).await.unwrap();
    assert_eq!(denied.try_recv().unwrap(), [Denial::User(ann.user)]);
    let mut second = World::in_folder(first.folder).await;
    assert_eq!(second.known.try_recv().unwrap(), [NewAccount { user: ann.user, nickname: "ann".into() }]);
}

#[actix::test]
async fn too_many_who_log_in_at_once_are_told_to_come_back_and_a_revocation_does_not_wait() {
    let world = World::new().await;
    let actor = world.accounts.actor.clone();
    let login = || Login { nickname: "ann".into(), password: Password::new("correct horse") };
    // Spawned: a mailbox holds few, and what is only held here is not on its way.
    let logins: Vec<_> = (0..WAITING + 8).map(|_| actix::spawn(actor.send(login()))).collect();
    world.accounts.actor.send(Deny(Denial::User(UserId::parse(3).unwrap()))).await.unwrap().unwrap();
    let mut codes = Vec::new();
    for login in logins {
        codes.push(login.await.unwrap().unwrap().unwrap_err().code);
    }
    // The first few may be through before the last have come.
    let busy = codes.iter().filter(|code| **code == Code::Busy).count();
    assert!((1..=8).contains(&busy), "{busy} were refused");
    assert!(world.login("ann", "correct horse").await.is_err_and(|error| error.code == Code::NotAuthenticated));
}
