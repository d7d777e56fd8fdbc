//! chappe, a real-time messaging server: the program around the engine (`chappe_actors`) and the wire (`chappe_proto`).

pub mod app;
pub mod auth;
pub mod banner;
pub mod bench;
mod bounded;
pub mod cli;
pub mod client;
pub mod config;
pub mod doctor;
mod doors;
pub mod exit;
mod files;
pub mod http;
pub mod listeners;
pub mod logging;
pub mod reload;
pub mod tls;
pub mod transfer;
pub mod transport;
