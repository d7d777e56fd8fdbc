//! WebSocket: the handshake over HTTP. How messages stand in the bytes that follow, the connection knows.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as Task, Poll};

use actix_http::ws;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use chappe_actors::connection::Connection;
use chappe_actors::hub::{self, Door, Permit};
use chappe_actors::session::Session;
use chappe_actors::session::outbox::Outbox;
use chappe_proto::Code;
use chappe_proto::outgoing::Wire;
use chappe_proto::websocket_input::Reader;
use futures_util::Stream;

use crate::http::problem::Problem;
use crate::http::{HttpSettings, admission, gate, identity};
use crate::transport::HttpConnection;

/// Packets as JSON, one a text frame.
const JSON: &str = "chappe.v1.json";
/// Packets as JSON in text frames and as flags and body in binary ones; answered in binary.
const BINARY: &str = "chappe.v1.bin";

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
    let no_handshake = |why: &str| Problem::new(Code::Malformed, format!("this is no WebSocket handshake: {why}"));
    ws::verify_handshake(request.head()).map_err(|error| no_handshake(&error.to_string()))?;
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY).ok_or_else(|| no_handshake("there is no key"))?;
    let connection = request.conn_data::<Rc<HttpConnection>>().ok_or_else(|| Problem::plain(Code::Internal))?;
    // Whoever came directly was counted when they connected.
    let peer = request.peer_addr().map(|peer| peer.ip());
    let permit = match settings.proxies.direct(peer) {
        Some(_) => None,
        None => Some(hub::enter(admission::client(&settings.proxies, &request))?),
    };
    let mut response = HttpResponse::SwitchingProtocols();
    response
        .upgrade("websocket")
        .insert_header((header::SEC_WEBSOCKET_ACCEPT, ws::hash_key(key.as_bytes()).as_slice()));
    let protocol = protocol(&request);
    if let Some(protocol) = protocol {
        response.insert_header((header::SEC_WEBSOCKET_PROTOCOL, protocol));
    }
    let limits = hub::limits();
    let bytes = usize::try_from(limits.outbox_bytes).unwrap_or(usize::MAX);
    let wire = if protocol == Some(BINARY) { Wire::WsBinary } else { Wire::WsText };
    let mut session = Session::open(Door::WebSocket, Rc::new(Outbox::new(wire, bytes, limits.window)))?;
    if let Some(shown) = shown {
        session.came_with(shown);
    }
    let reader = Reader::new(usize::try_from(limits.frame_bytes).unwrap_or(usize::MAX));
    let kept = Kept { _permit: permit, _connection: Rc::clone(connection) };
    Ok(response.streaming(Handover { payload: payload.into_inner(), next: Some((session, reader, kept)) }))
}

/// The subprotocol that the handshake chooses: the first offered one that is ours.
fn protocol(request: &HttpRequest) -> Option<&'static str> {
    let offered = request.headers().get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    offered.split(',').find_map(|name| [JSON, BINARY].into_iter().find(|ours| *ours == name.trim()))
}

/// What a connection holds while it lives: its place among those of its address, and among all.
struct Kept {
    _permit: Option<Permit>,
    _connection: Rc<HttpConnection>,
}

/// The body of the handshake's answer. It is asked for once the head stands in what the HTTP library is about to send: from
/// then on, the socket is free as soon as that is sent.
struct Handover {
    payload: actix_web::dev::Payload,
    next: Option<(Session, Reader, Kept)>,
}

impl Stream for Handover {
    type Item = Result<Bytes, actix_web::Error>;

    fn poll_next(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let Some((session, reader, kept)) = this.next.take() else { return Poll::Pending };
        // A client may not say anything before it has the answer. What it said nevertheless is here already.
        let mut unread = Vec::new();
        while let Poll::Ready(Some(Ok(bytes))) = Pin::new(&mut this.payload).poll_next(task) {
            unread.extend_from_slice(&bytes);
        }
        let connection = Rc::clone(&kept._connection);
        connection.hand_over(move |io| Connection::serve(io, session, reader, unread, kept));
        Poll::Pending
    }
}
