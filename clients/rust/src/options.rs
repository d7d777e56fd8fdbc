//! How a client is told what to do, before it begins.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use chappe_proto::UserId;
use tokio::sync::mpsc;

use crate::address::{Address, BadAddress};
use crate::backoff::{Backoff, random};
use crate::client::{Client, Updates};
use crate::core::{Core, Positions, Profile, Start};
use crate::driver::Driver;
use crate::tls::{self, Identity, TlsError, Trust};

/// A token, or why there is none.
type Token = Pin<Box<dyn Future<Output = Result<String, Box<dyn std::error::Error + Send + Sync>>> + Send>>;
/// Where tokens come from.
pub(crate) type TokenSource = Arc<dyn Fn() -> Token + Send + Sync>;

/// What a client is, and how it goes about it. See the [crate's page](crate) for a whole example.
#[derive(Clone)]
pub struct Options {
    pub(crate) address: Address,
    pub(crate) profile: Profile,
    pub(crate) token: Option<TokenSource>,
    trust: Trust,
    identity: Option<Identity>,
    positions: Positions,
    outbox: usize,
    updates: usize,
    backoff: (Duration, Duration),
    pub(crate) random: fn() -> u64,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, profile, trust, .. } = self;
        // Not the token.
        let mut shown = f.debug_struct("Options");
        shown.field("address", address).field("profile", profile).field("trust", trust).finish_non_exhaustive()
    }
}

/// The client cannot begin as told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadOptions {
    /// The address cannot be read.
    #[error(transparent)]
    Address(#[from] BadAddress),
    /// A certificate or key cannot be read.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Options {
    /// A client of the server at `address`: `tcp://host:port` or `tls://host:port`.
    ///
    /// # Errors
    /// [`BadOptions::Address`].
    pub fn new(address: &str) -> Result<Self, BadOptions> {
        let agent = concat!("chappe-client/", env!("CARGO_PKG_VERSION")).to_owned();
        Ok(Self {
            address: address.parse()?,
            profile: Profile { agent: Some(agent), ..Profile::default() },
            token: None,
            trust: Trust::default(),
            identity: None,
            positions: Positions::default(),
            outbox: 1024,
            updates: 1024,
            backoff: (Duration::from_millis(250), Duration::from_secs(10)),
            random,
        })
    }

    /// Who the client is, where the server takes its word for it (open mode).
    #[must_use]
    pub fn user(mut self, user_id: UserId) -> Self {
        self.profile.user_id = Some(user_id);
        self
    }

    /// The program's name and version, for the server's operator.
    #[must_use]
    pub fn agent(mut self, agent: &str) -> Self {
        self.profile.agent = Some(agent.to_owned());
        self
    }

    /// A token that is never renewed: the client ends when it has run out.
    #[must_use]
    pub fn token(self, token: String) -> Self {
        self.token_source(move || std::future::ready(Ok(token.clone())))
    }

    /// Where tokens come from: asked before each connection, and when the token of the present one runs out. A new token
    /// is shown on the connection that stands, so that nothing is interrupted. Where there is none yet, or it is refused, the
    /// source is asked again until the old one has run out ([`Update::NotRenewed`](crate::Update::NotRenewed)).
    #[must_use]
    pub fn token_source<F, T>(mut self, source: F) -> Self
    where
        F: Fn() -> T + Send + Sync + 'static,
        T: Future<Output = Result<String, Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    {
        self.token = Some(Arc::new(move || Box::pin(source())));
        self
    }

    /// Whom to trust to be the server, on `tls://`.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// The client's own certificate, where the server asks for one.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Where chats begin of which no position is known; the newest if not said otherwise. Chats that the user gets into
    /// later are read from their beginning, or from the event that let them in.
    #[must_use]
    pub fn start(mut self, start: Start) -> Self {
        self.profile.start = start;
        self
    }

    /// Goes on where another life of the program was.
    #[must_use]
    pub fn positions(mut self, positions: Positions) -> Self {
        self.positions = positions;
        self
    }

    /// Lets the server compress what is large.
    #[must_use]
    pub fn compression(mut self, zstd: bool) -> Self {
        self.profile.zstd = zstd;
        self
    }

    /// How many requests may wait for their answers (1024); beyond it, sending waits.
    #[must_use]
    pub fn outbox(mut self, requests: usize) -> Self {
        self.outbox = requests;
        self
    }

    /// How many updates may wait to be read (1024); beyond it, the socket is not read.
    #[must_use]
    pub fn updates(mut self, updates: usize) -> Self {
        self.updates = updates.max(1);
        self
    }

    /// How long to wait before connecting again: at most `first`, twice that each time, at most `most`; evenly spread from
    /// nothing to there. 250 ms and 10 s if not said otherwise.
    #[must_use]
    pub fn backoff(mut self, first: Duration, most: Duration) -> Self {
        self.backoff = (first, most);
        self
    }

    /// Where chance comes from, for a test that wants none.
    #[must_use]
    pub fn random(mut self, random: fn() -> u64) -> Self {
        self.random = random;
        self
    }

    /// Begins: connects by itself, now and whenever the connection is lost. Needs a tokio runtime to run on.
    ///
    /// # Errors
    /// [`BadOptions::Tls`] if a certificate or key cannot be read. That there is no server is no error: it may come.
    pub fn start_client(self) -> Result<(Client, Updates), BadOptions> {
        let tls = match self.address.tls {
            true => Some(tls::config(&self.trust, self.identity.as_ref())?),
            false => None,
        };
        let (client, commands) = Client::new(self.random);
        let (updates, heard) = mpsc::channel(self.updates);
        let core = Core::new(self.profile.clone(), self.positions.clone(), self.outbox);
        let backoff = Backoff::new(self.backoff.0, self.backoff.1);
        tokio::spawn(Driver::new(self, tls, core, backoff, commands, updates).run());
        Ok((client, Updates::new(heard)))
    }
}
