//! What a server says about itself once it is ready: to people the banner, to programs one line of JSON.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::app::Ready;

/// What listens where, where the data is, and what to try next.
pub fn banner(ready: &Ready) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_banner(&mut text, ready);
    text
}

fn write_banner(out: &mut String, ready: &Ready) -> std::fmt::Result {
    let http = reachable(ready.http);
    let stored = format!("{}, {}", counted(ready.chats, "chat"), counted(ready.messages, "message"));
    let millis = ready.started_in.as_millis();
    writeln!(out, "\nchappe {}, ready in {millis} ms\n", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "  page       http://{http}/")?;
    writeln!(out, "  HTTP API   http://{http}/api        described at http://{http}/docs")?;
    writeln!(out, "  WebSocket  ws://{http}/ws")?;
    writeln!(out, "  TCP        {}", door(ready.tcp, "JSON, or binary frames"))?;
    writeln!(out, "  UDP        {}", door(ready.udp, "presence and typing"))?;
    writeln!(out, "  data       {}  ({stored})", ready.data.display())?;
    if ready.open_mode {
        let all = [Some(ready.http), ready.tcp, ready.udp];
        let local = all.into_iter().flatten().all(|address| address.ip().to_canonical().is_loopback());
        let who = if local { "this machine" } else { "EVERY MACHINE THAT REACHES IT" };
        writeln!(out, "  open mode  anyone on {who} is who they say they are")?;
    }
    if let Some(command) = &ready.first_token {
        writeln!(out, "\nWho asks shows a token; a secret to sign them was made. The first one:\n  {command}")?;
    }
    writeln!(out, "\nTry: open http://{http}/ in two windows, or")?;
    writeln!(out, "  curl http://{http}/api/chats/1/messages")?;
    if let Some(tcp) = ready.tcp.map(reachable) {
        let (host, port) = (tcp.ip(), tcp.port());
        writeln!(out, "  echo '{{\"packet_type\":\"Ping\"}}' | nc {host} {port}")?;
    }
    writeln!(out)
}

/// The line `--print-addresses` promises: one JSON object.
pub fn addresses(ready: &Ready) -> String {
    let text = |address: SocketAddr| address.to_string();
    serde_json::json!({ "http": text(ready.http), "tcp": ready.tcp.map(text), "udp": ready.udp.map(text) }).to_string()
}

fn door(address: Option<SocketAddr>, what: &str) -> String {
    address.map_or_else(|| "off".to_owned(), |address| format!("{:<28}{what}", address.to_string()))
}

/// What to connect to on this machine: "all interfaces" is an address to listen on, not to go to.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn counted(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(http: &str, tcp: Option<&str>) -> Ready {
        Ready {
            http: http.parse().unwrap(),
            tcp: tcp.map(|tcp| tcp.parse().unwrap()),
            udp: None,
            data: "/srv/chappe".into(),
            open_mode: true,
            first_token: None,
            started_in: std::time::Duration::from_millis(41),
            messages: 1,
            chats: 2,
        }
    }

    #[test]
    fn the_banner_says_where_things_are_and_what_to_try() {
        let text = banner(&ready("127.0.0.1:8080", Some("127.0.0.1:8081")));
        for part in [
            "ready in 41 ms",
            "http://127.0.0.1:8080/\n",
            "ws://127.0.0.1:8080/ws",
            "UDP        off",
            "/srv/chappe  (2 chats, 1 message)",
            "anyone on this machine",
            "curl http://127.0.0.1:8080/api/chats/1/messages",
            "| nc 127.0.0.1 8081",
        ] {
            assert!(text.contains(part), "{part:?} is missing in\n{text}");
        }
        assert!(!banner(&ready("127.0.0.1:8080", None)).contains("| nc"));
    }

    #[test]
    fn in_token_mode_the_first_start_says_how_to_make_a_token() {
        let ready = Ready {
            open_mode: false,
            first_token: Some("chappe token create --user 1001".into()),
            ..ready("127.0.0.1:8080", None)
        };
        let text = banner(&ready);
        assert!(text.contains("  chappe token create --user 1001\n"), "{text}");
        assert!(!text.contains("open mode"), "{text}");
    }

    #[test]
    fn all_interfaces_are_shown_as_an_address_one_can_go_to() {
        let text = banner(&ready("0.0.0.0:8080", Some("[::]:8081")));
        assert!(text.contains("http://127.0.0.1:8080/\n"), "{text}");
        assert!(text.contains("nc ::1 8081"), "{text}");
        assert!(text.contains("TCP        [::]:8081"), "{text}");
        assert!(text.contains("EVERY MACHINE"), "{text}");
    }

    #[test]
    fn the_addresses_are_one_line_of_json() {
        let line = addresses(&ready("127.0.0.1:41001", Some("[::1]:41002")));
        assert_eq!(line, r#"{"http":"127.0.0.1:41001","tcp":"[::1]:41002","udp":null}"#);
    }
}
