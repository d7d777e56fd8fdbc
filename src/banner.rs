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
    let s = if ready.fingerprint.is_some() { "s" } else { "" };
    let stored = format!("{}, {}", counted(ready.chats, "chat"), counted(ready.messages, "message"));
    let millis = ready.started_in.as_millis();
    writeln!(out, "\nchappe {}, ready in {millis} ms\n", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "  page       http{s}://{http}/")?;
    writeln!(out, "  HTTP API   http{s}://{http}/api        described at http{s}://{http}/docs")?;
    writeln!(out, "  WebSocket  ws{s}://{http}/ws")?;
    writeln!(out, "  TCP        {}", door(ready.tcp, "JSON, or binary frames"))?;
    writeln!(out, "  UDP        {}", door(ready.udp, "presence and typing"))?;
    if let Some(fingerprint) = &ready.fingerprint {
        writeln!(out, "  TLS        SHA-256 {fingerprint}")?;
    }
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
    writeln!(out, "\nTry: open http{s}://{http}/ in two windows, or")?;
    // Only where nobody vouches for the certificate is it not checked.
    let trust = if ready.self_signed { "--insecure " } else { "" };
    writeln!(out, "  curl {trust}http{s}://{http}/api/chats/1/messages")?;
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
#[path = "banner_tests.rs"]
mod tests;
