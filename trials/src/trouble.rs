//! Why a trial could not be carried out; what it found out about the server is no trouble but its outcome.

use std::io;

use chappe::client::ClientError;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The machine refused something.
    #[error("cannot {what}: {source}")]
    Machine {
        /// What was tried.
        what: String,
        /// What the system says.
        source: io::Error,
    },
    /// There is no program to try.
    #[error("there is no server at {0}: build it with `cargo build`, or name one with --server")]
    NoServer(String),
    /// The server does not do what every server does: start, stop, stay.
    #[error("the server {what}; the end of its log:\n{log}")]
    Server {
        /// What it does instead.
        what: String,
        /// The end of its log.
        log: String,
    },
    /// The clients of the trial itself cannot go on.
    #[error("the clients {0}")]
    Clients(String),
    /// A question to the server had no answer.
    #[error(transparent)]
    Asking(#[from] ClientError),
    /// The system has no room for a reactor.
    #[error("cannot begin: {0}")]
    Begin(#[from] io::Error),
}

impl Trouble {
    /// For `map_err`: what was tried.
    pub fn machine(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Machine { what, source }
    }
}
