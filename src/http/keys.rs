//! `/api/users/{user_id}/key`: the key that a user's messages may be signed with. Everybody sets their own.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use chappe_actors::command::Command;
use chappe_actors::reply::Reply;
use chappe_proto::signature::PublicKey;
use chappe_proto::{Code, UserId};
use serde::Deserialize;
use utoipa::ToSchema;

use super::chats::UserQuery;
use super::problem::Problem;
use super::users::User;
use super::{HttpSettings, answer, body, engine, extract, schema};

/// A key to be registered.
#[derive(Deserialize, ToSchema)]
pub(crate) struct NewKey {
    /// An Ed25519 public key: 32 bytes in base64url without padding, as the `x` of a JWK.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$", example = "A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg")]
    public_key: PublicKey,
    /// Who asks, in open mode: the user in the path.
    #[schema(value_type = Option<schema::UserId>, required = false)]
    user_id: Option<UserId>,
}

/// Registers one's key
///
/// From now on one's messages may be signed with it. It takes the place of an earlier one; what was signed with that stays as
/// it is.
#[utoipa::path(put, path = "/api/users/{user_id}/key", tag = "users",
    params(("user_id" = schema::UserId, Path), UserQuery),
    request_body = NewKey,
    responses((status = 200, body = User, description = "The user; the key is on disk")))]
pub(crate) async fn set_key(
    request: HttpRequest,
    payload: web::Payload,
    settings: web::Data<HttpSettings>,
) -> Result<HttpResponse, Problem> {
    let query: UserQuery = extract::query(&request)?;
    let NewKey { public_key, user_id } = body::json(&request, payload, &settings).await?;
    let user = own(&request, user_id, query.user_id)?;
    if !public_key.is_sound() {
        return Err(Problem::new(
            Code::BadSignature,
            "one signature of this key would fit every message: choose another",
        ));
    }
    changed(user, Some(public_key)).await
}

/// Takes one's key back
///
/// Messages cannot be signed any more until there is another.
#[utoipa::path(delete, path = "/api/users/{user_id}/key", tag = "users",
    params(("user_id" = schema::UserId, Path), UserQuery),
    responses((status = 200, body = User, description = "The user; the change is on disk")))]
pub(crate) async fn delete_key(request: HttpRequest) -> Result<HttpResponse, Problem> {
    let query: UserQuery = extract::query(&request)?;
    let user = own(&request, None, query.user_id)?;
    changed(user, None).await
}

/// The user in the path, who has to be the one who asks.
fn own(request: &HttpRequest, body: Option<UserId>, query: Option<UserId>) -> Result<UserId, Problem> {
    let user = extract::path_id(request, "user_id")?;
    if extract::known_user(request, body, query)? == user {
        Ok(user)
    } else {
        Err(Problem::new(Code::IdentityMismatch, "a key is registered by its own user"))
    }
}

async fn changed(user: UserId, key: Option<PublicKey>) -> Result<HttpResponse, Problem> {
    match engine::ask(Command::SetKey { user, key }).await {
        Reply::User(user) => Ok(answer::json(StatusCode::OK, &User::from(user))),
        other => Err(Problem::instead(other)),
    }
}
