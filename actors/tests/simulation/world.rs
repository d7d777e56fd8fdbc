//! One simulation: a server, its disk, its clients and the network between them, all moved by one pair of dice. The same
//! seed moves them the same way.

mod network;
mod rest;
mod sweep;

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};

use chappe_actors::messages::{Deliver, Item};
use chappe_actors::metrics::metrics;
use chappe_actors::origin::SessionId;
use chappe_actors::reply::Reply;
use chappe_actors::session::outbox::Load;
use chappe_proto::UserId;

use crate::answers::Tally;
use crate::client::{Client, Link};
use crate::dice::Dice;
use crate::disk::{self, Mood, with_disk, with_ledger};
use crate::http::Http;
use crate::lie::Lie;
use crate::office::{self, Who};
use crate::server::{Server, pass, prepare_end};
use crate::shape::Shape;
use crate::snapshot::Shelf;
use crate::verdict::{holds, set_step, tell, verdict};
use crate::world::sweep::Sweep;

/// A slow thread that has sent a message, and has another to send, has to wait before that once in so often …
const PAUSES: u64 = 12;
/// … and up to so many steps: in the meantime others hear of the first, and act on it.
const PAUSE: u64 = 400;

/// Its place among those that may be stalled.
fn thread(who: Who) -> usize {
    match who {
        Who::Cache => 0,
        Who::Persist => 1,
        Who::Reader => 3,
        Who::Hub(index) => 4 + index,
    }
}

/// How a simulation went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) steps: u64,
    /// Of all that was done, in order: the same for the same seed.
    pub(crate) trace: u64,
    pub(crate) tally: Tally,
    pub(crate) events: Events,
    /// What all outboxes held once all connections were gone.
    pub(crate) left_bytes: i64,
    /// Which promise was broken, if one was, and at which step.
    pub(crate) verdict: Option<(u64, String)>,
}

/// What happened to the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Events {
    pub(crate) crashes: u64,
    pub(crate) ends: u64,
    pub(crate) cuts: u64,
    pub(crate) full: u64,
    pub(crate) commits: u64,
    pub(crate) records: u64,
    pub(crate) snapshots: u64,
    pub(crate) trims: u64,
    pub(crate) erasures: u64,
}

/// A connection whose client is gone, as the server does not know yet.
struct Dangling {
    link: Link,
    place: usize,
    is_reset: bool,
}

/// See the module.
pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) shape: Shape,
    lie: Lie,
    server: Option<Server>,
    clients: Vec<Client>,
    /// Where each client's connection is at the server.
    places: Vec<Option<usize>>,
    dangling: VecDeque<Dangling>,
    http: Http,
    shelf: Shelf,
    sweep: Sweep,
    steps: u64,
    trace: DefaultHasher,
    tally: Tally,
    events: Events,
    /// Nothing goes wrong any more, and nothing new begins.
    is_finishing: bool,
    /// Until which step these do nothing: cache, writer, disk, readers, hubs.
    stalled: [u64; 6],
}

impl World {
    pub(crate) fn new(seed: u64, lie: Lie) -> Self {
        let mut dice = Dice::new(seed);
        let shape = Shape::of(&mut dice);
        prepare_end();
        disk::begin(dice.fork(), lie.of_the_disk(), shape.retention);
        metrics().outbox_limit_bytes.set(shape.all_outboxes);
        metrics().pending_writes.set(0);
        let user = |number: u64| UserId::parse(1 + number % shape.users).expect("an id");
        let clients: Vec<Client> = (0..shape.clients).map(|number| Client::new(number, user(number as u64))).collect();
        let server = Some(Server::start(shape.settings, shape.hubs, &Shelf::default(), lie));
        Self {
            places: vec![None; clients.len()],
            dice,
            shape,
            lie,
            server,
            clients,
            dangling: VecDeque::new(),
            http: Http::default(),
            shelf: Shelf::default(),
            sweep: Sweep::default(),
            steps: 0,
            trace: DefaultHasher::new(),
            tally: Tally::default(),
            events: Events::default(),
            is_finishing: false,
            stalled: [0; 6],
        }
    }

