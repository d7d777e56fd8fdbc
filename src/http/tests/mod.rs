//! The HTTP door over a scripted engine: what is refused before the engine is asked, and what its replies look like.

mod answers;
mod description;
mod doors;
mod health;
mod pages;
mod refusals;

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::body::MessageBody;
use actix_web::http::header::HeaderMap;
use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::web::{self, Bytes};
use actix_web::{App, http::StatusCode};
use chappe_actors::clock::{Clock, Now};
use chappe_actors::hub::{AddressRates, Addresses};
use chappe_proto::Millis;
use chappe_proto::limits::{Limits, Rate};
use serde_json::Value;

use super::origin::Policy;
use super::peer::Proxies;
use super::{Answering, BODY_TIME, HEALTH_TIME, HttpSettings, routes};
use crate::transport::listening;

/// A response that was received, and what it answers.
struct Answer {
    method: String,
    path: String,
    status: StatusCode,
    headers: HeaderMap,
    /// Whether the connection ends with it.
    closes: bool,
    bytes: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

fn settings() -> HttpSettings {
    let allowed = ["https://shop.example".to_owned()];
    HttpSettings {
        limits: Limits { frame_bytes: 4096, content_bytes: 1000, ..Limits::default() },
        proxies: Proxies::default(),
        origins: Policy::new(&allowed, true).unwrap().into(),
        tls: false,
        started: Instant::now(),
        body_time: BODY_TIME,
        health_time: HEALTH_TIME,
        answering: Answering::default(),
        tokens: None,
    }
}

async fn send_with(settings: HttpSettings, request: TestRequest) -> Answer {
    let app = init_service(App::new().configure(|config| routes(config, web::Data::new(settings)))).await;
    let request = request.to_request();
    let (method, path) = (request.method().to_string(), request.path().to_owned());
    let response = call_service(&app, request).await.into_parts().1;
    let (status, headers, closes) = (response.status(), response.headers().clone(), !response.head().keep_alive());
    let Ok(bytes) = response.into_body().try_into_bytes() else { panic!("a response of {status} comes in pieces") };
    Answer { method, path, status, headers, closes, bytes }
}

/// Starts a hub that lets an address make `burst` requests, and no more: its clock stands still.
fn allow_requests(burst: u32) {
    let rate = |per_sec, burst| Rate { per_sec, burst };
    let clock = Clock::told(|| Now { wall: Millis(0), mono: Duration::ZERO });
    let addresses = AddressRates::new(rate(0, 1), rate(1, burst), clock);
    drop(listening::start_hub(|settings| settings.addresses = Addresses::new(Arc::new(addresses))));
}

async fn send(request: TestRequest) -> Answer {
    send_with(settings(), request).await
}

fn request(method: &str, path: &str) -> TestRequest {
    TestRequest::with_uri(path).method(method.parse().unwrap())
}

fn with_json(method: &str, path: &str, body: &str) -> TestRequest {
    request(method, path).insert_header(("content-type", "application/json")).set_payload(body.to_owned())
}
