//! How requests may be refused, for the API's description: which depends on little more than what a request takes, so it
//! is said here once rather than at every handler.

use std::collections::BTreeMap;

use actix_web::http::Method;
use chappe_proto::Code;
use chappe_proto::code::Explanation;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{ObjectBuilder, OneOf, OneOfBuilder, Type};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder, Schema};
use utoipa::{Modify, ToSchema};

use super::identity::{self, Need};
use super::problem::ProblemBody;

/// Adds them to every operation, and the list of codes.
pub(super) struct Refusals;

/// Where the list of codes stands among the schemas.
pub(super) const CODE: &str = "Code";

impl Modify for Refusals {
    fn modify(&self, api: &mut OpenApi) {
        api.components.get_or_insert_default().schemas.insert(CODE.to_owned(), Schema::OneOf(codes()).into());
        for (path, item) in &mut api.paths.paths {
            let operations = [
                (Method::GET, &mut item.get),
                (Method::POST, &mut item.post),
                (Method::PUT, &mut item.put),
                (Method::PATCH, &mut item.patch),
                (Method::DELETE, &mut item.delete),
            ];
            for (method, operation) in operations {
                let Some(operation) = operation else { continue };
                for (status, codes) in refusals(path, &method, operation) {
                    operation.responses.responses.insert(status.to_string(), RefOr::T(response(&codes)));
                }
            }
        }
    }
}

/// Every code, with what it means and what to do: `/docs` lists them, and `type` of a problem leads there.
fn codes() -> OneOf {
    let all = OneOfBuilder::new().description(Some("Why a request was refused. A code never changes its meaning."));
    Code::ALL
        .iter()
        .fold(all, |all, code| {
            let Explanation { meaning, client, .. } = code.explain();
            let text = format!("{meaning}\n\n{client}\n\nStatus {}.", code.http_status());
            let code = ObjectBuilder::new().schema_type(Type::String).enum_values(Some([code.as_str()]));
            all.item(code.description(Some(text)))
        })
        .build()
}

/// The codes an operation may be refused with, by status.
fn refusals(path: &str, method: &Method, operation: &Operation) -> BTreeMap<u16, Vec<Code>> {
    use Code::{
        BadSignature, Busy, Conflict, Forbidden, IdentityMismatch, Internal, InvalidField, Malformed, NotAMember,
        NotAuthenticated, NotFound, RateLimited, ShuttingDown, StorageUnavailable, TokenExpired, TooDeep, TooLarge,
        UnknownChat, UnknownMessage, UnknownOutcome, UnknownUser, UnsupportedMediaType,
    };
    let changes = method != Method::GET;
    let need = identity::need(method, path);
    let of_sessions = path.starts_with("/api/sessions") || path.ends_with("/password");
    let posts_message = changes && path.ends_with("/messages");
    let changes_message = path.starts_with("/api/messages/");
    let in_chat = path.contains("{chat_id}") || changes_message;
    let has_body = operation.request_body.is_some();
    let rules: [(bool, &[Code]); 19] = [
        // Probes too: their connections count, if not what they ask.
        (true, &[Forbidden, RateLimited]),
        (has_body, &[Malformed, TooDeep, TooLarge, UnsupportedMediaType, InvalidField]),
        (operation.parameters.as_ref().is_some_and(|parameters| !parameters.is_empty()), &[InvalidField]),
        (need != Need::None || of_sessions, &[NotAuthenticated]),
        (need != Need::None, &[TokenExpired]),
        (need == Need::Token && !of_sessions, &[IdentityMismatch]),
        (of_sessions, &[NotFound]),
        (path == "/api/users" && changes, &[Conflict]),
        (path.ends_with("/password"), &[UnknownUser]),
        (posts_message, &[IdentityMismatch, Conflict, UnknownMessage, BadSignature]),
        (changes_message, &[UnknownMessage]),
        (in_chat, &[UnknownChat, NotAMember]),
        (changes && (path == "/api/chats" || path.contains("/members")), &[UnknownUser]),
        (path == "/api/users/{user_id}", &[UnknownUser]),
        (path.ends_with("/key"), &[NotAuthenticated, IdentityMismatch]),
        (path.starts_with("/api/") && path != "/api/openapi.json", &[Busy, ShuttingDown, Internal]),
        (path.starts_with("/api/") && changes, &[StorageUnavailable, UnknownOutcome]),
        (matches!(path, "/health" | "/api/openapi.json"), &[Busy]),
        (path == "/health/ready", &[Busy, StorageUnavailable, ShuttingDown]),
    ];
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in rules.iter().filter(|(applies, _)| *applies).flat_map(|(_, codes)| *codes) {
        let codes = by_status.entry(code.http_status()).or_default();
        if !codes.contains(code) {
            codes.push(*code);
        }
    }
    if has_body {
        // The one status that is not a code's own: the body did not arrive in time.
        by_status.insert(408, vec![Malformed]);
    }
    by_status
}

fn response(codes: &[Code]) -> Response {
    let lines: Vec<String> = codes.iter().map(|code| format!("`{code}`: {}", code.explain().meaning)).collect();
    let problem = ContentBuilder::new().schema(Some(Ref::from_schema_name(ProblemBody::name()))).build();
    let mut response =
        ResponseBuilder::new().description(lines.join("\n\n")).content("application/problem+json", problem);
    if codes.iter().any(|code| code.retryable()) {
        let seconds = ObjectBuilder::new().schema_type(Type::Integer);
        let header =
            HeaderBuilder::new().schema(Some(seconds.build())).description(Some("When to try again, in seconds"));
        response = response.header("Retry-After", header.build());
    }
    response.build()
}
