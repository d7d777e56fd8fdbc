//! An HTTP connection's socket, with an end to waiting: the HTTP library gives a client time for the head of its first
//! request only, and keeps the connection for good once a byte of a later one has come.
//!
//! A connection to which nothing was sent for a while ends, unless it became a WebSocket. One look a second at all of a
//! thread's connections, and no timer for each.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::HttpConnection;

const TICK: Duration = Duration::from_secs(1);

thread_local! {
    static WATCHED: RefCell<Vec<Weak<Quiet>>> = const { RefCell::new(Vec::new()) };
    static WATCHES: Cell<bool> = const { Cell::new(false) };
}

/// For how long nothing was sent on a connection.
#[derive(Debug, Default)]
pub struct Quiet {
    seconds: Cell<u32>,
    is_over: Cell<bool>,
    reader: RefCell<Option<Waker>>,
}

impl Quiet {
    /// Another second; `false` if the connection is not to be looked at any more.
    fn tick(&self, most: Duration) -> bool {
        let seconds = self.seconds.get().saturating_add(1);
        self.seconds.set(seconds);
        if Duration::from_secs(seconds.into()) <= most {
            return true;
        }
        self.is_over.set(true);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
        false
    }
}

/// Looks at this thread's connections from now on: those to which nothing is sent for longer than `most` end.
pub fn watch(most: Duration) {
    if WATCHES.replace(true) {
        return;
    }
    actix_rt::spawn(async move {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            ticks.tick().await;
            WATCHED.with_borrow_mut(|all| all.retain(|quiet| quiet.upgrade().is_some_and(|quiet| quiet.tick(most))));
        }
    });
}

/// The socket.
pub struct HttpIo<Io> {
    io: Io,
    quiet: Rc<Quiet>,
    /// What counts it, from its first moment until the HTTP library takes it over.
    connection: Cell<Option<HttpConnection>>,
}

impl<Io> HttpIo<Io> {
    /// A connection that has just been accepted.
    pub fn new(io: Io) -> Self {
        let quiet = Rc::default();
        WATCHED.with_borrow_mut(|all| all.push(Rc::downgrade(&quiet)));
        Self { io, quiet, connection: Cell::new(None) }
    }

    /// Keeps what counts the connection, for whoever takes it over.
    pub fn keep(&self, connection: HttpConnection) {
        self.connection.set(Some(connection));
    }

    /// Hands out what counts the connection, once.
    pub fn hand_over(&self) -> Option<HttpConnection> {
        self.connection.take()
    }

    /// What it is on.
    pub fn get_mut(&mut self) -> &mut Io {
        &mut self.io
    }

    /// Whoever becomes a WebSocket takes it out of the watch.
    pub fn quiet(&self) -> Weak<Quiet> {
        Rc::downgrade(&self.quiet)
    }

    fn sent(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(result, Poll::Ready(Ok(1..))) {
            self.quiet.seconds.set(0);
        }
        result
    }
}

/// The connection is no longer looked at.
pub fn release(quiet: &Weak<Quiet>) {
    WATCHED.with_borrow_mut(|all| all.retain(|other| !other.ptr_eq(quiet)));
}

impl<Io: AsyncRead + Unpin> AsyncRead for HttpIo<Io> {
    fn poll_read(self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.quiet.is_over.get() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let result = Pin::new(&mut this.io).poll_read(task, buffer);
        if result.is_pending() {
            match &mut *this.quiet.reader.borrow_mut() {
                Some(waker) => waker.clone_from(task.waker()),
                none => *none = Some(task.waker().clone()),
            }
        }
        result
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for HttpIo<Io> {
    fn poll_write(self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.io).poll_write(task, bytes);
        this.sent(result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(&mut this.io).poll_write_vectored(task, pieces);
        this.sent(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(task)
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(task)
    }
}
