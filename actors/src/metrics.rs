//! What the engine counts, for `/metrics`. Every number is made once, at the start, so that counting is an addition.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, LazyLock};

use chappe_proto::Code;
use chappe_proto::commands::RULES;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode as encode_text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// One label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Door {
    door: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PacketType {
    packet_type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitOf {
    limit: &'static str,
}

/// A number that goes up and down.
pub type Level = Gauge<i64>;

/// A family of histograms must be told how to make one.
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// The doors, in the order of [`Metrics::connections`].
pub const DOORS: [&str; 3] = ["websocket", "tcp", "http"];

/// What may wait in all outboxes unless something else is set, in bytes.
pub const ALL_OUTBOXES: i64 = 256 << 20;

/// Connections that were not let in, by the limit they met.
#[derive(Debug)]
pub struct ConnectionsRefused {
    /// As many as there may be.
    pub all: Counter,
    /// As many as an address may have.
    pub address: Counter,
    /// Opened too fast by one address.
    pub address_rate: Counter,
    /// As many as a user may have.
    pub user: Counter,
}

/// Requests that came too fast, by whose.
#[derive(Debug)]
pub struct RateLimited {
    /// One connection's.
    pub connection: Counter,
    /// One user's.
    pub user: Counter,
    /// One chat's.
    pub chat: Counter,
    /// One address's, over HTTP.
    pub address: Counter,
}

/// Connections that took too long, by what they did not say, or take, in time.
#[derive(Debug)]
pub struct TooSlow {
    /// Hello.
    pub hello: Counter,
    /// The rest of a packet.
    pub packet: Counter,
    /// Anything.
    pub idle: Counter,
    /// What they asked for: they did not take it while there was no room for others.
    pub answers: Counter,
}

/// See the module. A field's documentation is its help text in `register`.
#[expect(missing_docs, reason = "each field is described where it is registered")]
#[derive(Debug)]
pub struct Metrics {
    pub connections: [Level; 3],
    pub connections_total: [Counter; 3],
    pub connections_refused: ConnectionsRefused,
    pub rate_limited: RateLimited,
    pub too_slow: TooSlow,
    pub packets: Vec<Counter>,
    pub accepted: Counter,
    pub duplicates: Counter,
    refused: Vec<Counter>,
    pub ack_latency: Histogram,
    pub commit_duration: Histogram,
    pub commit_records: Histogram,
    pub commit_failures: Counter,
    pub pending_writes: Level,
    pub reads_waiting: Level,
    pub cache_hits: Counter,
    pub cache_misses: Counter,
    pub cache_evictions: Counter,
    pub cache_bytes: Level,
    pub chats: Level,
    pub users: Level,
    pub sessions: Level,
    pub unknown_users: Counter,
    pub inbox_bytes: Level,
    pub outbox_bytes: Level,
    pub outbox_promised_bytes: Level,
    pub outbox_limit_bytes: Level,
    pub outbox_dropped: Counter,
    pub presence_packets: Counter,
    pub typing_packets: Counter,
    pub gaps: Counter,
    pub deliveries: Counter,
    pub tls_handshakes: [Counter; 2],
    pub tls_not_after: Level,
    pub passwords_hashed: Counter,
    pub udp_packets: Counter,
    pub udp_answers: Counter,
    pub udp_malformed: Counter,
    pub udp_oversized: Counter,
    pub udp_unsealed: Counter,
    pub udp_forged: Counter,
    pub udp_replayed: Counter,
    pub udp_expired: Counter,
    pub udp_overload: Counter,
    pub udp_refused: Counter,
    pub log_position: Gauge<u64, AtomicU64>,
    pub projected_position: Gauge<u64, AtomicU64>,
    pub projector_lag: Gauge<u64, AtomicU64>,
    pub storage_writable: Level,
    pub log_damaged: Level,
    pub query_tables_damaged: Level,
    pub query_tables_rebuilt: Counter,
    registry: Registry,
}

/// The process's metrics.
static METRICS: LazyLock<Arc<Metrics>> = LazyLock::new(|| Arc::new(Metrics::new()));

/// The process's metrics.
pub fn metrics() -> &'static Metrics {
    &METRICS
}

/// All of it in the text format of OpenMetrics.
pub fn encode() -> String {
    let metrics = metrics();
    metrics.projector_lag.set(metrics.log_position.get().saturating_sub(metrics.projected_position.get()));
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    let _ = encode_text(&mut text, &metrics.registry);
    text
}

impl Metrics {
    /// Counts a refusal.
    pub fn refuse(&self, code: Code) {
        if let Some(counter) = Code::ALL.iter().position(|known| *known == code).and_then(|at| self.refused.get(at)) {
            counter.inc();
        }
    }

