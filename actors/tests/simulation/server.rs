//! The server: the engine's own actors and connections, each polled when the simulation says so, with its mail handed over
//! message by message.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use actix::prelude::*;
use chappe_actors::cache::{CacheActor, Connect};
use chappe_actors::clock::{Clock, Now};
use chappe_actors::connection::Connection;
use chappe_actors::hub::{Door, HubActor, HubPlace, HubSettings};
use chappe_actors::messages::{Beat, Deliver, EngineLink, RegisterHub, Tick};
use chappe_actors::origin::SessionId;
use chappe_actors::persist::{self, PersistActor, PersistLink, Written};
use chappe_actors::retention::sweep::{EraseUser, GetKept, TrimChats};
use chappe_actors::session::Session;
use chappe_actors::session::outbox::Outbox;
use chappe_actors::snapshot::scribe::{NextSlice, Slice};
use chappe_actors::state::retention::{Erasure, Kept, Trim};
use chappe_actors::state::slices::Cursor;
use chappe_actors::state::{Settings, State};
use chappe_actors::vital;
use chappe_proto::stream::Splitter;
use chappe_proto::websocket_input::Reader;
use chappe_proto::{Millis, UserId};

use crate::archive::Archive;
use crate::dice::Dice;
use crate::disk::{SimulatedLog, with_disk, with_ledger};
use crate::lie::Lie;
use crate::office::{self, Letter, Relay, Task, Who};
use crate::snapshot::Shelf;
use crate::socket::{Line, Socket};
use crate::wire::Speech;

thread_local! {
    static TIME: Cell<u64> = const { Cell::new(1_000_000) };
}

/// So many milliseconds pass.
pub(crate) fn pass(ms: u64) {
    TIME.set(TIME.get() + ms);
}

pub(crate) fn now() -> Now {
    let ms = TIME.get();
    Now { wall: Millis(1_700_000_000_000 + ms), mono: Duration::from_millis(ms) }
}

/// The process has ended itself.
struct Ended;

/// Lets the process end without the test's.
pub(crate) fn prepare_end() {
    vital::end_by(|| resume_unwind(Box::new(Ended)));
}

struct Hub {
    actor: Addr<HubActor>,
    place: HubPlace,
    task: Task,
}

/// A connection, as the server has it.
pub(crate) struct Serving {
    task: Task,
    pub(crate) outbox: Rc<Outbox>,
    pub(crate) session: SessionId,
    hub: usize,
}

/// See the module.
pub(crate) struct Server {
    settings: Settings,
    /// Which promise it breaks, if it is one that is to be caught.
    lie: Lie,
    cache: Addr<CacheActor>,
    cache_task: Task,
    persist: Addr<PersistActor>,
    persist_task: Task,
    /// The process has ended itself, amid the writer's work.
    has_ended: bool,
    hubs: Vec<Hub>,
    cache_mail: VecDeque<Letter>,
    persist_mail: VecDeque<Letter>,
    reader_mail: VecDeque<Letter>,
    hub_mail: Vec<VecDeque<Letter>>,
    /// The places are kept: who is gone leaves an empty one.
    pub(crate) connections: Vec<Option<Serving>>,
}

impl Server {
    /// A start, with what is on disk.
    pub(crate) fn start(settings: Settings, hubs: usize, shelf: &Shelf, lie: Lie) -> Self {
        let clock = Clock::told(now);
        if with_ledger(|ledger| ledger.head() == 0) {
            with_disk(|disk| disk.start_with(State::beginning(now())));
        }
        let state = shelf.restore(settings, lie);
        with_ledger(|ledger| ledger.tell(ledger.head()));
        let context = Context::new();
        let cache: Addr<CacheActor> = context.address();
        let cache_task = Task::new(context.into_future(CacheActor::new(state, clock)));
        let done = Relay::between(Who::Persist, Who::Cache).recipient();
        let context = Context::new();
        let persist: Addr<PersistActor> = context.address();
        let writer = PersistActor::new(Box::new(SimulatedLog), done, || {});
        let persist_task = Task::new(context.into_future(writer));
        let to_persist = PersistLink::from(&Relay::between(Who::Cache, Who::Persist));
        let readers = Relay::between(Who::Cache, Who::Reader).recipient();
        cache.do_send(Connect { persist: to_persist, readers, scribe: None });
        let hubs: Vec<Hub> = (0..hubs).map(|index| Self::hub(index, settings, clock)).collect();
        let mut server = Self {
            settings,
            lie,
            cache,
            cache_task,
            persist,
            persist_task,
            has_ended: false,
            hub_mail: hubs.iter().map(|_| VecDeque::new()).collect(),
            hubs,
            cache_mail: VecDeque::new(),
            persist_mail: VecDeque::new(),
            reader_mail: VecDeque::new(),
            connections: Vec::new(),
        };
        server.cache_task.poll();
        server.persist_task.poll();
        server
    }

