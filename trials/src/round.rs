//! A crowd around a server that may come and go: from the making of the chats to what all have written down.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use tokio::sync::watch;

use crate::crowd::{self, Act, Cast, Recorder, Scene, Timing, WANDERERS};
use crate::history::{Entry, History, Kept};
use crate::liar::Lie;
use crate::reading;
use crate::server::Doors;
use crate::trouble::Trouble;
use crate::wire::Door;

/// How long the crowd may take to come to rest.
const PATIENCE: Duration = Duration::from_secs(60);
/// The chats of a round.
const CHATS: usize = 3;

/// A crowd at work. Dropped, it goes home.
#[derive(Debug)]
pub struct Round {
    scene: watch::Sender<Scene>,
    /// Where TCP clients go if not to the server.
    between: Option<String>,
    recorder: Recorder,
    book: mpsc::Receiver<Entry>,
    timings: mpsc::Receiver<Timing>,
    rested: mpsc::Receiver<u64>,
    size: usize,
    crowd: JoinHandle<Result<(), Trouble>>,
    /// The chats of this round.
    pub chats: Vec<u64>,
}

impl Round {
    /// Makes chats, and lets the crowd in.
    ///
    /// # Errors
    /// [`Trouble`] if the chats cannot be made.
    pub fn begin(doors: &Doors, seed: u64, pace: Option<Duration>, lie: Option<Lie>) -> Result<Self, Trouble> {
        let chats = reading::make_chats(doors, CHATS)?;
        let lie = match lie {
            Some(lie) => Some((TcpListener::bind("127.0.0.1:0").map_err(Trouble::machine("find a port"))?, lie)),
            None => None,
        };
        let between = lie.as_ref().and_then(|(listener, _)| listener.local_addr().ok()).map(|at| at.to_string());
        let doors_taken = if lie.is_some() { vec![Door::TcpJson] } else { Door::ALL.to_vec() };
        let cast = Cast { chats: chats.clone(), seed, pace, doors: doors_taken, lie };
        let (scene, watched) = watch::channel(Scene { doors: None, tcp: None, act: Act::Talk });
        let (recorder, book, timings) = Recorder::new();
        let (tell, rested) = mpsc::channel();
        let size = cast.size();
        let writes = recorder.clone();
        let crowd = thread::spawn(move || crowd::play(cast, &watched, &writes, &tell));
        let round = Self { scene, between, recorder, book, timings, rested, size, crowd, chats };
        round.up(doors);
        Ok(round)
    }

    /// There is a server.
    pub fn up(&self, doors: &Doors) {
        self.recorder.spare();
        let mut seen = doors.clone();
        seen.tcp = self.between.clone().unwrap_or(seen.tcp);
        let tcp = Some(doors.tcp.clone());
        self.scene.send_modify(|scene| (scene.doors, scene.tcp) = (Some(seen), tcp));
    }

    /// There will soon be none: nobody connects any more. Connections that are there go on until they end.
    pub fn down(&self) {
        self.scene.send_modify(|scene| (scene.doors, scene.tcp) = (None, None));
    }

    /// Kills a process the moment so much more is acknowledged.
    pub fn strike_after(&self, more: u64, process: Pid) {
        self.recorder.strike_after(more, process);
    }

    /// How long the answers took that came since it was last asked.
    pub fn timings(&self) -> impl Iterator<Item = Timing> + '_ {
        self.timings.try_iter()
    }

    /// Lets nothing new be said, and waits until all that is in doubt is answered.
    ///
    /// # Errors
    /// [`Trouble::Clients`] if somebody does not come to rest.
    pub fn rest(&self) -> Result<(), Trouble> {
        self.scene.send_modify(|scene| scene.act = Act::Rest);
        let deadline = Instant::now() + PATIENCE;
        let mut resting = BTreeSet::new();
        while resting.len() < self.size {
            match self.rested.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(user) => drop(resting.insert(user)),
                Err(_) => {
                    let what = format!("were not all answered within {PATIENCE:?}; those that were: {resting:?}");
                    return Err(Trouble::Clients(what));
                }
            }
        }
        Ok(())
    }

    /// Waits until all have heard everything; what happened to them.
    ///
    /// # Errors
    /// [`Trouble`] if the server does not answer, or the crowd has broken down.
    pub fn finish(self, doors: &Doors) -> Result<History, Trouble> {
        let heads = reading::heads(doors, &self.chats)?;
        self.scene.send_modify(|scene| scene.act = Act::Finish(heads));
        match self.crowd.join() {
            Ok(played) => played?,
            Err(_) => return Err(Trouble::Clients("have panicked".to_owned())),
        }
        let entries = self.book.try_iter().collect();
        Ok(History { entries, kept: Kept::default(), wandering: WANDERERS.into_iter().collect() })
    }
}
