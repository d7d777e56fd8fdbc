//! The configuration: flag over environment over file over default, checked before anything starts.
//!
//! Owns what the settings are and where their values come from. What they do is said where they are used.

mod address;
mod auth_settings;
mod check;
mod environment;
mod file;
mod limit_settings;
mod log_filter;
mod nearest;
mod problem;
mod retention_settings;
mod settings;
mod stop_settings;
mod takes;
mod tls_settings;
mod value;
mod web_origin;

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use chappe_actors::hub::ConnectionLimits;
use chappe_actors::retention::Retention;
use chappe_proto::limits::Limits;

pub(crate) use nearest::nearest;
pub use problem::{ConfigError, Problem, Source};
pub use settings::{SETTINGS, Setting};
pub use takes::Takes;
pub(crate) use takes::about;

use file::File;
use problem::Entry;
use value::Value;

use crate::http::peer::Proxies;

/// What a server runs with. Every value is within its bounds, and they fit together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The folder everything is kept in.
    pub data: PathBuf,
    /// Where HTTP and WebSocket listen. Port 0 picks a free one, here and below.
    pub http: SocketAddr,
    /// Where TCP listens, unless it is off.
    pub tcp: Option<SocketAddr>,
    /// Where UDP listens, unless it is off.
    pub udp: Option<SocketAddr>,
    /// What to log, as `tracing_subscriber::EnvFilter` reads it.
    pub log: String,
    /// Whether other machines may reach a server that takes everyone's word.
    pub insecure_open: bool,
    /// How often the server lets itself be heard.
    pub heartbeat: Duration,
    /// What one connection may ask.
    pub limits: Limits,
    /// What may wait to be sent to all connections together, in bytes.
    pub outboxes_bytes: u64,
    /// How many connections there may be, and how slow.
    pub connection_limits: ConnectionLimits,
    /// Changes that may wait for the disk.
    pub pending_writes: u32,
    /// Where the certificates of TLS are.
    pub tls: Tls,
    /// How the server stops.
    pub shutdown: Shutdown,
    /// What is kept in memory.
    pub cache: Cache,
    /// What is not kept for ever.
    pub retention: Retention,
    /// How connections and HTTP are served.
    pub http_server: HttpServer,
    /// Whom the server believes.
    pub auth: AuthConfig,
}

/// Whom the server believes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthConfig {
    /// Everybody, or who shows a token.
    pub mode: AuthMode,
    /// Files with secrets that sign tokens with HS256.
    pub secret_files: Vec<PathBuf>,
    /// Files with public keys in PEM.
    pub public_key_files: Vec<PathBuf>,
    /// A file with keys as a JSON Web Key Set.
    pub jwks_file: Option<PathBuf>,
    /// Whom foreign tokens have to be for.
    pub audience: Option<String>,
    /// Who has to have given them.
    pub issuer: Option<String>,
    /// Which claim of theirs is the user's id.
    pub user_claim: String,
    /// Whether everybody may make an account.
    pub registration: bool,
    /// How long a session lives.
    pub session_ttl: Duration,
}

/// Everybody, or who shows a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthMode {
    /// Everybody, whoever they say they are.
    Open,
    /// Who shows a token.
    Token,
}

/// Where the certificates of TLS are; there is no TLS without.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// The server's certificate and those behind it.
    pub cert_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
    /// Whose certificates TCP clients have to show.
    pub client_ca_file: Option<PathBuf>,
    /// Whether the server makes a certificate for itself.
    pub self_signed: bool,
}

/// How the server stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shutdown {
    /// How long it goes on serving after it said that it is not ready any more.
    pub delay: Duration,
    /// Over how long its clients are told to come back.
    pub reconnect_within: Duration,
}

/// What is kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cache {
    /// Recent messages of one chat.
    pub messages_per_chat: u32,
    /// All recent messages together.
    pub bytes: u64,
}

/// How connections and HTTP are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpServer {
    /// Origins of foreign web pages that may use the server, exactly as browsers send them.
    pub allowed_origins: Vec<String>,
    /// Proxies that are believed whom they speak for.
    pub trusted_proxies: Proxies,
    /// How long a connection without a request stays open.
    pub keep_alive: Duration,
    /// Threads that serve connections.
    pub workers: Workers,
}

/// How many threads serve connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// One for each core.
    Auto,
    /// So many; at least one.
    Count(u16),
}

