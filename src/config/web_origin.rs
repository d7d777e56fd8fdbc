//! Origins of web pages that may use the server from a browser: reading them into the form browsers send.

use crate::config::value::Misfit;
use crate::http::origin::canonical;

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
    if !matches!(scheme, "http" | "https") {
        return Err(hint("an origin starts with http:// or https://"));
    }
    if authority.contains(['/', '?', '#', '@', '*', ' ', ',']) {
        return Err(hint("an origin is only scheme, host and port"));
    }
    // The one that decides over requests: what is taken here can be matched there.
    canonical(&origin).ok_or_else(|| {
        hint("the host and the port are to be as browsers send them: other letters as xn--…, IPv6 in brackets, no zeros before the port")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::origin::{Asker, Policy};

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
            ("https://xn--mnchen-3ya.example", "https://xn--mnchen-3ya.example"),
        ] {
            assert_eq!(parse(text), Ok(expected.to_owned()), "{text}");
            let policy = Policy::new(&[expected.to_owned()], false).unwrap();
            assert_eq!(policy.asker(Some(expected), Some("server.example")), Asker::Allowed, "{text}");
        }
    }

    #[test]
    fn what_is_more_or_less_than_an_origin_is_refused() {
        for text in [
            "",
            "*",
            "chat.example.com",
            "ftp://a",
            "https://",
            "https://a/b",
            "https://*.a",
            "http://a:b",
            // What the server would refuse at its start, or never match.
            "https://münchen.example",
            "https://a_b!.example",
            "https://[::1",
            "https://[a]",
            "https://a.example:0443",
            "https://a.example:",
            "https://:443",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
