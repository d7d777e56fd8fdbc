//! Every setting, once: its name, what it takes, where it goes. The file, the environment, the flags, the output of
//! `chappe config` and the documentation all follow this table.

use std::time::Duration;

use crate::config::takes::{Takes, in_time, in_units};
use crate::config::value::{Misfit, Value};
use crate::config::{
    Config, Workers, address, auth_settings, limit_settings, log_filter, retention_settings, stop_settings,
    tls_settings, web_origin,
};
use crate::http::peer::{BadNetwork, Proxies};

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// Its key in the file; a dot stands between a table and its key.
    pub name: &'static str,
    /// What it takes.
    pub takes: Takes,
    /// One line about it.
    pub about: &'static str,
    /// Whether there is a flag for it.
    pub has_flag: bool,
    /// Whether SIGHUP takes it over; others take a new start.
    pub reload: bool,
    pub(super) set: fn(&mut Config, &Value, &Takes) -> Result<(), Misfit>,
    pub(super) show: fn(&Config) -> String,
}

impl Setting {
    /// The setting of this name.
    pub fn find(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }

    /// The environment variable that sets it.
    pub fn env(&self) -> String {
        format!("CHAPPE_{}", self.name.replace('.', "_").to_uppercase())
    }

    /// The flag that sets it, if there is one.
    pub fn flag(&self) -> Option<String> {
        // What a table is mostly about needs no second word: `auth.mode` is `--auth`.
        let name = self.name.strip_suffix(".mode").unwrap_or(self.name);
        self.has_flag.then(|| format!("--{}", name.replace(['.', '_'], "-")))
    }

    /// The table it stands in (empty at the top of the file), and its key there.
    pub fn table_and_key(&self) -> (&'static str, &'static str) {
        self.name.split_once('.').unwrap_or(("", self.name))
    }

    /// Its value in `config`, as it would be written in the file.
    pub fn show(&self, config: &Config) -> String {
        (self.show)(config)
    }

    /// Puts `value` into `config`.
    pub(crate) fn apply(&self, config: &mut Config, value: &Value) -> Result<(), Misfit> {
        (self.set)(config, value, &self.takes)
    }
}

/// The largest frame: the first byte of a binary frame's length has to be 0.
const LARGEST_FRAME: u64 = (1 << 24) - 1;
/// The longest content: with what the log keeps beside it, a record has to be small enough to be read again.
const LONGEST_CONTENT: u64 = (1 << 24) - 1024;

