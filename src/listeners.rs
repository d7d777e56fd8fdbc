//! The sockets a server listens on.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};

use crate::config::Config;

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for {door}: {source}")]
pub struct ListenError {
    /// Which door.
    door: &'static str,
    /// Where.
    address: SocketAddr,
    /// Why.
    source: io::Error,
}

/// The sockets of one door: the one asked for, and its neighbour on the other loopback address.
#[derive(Debug)]
pub struct Door<S> {
    /// Where the one asked for listens; its port is known now.
    pub address: SocketAddr,
    /// All of them.
    pub sockets: Vec<S>,
}

/// The sockets of all doors.
#[derive(Debug)]
pub struct Listeners {
    /// HTTP and WebSocket.
    pub http: Door<TcpListener>,
    /// TCP, unless it is off.
    pub tcp: Option<Door<TcpListener>>,
    /// UDP, unless it is off.
    pub udp: Option<Door<UdpSocket>>,
}

impl Listeners {
    /// Takes the addresses that `config` names.
    ///
    /// # Errors
    /// [`ListenError`] for the first that cannot be had.
    pub fn bind(config: &Config) -> Result<Self, ListenError> {
        Ok(Self {
            http: door("HTTP", config.http, TcpListener::bind, TcpListener::local_addr)?,
            tcp: config.tcp.map(|at| door("TCP", at, TcpListener::bind, TcpListener::local_addr)).transpose()?,
            udp: config.udp.map(|at| door("UDP", at, UdpSocket::bind, UdpSocket::local_addr)).transpose()?,
        })
    }
}

fn door<S>(
    door: &'static str,
    address: SocketAddr,
    bind: impl Fn(SocketAddr) -> io::Result<S>,
    local: impl Fn(&S) -> io::Result<SocketAddr>,
) -> Result<Door<S>, ListenError> {
    let failed = |source| ListenError { door, address, source };
    let socket = bind(address).map_err(failed)?;
    let address = local(&socket).map_err(failed)?;
    let mut sockets = vec![socket];
    // On most machines `localhost` is ::1 before it is 127.0.0.1, and many clients try the first only: over UDP they
    // cannot even tell that nobody is there.
    if address.ip() == IpAddr::V4(Ipv4Addr::LOCALHOST) {
        match bind((Ipv6Addr::LOCALHOST, address.port()).into()) {
            Ok(neighbour) => sockets.push(neighbour),
            // A machine without IPv6, or somebody else's port.
            Err(error) => tracing::debug!(%error, door, port = address.port(), "listen on ::1 as well"),
        }
    }
    Ok(Door { address, sockets })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_on_127_0_0_1_is_also_found_by_the_name_localhost() {
        let has_ipv6 = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let found = door("UDP", any, UdpSocket::bind, UdpSocket::local_addr).unwrap();
        let ports: Vec<u16> = found.sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        assert_eq!(ports.len(), if has_ipv6 { 2 } else { 1 });
        assert!(ports.iter().all(|port| *port == found.address.port()));
    }

    #[test]
    fn an_address_that_is_taken_is_named() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = taken.local_addr().unwrap();
        let error = door("TCP", address, TcpListener::bind, TcpListener::local_addr).unwrap_err();
        assert!(error.to_string().starts_with(&format!("cannot listen on {address} for TCP")), "{error}");
    }
}
