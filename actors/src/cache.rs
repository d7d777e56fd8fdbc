//! The actor that owns the state. It decides nothing itself: commands go into the state, and what comes out is carried
//! out, to the log, the readers and the hubs.

mod accounts;
mod background;
mod renewal;
mod retention;

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use chappe_proto::batch::StatusPart;
use chappe_proto::outgoing::Bodies;
use chappe_proto::packet::Packet;
use chappe_proto::{ChatId, Code, Reject};
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::health::{Phase, Storage};
use crate::messages::{Batch, CloseAll, Deliver, Formats, Item, NewAuth, NewLimits, RegisterHub, Tick};
use crate::metrics::metrics;
use crate::origin::SessionId;
use crate::persist::{Append, Hub, PersistLink, Written};
use crate::reader::{self, Look, Looked};
use crate::reply::Reply;
use crate::session::outbox::{Change, Topic};
use crate::snapshot::scribe::ToScribe;
use crate::state::State;
use crate::state::step::{Ask, Changed, Delivery, Step};
use crate::vital::Pulse;

/// How often presence is told around.
const TICK: Duration = Duration::from_secs(1);
/// So many questions may wait for the readers; more are refused as `busy`.
const MAX_LOOKS: usize = 2048;

/// Where the log's writer, the readers and the scribe are. Sent once, before anything else.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Connect {
    /// The writer.
    pub persist: PersistLink,
    /// The readers.
    pub readers: Recipient<Look>,
    /// Where snapshots are written, if they are.
    pub scribe: Option<ToScribe>,
}

/// Takes no more writes, and tells once all that were taken are on disk.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Drain(pub oneshot::Sender<()>);

struct HubLink {
    deliver: Recipient<Deliver>,
    close: Recipient<CloseAll>,
    auth: Recipient<NewAuth>,
    limits: Recipient<NewLimits>,
    json: bool,
    binary: bool,
    /// What goes to it with the step at hand.
    items: Vec<Item>,
}

/// See the module.
pub struct CacheActor {
    state: State,
    clock: Clock,
    persist: Option<PersistLink>,
    readers: Option<Recipient<Look>>,
    scribe: Option<ToScribe>,
    hubs: Vec<Option<HubLink>>,
    looks: usize,
    /// What stands in `/health`.
    phase: Phase,
    draining: bool,
    drained: Option<oneshot::Sender<()>>,
    storage: Storage,
    /// What is damaged of the log, if something is.
    damage: Option<Box<str>>,
    /// The keys, if they are not those of the start any more.
    auth: Option<NewAuth>,
    /// Beats with each command, and with all else that may come in numbers.
    pulse: Pulse,
}

impl CacheActor {
    /// An actor over a state that was built from the log.
    pub fn new(state: State, clock: Clock) -> Self {
        Self {
            state,
            clock,
            persist: None,
            readers: None,
            scribe: None,
            hubs: Vec::new(),
            looks: 0,
            phase: Phase::Serving,
            draining: false,
            drained: None,
            storage: Storage::Writable,
            damage: None,
            auth: None,
            pulse: Pulse::default(),
        }
    }

    fn carry_out(&mut self, mut step: Step) {
        self.pulse.beat();
        // What cannot be asked is answered at once, and may lead to more; never to the same question again.
        while let Some(answers) = self.ask(std::mem::take(&mut step.ask)) {
            for answer in answers {
                self.looked(answer, &mut step);
            }
        }
        if !step.append.is_empty()
            && let Some(persist) = &self.persist
        {
            // The state holds how many drafts are on their way below `limits.pending_writes`.
            persist.append.do_send(Append(step.append, step.tell));
        }
        for delivery in step.deliver {
            self.sort(delivery);
        }
        for link in self.hubs.iter_mut().flatten().filter(|link| !link.items.is_empty()) {
            link.deliver.do_send(Deliver(std::mem::take(&mut link.items)));
        }
        let pending = self.state.pending_writes();
        metrics().pending_writes.set(as_level(pending));
        if pending == 0
            && let Some(drained) = self.drained.take()
        {
            // Whoever asked may have given up.
            let _ = drained.send(());
        }
    }

