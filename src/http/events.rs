//! `/api/chats/{chat_id}/events`: what happened in a chat after a number.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use chappe_actors::bounds;
use chappe_actors::command::Command;
use chappe_actors::reply::Reply;
use chappe_proto::event::Event;
use chappe_proto::packet::Reset;
use chappe_proto::{ChatId, Seq, UserId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use super::{answer, engine, extract, schema};

/// Which events.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsQuery {
    /// Events with a greater number than this; 0, or absent: from the first.
    #[serde(default)]
    #[param(value_type = schema::Seq, required = false)]
    after: Seq,
    /// At most so many; more than 500 counts as 500.
    #[param(nullable = false, minimum = 1, default = 50)]
    limit: Option<u32>,
    /// Who asks, in open mode.
    #[param(value_type = schema::UserId, required = false)]
    user_id: Option<UserId>,
}

/// A chat's events.
#[derive(Serialize, ToSchema)]
pub(crate) struct Events {
    #[schema(value_type = schema::ChatId)]
    chat_id: ChatId,
    /// In order, without gaps, from `after + 1`.
    #[schema(value_type = Vec<schema::Event>)]
    events: Vec<Event>,
    /// The chat's newest number. Until it is reached there is more to ask for.
    #[schema(value_type = schema::Seq)]
    head: Seq,
    /// There if what was asked for cannot be given: forget the chat's history, and go on from `head`. Says why.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false)]
    reset: Option<Box<str>>,
}

/// A chat's events after a number
#[utoipa::path(get, path = "/api/chats/{chat_id}/events", tag = "messages",
    params(("chat_id" = schema::ChatId, Path), EventsQuery),
    responses((status = 200, body = Events, description = "Oldest first")))]
pub(crate) async fn list_events(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let chat = extract::path_id(&request, "chat_id")?;
    let EventsQuery { after, limit, user_id } = extract::query(&request)?;
    bounds::seq("after", after)?;
    let user = extract::user(&request, None, user_id)?;
    let limit = bounds::page_limit(limit)?;
    match engine::ask(Command::GetEvents { user, chat, after, limit }).await {
        Reply::Events(page) => Ok(answer::written(StatusCode::OK, page.to_json())),
        Reply::Reset(Reset { chat_id, head, reason }) => {
            Ok(answer::json(StatusCode::OK, &Events { chat_id, events: Vec::new(), head, reset: Some(reason) }))
        }
        other => Err(Problem::instead(other)),
    }
}
