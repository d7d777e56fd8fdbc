//! An HTTP connection's socket, with an end to waiting: the HTTP library gives a client time for the head of its first
//! request only, and keeps the connection for good once a byte of a later one has come.
//!
//! A connection to which nothing was sent for a while ends. One look a second at all of a thread's connections, and no timer
//! for each. One that becomes a WebSocket leaves: its socket is taken out of here once the handshake's answer is sent, and
//! the HTTP library ends what it had of it, with its buffers.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::HttpConnection;
use crate::tls::stream::Stream;

const TICK: Duration = Duration::from_secs(1);

thread_local! {
    static WATCHED: RefCell<Vec<Weak<Quiet>>> = const { RefCell::new(Vec::new()) };
    static WATCHES: Cell<bool> = const { Cell::new(false) };
}

/// Who goes on with a socket.
type Next = Box<dyn FnOnce(Stream)>;

/// For how long nothing was sent on a connection; and who goes on with it.
#[derive(Default)]
pub struct Quiet {
    seconds: Cell<u32>,
    is_over: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    next: Cell<Option<Next>>,
}

impl Quiet {
    /// The socket goes to `next` once all is sent that the HTTP library has to send at present.
    pub fn hand_over(&self, next: impl FnOnce(Stream) + 'static) {
        self.next.set(Some(Box::new(next)));
    }

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

/// The socket, until it is handed over.
pub struct HttpIo {
    io: Option<Stream>,
    quiet: Rc<Quiet>,
    /// What counts it, from its first moment until the HTTP library takes it over.
    connection: Cell<Option<Rc<HttpConnection>>>,
}

impl HttpIo {
    /// A connection that has just been accepted; `count` counts it.
    pub fn new(io: Stream, count: impl FnOnce(Weak<Quiet>) -> HttpConnection) -> Self {
        let quiet = Rc::default();
        WATCHED.with_borrow_mut(|all| all.push(Rc::downgrade(&quiet)));
        let connection = Rc::new(count(Rc::downgrade(&quiet)));
        Self { io: Some(io), quiet, connection: Cell::new(Some(connection)) }
    }

    /// Hands out what counts the connection, once.
    pub fn connection(&self) -> Option<Rc<HttpConnection>> {
        self.connection.take()
    }

    /// See [`Stream::secure`].
    ///
    /// # Errors
    /// There is no TLS with this client.
    pub async fn secure(&mut self) -> io::Result<()> {
        self.io()?.secure().await
    }

    fn io(&mut self) -> io::Result<&mut Stream> {
        self.io.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn sent(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(result, Poll::Ready(Ok(1..))) {
            self.quiet.seconds.set(0);
        }
        result
    }
}

impl AsyncRead for HttpIo {
    fn poll_read(self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.quiet.is_over.get() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let result = Pin::new(this.io()?).poll_read(task, buffer);
        if result.is_pending() {
            match &mut *this.quiet.reader.borrow_mut() {
                Some(waker) => waker.clone_from(task.waker()),
                none => *none = Some(task.waker().clone()),
            }
        }
        result
    }
}

impl AsyncWrite for HttpIo {
    fn poll_write(self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(this.io()?).poll_write(task, bytes);
        this.sent(result)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let result = Pin::new(this.io()?).poll_write_vectored(task, pieces);
        this.sent(result)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// The HTTP library asks for it whenever it has written all that it had.
    fn poll_flush(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(this.io()?).poll_flush(task))?;
        if let Some(next) = this.quiet.next.take()
            && let Some(io) = this.io.take()
        {
            next(io);
            // There is nothing more to read here, which ends the HTTP library's part of the connection.
            task.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().io()?).poll_shutdown(task)
    }
}