    fn new() -> Self {
        let mut registry = Registry::with_prefix("chappe");
        let fast = || Histogram::new(exponential_buckets(0.000_05, 2.0, 18));
        let sizes = || Histogram::new(exponential_buckets(1.0, 2.0, 15));

        let doors: Family<Door, Level> = Family::default();
        let opened: Family<Door, Counter> = Family::default();
        let packets: Family<PacketType, Counter> = Family::default();
        let acks: Family<Outcome, Counter> = Family::default();
        let handshakes: Family<Outcome, Counter> = Family::default();
        let udp_dropped: Family<Reason, Counter> = Family::default();
        let ack_latency: Histograms<()> = Family::new_with_constructor(fast as fn() -> Histogram);
        let per_door = |family: &Family<Door, Level>, door| family.get_or_create(&Door { door }).clone();
        let opened_at = |door| opened.get_or_create(&Door { door }).clone();
        let with_result = |result| acks.get_or_create(&Outcome { result }).clone();
        let turned_away: Family<Reason, Counter> = Family::default();
        let limited: Family<LimitOf, Counter> = Family::default();
        let ended: Family<Reason, Counter> = Family::default();
        let away = |reason| turned_away.get_or_create(&Reason { reason }).clone();
        let limited_by = |limit| limited.get_or_create(&LimitOf { limit }).clone();
        let ended_for = |reason| ended.get_or_create(&Reason { reason }).clone();
        let dropped = |reason| udp_dropped.get_or_create(&Reason { reason }).clone();

        let metrics = Self {
            connections: DOORS.map(|door| per_door(&doors, door)),
            connections_total: DOORS.map(opened_at),
            connections_refused: ConnectionsRefused {
                all: away("all"),
                address: away("address"),
                address_rate: away("address_rate"),
                user: away("user"),
            },
            rate_limited: RateLimited {
                connection: limited_by("connection"),
                user: limited_by("user"),
                chat: limited_by("chat"),
                address: limited_by("address"),
            },
            too_slow: TooSlow {
                hello: ended_for("hello"),
                packet: ended_for("packet"),
                idle: ended_for("idle"),
                answers: ended_for("answers"),
            },
            packets: RULES
                .iter()
                .map(|rule| packets.get_or_create(&PacketType { packet_type: rule.name }).clone())
                .collect(),
            accepted: with_result("accepted"),
            duplicates: with_result("duplicate"),
            refused: Code::ALL.iter().map(|code| with_result(code.as_str())).collect(),
            ack_latency: ack_latency.get_or_create(&()).clone(),
            commit_duration: fast(),
            commit_records: sizes(),
            commit_failures: Counter::default(),
            pending_writes: Level::default(),
            reads_waiting: Level::default(),
            cache_hits: Counter::default(),
            cache_misses: Counter::default(),
            cache_evictions: Counter::default(),
            cache_bytes: Level::default(),
            chats: Level::default(),
            users: Level::default(),
            sessions: Level::default(),
            unknown_users: Counter::default(),
            inbox_bytes: Level::default(),
            outbox_bytes: Level::default(),
            outbox_promised_bytes: Level::default(),
            outbox_limit_bytes: Level::default(),
            outbox_dropped: Counter::default(),
            presence_packets: Counter::default(),
            typing_packets: Counter::default(),
            gaps: Counter::default(),
            deliveries: Counter::default(),
            tls_not_after: Level::default(),
            tls_handshakes: ["done", "failed"].map(|result| handshakes.get_or_create(&Outcome { result }).clone()),
            passwords_hashed: Counter::default(),
            udp_packets: Counter::default(),
            udp_answers: Counter::default(),
            udp_malformed: dropped("malformed"),
            udp_oversized: dropped("oversized"),
            udp_unsealed: dropped("unsealed"),
            udp_forged: dropped("forged"),
            udp_replayed: dropped("replayed"),
            udp_expired: dropped("expired"),
            udp_overload: dropped("overload"),
            udp_refused: dropped("refused"),
            log_position: Gauge::default(),
            projected_position: Gauge::default(),
            projector_lag: Gauge::default(),
            storage_writable: Level::default(),
            log_damaged: Level::default(),
            query_tables_damaged: Level::default(),
            query_tables_rebuilt: Counter::default(),
            registry: Registry::default(),
        };
        registry.register("connections", "Open connections", doors);
        registry.register("connections_opened", "Connections since the start", opened);
        registry.register("connections_refused", "Connections not let in, by the limit they met", turned_away);
        registry.register("rate_limited", "Requests that came too fast, by whose bucket was empty", limited);
        registry.register("too_slow", "Connections ended because something did not come in time, by what", ended);
        registry.register("packets", "Packets from clients, by packet_type", packets);
        registry.register("acks", "Changes accepted and requests refused, by result", acks);
        let seconds = Unit::Seconds;
        let latency = "From the arrival of a message to its ack being ready to leave";
        registry.register_with_unit("ack_latency", latency, seconds.clone(), metrics.ack_latency.clone());
        let duration = metrics.commit_duration.clone();
        registry.register_with_unit("commit_duration", "Commits of the log, with their flush", seconds, duration);
        registry.register("commit_records", "Records in a commit", metrics.commit_records.clone());
        registry.register("commit_failures", "Commits the disk did not take", metrics.commit_failures.clone());
        registry.register("pending_writes", "Writes on their way to the disk", metrics.pending_writes.clone());
        registry.register("reads_waiting", "Questions waiting for the readers", metrics.reads_waiting.clone());
        registry.register("cache_hits", "Pages answered from memory", metrics.cache_hits.clone());
        registry.register("cache_misses", "Pages answered from the disk", metrics.cache_misses.clone());
        let evictions = metrics.cache_evictions.clone();
        registry.register("cache_evictions", "Chats whose recent events left memory", evictions);
        registry.register_with_unit("cache", "Recent events in memory", Unit::Bytes, metrics.cache_bytes.clone());
        registry.register("chats", "Chats", metrics.chats.clone());
        registry.register("users", "Users", metrics.users.clone());
        registry.register("sessions", "Connections that hear a chat or said Hello", metrics.sessions.clone());
        let unknown = "Presence of users that nobody knows, dropped";
        registry.register("unknown_users", unknown, metrics.unknown_users.clone());
        let inbox = "Come from connections, of packets that are not whole or not read on";
        registry.register_with_unit("inbox", inbox, Unit::Bytes, metrics.inbox_bytes.clone());
        let outbox = metrics.outbox_bytes.clone();
        registry.register_with_unit("outbox", "Waiting to be sent to connections", Unit::Bytes, outbox);
        let promised = metrics.outbox_promised_bytes.clone();
        registry.register_with_unit("outbox_promised", "Pages that were asked for, at most", Unit::Bytes, promised);
        let limit = metrics.outbox_limit_bytes.clone();
        limit.set(ALL_OUTBOXES);
        registry.register_with_unit("outbox_limit", "What may wait to be sent to all connections", Unit::Bytes, limit);
        registry.register(
            "presence_packets",
            "Changes of presence sent, a packet each",
            metrics.presence_packets.clone(),
        );
        registry.register("typing_packets", "Typing sent, a packet each", metrics.typing_packets.clone());
        let lost = metrics.outbox_dropped.clone();
        registry.register("outbox_dropped", "Chunks of events or ephemera dropped at a full outbox", lost);
        registry.register("gaps", "Gaps told to slow connections", metrics.gaps.clone());
        registry.register("deliveries", "Events put into outboxes", metrics.deliveries.clone());
        registry.register("tls_handshakes", "TLS handshakes, by result", handshakes);
        let end = "When the certificate runs out, since 1970; 0 without one";
        registry.register_with_unit("tls_not_after", end, Unit::Seconds, metrics.tls_not_after.clone());
        let hashed = "Passwords hashed, to be kept or to be compared with what is kept";
        registry.register("passwords_hashed", hashed, metrics.passwords_hashed.clone());
        registry.register("udp_packets", "Datagrams taken in", metrics.udp_packets.clone());
        registry.register("udp_answers", "Datagrams sent", metrics.udp_answers.clone());
        registry.register("udp_dropped", "Datagrams dropped, by reason", udp_dropped);
        registry.register("log_position", "The newest record of the log", metrics.log_position.clone());
        let projected = metrics.projected_position.clone();
        registry.register("projected_position", "The newest record in the query tables", projected);
        let lag = metrics.projector_lag.clone();
        registry.register("projector_lag", "Records in the log that are not in the query tables yet", lag);
        let writable = metrics.storage_writable.clone();
        registry.register("storage_writable", "Whether the last commit was taken: 1 or 0", writable);
        metrics.storage_writable.set(1);
        let damaged = "Whether damage was found in a part of the log that the start did not read: 1 or 0";
        registry.register("log_damaged", damaged, metrics.log_damaged.clone());
        let damaged = "Whether damage was found in the query tables and they are not built again yet: 1 or 0";
        registry.register("query_tables_damaged", damaged, metrics.query_tables_damaged.clone());
        let rebuilt = "How often damaged query tables were built again by the running server";
        registry.register("query_tables_rebuilt", rebuilt, metrics.query_tables_rebuilt.clone());
        Self { registry, ..metrics }
    }
}
