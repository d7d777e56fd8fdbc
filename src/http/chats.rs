//! `/api/chats` and `/api/chats/{chat_id}`: finding, making, renaming and deleting chats.

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use chappe_actors::bounds;
use chappe_actors::command::Command;
use chappe_actors::reply::Reply;
use chappe_proto::event::ChatKind;
use chappe_proto::packet::ChatSummary;
use chappe_proto::{ChatId, UserId};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use super::{HttpSettings, answer, body, engine, extract, members, schema};

/// Names the user, where a request has no more to say in its query.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct UserQuery {
    /// Who asks, in open mode.
    #[param(value_type = schema::UserId, required = false)]
    pub(crate) user_id: Option<UserId>,
}

/// Which chats.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ChatsQuery {
    /// Chats with a greater id than this; 0, or absent: from the first.
    #[serde(default, deserialize_with = "extract::cursor")]
    #[param(value_type = u64, required = false, maximum = 9007199254740991_u64)]
    after: Option<ChatId>,
    /// At most so many; more than 500 counts as 500.
    #[param(nullable = false, minimum = 1, default = 50)]
    limit: Option<u32>,
    /// Whose chats, in open mode; absent: the open ones.
    #[param(value_type = schema::UserId, required = false)]
    user_id: Option<UserId>,
}

/// A chat to be made.
#[derive(Deserialize, ToSchema)]
pub(crate) struct NewChat {
    /// 1 to 256 bytes of UTF-8.
    #[schema(value_type = String, min_length = 1, max_length = 256, example = "lunch")]
    title: Box<str>,
    /// `group` unless given.
    #[schema(value_type = Option<schema::ChatKind>, required = false)]
    kind: Option<ChatKind>,
    /// Its first members besides its owner. In token mode users whom the server knows; an admin may name others.
    #[serde(default)]
    #[schema(value_type = Option<Vec<schema::UserId>>, required = false, max_items = 1000)]
    members: Option<Vec<UserId>>,
    /// Its owner, in open mode. Else whom the query or `X-Chappe-User` names, else nobody.
    #[schema(value_type = Option<schema::UserId>, required = false)]
    user_id: Option<UserId>,
}

/// A chat's new title.
#[derive(Deserialize, ToSchema)]
pub(crate) struct ChatPatch {
    /// 1 to 256 bytes of UTF-8.
    #[schema(value_type = String, min_length = 1, max_length = 256, example = "dinner")]
    title: Box<str>,
    /// Who asks, in open mode.
    #[schema(value_type = Option<schema::UserId>, required = false)]
    user_id: Option<UserId>,
}

/// A user's chats, or the open ones
#[utoipa::path(get, path = "/api/chats", tag = "chats",
    params(ChatsQuery),
    responses((status = 200, body = schema::Chats, description = "By id, ascending")))]
pub(crate) async fn list_chats(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let query: ChatsQuery = extract::query(&request)?;
    let user = extract::user(&request, None, query.user_id)?;
    let limit = bounds::page_limit(query.limit)?;
    match engine::ask(Command::GetChats { user, after: query.after, limit }).await {
        Reply::Chats(chats) => Ok(answer::json_of_about(chats.chats.len() * 512, StatusCode::OK, &chats)),
        other => Err(Problem::instead(other)),
    }
}

/// Makes a chat
#[utoipa::path(post, path = "/api/chats", tag = "chats",
    params(UserQuery),
    request_body = NewChat,
    responses((status = 201, body = schema::ChatSummary, description = "The chat; it is on disk",
        headers(("Location" = String, description = "Where the chat is")))))]
pub(crate) async fn create_chat(
    request: HttpRequest,
    payload: web::Payload,
    settings: web::Data<HttpSettings>,
) -> Result<HttpResponse, Problem> {
    extract::no_idempotency_key(&request)?;
    let query: UserQuery = extract::query(&request)?;
    let NewChat { title, kind, members, user_id } = body::json(&request, payload, &settings).await?;
    let members = members.unwrap_or_default();
    bounds::title(&title)?;
    bounds::list_len("members", members.len())?;
    let user = extract::user(&request, user_id, query.user_id)?;
    members::introduce(&request, &members).await?;
    let command = Command::CreateChat { user, title, kind: kind.unwrap_or_default(), members };
    let chat = summary(engine::ask(command).await, user).await?;
    let mut response = answer::json(StatusCode::CREATED, &chat);
    if let Ok(location) = header::HeaderValue::try_from(format!("/api/chats/{}", chat.chat_id)) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// One chat
#[utoipa::path(get, path = "/api/chats/{chat_id}", tag = "chats",
    params(("chat_id" = schema::ChatId, Path), UserQuery),
    responses((status = 200, body = schema::ChatSummary, description = "The chat")))]
pub(crate) async fn get_chat(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let chat = extract::path_id(&request, "chat_id")?;
    let query: UserQuery = extract::query(&request)?;
    let user = extract::user(&request, None, query.user_id)?;
    let chat = summary(engine::ask(Command::GetChat { user, chat }).await, user).await?;
    Ok(answer::json(StatusCode::OK, &chat))
}

/// Renames a chat
#[utoipa::path(patch, path = "/api/chats/{chat_id}", tag = "chats",
    params(("chat_id" = schema::ChatId, Path), UserQuery),
    request_body = ChatPatch,
    responses((status = 200, body = schema::ChatSummary, description = "The chat; the change is on disk")))]
pub(crate) async fn rename_chat(
    request: HttpRequest,
    payload: web::Payload,
    settings: web::Data<HttpSettings>,
) -> Result<HttpResponse, Problem> {
    let chat = extract::path_id(&request, "chat_id")?;
    let query: UserQuery = extract::query(&request)?;
    let ChatPatch { title, user_id } = body::json(&request, payload, &settings).await?;
    bounds::title(&title)?;
    let user = extract::user(&request, user_id, query.user_id)?;
    let chat = summary(engine::ask(Command::RenameChat { user, chat, title }).await, user).await?;
    Ok(answer::json(StatusCode::OK, &chat))
}

/// Deletes a chat
#[utoipa::path(delete, path = "/api/chats/{chat_id}", tag = "chats",
    params(("chat_id" = schema::ChatId, Path), UserQuery),
    responses((status = 204, description = "It is gone, on disk too")))]
pub(crate) async fn delete_chat(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let chat = extract::path_id(&request, "chat_id")?;
    let query: UserQuery = extract::query(&request)?;
    let user = extract::user(&request, None, query.user_id)?;
    match engine::ask(Command::DeleteChat { user, chat }).await {
        Reply::Accepted(_) | Reply::Done => Ok(answer::done()),
        other => Err(Problem::instead(other)),
    }
}

/// The chat in `reply`; if it only says that a change was kept, the chat is asked for.
async fn summary(reply: Reply, user: Option<UserId>) -> Result<Box<ChatSummary>, Problem> {
    let reply = match reply {
        Reply::Accepted(accepted) => engine::ask(Command::GetChat { user, chat: accepted.chat }).await,
        reply => reply,
    };
    match reply {
        Reply::Chat(chat) => Ok(chat),
        other => Err(Problem::instead(other)),
    }
}