    /// Lets it run for so many steps, then come to rest, and looks at what is left.
    pub(crate) fn run(mut self, steps: u64) -> Outcome {
        while self.steps < steps && verdict().is_none() {
            self.step();
        }
        if verdict().is_none() {
            self.finish();
        }
        self.events.commits = with_disk(|disk| disk.commits);
        self.events.records = with_ledger(|ledger| ledger.head());
        self.events.snapshots = self.shelf.taken;
        (self.events.trims, self.events.erasures) = with_ledger(|ledger| ledger.keeping.count());
        if let Some(server) = self.server.take() {
            server.crash();
        }
        self.clients.clear();
        let left_bytes = metrics().outbox_bytes.get();
        Outcome {
            left_bytes,
            steps: self.steps,
            trace: self.trace.finish(),
            tally: self.tally,
            events: self.events,
            verdict: verdict().map(|verdict| (self.steps, verdict)),
        }
    }

    fn step(&mut self) {
        self.steps += 1;
        set_step(self.steps);
        if self.dice.once_in(4) {
            pass(self.dice.below(20));
        }
        for _ in 0..100 {
            let what = self.dice.below(100);
            if self.attempt(what) {
                self.note(what);
                break;
            }
        }
        self.check_bounds();
    }

    fn note(&mut self, what: u64) {
        self.trace.write_u64(what);
    }

    /// Does something of this kind, if there is something to do.
    fn attempt(&mut self, what: u64) -> bool {
        if self.server.is_none() {
            return self.start();
        }
        let is_stalled = |place: usize| self.stalled[place] > self.steps;
        let hub = usize::try_from(self.dice.below(self.shape.hubs as u64)).unwrap_or_default();
        match what {
            0..12 => !is_stalled(0) && self.server.as_mut().is_some_and(Server::run_cache),
            12..18 => !is_stalled(1) && self.write(),
            18..23 => {
                !is_stalled(2)
                    && with_disk(|disk| {
                        let is_busy = disk.is_busy();
                        disk.finish();
                        is_busy
                    })
            }
            23..26 => {
                let (server, dice) = (&mut self.server, &mut self.dice);
                self.stalled[3] <= self.steps && server.as_mut().is_some_and(|server| server.run_reader(dice))
            }
            26..36 => !is_stalled(4 + hub) && self.run_hub(hub),
            36..52 => {
                let senders = [Who::Cache, Who::Persist, Who::Reader, Who::Hub(hub)];
                let from = self.dice.pick(&senders).unwrap_or(Who::Cache);
                !is_stalled(thread(from)) && self.deliver(from)
            }
            52..63 => self.run_connection(),
            63..73 => self.bytes_up(),
            73..84 => self.bytes_down(),
            84..95 => self.act(),
            95 if self.dice.once_in(4) => self.take_slice(),
            95 => !self.is_finishing && self.ask_http(),
            96 => self.end_dangling(),
            97 => self.dice.once_in(8) && self.tick(),
            98 => !self.is_finishing && self.sweep(),
            _ => !self.is_finishing && self.dice.once_in(6) && self.misfortune(),
        }
    }

    /// A message leaves; now and then a slow thread has to wait before it sends the next.
    fn deliver(&mut self, from: Who) -> bool {
        let has_left = self.server.as_mut().is_some_and(|server| server.deliver(from));
        let may_wait = thread(from) == self.shape.slow && office::waiting(from) > 0 && !self.is_finishing;
        if has_left && may_wait && self.dice.once_in(PAUSES) {
            self.stalled[thread(from)] = self.steps + self.dice.below(PAUSE);
        }
        has_left
    }

    fn start(&mut self) -> bool {
        if !self.is_finishing && !self.dice.once_in(8) {
            return false;
        }
        self.server = Some(Server::start(self.shape.settings, self.shape.hubs, &self.shelf, self.lie));
        true
    }

    fn take_slice(&mut self) -> bool {
        let Some(server) = &mut self.server else { return false };
        if !self.is_finishing && self.stalled[0] <= self.steps {
            self.shelf.go_on(server);
        }
        !self.is_finishing
    }

    fn write(&mut self) -> bool {
        let ran = self.server.as_mut().map_or(Ok(false), Server::run_persist);
        ran.unwrap_or_else(|()| {
            self.events.ends += 1;
            self.crash();
            true
        })
    }

    fn tick(&mut self) -> bool {
        let is_beat = self.dice.once_in(4);
        pass(1000);
        if self.server.as_mut().is_some_and(|server| server.tick(is_beat).is_err()) {
            self.events.ends += 1;
            self.crash();
        }
        true
    }

    fn run_hub(&mut self, hub: usize) -> bool {
        let Some(server) = &mut self.server else { return false };
        let most = if self.dice.once_in(2) { 1 } else { 8 };
        let others: Vec<SessionId> = server.connections.iter().flatten().map(|serving| serving.session).collect();
        let (lie, dice, http) = (self.lie, &mut self.dice, &mut self.http);
        server.run_hub(hub, most, |deliver| {
            lie.spoil(deliver, &others, dice);
            check_delivery(deliver);
            http.take_answers(deliver);
        })
    }

