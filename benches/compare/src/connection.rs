//! One connection of the load: its socket, what it is owed and owes, and what has come of it.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};

use mio::net::TcpStream;

use crate::account::Account;
use crate::protocol::{Found, Protocol};
use crate::trouble::Trouble;

/// Bytes of one read, for every connection of every peer.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// One connection.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) protocol: Box<dyn Protocol>,
    /// Bytes of a frame that has not come to its end.
    rest: Vec<u8>,
    /// Bytes that wait to be written.
    out: Vec<u8>,
    /// What it hears, by line, sorted.
    accounts: Vec<(u32, Account)>,
    /// Acks.
    pub(crate) acked: Account,
    /// Posts whose ack has not come, the oldest of them is number `first`.
    pub(crate) asked: VecDeque<Asked>,
    pub(crate) first: u32,
    /// Posts so far.
    posts: u32,
}

/// A post that waits for its ack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) line: u32,
    pub(crate) number: u32,
    pub(crate) due_ns: u64,
}

impl Connection {
    /// An open connection that hears `lines`; `rest` came while it was opened.
    pub(crate) fn new(stream: TcpStream, protocol: Box<dyn Protocol>, rest: Vec<u8>, mut lines: Vec<u32>) -> Self {
        lines.sort_unstable();
        let accounts = lines.into_iter().map(|line| (line, Account::default())).collect();
        let (acked, asked) = (Account::default(), VecDeque::new());
        Self { stream, protocol, rest, out: Vec::new(), accounts, acked, asked, first: 0, posts: 0 }
    }

    /// Its account of a line, if it listens to it.
    pub(crate) fn account(&mut self, line: u32) -> Option<&mut Account> {
        let at = self.accounts.binary_search_by_key(&line, |(line, _)| *line).ok()?;
        self.accounts.get_mut(at).map(|(_, account)| account)
    }

    /// All its accounts, by line.
    pub(crate) fn accounts(&self) -> &[(u32, Account)] {
        &self.accounts
    }

    /// Puts a post behind what waits to be written.
    pub(crate) fn post(&mut self, channel: u64, asked: Asked, payload: &[u8]) {
        self.protocol.post(channel, self.posts, payload, &mut self.out);
        self.posts = self.posts.wrapping_add(1);
        if self.protocol.acks() {
            self.asked.push_back(asked);
        }
    }

    /// Posts so far.
    pub(crate) fn posts(&self) -> u32 {
        self.posts
    }

    /// Writes what the socket takes; the rest waits until it takes more.
    pub(crate) fn flush(&mut self) -> Result<(), Trouble> {
        let mut written = 0;
        while written < self.out.len() {
            match self.stream.write(&self.out[written..]) {
                Ok(0) => return Err(Trouble::Closed),
                Ok(count) => written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.out.drain(..written);
        Ok(())
    }

    /// Reads once, and finds what is whole. `None` if there was nothing; else the bytes, of which `buffer` is the place,
    /// and whether there may be more.
    pub(crate) fn read<'a>(
        &mut self,
        buffer: &'a mut [u8],
        found: &mut Vec<Found>,
    ) -> Result<Option<(&'a [u8], bool)>, Trouble> {
        found.clear();
        let kept = self.rest.len();
        let room = buffer.len().min(kept + READ_BYTES);
        // The buffer is longer than any frame and a read together.
        let Some(space) = buffer.get_mut(kept..room).filter(|space| !space.is_empty()) else {
            return Err(Trouble::answer(&self.rest));
        };
        let count = match self.stream.read(space) {
            Ok(0) => return Err(Trouble::Closed),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => 0,
            Err(error) => return Err(error.into()),
        };
        buffer[..kept].copy_from_slice(&self.rest);
        let bytes = &buffer[..kept + count];
        let used = self.protocol.read(bytes, found, &mut self.out)?;
        self.rest.clear();
        self.rest.extend_from_slice(&bytes[used..]);
        Ok(Some((bytes, kept + count == room)))
    }
}
