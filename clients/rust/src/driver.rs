//! The task behind a client: connects, moves packets between the socket and the [`Core`], keeps the time.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use chappe_proto::Code;
use chappe_proto::frame::ClientFrame;
use chappe_proto::request::{Ping, Request};
use rustls::ClientConfig;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::backoff::Backoff;
use crate::client::{Order, Outcome, SendError};
use crate::connect;
use crate::connection::Connection;
use crate::core::{Core, Step, Update};
use crate::disconnect::{Disconnect, Next};
use crate::options::{Options, TokenSource};

/// How long the program may take to come by a token.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the server may take for its `Welcome`.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(30);
/// Requests wait in the outbox while so much waits to be written.
const QUEUED_BYTES: usize = 256 * 1024;
/// Requests queued at a time.
const AT_A_TIME: usize = 64;
/// How often a fresh token may be refused as too old before the client gives up.
const STALE_TOKENS: u32 = 3;

pub(crate) struct Driver {
    options: Options,
    tls: Option<Arc<ClientConfig>>,
    core: Core,
    backoff: Backoff,
    /// Between attempts to renew the token.
    renewals: Backoff,
    desk: Desk,
    /// Tokens refused in a row as too old.
    stale_tokens: u32,
    /// How often the server lets itself be heard.
    heartbeat: Duration,
}

/// The program's side: what it orders, and what it is to be told.
struct Desk {
    orders: mpsc::Receiver<Order>,
    /// No program can order anything any more.
    orders_ended: bool,
    /// `None` once nobody listens.
    updates: Option<mpsc::Sender<Update>>,
    pending: VecDeque<Update>,
    replies: HashMap<u64, oneshot::Sender<Outcome>>,
}

/// What the program's side brought.
enum Brought {
    Order(Order),
    Nothing,
    /// Nobody is there any more.
    Closed,
}

impl Driver {
    pub(crate) fn new(
        options: Options,
        tls: Option<Arc<ClientConfig>>,
        core: Core,
        backoff: Backoff,
        orders: mpsc::Receiver<Order>,
        updates: mpsc::Sender<Update>,
    ) -> Self {
        let desk = Desk {
            orders,
            orders_ended: false,
            updates: Some(updates),
            pending: VecDeque::new(),
            replies: HashMap::new(),
        };
        let renewals = backoff.clone();
        Self { options, tls, core, backoff, renewals, desk, stale_tokens: 0, heartbeat: WELCOME_TIMEOUT }
    }

    pub(crate) async fn run(mut self) {
        loop {
            let Err(reason) = self.connection().await else { return };
            let was_live = self.core.is_live();
            self.core.lost();
            let wait = self.wait_after(&reason, was_live);
            self.desk.pending.push_back(Update::Disconnected { reason: reason.clone(), retry_in: wait });
            let Some(wait) = wait else { return self.desk.end(reason).await };
            if self.meanwhile(sleep(wait)).await.is_none() {
                return;
            }
        }
    }

    /// How long to wait before the next attempt; `None` to give up.
    fn wait_after(&mut self, reason: &Disconnect, was_live: bool) -> Option<Duration> {
        if matches!(reason, Disconnect::Refused(refusal) if refusal.code == Code::TokenExpired) {
            self.stale_tokens += 1;
            if self.options.token.is_none() || self.stale_tokens >= STALE_TOKENS {
                return None;
            }
        }
        match reason.next() {
            // It was the protocol until then.
            Next::Stop if was_live && matches!(reason, Disconnect::Unexpected(_)) => {
                Some(self.backoff.next((self.options.random)()))
            }
            Next::Stop => None,
            Next::In(wait) => Some(wait),
            Next::AtOnce if was_live => Some(Duration::ZERO),
            Next::AtOnce | Next::BackOff => Some(self.backoff.next((self.options.random)())),
        }
    }

