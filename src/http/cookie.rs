//! The session's cookie as it is sent to browsers: scripts do not see it, foreign pages do not send it along.

use std::time::Duration;

use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpRequest, HttpResponse};

use super::came_from;
use super::identity::COOKIE;

/// Gives the browser `token` for so long.
pub(super) fn set(response: &mut HttpResponse, request: &HttpRequest, token: &str, life: Duration) {
    put(response, request, token, life.as_secs());
}

/// Lets the browser forget it.
pub(super) fn clear(response: &mut HttpResponse, request: &HttpRequest) {
    put(response, request, "", 0);
}

fn put(response: &mut HttpResponse, request: &HttpRequest, token: &str, seconds: u64) {
    let secure = if came_from::is_secure(request) { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    // Tokens are ASCII without what ends a cookie's value.
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
}
