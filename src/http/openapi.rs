//! `/api/openapi.json`: the API's description, gathered from the handlers.

use std::sync::LazyLock;

use actix_web::http::header::HeaderValue;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::Value;
use utoipa::OpenApi;

use super::problem::ProblemBody;
use super::refusals::Refusals;
use super::security::Security;
use super::{chats, events, fixed, health, keys, limits, members, messages, mode, schema, sessions, users};

#[derive(OpenApi)]
#[openapi(
    info(title = "chappe", description = "The HTTP API of chappe, a real-time messaging server.

In open mode the server takes the client's word for who it is: `user_id` (`sender_id` for messages) in the body, else \
`user_id` in the query, else the header `X-Chappe-User`. In token mode a request comes with a token: as \
`Authorization: Bearer`, or in the cookie of a session together with `X-CSRF-Token`; whom it names otherwise has to agree. \
A token in the query is refused.

What is refused is answered with `application/problem+json` (RFC 9457); `code` says what happened, for programs."),
    paths(
        chats::list_chats, chats::create_chat, chats::get_chat, chats::rename_chat, chats::delete_chat,
        members::list_members, members::add_member, members::remove_member,
        messages::list_messages, messages::post_message, messages::edit_message, messages::delete_message,
        events::list_events,
        users::list_users, users::create_user, users::list_online, users::get_user,
        keys::set_key, keys::delete_key,
        mode::get_auth, sessions::create_session, sessions::get_session, sessions::delete_session, sessions::delete_sessions,
        sessions::renew_session, sessions::change_password,
        get_openapi, limits::get_limits, health::get_health, health::get_live, health::get_ready, health::get_metrics,
    ),
    components(schemas(ProblemBody, schema::Seq, schema::UserId)),
    modifiers(&Refusals, &Security),
    tags(
        (name = "chats", description = "Conversations, and who may read them"),
        (name = "members", description = "Who is in a chat"),
        (name = "messages", description = "What is said, and everything else that happens in a chat"),
        (name = "users", description = "Who there is, and who is there"),
        (name = "sessions", description = "Logging in and out, where the server asks who is there"),
        (name = "operation", description = "For operators and the programs that watch the server"),
    ),
)]
struct Api;

/// The description as it is served, and its name. Made when somebody asks for it.
static DOCUMENT: LazyLock<(Bytes, HeaderValue)> = LazyLock::new(|| {
    // Our own schemas have no maps with keys that are not strings.
    let mut document = serde_json::to_value(Api::openapi()).unwrap_or_default();
    widen(&mut document);
    let json = document.to_string().into_bytes();
    let etag = fixed::etag(&json);
    (json.into(), etag)
});

/// The library calls a `u32` an `int32`, which ends at half of it.
fn widen(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("format").is_some_and(|format| format == "int32") {
                fields.remove("format");
                fields.entry("maximum").or_insert_with(|| u32::MAX.into());
            }
            fields.values_mut().for_each(widen);
        }
        Value::Array(items) => items.iter_mut().for_each(widen),
        _ => {}
    }
}

/// This description
#[utoipa::path(get, path = "/api/openapi.json", tag = "operation",
    responses((status = 200, body = Object, description = "OpenAPI 3.1, as JSON")))]
pub(super) async fn get_openapi(request: HttpRequest) -> HttpResponse {
    let (json, etag) = &*DOCUMENT;
    fixed::unless_known(&request, "application/json", json, etag)
}
