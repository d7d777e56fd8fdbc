//! The arguments that benchmarks share, and how they read their values.

use std::time::Duration;

use clap::ValueEnum;
use serde_json::{Value, json};

use super::compare::Comparing;
use crate::client::tcp::TcpWire;
use crate::client::websocket::WsWire;

/// Where the server is, and how to report on it.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Target {
    /// The server's HTTP and WebSocket door.
    #[arg(long, value_name = "ADDR", env = "CHAPPE_HTTP", default_value = "127.0.0.1:8080")]
    pub(super) http: String,
    /// The server's TCP door.
    #[arg(long, value_name = "ADDR", env = "CHAPPE_TCP", default_value = "127.0.0.1:8081")]
    pub(super) tcp: String,
    /// The server's UDP door.
    #[arg(long, value_name = "ADDR", env = "CHAPPE_UDP", default_value = "127.0.0.1:8082")]
    pub(super) udp: String,
    /// Also report this process's CPU time and memory: the server's, on this machine.
    #[arg(long, value_name = "PID")]
    pub(super) server_pid: Option<u32>,
    /// Threads that make the load. Half of the cores if absent.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// Print one JSON object on stdout.
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) comparing: Comparing,
}

impl Target {
    /// How many threads make the load.
    pub(super) fn threads(&self) -> usize {
        self.threads.map_or_else(|| (cores() / 2).max(1), usize::from)
    }

    /// As printed in the report.
    pub(super) fn settings(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("http", json!(self.http)),
            ("tcp", json!(self.tcp)),
            ("udp", json!(self.udp)),
            ("server_pid", json!(self.server_pid)),
            ("threads", json!(self.threads())),
        ]
    }
}

/// How long, and how fast.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Load {
    #[command(flatten)]
    pub(super) target: Target,
    /// How long to measure.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub(super) duration: Duration,
    /// How long the load runs before it is measured.
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = parse_duration)]
    pub(super) warmup: Duration,
    /// Operations a second in all, whether or not the server keeps up (open loop); latency counts from when an
    /// operation was due. As fast as answers come (closed loop) if absent.
    #[arg(long, value_name = "N", value_parser = parse_rate)]
    pub(super) rate: Option<f64>,
}

impl std::ops::Deref for Load {
    type Target = Target;

    fn deref(&self) -> &Target {
        &self.target
    }
}

impl Load {
    /// As printed in the report.
    pub(super) fn settings(&self) -> Vec<(&'static str, Value)> {
        let mut settings = self.target.settings();
        settings.extend([
            ("duration_s", json!(self.duration.as_secs_f64())),
            ("warmup_s", json!(self.warmup.as_secs_f64())),
            ("loop", json!(if self.rate.is_some() { "open" } else { "closed" })),
            ("rate", json!(self.rate)),
        ]);
        settings
    }
}

/// The doors that keep connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Door {
    /// WebSocket.
    Ws,
    /// TCP.
    Tcp,
}

impl Door {
    /// As printed in the report.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ws => "ws",
            Self::Tcp => "tcp",
        }
    }
}

/// A wire, as arguments name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum WireName {
    /// Length-prefixed frames with binary bodies.
    Binary,
    /// JSON.
    Json,
}

impl WireName {
    /// As printed in the report.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Json => "json",
        }
    }

    /// The same through the TCP door.
    pub(super) fn on_tcp(self) -> TcpWire {
        match self {
            Self::Binary => TcpWire::Binary,
            Self::Json => TcpWire::Json,
        }
    }

    /// The same on a WebSocket.
    pub(super) fn on_web_socket(self) -> WsWire {
        match self {
            Self::Binary => WsWire::Binary,
            Self::Json => WsWire::Json,
        }
    }
}

/// The cores of this machine that this process may use.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Reads `10s`, `500ms`, `2m`, or plain seconds.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let (digits, seconds_each) = if let Some(digits) = text.strip_suffix("ms") {
        (digits, 0.001)
    } else if let Some(digits) = text.strip_suffix('m') {
        (digits, 60.0)
    } else {
        (text.strip_suffix('s').unwrap_or(text), 1.0)
    };
    let seconds = digits.parse::<f64>().map(|number| number * seconds_each);
    match seconds {
        Ok(seconds) if (0.0..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("a time is a number with ms, s or m behind it, at most a day: 500ms, 10s, 2m".to_owned()),
    }
}

fn parse_rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if (0.01..=1e9).contains(&rate) => Ok(rate),
        _ => Err("a rate is a number of operations a second, above 0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_with_a_unit() {
        for (text, ms) in [("10", 10_000), ("10s", 10_000), ("500ms", 500), ("2m", 120_000), ("0.5s", 500), ("0", 0)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "s", "-1s", "1h", "ten", "inf", "NaN", "1e9"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rate_is_above_zero() {
        assert_eq!(parse_rate("100"), Ok(100.0));
        assert_eq!(parse_rate("0.5"), Ok(0.5));
        for bad in ["0", "-1", "x", "inf", "NaN"] {
            assert!(parse_rate(bad).is_err(), "{bad}");
        }
    }
}
