//! One client of `chappe bench recover`: the library's core over a connection of its own, and an account of what came.

use std::collections::HashMap;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use chappe_client::core::{Core, Profile, Step};
use chappe_client::{Backoff, Connection, Disconnect, Positions, Start, Update, random};
use chappe_proto::ChatId;
use chappe_proto::packet::Packet;
use chappe_proto::request::Request;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until, timeout};

use super::setup::user;

/// Between the first connections: so that setting up is no storm.
const APART: Duration = Duration::from_micros(500);
/// How long a session may take to stand and catch up.
const SESSION_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a client tries.
const ATTEMPTS: u32 = 50;

/// What all clients do.
#[derive(Debug, Clone)]
pub(super) enum Stage {
    /// Connect, and hear.
    Connect,
    /// Be without a connection.
    Cut,
    /// Come back, from this moment on, and come so far in each chat.
    Recover(Instant, Arc<HashMap<ChatId, u64>>),
    /// Go home.
    Finish,
}

/// What a client says of itself.
#[derive(Debug)]
pub(super) enum Said {
    /// The stage is done.
    Done,
    /// It cannot be.
    Failed(String),
}

/// What a client found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// When it began to come back, and when it was complete.
    pub(super) recovered: Option<(Instant, Instant)>,
    /// Of the connection, of `Hello`, and of what was asked after it.
    pub(super) round_trips: u32,
    pub(super) attempts: u32,
    pub(super) events: u64,
    pub(super) presence: u64,
    /// What was not as promised.
    pub(super) failure: Option<String>,
}

/// A client's life.
pub(super) async fn live(
    address: String,
    index: usize,
    began: Instant,
    within: Duration,
    mut stages: watch::Receiver<Stage>,
    say: mpsc::Sender<Said>,
) -> Found {
    let mut one = One::new(address, index);
    let wait = APART * u32::try_from(index).unwrap_or(u32::MAX);
    sleep_until((began + wait).into()).await;
    let tell = |result: Result<(), String>| {
        // Nobody listens any more once another client has failed.
        let _ = say.send(result.map_or_else(Said::Failed, |()| Said::Done));
    };
    let connection = one.arrive().await;
    tell(connection.as_ref().map(drop).map_err(|why| format!("client {index} cannot connect: {why}")));
    let Ok(mut connection) = connection else { return one.found };
    one.hear(&mut connection, &mut stages).await;
    drop(connection);
    one.core.lost();
    (one.found.presence, one.found.attempts) = (0, 0);
    tell(Ok(()));
    let Ok(stage) = stages.wait_for(|stage| matches!(stage, Stage::Recover(..))).await.map(|stage| stage.clone())
    else {
        return one.found;
    };
    let Stage::Recover(start, heads) = stage else { return one.found };
    one.goal = Some(heads);
    sleep_until((start + within).into()).await;
    let begins = Instant::now();
    match one.arrive().await {
        Ok(mut connection) => {
            one.found.recovered = Some((begins, Instant::now()));
            tell(Ok(()));
            one.hear(&mut connection, &mut stages).await;
        }
        Err(why) => {
            one.found.failure = Some(format!("client {index} did not recover: {why}"));
            tell(Ok(()));
        }
    }
    one.found
}

struct One {
    address: String,
    core: Core,
    /// The last event of each chat.
    account: HashMap<ChatId, u64>,
    /// How far it has to come; `None` the first time.
    goal: Option<Arc<HashMap<ChatId, u64>>>,
    caught_up: bool,
    found: Found,
}

impl One {
    fn new(address: String, index: usize) -> Self {
        let profile = Profile { user_id: user(index).ok(), agent: None, start: Start::Newest, zstd: false };
        let core = Core::new(profile, Positions::default(), 1);
        Self { address, core, account: HashMap::new(), goal: None, caught_up: false, found: Found::default() }
    }

