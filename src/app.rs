//! The server: the engine, its doors, and the way from a start to a clean end. The wiring, on one page.

use std::cell::RefCell;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use actix::prelude::*;
use actix_server::ServerHandle;
use chappe_actors::accounts::store::StoreError;
use chappe_actors::accounts::{self, SubscribeToAccounts};
use chappe_actors::clock::Clock;
use chappe_actors::engine::compact::Compacted;
use chappe_actors::engine::{self, Engine, EngineError, Verified};
use chappe_actors::hub::{AddressRates, Addresses, ConnectionLimits, HubSettings};
use chappe_actors::messages::{CloseAll, EngineLink, Retire};
use chappe_actors::metrics::metrics;
use chappe_actors::principal::Auth;
use chappe_actors::state::Settings;
use chappe_actors::udp_session::UdpKeys;
use chappe_actors::vital;
use chappe_proto::UserId;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::auth::{self, AuthError, SecretError};
use crate::config::{AuthMode, Config, Shutdown};
use crate::doors::{Doors, Hubs};
use crate::exit::Exit;
use crate::files;
use crate::http::origin::{Origins, Policy};
use crate::http::{Answering, Tokens};
use crate::listeners::{ListenError, Listeners};
use crate::logging::Filter;
use crate::reload::{Reload, Reread};
use crate::tls::{self, Keeper, Tls, TlsError};

/// How long a stop waits for what is on its way to the disk.
const DRAIN: Duration = Duration::from_secs(20);
/// How long a stop waits for the connections to take their goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// What is listening where, once the server is ready.
#[derive(Debug, Clone)]
pub struct Ready {
    /// The HTTP and WebSocket door.
    pub http: SocketAddr,
    /// The TCP door, unless it is off.
    pub tcp: Option<SocketAddr>,
    /// The UDP door, unless it is off.
    pub udp: Option<SocketAddr>,
    /// The data folder.
    pub data: PathBuf,
    /// Whether clients are believed who they are.
    pub open_mode: bool,
    /// How to make the first token, where nobody can have one yet: a command line.
    pub first_token: Option<String>,
    /// How long the start took.
    pub started_in: Duration,
    /// The SHA-256 of the certificate, where there is TLS.
    pub fingerprint: Option<String>,
    /// Whether nobody vouches for it.
    pub self_signed: bool,
    /// How many messages there are.
    pub messages: u64,
    /// How many chats there are.
    pub chats: u64,
}

/// Why a server could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// An allowed origin is none.
    #[error("allowed_origins: {0}")]
    Origin(String),
    /// There is no TLS with these files.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    /// The keys of tokens cannot be used.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The accounts cannot be used.
    #[error(transparent)]
    Accounts(#[from] StoreError),
    /// The engine did not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// No time that is written down would be right.
    #[error("the machine's clock shows a time {0}: set it (chrony, systemd-timesyncd), and start again")]
    Clock(&'static str),
    /// The operating system refused something.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
}

impl AppError {
    /// What the process ends with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Listen(_) => Exit::Address,
            Self::Tls(TlsError::Write { source, .. }) => source.into(),
            Self::Origin(_) | Self::Tls(_) | Self::Auth(AuthError::Key { .. }) => Exit::Configuration,
            Self::Engine(error) => error.into(),
            Self::Accounts(error) => error.into(),
            Self::Auth(AuthError::Secret(SecretError::Io { source, .. })) => source.into(),
            // The clock may be set right any moment.
            Self::Auth(_) | Self::System { .. } | Self::Clock(_) => Exit::Failed,
        }
        .code()
    }
}