    /// Sends questions to the readers. Answers those for which there is no room.
    fn ask(&mut self, asks: Vec<Ask>) -> Option<Vec<Looked>> {
        let mut refused = Vec::new();
        for ask in asks {
            match &self.readers {
                Some(readers) if self.looks < MAX_LOOKS => {
                    self.looks += 1;
                    readers.do_send(Look(ask));
                }
                _ => {
                    self.looks += 1;
                    refused.push(match reader::failed(&ask) {
                        Looked::Reply(to, _) => Looked::Reply(to, Reject::plain(Code::Busy).into()),
                        other => other,
                    });
                }
            }
        }
        metrics().reads_waiting.set(as_level(self.looks));
        (!refused.is_empty()).then_some(refused)
    }

    fn looked(&mut self, looked: Looked, step: &mut Step) {
        self.looks = self.looks.saturating_sub(1);
        match looked {
            Looked::Answered(question, key, answer) => {
                self.state.answered(question, key, answer, self.clock.now(), step);
            }
            Looked::Warmed(chat, events) => self.state.warmed(chat, &events),
            Looked::Reply(to, reply) => step.deliver.push(Delivery::Reply { to, reply }),
        }
    }

    /// Puts one thing to be sent to the hubs it concerns, encoded once.
    fn sort(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Reply { to, reply } => self.put(to.session.hub, Item::Reply(to, reply)),
            Delivery::Listen { session, chats } => self.put(session.hub, Item::Listen(session, chats)),
            Delivery::Unlisten { session, chats } => self.put(session.hub, Item::Unlisten(session, chats)),
            Delivery::Event(event) => {
                let (chat, seq) = (event.chat_id(), event.seq());
                let hubs: Vec<u16> = self.state.hubs_hearing(chat).collect();
                let bodies = self.encode(&Packet::Event(event), &hubs);
                for hub in hubs {
                    self.put(hub, Item::Event(chat, seq, Arc::clone(&bodies)));
                }
            }
            Delivery::Ephemeral { chats, packet, except } => {
                let mut hubs: Vec<u16> = chats.iter().flat_map(|chat| self.state.hubs_hearing(*chat)).collect();
                hubs.sort_unstable();
                hubs.dedup();
                let Some(topic) = Topic::of(&packet) else { return };
                let bodies = self.encode(&packet, &hubs);
                let (chats, except): (Arc<[ChatId]>, Arc<[SessionId]>) = (chats.into(), except.into());
                for hub in hubs {
                    let (chats, bodies, except) = (Arc::clone(&chats), Arc::clone(&bodies), Arc::clone(&except));
                    self.put(hub, Item::Ephemeral(topic, chats, bodies, except));
                }
            }
            Delivery::Presence(changed) => {
                let mut hubs: Vec<u16> =
                    changed.iter().flat_map(|one| &one.chats).flat_map(|chat| self.state.hubs_hearing(*chat)).collect();
                hubs.sort_unstable();
                hubs.dedup();
                let changes = encoded(changed, self.formats(&hubs));
                for hub in hubs {
                    self.put(hub, Item::Presence(Arc::clone(&changes)));
                }
            }
        }
    }

    fn encode(&self, packet: &Packet, hubs: &[u16]) -> Arc<Bodies> {
        let [json, binary] = self.formats(hubs);
        Arc::new(Bodies::encode(packet, json, binary))
    }

    /// Whether some of these hubs use JSON, and whether some use the binary format.
    fn formats(&self, hubs: &[u16]) -> [bool; 2] {
        let links = || hubs.iter().filter_map(|hub| self.hubs.get(usize::from(*hub))?.as_ref());
        [links().any(|link| link.json), links().any(|link| link.binary)]
    }

    fn put(&mut self, hub: u16, item: Item) {
        if let Some(Some(link)) = self.hubs.get_mut(usize::from(hub)) {
            link.items.push(item);
        }
    }

    fn publish_sizes(&mut self) {
        let [chats, users, sessions, bytes] = self.state.sizes();
        let metrics = metrics();
        metrics.chats.set(as_level(chats));
        metrics.users.set(as_level(users));
        metrics.sessions.set(as_level(sessions));
        metrics.cache_bytes.set(as_level(bytes));
        let tally = self.state.take_tally();
        metrics.cache_hits.inc_by(tally.hits);
        metrics.cache_misses.inc_by(tally.misses);
        metrics.cache_evictions.inc_by(tally.evictions);
        metrics.rate_limited.user.inc_by(tally.limited_by_user);
        metrics.rate_limited.chat.inc_by(tally.limited_by_chat);
        metrics.unknown_users.inc_by(tally.unknown_users);
    }
}

