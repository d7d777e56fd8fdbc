//! `/api/sessions` and passwords: logging in, looking, renewing, logging out. A session is a token; what is kept of it
//! is only that it has ended.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use chappe_actors::accounts::{Account, ChangePassword, Deny, GetAccount, Login};
use chappe_actors::principal::{Denial, Principal, Standing};
use chappe_proto::{Code, Millis, Reject, UserId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::cookie;
use super::identity::{self, Via};
use super::logins::{Attempt, Begin, GiveBack};
use super::problem::Problem;
use super::secret::Secret;
use super::{HttpSettings, Tokens, answer, body, came_from, engine, extract, schema};
use crate::auth::{self, Issued};

/// How long after its end the end of a session is remembered: a token is believed for some seconds longer.
const AFTERWARDS_MS: u64 = 60_000;

/// Who logs in.
#[derive(Deserialize, ToSchema)]
pub(crate) struct NewSession {
    /// What they call themselves; upper and lower case are the same.
    #[schema(example = "Ann")]
    nickname: String,
    /// Their password.
    #[schema(value_type = String, example = "correct horse battery staple")]
    password: Secret,
    /// Whether the answer sets the cookie; it does unless this is false, for programs.
    #[schema(required = false)]
    cookie: Option<bool>,
}

/// A session.
#[derive(Serialize, ToSchema)]
pub(crate) struct Session {
    #[schema(value_type = schema::UserId)]
    user_id: UserId,
    /// What people call them, if that is known here.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "Ann")]
    nickname: Option<String>,
    role: Role,
    /// To be sent as `X-CSRF-Token` with every change, if the cookie vouches for it.
    csrf_token: String,
    /// When it runs out, unless it is renewed.
    #[schema(value_type = schema::Millis)]
    expires_at: Millis,
    /// To be sent as `Authorization: Bearer`. There where one was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    token: Option<String>,
}

/// What somebody may do beyond what chats say.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AccountRole)]
pub(crate) enum Role {
    User,
    Admin,
}

/// A password to be changed.
#[derive(Deserialize, ToSchema)]
pub(crate) struct NewPassword {
    /// The present one. Only an admin who sets another user's password goes without.
    #[schema(value_type = Option<String>, required = false)]
    current: Option<Secret>,
    /// The new one: 8 to 256 bytes.
    #[schema(value_type = String, min_length = 8, max_length = 256)]
    password: Secret,
}

impl From<Standing> for Role {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::User => Self::User,
            Standing::Admin => Self::Admin,
        }
    }
}

impl Session {
    fn issued(account: &Account, issued: &Issued) -> Self {
        Self {
            user_id: account.user,
            nickname: Some(account.nickname.clone()),
            role: account.standing.into(),
            csrf_token: issued.csrf_token.clone(),
            expires_at: issued.expires_at,
            token: Some(issued.token.clone()),
        }
    }
}

/// Logs in
///
/// Sets the session's cookie, and answers its token for programs. After ten wrong passwords for a name, or from an
/// address, ten minutes have to pass since the first.
#[utoipa::path(post, path = "/api/sessions", tag = "sessions",
    request_body = NewSession,
    responses((status = 201, body = Session, description = "The session",
        headers(("Set-Cookie" = String, description = "`chappe_session`, for browsers")))))]
pub(crate) async fn create_session(
    request: HttpRequest,
    payload: web::Payload,
    settings: web::Data<HttpSettings>,
) -> Result<HttpResponse, Problem> {
    let tokens = tokens(&settings)?;
    let NewSession { nickname, password, cookie: sets_cookie } = body::json(&request, payload, &settings).await?;
    let attempt = Attempt::Password { address: came_from::address(&request), name: nickname.clone() };
    let login = Login { nickname, password: password.0 };
    let account = guarded(tokens, attempt, tokens.ask(login)).await?;
    let session = auth::Session::begin().map_err(|error| {
        tracing::error!(%error, "make a token");
        Reject::plain(Code::Internal)
    })?;
    let issued = tokens.authority.issue(&account, engine::now().wall, &session);
    let mut response = answer::json(StatusCode::CREATED, &Session::issued(&account, &issued));
    if sets_cookie.unwrap_or(true) {
        cookie::set(&mut response, &request, &issued.token, tokens.authority.ttl());
    }
    Ok(response)
}

/// The session at hand
#[utoipa::path(get, path = "/api/sessions/current", tag = "sessions",
    responses((status = 200, body = Session, description = "Whose token came with the request, and until when")))]
