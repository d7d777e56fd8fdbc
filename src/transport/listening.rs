//! For tests of the doors: a hub on this thread, and behind it an engine that only listens.

use actix::prelude::*;
use chappe_actors::command::Command;
use chappe_actors::health::Health;
use chappe_actors::hub::{HubActor, HubSettings};
use chappe_actors::messages::{Batch, EngineLink, Formats, GetHealth, RegisterHub};
use tokio::sync::mpsc;

/// Starts a hub inside an actix system, with settings that `change` changes; what the engine is asked comes out.
pub(crate) fn start_hub(change: impl FnOnce(&mut HubSettings)) -> mpsc::UnboundedReceiver<Command> {
    let (told, asked) = mpsc::unbounded_channel();
    let mut settings = HubSettings::default();
    change(&mut settings);
    HubActor::start(0, settings, EngineLink::from(&Listening(told).start()));
    asked
}

/// Tells what it is asked.
struct Listening(mpsc::UnboundedSender<Command>);

impl Actor for Listening {
    type Context = Context<Self>;
}

impl Handler<Batch> for Listening {
    type Result = ();
    fn handle(&mut self, Batch(commands): Batch, _: &mut Self::Context) {
        for (_, command) in commands {
            // The test may be over.
            let _ = self.0.send(command);
        }
    }
}

impl Handler<RegisterHub> for Listening {
    type Result = ();
    fn handle(&mut self, _: RegisterHub, _: &mut Self::Context) {}
}

impl Handler<Formats> for Listening {
    type Result = ();
    fn handle(&mut self, _: Formats, _: &mut Self::Context) {}
}

impl Handler<GetHealth> for Listening {
    type Result = MessageResult<GetHealth>;
    fn handle(&mut self, _: GetHealth, _: &mut Self::Context) -> Self::Result {
        MessageResult(Health::default())
    }
}
