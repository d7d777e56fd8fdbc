//! Small clients for the server's own doors: what `chappe bench` speaks through.
//!
//! They know bytes and packets, not what a conversation is for. Retries and reconnects are the caller's; who wants those done
//! takes `chappe-client`.

pub mod http;
pub mod inbound;
pub mod tcp;
pub mod udp;
pub mod websocket;

use std::io;
use std::time::Duration;

use chappe_proto::Code;
use chappe_proto::packet::{Ack, Closing, ErrorPacket, Packet};
use tokio::net::TcpStream;

use crate::exit::Exit;

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a client cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No connection came about.
    #[error("cannot reach the server at {address}: {source}")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Lost(#[from] io::Error),
    /// The server ended the connection without a word.
    #[error("the server ended the connection")]
    Ended,
    /// The server said why it ends the connection.
    #[error("the server ended the connection: {} ({})", .0.reason, .0.code.as_str())]
    Closing(Box<Closing>),
    /// The server refused a request.
    #[error("{code}: {message}")]
    Refused {
        /// For programs.
        code: Code,
        /// A sentence for people.
        message: Box<str>,
        /// When to try again, if the server says so.
        retry_after_ms: Option<u32>,
    },
    /// No answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// The server said something that is not the protocol.
    #[error("unexpected answer: {0}")]
    Unexpected(String),
}

impl ClientError {
    /// How a command that ended by this tells its caller.
    pub fn exit(&self) -> Exit {
        if matches!(self, Self::Unreachable { .. }) { Exit::Address } else { Exit::Failed }
    }

    /// Whether the same request on a new connection may succeed.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Lost(_) | Self::Ended | Self::Silent(_) => true,
            Self::Closing(closing) => closing.code.number() >= 4100,
            Self::Refused { code, .. } => code.retryable(),
            Self::Unexpected(_) => false,
        }
    }

    /// How long the server asks to wait before the next attempt.
    pub fn retry_after(&self) -> Option<Duration> {
        let ms = match self {
            Self::Closing(closing) => closing.reconnect_after_ms,
            Self::Refused { retry_after_ms, .. } => *retry_after_ms,
            _ => None,
        };
        ms.map(|ms| Duration::from_millis(ms.into()))
    }

    /// An answer of another kind than the one asked for: a refusal, or nonsense.
    pub fn from_answer(packet: Packet) -> Self {
        match packet {
            Packet::Error(error) => error.into(),
            Packet::Closing(closing) => Self::Closing(Box::new(closing)),
            Packet::Ack(ack) if !ack.success => ack.into(),
            other => Self::Unexpected(format!("{other:?}").chars().take(200).collect()),
        }
    }
}

impl From<ErrorPacket> for ClientError {
    fn from(error: ErrorPacket) -> Self {
        Self::Refused { code: error.code, message: error.error, retry_after_ms: error.retry_after_ms }
    }
}

impl From<Ack> for ClientError {
    fn from(ack: Ack) -> Self {
        Self::Refused {
            code: ack.code.unwrap_or(Code::Internal),
            message: ack.error.unwrap_or_default(),
            retry_after_ms: ack.retry_after_ms,
        }
    }
}

/// A packet from the server, with the `request_id` it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Of the request it answers, if it answers one that had an id.
    pub request_id: Option<u64>,
    /// What the server says.
    pub packet: Packet,
}

/// Opens a connection for small packets: nothing is held back to be sent together.
async fn open(address: &str) -> Result<TcpStream, ClientError> {
    let unreachable = |source| ClientError::Unreachable { address: address.to_owned(), source };
    let stream = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address))
        .await
        .map_err(|_| unreachable(io::ErrorKind::TimedOut.into()))?
        .map_err(unreachable)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Runs a client to its end on this thread.
///
/// # Errors
/// Those of `work`, or the system's if it has no room for a reactor.
pub fn block_on<T, E: From<io::Error>>(work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}
