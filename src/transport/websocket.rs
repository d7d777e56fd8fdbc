//! WebSocket: one session actor a connection, and the only file that names actix-web-actors, for its handshake.
//!
//! Messages are read by `chappe_proto::websocket_input`, and what is sent comes framed out of the outbox: the response's
//! body, which the HTTP connection takes from only as fast as the socket takes it.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as Task, Poll, ready};

use actix::fut::ActorFuture;
use actix::prelude::*;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use actix_web_actors::ws;
use bytes::Bytes;
use chappe_actors::hub::{self, Door, Permit};
use chappe_actors::metrics::metrics;
use chappe_actors::session::Session;
use chappe_actors::session::outbox::{Outbox, Topic};
use chappe_proto::outgoing::Wire;
use chappe_proto::websocket::{OPCODE_CLOSE, OPCODE_PONG, put_header};
use chappe_proto::websocket_input::{Incoming, Reader};
use chappe_proto::{Code, frame, json};
use futures_util::Stream;

use crate::http::problem::Problem;
use crate::http::{HttpSettings, admission, gate, identity};
use crate::transport::HttpConnection;

/// Packets as JSON, one a text frame.
const JSON: &str = "chappe.v1.json";
/// Packets as JSON in text frames and as flags and body in binary ones; answered in binary.
const BINARY: &str = "chappe.v1.bin";
/// Chunks from the socket taken in a row before other connections have their turn.
const READS_IN_A_ROW: usize = 8;

/// Answers a request for a WebSocket.
///
/// A page of a foreign origin is refused: a browser lets it connect anywhere, and only the server can say no.
///
/// # Errors
/// `forbidden`, `malformed`, `busy` or `shutting_down`; in token mode `not_authenticated` and `token_expired`.
pub(crate) async fn upgrade(
    request: HttpRequest,
    payload: web::Payload,
    settings: web::Data<HttpSettings>,
) -> Result<HttpResponse, Problem> {
    admission::check(&settings, &request)?;
    gate::check(&settings.origins.now(), request.head(), true)?;
    let shown = match settings.tokens {
        Some(_) => identity::of_handshake(request.head())?,
        None => None,
    };
    let mut response = ws::handshake_with_protocols(&request, &[JSON, BINARY])
        .map_err(|error| Problem::new(Code::Malformed, format!("this is no WebSocket handshake: {error}")))?;
    // Whoever came directly was counted when they connected.
    let peer = request.peer_addr().map(|peer| peer.ip());
    let permit = match settings.proxies.direct(peer) {
        Some(_) => None,
        None => Some(hub::enter(admission::client(&settings.proxies, &request))?),
    };
    let limits = hub::limits();
    let bytes = usize::try_from(limits.outbox_bytes).unwrap_or(usize::MAX);
    let outbox = Rc::new(Outbox::new(wire(&request), bytes, limits.window));
    let mut session = Session::open(Door::WebSocket, Rc::clone(&outbox))?;
    if let Some(shown) = shown {
        session.came_with(shown);
    }
    let reader = Reader::new(usize::try_from(limits.frame_bytes).unwrap_or(usize::MAX));
    let close = Rc::new(Cell::new(None));
    let body = Body { outbox, close: Rc::clone(&close), ended: false };
    let payload = payload.into_inner();
    if let Some(connection) = request.conn_data::<HttpConnection>() {
        connection.upgraded();
    }
    WebSocketSession { payload, session, reader, unread: Bytes::new(), close, _permit: permit }.start();
    Ok(response.streaming(body))
}

/// The wire of the subprotocol that the handshake chose: the first offered one that is ours.
fn wire(request: &HttpRequest) -> Wire {
    let offered = request.headers().get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|names| names.to_str().ok());
    let mut names = offered.unwrap_or_default().split(',').map(str::trim);
    match names.find(|name| [JSON, BINARY].contains(name)) {
        Some(BINARY) => Wire::WsBinary,
        _ => Wire::WsText,
    }
}

/// One connection's reading side.
struct WebSocketSession {
    payload: actix_web::dev::Payload,
    session: Session,
    reader: Reader,
    /// What came beyond the window, to be gone on with when there is room.
    unread: Bytes,
    /// The close frame to end with, if it is not the outbox's own.
    close: Rc<Cell<Option<u16>>>,
    _permit: Option<Permit>,
}

