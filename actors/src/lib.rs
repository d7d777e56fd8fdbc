//! The chappe engine: state, actors, the durable log and the query tables. No sockets, no command line.

pub mod accounts;
pub mod bounds;
pub mod cache;
pub mod clock;
pub mod command;
pub mod engine;
pub mod folder;
pub mod health;
pub mod history;
pub mod hub;
pub mod log;
pub mod map;
pub mod messages;
pub mod metrics;
pub mod origin;
pub mod page;
pub mod persist;
pub mod principal;
pub mod projector;
pub mod rate;
pub mod reader;
pub mod reply;
pub mod session;
pub mod state;
pub mod udp_session;
pub mod vital;
