//! A refusal over HTTP: RFC 9457 `application/problem+json` with the protocol's code.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use chappe_actors::metrics::metrics;
use chappe_actors::reply::Reply;
use chappe_proto::{Code, Reject};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa::openapi::Ref;

use super::refusals;

/// A request refused, and the HTTP that goes with it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reject}")]
pub(crate) struct Problem {
    reject: Reject,
    status: StatusCode,
    allow: Option<HeaderValue>,
    close: bool,
    /// Whether it stands in the metrics: the hub counts what the engine answers, and nobody what is refused before.
    is_counted: bool,
}

/// What a refusal looks like: RFC 9457, with the protocol's code in it.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    /// Where the code is explained.
    #[serde(rename = "type")]
    #[schema(example = "/docs#unknown_chat")]
    kind: String,
    /// What the code means, for people.
    title: &'a str,
    /// The HTTP status again.
    status: u16,
    /// What went wrong with this request, for people.
    detail: &'a str,
    /// The protocol's code, for programs. A code never changes its meaning.
    #[schema(schema_with = code_schema)]
    code: &'a str,
    /// Whether the same request may succeed later.
    retryable: bool,
    /// When to try again, in milliseconds; `Retry-After` says it in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    retry_after_ms: Option<u32>,
}

fn code_schema() -> Ref {
    Ref::from_schema_name(refusals::CODE)
}

impl From<Reject> for Problem {
    fn from(reject: Reject) -> Self {
        let status = StatusCode::from_u16(reject.code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { reject, status, allow: None, close: false, is_counted: false }
    }
}

impl Problem {
    /// A refusal with a sentence of its own.
    pub(crate) fn new(code: Code, message: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Reject::new(code, message).into()
    }

    /// A refusal for which the code's own meaning says all.
    pub(crate) fn plain(code: Code) -> Self {
        Reject::plain(code).into()
    }

    /// The path exists but takes only the methods that `allow` lists.
    pub(crate) fn method_not_allowed(allow: HeaderValue) -> Self {
        Self { allow: Some(allow), ..Self::plain(Code::MethodNotAllowed) }
    }

    /// The body did not arrive in time. The protocol has no code for it: its packets have no bodies that lag behind.
    pub(crate) fn body_too_slow() -> Self {
        let problem = Self::new(Code::Malformed, "the body did not arrive in time");
        Self { status: StatusCode::REQUEST_TIMEOUT, close: true, ..problem }
    }

    /// The connection ends with the answer: what is left of the request is not read.
    pub(crate) fn closing(self) -> Self {
        Self { close: true, ..self }
    }

    /// What the engine answered instead of what was asked for.
    pub(crate) fn instead(reply: Reply) -> Self {
        match reply {
            Reply::Rejected { reject, .. } => Self { is_counted: true, ..reject.into() },
            other => {
                // Not the reply itself: what people say is in it.
                let reply = std::mem::discriminant(&other);
                tracing::error!(?reply, "answer HTTP request: the engine's reply does not fit the question");
                Self::plain(Code::Internal)
            }
        }
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    /// What the client is sent. Asked for once, when it is sent.
    fn error_response(&self) -> HttpResponse {
        if !self.is_counted {
            metrics().refuse(self.reject.code);
        }
        let Reject { code, message, retry_after_ms } = &self.reject;
        let body = ProblemBody {
            kind: format!("/docs#{code}"),
            title: code.explain().meaning,
            status: self.status.as_u16(),
            detail: message,
            code: code.as_str(),
            retryable: code.retryable(),
            retry_after_ms: *retry_after_ms,
        };
        let mut bytes = Vec::with_capacity(256);
        // Writing text and numbers to a `Vec` cannot fail.
        let _ = serde_json::to_writer(&mut bytes, &body);

        let mut response = HttpResponse::build(self.status);
        response
            .insert_header((header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json")))
            .insert_header((header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
            .insert_header((header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")));
        if let Some(wait_ms) = retry_after_ms {
            response.insert_header((header::RETRY_AFTER, HeaderValue::from(wait_ms.div_ceil(1000))));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"chappe\"")));
        }
        if let Some(allow) = &self.allow {
            response.insert_header((header::ALLOW, allow.clone()));
        }
        if self.close {
            response.force_close();
        }
        response.body(bytes)
    }
}

#[cfg(test)]
mod tests {
    use actix_web::body::MessageBody;

    use super::*;

    fn body(problem: &Problem) -> serde_json::Value {
        let bytes = problem.error_response().into_body().try_into_bytes().unwrap();
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn every_code_has_a_problem_with_its_status() {
        for code in Code::ALL {
            let problem = Problem::plain(*code);
            let response = problem.error_response();
            assert_eq!(response.status().as_u16(), code.http_status());
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), code.retryable(), "{code}");
            assert_eq!(response.headers().contains_key(header::WWW_AUTHENTICATE), response.status() == 401, "{code}");
            let body = body(&problem);
            assert_eq!(body["code"], code.as_str());
            assert_eq!(body["status"], code.http_status());
            assert_eq!(body["type"], format!("/docs#{code}"));
        }
    }

    #[test]
    fn retry_after_is_in_whole_seconds_and_never_too_early() {
        for (wait_ms, seconds) in [(0, "0"), (1, "1"), (1000, "1"), (1001, "2")] {
            let reject = Reject { retry_after_ms: Some(wait_ms), ..Reject::plain(Code::Busy) };
            let problem = Problem::from(reject);
            assert_eq!(problem.error_response().headers().get(header::RETRY_AFTER).unwrap(), seconds);
            assert_eq!(body(&problem)["retry_after_ms"], wait_ms);
        }
    }
}
