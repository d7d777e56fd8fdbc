//! `/health`, `/health/live`, `/health/ready` and `/metrics`: for operators and the programs that watch the server.

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, web};
use chappe_actors::health::{Health, Phase, Storage};
use chappe_proto::Code;
use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use super::{HttpSettings, answer, engine};

/// How the server is.
#[derive(Serialize, ToSchema)]
#[schema(as = Health)]
pub(crate) struct Report<'a> {
    /// `degraded` if something is missing that the server is to do.
    status: Status,
    /// The server's version.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// How long it has been running, in seconds.
    uptime_s: u64,
    storage: StorageReport<'a>,
    /// What is damaged of the log, if something is: restore the folder from a backup.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    damage: Option<&'a str>,
    /// What is wrong with the query tables, if something is: until they are built again, some history cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    query_tables: Option<&'static str>,
    /// The position of the newest event on disk.
    log_position: u64,
    /// How many events the query tables are behind the log.
    projector_lag: u64,
    connections: ConnectionsReport,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = HealthStatus)]
enum Status {
    Ok,
    Degraded,
    Starting,
    Draining,
}

/// Whether the disk takes writes.
#[derive(Serialize, ToSchema)]
#[schema(as = StorageHealth)]
struct StorageReport<'a> {
    writable: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    reason: Option<&'a str>,
}

/// Open connections, by door.
#[derive(Serialize, ToSchema)]
#[schema(as = Connections)]
struct ConnectionsReport {
    websocket: u64,
    tcp: u64,
}

/// Says no more than that the server is well.
#[derive(Serialize, ToSchema)]
pub(crate) struct Well {
    #[schema(example = "ok")]
    status: &'static str,
}

impl<'a> Report<'a> {
    fn new(health: &'a Health, uptime_s: u64) -> Self {
        let reason = match &health.storage {
            Storage::Writable => None,
            Storage::Unavailable { reason } => Some(&**reason),
        };
        let rebuilding = "damaged: they are being built again from the log";
        let query_tables = health.are_tables_damaged.then_some(rebuilding);
        let is_damaged = health.damage.is_some() || health.are_tables_damaged;
        let status = match health.phase {
            Phase::Starting => Status::Starting,
            Phase::Draining => Status::Draining,
            Phase::Serving if reason.is_some() || is_damaged => Status::Degraded,
            Phase::Serving => Status::Ok,
        };
        Self {
            status,
            version: env!("CARGO_PKG_VERSION"),
            uptime_s,
            storage: StorageReport { writable: reason.is_none(), reason },
            damage: health.damage.as_deref(),
            query_tables,
            log_position: health.log_position,
            projector_lag: health.projector_lag(),
            connections: ConnectionsReport { websocket: health.connections.websocket, tcp: health.connections.tcp },
        }
    }
}

/// How the server is
///
/// Answers 200 also when the server is degraded: `/health/ready` is for programs that only look at the status. 503 means
/// that the engine does not answer.
#[utoipa::path(get, path = "/health", tag = "operation",
    responses((status = 200, body = Report, description = "How the server is")))]
pub(crate) async fn get_health(settings: web::Data<HttpSettings>) -> Result<HttpResponse, Problem> {
    let health = ask(&settings).await?;
    Ok(answer::json(StatusCode::OK, &Report::new(&health, settings.started.elapsed().as_secs())))
}

/// Whether the process lives
#[utoipa::path(get, path = "/health/live", tag = "operation",
    responses((status = 200, body = Well, description = "It does")))]
pub(crate) async fn get_live() -> HttpResponse {
    answer::json(StatusCode::OK, &Well { status: "ok" })
}

/// Whether the server takes writes
#[utoipa::path(get, path = "/health/ready", tag = "operation",
    responses((status = 200, body = Well, description = "It does")))]
pub(crate) async fn get_ready(settings: web::Data<HttpSettings>) -> Result<HttpResponse, Problem> {
    ask(&settings).await?.ready()?;
    Ok(answer::json(StatusCode::OK, &Well { status: "ok" }))
}

async fn ask(settings: &HttpSettings) -> Result<Health, Problem> {
    let silent = |_| Problem::new(Code::Busy, "the engine does not answer");
    tokio::time::timeout(settings.health_time, engine::health()).await.map_err(silent)
}

/// Metrics for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "operation",
    responses((status = 200, body = String, description = "OpenMetrics text",
        content_type = "application/openmetrics-text")))]
pub(crate) async fn get_metrics() -> HttpResponse {
    let openmetrics = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, openmetrics))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")))
        .body(engine::metrics())
}
