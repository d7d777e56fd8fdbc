//! Tests of a connection over a transport that holds bytes back, as TLS does while its socket is full.

use std::io;
use std::pin::Pin;
use std::task::{Context as Task, Poll, ready};

use actix::prelude::*;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, DuplexStream, ReadBuf};

use super::*;
use crate::transport::listening;

/// Takes all that is written, and hands it on only when it is flushed.
struct Lazy {
    io: DuplexStream,
    held: Vec<u8>,
}

impl Io for Lazy {}

impl AsyncRead for Lazy {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Task<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(task, buffer)
    }
}

impl AsyncWrite for Lazy {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Task<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.held.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        let Self { io, held } = self.get_mut();
        while !held.is_empty() {
            let taken = ready!(Pin::new(&mut *io).poll_write(task, held))?;
            held.drain(..taken);
        }
        Pin::new(io).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(task))?;
        Pin::new(&mut self.io).poll_shutdown(task)
    }
}

#[test]
fn what_the_transport_holds_back_leaves_as_soon_as_there_is_room() {
    System::new().block_on(async {
        let _engine = listening::start_hub(|_| {});
        // Less room than one answer takes.
        let (client, server) = tokio::io::duplex(16);
        serve(Lazy { io: server, held: Vec::new() }, hub::enter(None));
        let mut client = BufReader::new(client);
        for nonce in 0..3 {
            let ping = format!("{{\"packet_type\":\"Ping\",\"nonce\":{nonce}}}\n");
            client.write_all(ping.as_bytes()).await.unwrap();
            let mut answer = String::new();
            let line = client.read_line(&mut answer);
            tokio::time::timeout(Duration::from_secs(20), line).await.expect("an answer").unwrap();
            assert!(answer.contains(&format!("\"nonce\":{nonce}")), "{answer}");
        }
    });
}
