//! Why a comparison cannot go on. Messages that go missing are no trouble: they are counted.

use std::io;

/// Why a comparison cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// The machine.
    #[error("{0}: {1}")]
    Machine(String, #[source] io::Error),
    /// A socket.
    #[error("the connection failed: {0}")]
    Connection(#[from] io::Error),
    /// The other side ended a connection.
    #[error("the server closed a connection")]
    Closed,
    /// The other side said something that ends the run.
    #[error("the server answered: {0}")]
    Answer(String),
    /// A server did not come up, or a script failed.
    #[error("{0}")]
    Peer(String),
    /// The bare commits that acks are compared with.
    #[error("sqlite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A table, a file of points, a result that cannot be read.
    #[error("{0}")]
    Input(String),
}

impl Trouble {
    /// Says what could not be done.
    pub(crate) fn machine(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        |error| Self::Machine(what.into(), error)
    }

    /// Bytes from the server, as far as they can be shown.
    pub(crate) fn answer(bytes: &[u8]) -> Self {
        let shown = bytes.get(..300).unwrap_or(bytes);
        Self::Answer(String::from_utf8_lossy(shown).into_owned())
    }
}
