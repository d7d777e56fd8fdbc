//! Where the program's own log goes and how it looks: stderr, for people on a terminal, one JSON object a line otherwise.

use std::ffi::OsString;
use std::io::IsTerminal;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{EnvFilter, Registry, reload};

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
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let (filter, handle) = reload::Layer::new(EnvFilter::try_new(filter)?);
    let filtered = tracing_subscriber::registry().with(filter);
    match Look::choose(std::io::stderr().is_terminal(), std::env::var_os("NO_COLOR")) {
        Look::Json => filtered.with(lines.json().flatten_event(true).with_current_span(false)).try_init()?,
        Look::Plain => filtered.with(lines.with_ansi(false)).try_init()?,
        Look::Coloured => filtered.with(lines.with_ansi(true)).try_init()?,
    }
    Ok(Filter(handle))
}

#[cfg(test)]
mod tests {
    use super::*;

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