/// Runs until a stop is asked for (SIGTERM, Ctrl-C). SIGHUP has it ask `reread` for new settings; the filter of the `log` is
/// one.
///
/// # Errors
/// [`AppError`]: the server could not start.
pub fn run(config: &Config, log: Filter, reread: Reread, on_ready: impl FnOnce(&Ready)) -> Result<(), AppError> {
    let began = Instant::now();
    refuse_clock(SystemTime::now())?;
    vital::guard_panics();
    files::allow(config.connection_limits.all);
    let listeners = Listeners::bind(config)?;
    let origins = origins(config, listeners.http.address)?;
    let system = |what| move |source| AppError::System { what, source };
    let mut ready = Ready {
        http: listeners.http.address,
        tcp: listeners.tcp.as_ref().map(|door| door.address),
        udp: listeners.udp.as_ref().map(|door| door.address),
        data: config.data.clone(),
        open_mode: true,
        first_token: None,
        started_in: Duration::ZERO,
        fingerprint: None,
        self_signed: config.tls.self_signed,
        messages: 0,
        chats: 0,
    };
    System::new().block_on(async {
        // From here on it does not end the process.
        let hangup = signal(SignalKind::hangup()).map_err(system("listen for signals"))?;
        let mut engine = Engine::start(&config.data, settings(config), epoch())?;
        engine.retain(config.retention).map_err(system("start a thread"))?;
        let auth::Loaded { auth, authority, first_token } = auth::load(config)?;
        ready.open_mode = matches!(auth, Auth::Open);
        ready.first_token = first_token;
        let accounts = match authority.clone() {
            Some(authority) => Some((authority, accounts::start(&config.data, engine.clock, engine.passed)?)),
            None => None,
        };
        let (denier, denials) = match &accounts {
            Some((_, accounts)) => (Some(accounts.actor.clone().recipient()), accounts.denials.as_slice().into()),
            None => (None, Arc::default()),
        };
        metrics().outbox_limit_bytes.set(i64::try_from(config.outboxes_bytes).unwrap_or(i64::MAX));
        let hub = HubSettings {
            limits: config.limits,
            connection_limits: config.connection_limits,
            addresses: addresses(config, engine.clock),
            heartbeat: config.heartbeat,
            clock: engine.clock,
            passed: engine.passed,
            udp: ready.udp.filter(|_| !ready.open_mode).map(|_| udp_keys()).transpose()?,
            auth,
            denials,
            denier,
        };
        let tokens = match accounts {
            Some((authority, accounts)) => {
                // Accounts that were made while no server ran have users before anybody can ask.
                let (new, free) = (engine.cache.clone().recipient(), engine.cache.clone().recipient());
                // It cannot be gone: nothing stops it.
                let _ = accounts.actor.send(SubscribeToAccounts { new, free }).await;
                Some(Tokens::new(authority, accounts.actor))
            }
            None => None,
        };
        // After the engine: the data folder is there now, and nobody else's.
        let keeper = tls::files(config)?.map(tls::Keeper::start).transpose()?.map(Rc::new);
        let doors = Doors {
            config,
            hubs: Hubs::new(hub, EngineLink::from(&engine.cache)),
            origins: Origins::from(origins),
            answering: Answering::default(),
            tokens,
            tls: keeper.as_deref().map(Keeper::tls),
        };
        let server = doors.open(listeners.http, listeners.tcp).map_err(system("serve"))?;
        let handle = server.handle();
        let serving = actix_rt::spawn(server);
        if let Some(door) = listeners.udp {
            doors.datagrams(door);
        }
        if let Some(keeper) = &keeper {
            let keeper = Rc::clone(keeper);
            actix_rt::spawn(async move { keeper.watch().await });
        }
        ready.fingerprint = doors.tls.as_ref().map(Tls::fingerprint);
        let reload = Rc::new(Reload {
            reread,
            log,
            origins: doors.origins.clone(),
            loopback: ready.http.ip().to_canonical().is_loopback(),
            tls: keeper,
            engine: engine.cache.clone(),
            clock: engine.clock,
            authority,
            started: config.clone(),
            current: RefCell::new(config.clone()),
        });
        actix_rt::spawn(reload_at(hangup, Rc::clone(&reload)));
        ready.started_in = began.elapsed();
        (ready.messages, ready.chats) = (engine.messages, engine.chats);
        // Before anybody is told: who started the server may stop it in the same breath.
        let asked_to_stop = asked_to_stop().map_err(system("listen for signals"))?;
        on_ready(&ready);
        asked_to_stop.await;
        stop(engine, &handle, &doors.answering, reload.shutdown()).await;
        drop(serving.await);
        Ok(())
    })
}

/// The last second that can be told in a header of HTTP.
const LAST_SECOND: u64 = 253_402_300_799;

/// Refuses a clock by which nothing can be dated.
fn refuse_clock(now: SystemTime) -> Result<(), AppError> {
    match now.duration_since(UNIX_EPOCH) {
        Err(_) => Err(AppError::Clock("before 1970")),
        Ok(since) if since.as_secs() > LAST_SECOND => Err(AppError::Clock("after the year 9999")),
        Ok(_) => Ok(()),
    }
}

/// What UDP sessions are made from: other bytes at every start.
fn udp_keys() -> Result<UdpKeys, AppError> {
    let mut random = [0; 32];
    let chance = |_| AppError::System { what: "make random bytes", source: io::Error::other("there are none") };
    aws_lc_rs::rand::fill(&mut random).map_err(chance)?;
    Ok(UdpKeys::new(&random))
}

/// Whose pages may use a server that listens there.
fn origins(config: &Config, http: SocketAddr) -> Result<Policy, AppError> {
    let loopback = http.ip().to_canonical().is_loopback();
    Policy::new(&config.http_server.allowed_origins, loopback).map_err(|error| AppError::Origin(error.to_string()))
}

/// Rebuilds the query tables from the log beside the live ones and compares.
///
/// # Errors
/// [`AppError`]: the folder is in use, or the log cannot be read.
pub fn verify(config: &Config) -> Result<Verified, AppError> {
    Ok(engine::verify(&config.data, settings(config))?)
}

