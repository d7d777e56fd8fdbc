//! The post between the actors. What one sends leaves it in the order of sending, and reaches the mailbox of its receiver
//! when the simulation lets it: so any of the orders can come about in which threads reach each other's mailboxes, and none
//! else.
//!
//! An actor sends to recipients; here each leads to a relay, which puts the message where the simulation finds it.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as TaskContext, Wake, Waker};

use actix::prelude::*;
use chappe_actors::health::Health;
use chappe_actors::messages::{Batch, CloseAll, Deliver, Formats, GetHealth, NewAuth, NewLimits, RegisterHub};
use chappe_actors::persist::{self, Append, Written};
use chappe_actors::reader::{Look, Looked};

use crate::lie::Lie;

/// How many threads with connections there are at most.
pub(crate) const HUBS: usize = 2;
const PLACES: usize = 3 + HUBS;

/// Who sends, or receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Cache,
    Persist,
    Reader,
    Hub(usize),
}

impl Who {
    pub(crate) fn place(self) -> usize {
        match self {
            Self::Cache => 0,
            Self::Persist => 1,
            Self::Reader => 2,
            Self::Hub(index) => 3 + index,
        }
    }
}

/// A message on its way.
pub(crate) enum Letter {
    Batch(Batch),
    Register(RegisterHub),
    Formats(Formats),
    Append(Append),
    Hub(persist::Hub),
    Look(Look),
    Looked(Looked),
    Written(Written),
    Deliver(Deliver),
}

#[derive(Default)]
struct Post {
    /// By sender, in the order of sending.
    out: [VecDeque<(Who, Letter)>; PLACES],
}

thread_local! {
    static POST: RefCell<Post> = RefCell::default();
    static RELAYS: RefCell<Vec<(Task, usize)>> = RefCell::default();
    /// The relays that were sent something since they last took it, in the order of sending.
    static RUNG: RefCell<Vec<usize>> = RefCell::default();
}

/// Puts a message on its way.
pub(crate) fn post(from: Who, to: Who, letter: Letter) {
    POST.with_borrow_mut(|post| post.out[from.place()].push_back((to, letter)));
}

/// The next message that leaves `from`.
pub(crate) fn leave(from: Who, lie: Lie) -> Option<(Who, Letter)> {
    POST.with_borrow_mut(|post| {
        let out = &mut post.out[from.place()];
        lie.hurry(out);
        out.pop_front()
    })
}

/// How many messages of `from` have not left yet.
pub(crate) fn waiting(from: Who) -> usize {
    POST.with_borrow(|post| post.out[from.place()].len())
}

/// Takes in what was sent, in the order of sending. To be called after an actor has run, and wherever it matters what was
/// sent before.
pub(crate) fn collect() {
    let mut relays = RELAYS.take();
    loop {
        let rung = RUNG.take();
        if rung.is_empty() {
            break;
        }
        for number in rung {
            if let Some((relay, _)) = relays.get_mut(number) {
                relay.poll();
            }
        }
    }
    RELAYS.set(relays);
}

/// The process is gone, and what was on its way in it.
pub(crate) fn close() {
    drop(RELAYS.take());
    RUNG.take();
    POST.take();
}

/// Something that is polled by hand.
pub(crate) struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    waker: Waker,
    woken: Arc<Flag>,
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Task {
    pub(crate) fn new(future: impl Future<Output = ()> + 'static) -> Self {
        let woken = Arc::new(Flag(AtomicBool::new(true)));
        Self { future: Box::pin(future), waker: Waker::from(Arc::clone(&woken)), woken }
    }

    /// Whether it asked to be polled.
    pub(crate) fn is_woken(&self) -> bool {
        self.woken.0.load(Ordering::Relaxed)
    }

    /// Polls it; whether it is over.
    pub(crate) fn poll(&mut self) -> bool {
        self.woken.0.store(false, Ordering::Relaxed);
        self.future.as_mut().poll(&mut TaskContext::from_waker(&self.waker)).is_ready()
    }
}

struct Bell(usize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        // At the end of the thread nobody listens any more.
        let _ = RUNG.try_with(|rung| rung.borrow_mut().push(self.0));
    }
}

/// Takes what is sent from one actor to another.
pub(crate) struct Relay {
    from: Who,
    to: Who,
}

impl Relay {
    /// Its address stands in for that of `to`.
    pub(crate) fn between(from: Who, to: Who) -> Addr<Self> {
        let context = Context::new();
        let address = context.address();
        RELAYS.with_borrow_mut(|relays| {
            let number = relays.len();
            let mut task = Task::new(context.into_future(Self { from, to }));
            task.waker = Waker::from(Arc::new(Bell(number)));
            task.poll();
            relays.push((task, number));
        });
        address
    }

    fn take(&self, letter: Letter) {
        post(self.from, self.to, letter);
    }
}

impl Actor for Relay {
    type Context = Context<Self>;
}

macro_rules! relays {
    ($($message:ty => $letter:path),* $(,)?) => {$(
        impl Handler<$message> for Relay {
            type Result = ();

            fn handle(&mut self, message: $message, _: &mut Self::Context) {
                self.take($letter(message));
            }
        }
    )*};
}

relays! {
    Batch => Letter::Batch,
    RegisterHub => Letter::Register,
    Formats => Letter::Formats,
    Append => Letter::Append,
    persist::Hub => Letter::Hub,
    Look => Letter::Look,
    Written => Letter::Written,
    Deliver => Letter::Deliver,
}

macro_rules! drops {
    ($($message:ty),* $(,)?) => {$(
        impl Handler<$message> for Relay {
            type Result = ();

            /// Nobody reloads or stops a simulated server.
            fn handle(&mut self, _: $message, _: &mut Self::Context) {}
        }
    )*};
}

drops!(CloseAll, NewAuth, NewLimits);

impl Handler<GetHealth> for Relay {
    type Result = MessageResult<GetHealth>;

    fn handle(&mut self, _: GetHealth, _: &mut Self::Context) -> Self::Result {
        MessageResult(Health::default())
    }
}
