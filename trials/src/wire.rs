//! A connection through any of the doors that take packets, and what the others are called.

use std::time::Duration;

use chappe::client::tcp::{TcpClient, TcpWire};
use chappe::client::websocket::{WsClient, WsWire};
use chappe::client::{Answer, ClientError};
use chappe_proto::request::Request;

use crate::server::Doors;

/// A door, and what is spoken there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// TCP, a line of JSON each.
    TcpJson,
    /// TCP, binary frames.
    TcpBinary,
    /// WebSocket, text.
    WsJson,
    /// WebSocket, binary.
    WsBinary,
    /// HTTP: requests and answers, and nothing by itself.
    Http,
}

impl Door {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::TcpJson, Self::TcpBinary, Self::WsJson, Self::WsBinary, Self::Http];
    /// Those through which events come.
    pub const HEARING: [Self; 4] = [Self::TcpJson, Self::TcpBinary, Self::WsJson, Self::WsBinary];
}

/// How long a server may say nothing while somebody waits for an answer.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A connection over which events come.
#[derive(Debug)]
pub enum Wire {
    /// See [`TcpClient`].
    Tcp(TcpClient),
    /// See [`WsClient`].
    WebSocket(WsClient),
}

impl Wire {
    /// Opens one. Through [`Door::Http`] nothing comes: it takes the WebSocket instead.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn open(doors: &Doors, door: Door) -> Result<Self, ClientError> {
        Ok(match door {
            Door::TcpJson => Self::Tcp(TcpClient::connect(&doors.tcp, TcpWire::Json).await?),
            Door::TcpBinary => Self::Tcp(TcpClient::connect(&doors.tcp, TcpWire::Binary).await?),
            Door::WsJson => Self::web_socket(doors, WsWire::Json).await?,
            Door::WsBinary | Door::Http => Self::web_socket(doors, WsWire::Binary).await?,
        })
    }

    async fn web_socket(doors: &Doors, wire: WsWire) -> Result<Self, ClientError> {
        match WsClient::connect(&doors.http, wire).await {
            // A server that stops turns everybody away.
            Err(ClientError::Unexpected(said)) if said.ends_with("HTTP 503") => Err(ClientError::Ended),
            opened => opened.map(Self::WebSocket),
        }
    }

    /// Sends a request. Not to be cancelled.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn send(&mut self, request: Request, request_id: u64) -> Result<(), ClientError> {
        match self {
            Self::Tcp(client) => {
                client.queue(request, Some(request_id));
                client.flush().await
            }
            Self::WebSocket(client) => client.send(request, Some(request_id)).await,
        }
    }

    /// Waits for the next packet. May be cancelled.
    ///
    /// # Errors
    /// Those of the connection, or [`ClientError::Unexpected`].
    pub async fn next(&mut self) -> Result<Answer, ClientError> {
        match self {
            Self::Tcp(client) => client.next().await,
            Self::WebSocket(client) => client.next().await,
        }
    }
}
