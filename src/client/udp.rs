//! A client of the UDP door: single datagrams, and a ping that knows its own size.

use chappe_proto::packet::{Packet, Pong};
use chappe_proto::request::{Ping, Request};
use chappe_proto::{datagram, frame, json};
use tokio::net::UdpSocket;

use super::ClientError;

/// The bytes of one request as a datagram.
pub fn encode(request: Request, as_json: bool) -> Vec<u8> {
    let mut out = Vec::new();
    datagram::encode_request_into(request, as_json, &mut out);
    out
}

/// A socket that talks to one server.
#[derive(Debug)]
pub struct UdpClient {
    socket: UdpSocket,
    buffer: Vec<u8>,
}

/// An answer, and how large it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datagram {
    /// In bytes, on the wire.
    pub size: usize,
    /// What it says, if it can be read.
    pub packet: Option<Packet>,
}

impl UdpClient {
    /// Binds a port of its own and takes datagrams from `address` only.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`]; that nobody listens there shows only later.
    pub async fn connect(address: &str) -> Result<Self, ClientError> {
        let unreachable = |source| ClientError::Unreachable { address: address.to_owned(), source };
        let server = tokio::net::lookup_host(address)
            .await
            .and_then(|mut found| found.next().ok_or_else(|| std::io::ErrorKind::NotFound.into()))
            .map_err(unreachable)?;
        let local = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(local).await?;
        socket.connect(server).await.map_err(unreachable)?;
        Ok(Self { socket, buffer: vec![0; 64 * 1024] })
    }

    /// Sends a ping and says how large it was.
    ///
    /// # Errors
    /// [`ClientError::Lost`], also when an earlier datagram found nobody.
    pub async fn ping(&self, nonce: u64) -> Result<usize, ClientError> {
        let bytes = encode(Request::Ping(Ping { nonce: Some(nonce) }), true);
        Ok(self.socket.send(&bytes).await?)
    }

    /// Waits for a datagram. May be cancelled.
    ///
    /// # Errors
    /// [`ClientError::Lost`], also when an earlier datagram found nobody.
    pub async fn receive(&mut self) -> Result<Datagram, ClientError> {
        let size = self.socket.recv(&mut self.buffer).await?;
        let bytes = &self.buffer[..size];
        let read = if bytes.first() == Some(&b'{') {
            json::decode_packet(bytes).ok()
        } else {
            frame::decode_packet(bytes).ok()
        };
        Ok(Datagram { size, packet: read.map(|(_, packet)| packet) })
    }
}

impl Datagram {
    /// The nonce, if it is a pong that has one.
    pub fn nonce(&self) -> Option<u64> {
        match self.packet {
            Some(Packet::Pong(Pong { nonce, .. })) => nonce,
            _ => None,
        }
    }
}
