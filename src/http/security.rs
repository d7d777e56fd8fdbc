//! How a request says who asks, for the API's description.

use actix_web::http::Method;
use utoipa::Modify;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};

use super::identity::{self, COOKIE, Need};

/// Adds the ways, and to every operation those it takes.
pub(super) struct Security;

impl Modify for Security {
    fn modify(&self, api: &mut OpenApi) {
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)));
        let about =
            "Set by POST /api/sessions. With everything but GET, X-CSRF-Token repeats the session's csrf_token.";
        let cookie = ApiKey::Cookie(ApiKeyValue::with_description(COOKIE, about));
        components.add_security_scheme("cookie", SecurityScheme::ApiKey(cookie));
        for (path, item) in &mut api.paths.paths {
            for (method, operation) in [
                (Method::GET, &mut item.get),
                (Method::POST, &mut item.post),
                (Method::PUT, &mut item.put),
                (Method::PATCH, &mut item.patch),
                (Method::DELETE, &mut item.delete),
            ] {
                let Some(operation) = operation else { continue };
                let by = |name: &str| SecurityRequirement::new(name, Vec::<String>::new());
                operation.security = Some(match identity::need(&method, path) {
                    Need::None => Vec::new(),
                    Need::Optional => vec![SecurityRequirement::default(), by("bearer"), by("cookie")],
                    Need::Token => vec![by("bearer"), by("cookie")],
                });
            }
        }
    }
}
