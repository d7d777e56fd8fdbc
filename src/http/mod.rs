//! The HTTP door: the API, the pages, health and metrics. Everything on the HTTP port but `/ws`.
//!
//! A handler reads a request, checks its bounds, asks the engine and writes the answer; it decides nothing. What is
//! refused, wherever, leaves as `problem::Problem`.

pub(crate) mod admission;
mod answer;
mod answering;
mod body;
mod came_from;
mod chats;
mod cookie;
mod engine;
mod events;
mod extract;
mod fixed;
pub mod gate;
mod health;
pub(crate) mod identity;
mod keys;
pub(crate) mod limits;
mod logins;
mod members;
mod messages;
mod mode;
mod openapi;
pub mod origin;
mod pages;
pub mod peer;
pub(crate) mod problem;
mod refusals;
mod routing;
mod schema;
mod secret;
mod security;
mod sessions;
#[cfg(test)]
mod tests;
mod users;

use std::time::{Duration, Instant};

use actix::dev::ToEnvelope;
use actix::prelude::*;
use actix_web::dev::Service;
use actix_web::http::ConnectionType;
use actix_web::web;
use chappe_actors::accounts::AccountsActor;
use chappe_proto::limits::Limits;
use chappe_proto::{Code, Reject};

pub use self::answering::Answering;
use self::logins::Logins;
use self::origin::Origins;
use self::peer::Proxies;
use crate::auth::Authority;

/// How long a request's body may take to arrive, unless set otherwise.
pub const BODY_TIME: Duration = Duration::from_secs(10);

/// How long the engine may take to say how it is, unless set otherwise: who asks is a program that decides over restarts.
pub const HEALTH_TIME: Duration = Duration::from_secs(2);

/// What the handlers need to know.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// What a request may hold.
    pub limits: Limits,
    /// Whose pages may use the server.
    pub origins: Origins,
    /// Who speaks for others.
    pub proxies: Proxies,
    /// When the server started.
    pub started: Instant,
    /// How long a request's body may take to arrive.
    pub body_time: Duration,
    /// How long the engine may take to say how it is.
    pub health_time: Duration,
    /// Whether everything on this port came by TLS.
    pub tls: bool,
    /// The requests that are being answered.
    pub answering: Answering,
    /// What is needed where tokens are asked for; `None` in open mode.
    pub tokens: Option<Tokens>,
}

/// What the handlers need where tokens are asked for.
#[derive(Debug, Clone)]
pub struct Tokens {
    authority: Authority,
    accounts: Addr<AccountsActor>,
    logins: Addr<Logins>,
}

impl Tokens {
    /// To be called inside an actix system.
    pub fn new(authority: Authority, accounts: Addr<AccountsActor>) -> Self {
        Self { authority, accounts, logins: Logins::default().start() }
    }

    /// Asks the accounts.
    async fn ask<M, T>(&self, message: M) -> Result<T, Reject>
    where
        M: Message<Result = Result<T, Reject>> + Send + 'static,
        T: Send + 'static,
        AccountsActor: Handler<M>,
        <AccountsActor as Actor>::Context: ToEnvelope<AccountsActor, M>,
    {
        self.accounts.send(message).await.unwrap_or_else(|_| Err(Reject::plain(Code::ShuttingDown)))
    }
}

/// Adds everything but `/ws`. It answers every path, so `/ws` is added before it.
pub fn routes(config: &mut web::ServiceConfig, settings: web::Data<HttpSettings>) {
    config.app_data(settings.clone());
    let answering = settings.answering.clone();
    let scope = pages::register(routing::register(web::scope("")));
    let gated = scope.default_service(web::to(routing::not_found)).wrap(gate::Gate { settings });
    config.service(gated.wrap_fn(move |request, next| {
        let (open, answering) = (answering.begin(), answering.clone());
        let answer = next.call(request);
        async move {
            let mut response = answer.await?;
            if answering.is_last() {
                response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
            }
            drop(open);
            Ok(response)
        }
    }));
}