/// Every setting, in the order of the documentation.
pub static SETTINGS: &[Setting] = &[
    Setting {
        name: "data",
        takes: Takes::Folder,
        about: "Where everything is kept; made if it does not exist.",
        has_flag: true,
        reload: false,
        set: |config, value, _| match value.text()? {
            "" => Err(Misfit::default()),
            text => {
                config.data = text.into();
                Ok(())
            }
        },
        show: |config| quoted(&config.data.to_string_lossy()),
    },
    Setting {
        name: "http",
        takes: Takes::Address,
        about: "HTTP and WebSocket: the page, `/api`, `/ws`, `/metrics`.",
        has_flag: true,
        reload: false,
        set: |config, value, _| address::parse(value.text()?).map(|address| config.http = address),
        show: |config| quoted(&config.http.to_string()),
    },
    Setting {
        name: "tcp",
        takes: Takes::AddressOrOff,
        about: "TCP: JSON lines and binary frames.",
        has_flag: true,
        reload: false,
        set: |config, value, _| address::parse_or_off(value.text()?).map(|address| config.tcp = address),
        show: |config| config.tcp.map_or_else(|| quoted("off"), |address| quoted(&address.to_string())),
    },
    Setting {
        name: "udp",
        takes: Takes::AddressOrOff,
        about: "UDP: beacons of presence and typing.",
        has_flag: true,
        reload: false,
        set: |config, value, _| address::parse_or_off(value.text()?).map(|address| config.udp = address),
        show: |config| config.udp.map_or_else(|| quoted("off"), |address| quoted(&address.to_string())),
    },
    Setting {
        name: "log",
        takes: Takes::LogFilter,
        about: "What to log, on stderr.",
        has_flag: true,
        reload: true,
        set: |config, value, _| log_filter::parse(value.text()?).map(|filter| config.log = filter),
        show: |config| quoted(&config.log),
    },
    Setting {
        name: "insecure_open",
        takes: Takes::Switch,
        about: "Lets other machines in, although the server takes anyone's word for who they are.",
        has_flag: true,
        reload: false,
        set: |config, value, _| value.switch().map(|on| config.insecure_open = on),
        show: |config| config.insecure_open.to_string(),
    },
    Setting {
        name: "heartbeat",
        takes: Takes::Time(Duration::from_secs(1)..=Duration::from_secs(600)),
        about: "How often the server lets itself be heard; a peer that is not heard for two of these is dead.",
        has_flag: false,
        reload: false,
        set: |config, value, takes| takes.time(value).map(|time| config.heartbeat = time),
        show: |config| quoted(&in_time(config.heartbeat)),
    },
    Setting {
        name: "limits.frame_bytes",
        takes: Takes::Bytes(1024..=LARGEST_FRAME),
        about: "The largest packet a client may send.",
        has_flag: false,
        reload: false,
        set: |config, value, takes| takes.number(value).map(|bytes| config.limits.frame_bytes = bytes),
        show: |config| quoted(&in_units(config.limits.frame_bytes.into())),
    },
    Setting {
        name: "limits.content_bytes",
        takes: Takes::Bytes(1..=LONGEST_CONTENT),
        about: "The longest message; less than `limits.frame_bytes`.",
        has_flag: false,
        reload: false,
        set: |config, value, takes| takes.number(value).map(|bytes| config.limits.content_bytes = bytes),
        show: |config| quoted(&in_units(config.limits.content_bytes.into())),
    },
    Setting {
        name: "limits.window",
        takes: Takes::Count(1..=65_536),
        about: "Requests of one connection that may be unanswered; past it the server reads no further.",
        has_flag: false,
        reload: false,
        set: |config, value, takes| takes.number(value).map(|count| config.limits.window = count),
        show: |config| config.limits.window.to_string(),
    },
    Setting {
        name: "limits.outbox_bytes",
        takes: Takes::Bytes(2048..=1 << 30),
        about: "What may wait to be sent to one connection; at least twice `limits.frame_bytes`.",
        has_flag: false,
        reload: false,
        set: |config, value, takes| takes.number(value).map(|bytes| config.limits.outbox_bytes = bytes),
        show: |config| quoted(&in_units(config.limits.outbox_bytes.into())),
    },
    Setting {
        name: "limits.outboxes_bytes",
        takes: Takes::Bytes(1 << 20..=1 << 40),
        about: "What may wait to be sent to all connections together.",
        has_flag: false,
        reload: false,
        set: |config, value, takes| takes.number(value).map(|bytes| config.outboxes_bytes = bytes),
        show: |config| quoted(&in_units(config.outboxes_bytes)),
    },
    Setting {
        name: "limits.pending_writes",
        takes: Takes::Count(1..=1_000_000),
        about: "Changes that may wait for the disk; past it clients are told `busy`.",
        has_flag: false,
        reload: false,
        set: |config, value, takes| takes.number(value).map(|count| config.pending_writes = count),
        show: |config| config.pending_writes.to_string(),
    },
    limit_settings::MEMBERS,
    limit_settings::CHATS,
    limit_settings::CONNECTION_RATE,
    limit_settings::USER_RATE,
    limit_settings::CHAT_RATE,
    limit_settings::IP_REQUEST_RATE,
    limit_settings::IP_CONNECTION_RATE,
    limit_settings::CONNECTIONS,
    limit_settings::CONNECTIONS_PER_IP,
    limit_settings::CONNECTIONS_PER_USER,
    limit_settings::HELLO_TIME,
    limit_settings::PACKET_TIME,
    limit_settings::IDLE_TIME,
    tls_settings::CERT_FILE,
    tls_settings::KEY_FILE,
    tls_settings::CLIENT_CA_FILE,
    tls_settings::SELF_SIGNED,
    stop_settings::DELAY,
    stop_settings::RECONNECT_WITHIN,
    Setting {
        name: "cache.messages_per_chat",
        takes: Takes::Count(1..=10_000),
        about: "Recent messages of a chat that are kept in memory.",
        has_flag: false,
        reload: false,
        set: |config, value, takes| takes.number(value).map(|count| config.cache.messages_per_chat = count),
        show: |config| config.cache.messages_per_chat.to_string(),
    },
    Setting {
        name: "cache.bytes",
        takes: Takes::Bytes(1 << 20..=1 << 40),
        about: "Memory for recent messages; the chats not used for longest leave first.",
        has_flag: false,
        reload: false,
        set: |config, value, takes| takes.number(value).map(|bytes| config.cache.bytes = bytes),
        show: |config| quoted(&in_units(config.cache.bytes)),
    },
    retention_settings::MAX_AGE,
    retention_settings::MAX_MESSAGES_PER_CHAT,
    retention_settings::EVERY,
    retention_settings::COMPACT_EVERY,
    Setting {
        name: "http_server.allowed_origins",
        takes: Takes::Origins,
        about: "Web pages of other hosts that may use the server from a browser.",
        has_flag: false,
        reload: true,
        set: |config, value, _| {
            let origins: Result<Vec<String>, Misfit> = value.list()?.into_iter().map(web_origin::parse).collect();
            origins.map(|origins| config.http_server.allowed_origins = origins)
        },
        show: |config| {
            let origins: Vec<String> = config.http_server.allowed_origins.iter().map(|origin| quoted(origin)).collect();
            format!("[{}]", origins.join(", "))
        },
    },
    Setting {
        name: "http_server.trusted_proxies",
        takes: Takes::Networks,
        about: "Proxies that are believed whom they speak for (`X-Forwarded-For`) and how (`X-Forwarded-Proto`).",
        has_flag: false,
        reload: false,
        set: |config, value, _| {
            let networks = value
                .list()?
                .into_iter()
                .map(|text| text.parse().map_err(|error: BadNetwork| Misfit::hint(error.to_string())));
            networks.collect::<Result<_, _>>().map(|networks| config.http_server.trusted_proxies = Proxies(networks))
        },
        show: |config| {
            let all: Vec<String> =
                config.http_server.trusted_proxies.0.iter().map(|network| quoted(&network.to_string())).collect();
            format!("[{}]", all.join(", "))
        },
    },
    Setting {
        name: "http_server.keep_alive",
        takes: Takes::Time(Duration::from_secs(1)..=Duration::from_secs(60 * 60)),
        about: "How long an HTTP connection stays on which nothing is answered; a load balancer's should be shorter.",
        has_flag: false,
        reload: false,
        set: |config, value, takes| takes.time(value).map(|time| config.http_server.keep_alive = time),
        show: |config| quoted(&in_time(config.http_server.keep_alive)),
    },
    Setting {
        name: "http_server.workers",
        takes: Takes::CountOrAuto(1..=256),
        about: "Threads that serve connections; `auto` is one for each core.",
        has_flag: false,
        reload: false,
        set: |config, value, takes| match value {
            Value::Word(word) | Value::Text(word) if word == "auto" => {
                config.http_server.workers = Workers::Auto;
                Ok(())
            }
            _ => takes.number(value).map(|count| config.http_server.workers = Workers::Count(count)),
        },
        show: |config| match config.http_server.workers {
            Workers::Auto => quoted("auto"),
            Workers::Count(count) => count.to_string(),
        },
    },
    auth_settings::MODE,
    auth_settings::SECRET_FILES,
    auth_settings::PUBLIC_KEY_FILES,
    auth_settings::JWKS_FILE,
    auth_settings::AUDIENCE,
    auth_settings::ISSUER,
    auth_settings::USER_CLAIM,
    auth_settings::REGISTRATION,
    auth_settings::SESSION_TTL,
];

/// Writes text as TOML does.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            letter if letter.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(letter))),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
#[path = "settings_tests.rs"]
mod tests;
