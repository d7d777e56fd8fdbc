//! The load: people who write, change, delete, react, read, come and go, through every door, and go on whatever happens to
//! the server. All of them live on one thread, and write down what happens to them.

mod asking;
mod library;
mod mind;
mod person;
mod recorder;
mod talking;

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::mpsc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;

use self::mind::Mind;
use self::person::Person;
pub use self::recorder::{Recorder, Timing};
use crate::dice::Dice;
use crate::liar::{self, Lie};
use crate::server::Doors;
use crate::trouble::Trouble;
use crate::wire::Door;

/// Owns the chats, and lets people in and out.
pub const OWNER: u64 = 1;
/// Are in every chat from the beginning, and stay.
pub const MEMBERS: [u64; 8] = [2, 3, 4, 5, 6, 7, 8, 9];
/// Are let in and shown out.
pub const WANDERERS: [u64; 3] = [10, 11, 12];
/// Uses the client library.
pub const LIBRARY: u64 = 13;

/// What the crowd does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// All sorts of things.
    Talk,
    /// Nothing new; what is in doubt is asked again until it is answered.
    Rest,
    /// Goes home once it has heard so far in each chat.
    Finish(BTreeMap<u64, u64>),
}

/// What everybody knows.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Where clients find the server, while there is one.
    pub doors: Option<Doors>,
    /// Where it takes TCP itself, for whoever stands between.
    pub tcp: Option<String>,
    /// What is to be done.
    pub act: Act,
}

/// Who takes part, and how.
#[derive(Debug)]
pub struct Cast {
    /// The chats.
    pub chats: Vec<u64>,
    /// What the dice are made of.
    pub seed: u64,
    /// How long a client waits between two requests; not at all, if not said.
    pub pace: Option<Duration>,
    /// The doors that the members go through.
    pub doors: Vec<Door>,
    /// Where the TCP clients connect if not to the server, and what they are told there.
    pub lie: Option<(TcpListener, Lie)>,
}

impl Cast {
    /// How many tell that they rest.
    pub fn size(&self) -> usize {
        let everybody = 1 + MEMBERS.len() + WANDERERS.len();
        if self.lie.is_some() { everybody } else { everybody + 1 }
    }
}

/// Plays until all have gone home. To be called on a thread of its own.
///
/// # Errors
/// [`Trouble`] if clients cannot go on, whatever the server does.
pub fn play(
    cast: Cast,
    scene: &watch::Receiver<Scene>,
    recorder: &Recorder,
    rested: &mpsc::Sender<u64>,
) -> Result<(), Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(everybody(cast, scene, recorder, rested))
}

async fn everybody(
    cast: Cast,
    scene: &watch::Receiver<Scene>,
    recorder: &Recorder,
    rested: &mpsc::Sender<u64>,
) -> Result<(), Trouble> {
    let mut dice = Dice::new(cast.seed);
    let users = [OWNER].into_iter().chain(MEMBERS).chain(WANDERERS);
    let people = users.map(|user| {
        let doors = if user == OWNER { vec![Door::Http] } else { cast.doors.clone() };
        Person {
            mind: Mind::new(user, cast.chats.clone(), dice.fork()),
            doors,
            pace: cast.pace,
            recorder: recorder.clone(),
            rested: Some(rested.clone()),
        }
    });
    let people: Vec<Person> = people.collect();
    let library_dice = dice.fork();
    let between = match cast.lie {
        Some((listener, lie)) => {
            tokio::spawn(liar::lie(listener, scene.clone(), lie, dice.fork()));
            None
        }
        None => {
            let listener = TcpListener::bind("127.0.0.1:0").map_err(Trouble::machine("find a port"))?;
            let address = listener.local_addr().map_err(Trouble::machine("find a port"))?;
            tokio::spawn(liar::pass_on(listener, scene.clone()));
            Some(address)
        }
    };
    let library = async {
        let Some(address) = between else { return Ok(()) };
        library::play(address, &cast.chats, library_dice, cast.pace, scene.clone(), recorder, rested).await
    };
    let playing = people.into_iter().map(|person| person.play(scene.clone()));
    let (library, _) = tokio::join!(library, join_all(playing));
    library
}
