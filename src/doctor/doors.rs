//! Whether clients get in: the certificate, the keys, the ports, and how many files the process may open.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::time::SystemTime;

use chappe_actors::folder::Use;

use super::Check;
use super::sockets::{self, Process, Table};
use crate::auth;
use crate::config::{AuthMode, Config};
use crate::files;
use crate::tls::{self, Certificate};

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
    let looked =
        if config.auth.mode == AuthMode::Open { auth::check(config) } else { auth::verifier(config).map(drop) };
    match looked {
        Err(error) => Check::fail(NAME, error.to_string(), "see docs/authentication.md"),
        Ok(()) if config.auth.mode == AuthMode::Open => Check::ok(NAME, "none are needed: everybody is believed"),
        Ok(()) => Check::ok(NAME, "those of the settings, and the folder's own, can be used"),
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

/// Whether the server that uses the folder may have as many connections as the settings allow; where none runs, one that is
/// started as this process was.
pub(super) fn open_files(config: &Config, holder: &Use) -> Check {
    let running = match holder {
        Use::By(pid) => std::fs::read_to_string(format!("/proc/{pid}/limits")).ok().and_then(|text| may_open(&text)),
        _ => None,
    };
    let itself = || rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    enough_files(running.unwrap_or_else(itself), config.connection_limits.all)
}

/// How many files a process may open at most, by its limits as Linux tells them; `Some(None)` is without limit.
fn may_open(limits: &str) -> Option<Option<u64>> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().next()? {
        "unlimited" => Some(None),
        current => current.parse().ok().map(Some),
    }
}

fn enough_files(most: Option<u64>, connections: u32) -> Check {
    const NAME: &str = "open files";
    let needed = files::needed(connections);
    match most {
        None => Check::ok(NAME, format!("without limit, for {connections} connections")),
        Some(most) if most >= needed => Check::ok(NAME, format!("{most} at most, for {connections} connections")),
        Some(most) => Check::warn(
            NAME,
            format!("{most} at most, and limits.connections is {connections}: when none is left, new clients wait"),
            format!("LimitNOFILE={needed} in systemd's unit, or ulimit -Hn {needed}; or lower limits.connections"),
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
        assert_eq!(enough_files(None, u32::MAX).verdict, Verdict::Ok);
        let told =
            |files| format!("Limit     Soft Limit  Hard Limit  Units\nMax open files   {files}   4096   files\n");
        assert_eq!(may_open(&told("120")), Some(Some(120)));
        assert_eq!(may_open(&told("unlimited")), Some(None));
        assert_eq!(may_open("Max processes 1 1 processes"), None);
    }
}