/// Rewrites the log without what is not kept any more.
///
/// # Errors
/// [`AppError`]: the folder is in use, or the disk does not take it.
pub fn compact(config: &Config) -> Result<Compacted, AppError> {
    Ok(engine::compact::compact(&config.data, settings(config))?)
}

/// Erases a user.
///
/// # Errors
/// [`AppError`]: the folder is in use, nobody knows the user, or the disk does not take it.
pub fn erase(config: &Config, user: UserId) -> Result<Compacted, AppError> {
    Ok(engine::compact::erase(&config.data, settings(config), user, Clock::default().now())?)
}

fn settings(config: &Config) -> Settings {
    let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    Settings {
        limits: config.limits,
        messages_per_chat: size(config.cache.messages_per_chat),
        cache_bytes: usize::try_from(config.cache.bytes).unwrap_or(usize::MAX),
        pending_writes: size(config.pending_writes),
        heartbeat_ms: u32::try_from(config.heartbeat.as_millis()).unwrap_or(u32::MAX),
        connections_per_user: config.connection_limits.per_user,
        open: config.auth.mode == AuthMode::Open,
        epoch: 0,
    }
}

fn addresses(config: &Config, clock: Clock) -> Addresses {
    let ConnectionLimits { ip_connection_rate, ip_request_rate, .. } = config.connection_limits;
    Addresses::new(Arc::new(AddressRates::new(ip_connection_rate, ip_request_rate, clock)))
}

/// A number that a log which begins now has for itself: the time, in milliseconds.
fn epoch() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(1)
}

/// Reads the settings again at every SIGHUP.
async fn reload_at(mut hangup: Signal, reload: Rc<Reload>) {
    while hangup.recv().await.is_some() {
        reload.again();
    }
}

/// Listens for SIGTERM and Ctrl-C from now on; what is returned waits for one. After it another one ends the process at
/// once.
fn asked_to_stop() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let had_terminal = io::stderr().is_terminal();
    let mut wait = async move || {
        loop {
            tokio::select! {
                _ = terminate.recv() => return "SIGTERM",
                _ = interrupt.recv() => return "SIGINT",
                // The window that it was started in was closed.
                _ = hangup.recv() => if had_terminal && !io::stderr().is_terminal() {
                    return "SIGHUP";
                },
            }
        }
    };
    Ok(async move {
        let signal = wait().await;
        tracing::info!(signal, "stop: finish what was taken");
        actix_rt::spawn(async move {
            wait().await;
            tracing::warn!("stop at once: asked a second time");
            std::process::exit(Exit::Interrupted.code().into());
        });
    })
}

/// Finishes what was taken, says goodbye, and closes the log.
async fn stop(engine: Engine, server: &ServerHandle, requests: &Answering, shutdown: Shutdown) {
    engine.cache.do_send(Retire);
    // Whoever sends us requests may notice, and stop.
    tokio::time::sleep(shutdown.delay).await;
    server.pause().await;
    requests.end_connections();
    if !engine.drain(DRAIN).await {
        tracing::warn!("stop with writes under way: they were not acknowledged");
    }
    let reconnect_within_ms = u32::try_from(shutdown.reconnect_within.as_millis()).unwrap_or(u32::MAX);
    engine.cache.do_send(CloseAll { reconnect_within_ms });
    let deadline = Instant::now() + GOODBYE;
    let [websocket, tcp, _] = &metrics().connections;
    while websocket.get() + tcp.get() > 0 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Whatever it was: they did not wait to be told goodbye, but for an answer.
    let left = deadline.saturating_duration_since(Instant::now());
    let _ = tokio::time::timeout(left, requests.are_over()).await;
    server.stop(false).await;
    engine.stop();
    tracing::info!("stopped");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_one_also_where_a_certificate_is_made() {
        let (path, source) = (PathBuf::from("tls-key.pem"), io::ErrorKind::StorageFull.into());
        assert_eq!(AppError::from(TlsError::Write { path, source }).exit_code(), 11);
    }

    #[test]
    fn a_clock_that_shows_no_time_of_ours_is_refused() {
        let second = Duration::from_secs(1);
        let last = UNIX_EPOCH + Duration::from_secs(LAST_SECOND);
        for (now, told) in [(UNIX_EPOCH - second, "before 1970"), (last + second, "after the year 9999")] {
            let refused = refuse_clock(now).unwrap_err();
            assert!(refused.to_string().contains(told), "{refused}");
            assert_eq!(refused.exit_code(), 1, "the clock may be set meanwhile");
        }
        for now in [UNIX_EPOCH, last, SystemTime::now()] {
            assert!(refuse_clock(now).is_ok());
        }
    }
}