/// How far reading got.
enum Went {
    On,
    /// The connection ends with this close code.
    Closed(u16),
}

impl WebSocketSession {
    /// Takes in what the socket brings. Ready when the connection is over.
    fn poll_read(&mut self, task: &mut Task<'_>) -> Poll<()> {
        for _ in 0..READS_IN_A_ROW {
            if self.session.outbox().is_dead() {
                return Poll::Ready(());
            }
            ready!(self.session.outbox().poll_room(task));
            if self.unread.is_empty() {
                match ready!(Pin::new(&mut self.payload).poll_next(task)) {
                    Some(Ok(bytes)) => self.unread = bytes,
                    Some(Err(_)) | None => return Poll::Ready(()),
                }
                self.session.outbox().heard();
            }
            let went = self.take();
            self.session.flush();
            if let Went::Closed(code) = went {
                self.close.set(Some(code));
                return Poll::Ready(());
            }
        }
        // It could go on; the others first.
        task.waker().wake_by_ref();
        Poll::Pending
    }

    /// Takes the messages out of what came, as many as the window has room for.
    fn take(&mut self) -> Went {
        let bytes = std::mem::take(&mut self.unread);
        let mut rest = bytes.as_ref();
        while self.session.outbox().has_room() {
            match self.reader.next(&mut rest) {
                Ok(None) => break,
                Ok(Some(Incoming::Text(text))) => self.session.take(json::decode(text)),
                Ok(Some(Incoming::Binary(body))) => self.session.take(frame::decode(body)),
                Ok(Some(Incoming::Ping(payload))) => {
                    let mut pong = Vec::new();
                    put_header(OPCODE_PONG, payload.len(), &mut pong);
                    pong.extend_from_slice(payload);
                    self.session.outbox().ephemeral(Topic::Pong, Bytes::from(pong));
                }
                Ok(Some(Incoming::Pong)) => {}
                Ok(Some(Incoming::Close(code))) => return Went::Closed(code.unwrap_or(1000)),
                Err(violation) => return Went::Closed(violation.close_code()),
            }
        }
        self.unread = bytes.slice(bytes.len() - rest.len()..);
        self.session.outbox().speech().set_amid(!self.reader.is_between());
        Went::On
    }
}

impl Actor for WebSocketSession {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        metrics().connections[0].inc();
        metrics().connections_total[0].inc();
        ctx.spawn(Pump);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        metrics().connections[0].dec();
    }
}

/// Drives the reading side inside its actor.
struct Pump;

impl ActorFuture<WebSocketSession> for Pump {
    type Output = ();

    fn poll(
        self: Pin<&mut Self>,
        session: &mut WebSocketSession,
        ctx: &mut Context<WebSocketSession>,
        task: &mut Task<'_>,
    ) -> Poll<()> {
        ready!(session.poll_read(task));
        ctx.stop();
        Poll::Ready(())
    }
}

/// The writing side: the response's body.
struct Body {
    outbox: Rc<Outbox>,
    close: Rc<Cell<Option<u16>>>,
    /// The close frame has gone out.
    ended: bool,
}

impl Stream for Body {
    type Item = Result<Bytes, actix_web::Error>;

    fn poll_next(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<Self::Item>> {
        let body = self.get_mut();
        if body.ended {
            return Poll::Ready(None);
        }
        if let Some(chunk) = ready!(hub::with_encoder(|encoder| body.outbox.poll_chunk(encoder, task))) {
            return Poll::Ready(Some(Ok(chunk)));
        }
        // The last words: a close frame, once.
        body.ended = true;
        let (code, reason) = match (body.close.get(), body.outbox.closing()) {
            (Some(code), _) => (code, String::new()),
            (None, Some((code, reason))) => (code.number(), reason),
            (None, None) => return Poll::Ready(None),
        };
        // A control frame has at most 125 bytes; our reasons are shorter, and ASCII.
        let mut payload = code.to_be_bytes().to_vec();
        payload.extend(reason.bytes().take(123));
        let mut last = Vec::new();
        put_header(OPCODE_CLOSE, payload.len(), &mut last);
        last.extend_from_slice(&payload);
        Poll::Ready(Some(Ok(Bytes::from(last))))
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        // The socket is gone, or all is sent: the reading side ends too.
        self.outbox.kill();
    }
}
