//! `/api/users` and `/api/users/online`: who there is, and who is there.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use chappe_actors::accounts::{Account, Password, Register};
use chappe_actors::bounds;
use chappe_actors::command::Command;
use chappe_actors::principal::Standing;
use chappe_actors::reply::{self, Reply};
use chappe_proto::signature::PublicKey;
use chappe_proto::{Code, Millis, Reject, UserId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::identity::{self, Who};
use super::logins::{Attempt, Begin};
use super::problem::Problem;
use super::secret::Secret;
use super::{HttpSettings, Tokens, answer, body, came_from, engine, extract, schema};

/// Which users.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct UsersQuery {
    /// Users with a greater id than this; 0, or absent: from the first.
    #[serde(default, deserialize_with = "extract::cursor")]
    #[param(value_type = u64, required = false, maximum = 9007199254740991_u64)]
    after: Option<UserId>,
    /// At most so many; more than 500 counts as 500.
    #[param(nullable = false, minimum = 1, default = 50)]
    limit: Option<u32>,
}

/// How many users.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OnlineQuery {
    /// At most so many; more than 500 counts as 500.
    #[param(nullable = false, minimum = 1, default = 50)]
    limit: Option<u32>,
}

/// A user to be made.
#[derive(Deserialize, ToSchema)]
pub(crate) struct NewUser {
    /// 1 to 64 bytes of UTF-8.
    #[schema(value_type = String, min_length = 1, max_length = 64, example = "Ann")]
    nickname: Box<str>,
    /// What the user logs in with, in token mode: 8 to 256 bytes.
    #[schema(value_type = Option<String>, required = false, min_length = 8, max_length = 256)]
    password: Option<Secret>,
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
    #[schema(value_type = Option<String>, nullable = false, pattern = "^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$")]
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
    extract::holder(&request)?;
    match engine::ask(Command::GetUsers { after, limit: bounds::page_limit(limit)? }).await {
        Reply::Users(page) => {
            let users = page.users.into_iter().map(User::from).collect();
            Ok(answer::json(StatusCode::OK, &Users { users, has_more: page.has_more }))
        }
        other => Err(Problem::instead(other)),
    }
}

/// Makes a user
///
/// The server chooses the id. In open mode this is not needed: a user is made when it is first named. In token mode the
/// user gets an account; everybody may make one if `auth.registration` is on, else admins do.
#[utoipa::path(post, path = "/api/users", tag = "users",
    request_body = NewUser,
    responses((status = 201, body = User, description = "The user; it is on disk")))]
pub(crate) async fn create_user(
    request: HttpRequest,
    payload: web::Payload,
    settings: web::Data<HttpSettings>,
) -> Result<HttpResponse, Problem> {
    extract::no_idempotency_key(&request)?;
    let new = match &settings.tokens {
        None => None,
        Some(tokens) => Some(may_register(tokens, &request)?),
    };
    let NewUser { nickname, password } = body::json(&request, payload, &settings).await?;
    bounds::nickname(&nickname)?;
    let Some(registration) = new else {
        return match engine::ask(Command::CreateUser { user: None, nickname }).await {
            Reply::User(user) => Ok(answer::json(StatusCode::CREATED, &User::from(user))),
            other => Err(Problem::instead(other)),
        };
    };
    let missing = || Problem::new(Code::InvalidField, "password is missing: what the user will log in with");
    let Secret(password) = password.ok_or_else(missing)?;
    let account = registration.register(&request, nickname.clone().into(), password).await?;
    let made = match engine::ask(Command::CreateUser { user: Some(account.user), nickname }).await {
        Reply::User(user) => user.into(),
        // The account stands; the engine makes its user by itself, at the latest when they first come.
        _ => User {
            user_id: account.user,
            nickname: account.nickname.into(),
            created_at: account.created_at,
            public_key: None,
        },
    };
    Ok(answer::json(StatusCode::CREATED, &made))
}

/// Somebody who may make an account.
struct Registration<'a> {
    tokens: &'a Tokens,
    is_admin: bool,
}

fn may_register<'a>(tokens: &'a Tokens, request: &HttpRequest) -> Result<Registration<'a>, Problem> {
    let is_admin = match identity::of(request) {
        Some(Who::Holder(principal, _)) => principal.standing == Standing::Admin,
        _ => false,
    };
    if is_admin || tokens.authority.registration() {
        return Ok(Registration { tokens, is_admin });
    }
    identity::holder(request)?;
    Err(Problem::new(Code::Forbidden, "registration is off: admins make accounts"))
}

impl Registration<'_> {
    async fn register(&self, request: &HttpRequest, nickname: String, password: Password) -> Result<Account, Problem> {
        if !self.is_admin {
            // Accounts stay, and hashing a password takes time: some from an address are enough.
            let attempt = Attempt::Account { address: came_from::address(request) };
            let begun = self.tokens.logins.send(Begin(attempt, engine::now().mono)).await;
            begun.unwrap_or_else(|_| Err(Reject::plain(Code::ShuttingDown)))?;
        }
        Ok(self.tokens.ask(Register { user: None, nickname, password }).await?)
    }
}

/// A user
#[utoipa::path(get, path = "/api/users/{user_id}", tag = "users",
    params(("user_id" = schema::UserId, Path)),
    responses((status = 200, body = User, description = "The user")))]
pub(crate) async fn get_user(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let user = extract::path_id(&request, "user_id")?;
    extract::holder(&request)?;
    match engine::ask(Command::GetUser { user }).await {
        Reply::User(user) => Ok(answer::json(StatusCode::OK, &User::from(user))),
        other => Err(Problem::instead(other)),
    }
}

/// Who is online
///
/// In token mode of those with whom the asker shares a chat.
#[utoipa::path(get, path = "/api/users/online", tag = "users",
    params(OnlineQuery),
    responses((status = 200, body = schema::Presence, description = "By id, ascending")))]
pub(crate) async fn list_online(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let OnlineQuery { limit } = extract::query(&request)?;
    let user = extract::holder(&request)?;
    match engine::ask(Command::GetOnline { user, limit: bounds::page_limit(limit)? }).await {
        Reply::Presence(presence) => Ok(answer::json(StatusCode::OK, &presence)),
        other => Err(Problem::instead(other)),
    }
}