pub(crate) async fn get_session(
    request: HttpRequest,
    settings: web::Data<HttpSettings>,
) -> Result<HttpResponse, Problem> {
    let tokens = tokens(&settings)?;
    let (principal, _) = identity::holder(&request)?;
    let account = tokens.ask(GetAccount(principal.user)).await.ok();
    let session = Session {
        user_id: principal.user,
        nickname: account.map(|account| account.nickname).or(principal.nickname.map(String::from)),
        role: principal.standing.into(),
        csrf_token: tokens.authority.csrf(principal.token),
        expires_at: principal.expires_at,
        token: None,
    };
    Ok(answer::json(StatusCode::OK, &session))
}

/// Logs out
///
/// The token is worth nothing any more, and the connections that came with it are closed, when this is answered.
#[utoipa::path(delete, path = "/api/sessions/current", tag = "sessions",
    responses((status = 204, description = "It has ended, on disk too")))]
pub(crate) async fn delete_session(
    request: HttpRequest,
    settings: web::Data<HttpSettings>,
) -> Result<HttpResponse, Problem> {
    let tokens = tokens(&settings)?;
    let (principal, _) = identity::holder(&request)?;
    tokens.ask(Deny(end_of_session(tokens, &request, &principal))).await?;
    Ok(logged_out(&request))
}

/// Logs out everywhere
///
/// Ends all sessions of the user, and refuses all tokens that were made for them until now.
#[utoipa::path(delete, path = "/api/sessions", tag = "sessions",
    responses((status = 204, description = "They have ended, on disk too")))]
pub(crate) async fn delete_sessions(
    request: HttpRequest,
    settings: web::Data<HttpSettings>,
) -> Result<HttpResponse, Problem> {
    let tokens = tokens(&settings)?;
    let (principal, _) = identity::holder(&request)?;
    // One more: what was made in this very millisecond is from before, too.
    let time = Millis(engine::now().wall.0.saturating_add(1));
    tokens.ask(Deny(Denial::IssuedBefore { user: principal.user, time })).await?;
    // The clock of whoever made this one may be ahead of ours.
    tokens.ask(Deny(end_of_session(tokens, &request, &principal))).await?;
    Ok(logged_out(&request))
}

/// Renews a session
///
/// Makes a fresh token for the session of a token that is still good, which stays so; they end together. On a live
/// connection the fresh one is shown in another `Hello`. Tokens that no login made do not renew.
#[utoipa::path(post, path = "/api/sessions/current/renew", tag = "sessions",
    responses((status = 200, body = Session, description = "The session, with a fresh token")))]
pub(crate) async fn renew_session(
    request: HttpRequest,
    settings: web::Data<HttpSettings>,
) -> Result<HttpResponse, Problem> {
    let tokens = tokens(&settings)?;
    let (principal, via) = identity::holder(&request)?;
    // Who gives short tokens means them to be short.
    let Some(session) = identity::token(request.headers()).and_then(auth::Session::of) else {
        return Err(Problem::new(Code::Forbidden, "this token is no session's: ask whoever gave it for another"));
    };
    let account = tokens.ask(GetAccount(principal.user)).await.map_err(|reject| match reject.code {
        Code::UnknownUser => Reject::new(Code::Forbidden, "only users with an account here renew their sessions"),
        _ => reject,
    })?;
    // Logging out everywhere may have come meanwhile: what is made now would be from after that.
    identity::is_still_believed(&request)?;
    // Never more than either of the two.
    let account = Account { standing: account.standing.min(principal.standing), ..account };
    let issued = tokens.authority.issue(&account, engine::now().wall, &session);
    let mut response = answer::json(StatusCode::OK, &Session::issued(&account, &issued));
    if via == Via::Cookie {
        cookie::set(&mut response, &request, &issued.token, tokens.authority.ttl());
    }
    Ok(response)
}

/// Changes a password
///
/// All sessions of the user end, also the one that asks. An admin sets the password of another user without knowing the
/// present one.
#[utoipa::path(put, path = "/api/users/{user_id}/password", tag = "sessions",
    params(("user_id" = schema::UserId, Path)),
    request_body = NewPassword,
    responses((status = 204, description = "It is changed, on disk too")))]