    /// Does `work`, and takes orders beside it. `None` if nobody is there any more.
    async fn meanwhile<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::pin!(work);
        loop {
            let has_room = self.core.has_room();
            tokio::select! {
                done = &mut work => return Some(done),
                brought = self.desk.next(has_room) => match brought {
                    Brought::Order(order) => drop(self.order(order)),
                    Brought::Nothing => {}
                    Brought::Closed => return None,
                }
            }
        }
    }

    /// One connection, from its beginning to its end. `Ok` if nobody is there any more.
    async fn connection(&mut self) -> Result<(), Disconnect> {
        let (address, tls, source) = (self.options.address.clone(), self.tls.clone(), self.options.token.clone());
        let begin = async move {
            let token = token(source).await?;
            Ok::<_, Disconnect>((token, connect::open(&address, tls).await?))
        };
        let Some(begun) = self.meanwhile(begin).await else { return Ok(()) };
        let (token, io) = begun?;
        let mut connection = Connection::new(io);
        connection.queue(&self.core.hello(token));
        let mut heard = Instant::now();
        let mut asked = false;
        let mut pause = None;
        let mut renewal = None;
        loop {
            if connection.queued_bytes() < QUEUED_BYTES {
                let due = self.core.due(AT_A_TIME);
                self.carry_out(due, &mut connection, &mut pause, &mut renewal)?;
            }
            let reads = self.desk.pending.is_empty();
            let has_room = self.core.has_room();
            let patience = if self.core.is_live() { self.heartbeat } else { WELCOME_TIMEOUT };
            let silence = heard + if asked { patience * 5 / 2 } else { patience };
            let mut step = Step::default();
            tokio::select! {
                turn = connection.turn(reads) => {
                    turn?;
                    (heard, asked) = (Instant::now(), false);
                    while let Some((request_id, packet)) = connection.take()? {
                        let next = self.core.take(request_id, packet);
                        self.carry_out(next, &mut connection, &mut pause, &mut renewal)?;
                    }
                }
                brought = self.desk.next(has_room) => match brought {
                    Brought::Order(order) => step = self.order(order),
                    // While the program did not read, we did not listen.
                    Brought::Nothing => heard = if reads { heard } else { Instant::now() },
                    Brought::Closed => return Ok(()),
                },
                () = until(pause), if pause.is_some() => {
                    pause = None;
                    step = self.core.resume();
                }
                fresh = ready(&mut renewal), if renewal.is_some() => {
                    renewal = None;
                    match fresh {
                        Ok(token) => connection.queue(&self.core.hello(token)),
                        Err(reason) => step.updates.push(Update::NotRenewed { reason }),
                    }
                }
                () = sleep_until(silence), if reads => {
                    if asked || !self.core.is_live() {
                        return Err(Disconnect::Silent(silence - heard));
                    }
                    asked = true;
                    connection.queue(&ClientFrame { request_id: None, request: Request::Ping(Ping::default()) });
                }
            }
            self.carry_out(step, &mut connection, &mut pause, &mut renewal)?;
        }
    }
}

type Renewal = Option<std::pin::Pin<Box<dyn Future<Output = Result<Option<String>, Disconnect>> + Send>>>;