    fn hub(index: usize, settings: Settings, clock: Clock) -> Hub {
        let engine = EngineLink::from(&Relay::between(Who::Hub(index), Who::Cache));
        let number = u16::try_from(index).unwrap_or(u16::MAX);
        let heartbeat = Duration::from_millis(settings.heartbeat_ms.into());
        let hub_settings = HubSettings { limits: settings.limits, heartbeat, clock, ..HubSettings::default() };
        let (hub, place) = HubActor::new(number, hub_settings, engine);
        let from_cache = Relay::between(Who::Cache, Who::Hub(index));
        let register = RegisterHub {
            index: number,
            deliver: from_cache.clone().recipient(),
            close: from_cache.clone().recipient(),
            auth: from_cache.clone().recipient(),
            limits: from_cache.recipient(),
        };
        office::post(Who::Hub(index), Who::Cache, Letter::Register(register));
        let context = Context::new();
        let actor = context.address();
        Hub { actor, place, task: Task::new(context.into_future(hub)) }
    }

    /// The process is gone.
    pub(crate) fn crash(self) {
        HubPlace::vacate();
        if self.has_ended {
            // A future that was left amid its work is not polled again, as it would be to end it in order.
            std::mem::forget(self.persist_task);
        }
        drop((self.connections, self.hubs, self.cache_task));
        office::close();
        with_disk(crate::disk::Disk::crash);
    }

    /// One message leaves its sender; `false` if none may.
    pub(crate) fn deliver(&mut self, from: Who) -> bool {
        if office::waiting(from) == 0 || (from == Who::Persist && !with_disk(|disk| disk.lets_leave())) {
            return false;
        }
        let Some((to, letter)) = office::leave(from, self.lie) else { return false };
        match to {
            Who::Cache => self.cache_mail.push_back(letter),
            Who::Persist => self.persist_mail.push_back(letter),
            Who::Reader => self.reader_mail.push_back(letter),
            Who::Hub(index) => self.hub_mail[index].push_back(letter),
        }
        true
    }

    /// The cache actor takes its next message.
    pub(crate) fn run_cache(&mut self) -> bool {
        let Some(letter) = self.cache_mail.pop_front() else { return false };
        match letter {
            Letter::Batch(mut batch) => {
                self.lie.reorder(&mut batch);
                self.cache.do_send(batch);
            }
            Letter::Register(register) => self.cache.do_send(register),
            Letter::Formats(formats) => self.cache.do_send(formats),
            Letter::Written(mut written) => {
                self.lie.forget(&mut written);
                if let Written::Committed(records) = &written
                    && let Some(last) = records.last()
                {
                    with_ledger(|ledger| ledger.tell(last.position.0));
                }
                self.cache.do_send(written);
            }
            Letter::Looked(looked) => self.cache.do_send(looked),
            Letter::Append(_) | Letter::Hub(_) | Letter::Look(_) | Letter::Deliver(_) => return false,
        }
        self.cache_task.poll();
        office::collect();
        true
    }

    /// The writer takes all that waits, and commits it. `Err` if the process ended.
    pub(crate) fn run_persist(&mut self) -> Result<bool, ()> {
        if self.persist_mail.is_empty() || with_disk(|disk| disk.is_busy()) {
            return Ok(false);
        }
        for letter in self.persist_mail.drain(..) {
            match letter {
                Letter::Append(append) => self.persist.do_send(append),
                Letter::Hub(persist::Hub(index, _)) => {
                    // It is sent to the same mailbox, but by somebody else.
                    let relay = Relay::between(Who::Persist, Who::Hub(index.into()));
                    self.persist.do_send(persist::Hub(index, relay.recipient()));
                }
                _ => {}
            }
        }
        self.poll_persist().map(|()| true)
    }

    fn poll_persist(&mut self) -> Result<(), ()> {
        let task = &mut self.persist_task;
        match catch_unwind(AssertUnwindSafe(|| task.poll())) {
            Ok(_) => {
                office::collect();
                Ok(())
            }
            Err(end) if end.is::<Ended>() => {
                self.has_ended = true;
                Err(())
            }
            Err(panic) => resume_unwind(panic),
        }
    }

    /// A reader answers one of the first questions: there are two of them.
    pub(crate) fn run_reader(&mut self, dice: &mut Dice) -> bool {
        let index = usize::from(self.reader_mail.len() > 1 && dice.once_in(2));
        let Some(Letter::Look(look)) = self.reader_mail.remove(index) else { return false };
        let warm = self.settings.messages_per_chat;
        let looked = with_ledger(|ledger| Archive { ledger, lie: self.lie }.look(&look.0, warm));
        office::post(Who::Reader, Who::Cache, Letter::Looked(looked));
        true
    }

