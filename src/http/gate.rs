//! What every HTTP request passes before it is routed: the host's name, the page's origin, CORS, and who asks.

use std::future::{Ready, ready};

use actix_web::body::BoxBody;
use actix_web::dev::{RequestHead, Service, ServiceRequest, ServiceResponse, Transform, forward_ready};
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::{Error, HttpMessage, HttpResponse, ResponseError, web};
use chappe_proto::{Code, Reject};
use futures_util::FutureExt;
use futures_util::future::{Either, LocalBoxFuture};

use super::HttpSettings;
use super::admission;
use super::identity;
use super::origin::{Asker, Policy};
use super::problem::Problem;

/// What pages of allowed origins may send besides what all pages may.
const ALLOWED_HEADERS: &str = "authorization, content-type, idempotency-key, x-chappe-user, x-csrf-token";

/// Decides over a request by its head: `Host`, `Origin`, and whether it `changes` something (a WebSocket does).
///
/// # Errors
/// `forbidden` for a name that is not the server's and for a change that a foreign page asks for; `malformed` for a
/// header that is not text, or stands twice.
pub fn check(policy: &Policy, head: &RequestHead, changes: bool) -> Result<Asker, Reject> {
    let host = text(&head.headers, &header::HOST)?;
    let origin = text(&head.headers, &header::ORIGIN)?;
    // `GET http://name/path` names the host a second time; then both count.
    policy.check_host(head.uri.authority().map(|authority| authority.as_str()))?;
    if changes {
        return policy.check(origin, host);
    }
    policy.check_host(host)?;
    Ok(policy.asker(origin, host))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Reject> {
    let mut values = headers.get_all(name);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        // Two readers could take another one each.
        return Err(Reject::new(Code::Malformed, format!("{name} stands twice")));
    }
    value.to_str().map(Some).map_err(|_| Reject::new(Code::Malformed, format!("{name} is not text")))
}

/// The gate, as a middleware.
pub(super) struct Gate {
    pub(super) settings: web::Data<HttpSettings>,
}

/// The gate in front of the service `inner`.
pub(super) struct Gated<S> {
    inner: S,
    settings: web::Data<HttpSettings>,
}

impl<S> Transform<S, ServiceRequest> for Gate
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = Error>,
    S::Future: 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    type Transform = Gated<S>;
    type InitError = ();
    type Future = Ready<Result<Gated<S>, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(Gated { inner, settings: self.settings.clone() }))
    }
}

impl<S> Service<ServiceRequest> for Gated<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<BoxBody>, Error = Error>,
    S::Future: 'static,
{
    type Response = ServiceResponse<BoxBody>;
    type Error = Error;
    // Requests of programs and of the server's own pages, which are nearly all, cost no allocation here.
    type Future = Either<S::Future, LocalBoxFuture<'static, Result<ServiceResponse<BoxBody>, Error>>>;

    forward_ready!(inner);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        let checked = check(&self.settings.origins.now(), request.head(), changes);
        let asker = checked.as_ref().copied().unwrap_or(Asker::Own);
        // What a preflight asks for counts when it comes. A browser shows a page nothing of a preflight that was refused.
        let admitted = match asker {
            Asker::Allowed if is_preflight(&request) => admission::check_connection(request.request()),
            _ => admission::check(&self.settings, request.request()),
        };
        if let Err(problem) = admitted {
            return refuse(request, problem, asker);
        }
        if let Some(tokens) = &self.settings.tokens
            && let Ok(asker) = &checked
        {
            // The path as it is going to be routed, not as it was written.
            match identity::identify(tokens, request.head(), request.match_info().as_str()) {
                Ok(who) => drop(request.extensions_mut().insert(who)),
                Err(reject) => return refuse(request, reject, *asker),
            }
        }
        match checked {
            Ok(Asker::Own | Asker::Foreign) => Either::Left(self.inner.call(request)),
            Ok(Asker::Allowed) => {
                let origin = request.headers().get(header::ORIGIN).cloned();
                if is_preflight(&request) {
                    let mut response = request.into_response(preflight());
                    allow(response.headers_mut(), origin);
                    return Either::Right(ready(Ok(response)).boxed_local());
                }
                let answer = self.inner.call(request);
                Either::Right(
                    async move {
                        let mut response = answer.await?;
                        allow(response.headers_mut(), origin);
                        Ok(response)
                    }
                    .boxed_local(),
                )
            }
            Err(reject) => refuse(request, reject, Asker::Own),
        }
    }
}

fn refuse<F>(
    request: ServiceRequest,
    problem: impl Into<Problem>,
    asker: Asker,
) -> Either<F, LocalBoxFuture<'static, Result<ServiceResponse<BoxBody>, Error>>> {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = request.into_response(problem.into().error_response());
    if asker == Asker::Allowed {
        allow(response.headers_mut(), origin);
    }
    Either::Right(ready(Ok(response)).boxed_local())
}

fn is_preflight(request: &ServiceRequest) -> bool {
    *request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, PATCH, DELETE"))
        .insert_header((header::ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS))
        .insert_header((header::ACCESS_CONTROL_MAX_AGE, "600"))
        .finish()
}

fn allow(headers: &mut HeaderMap, origin: Option<HeaderValue>) {
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    }
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("location, retry-after"));
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}
