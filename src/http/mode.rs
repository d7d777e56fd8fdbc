//! `/api/auth`: how the server wants to know who asks. A page looks here first.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde::Serialize;
use utoipa::ToSchema;

use super::{HttpSettings, answer};

/// How the server wants to know who asks.
#[derive(Serialize, ToSchema)]
pub(crate) struct AuthRules {
    mode: Mode,
    /// Whether anybody may make a user by `POST /api/users`.
    registration: bool,
}

/// Whom the server believes.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = AuthMode)]
pub(crate) enum Mode {
    /// Everybody, whoever they say they are.
    Open,
    /// Who shows a token.
    Token,
}

/// How the server wants to know who asks
///
/// The only question that a page has to ask before it knows anything: whether to ask for a name, or for a password.
#[utoipa::path(get, path = "/api/auth", tag = "sessions",
    responses((status = 200, body = AuthRules, description = "The mode, and whether one may register")))]
pub(crate) async fn get_auth(settings: web::Data<HttpSettings>) -> HttpResponse {
    let rules = match &settings.tokens {
        None => AuthRules { mode: Mode::Open, registration: true },
        Some(tokens) => AuthRules { mode: Mode::Token, registration: tokens.authority.registration() },
    };
    answer::json(StatusCode::OK, &rules)
}
