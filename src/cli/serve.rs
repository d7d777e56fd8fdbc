//! `chappe serve`: settings, log, server, and what is said when it is ready.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use crate::app::{self, Ready};
use crate::cli::flags::SettingFlags;
use crate::cli::{complain, fail, fail_in_log};
use crate::config::{ConfigError, Loaded};
use crate::exit::Exit;
use crate::{auth, banner, logging, tls};

/// What `chappe serve` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    settings: SettingFlags,
    /// Once ready, print the addresses as one line of JSON on stdout, for programs that start the server
    #[arg(long)]
    print_addresses: bool,
}

/// Serves until asked to stop.
pub(super) fn run(args: &Args) -> ExitCode {
    let loaded = match ready_to_serve(&args.settings) {
        Ok(loaded) => loaded,
        Err(error) => return fail(&error, Exit::Configuration),
    };
    let log = match logging::start(&loaded.config.log) {
        Ok(log) => log,
        Err(error) => return fail(&error, Exit::Failed),
    };
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    if rustix::process::geteuid().is_root() {
        tracing::warn!(
            "the server runs as root, which it does not need: a hole in it would be one in the whole machine. Give it a \
             user of its own, as deploy/chappe.service does"
        );
    }
    let (settings, print_addresses) = (args.settings.clone(), args.print_addresses);
    let reread = Box::new(move || ready_to_serve(&settings));
    match app::run(&loaded.config, log, reread, |ready| announce(ready, print_addresses)) {
        Ok(()) => Exit::Fine.into(),
        Err(error) => fail_in_log(&error, error.exit_code()),
    }
}

/// The settings, if a server may start with them.
pub(super) fn ready_to_serve(settings: &SettingFlags) -> Result<Loaded, ConfigError> {
    let loaded = settings.load()?;
    loaded.refuse_exposed()?;
    let names = ["tls.cert_file", "tls.key_file", "tls.client_ca_file"];
    tls::check(&loaded.config).map_err(|error| loaded.problem(&names, error.to_string()))?;
    auth::check(&loaded.config).map_err(|error| loaded.problem(&[error.setting()], error.to_string()))?;
    Ok(loaded)
}

/// People get the banner, programs a line of the log. What stands on stdout is only what was asked for.
fn announce(ready: &Ready, print_addresses: bool) {
    if print_addresses {
        let mut stdout = std::io::stdout().lock();
        if let Err(error) = writeln!(stdout, "{}", banner::addresses(ready)).and_then(|()| stdout.flush()) {
            tracing::warn!(%error, "cannot print the addresses");
        }
    } else if std::io::stderr().is_terminal() {
        complain(&banner::banner(ready));
        return;
    }
    let door = |address: Option<std::net::SocketAddr>| address.map_or_else(|| "off".to_owned(), |a| a.to_string());
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        http = %ready.http,
        tcp = door(ready.tcp),
        udp = door(ready.udp),
        data = %ready.data.display(),
        open_mode = ready.open_mode,
        tls = ready.fingerprint.as_deref().unwrap_or("off"),
        chats = ready.chats,
        messages = ready.messages,
        started_in_ms = u64::try_from(ready.started_in.as_millis()).unwrap_or(u64::MAX),
        "ready"
    );
    if let Some(command) = &ready.first_token {
        tracing::info!(command, "a secret to sign tokens was made; the command makes the first one");
    }
}
