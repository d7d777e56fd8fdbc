//! `/api/chats/{chat_id}/members`: who is in a chat.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use chappe_actors::bounds;
use chappe_actors::command::Command;
use chappe_actors::principal::Standing;
use chappe_actors::reply::{self, Reply};
use chappe_proto::event::Role;
use chappe_proto::{ChatId, Seq, UserId};
use futures_util::future::try_join_all;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::chats::UserQuery;
use super::identity::{self, Who};
use super::problem::Problem;
use super::{HttpSettings, answer, body, engine, extract, schema};

/// Which members.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct MembersQuery {
    /// Users with a greater id than this; 0, or absent: from the first.
    #[serde(default, deserialize_with = "extract::cursor")]
    #[param(value_type = u64, required = false, maximum = 9007199254740991_u64)]
    after: Option<UserId>,
    /// At most so many; more than 500 counts as 500.
    #[param(nullable = false, minimum = 1, default = 50)]
    limit: Option<u32>,
    /// Who asks, in open mode.
    #[param(value_type = schema::UserId, required = false)]
    user_id: Option<UserId>,
}

/// A page of a chat's members, by id.
#[derive(Serialize, ToSchema)]
pub(crate) struct Members {
    #[schema(value_type = schema::ChatId)]
    chat_id: ChatId,
    members: Vec<Member>,
    /// Whether more follow: ask again with `after`, the last one's id.
    has_more: bool,
}

/// A member of a chat.
#[derive(Serialize, ToSchema)]
pub(crate) struct Member {
    #[schema(value_type = schema::UserId)]
    user_id: UserId,
    #[schema(value_type = schema::Role)]
    role: Role,
    /// How far they have read.
    #[schema(value_type = schema::Seq)]
    read_seq: Seq,
}

/// Whom to add.
#[derive(Deserialize, ToSchema)]
pub(crate) struct NewMember {
    /// Who is added. In token mode a user whom the server knows; an admin may name another.
    #[schema(value_type = schema::UserId)]
    user_id: UserId,
    /// Who adds them, in open mode. Else whom the query or `X-Chappe-User` names, else nobody.
    #[schema(value_type = Option<schema::UserId>, required = false)]
    by: Option<UserId>,
}

/// A member who was added.
#[derive(Serialize, ToSchema)]
pub(crate) struct Added {
    #[schema(value_type = schema::ChatId)]
    chat_id: ChatId,
    #[schema(value_type = schema::UserId)]
    user_id: UserId,
    /// The number of the event in the chat.
    #[schema(value_type = schema::Seq)]
    seq: Seq,
}

impl From<reply::Members> for Members {
    fn from(page: reply::Members) -> Self {
        let member = |member: reply::Member| Member { user_id: member.user, role: member.role, read_seq: member.read };
        Self { chat_id: page.chat, members: page.members.into_iter().map(member).collect(), has_more: page.has_more }
    }
}

/// A chat's members
#[utoipa::path(get, path = "/api/chats/{chat_id}/members", tag = "members",
    params(("chat_id" = schema::ChatId, Path), MembersQuery),
    responses((status = 200, body = Members, description = "By id, ascending")))]
pub(crate) async fn list_members(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let chat = extract::path_id(&request, "chat_id")?;
    let query: MembersQuery = extract::query(&request)?;
    let user = extract::user(&request, None, query.user_id)?;
    let limit = bounds::page_limit(query.limit)?;
    match engine::ask(Command::GetMembers { user, chat, after: query.after, limit }).await {
        Reply::Members(page) => Ok(answer::json(StatusCode::OK, &Members::from(page))),
        other => Err(Problem::instead(other)),
    }
}

/// Adds a member
#[utoipa::path(post, path = "/api/chats/{chat_id}/members", tag = "members",
    params(("chat_id" = schema::ChatId, Path), UserQuery),
    request_body = NewMember,
    responses(
        (status = 201, body = Added, description = "They are a member now; it is on disk"),
        (status = 200, body = Added, description = "They were a member already")))]
pub(crate) async fn add_member(
    request: HttpRequest,
    payload: web::Payload,
    settings: web::Data<HttpSettings>,
) -> Result<HttpResponse, Problem> {
    let chat = extract::path_id(&request, "chat_id")?;
    let query: UserQuery = extract::query(&request)?;
    let NewMember { user_id: member, by } = body::json(&request, payload, &settings).await?;
    let user = extract::user(&request, by, query.user_id)?;
    introduce(&request, &[member]).await?;
    match engine::ask(Command::AddMember { user, chat, member }).await {
        Reply::Accepted(accepted) => {
            let status = if accepted.duplicate { StatusCode::OK } else { StatusCode::CREATED };
            let added = Added { chat_id: accepted.chat, user_id: member, seq: accepted.seq };
            Ok(answer::json(status, &added))
        }
        other => Err(Problem::instead(other)),
    }
}

/// Makes those whom an admin names, unless they are there: in token mode they are made for nobody else.
///
/// # Errors
/// What keeps the engine from it.
pub(crate) async fn introduce(request: &HttpRequest, members: &[UserId]) -> Result<(), Problem> {
    let is_admin = match identity::of(request) {
        Some(Who::Holder(principal, _)) => principal.standing == Standing::Admin,
        _ => false,
    };
    if !is_admin {
        return Ok(());
    }
    let make = |user: &UserId| {
        let make = Command::CreateUser { user: Some(*user), nickname: format!("user {user}").into() };
        async move {
            match engine::ask(make).await {
                Reply::User(_) => Ok(()),
                other => Err(Problem::instead(other)),
            }
        }
    };
    // All at once: they are one commit, or a few.
    try_join_all(members.iter().map(make)).await.map(|_| ())
}

/// Removes a member
#[utoipa::path(delete, path = "/api/chats/{chat_id}/members/{member_id}", tag = "members",
    params(("chat_id" = schema::ChatId, Path), ("member_id" = schema::UserId, Path, description = "Who is removed"),
        UserQuery),
    responses((status = 204, description = "They are no member any more; it is on disk")))]
pub(crate) async fn remove_member(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let chat = extract::path_id(&request, "chat_id")?;
    let member = extract::path_id(&request, "member_id")?;
    let query: UserQuery = extract::query(&request)?;
    let user = extract::user(&request, None, query.user_id)?;
    match engine::ask(Command::RemoveMember { user, chat, member }).await {
        Reply::Accepted(_) | Reply::Done => Ok(answer::done()),
        other => Err(Problem::instead(other)),
    }
}
