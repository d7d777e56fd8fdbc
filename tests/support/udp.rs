//! Datagrams to a server.

use std::net::UdpSocket;
use std::time::Duration;

use serde_json::Value;

use super::PATIENCE;
use super::server::TestServer;

/// A socket that talks to one server.
pub(crate) struct Udp(UdpSocket);

impl Udp {
    /// From a free port.
    pub(crate) fn to(server: &TestServer) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
        socket.connect(server.udp).expect("the address is one");
        Self(socket)
    }

    /// Sends any bytes.
    pub(crate) fn send(&self, bytes: &[u8]) {
        self.0.send(bytes).expect("loopback takes a datagram");
    }

    /// Sends a packet as JSON.
    pub(crate) fn say(&self, packet: &Value) {
        self.send(packet.to_string().as_bytes());
    }

    /// The next datagram.
    pub(crate) fn receive(&self) -> Vec<u8> {
        self.0.set_read_timeout(Some(PATIENCE)).expect("a time-out can be set");
        let mut buffer = [0; 2000];
        let size = self.0.recv(&mut buffer).expect("a datagram comes back");
        buffer[..size].to_vec()
    }

    /// Whether a datagram has come already.
    pub(crate) fn has_answer(&self) -> bool {
        self.0.set_read_timeout(Some(Duration::from_millis(1))).expect("a time-out can be set");
        self.0.recv(&mut [0; 2000]).is_ok()
    }
}
