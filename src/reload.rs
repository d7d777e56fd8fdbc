//! SIGHUP: reads the settings again, takes over what can be taken over, and says in the log what was and what needs a new
//! start. Nothing is closed; settings that cannot be used change nothing.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use actix::prelude::*;
use chappe_actors::cache::CacheActor;
use chappe_actors::clock::Clock;
use chappe_actors::hub::ConnectionLimits;
use chappe_actors::messages::{NewAuth, NewLimits};
use chappe_actors::principal::Auth;
use chappe_proto::limits::Limits;

use crate::auth::Authority;
use crate::config::{Config, ConfigError, Loaded, SETTINGS, Setting, Shutdown};
use crate::http::origin::{Origins, Policy};
use crate::logging::Filter;
use crate::tls::{self, Files, Keeper, TlsError};

/// Reads the settings as the start did.
pub type Reread = Box<dyn Fn() -> Result<Loaded, ConfigError>>;

/// What can be changed while the server runs.
pub(crate) struct Reload {
    pub(crate) reread: Reread,
    pub(crate) log: Filter,
    pub(crate) origins: Origins,
    /// Whether the HTTP door listens on loopback.
    pub(crate) loopback: bool,
    pub(crate) tls: Option<Rc<Keeper>>,
    /// Where the hubs are told of new keys and limits.
    pub(crate) engine: Addr<CacheActor>,
    /// The clock of all actors.
    pub(crate) clock: Clock,
    /// What makes tokens, in token mode; its secret is that of the start.
    pub(crate) authority: Option<Authority>,
    /// What the server was started with: settings that need a start are compared with these.
    pub(crate) started: Config,
    /// What was taken over last.
    pub(crate) current: RefCell<Config>,
}

/// What changed between the settings in force and new ones.
#[derive(Debug, PartialEq, Eq)]
struct Changes {
    /// Taken over.
    now: Vec<&'static str>,
    /// Not before the next start.
    at_a_start: Vec<&'static str>,
}

impl Reload {
    /// Reads the settings again.
    pub(crate) fn again(&self) {
        match (self.reread)() {
            Ok(loaded) => {
                loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
                self.take_over(loaded.config);
            }
            Err(error) => tracing::error!(%error, "keep the settings: the new ones cannot be used"),
        }
    }

    /// How the server is to stop.
    pub(crate) fn shutdown(&self) -> Shutdown {
        self.current.borrow().shutdown
    }

    fn take_over(&self, config: Config) {
        let mut changes = changes(&self.started, &self.current.borrow(), &config);
        // Before anything else, for what is logged here.
        if let Err(error) = self.log.replace(&config.log) {
            tracing::error!(%error, "replace the log filter");
        }
        match Policy::new(&config.http_server.allowed_origins, self.loopback) {
            Ok(policy) => self.origins.replace(policy),
            Err(error) => tracing::error!(%error, "replace the allowed origins"),
        }
        if let Some(limits) = self.new_limits(&config) {
            self.engine.do_send(limits);
        }
        if let Some(authority) = &self.authority {
            match authority.verifier(&config.auth) {
                Ok(verifier) => self.engine.do_send(NewAuth(Auth::Token(Arc::new(verifier)))),
                Err(error) => tracing::error!(%error, "keep the keys of tokens: the new ones cannot be used"),
            }
        }
        match (&self.tls, tls_files(&self.started, &config)) {
            (Some(keeper), Ok(Some(files))) => match keeper.reload(files) {
                Ok(()) => tracing::info!(fingerprint = keeper.tls().fingerprint(), "read the TLS certificate again"),
                Err(error) => tracing::error!(%error, "keep the TLS certificate: the new one cannot be used"),
            },
            (_, Err(error)) => tracing::error!(%error, "keep the TLS certificate: the new one cannot be used"),
            (None, Ok(None)) => {}
            // TLS comes and goes with the doors, and who made the certificate with it.
            (Some(_), Ok(None)) | (None, Ok(Some(_))) => {
                let (tls, others) = changes.now.into_iter().partition(|name: &&str| name.starts_with("tls."));
                changes.now = others;
                changes.at_a_start.extend::<Vec<_>>(tls);
            }
        }
        tracing::info!(changed = changes.now.join(", "), "reload: done");
        if !changes.at_a_start.is_empty() {
            tracing::warn!(settings = changes.at_a_start.join(", "), "reload: these settings take a new start");
        }
        self.current.replace(config);
    }

    /// The limits that can be taken over, where they changed: they come with full buckets.
    fn new_limits(&self, config: &Config) -> Option<NewLimits> {
        let current = self.current.borrow();
        if (config.limits, config.connection_limits) == (current.limits, current.connection_limits) {
            return None;
        }
        // These stand in buffers, and in what HTTP was told.
        let Limits { frame_bytes, content_bytes, window, outbox_bytes, .. } = self.started.limits;
        let limits = Limits { frame_bytes, content_bytes, window, outbox_bytes, ..config.limits };
        let connections = ConnectionLimits { all: self.started.connection_limits.all, ..config.connection_limits };
        Some(NewLimits::new(limits, connections, self.clock))
    }
}

/// The files of TLS from now on; none where they are not to be had before a start. Nothing is made in another folder.
fn tls_files(started: &Config, new: &Config) -> Result<Option<Files>, TlsError> {
    if new.tls.self_signed != started.tls.self_signed {
        return Ok(None);
    }
    tls::files(&Config { data: started.data.clone(), ..new.clone() })
}

fn changes(started: &Config, current: &Config, new: &Config) -> Changes {
    let names = |reload: bool, before: &Config| {
        let changed = |setting: &&Setting| setting.reload == reload && setting.show(before) != setting.show(new);
        SETTINGS.iter().filter(changed).map(|setting| setting.name).collect()
    };
    Changes { now: names(true, current), at_a_start: names(false, started) }
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
