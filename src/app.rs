//! The server: the engine, its doors, and the way from a start to a clean end. The wiring, on one page.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use actix::prelude::*;
use actix_http::HttpService;
use actix_server::ServerHandle;
use actix_service::{ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::{App, web};
use chappe_actors::accounts::store::StoreError;
use chappe_actors::accounts::{self, SubscribeToAccounts};
use chappe_actors::clock::Clock;
use chappe_actors::engine::{self, Engine, EngineError, Verified};
use chappe_actors::folder::FolderError;
use chappe_actors::hub::{self, AddressRates, Addresses, ConnectionLimits, HubActor, HubSettings};
use chappe_actors::log::LogError;
use chappe_actors::messages::{CloseAll, EngineLink};
use chappe_actors::metrics::metrics;
use chappe_actors::principal::Auth;
use chappe_actors::state::Settings;
use chappe_actors::vital;
use tokio::signal::unix::{SignalKind, signal};

use crate::auth::{self, AuthError};
use crate::config::Config;
use crate::exit::Exit;
use crate::http::origin::Policy;
use crate::http::{self, BODY_TIME, HEALTH_TIME, HttpSettings, Tokens};
use crate::listeners::{Door, ListenError, Listeners};
use crate::transport::http_io::{self, HttpIo};
use crate::transport::tcp::TcpSession;
use crate::transport::udp::UdpHandler;
use crate::transport::{self, HttpConnection, websocket};

/// How often the server lets itself be heard.
const HEARTBEAT: Duration = Duration::from_secs(25);
/// How long a stop waits for what is on its way to the disk.
const DRAIN: Duration = Duration::from_secs(20);
/// How long a stop waits for the connections to take their goodbye.
const GOODBYE: Duration = Duration::from_secs(5);
/// Over how long the connections are told to come back.
const RECONNECT_WITHIN_MS: u32 = 5000;

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
    /// The keys of tokens cannot be used.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The accounts cannot be used.
    #[error(transparent)]
    Accounts(#[from] StoreError),
    /// The engine did not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
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
            Self::Origin(_) | Self::Auth(AuthError::Key { .. }) => Exit::Configuration,
            Self::Engine(EngineError::Folder(FolderError::Locked { .. })) => Exit::Locked,
            Self::Engine(EngineError::Folder(FolderError::DamagedWal { .. })) => Exit::Log,
            Self::Engine(EngineError::Folder(FolderError::Log { source, .. })) => match source {
                LogError::Full(_) => Exit::Failed,
                _ => Exit::Log,
            },
            Self::Engine(_) | Self::Auth(_) | Self::Accounts(_) | Self::System { .. } => Exit::Failed,
        }
        .code()
    }
}

/// Runs until a stop is asked for (SIGTERM, Ctrl-C).
///
/// # Errors
/// [`AppError`]: the server could not start.
pub fn run(config: &Config, on_ready: impl FnOnce(&Ready)) -> Result<(), AppError> {
    let began = Instant::now();
    vital::guard_panics();
    allow_many_files();
    let listeners = Listeners::bind(config)?;
    let system = |what| move |source| AppError::System { what, source };
    let mut ready = Ready {
        http: listeners.http.address,
        tcp: listeners.tcp.as_ref().map(|door| door.address),
        udp: listeners.udp.as_ref().map(|door| door.address),
        data: config.data.clone(),
        open_mode: true,
        first_token: None,
        started_in: Duration::ZERO,
        messages: 0,
        chats: 0,
    };
    System::new().block_on(async {
        let engine = Engine::start(&config.data, settings(config), epoch())?;
        let auth::Loaded { auth, authority, first_token } = auth::load(config)?;
        ready.open_mode = matches!(auth, Auth::Open);
        ready.first_token = first_token;
        let accounts = match authority {
            Some(authority) => Some((authority, accounts::start(&config.data, engine.clock)?)),
            None => None,
        };
        let (denier, denials) = match &accounts {
            Some((_, accounts)) => (Some(accounts.actor.clone().recipient()), accounts.denials.as_slice().into()),
            None => (None, Arc::default()),
        };
        metrics().outbox_limit_bytes.set(i64::try_from(config.outboxes_bytes).unwrap_or(i64::MAX));
        let hubs = Hubs {
            settings: HubSettings {
                limits: config.limits,
                connection_limits: config.connection_limits,
                addresses: addresses(config, engine.clock),
                heartbeat: HEARTBEAT,
                clock: engine.clock,
                auth,
                denials,
                denier,
            },
            engine: EngineLink::from(&engine.cache),
            next: Arc::default(),
        };
        let tokens = match accounts {
            Some((authority, accounts)) => {
                // Accounts that were made while no server ran have users before anybody can ask.
                let engine = SubscribeToAccounts(engine.cache.clone().recipient());
                // It cannot be gone: nothing stops it.
                let _ = accounts.actor.send(engine).await;
                Some(Tokens::new(authority, accounts.actor))
            }
            None => None,
        };
        let server = doors(config, &hubs, tokens, listeners.http, listeners.tcp)?;
        let handle = server.handle();
        let serving = actix_rt::spawn(server);
        if let Some(door) = listeners.udp {
            datagrams(hubs, door);
        }
        ready.started_in = began.elapsed();
        (ready.messages, ready.chats) = (engine.messages, engine.chats);
        // Before anybody is told: who started the server may stop it in the same breath.
        let asked_to_stop = asked_to_stop().map_err(system("listen for signals"))?;
        on_ready(&ready);
        asked_to_stop.await;
        stop(engine, &handle).await;
        drop(serving.await);
        Ok(())
    })
}

