//! What no setting can tell alone: whether they fit together, and whether the server would be open to strangers.

use std::net::SocketAddr;

use crate::config::address::{collide, is_loopback};
use crate::config::problem::Problem;
use crate::config::takes::in_units;
use crate::config::{AuthMode, Loaded, Source};

/// Finds settings that contradict each other.
pub(crate) fn contradictions(loaded: &Loaded) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut problem = |names: [&str; 2], text: String| problems.push(Problem::with(places(loaded, &names), text));
    let limits = loaded.config.limits;
    let frame = in_units(limits.frame_bytes.into());
    if limits.content_bytes >= limits.frame_bytes {
        let content = in_units(limits.content_bytes.into());
        let text = format!("`limits.content_bytes` ({content}) has to be less than `limits.frame_bytes` ({frame})");
        problem(["limits.content_bytes", "limits.frame_bytes"], text);
    }
    if u64::from(limits.outbox_bytes) < 2 * u64::from(limits.frame_bytes) {
        let outbox = in_units(limits.outbox_bytes.into());
        let text = format!("`limits.outbox_bytes` ({outbox}) has to be at least twice `limits.frame_bytes` ({frame})");
        problem(["limits.outbox_bytes", "limits.frame_bytes"], text);
    }
    let auth = &loaded.config.auth;
    let provider = [
        ("auth.secret_files", !auth.secret_files.is_empty()),
        ("auth.public_key_files", !auth.public_key_files.is_empty()),
        ("auth.jwks_file", auth.jwks_file.is_some()),
    ];
    if let Some((name, _)) = provider.into_iter().find(|(_, given)| *given && auth.registration) {
        let text = format!(
            "with `auth.registration` strangers would get numbers that users of your identity provider (`{name}`) may have: \
             leave out one of the two; `chappe user add --id` makes accounts beside a provider"
        );
        problem(["auth.registration", name], text);
    }
    let tls = &loaded.config.tls;
    let pair = ["tls.cert_file", "tls.key_file"];
    if tls.cert_file.is_some() != tls.key_file.is_some() {
        problem(pair, "`tls.cert_file` and `tls.key_file` go together".to_owned());
    }
    if tls.self_signed && tls.cert_file.is_some() {
        let text = "there is a certificate already: leave out `tls.self_signed`, or `tls.cert_file` and `tls.key_file`";
        problem(["tls.self_signed", "tls.cert_file"], text.to_owned());
    }
    if tls.client_ca_file.is_some() && !tls.self_signed && tls.cert_file.is_none() {
        let text = "`tls.client_ca_file` needs TLS: add `tls.cert_file` and `tls.key_file`";
        problem(["tls.client_ca_file", "tls.cert_file"], text.to_owned());
    }
    if let Some(tcp) = loaded.config.tcp
        && collide(loaded.config.http, tcp)
    {
        let text = format!("`http` ({}) and `tcp` ({tcp}) cannot listen on the same port", loaded.config.http);
        problem(["tcp", "http"], text);
    }
    problems
}

/// Finds listeners that other machines can reach, unless the operator insists.
pub(crate) fn exposed(loaded: &Loaded) -> Option<Problem> {
    let config = &loaded.config;
    if config.auth.mode == AuthMode::Token {
        return None;
    }
    let doors = [("http", Some(config.http)), ("tcp", config.tcp), ("udp", config.udp)];
    let exposed: Vec<(&str, SocketAddr)> = doors
        .into_iter()
        .filter_map(|(name, address)| Some((name, address?)))
        .filter(|(_, address)| !is_loopback(*address))
        .collect();
    if config.insecure_open || exposed.is_empty() {
        return None;
    }
    let listeners: Vec<String> = exposed.iter().map(|(name, address)| format!("`{name}` ({address})")).collect();
    let names: Vec<&str> = exposed.iter().map(|(name, _)| *name).collect();
    let text = format!(
        "other machines can reach {}, and in open mode the server takes anyone's word for who they are\n    \
         either listen on 127.0.0.1, behind a proxy that checks who asks,\n    \
         or believe only who shows a token: --auth token (CHAPPE_AUTH_MODE=token, auth.mode = \"token\"),\n    \
         or add --insecure-open (CHAPPE_INSECURE_OPEN=true, insecure_open = true): everyone who gets there may then \
         read and write everything",
        listeners.join(", ")
    );
    Some(Problem::with(places(loaded, &names), text))
}

/// Where the settings come from; those left at their default caused nothing.
pub(super) fn places(loaded: &Loaded, names: &[&str]) -> String {
    let sources = names.iter().map(|name| loaded.source_of(name)).filter(|source| **source != Source::Default);
    sources.map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
