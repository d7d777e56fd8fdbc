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
        let mut http = door("HTTP", config.http, TcpListener::bind, TcpListener::local_addr)?;
        let tcp = config.tcp.map(|at| door("TCP", at, TcpListener::bind, TcpListener::local_addr));
        let mut tcp = tcp.transpose()?;
        let udp = config.udp.map(|at| door("UDP", at, UdpSocket::bind, UdpSocket::local_addr));
        let mut udp = udp.transpose()?;
        // Last: a neighbour must not take what was asked for.
        http.and_neighbour("HTTP", TcpListener::bind);
        if let Some(tcp) = &mut tcp {
            tcp.and_neighbour("TCP", TcpListener::bind);
        }
        if let Some(udp) = &mut udp {
            udp.and_neighbour("UDP", UdpSocket::bind);
        }
        Ok(Self { http, tcp, udp })
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
    Ok(Door { address, sockets: vec![socket] })
}

impl<S> Door<S> {
    /// Listens on `::1` as well as on `127.0.0.1`, if that can be had. On most machines `localhost` is ::1 before it is
    /// 127.0.0.1, and many clients try the first only: over UDP they cannot even tell that nobody is there.
    fn and_neighbour(&mut self, door: &'static str, bind: impl Fn(SocketAddr) -> io::Result<S>) {
        if self.address.ip() != IpAddr::V4(Ipv4Addr::LOCALHOST) {
            return;
        }
        let port = self.address.port();
        match bind((Ipv6Addr::LOCALHOST, port).into()) {
            Ok(neighbour) => self.sockets.push(neighbour),
            // A machine without IPv6, or a port that somebody else has, or another door.
            Err(error) => tracing::debug!(%error, door, port, "listen on ::1 as well"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_door_on_127_0_0_1_is_also_found_by_the_name_localhost() {
        let has_ipv6 = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut found = door("UDP", any, UdpSocket::bind, UdpSocket::local_addr).unwrap();
        found.and_neighbour("UDP", UdpSocket::bind);
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
    #[test]
    fn a_neighbour_does_not_take_the_address_of_another_door() {
        let started = |_: u32| {
            let other = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).ok()?.local_addr().unwrap();
            let http = (Ipv4Addr::LOCALHOST, other.port()).into();
            Listeners::bind(&Config { http, tcp: Some(other), udp: None, ..Config::default() }).ok()
        };
        if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok() {
            // Somebody else may take the port in between, but not every time.
            let listeners = (0..20).find_map(started).expect("HTTP leaves ::1 to TCP");
            assert_eq!(listeners.http.sockets.len(), 1);
        }
    }
}
