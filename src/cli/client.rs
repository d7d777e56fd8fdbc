//! What the commands that are clients have in common: where the server is, who they are, whom they trust.

use std::path::{Path, PathBuf};

use chappe_client::{BadOptions, Disconnect, Options, Trust};
use chappe_proto::UserId;

use crate::bounded;
use crate::exit::Exit;

/// The variable that holds a token. There is no flag for it: arguments are seen by everybody on the machine.
pub(super) const TOKEN_VARIABLE: &str = "CHAPPE_TOKEN";

/// Where the server is, and who asks.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Server {
    /// The server's TCP door; tls://HOST:PORT speaks TLS.
    #[arg(long, value_name = "ADDR", env = "CHAPPE_TCP", default_value = "127.0.0.1:8081")]
    tcp: String,
    /// Who it is, where the server takes a client's word for it [default: 1; with a token, whom it names]
    #[arg(long, value_name = "ID")]
    user: Option<UserId>,
    /// A file with a token, read anew whenever one is needed; else the variable CHAPPE_TOKEN holds it.
    #[arg(long, value_name = "FILE", env = "CHAPPE_TOKEN_FILE")]
    token_file: Option<PathBuf>,
    /// Speak TLS, and trust the certificates in this PEM file instead of the system's.
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    tls_ca: Option<PathBuf>,
    /// Speak TLS with whoever answers: what is said can be read and changed on the way.
    #[arg(long)]
    insecure: bool,
}

/// The arguments describe no client.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadServer {
    #[error(transparent)]
    Options(#[from] BadOptions),
    /// Speaking plainly would show a token to everybody on the way who was to be kept out.
    #[error("--tls-ca and --insecure ask for TLS, and {0} for none: leave tcp:// out, or write tls://")]
    Plain(String),
}

impl BadServer {
    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::Options(_) => Exit::Configuration,
            Self::Plain(_) => Exit::Usage,
        }
    }
}

impl Server {
    /// A client as the arguments describe it.
    pub(super) fn options(&self) -> Result<Options, BadServer> {
        let asks_for_tls = self.insecure || self.tls_ca.is_some();
        if asks_for_tls && self.tcp.starts_with("tcp://") {
            return Err(BadServer::Plain(self.tcp.clone()));
        }
        let address =
            if asks_for_tls && !self.tcp.contains("://") { format!("tls://{}", self.tcp) } else { self.tcp.clone() };
        let mut options = Options::new(&address)?.agent(concat!("chappe/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &self.tls_ca {
            options = options.trust(Trust::File(path.clone()));
        }
        if self.insecure {
            options = options.trust(Trust::Anybody);
        }
        let variable = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty());
        let has_token = self.token_file.is_some() || variable.is_some();
        options = match (&self.token_file, variable) {
            (Some(path), _) => {
                let path = path.clone();
                options.token_source(move || std::future::ready(token_in(&path)))
            }
            (None, Some(token)) => options.token(token),
            (None, None) => options,
        };
        let nobody = if has_token { None } else { UserId::parse(1).ok() };
        Ok(match self.user.or(nobody) {
            Some(user) => options.user(user),
            None => options,
        })
    }
}

fn token_in(path: &Path) -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let text = std::fs::File::open(path)
        .and_then(|file| bounded::read_text(file, bounded::SETTINGS_BYTES))
        .map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(text.trim().to_owned())
}

/// How a command that ended by this tells its caller.
pub(super) fn exit_of(reason: &Disconnect) -> Exit {
    match reason {
        Disconnect::Unreachable { .. } | Disconnect::Tls { .. } => Exit::Address,
        // The file that was named has none.
        Disconnect::NoToken(_) => Exit::Configuration,
        _ => Exit::Failed,
    }
}

/// How often a command may try again.
#[derive(Debug)]
pub(super) struct Retries {
    left: Option<u32>,
    was_connected: bool,
}

impl Retries {
    /// So many times, or without end.
    pub(super) fn new(left: Option<u32>) -> Self {
        Self { left, was_connected: false }
    }

    /// A connection stands.
    pub(super) fn connected(&mut self) {
        self.was_connected = true;
    }

    /// Whether to go on after a lost connection. A server that was never there is told at once; one that went away may
    /// come back.
    pub(super) fn goes_on(&mut self, reason: &Disconnect) -> bool {
        let was_never_there =
            matches!(reason, Disconnect::Unreachable { .. } | Disconnect::Tls { .. } | Disconnect::NoToken(_));
        (self.was_connected || !was_never_there) && self.again()
    }

    /// Whether to go on after a refusal that asks for patience.
    pub(super) fn again(&mut self) -> bool {
        let Some(left) = &mut self.left else { return true };
        *left = left.wrapping_sub(1);
        *left != u32::MAX
    }
}
