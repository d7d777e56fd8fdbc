//! A connection while it is opened: one step after the other, each awaited. The load does not come this way.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::trouble::Trouble;

/// How long a server may take for a step.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection that is being opened.
#[derive(Debug)]
pub(crate) struct Door {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Door {
    /// Connects.
    pub(crate) fn knock(address: SocketAddr) -> Result<Self, Trouble> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// Sends all of `bytes`.
    pub(crate) fn say(&mut self, bytes: &[u8]) -> Result<(), Trouble> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Waits until `whole` finds an answer in what has come, and says what it makes of it and how many bytes it took.
    pub(crate) fn hear<T>(
        &mut self,
        mut whole: impl FnMut(&[u8]) -> Result<Option<(T, usize)>, Trouble>,
    ) -> Result<T, Trouble> {
        let mut buffer = [0; 4096];
        loop {
            if let Some((answer, used)) = whole(&self.received)? {
                self.received.drain(..used);
                return Ok(answer);
            }
            match self.stream.read(&mut buffer)? {
                0 => return Err(Trouble::Closed),
                read => self.received.extend_from_slice(&buffer[..read]),
            }
        }
    }

    /// Waits for bytes that end with `end`; everything before is passed over.
    pub(crate) fn hear_end(&mut self, end: &[u8]) -> Result<(), Trouble> {
        self.hear(|bytes| {
            let refused = bytes.starts_with(b"-");
            if refused { Err(Trouble::answer(bytes)) } else { Ok(bytes.ends_with(end).then_some(((), bytes.len()))) }
        })
    }

    /// Open: the stream, and what came behind the last answer.
    pub(crate) fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.received)
    }
}