    fn run_connection(&mut self) -> bool {
        let Some(server) = &mut self.server else { return false };
        let count = server.connections.len().max(1);
        let first = usize::try_from(self.dice.below(count as u64)).unwrap_or_default();
        let anyway = !self.is_finishing && self.dice.once_in(50);
        for place in (0..count).map(|at| (first + at) % count) {
            if self.lie == Lie::SleepsOn && place % 3 == 1 && !anyway {
                continue;
            }
            if server.run_connection(place, anyway) {
                return true;
            }
        }
        false
    }

    fn ask_http(&mut self) -> bool {
        let users = self.shape.users;
        self.http.ask(&mut self.dice, users, self.shape.hubs)
    }

    /// Something goes wrong.
    fn misfortune(&mut self) -> bool {
        let number = self.client();
        match self.dice.below(12) {
            0..4 => {
                let is_reset = self.dice.once_in(2);
                self.events.cuts += u64::from(self.clients[number].link.is_some());
                self.cut(number, is_reset);
            }
            4..7 => {
                let until = self.steps + self.dice.below(600);
                if let Some(link) = &mut self.clients[number].link {
                    link.reads_from = until;
                }
            }
            7 | 8 => {
                let until = self.steps + self.dice.below(120);
                let place = self.dice.below(self.stalled.len() as u64);
                self.stalled[usize::try_from(place).unwrap_or_default()] = until;
            }
            9 => {
                let is_full = with_disk(|disk| {
                    disk.mood = if disk.mood == Mood::Full { Mood::Fine } else { Mood::Full };
                    disk.mood == Mood::Full
                });
                self.events.full += u64::from(is_full);
            }
            10 => with_disk(|disk| disk.mood = Mood::Failing),
            _ if self.dice.once_in(2) => {
                self.events.crashes += 1;
                self.crash();
            }
            _ => return false,
        }
        true
    }

    /// The process is gone; what it had written to sockets arrives in part.
    fn crash(&mut self) {
        let Some(server) = self.server.take() else { return };
        tell(|| "the process is gone".to_owned());
        server.crash();
        self.http.forget();
        self.shelf.crash();
        self.sweep = Sweep::default();
        self.dangling.clear();
        for number in 0..self.clients.len() {
            self.places[number] = None;
            let Some(link) = &mut self.clients[number].link else { continue };
            let mut line = link.line.borrow_mut();
            let arrives = usize::try_from(self.dice.below(line.written.len() as u64 + 1)).unwrap_or_default();
            line.written.truncate(arrives);
            line.is_shut = true;
        }
    }

    fn check_bounds(&mut self) {
        let Some(server) = &self.server else { return };
        let limits = self.shape.settings.limits;
        for serving in server.connections.iter().flatten() {
            let Load { bytes, event_bytes, in_flight } = serving.outbox.load();
            let most = limits.window + chappe_proto::commands::PAGE_WEIGHT;
            holds(in_flight < most, || format!("{in_flight} of the window of {} are taken", limits.window));
            let most = usize::try_from(limits.outbox_bytes).unwrap_or(usize::MAX);
            holds(event_bytes <= most, || {
                format!("an outbox holds {event_bytes} bytes of events: {most} are the most")
            });
            let most = self.shape.most_in_an_outbox();
            holds(bytes <= most, || format!("an outbox holds {bytes} bytes: {most} are the most"));
        }
        let pending = metrics().pending_writes.get();
        let most = self.shape.most_pending();
        holds(pending <= most, || format!("{pending} writes are pending: {most} are the most"));
    }
}

/// Nothing is told that is not on disk.
fn check_delivery(Deliver(items): &Deliver) {
    with_ledger(|ledger| {
        for item in items {
            match item {
                Item::Event(chat, seq, _) => {
                    let head = ledger.seq(*chat);
                    holds(seq.0 <= head, || format!("event {seq} of {chat} is sent, and on disk are {head}"));
                }
                Item::Reply(_, Reply::Accepted(accepted)) => {
                    let (chat, seq, head) = (accepted.chat, accepted.seq, ledger.seq(accepted.chat));
                    holds(seq.0 <= head, || format!("event {seq} of {chat} is acknowledged, and on disk are {head}"));
                }
                _ => {}
            }
        }
    });
}
