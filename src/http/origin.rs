//! Whose pages may use the server. Pure: decides over the `Origin` and `Host` of a request, for HTTP and WebSocket
//! alike; reads nothing else.
//!
//! In open mode the server takes everybody's word, and what protects it is that it listens on loopback. A visitor's
//! browser is inside that wall, so two doors are closed here: a foreign page that sends requests to the visitor's
//! loopback (its `Origin` gives it away), and a foreign name that was pointed at the loopback address (DNS rebinding:
//! its `Host` gives it away).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use chappe_proto::{Code, Reject};

/// Which pages may use the server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// As browsers write them, lower case, without a default port.
    allowed: Vec<String>,
    /// Whether the server listens on loopback: then its own names are loopback's.
    loopback: bool,
}

/// The policy in force. It may be replaced while the server runs; one for all threads.
#[derive(Debug, Clone, Default)]
pub struct Origins(Arc<ArcSwap<Policy>>);

impl Origins {
    /// The policy for a request.
    pub fn now(&self) -> Guard<Arc<Policy>> {
        self.0.load()
    }

    /// Has `policy` hold from now on.
    pub fn replace(&self, policy: Policy) {
        self.0.store(policy.into());
    }
}

impl From<Policy> for Origins {
    fn from(policy: Policy) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(policy)))
    }
}

/// An entry of the list of allowed origins that is not an origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an origin: write it as https://chat.example.com or http://localhost:3000, without a path")]
pub struct BadOrigin(pub String);

/// Whose program asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asker {
    /// No page, or one of the server's own.
    Own,
    /// A page of an origin that the operator allows.
    Allowed,
    /// A page of somebody else's.
    Foreign,
}

impl Policy {
    /// A policy that allows pages of the `allowed` origins besides the server's own.
    ///
    /// # Errors
    /// [`BadOrigin`] for the first entry that is not `http://` or `https://` with a host and perhaps a port.
    pub fn new(allowed: &[String], loopback: bool) -> Result<Self, BadOrigin> {
        let parse = |entry: &String| canonical(entry.trim_end_matches('/')).ok_or_else(|| BadOrigin(entry.clone()));
        Ok(Self { allowed: allowed.iter().map(parse).collect::<Result<_, _>>()?, loopback })
    }

    /// Whether a request under this `host` is meant for this server.
    ///
    /// # Errors
    /// `forbidden` if the server listens on loopback, and `host` names neither loopback nor an allowed origin's host.
    pub fn check_host(&self, host: Option<&str>) -> Result<(), Reject> {
        // Browsers always name the host; a program that does not is no browser.
        let Some(host) = host.filter(|_| self.loopback) else { return Ok(()) };
        let name = without_port(host);
        let allowed = |origin: &String| {
            origin.split_once("://").is_some_and(|(_, authority)| without_port(authority).eq_ignore_ascii_case(name))
        };
        if is_loopback(name) || self.allowed.iter().any(allowed) {
            return Ok(());
        }
        let name: String = name.chars().take(100).collect();
        let message = format!(
            "the server listens on loopback and does not answer to the name {name:?}; behind a proxy, add the site's origin to allowed_origins"
        );
        Err(Reject::new(Code::Forbidden, message))
    }

    /// Whose page sent a request with this `origin` to this `host`.
    pub fn asker(&self, origin: Option<&str>, host: Option<&str>) -> Asker {
        let Some(origin) = origin else { return Asker::Own };
        let Some(origin) = canonical(origin) else { return Asker::Foreign };
        let Some((scheme, authority)) = origin.split_once("://") else { return Asker::Foreign };
        // The scheme may differ: a proxy may take TLS off. Host and port may not.
        let own = |host: &str| without_default_port(scheme, host).eq_ignore_ascii_case(authority);
        if host.is_some_and(own) {
            Asker::Own
        } else if self.allowed.contains(&origin) {
            Asker::Allowed
        } else {
            Asker::Foreign
        }
    }

    /// Whether a request that changes something, or opens a WebSocket, may come from such a page.
    ///
    /// # Errors
    /// `forbidden` if the page is foreign, or as [`Policy::check_host`].
    pub fn check(&self, origin: Option<&str>, host: Option<&str>) -> Result<Asker, Reject> {
        self.check_host(host)?;
        match self.asker(origin, host) {
            Asker::Foreign => Err(foreign(origin)),
            asker => Ok(asker),
        }
    }
}

fn foreign(origin: Option<&str>) -> Reject {
    let origin: String = origin.unwrap_or_default().chars().take(100).collect();
    let message = format!("a page of {origin:?} may not do this here; if it is yours, add it to allowed_origins");
    Reject::new(Code::Forbidden, message)
}