impl Driver {
    /// Does what follows from a packet.
    fn carry_out<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
        &mut self,
        step: Step,
        connection: &mut Connection<T>,
        pause: &mut Option<Instant>,
        renewal: &mut Renewal,
    ) -> Result<(), Disconnect> {
        step.send.iter().for_each(|frame| connection.queue(frame));
        for update in step.updates {
            match &update {
                Update::Connected(welcome) => {
                    self.stale_tokens = 0;
                    self.renewals.reset();
                    self.heartbeat = Duration::from_millis(welcome.heartbeat_ms.max(1000).into());
                }
                Update::CaughtUp => self.backoff.reset(),
                Update::Renewed(_) => self.renewals.reset(),
                Update::NotRenewed { .. } => {
                    let (source, wait) = (self.options.token.clone(), self.renewals.next((self.options.random)()));
                    *renewal = Some(Box::pin(async move {
                        sleep(wait).await;
                        token(source).await
                    }));
                }
                _ => {}
            }
            self.desk.pending.push_back(update);
        }
        for (key, outcome) in step.settled {
            if let Some(reply) = self.desk.replies.remove(&key) {
                // Who no longer waits does not want to know.
                let _ = reply.send(outcome.map_err(SendError::from));
            }
        }
        if let Some(ms) = step.pause_ms {
            let end = Instant::now() + Duration::from_millis(ms.into());
            *pause = Some(pause.map_or(end, |other| end.max(other)));
        }
        if step.renew && renewal.is_none() && self.options.token.is_some() {
            *renewal = Some(Box::pin(token(self.options.token.clone())));
        }
        step.end.map_or(Ok(()), |end| Err(end.into()))
    }

    /// Takes an order; what is to be sent at once.
    fn order(&mut self, order: Order) -> Step {
        match order {
            Order::Ask(request, reply) => {
                match self.core.put(request) {
                    Some(key) => drop(self.desk.replies.insert(key, reply)),
                    // Not reached: orders are taken only while there is room.
                    None => drop(reply.send(Err(SendError::Closed))),
                }
                Step::default()
            }
            Order::Tell(request) if self.core.is_live() => {
                Step { send: vec![ClientFrame { request_id: None, request }], ..Step::default() }
            }
            Order::Tell(_) => Step::default(),
            Order::Status(text) => self.core.status(text),
            Order::Subscribe(chat, from) => self.core.subscribe(chat, from),
            Order::Unsubscribe(chat) => self.core.unsubscribe(chat),
        }
    }
}

impl Desk {
    /// Hands over what is pending, or takes an order. May be given up.
    async fn next(&mut self, has_room: bool) -> Brought {
        if self.updates.is_none() {
            self.pending.clear();
        }
        let takes = has_room && !self.orders_ended;
        let (updates, pending) = (&self.updates, &mut self.pending);
        let handed = async {
            let Some(updates) = updates else { return std::future::pending().await };
            if pending.is_empty() {
                updates.closed().await;
                return false;
            }
            let Ok(permits) = updates.reserve_many(1).await else { return false };
            permits.zip(pending.drain(..1)).for_each(|(permit, update)| permit.send(update));
            let rest = pending.len().min(updates.capacity());
            let Ok(permits) = updates.try_reserve_many(rest) else { return true };
            permits.zip(pending.drain(..rest)).for_each(|(permit, update)| permit.send(update));
            true
        };
        let (listens, order) = tokio::select! {
            listens = handed => (listens, None),
            order = self.orders.recv(), if takes => (true, Some(order)),
        };
        if !listens {
            self.updates = None;
        }
        match order {
            Some(Some(order)) => return Brought::Order(order),
            Some(None) => self.orders_ended = true,
            None => {}
        }
        if self.orders_ended && self.updates.is_none() { Brought::Closed } else { Brought::Nothing }
    }

    /// There is no next attempt: everybody is told, and goes home.
    async fn end(mut self, reason: Disconnect) {
        for (_, reply) in self.replies.drain() {
            let _ = reply.send(Err(SendError::Stopped(reason.clone())));
        }
        self.orders.close();
        while let Some(order) = self.orders.recv().await {
            if let Order::Ask(_, reply) = order {
                let _ = reply.send(Err(SendError::Stopped(reason.clone())));
            }
        }
        if let Some(updates) = self.updates {
            for update in self.pending {
                if updates.send(update).await.is_err() {
                    return;
                }
            }
        }
    }
}

async fn token(source: Option<TokenSource>) -> Result<Option<String>, Disconnect> {
    let Some(source) = source else { return Ok(None) };
    match timeout(TOKEN_TIMEOUT, source()).await {
        Ok(Ok(token)) => Ok(Some(token)),
        Ok(Err(error)) => Err(Disconnect::NoToken(error.to_string())),
        Err(_) => Err(Disconnect::NoToken("its source does not answer".to_owned())),
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

async fn ready(renewal: &mut Renewal) -> Result<Option<String>, Disconnect> {
    match renewal {
        Some(renewal) => renewal.await,
        None => std::future::pending().await,
    }
}
