//! `/api/chats/{chat_id}/messages` and `/api/messages/{message_id}`: reading, posting, editing and deleting messages.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use chappe_actors::bounds;
use chappe_actors::command::{Command, Page, Post};
use chappe_actors::reply::{Accepted, Reply};
use chappe_proto::message::{Message, MessageType};
use chappe_proto::request::GetMessages;
use chappe_proto::signature::Signature;
use chappe_proto::{ChatId, ClientId, Code, MessageId, Seq, UserId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::chats::UserQuery;
use super::problem::Problem;
use super::{HttpSettings, answer, body, engine, extract, schema};

/// Which messages: a `page` of `per_page`, or `limit` of them `before` or `after` a number.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct MessagesQuery {
    /// 1 is the newest page.
    #[param(nullable = false, minimum = 1, default = 1)]
    page: Option<u32>,
    /// Messages a page; more than 500 counts as 500.
    #[param(nullable = false, minimum = 1, default = 50)]
    per_page: Option<u32>,
    /// The newest messages before this number.
    #[param(value_type = schema::Seq, required = false)]
    before: Option<Seq>,
    /// The oldest messages after this number.
    #[param(value_type = schema::Seq, required = false)]
    after: Option<Seq>,
    /// At most so many, with `before` or `after`; more than 500 counts as 500.
    #[param(nullable = false, minimum = 1, default = 50)]
    limit: Option<u32>,
    /// Who asks, in open mode.
    #[param(value_type = schema::UserId, required = false)]
    user_id: Option<UserId>,
}

/// A message to be posted.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"sender_id": 1, "content": "Hello!", "client_id": "a-name-of-my-own"}))]
pub(crate) struct NewMessage {
    /// Who posts it, in open mode. Else whom the query or `X-Chappe-User` names.
    #[schema(value_type = Option<schema::UserId>, required = false)]
    sender_id: Option<UserId>,
    /// The same as `sender_id`.
    #[schema(value_type = Option<schema::UserId>, required = false)]
    user_id: Option<UserId>,
    /// 1 to `limits.content_bytes` bytes of UTF-8, 32 KiB unless the operator says otherwise.
    #[schema(value_type = String, min_length = 1, example = "Hello!")]
    content: Box<str>,
    /// `Text` unless given.
    #[schema(value_type = Option<schema::MessageType>, required = false)]
    message_type: Option<MessageType>,
    /// Makes a retry safe: the same `client_id` twice is one message. As good as an `Idempotency-Key`.
    #[schema(value_type = Option<String>, required = false, min_length = 1, max_length = 128)]
    client_id: Option<ClientId>,
    /// The message it answers, in the same chat.
    #[schema(value_type = Option<schema::MessageId>, required = false)]
    reply_to: Option<MessageId>,
    /// The sender's own; `client_id`, or an `Idempotency-Key`, is needed then.
    #[schema(value_type = Option<schema::Signature>, required = false)]
    signature: Option<Box<Signature>>,
}

/// A message that is on disk.
#[derive(Serialize, ToSchema)]
#[schema(as = Posted)]
pub(crate) struct Posted<'a> {
    #[serde(flatten)]
    #[schema(value_type = schema::Message)]
    message: &'a Message,
    /// There, and true, if it was posted before under the same `client_id`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    duplicate: bool,
}

/// A message's new content.
#[derive(Deserialize, ToSchema)]
pub(crate) struct MessagePatch {
    /// 1 to `limits.content_bytes` bytes of UTF-8.
    #[schema(value_type = String, min_length = 1, example = "Hello, all!")]
    content: Box<str>,
    /// Who asks, in open mode: its sender.
    #[schema(value_type = Option<schema::UserId>, required = false)]
    user_id: Option<UserId>,
}

/// A change of a message that is on disk.
#[derive(Serialize, ToSchema)]
pub(crate) struct Changed {
    #[schema(value_type = schema::MessageId)]
    message_id: MessageId,
    #[schema(value_type = schema::ChatId)]
    chat_id: ChatId,
    /// The number of the change among the chat's events.
    #[schema(value_type = schema::Seq)]
    seq: Seq,
}

/// A page of messages
#[utoipa::path(get, path = "/api/chats/{chat_id}/messages", tag = "messages",
    params(("chat_id" = schema::ChatId, Path), MessagesQuery),
    responses((status = 200, body = schema::Messages, description = "Oldest first; page 1 is the newest")))]
pub(crate) async fn list_messages(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let chat = extract::path_id(&request, "chat_id")?;
    let MessagesQuery { page, per_page, before, after, limit, user_id } = extract::query(&request)?;
    let user = extract::user(&request, None, user_id)?;
    let (page, limit) = bounds::page(&GetMessages { chat_id: chat, page, per_page, before, after, limit })?;
    match engine::ask(Command::GetMessages { user, chat, page, limit }).await {
        Reply::Messages(page) => Ok(answer::written(StatusCode::OK, page.to_json())),
        other => Err(Problem::instead(other)),
    }
}

