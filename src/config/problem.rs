//! Where a value came from, and what is wrong with it. All problems are told at once.

use std::fmt;

use crate::config::settings::Setting;
use crate::config::value::{Misfit, Value};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// A place in the file; line and column count from 1.
    File {
        /// The file as it was named.
        path: String,
        /// The line.
        line: usize,
        /// The column, in characters.
        column: usize,
    },
    /// An environment variable.
    Env(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line, column } => write!(f, "{path}:{line}:{column}"),
            Self::Env(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A value on its way into the configuration.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) setting: &'static Setting,
    pub(crate) value: Value,
    pub(crate) source: Source,
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The place: a file with line and column, a variable, a flag.
    pub at: String,
    /// What is wrong there, and what was probably meant.
    pub text: String,
    /// The line and column, so that what is wrong in a file is told in its order.
    pub(crate) position: (usize, usize),
}

impl Problem {
    /// A problem with what one source says.
    pub(crate) fn at(source: &Source, text: impl Into<String>) -> Self {
        let position = match source {
            Source::File { line, column, .. } => (*line, *column),
            _ => (usize::MAX, 0),
        };
        Self { at: source.to_string(), text: text.into(), position }
    }

    /// A problem with a whole file, or with several sources.
    pub(crate) fn with(what: impl Into<String>, text: impl Into<String>) -> Self {
        Self { at: what.into(), text: text.into(), position: (0, 0) }
    }

    /// A value that its setting does not take.
    pub(crate) fn misfit(entry: &Entry, misfit: Misfit) -> Self {
        let Entry { setting, value, source } = entry;
        let mut text = format!("`{}` is {value}, but takes {}", setting.name, setting.takes);
        let hint = if value.is_quoted() { Some("leave the quotes out".to_owned()) } else { misfit.hint };
        if let Some(hint) = hint {
            text.push_str("; ");
            text.push_str(&hint);
        }
        Self::at(source, text)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.text)
    }
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    /// Everything that is wrong, in the order of file, environment, flags.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}
