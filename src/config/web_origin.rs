//! Origins of web pages that may use the server from a browser: reading them into the form browsers send.

use crate::config::value::Misfit;

/// Reads `scheme://host[:port]` into what a browser writes in its `Origin` header: lower case, no default port.
pub(crate) fn parse(text: &str) -> Result<String, Misfit> {
    let hint = |hint: &str| Misfit::hint(format!("{text:?}: {hint}"));
    if text == "*" {
        return Err(hint("every page of the web could then act for whoever looks at it; list the origins you trust"));
    }
    let origin = text.trim().trim_end_matches('/').to_lowercase();
    let Some((scheme, authority)) = origin.split_once("://") else {
        return Err(hint("an origin starts with http:// or https://"));
    };
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return Err(hint("an origin starts with http:// or https://")),
    };
    if authority.contains(['/', '?', '#', '@', '*', ' ', ',']) {
        return Err(hint("an origin is only scheme, host and port"));
    }
    let authority = authority.strip_suffix(default_port).unwrap_or(authority);
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    if host.is_empty() {
        return Err(hint("the host is missing"));
    }
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err(hint("a port is a number from 0 to 65535"));
    }
    Ok(format!("{scheme}://{authority}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_become_what_browsers_send() {
        for (text, expected) in [
            ("https://chat.example.com", "https://chat.example.com"),
            ("https://Chat.Example.com/", "https://chat.example.com"),
            ("https://chat.example.com:443", "https://chat.example.com"),
            ("http://localhost:80", "http://localhost"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("http://[::1]", "http://[::1]"),
        ] {
            assert_eq!(parse(text), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn what_is_more_or_less_than_an_origin_is_refused() {
        for text in ["", "*", "chat.example.com", "ftp://a", "https://", "https://a/b", "https://*.a", "http://a:b"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