/// Posts a message
#[utoipa::path(post, path = "/api/chats/{chat_id}/messages", tag = "messages",
    params(("chat_id" = schema::ChatId, Path), UserQuery,
        ("Idempotency-Key" = Option<String>, Header, nullable = false,
            description = "The message's `client_id`, if the body has none")),
    request_body = NewMessage,
    responses(
        (status = 201, body = Posted, description = "The message; it is on disk"),
        (status = 200, body = Posted, description = "It was posted before, under the same `client_id`")))]
pub(crate) async fn post_message(
    request: HttpRequest,
    payload: web::Payload,
    settings: web::Data<HttpSettings>,
) -> Result<HttpResponse, Problem> {
    let chat = extract::path_id(&request, "chat_id")?;
    let query: UserQuery = extract::query(&request)?;
    let key = extract::idempotency_key(&request)?;
    let new: NewMessage = body::json(&request, payload, &settings).await?;
    bounds::content(&new.content, &settings.limits)?;
    if let (Some(sender), Some(user)) = (new.sender_id, new.user_id)
        && sender != user
    {
        return Err(Problem::new(Code::IdentityMismatch, "sender_id and user_id name different users"));
    }
    let sender = extract::known_user(&request, new.sender_id.or(new.user_id), query.user_id)?;
    let client_id = match (new.client_id, key) {
        (Some(id), Some(key)) if id != key => {
            return Err(Problem::new(Code::InvalidField, "client_id and Idempotency-Key differ: give one of them"));
        }
        (id, key) => id.or(key),
    };
    let message_type = new.message_type.unwrap_or_default();
    let NewMessage { content, reply_to, signature, .. } = new;
    bounds::signature(signature.as_deref(), chat, sender, client_id.as_ref(), &content)?;
    let post = Post { chat, sender, content, message_type, client_id, reply_to, signature };
    match engine::ask(Command::Post(Box::new(post))).await {
        Reply::Accepted(accepted) => {
            let duplicate = accepted.duplicate;
            let message = posted(*accepted, sender).await?;
            let status = if duplicate { StatusCode::OK } else { StatusCode::CREATED };
            Ok(answer::json(status, &Posted { message: &message, duplicate }))
        }
        other => Err(Problem::instead(other)),
    }
}

/// The message that was accepted; one that was posted long ago is asked for.
async fn posted(accepted: Accepted, sender: UserId) -> Result<Arc<Message>, Problem> {
    let Accepted { chat, seq, message, .. } = accepted;
    if let Some(message) = message {
        return Ok(message);
    }
    let page = Page::Before(seq.next());
    match engine::ask(Command::GetMessages { user: Some(sender), chat, page, limit: 1 }).await {
        Reply::Messages(page) => {
            let found = page.messages.messages().find(|message| message.seq == seq);
            found.and_then(|message| message.to_message()).map(Arc::new).ok_or_else(|| Problem::plain(Code::Internal))
        }
        other => Err(Problem::instead(other)),
    }
}

/// Edits a message
#[utoipa::path(patch, path = "/api/messages/{message_id}", tag = "messages",
    params(("message_id" = schema::MessageId, Path), UserQuery),
    request_body = MessagePatch,
    responses((status = 200, body = Changed, description = "The change is on disk")))]
pub(crate) async fn edit_message(
    request: HttpRequest,
    payload: web::Payload,
    settings: web::Data<HttpSettings>,
) -> Result<HttpResponse, Problem> {
    let message = extract::path_id(&request, "message_id")?;
    let query: UserQuery = extract::query(&request)?;
    let MessagePatch { content, user_id } = body::json(&request, payload, &settings).await?;
    bounds::content(&content, &settings.limits)?;
    let user = extract::known_user(&request, user_id, query.user_id)?;
    changed(message, engine::ask(Command::Edit { user, message, content }).await)
}

/// Deletes a message
#[utoipa::path(delete, path = "/api/messages/{message_id}", tag = "messages",
    params(("message_id" = schema::MessageId, Path), UserQuery),
    responses((status = 200, body = Changed, description = "The deletion is on disk")))]
pub(crate) async fn delete_message(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let message = extract::path_id(&request, "message_id")?;
    let query: UserQuery = extract::query(&request)?;
    let user = extract::known_user(&request, None, query.user_id)?;
    changed(message, engine::ask(Command::Delete { user, message }).await)
}

fn changed(message_id: MessageId, reply: Reply) -> Result<HttpResponse, Problem> {
    match reply {
        Reply::Accepted(accepted) => {
            let changed = Changed { message_id, chat_id: accepted.chat, seq: accepted.seq };
            Ok(answer::json(StatusCode::OK, &changed))
        }
        other => Err(Problem::instead(other)),
    }
}