    /// Connects until a session stands that has everything.
    async fn arrive(&mut self) -> Result<Connection<TcpStream>, Disconnect> {
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(10));
        loop {
            self.found.attempts += 1;
            let session = timeout(SESSION_TIMEOUT, self.session()).await;
            match session.unwrap_or(Err(Disconnect::Silent(SESSION_TIMEOUT))) {
                Ok(connection) => return Ok(connection),
                Err(error) if self.found.attempts >= ATTEMPTS => return Err(error),
                Err(error) => {
                    self.core.lost();
                    if let chappe_client::Next::Stop = error.next() {
                        return Err(error);
                    }
                    sleep(backoff.next(random())).await;
                }
            }
        }
    }

    async fn session(&mut self) -> Result<Connection<TcpStream>, Disconnect> {
        let lost = |error: std::io::Error| Disconnect::Lost(error.to_string());
        let stream = TcpStream::connect(&self.address).await.map_err(lost)?;
        stream.set_nodelay(true).map_err(lost)?;
        let mut connection = Connection::new(stream);
        connection.queue(&self.core.hello(None));
        self.caught_up = false;
        // The connection's own and that of `Hello`.
        let mut trips = 2;
        while !self.is_complete() {
            connection.turn(true).await?;
            let mut asks = false;
            while let Some((request_id, packet)) = connection.take()? {
                let step = self.take(request_id, packet)?;
                asks |=
                    step.send.iter().any(|frame| matches!(frame.request, Request::GetEvents(_) | Request::GetChats(_)));
                step.send.iter().for_each(|frame| connection.queue(frame));
            }
            // Answers that come in pieces do not make a trip longer: one is counted where something new is asked.
            trips += u32::from(asks);
        }
        self.found.round_trips = self.found.round_trips.max(trips);
        Ok(connection)
    }

    /// Reads until the stage changes.
    async fn hear(&mut self, connection: &mut Connection<TcpStream>, stages: &mut watch::Receiver<Stage>) {
        stages.mark_unchanged();
        if matches!(*stages.borrow(), Stage::Cut | Stage::Finish) {
            return;
        }
        loop {
            tokio::select! {
                _ = stages.changed() => return,
                turn = connection.turn(true) => {
                    let heard = turn.and_then(|()| {
                        while let Some((request_id, packet)) = connection.take()? {
                            let step = self.take(request_id, packet)?;
                            step.send.iter().for_each(|frame| connection.queue(frame));
                        }
                        Ok(())
                    });
                    if let Err(error) = heard {
                        self.fail(format!("a connection ended by itself: {error}"));
                        return;
                    }
                }
            }
        }
    }

    fn take(&mut self, request_id: Option<u64>, packet: Packet) -> Result<Step, Disconnect> {
        self.found.presence += u64::from(matches!(packet, Packet::Status(_) | Packet::Presence(_)));
        let mut step = self.core.take(request_id, packet);
        for update in std::mem::take(&mut step.updates) {
            match update {
                Update::Connected(welcome) => {
                    for head in welcome.heads.iter().flatten().filter(|_| self.goal.is_none()) {
                        self.account.insert(head.chat_id, head.seq.0);
                    }
                }
                Update::CaughtUp => self.caught_up = true,
                Update::Event(event) => {
                    let (chat, seq) = (event.chat_id(), event.seq().0);
                    let last = self.account.insert(chat, seq).unwrap_or(seq - 1);
                    if seq != last + 1 {
                        self.fail(format!("event {seq} of chat {chat} came after {last}"));
                    }
                    self.found.events += 1;
                }
                Update::Skipped { .. } | Update::Afresh { .. } | Update::Gone { .. } => {
                    self.fail(format!("not expected: {update:?}"));
                }
                _ => {}
            }
        }
        match step.end.take() {
            Some(end) => Err(end.into()),
            None => Ok(step),
        }
    }

    fn fail(&mut self, why: String) {
        self.found.failure.get_or_insert(why);
    }

    /// Every event of every chat has come. Exactly once: each was held against the one before it.
    fn is_complete(&self) -> bool {
        let Some(goal) = &self.goal else { return self.caught_up };
        let there = |(chat, last): (&ChatId, &u64)| goal.get(chat).is_none_or(|head| last >= head);
        self.caught_up && self.account.iter().all(there)
    }
}
