//! One client's life: it connects through one door after another, for as long as the scene lasts.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use chappe::client::ClientError;
use tokio::sync::watch;

use super::mind::{Mind, Wish};
use super::{Act, Recorder, Scene};
use crate::history::{Change, Note};
use crate::server::Doors;
use crate::wire::Door;

/// How long somebody waits who did not get through to a server that is said to be there.
const AGAIN: Duration = Duration::from_millis(5);

/// See the module.
pub(super) struct Person {
    pub(super) mind: Mind,
    /// The doors it goes through, by throws.
    pub(super) doors: Vec<Door>,
    pub(super) pace: Option<Duration>,
    pub(super) recorder: Recorder,
    /// Told once, when it rests.
    pub(super) rested: Option<mpsc::Sender<u64>>,
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// There is more to do.
    GoOn,
    /// The play is over.
    Home,
}

impl Person {
    pub(super) async fn play(mut self, mut scene: watch::Receiver<Scene>) {
        loop {
            let Scene { doors, act, .. } = scene.borrow_and_update().clone();
            let Some(doors) = doors.filter(|_| !self.recorder.has_struck()) else {
                // Whoever set the scene has given up.
                if scene.changed().await.is_err() {
                    return;
                }
                continue;
            };
            match self.connect(&doors, &act, &mut scene).await {
                Ok(End::Home) => return,
                Ok(End::GoOn) => {}
                Err(error) => {
                    if let ClientError::Unexpected(what) = error {
                        self.note(self.recorder.number(), Note::Nonsense(what));
                    }
                    let _ = tokio::time::timeout(AGAIN, scene.changed()).await;
                }
            }
            if scene.has_changed().is_err() {
                return;
            }
        }
    }

    async fn connect(
        &mut self,
        doors: &Doors,
        act: &Act,
        scene: &mut watch::Receiver<Scene>,
    ) -> Result<End, ClientError> {
        let door = self.mind.dice.pick(&self.doors).unwrap_or(Door::TcpBinary);
        // In the end all have to hear.
        let only_hears = *act != Act::Talk && door == Door::Http && self.doors.len() > 1;
        let door = if only_hears { Door::WsBinary } else { door };
        if door == Door::Http { self.ask(doors, scene).await } else { self.talk(doors, door, scene).await }
    }

    pub(super) fn note(&self, connection: u64, note: Note) {
        self.recorder.note(self.mind.user, connection, note);
    }

    /// Tells that it rests, if it does.
    pub(super) fn rest(&mut self) {
        if let Some(rested) = self.rested.take() {
            // Whoever does not wait for it has given up.
            let _ = rested.send(self.mind.user);
        }
    }

    /// Writes down that something is asked.
    pub(super) fn asks(&self, connection: u64, attempt: u64, wish: &Wish) {
        let note = match wish {
            Wish::Change(change) => Note::Asked { attempt, change: change.clone() },
            _ => Note::AskedToRead { attempt },
        };
        self.note(connection, note);
    }

    /// The connection has ended before the answer.
    pub(super) fn in_doubt(&mut self, connection: u64, attempt: u64, wish: Wish, lost: bool) {
        if let Wish::Change(change) = wish {
            self.note(connection, Note::InDoubt { attempt, lost });
            self.mind.in_doubt(change);
        }
    }

    /// It was refused; `true` if it is to be asked again, later.
    pub(super) fn refused(&mut self, connection: u64, attempt: u64, code: chappe_proto::Code, wish: Wish) -> bool {
        self.note(connection, Note::Refused { attempt, code });
        match wish {
            Wish::Change(change) if code.retryable() => {
                self.mind.later(change);
                true
            }
            _ => code.retryable(),
        }
    }

    /// It was done.
    pub(super) fn acked(
        &mut self,
        connection: u64,
        attempt: u64,
        ack: crate::history::Ack,
        asked: Change,
        at: Instant,
    ) {
        self.recorder.took(true, at.elapsed());
        self.mind.done(asked, &ack);
        self.note(connection, Note::Acked { attempt, ack });
    }
}
