//! `/api/limits`: everything that a client may run into, as numbers.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use chappe_actors::hub::{self, ConnectionLimits};
use chappe_proto::limits::{
    self, DATAGRAM_BYTES, JSON_DEPTH, MAX_EMOJI_BYTES, MAX_LIST, MAX_NICKNAME_BYTES, MAX_PAGE_DEPTH, MAX_STATUS_BYTES,
    MAX_TITLE_BYTES,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{HttpSettings, answer};

/// The largest head of a request, and the most headers in it: what the HTTP library reads.
pub(crate) const HEAD_BYTES: usize = 128 * 1024;
/// See [`HEAD_BYTES`].
pub(crate) const HEADERS: usize = 96;
/// How long a request's head may take to arrive.
pub(crate) const HEAD_TIME: Duration = Duration::from_secs(10);

/// How often something may be done: so many at once, and so many a second in the long run.
#[derive(Serialize, ToSchema)]
#[schema(as = Rate)]
struct RateReport {
    /// 0 is without limit.
    #[schema(example = 1000)]
    per_sec: u32,
    #[schema(example = 4000)]
    burst: u32,
}

impl From<limits::Rate> for RateReport {
    fn from(limits::Rate { per_sec, burst }: limits::Rate) -> Self {
        Self { per_sec, burst }
    }
}

/// The server's limits. Those that `Welcome` tells of have the same names there.
#[derive(Serialize, ToSchema)]
#[schema(as = Limits)]
pub(crate) struct Report {
    /// The largest packet a client may send, and the largest body of an HTTP request.
    frame_bytes: u32,
    /// The longest message content, in UTF-8.
    content_bytes: u32,
    /// Requests of one connection that may be unanswered; a page of history counts as 128.
    window: u32,
    /// What may wait to be sent to one connection.
    outbox_bytes: u32,
    /// Messages or events of one page.
    page: u32,
    /// Members of one chat.
    members: u32,
    /// Chats that one user makes.
    chats: u32,
    /// Packets of one connection.
    connection_rate: RateReport,
    /// Requests of one user, over all connections and HTTP together.
    user_rate: RateReport,
    /// Changes of one chat, by all its members together; and as many typing and read marks besides.
    chat_rate: RateReport,
    /// HTTP requests of one address.
    ip_request_rate: RateReport,
    /// Connections that one address opens.
    ip_connection_rate: RateReport,
    /// Connections at a time: WebSocket, TCP and HTTP together.
    connections: u32,
    /// Connections of one address; an IPv6 network of 64 bits is one.
    connections_per_ip: u32,
    /// Connections of one user.
    connections_per_user: u32,
    /// How long a connection may take until it has said Hello, where the server asks for tokens.
    hello_time_ms: u64,
    /// How long a packet that has begun may take until it is whole.
    packet_time_ms: u64,
    /// How long a connection may say nothing at all, where it need not say Hello.
    idle_time_ms: u64,
    /// How long the head of an HTTP request may take.
    http_head_time_ms: u64,
    /// How long the body of an HTTP request may take.
    http_body_time_ms: u64,
    /// The largest head of an HTTP request.
    http_head_bytes: usize,
    /// Headers of an HTTP request.
    http_headers: usize,
    /// The largest datagram.
    datagram_bytes: usize,
    /// How deep JSON may nest.
    json_depth: u32,
    /// The longest title of a chat.
    title_bytes: usize,
    /// The longest nickname.
    nickname_bytes: usize,
    /// The longest status.
    status_bytes: usize,
    /// The longest emoji of a reaction.
    emoji_bytes: usize,
    /// Users or chats that one request may name.
    list_entries: usize,
    /// How deep `page` and `per_page` reach, in messages.
    page_depth: u64,
}

/// The server's limits
///
/// Nobody needs to say who they are to read them.
#[utoipa::path(get, path = "/api/limits", tag = "operation",
    responses((status = 200, body = Report, description = "All of them")))]
pub(crate) async fn get_limits(settings: web::Data<HttpSettings>) -> HttpResponse {
    let limits = hub::limits();
    let connections = hub::connection_limits();
    answer::json_of_about(1024, StatusCode::OK, &report(&limits, &connections, settings.body_time))
}

fn report(told: &limits::Limits, connections: &ConnectionLimits, body_time: Duration) -> Report {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Report {
        frame_bytes: told.frame_bytes,
        content_bytes: told.content_bytes,
        window: told.window,
        outbox_bytes: told.outbox_bytes,
        page: told.page,
        members: told.members,
        chats: told.chats,
        connection_rate: told.connection_rate.into(),
        user_rate: told.user_rate.into(),
        chat_rate: told.chat_rate.into(),
        ip_request_rate: connections.ip_request_rate.into(),
        ip_connection_rate: connections.ip_connection_rate.into(),
        connections: connections.all,
        connections_per_ip: connections.per_ip,
        connections_per_user: connections.per_user,
        hello_time_ms: ms(connections.hello_time),
        packet_time_ms: ms(connections.packet_time),
        idle_time_ms: ms(connections.idle_time),
        http_head_time_ms: ms(HEAD_TIME),
        http_body_time_ms: ms(body_time),
        http_head_bytes: HEAD_BYTES,
        http_headers: HEADERS,
        datagram_bytes: DATAGRAM_BYTES,
        json_depth: JSON_DEPTH,
        title_bytes: MAX_TITLE_BYTES,
        nickname_bytes: MAX_NICKNAME_BYTES,
        status_bytes: MAX_STATUS_BYTES,
        emoji_bytes: MAX_EMOJI_BYTES,
        list_entries: MAX_LIST,
        page_depth: MAX_PAGE_DEPTH,
    }
}
