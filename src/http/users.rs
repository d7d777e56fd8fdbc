//! `/api/users` and `/api/users/online`: who there is, and who is there.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use chappe_actors::bounds;
use chappe_actors::command::Command;
use chappe_actors::reply::{self, Reply};
use chappe_proto::signature::PublicKey;
use chappe_proto::{Millis, UserId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use super::{HttpSettings, answer, body, engine, extract, schema};

/// Which users.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct UsersQuery {
    /// Users with a greater id than this; 0, or absent: from the first.
    #[serde(default, deserialize_with = "extract::cursor")]
    #[param(value_type = u64, required = false, maximum = 9007199254740991_u64)]
    after: Option<UserId>,
    /// At most so many; less than 1 counts as 1, more than 500 as 500.
    #[param(nullable = false, default = 50)]
    limit: Option<u32>,
}

/// How many users.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OnlineQuery {
    /// At most so many; less than 1 counts as 1, more than 500 as 500.
    #[param(nullable = false, default = 50)]
    limit: Option<u32>,
}

/// A user to be made.
#[derive(Deserialize, ToSchema)]
pub(crate) struct NewUser {
    /// 1 to 64 bytes of UTF-8.
    #[schema(value_type = String, min_length = 1, max_length = 64, example = "Ann")]
    nickname: Box<str>,
}

/// A user.
#[derive(Serialize, ToSchema)]
pub(crate) struct User {
    #[schema(value_type = schema::UserId)]
    user_id: UserId,
    /// What people call them.
    #[schema(value_type = String, example = "Ann")]
    nickname: Box<str>,
    #[schema(value_type = schema::Millis)]
    created_at: Millis,
    /// The key that their messages may be signed with; base64url without padding. Absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false, min_length = 43, max_length = 43)]
    public_key: Option<PublicKey>,
}

/// A page of users, by id.
#[derive(Serialize, ToSchema)]
pub(crate) struct Users {
    users: Vec<User>,
    /// Whether more follow: ask again with `after`, the last one's id.
    has_more: bool,
}

impl From<reply::User> for User {
    fn from(user: reply::User) -> Self {
        let reply::User { id: user_id, nickname, created_at, public_key } = user;
        Self { user_id, nickname, created_at, public_key }
    }
}

/// The users
#[utoipa::path(get, path = "/api/users", tag = "users",
    params(UsersQuery),
    responses((status = 200, body = Users, description = "By id, ascending")))]
pub(crate) async fn list_users(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let UsersQuery { after, limit } = extract::query(&request)?;
    match engine::ask(Command::GetUsers { after, limit: bounds::page_limit(limit) }).await {
        Reply::Users(page) => {
            let users = page.users.into_iter().map(User::from).collect();
            Ok(answer::json(StatusCode::OK, &Users { users, has_more: page.has_more }))
        }
        other => Err(Problem::instead(other)),
    }
}

/// Makes a user
///
/// The server chooses the id. In open mode this is not needed: a user is made when it is first named.
#[utoipa::path(post, path = "/api/users", tag = "users",
    request_body = NewUser,
    responses((status = 201, body = User, description = "The user; it is on disk")))]
pub(crate) async fn create_user(
    request: HttpRequest,
    payload: web::Payload,
    settings: web::Data<HttpSettings>,
) -> Result<HttpResponse, Problem> {
    extract::no_idempotency_key(&request)?;
    let NewUser { nickname } = body::json(&request, payload, &settings).await?;
    bounds::nickname(&nickname)?;
    match engine::ask(Command::CreateUser { nickname }).await {
        Reply::User(user) => Ok(answer::json(StatusCode::CREATED, &User::from(user))),
        other => Err(Problem::instead(other)),
    }
}

/// A user
#[utoipa::path(get, path = "/api/users/{user_id}", tag = "users",
    params(("user_id" = schema::UserId, Path)),
    responses((status = 200, body = User, description = "The user")))]
pub(crate) async fn get_user(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let user = extract::path_id(&request, "user_id")?;
    match engine::ask(Command::GetUser { user }).await {
        Reply::User(user) => Ok(answer::json(StatusCode::OK, &User::from(user))),
        other => Err(Problem::instead(other)),
    }
}

/// Who is online
#[utoipa::path(get, path = "/api/users/online", tag = "users",
    params(OnlineQuery),
    responses((status = 200, body = schema::Presence, description = "By id, ascending")))]
pub(crate) async fn list_online(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let OnlineQuery { limit } = extract::query(&request)?;
    match engine::ask(Command::GetOnline { limit: bounds::page_limit(limit) }).await {
        Reply::Presence(presence) => Ok(answer::json(StatusCode::OK, &presence)),
        other => Err(Problem::instead(other)),
    }
}
