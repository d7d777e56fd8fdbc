//! The table of the API: which path takes which methods, and who answers. What it does not hold is refused here.

use actix_web::http::Method;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, Route, Scope, guard, web};
use chappe_proto::Code;

use super::problem::Problem;
use super::{chats, events, health, keys, limits, members, messages, mode, openapi, sessions, users};

/// A `GET` route. It answers `HEAD` too; the server leaves the body out.
pub(super) fn get() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// Answers the methods that a path does not take, which are all but `methods`.
pub(super) fn only(methods: &[&str]) -> Route {
    let mut list = methods.join(", ");
    if methods.contains(&"GET") {
        list.push_str(", HEAD");
    }
    list.push_str(", OPTIONS");
    let allow = HeaderValue::try_from(list).unwrap_or(HeaderValue::from_static(""));
    web::to(move |method: Method| {
        let allow = allow.clone();
        async move {
            if method == Method::OPTIONS {
                return Ok(HttpResponse::NoContent().insert_header((header::ALLOW, allow)).finish());
            }
            Err(Problem::method_not_allowed(allow))
        }
    })
}

/// Answers for paths that there are not.
pub(super) async fn not_found() -> Result<HttpResponse, Problem> {
    Err(Problem::plain(Code::NotFound))
}

macro_rules! method {
    (GET) => {
        get()
    };
    (POST) => {
        web::post()
    };
    (PUT) => {
        web::put()
    };
    (PATCH) => {
        web::patch()
    };
    (DELETE) => {
        web::delete()
    };
}

macro_rules! table {
    ($( $path:literal { $( $method:ident => $handler:path ),* $(,)? } )*) => {
        /// The paths and their methods, for the test that holds them against the description.
        #[cfg(test)]
        pub(super) const TABLE: &[(&str, &[&str])] = &[$( ($path, &[$( stringify!($method) ),*]) ),*];

        /// Adds the API to `scope`.
        pub(super) fn register(scope: Scope) -> Scope {
            scope$(.service(
                web::resource($path)
                    $( .route(method!($method).to($handler)) )*
                    .default_service(only(&[$( stringify!($method) ),*])),
            ))*
        }
    };
}

// Tried from the top, so what is asked most stands first.
table! {
    "/api/chats/{chat_id}/messages" { GET => messages::list_messages, POST => messages::post_message }
    "/api/chats/{chat_id}/events" { GET => events::list_events }
    "/api/chats" { GET => chats::list_chats, POST => chats::create_chat }
    "/api/chats/{chat_id}" { GET => chats::get_chat, PATCH => chats::rename_chat, DELETE => chats::delete_chat }
    "/api/chats/{chat_id}/members" { GET => members::list_members, POST => members::add_member }
    "/api/chats/{chat_id}/members/{member_id}" { DELETE => members::remove_member }
    "/api/messages/{message_id}" { PATCH => messages::edit_message, DELETE => messages::delete_message }
    "/api/users" { GET => users::list_users, POST => users::create_user }
    "/api/users/online" { GET => users::list_online }
    "/api/users/{user_id}" { GET => users::get_user }
    "/api/users/{user_id}/key" { PUT => keys::set_key, DELETE => keys::delete_key }
    "/api/users/{user_id}/password" { PUT => sessions::change_password }
    "/api/sessions" { POST => sessions::create_session, DELETE => sessions::delete_sessions }
    "/api/sessions/current" { GET => sessions::get_session, DELETE => sessions::delete_session }
    "/api/sessions/current/renew" { POST => sessions::renew_session }
    "/api/auth" { GET => mode::get_auth }
    "/api/limits" { GET => limits::get_limits }
    "/api/openapi.json" { GET => openapi::get_openapi }
    "/health" { GET => health::get_health }
    "/health/live" { GET => health::get_live }
    "/health/ready" { GET => health::get_ready }
    "/metrics" { GET => health::get_metrics }
}