/// Rebuilds the query tables from the log beside the live ones and compares.
///
/// # Errors
/// [`AppError`]: the folder is in use, or the log cannot be read.
pub fn verify(config: &Config) -> Result<Verified, AppError> {
    Ok(engine::verify(&config.data, settings(config))?)
}

fn settings(config: &Config) -> Settings {
    let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    Settings {
        limits: config.limits,
        messages_per_chat: size(config.cache.messages_per_chat),
        cache_bytes: usize::try_from(config.cache.bytes).unwrap_or(usize::MAX),
        pending_writes: size(config.pending_writes),
        heartbeat_ms: u32::try_from(HEARTBEAT.as_millis()).unwrap_or(u32::MAX),
        connections_per_user: config.connection_limits.per_user,
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

/// Each connection is a file; the usual limit of 1,024 is for programs that have few.
fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "raise the limit of open files");
    }
}

/// Gives each thread that has connections its hub.
#[derive(Clone)]
struct Hubs {
    settings: HubSettings,
    engine: EngineLink,
    next: Arc<AtomicU16>,
}

impl Hubs {
    fn ensure(&self) {
        if !hub::is_here() {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            HubActor::start(index, self.settings.clone(), self.engine.clone());
        }
    }
}

/// HTTP, WebSocket and TCP, on the same threads.
fn doors(
    config: &Config,
    hubs: &Hubs,
    tokens: Option<Tokens>,
    http: Door<TcpListener>,
    tcp: Option<Door<TcpListener>>,
) -> Result<actix_server::Server, AppError> {
    let system = |what| move |source| AppError::System { what, source };
    let loopback = http.address.ip().to_canonical().is_loopback();
    let origins = Policy::new(&config.http_server.allowed_origins, loopback)
        .map_err(|error| AppError::Origin(error.to_string()))?;
    let settings = HttpSettings {
        limits: config.limits,
        origins,
        proxies: config.http_server.trusted_proxies.clone(),
        started: Instant::now(),
        body_time: BODY_TIME,
        health_time: HEALTH_TIME,
        tokens,
    };
    let keep_alive = config.http_server.keep_alive;
    let mut builder = actix_server::Server::build()
        .workers(config.http_server.workers.count())
        .backlog(4096)
        // A little more than the hubs take, so that who finds no room is told so.
        .max_concurrent_connections(
            usize::try_from(config.connection_limits.all).unwrap_or(usize::MAX).saturating_add(1024),
        )
        .disable_signals();
    for listener in http.sockets {
        let (hubs, settings) = (hubs.clone(), settings.clone());
        let service = move || {
            hubs.ensure();
            let proxies = settings.proxies.clone();
            http_io::watch(keep_alive);
            let settings = web::Data::new(settings.clone());
            let app = App::new()
                .app_data(settings.clone())
                .route("/ws", web::get().to(websocket::upgrade))
                .configure(|services| http::routes(services, settings));
            let http = HttpService::build()
                .keep_alive(keep_alive)
                .client_request_timeout(http::limits::HEAD_TIME)
                .client_disconnect_timeout(Duration::from_secs(2))
                .on_connect_ext(move |io: &HttpIo<tokio::net::TcpStream>, kept| {
                    let stream = io.get_ref();
                    transport::prepare(stream);
                    kept.insert(HttpConnection::opened(proxies.direct(transport::peer(stream)), io.quiet()));
                })
                .h1(map_config(app, |_| AppConfig::default()));
            fn_service(|stream: tokio::net::TcpStream| {
                let peer = stream.peer_addr().ok();
                std::future::ready(Ok((HttpIo::new(stream), peer)))
            })
            .and_then(http)
        };
        builder = builder.listen("http", listener, service).map_err(system("serve HTTP"))?;
    }
    for listener in tcp.into_iter().flat_map(|door| door.sockets) {
        let (hubs, proxies) = (hubs.clone(), config.http_server.trusted_proxies.clone());
        let service = move || {
            hubs.ensure();
            let proxies = proxies.clone();
            fn_service(move |stream: tokio::net::TcpStream| {
                transport::prepare(&stream);
                let permit = hub::enter(proxies.direct(transport::peer(&stream)));
                TcpSession::serve(stream, permit);
                std::future::ready(Ok::<_, std::convert::Infallible>(()))
            })
        };
        builder = builder.listen("tcp", listener, service).map_err(system("serve TCP"))?;
    }
    Ok(builder.run())
}

/// UDP, on a thread of its own: a flood of beacons slows no connection down.
fn datagrams(hubs: Hubs, door: Door<UdpSocket>) {
    Arbiter::new().spawn_fn(move || {
        hubs.ensure();
        for socket in door.sockets {
            if let Err(error) = UdpHandler::serve(socket) {
                tracing::error!(%error, "serve UDP");
            }
        }
    });
}

/// Listens for SIGTERM and Ctrl-C from now on; what is returned waits for one. After it another one ends the process at
/// once.
fn asked_to_stop() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut wait = async move || {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
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
async fn stop(engine: Engine, server: &ServerHandle) {
    server.pause().await;
    if !engine.drain(DRAIN).await {
        tracing::warn!("stop with writes under way: they were not acknowledged");
    }
    engine.cache.do_send(CloseAll { reconnect_within_ms: RECONNECT_WITHIN_MS });
    let deadline = Instant::now() + GOODBYE;
    let [websocket, tcp, _] = &metrics().connections;
    while websocket.get() + tcp.get() > 0 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.stop(false).await;
    engine.stop();
    tracing::info!("stopped");
}