    /// A hub takes up to so many messages; `spoil` may change them on their way, in a server that is to be caught.
    pub(crate) fn run_hub(&mut self, index: usize, most: usize, mut spoil: impl FnMut(&mut Deliver)) -> bool {
        let (hub, mail) = (&mut self.hubs[index], &mut self.hub_mail[index]);
        let count = most.min(mail.len());
        if count == 0 && !hub.task.is_woken() {
            return false;
        }
        for letter in mail.drain(..count) {
            if let Letter::Deliver(mut deliver) = letter {
                spoil(&mut deliver);
                hub.actor.do_send(deliver);
            }
        }
        hub.place.settle();
        hub.task.poll();
        office::collect();
        true
    }

    /// A second passes for all; or for the hubs, a heartbeat. `Err` if the process ended.
    pub(crate) fn tick(&mut self, is_beat: bool) -> Result<(), ()> {
        for hub in &mut self.hubs {
            if is_beat {
                hub.actor.do_send(Beat);
            } else {
                hub.actor.do_send(Tick);
            }
            hub.place.settle();
            hub.task.poll();
        }
        if !is_beat {
            self.cache.do_send(Tick);
            self.cache_task.poll();
            office::collect();
            if !with_disk(|disk| disk.is_busy()) {
                self.persist.do_send(Tick);
                return self.poll_persist();
            }
        }
        office::collect();
        Ok(())
    }

    /// A client connects; answers its place, or nothing if it is turned away.
    pub(crate) fn accept(&mut self, hub: usize, speech: Speech, line: Rc<RefCell<Line>>) -> Option<usize> {
        self.hubs[hub].place.settle();
        let limits = self.settings.limits;
        let as_size = |bytes: u32| usize::try_from(bytes).unwrap_or(usize::MAX);
        let outbox_bytes = self.lie.limit_of_an_outbox(as_size(limits.outbox_bytes));
        let outbox = Rc::new(Outbox::new(speech.wire(), outbox_bytes, limits.window));
        let is_tcp = speech.is_tcp();
        let door = if is_tcp { Door::Tcp } else { Door::WebSocket };
        let session = Session::open(door, Rc::clone(&outbox)).ok()?;
        let id = session.id();
        let frame_bytes = as_size(limits.frame_bytes);
        let socket = Socket(line);
        let task = if is_tcp {
            let connection = Connection::new(socket, session, Splitter::new(frame_bytes), Vec::new(), ());
            Task::new(Context::new().into_future(connection))
        } else {
            let connection = Connection::new(socket, session, Reader::new(frame_bytes), Vec::new(), ());
            Task::new(Context::new().into_future(connection))
        };
        office::collect();
        self.connections.push(Some(Serving { task, outbox, session: id, hub }));
        Some(self.connections.len() - 1)
    }

    /// A connection's task runs, if it has something to do or `anyway`.
    pub(crate) fn run_connection(&mut self, place: usize, anyway: bool) -> bool {
        let Some(Some(serving)) = self.connections.get_mut(place) else { return false };
        if !serving.task.is_woken() && !anyway {
            return false;
        }
        self.hubs[serving.hub].place.settle();
        if serving.task.poll() {
            self.connections[place] = None;
        }
        office::collect();
        true
    }

    /// Whether nothing is on its way in it, and nobody has anything to do.
    pub(crate) fn is_quiet(&self) -> bool {
        let hubs = 0..self.hubs.len();
        let senders = [Who::Cache, Who::Persist, Who::Reader].into_iter().chain(hubs.map(Who::Hub));
        senders.map(office::waiting).all(|waiting| waiting == 0)
            && [&self.cache_mail, &self.persist_mail, &self.reader_mail].iter().all(|mail| mail.is_empty())
            && self.hub_mail.iter().all(VecDeque::is_empty)
            && self.hubs.iter().all(|hub| !hub.task.is_woken())
            && self.connections.iter().flatten().all(|serving| !serving.task.is_woken())
            && with_disk(|disk| !disk.is_busy())
    }

    /// What the chats keep.
    pub(crate) fn kept(&mut self) -> Vec<Kept> {
        // Nobody makes as many chats as the cache actor looks through at a time.
        self.ask(|answer| GetKept(1, answer)).0
    }

    /// These go.
    pub(crate) fn trim(&mut self, trims: Vec<Trim>) {
        self.cache.do_send(TrimChats(trims));
        self.cache_task.poll();
        office::collect();
    }

    /// Somebody is to be erased.
    pub(crate) fn erase(&mut self, user: UserId) -> Erasure {
        let erasure = self.ask(|answer| EraseUser(user, answer));
        office::collect();
        erasure
    }

    /// Asks the cache actor, which answers at once.
    fn ask<T, M>(&mut self, question: impl FnOnce(SyncSender<T>) -> M) -> T
    where
        M: Message<Result = ()> + Send + 'static,
        CacheActor: Handler<M>,
    {
        let (answer, found) = sync_channel(1);
        self.cache.do_send(question(answer));
        self.cache_task.poll();
        found.try_recv().expect("the cache actor answers at once")
    }

    /// A slice of the state, for a snapshot.
    pub(crate) fn slice(&mut self, cursor: Cursor) -> Slice {
        self.ask(|answer| NextSlice(cursor, answer))
    }
}
