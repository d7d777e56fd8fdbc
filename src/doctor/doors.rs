//! Whether clients get in: the certificate, the keys, the ports, and how many files the process may open.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::SystemTime;

use chappe_actors::folder::Use;

use super::Check;
use super::sockets::{self, Process, Table};
use crate::auth;
use crate::config::{AuthMode, Config};
use crate::tls::{self, Certificate};

/// Files besides those of the connections: the log and the tables with their readers, listeners, threads' own.
const OTHER_FILES: u64 = 200;
const DAY: u64 = 86_400;

/// Whether the certificate can be used, and for how long.
pub(super) fn certificate(config: &Config) -> Check {
    const NAME: &str = "certificate";
    match tls::look(config) {
        Ok(Certificate::Off) => Check::ok(NAME, "there is no TLS"),
        Ok(Certificate::ToBeMade) => Check::ok(NAME, "the server makes its own at the first start"),
        Ok(Certificate::Until(None)) => Check::ok(NAME, "it matches its key; until when it is valid cannot be told"),
        Ok(Certificate::Until(Some(end))) => expiry(end, SystemTime::now()),
        Err(error) => {
            Check::fail(NAME, error.to_string(), "see docs/tls.md; the settings are tls.cert_file and tls.key_file")
        }
    }
}

fn expiry(end: SystemTime, now: SystemTime) -> Check {
    const NAME: &str = "certificate";
    let advice = "have it renewed; the server takes a new one over by itself";
    match end.duration_since(now) {
        Err(since) => {
            let days = since.duration().as_secs() / DAY;
            Check::fail(NAME, format!("it expired {days} days ago: clients refuse it"), advice)
        }
        Ok(left) if left < tls::SOON => {
            Check::warn(NAME, format!("it matches its key, and expires in {} days", left.as_secs() / DAY), advice)
        }
        Ok(left) => Check::ok(NAME, format!("it matches its key, and is valid for {} days", left.as_secs() / DAY)),
    }
}

/// Whether the keys of tokens can be used.
pub(super) fn keys(config: &Config) -> Check {
    const NAME: &str = "keys";
    match auth::check(config) {
        Err(error) => Check::fail(NAME, error.to_string(), "see docs/authentication.md"),
        Ok(()) if config.auth.mode == AuthMode::Open => Check::ok(NAME, "none are needed: everybody is believed"),
        Ok(()) => Check::ok(NAME, "those of the settings can be used"),
    }
}

/// Whether each door's address can be listened on, or who does.
pub(super) fn ports(config: &Config, holder: &Use) -> Vec<Check> {
    let doors =
        [("http", Some(config.http), Table::Tcp), ("tcp", config.tcp, Table::Tcp), ("udp", config.udp, Table::Udp)];
    doors.into_iter().map(|(name, address, table)| port(name, address, table, holder)).collect()
}

fn port(name: &'static str, address: Option<SocketAddr>, table: Table, holder: &Use) -> Check {
    let Some(address) = address else { return Check::ok(name, "off") };
    let tried = match table {
        Table::Tcp => TcpListener::bind(address).map(drop),
        Table::Udp => UdpSocket::bind(address).map(drop),
    };
    match tried {
        Ok(()) => Check::ok(name, format!("{address} is free")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            taken(name, address, &sockets::listeners(table, address.port()), holder)
        }
        Err(error) => Check::fail(name, format!("{address}: {error}"), format!("choose another address: --{name}")),
    }
}

fn taken(name: &'static str, address: SocketAddr, by: &[Process], holder: &Use) -> Check {
    let is_ours = |process: &Process| *holder == Use::By(process.pid.clone());
    if let Some(process) = by.iter().find(|process| is_ours(process)) {
        let text = format!("{address}: the server that uses the data folder listens (process {})", process.pid);
        return Check::ok(name, text);
    }
    let names: Vec<String> = by.iter().map(|process| format!("{} (process {})", process.name, process.pid)).collect();
    let who = if names.is_empty() { "a process of another user".to_owned() } else { names.join(", ") };
    Check::fail(name, format!("{address}: {who} listens"), format!("stop it, or choose another address: --{name}"))
}

/// Whether the process may have as many connections as the settings allow.
pub(super) fn open_files(config: &Config) -> Check {
    use rustix::process::{Resource, getrlimit};
    enough_files(getrlimit(Resource::Nofile).maximum, u64::from(config.connection_limits.all))
}

fn enough_files(maximum: Option<u64>, connections: u64) -> Check {
    const NAME: &str = "open files";
    match maximum {
        None => Check::ok(NAME, format!("without limit, for {connections} connections")),
        Some(maximum) if maximum >= connections.saturating_add(OTHER_FILES) => {
            Check::ok(NAME, format!("{maximum} at most, for {connections} connections"))
        }
        Some(maximum) => Check::warn(
            NAME,
            format!("{maximum} at most, and limits.connections is {connections}"),
            format!("LimitNOFILE={} in systemd's unit, or ulimit -Hn", connections.saturating_add(OTHER_FILES)),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_certificate_is_warned_of_before_it_expires() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000 * DAY);
        let verdict = |days: u64| expiry(SystemTime::UNIX_EPOCH + Duration::from_secs(days * DAY), now).verdict;
        assert_eq!([1014, 1013, 1000, 999].map(verdict), [Verdict::Ok, Verdict::Warn, Verdict::Warn, Verdict::Fail]);
    }

    #[test]
    fn a_port_that_the_folder_s_server_has_is_well() {
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        let by = [Process { pid: "12".into(), name: "chappe".into() }];
        assert_eq!(taken("http", address, &by, &Use::By("12".into())).verdict, Verdict::Ok);
        let other = taken("http", address, &by, &Use::Free);
        assert_eq!(
            (other.verdict, other.what.as_str()),
            (Verdict::Fail, "127.0.0.1:8080: chappe (process 12) listens")
        );
        assert_eq!(taken("http", address, &[], &Use::By(String::new())).verdict, Verdict::Fail);
    }

    #[test]
    fn a_limit_of_files_is_held_against_the_connections() {
        assert_eq!(enough_files(Some(1024), 10_000).verdict, Verdict::Warn);
        assert_eq!(enough_files(Some(10_200), 10_000).verdict, Verdict::Ok);
        assert_eq!(enough_files(None, u64::MAX).verdict, Verdict::Ok);
    }
}
