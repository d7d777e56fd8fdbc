//! Datagrams received several at a time, with one system call.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use chappe_proto::limits::DATAGRAM_BYTES;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg};

/// So many a call.
const AT_ONCE: usize = 32;
/// One byte more than is allowed tells a datagram that is too long.
const ROOM: usize = DATAGRAM_BYTES + 1;

/// See the module.
pub(super) struct Datagrams {
    headers: MultiHeaders<SockaddrStorage>,
    buffers: Box<[[u8; ROOM]; AT_ONCE]>,
    /// How long those are that came, and from where.
    came: Vec<(usize, SocketAddr)>,
}

impl Default for Datagrams {
    fn default() -> Self {
        let headers = MultiHeaders::preallocate(AT_ONCE, None);
        Self { headers, buffers: Box::new([[0; ROOM]; AT_ONCE]), came: Vec::with_capacity(AT_ONCE) }
    }
}

impl Datagrams {
    /// Takes what has come to `socket`, in the place of what came before.
    ///
    /// # Errors
    /// The socket's. `WouldBlock` also if this was all: to ask again would be a call for nothing.
    pub(super) fn receive(&mut self, socket: &impl AsRawFd) -> io::Result<()> {
        self.came.clear();
        let mut slices = self.buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        let flags = MsgFlags::MSG_DONTWAIT;
        let all = recvmmsg(socket.as_raw_fd(), &mut self.headers, slices.iter_mut(), flags, None)?;
        self.came.extend(all.map(|one| {
            let v4 = || one.address?.as_sockaddr_in().map(|from| SocketAddr::from(*from));
            let v6 = || one.address?.as_sockaddr_in6().map(|from| SocketAddr::from(*from));
            // There are no others; an answer to it goes nowhere.
            (one.bytes, v4().or_else(v6).unwrap_or(SocketAddr::from(([0; 4], 0))))
        }));
        if self.came.len() < AT_ONCE { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    }

    /// What came, and from where.
    pub(super) fn iter_mut(&mut self) -> impl ExactSizeIterator<Item = (&mut [u8], SocketAddr)> {
        let Self { buffers, came, .. } = self;
        came.iter().zip(buffers.iter_mut()).map(|((bytes, from), buffer)| (&mut buffer[..*bytes], *from))
    }
}

#[cfg(test)]
#[path = "datagrams_tests.rs"]
mod tests;
