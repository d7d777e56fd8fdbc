//! The HTTP door: the API, the pages, health and metrics. Everything on the HTTP port but `/ws`.
//!
//! A handler reads a request, checks its bounds, asks the engine and writes the answer; it decides nothing. What is
//! refused, wherever, leaves as `problem::Problem`.

mod answer;
mod body;
mod chats;
mod engine;
mod events;
mod extract;
mod fixed;
pub mod gate;
mod health;
mod keys;
mod members;
mod messages;
mod openapi;
pub mod origin;
mod pages;
pub(crate) mod problem;
mod refusals;
mod routing;
mod schema;
#[cfg(test)]
mod tests;
mod users;

use std::time::{Duration, Instant};

use actix_web::web;
use chappe_proto::limits::Limits;

use self::origin::Policy;

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
    pub origins: Policy,
    /// When the server started.
    pub started: Instant,
    /// How long a request's body may take to arrive.
    pub body_time: Duration,
    /// How long the engine may take to say how it is.
    pub health_time: Duration,
}

/// Adds everything but `/ws`. It answers every path, so `/ws` is added before it.
pub fn routes(config: &mut web::ServiceConfig, settings: web::Data<HttpSettings>) {
    config.app_data(settings.clone());
    let scope = pages::register(routing::register(web::scope("")));
    config.service(scope.default_service(web::to(routing::not_found)).wrap(gate::Gate { settings }));
}
