//! A setting's value as it was found, before anyone knows whether it fits, and the ways to read it.

use std::fmt;
use std::time::Duration;

/// A value from the file, the environment or the command line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Unquoted text from the environment or a flag: may stand for a number or a switch as well.
    Word(String),
    /// Text in quotes from the file.
    Text(String),
    /// A whole number from the file.
    Integer(i64),
    /// `true` or `false` from the file.
    Switch(bool),
    /// A list of texts from the file.
    List(Vec<String>),
    /// Something from the file that no setting takes, in words.
    Other(&'static str),
}

/// The value does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Misfit {
    /// What may have gone wrong, beyond what the setting takes.
    pub(crate) hint: Option<String>,
}

impl Misfit {
    /// A misfit with a hint.
    pub(crate) fn hint(hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()) }
    }
}

impl Value {
    /// Reads text.
    pub(crate) fn text(&self) -> Result<&str, Misfit> {
        match self {
            Self::Word(text) | Self::Text(text) => Ok(text),
            _ => Err(Misfit::default()),
        }
    }

    /// Reads a whole number.
    pub(crate) fn count(&self) -> Result<u64, Misfit> {
        match self {
            Self::Integer(number) => u64::try_from(*number).map_err(|_| Misfit::default()),
            Self::Word(word) => word.replace('_', "").parse().map_err(|_| Misfit::default()),
            Self::Text(text) if text.parse::<u64>().is_ok() => Err(Misfit::hint("leave the quotes out")),
            _ => Err(Misfit::default()),
        }
    }

    /// Reads a number of bytes: a whole number, or text such as `256 MiB`.
    pub(crate) fn bytes(&self) -> Result<u64, Misfit> {
        match self {
            Self::Integer(number) => u64::try_from(*number).map_err(|_| Misfit::default()),
            Self::Word(text) | Self::Text(text) => parse_bytes(text),
            _ => Err(Misfit::default()),
        }
    }

    /// Reads a time: text such as `25s` or `5m`.
    pub(crate) fn time(&self) -> Result<Duration, Misfit> {
        match self {
            Self::Word(text) | Self::Text(text) => parse_time(text),
            Self::Integer(number) => Err(Misfit::hint(format!("a time has a unit, as in \"{number}s\""))),
            _ => Err(Misfit::default()),
        }
    }

    /// Reads a switch.
    pub(crate) fn switch(&self) -> Result<bool, Misfit> {
        match self {
            Self::Switch(on) => Ok(*on),
            Self::Word(word) => match word.to_lowercase().as_str() {
                "true" | "1" | "yes" | "on" => Ok(true),
                "false" | "0" | "no" | "off" => Ok(false),
                _ => Err(Misfit::default()),
            },
            Self::Text(text) if text == "true" || text == "false" => Err(Misfit::hint("leave the quotes out")),
            _ => Err(Misfit::default()),
        }
    }

    /// Reads a list; on the command line and in the environment its items are set apart by commas.
    pub(crate) fn list(&self) -> Result<Vec<&str>, Misfit> {
        match self {
            Self::List(items) => Ok(items.iter().map(String::as_str).collect()),
            Self::Word(word) => Ok(word.split(',').map(str::trim).filter(|item| !item.is_empty()).collect()),
            Self::Text(_) => Err(Misfit::hint("put it in brackets")),
            _ => Err(Misfit::default()),
        }
    }

    /// Whether quotes came along that a shell would have taken away, as in a Docker environment file.
    pub(crate) fn is_quoted(&self) -> bool {
        let Self::Word(word) = self else { return false };
        ['"', '\''].iter().any(|quote| word.len() > 1 && word.starts_with(*quote) && word.ends_with(*quote))
    }
}

/// Writes the value as a person would point at it, and not all of it if it is long.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(text) | Self::Text(text) if text.chars().count() > 60 => {
                write!(f, "{:?}…", text.chars().take(60).collect::<String>())
            }
            Self::Word(text) | Self::Text(text) => write!(f, "{text:?}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Switch(on) => write!(f, "{on}"),
            Self::List(items) => write!(f, "a list of {}", items.len()),
            Self::Other(what) => f.write_str(what),
        }
    }
}

/// The units of a size. Powers of 1024 have an `i`, powers of 1000 have none.
const UNITS: [(&str, u64); 8] = [
    ("", 1),
    ("B", 1),
    ("kB", 1000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

fn parse_bytes(text: &str) -> Result<u64, Misfit> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim();
    let number: u64 = number.replace('_', "").parse().map_err(|_| Misfit::default())?;
    let factor = UNITS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))
        .map(|(_, factor)| *factor)
        .ok_or_else(|| Misfit::hint(format!("{unit:?} is no unit; there are B, kB, MB, GB, KiB, MiB and GiB")))?;
    number.checked_mul(factor).ok_or_else(Misfit::default)
}

/// The units of a time, in milliseconds; the largest last.
pub(crate) const TIME_UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)];

fn parse_time(text: &str) -> Result<Duration, Misfit> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim();
    let number: u64 = number.replace('_', "").parse().map_err(|_| Misfit::default())?;
    let factor = TIME_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let millis = match (number, factor) {
        // Nothing is nothing in any unit.
        (0, None) if unit.is_empty() => Some(0),
        (_, Some(factor)) => number.checked_mul(factor),
        (_, None) if unit.is_empty() => {
            return Err(Misfit::hint(format!("a time has a unit, as in \"{number}s\"")));
        }
        (_, None) => return Err(Misfit::hint(format!("{unit:?} is no unit; there are ms, s, m and h"))),
    };
    millis.map(Duration::from_millis).ok_or_else(Misfit::default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_numbers_or_have_a_unit() {
        for (text, bytes) in [
            ("65536", 65536),
            ("65_536", 65536),
            ("64 KiB", 65536),
            ("64KiB", 65536),
            ("64kib", 65536),
            ("64 kB", 64000),
            (" 2 GiB ", 2 << 30),
            ("7B", 7),
        ] {
            assert_eq!(Value::Text(text.into()).bytes(), Ok(bytes), "{text}");
        }
        for text in ["", "KiB", "-1", "1.5 MiB", "64 K", "99999999999 GiB", "1 MiB 2"] {
            assert!(Value::Text(text.into()).bytes().is_err(), "{text}");
        }
    }

    #[test]
    fn times_have_a_unit() {
        for (text, millis) in
            [("25s", 25_000), ("5 m", 300_000), ("250ms", 250), ("1h", 3_600_000), ("0", 0), ("0s", 0)]
        {
            assert_eq!(Value::Text(text.into()).time(), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "25", "-1s", "1.5s", "5 min", "5M", "99999999999999999h"] {
            assert!(Value::Text(text.into()).time().is_err(), "{text}");
        }
        assert_eq!(Value::Integer(25).time(), Err(Misfit::hint("a time has a unit, as in \"25s\"")));
    }

    #[test]
    fn quotes_in_the_file_matter_and_outside_do_not() {
        assert_eq!(Value::Word("512".into()).count(), Ok(512));
        assert_eq!(Value::Integer(512).count(), Ok(512));
        assert_eq!(Value::Text("512".into()).count(), Err(Misfit::hint("leave the quotes out")));
        assert_eq!(Value::Word("Yes".into()).switch(), Ok(true));
        assert!(Value::Text("true".into()).switch().is_err());
        assert!(Value::Word("maybe".into()).switch().is_err());
    }

    #[test]
    fn lists_outside_the_file_are_split_at_commas() {
        assert_eq!(Value::Word("a, b,,c".into()).list(), Ok(vec!["a", "b", "c"]));
    }
}
