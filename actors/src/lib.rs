//! The chappe engine: state, actors, the durable log and the query tables. No sockets, no command line.

pub mod clock;
pub mod command;
pub mod origin;
pub mod reply;
