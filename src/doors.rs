//! The doors: what is served on the sockets, and by which threads.

use std::convert::Infallible;
use std::future::ready;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use actix_http::HttpService;
use actix_http::error::DispatchError;
use actix_server::{Server, ServerBuilder};
use actix_service::{ServiceFactoryExt, fn_service, map_config};
use actix_web::dev::AppConfig;
use actix_web::{App, web};
use chappe_actors::hub::{self, HubActor, HubSettings};
use chappe_actors::messages::EngineLink;
use tokio::net::TcpStream;

use crate::config::Config;
use crate::http::limits::HEAD_TIME;
use crate::http::origin::Origins;
use crate::http::{self, Answering, BODY_TIME, HEALTH_TIME, HttpSettings, Tokens};
use crate::listeners::Door;
use crate::tls::Tls;
use crate::tls::stream::Stream;
use crate::transport::http_io::{self, HttpIo};
use crate::transport::udp::UdpHandler;
use crate::transport::{self, HttpConnection, tcp, turned_away, websocket};

/// Gives each thread that has connections its hub.
#[derive(Clone)]
pub(crate) struct Hubs {
    settings: HubSettings,
    engine: EngineLink,
    next: Arc<AtomicU16>,
}

impl Hubs {
    pub(crate) fn new(settings: HubSettings, engine: EngineLink) -> Self {
        Self { settings, engine, next: Arc::default() }
    }

    fn ensure(&self) {
        if !hub::is_here() {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            HubActor::start(index, self.settings.clone(), self.engine.clone());
        }
    }
}

/// What the doors are given besides their sockets.
pub(crate) struct Doors<'a> {
    pub(crate) config: &'a Config,
    pub(crate) hubs: Hubs,
    /// Whose pages may use the server; may change while it runs.
    pub(crate) origins: Origins,
    /// The HTTP requests that are being answered.
    pub(crate) answering: Answering,
    /// What is needed where tokens are asked for.
    pub(crate) tokens: Option<Tokens>,
    /// TLS for HTTP and TCP, where there is a certificate.
    pub(crate) tls: Option<Tls>,
}

impl Doors<'_> {
    /// HTTP, WebSocket and TCP, on the same threads.
    pub(crate) fn open(&self, http: Door<TcpListener>, tcp: Option<Door<TcpListener>>) -> io::Result<Server> {
        let connections = usize::try_from(self.config.connection_limits.all).unwrap_or(usize::MAX);
        let mut builder = Server::build()
            .workers(self.config.http_server.workers.count())
            .backlog(4096)
            // A little more than the hubs take, so that who finds no room is told so.
            .max_concurrent_connections(connections.saturating_add(1024))
            .disable_signals();
        for listener in http.sockets {
            builder = self.listen_http(builder, listener)?;
        }
        for listener in tcp.into_iter().flat_map(|door| door.sockets) {
            builder = self.listen_tcp(builder, listener)?;
        }
        Ok(builder.run())
    }

    fn listen_http(&self, builder: ServerBuilder, listener: TcpListener) -> io::Result<ServerBuilder> {
        let settings = HttpSettings {
            limits: self.config.limits,
            origins: self.origins.clone(),
            proxies: self.config.http_server.trusted_proxies.clone(),
            started: Instant::now(),
            body_time: BODY_TIME,
            health_time: HEALTH_TIME,
            tls: self.tls.is_some(),
            answering: self.answering.clone(),
            tokens: self.tokens.clone(),
        };
        let (hubs, tls, heartbeat) = (self.hubs.clone(), self.tls.clone(), self.config.heartbeat);
        let keep_alive = self.config.http_server.keep_alive;
        let proxies = settings.proxies.clone();
        let service = move || {
            hubs.ensure();
            http_io::watch(keep_alive);
            let settings = web::Data::new(settings.clone());
            let app = App::new()
                .app_data(settings.clone())
                .route("/ws", web::get().to(websocket::upgrade))
                .configure(|services| http::routes(services, settings));
            let http = HttpService::build()
                .keep_alive(keep_alive)
                .client_request_timeout(HEAD_TIME)
                .client_disconnect_timeout(Duration::from_secs(2))
                .on_connect_ext(|io: &HttpIo, kept| {
                    if let Some(connection) = io.connection() {
                        kept.insert(connection);
                    }
                })
                .h1(map_config(app, |_| AppConfig::default()));
            let (tls, proxies) = (tls.clone(), proxies.clone());
            fn_service(move |socket: TcpStream| {
                transport::prepare(&socket, heartbeat);
                let from = proxies.direct(transport::peer(&socket));
                let peer = socket.peer_addr().ok();
                let tls = tls.as_ref().map(Tls::http);
                let io = match hub::enter(from) {
                    Ok(permit) => {
                        let io = Stream::new(socket, tls);
                        Some(HttpIo::new(io, |quiet| HttpConnection::opened(permit, quiet)))
                    }
                    // A handshake costs more than all that its address has too much of.
                    Err(_) if tls.is_some() => None,
                    Err(reject) => {
                        turned_away::tell(socket, reject);
                        None
                    }
                };
                async move {
                    let mut io = io.ok_or_else(|| io::Error::from(io::ErrorKind::QuotaExceeded))?;
                    io.secure().await.inspect_err(|error| {
                        tracing::debug!(%error, "refuse an HTTP connection");
                    })?;
                    Ok::<_, DispatchError>((io, peer))
                }
            })
            .and_then(http)
        };
        builder.listen("http", listener, service)
    }

    fn listen_tcp(&self, builder: ServerBuilder, listener: TcpListener) -> io::Result<ServerBuilder> {
        let (hubs, tls, heartbeat) = (self.hubs.clone(), self.tls.clone(), self.config.heartbeat);
        let proxies = self.config.http_server.trusted_proxies.clone();
        let service = move || {
            hubs.ensure();
            let (tls, proxies) = (tls.clone(), proxies.clone());
            fn_service(move |socket: TcpStream| {
                transport::prepare(&socket, heartbeat);
                let permit = hub::enter(proxies.direct(transport::peer(&socket)));
                tcp::serve(Stream::new(socket, tls.as_ref().map(Tls::tcp)), permit);
                ready(Ok::<_, Infallible>(()))
            })
        };
        builder.listen("tcp", listener, service)
    }

    /// UDP, on a thread of its own: a flood of beacons slows no connection down.
    pub(crate) fn datagrams(&self, door: Door<UdpSocket>) {
        let hubs = self.hubs.clone();
        Arbiter::new().spawn_fn(move || {
            hubs.ensure();
            UdpHandler::serve_all(door.sockets);
        });
    }
}
