//! What must not end while the process lives on: the cache, the writer, the projector. If one does, the process ends
//! (nothing acknowledged is lost) and is started again from the disk.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use actix::prelude::*;

/// How long a vital actor may handle nothing at all while the watchdog waits for its answer.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How long the one may that waits for the disk: a flush on a tired one takes seconds.
pub const PATIENCE_WITH_THE_DISK: Duration = Duration::from_secs(60);

/// Asks a vital actor whether it lives. Answered by sending on the channel.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AreYouThere(pub mpsc::Sender<()>);

/// How far an actor has come: it tells with all that it handles, its watchdog reads. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// Something was handled. To be called by one thread.
    pub fn beat(&self) {
        // Nobody else writes: no need to lock the bus for each message.
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Differs from what it was if something was handled since.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Ends the process: what is in doubt must not be acknowledged, and what is gone does not come back by itself.
pub fn end_process(reason: &str) -> ! {
    tracing::error!(reason, "end the process");
    END.get()()
}

thread_local! {
    static VITAL: Cell<bool> = const { Cell::new(false) };
    /// How the process ends.
    static END: Cell<fn() -> !> = const { Cell::new(|| std::process::abort()) };
}

/// For what runs on this thread the process ends by `end`: for a simulation, in which several live one after the other.
pub fn end_by(end: fn() -> !) {
    END.set(end);
}

/// From here on a panic on this thread ends the process.
pub fn mark_thread() {
    VITAL.set(true);
}

/// Names this thread for `top -H` and profilers; the kernel keeps 15 bytes.
pub fn name_thread(name: &str) {
    let named = std::ffi::CString::new(name).ok().map(|name| rustix::thread::set_name(&name));
    if !matches!(named, Some(Ok(()))) {
        tracing::debug!(name, "name a thread");
    }
}

/// While `work` runs, a panic on this thread ends the process.
pub fn vitally<T>(work: impl FnOnce() -> T) -> T {
    let before = VITAL.replace(true);
    let result = work();
    VITAL.set(before);
    result
}

/// Makes a panic on a vital thread the end of the process. To be called once, at the start.
pub fn guard_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        before(panic);
        if VITAL.get() {
            end_process("a vital thread panicked");
        }
    }));
}

/// Puts the watchdog's question to an actor; `false` once it has been stopped.
pub fn ask<A>(actor: &Addr<A>, question: AreYouThere) -> bool
where
    A: Actor<Context = Context<A>> + Handler<AreYouThere>,
{
    // One a second, whatever the mailbox holds.
    actor.do_send(question);
    actor.connected()
}

/// Starts a thread that asks `ask` every second whether it lives, and ends the process when it does not answer and its
/// `pulse` stands still, for as long as `patience`. The question stands behind all that waits for the actor: one that
/// has much to do answers late.
///
/// # Errors
/// If no thread can be started.
pub fn watch(
    name: &'static str,
    patience: Duration,
    pulse: Pulse,
    ask: impl Fn(AreYouThere) -> bool + Send + 'static,
) -> std::io::Result<()> {
    let watchdog = thread::Builder::new().name(format!("watch-{name}"));
    watchdog.spawn(move || {
        loop {
            let (sender, answer) = mpsc::channel();
            let asked = Instant::now();
            let mut before = pulse.count();
            if !ask(AreYouThere(sender)) {
                return;
            }
            // A dropped question means that the actor ended; at a stop the process ends before this matters.
            while answer.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
                let now = pulse.count();
                if now == before {
                    end_process(name);
                }
                before = now;
            }
            thread::sleep(Duration::from_secs(1).saturating_sub(asked.elapsed()));
        }
    })?;
    Ok(())
}