impl Actor for CacheActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.publish_sizes();
        ctx.run_interval(TICK, |cache, ctx| cache.handle(Tick, ctx));
    }
}

impl Handler<Tick> for CacheActor {
    type Result = ();

    fn handle(&mut self, _: Tick, _: &mut Self::Context) {
        let mut step = Step::default();
        self.state.tick(self.clock.now(), &mut step);
        self.carry_out(step);
        self.publish_sizes();
        self.tell_scribe();
    }
}

impl Handler<Batch> for CacheActor {
    type Result = ();

    fn handle(&mut self, Batch(commands): Batch, _: &mut Self::Context) {
        let now = self.clock.now();
        let mut step = Step::default();
        for (origin, command) in commands {
            self.pulse.beat();
            if self.draining && command.is_write() {
                let (reject, client_id) = (Reject::plain(Code::ShuttingDown), command.client_id().cloned());
                step.deliver.push(Delivery::Reply { to: origin, reply: Reply::Rejected { reject, client_id } });
            } else {
                self.state.handle(origin, command, now, &mut step);
            }
        }
        self.carry_out(step);
    }
}

impl Handler<Written> for CacheActor {
    type Result = ();

    fn handle(&mut self, written: Written, _: &mut Self::Context) {
        let mut step = Step::default();
        match written {
            Written::Committed(records) => {
                self.storage = Storage::Writable;
                self.state.commit(records, self.clock.now(), &mut step);
            }
            Written::Refused { count, reason } => {
                let reject = Reject::new(Code::StorageUnavailable, "the disk takes no writes; nothing was kept");
                self.storage = Storage::Unavailable { reason: reason.into() };
                self.state.fail(count, &reject, &mut step);
            }
        }
        self.carry_out(step);
    }
}

impl Handler<Looked> for CacheActor {
    type Result = ();

    fn handle(&mut self, looked: Looked, _: &mut Self::Context) {
        let mut step = Step::default();
        self.looked(looked, &mut step);
        self.carry_out(step);
    }
}

impl Handler<RegisterHub> for CacheActor {
    type Result = ();

    fn handle(&mut self, message: RegisterHub, _: &mut Self::Context) {
        let index = usize::from(message.index);
        if self.hubs.len() <= index {
            self.hubs.resize_with(index + 1, || None);
        }
        if let Some(persist) = &self.persist {
            persist.hub.do_send(Hub(message.index, message.deliver.clone()));
        }
        if let Some(auth) = &self.auth {
            // It began with the settings of the start.
            message.auth.do_send(auth.clone());
        }
        self.hubs[index] = Some(HubLink {
            deliver: message.deliver,
            close: message.close,
            auth: message.auth,
            limits: message.limits,
            json: false,
            binary: false,
            items: Vec::new(),
        });
    }
}

impl Handler<Formats> for CacheActor {
    type Result = ();

    fn handle(&mut self, message: Formats, _: &mut Self::Context) {
        if let Some(Some(link)) = self.hubs.get_mut(usize::from(message.hub)) {
            (link.json, link.binary) = (message.json, message.binary);
        }
    }
}

impl Handler<Connect> for CacheActor {
    type Result = ();

    fn handle(&mut self, message: Connect, _: &mut Self::Context) {
        self.persist = Some(message.persist);
        self.readers = Some(message.readers);
        self.scribe = message.scribe;
    }
}

impl Handler<CloseAll> for CacheActor {
    type Result = ();

    fn handle(&mut self, message: CloseAll, _: &mut Self::Context) {
        for link in self.hubs.iter().flatten() {
            link.close.do_send(message);
        }
    }
}

/// Changes of presence, each encoded once in the formats that are in use: JSON, binary.
pub(crate) fn encoded(changed: Vec<Changed>, [json, binary]: [bool; 2]) -> Arc<[Arc<Change>]> {
    let encode = |Changed { status, chats }| {
        let part = StatusPart::encode(&status, json, binary);
        Arc::new(Change { user: status.user_id, chats: chats.into(), part })
    };
    changed.into_iter().map(encode).collect()
}

fn as_level(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}
