//! Where a server is: `tcp://host:port`, or `tls://host:port`.

use std::fmt;
use std::str::FromStr;

/// The port where none is named.
const PORT: u16 = 8081;

/// A server's TCP door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The name or number of the machine; of a number in brackets, what is in them.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether TLS is spoken.
    pub tls: bool,
}

/// Not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address: write tcp://host:port or tls://host:port")]
pub struct BadAddress(String);

impl FromStr for Address {
    type Err = BadAddress;

    /// Reads an address; without a scheme it is `tcp`.
    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress(text.to_owned());
        let (tls, rest) = match text.split_once("://") {
            Some(("tcp", rest)) => (false, rest),
            Some(("tls", rest)) => (true, rest),
            Some(_) => return Err(bad()),
            None => (false, text),
        };
        let (host, port) = match rest.strip_prefix('[') {
            Some(rest) => {
                let (host, behind) = rest.split_once(']').ok_or_else(bad)?;
                let port = if behind.is_empty() { None } else { Some(behind.strip_prefix(':').ok_or_else(bad)?) };
                (host, port)
            }
            None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        let is_host = |char: char| char.is_ascii_alphanumeric() || "-._:%".contains(char);
        if host.is_empty() || !host.chars().all(is_host) {
            return Err(bad());
        }
        let port = port.map_or(Ok(PORT), |port| port.parse().map_err(|_| bad()))?;
        Ok(Self { host: host.to_owned(), port, tls })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "tls" } else { "tcp" };
        let Self { host, port, .. } = self;
        if host.contains(':') { write!(f, "{scheme}://[{host}]:{port}") } else { write!(f, "{scheme}://{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_as_it_is_written() {
        for (text, written) in [
            ("127.0.0.1:8081", "tcp://127.0.0.1:8081"),
            ("tcp://chat.example.org", "tcp://chat.example.org:8081"),
            ("tls://chat.example.org:443", "tls://chat.example.org:443"),
            ("tls://[::1]:9", "tls://[::1]:9"),
            ("[::1]", "tcp://[::1]:8081"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), written);
            assert_eq!(written.parse(), Ok(address));
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", ":80", "http://x", "tcp://", "x:y", "x:70000", "[::1", "[::1]9", "::1", "a b", "tcp://x/y", "u@x"]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
