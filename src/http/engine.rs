//! The way from a handler to the engine. Under the crate's own tests a scripted engine stands at its other end.

#[cfg(not(test))]
pub(crate) use chappe_actors::hub::{ask, health};
// Who is believed is no question to the engine.
pub(crate) use chappe_actors::hub::{authenticate, believes, now};
#[cfg(not(test))]
pub(crate) use chappe_actors::metrics::encode as metrics;

#[cfg(test)]
pub(crate) use scripted::{ask, health, metrics, script, script_health};

#[cfg(test)]
mod scripted {
    use std::cell::RefCell;

    use chappe_actors::command::Command;
    use chappe_actors::health::{Connections, Health, Phase, Storage};
    use chappe_actors::reply::Reply;

    type Script = Box<dyn FnMut(Command) -> Reply>;

    thread_local! {
        static SCRIPT: RefCell<Option<Script>> = const { RefCell::new(None) };
        static HEALTH: RefCell<Option<Health>> = const { RefCell::new(Some(SERVING)) };
    }

    /// Lets `answer` speak for the engine on this thread, which is this test's own.
    pub(crate) fn script(answer: impl FnMut(Command) -> Reply + 'static) {
        SCRIPT.set(Some(Box::new(answer)));
    }

    pub(crate) async fn ask(command: Command) -> Reply {
        SCRIPT.with_borrow_mut(|script| match script {
            Some(answer) => answer(command),
            None => panic!("the engine was asked, which this test does not expect: {command:?}"),
        })
    }

    const SERVING: Health = Health {
        phase: Phase::Serving,
        storage: Storage::Writable,
        damage: None,
        are_tables_damaged: false,
        log_position: 0,
        projected_position: 0,
        connections: Connections { websocket: 0, tcp: 0 },
    };

    /// Lets the engine be so, on this thread; `None` is an engine that does not answer.
    pub(crate) fn script_health(health: Option<Health>) {
        HEALTH.set(health);
    }

    pub(crate) async fn health() -> Health {
        match HEALTH.with_borrow(Clone::clone) {
            Some(health) => health,
            None => std::future::pending().await,
        }
    }

    pub(crate) fn metrics() -> String {
        "# EOF\n".to_owned()
    }
}