pub(crate) async fn change_password(
    request: HttpRequest,
    payload: web::Payload,
    settings: web::Data<HttpSettings>,
) -> Result<HttpResponse, Problem> {
    let tokens = tokens(&settings)?;
    let user: UserId = extract::path_id(&request, "user_id")?;
    let (principal, _) = identity::holder(&request)?;
    if !identity::may_act_for(&principal, user) {
        return Err(Problem::new(Code::Forbidden, "users change their own password, admins everybody's"));
    }
    let NewPassword { current, password } = body::json(&request, payload, &settings).await?;
    let is_own = principal.user == user;
    if is_own && current.is_none() {
        return Err(Problem::new(Code::InvalidField, "current is missing: the present password"));
    }
    let old = current.filter(|_| is_own).map(|current| current.0);
    // No nickname begins like this: wrong tries here and wrong logins are counted apart.
    let attempt = Attempt::Password { address: came_from::address(&request), name: format!("\0{user}") };
    let change = tokens.ask(ChangePassword { user, old, new: password.0 });
    guarded(tokens, attempt, change).await?;
    Ok(if is_own { logged_out(&request) } else { answer::done() })
}

/// What the handlers need in token mode.
///
/// # Errors
/// `not_found` in open mode.
pub(super) fn tokens(settings: &HttpSettings) -> Result<&Tokens, Problem> {
    settings.tokens.as_ref().ok_or_else(|| identity::no_sessions().into())
}

/// Lets a password be tried, unless too many were wrong.
async fn guarded<T>(
    tokens: &Tokens,
    attempt: Attempt,
    tried: impl Future<Output = Result<T, Reject>>,
) -> Result<T, Problem> {
    let begun = tokens.logins.send(Begin(attempt.clone(), engine::now().mono)).await;
    begun.unwrap_or_else(|_| Err(Reject::plain(Code::ShuttingDown)))?;
    let result = tried.await;
    if !result.as_ref().is_err_and(|reject| reject.code == Code::NotAuthenticated) {
        tokens.logins.do_send(GiveBack(attempt));
    }
    Ok(result?)
}

/// The end of a session: of the token at hand, and of all that have its name. None of them outlives what was made now, with
/// the longest life that one of them was given.
fn end_of(token: &str, principal: &Principal, ttl: Duration, now: Millis) -> Denial {
    let longest = auth::Session::of(token).map(|session| session.longest()).unwrap_or_default().max(ttl);
    let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
    let last = principal.expires_at.0.max(now.0.saturating_add(longest));
    Denial::Token { token: principal.token, until: Millis(last.saturating_add(AFTERWARDS_MS)) }
}

/// The same, of whoever asks.
fn end_of_session(tokens: &Tokens, request: &HttpRequest, principal: &Principal) -> Denial {
    let token = identity::token(request.headers()).unwrap_or_default();
    end_of(token, principal, tokens.authority.ttl(), engine::now().wall)
}

fn logged_out(request: &HttpRequest) -> HttpResponse {
    let mut response = answer::done();
    if request.headers().contains_key(header::COOKIE) {
        cookie::clear(&mut response, request);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{self, Authority};

    #[test]
    fn the_end_of_a_session_outlives_its_tokens_of_before_the_time_was_shortened() {
        let folder = tempfile::tempdir().unwrap();
        let (secret, _) = auth::Secret::ensure(folder.path()).unwrap();
        let [day, minute] = [86_400, 60].map(Duration::from_secs);
        let [before, after] = [day, minute].map(|ttl| Authority::new(secret.clone(), ttl, false));
        let user = UserId::parse(1001).unwrap();
        let account =
            Account { user, nickname: "ann".into(), standing: Standing::User, disabled: false, created_at: Millis(0) };
        let made = Millis(1_800_000_000_000);
        let session = auth::Session::begin().unwrap();
        let first = before.issue(&account, made, &session);
        // Renewed before the setting was changed, and twice after.
        let sibling = before.issue(&account, Millis(made.0 + 1000), &auth::Session::of(&first.token).unwrap());
        let second = after.issue(&account, Millis(made.0 + 2000), &auth::Session::of(&first.token).unwrap());
        let third = after.issue(&account, Millis(made.0 + 3000), &auth::Session::of(&second.token).unwrap());
        let issued_at = Millis(made.0 + 3000);
        let (token, standing, expires_at) = (third.id, Standing::User, third.expires_at);
        let who = Principal { user, nickname: None, standing, token, issued_at, expires_at };
        let Denial::Token { token, until } = end_of(&third.token, &who, minute, Millis(made.0 + 4000)) else {
            panic!("a token ends");
        };
        assert_eq!(token, sibling.id);
        assert!(until > sibling.expires_at, "{until:?} {:?}", sibling.expires_at);
    }
}