impl Workers {
    /// The number for this machine.
    pub fn count(self) -> usize {
        match self {
            Self::Auto => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            Self::Count(count) => count.into(),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Self {
            data: PathBuf::from("./chappe-data"),
            http: local(8080),
            tcp: Some(local(8081)),
            udp: Some(local(8082)),
            // The web server's own notes say nothing that ours do not.
            log: "info,actix_server=warn,actix_http=off".to_owned(),
            insecure_open: false,
            heartbeat: Duration::from_secs(25),
            limits: Limits::default(),
            outboxes_bytes: 256 << 20,
            connection_limits: ConnectionLimits::default(),
            pending_writes: 16_384,
            tls: Tls::default(),
            shutdown: Shutdown { delay: Duration::ZERO, reconnect_within: Duration::from_secs(5) },
            cache: Cache { messages_per_chat: 100, bytes: 256 << 20 },
            retention: Retention {
                max_age: None,
                max_messages_per_chat: None,
                every: Duration::from_secs(60),
                compact_every: Duration::from_secs(24 * 60 * 60),
            },
            http_server: HttpServer {
                allowed_origins: Vec::new(),
                trusted_proxies: Proxies::default(),
                keep_alive: Duration::from_secs(75),
                workers: Workers::Auto,
            },
            auth: AuthConfig {
                mode: AuthMode::Open,
                secret_files: Vec::new(),
                public_key_files: Vec::new(),
                jwks_file: None,
                audience: None,
                issuer: None,
                user_claim: "sub".to_owned(),
                registration: false,
                session_ttl: Duration::from_secs(24 * 60 * 60),
            },
        }
    }
}

/// What the configuration is made from, besides the file.
#[derive(Debug, Default)]
pub struct Inputs {
    /// The file named by the flag; the variable `CHAPPE_CONFIG` names it otherwise.
    pub file: Option<PathBuf>,
    /// The flags that were given: the setting's name and the value.
    pub flags: Vec<(&'static str, String)>,
    /// The environment.
    pub variables: Vec<(OsString, OsString)>,
    /// Variables beginning with `CHAPPE_` that mean something to other commands.
    pub other_variables: Vec<String>,
}

/// The configuration, and where each of its values comes from.
#[derive(Debug)]
pub struct Loaded {
    /// The settings in force.
    pub config: Config,
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
    /// What is odd but harmless, one sentence each.
    pub warnings: Vec<String>,
    sources: Vec<Source>,
}

impl Loaded {
    /// Where the value of the setting comes from.
    pub fn source_of(&self, name: &str) -> &Source {
        let index = SETTINGS.iter().position(|setting| setting.name == name);
        index.and_then(|index| self.sources.get(index)).unwrap_or(&Source::Default)
    }

    /// Refuses listeners that other machines can reach, unless `insecure_open` is set. For those who start a server.
    ///
    /// # Errors
    /// Each such listener, and what to do.
    pub fn refuse_exposed(&self) -> Result<(), ConfigError> {
        none_of(check::exposed(self).into_iter().collect())
    }
}

/// Reads file, environment and flags, the later over the earlier. Every value is checked, also one that another one
/// replaces: a mistake does not wait for the day the other goes away.
///
/// # Errors
/// All problems at once.
pub fn load(inputs: Inputs) -> Result<Loaded, ConfigError> {
    let environment = environment::read(inputs.variables, &inputs.other_variables);
    let file = inputs.file.or_else(|| environment.file.map(PathBuf::from));
    let File { mut entries, mut problems } = file.as_deref().map(file::read).unwrap_or_default();
    problems.extend(environment.problems);
    entries.extend(environment.entries);
    entries.extend(inputs.flags.into_iter().filter_map(|(name, value)| {
        let setting = Setting::find(name)?;
        let source = Source::Flag(setting.flag()?);
        Some(Entry { setting, value: Value::Word(value), source })
    }));

    let mut loaded = Loaded {
        config: Config::default(),
        file,
        warnings: environment.warnings,
        sources: vec![Source::Default; SETTINGS.len()],
    };
    for entry in entries {
        match entry.setting.apply(&mut loaded.config, &entry.value) {
            Ok(()) => {
                let same = |setting: &Setting| setting.name == entry.setting.name;
                let index = SETTINGS.iter().position(same);
                if let Some(slot) = index.and_then(|index| loaded.sources.get_mut(index)) {
                    *slot = entry.source;
                }
            }
            Err(misfit) => problems.push(Problem::misfit(&entry, misfit)),
        }
    }
    // Values that could not be read make no contradictions worth telling.
    if problems.is_empty() {
        problems = check::contradictions(&loaded);
    }
    problems.sort_by_key(|problem| problem.position);
    none_of(problems).map(|()| loaded)
}

impl Loaded {
    /// What is wrong with the values of these settings, where another part of the program found it out.
    pub fn problem(&self, names: &[&str], text: impl Into<String>) -> ConfigError {
        ConfigError { problems: vec![Problem::with(check::places(self, names), text)] }
    }
}

fn none_of(problems: Vec<Problem>) -> Result<(), ConfigError> {
    if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
}
