//! A command that cannot go on yet: it waits for what is not settled, or is refused where too much waits already.

use chappe_proto::{Code, Reject};

use super::State;
use super::holds::Key;
use super::step::{Ask, Question, Step};
use crate::clock::Now;
use crate::command::Command;
use crate::origin::Origin;
use crate::reply::Reply;

/// So many changes of one user may wait for one another, and for the reader; or as many as one connection may ask for at
/// once, if that is more.
const WAITING_OF_A_USER: u32 = 256;

impl State {
    /// One of what holds `key` is settled: goes on with who waited for it, until one of them holds it again. The rest
    /// would only find that.
    pub(super) fn resume(&mut self, key: Key, now: Now, step: &mut Step) {
        let mut waiting = self.holds.release(key);
        while let Some((origin, command)) = waiting.pop_front() {
            self.take_up(origin, command, now, step);
            if self.holds.any(&[key]).is_some() {
                return self.holds.put_back(key, waiting);
            }
        }
    }

    /// Lets `command` wait for `key`, which is held; a change only where there is room.
    pub(super) fn park(&mut self, key: Key, origin: Origin, command: Command, step: &mut Step) {
        match self.may_wait(&command) {
            Ok(()) => self.holds.park(key, origin, command),
            Err(reject) => {
                let client_id = command.client_id().cloned();
                step.reply(origin, Reply::Rejected { reject, client_id });
            }
        }
    }

    /// Lets `command` wait if one of `keys` is unsettled. Gives it back if none is.
    pub(super) fn wait_for(
        &mut self,
        keys: &[Key],
        origin: Origin,
        command: Command,
        step: &mut Step,
    ) -> Option<Command> {
        match self.holds.any(keys) {
            Some(key) => {
                self.park(key, origin, command, step);
                None
            }
            None => Some(command),
        }
    }

    /// Asks the reader, and goes on with `command` when it has answered.
    pub(super) fn ask(&mut self, question: Question, key: Key, origin: Origin, command: Command, step: &mut Step) {
        if let Err(reject) = self.may_wait(&command) {
            let client_id = command.client_id().cloned();
            return step.reply(origin, Reply::Rejected { reject, client_id });
        }
        self.holds.hold(key);
        self.holds.park(key, origin, command);
        step.ask.push(Ask::Question { question, key });
    }

    /// Whether there is room for another write.
    pub(super) fn admit_write(&self) -> Result<(), Reject> {
        if self.pending_writes() < self.settings.pending_writes { Ok(()) } else { Err(Reject::plain(Code::Busy)) }
    }

    /// Whether `command` may wait. What waits counts among everybody's pending writes: no user may fill them.
    fn may_wait(&self, command: &Command) -> Result<(), Reject> {
        if !command.is_write() {
            return Ok(());
        }
        self.admit_write()?;
        if self.holds.parked_of(command.charged(false)) < self.settings.limits.window.max(WAITING_OF_A_USER) {
            return Ok(());
        }
        Err(Reject::new(Code::Busy, "too many changes of this user wait for one another"))
    }
}