/// `scheme://host[:port]` in lower case and without the scheme's default port; `None` if `origin` is not that.
pub(crate) fn canonical(origin: &str) -> Option<String> {
    let origin = origin.to_ascii_lowercase();
    let (scheme, authority) = origin.split_once("://")?;
    let host = without_port(authority);
    let is_host = match host.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']').is_some_and(|v6| v6.parse::<Ipv6Addr>().is_ok()),
        None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)),
    };
    // Browsers write no sign and no zero in front.
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|number| number.to_string() == port);
    let has_port = authority[host.len()..].strip_prefix(':').is_none_or(is_port);
    if !matches!(scheme, "http" | "https") || !is_host || !has_port {
        return None;
    }
    Some(format!("{scheme}://{}", without_default_port(scheme, authority)))
}

fn without_default_port<'a>(scheme: &str, authority: &'a str) -> &'a str {
    let default = if scheme == "https" { ":443" } else { ":80" };
    authority.strip_suffix(default).unwrap_or(authority)
}

/// The host of `host[:port]`; an IPv6 address keeps its brackets.
fn without_port(authority: &str) -> &str {
    let end = authority.rfind(']').map_or(0, |bracket| bracket + 1);
    match authority[end..].find(':') {
        Some(colon) => &authority[..end + colon],
        None => authority,
    }
}

fn is_loopback(name: &str) -> bool {
    if let Some(v6) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        return v6.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback());
    }
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allowed: &[&str], loopback: bool) -> Policy {
        let allowed: Vec<String> = allowed.iter().map(|&origin| origin.to_owned()).collect();
        Policy::new(&allowed, loopback).unwrap()
    }

    #[test]
    fn on_loopback_only_loopback_names_and_allowed_hosts_are_answered() {
        let policy = policy(&["https://Chat.example.com/"], true);
        for own in [
            "localhost",
            "localhost:8080",
            "LOCALHOST.:8080",
            "chappe.localhost:1",
            "127.0.0.1",
            "127.8.8.8:80",
            "[::1]",
            "[::1]:8080",
            "chat.example.com",
            "CHAT.example.com:443",
        ] {
            assert_eq!(policy.check_host(Some(own)), Ok(()), "{own}");
        }
        for other in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "evillocalhost",
            "127.0.0.1.evil.example",
            "[::2]:8080",
            "192.168.0.1",
            "",
            ":8080",
            "]",
        ] {
            assert!(policy.check_host(Some(other)).is_err(), "{other}");
        }
        assert_eq!(policy.check_host(None), Ok(()));
    }

    #[test]
    fn elsewhere_any_name_is_answered() {
        assert_eq!(policy(&[], false).check_host(Some("chat.example.com")), Ok(()));
    }

    #[test]
    fn a_page_is_our_own_an_allowed_one_or_foreign() {
        let policy = policy(&["http://localhost:3000", "https://shop.example:443"], true);
        for (origin, host, expected) in [
            (None, Some("localhost:8080"), Asker::Own),
            (Some("http://localhost:8080"), Some("localhost:8080"), Asker::Own),
            (Some("http://LocalHost:8080"), Some("localhost:8080"), Asker::Own),
            (Some("http://localhost"), Some("localhost:80"), Asker::Own),
            (Some("https://localhost"), Some("localhost"), Asker::Own),
            (Some("http://[::1]:8080"), Some("[::1]:8080"), Asker::Own),
            (Some("http://localhost:3000"), Some("localhost:8080"), Asker::Allowed),
            (Some("https://shop.example"), Some("localhost:8080"), Asker::Allowed),
            (Some("http://shop.example"), Some("localhost:8080"), Asker::Foreign),
            (Some("http://localhost:3001"), Some("localhost:8080"), Asker::Foreign),
            (Some("http://127.0.0.1:8080"), Some("localhost:8080"), Asker::Foreign),
            (Some("https://evil.example"), Some("localhost:8080"), Asker::Foreign),
            (Some("http://localhost:8080.evil.example"), Some("localhost:8080"), Asker::Foreign),
            (Some("null"), Some("localhost:8080"), Asker::Foreign),
            (Some(""), Some(""), Asker::Foreign),
            (Some("http://"), Some(""), Asker::Foreign),
            (Some("http://localhost:8080"), None, Asker::Foreign),
            (Some("chrome-extension://abc"), Some("abc"), Asker::Foreign),
        ] {
            assert_eq!(policy.asker(origin, host), expected, "{origin:?} to {host:?}");
            assert_eq!(policy.check(origin, host.or(Some("localhost"))).is_err(), {
                let host = host.or(Some("localhost"));
                policy.check_host(host).is_err() || policy.asker(origin, host) == Asker::Foreign
            });
        }
    }

    #[test]
    fn only_origins_can_be_allowed() {
        for bad in [
            "*",
            "null",
            "",
            "chat.example.com",
            "https://chat.example.com/app",
            "ftp://x",
            "http://a b",
            "http://a:b",
            "http://a:",
            "http://a:+1",
            "https://a:0443",
            "https://[::1",
            "https://[a]",
            "https://a]",
            "https://a_b!.example",
            "https://münchen.example",
        ] {
            assert_eq!(Policy::new(&[bad.to_owned()], true), Err(BadOrigin(bad.to_owned())));
        }
    }
}
