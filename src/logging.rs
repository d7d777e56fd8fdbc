//! Where the program's own log goes and how it looks: stderr, for people on a terminal, one JSON object a line otherwise.

mod line;

use std::ffi::OsString;
use std::fmt;
use std::io::IsTerminal;

use tracing::Subscriber;
use tracing::field::Field;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, Registry, reload};

use self::line::OneLine;

/// The log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter is not one.
    #[error("the log filter cannot be read")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// A log was set up before.
    #[error("a log is set up already")]
    Twice(#[from] TryInitError),
    /// The filter cannot be replaced.
    #[error("the log filter cannot be replaced")]
    Replace(#[from] reload::Error),
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Coloured,
    Plain,
    Json,
}

impl Look {
    /// See no-color.org: the variable counts if it is there and not empty.
    fn choose(is_terminal: bool, no_color: Option<OsString>) -> Self {
        match (is_terminal, no_color.is_some_and(|value| !value.is_empty())) {
            (false, _) => Self::Json,
            (true, true) => Self::Plain,
            (true, false) => Self::Coloured,
        }
    }
}

/// The filter in force, which can be replaced.
#[derive(Debug, Clone)]
pub struct Filter(reload::Handle<EnvFilter, Registry>);

impl Filter {
    /// Filters by `filter` from now on.
    ///
    /// # Errors
    /// If `filter` is none, or nothing is logged any more.
    pub fn replace(&self, filter: &str) -> Result<(), LoggingError> {
        Ok(self.0.reload(EnvFilter::try_new(filter)?)?)
    }
}

/// Starts logging to stderr. Once in a process.
///
/// # Errors
/// If `filter` is none, or a log was set up before.
pub fn start(filter: &str) -> Result<Filter, LoggingError> {
    let look = Look::choose(std::io::stderr().is_terminal(), std::env::var_os("NO_COLOR"));
    let (filter, handle) = reload::Layer::new(EnvFilter::try_new(filter)?);
    tracing_subscriber::registry().with(filter).with(lines(look, || OneLine(std::io::stderr()))).try_init()?;
    Ok(Filter(handle))
}

/// Writes events so.
fn lines<S, W>(look: Look, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    match look {
        Look::Json => lines.json().flatten_event(true).with_current_span(false).boxed(),
        Look::Plain => lines.with_ansi(false).fmt_fields(debug_fn(field).delimited(" ")).boxed(),
        Look::Coloured => lines.with_ansi(true).fmt_fields(debug_fn(field).delimited(" ")).boxed(),
    }
}

/// Writes a field for people. The library lets ESC through in fields that are shown by `%`.
fn field(out: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    match (field.name(), out.has_ansi_escapes()) {
        ("message", _) => {}
        (name, true) => write!(out, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m")?,
        (name, false) => write!(out, "{name}=")?,
    }
    line::put(out, &format!("{value:?}"), |_| false)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// Passes on what is written.
    struct Tell(Sender<Vec<u8>>);

    impl io::Write for Tell {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn whatever_is_told_is_one_line_and_moves_no_cursor() {
        let evil = "\u{1b}[2J\u{9b}31m\r\n{\"level\":\"INFO\",\"message\":\"all is well\"}\n2026-01-01 INFO all is well\u{202e}";
        for look in [Look::Json, Look::Plain, Look::Coloured] {
            let (sender, written) = channel();
            let log = tracing_subscriber::registry().with(lines(look, move || OneLine(Tell(sender.clone()))));
            tracing::subscriber::with_default(log, || {
                tracing::warn!("{evil}");
                tracing::warn!(shown = %evil, debugged = ?evil, text = evil, "a name");
                let error = io::Error::other(evil);
                tracing::warn!(error = &error as &dyn std::error::Error, shown = %error, "an error");
            });
            let written: Vec<u8> = written.try_iter().flatten().collect();
            let mut text = String::from_utf8(written).unwrap();
            if look == Look::Coloured {
                for code in ["0", "1", "2", "3", "33"] {
                    text = text.replace(&format!("\u{1b}[{code}m"), "");
                }
            }
            assert_eq!(text.lines().count(), 3, "{look:?}: {text}");
            let harmful = |letter: char| letter != '\n' && letter.is_control() || letter == '\u{202e}';
            assert_eq!(text.find(harmful), None, "{look:?}: {text:?}");
        }
    }

    #[test]
    fn people_get_colours_unless_they_say_no_and_programs_get_json() {
        for (is_terminal, no_color, expected) in [
            (true, None, Look::Coloured),
            (true, Some(""), Look::Coloured),
            (true, Some("1"), Look::Plain),
            (false, None, Look::Json),
            (false, Some("1"), Look::Json),
        ] {
            assert_eq!(Look::choose(is_terminal, no_color.map(OsString::from)), expected);
        }
    }
}
