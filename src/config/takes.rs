//! What a setting takes: said once, used for checking, for the text of a refusal, and for the documentation.

use std::fmt;
use std::ops::RangeInclusive;

use crate::config::value::{Misfit, Value};

/// The kind of value a setting takes, with its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Takes {
    /// A folder.
    Folder,
    /// An address to listen on.
    Address,
    /// An address to listen on, or `off`.
    AddressOrOff,
    /// What to log.
    LogFilter,
    /// `true` or `false`.
    Switch,
    /// A whole number.
    Count(RangeInclusive<u64>),
    /// A whole number, or `auto`.
    CountOrAuto(RangeInclusive<u64>),
    /// A number of bytes.
    Bytes(RangeInclusive<u64>),
    /// Origins of web pages.
    Origins,
}

impl Takes {
    /// Reads a whole number, or a number of bytes, within the bounds.
    pub(crate) fn number<T: TryFrom<u64>>(&self, value: &Value) -> Result<T, Misfit> {
        let (number, bounds) = match self {
            Self::Count(bounds) | Self::CountOrAuto(bounds) => (value.count()?, bounds),
            Self::Bytes(bounds) => (value.bytes()?, bounds),
            _ => return Err(Misfit::default()),
        };
        if bounds.contains(&number) {
            T::try_from(number).map_err(|_| Misfit::default())
        } else {
            Err(Misfit::default())
        }
    }
}

/// Ends the sentence "`http` takes …".
impl fmt::Display for Takes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder => f.write_str("the path of a folder"),
            Self::Address => f.write_str("an address such as 127.0.0.1:8080 or localhost:8080"),
            Self::AddressOrOff => f.write_str("an address such as 127.0.0.1:8081, or off"),
            Self::LogFilter => {
                f.write_str("off, error, warn, info, debug or trace, also per module: info,chappe=debug")
            }
            Self::Switch => f.write_str("true or false"),
            Self::Count(bounds) => write!(f, "a whole number from {} to {}", bounds.start(), bounds.end()),
            Self::CountOrAuto(bounds) => {
                write!(f, "auto or a whole number from {} to {}", bounds.start(), bounds.end())
            }
            Self::Bytes(bounds) => {
                write!(f, "a size from {} to {}", in_units(*bounds.start()), in_units(*bounds.end()))
            }
            Self::Origins => f.write_str("a list of origins such as https://chat.example.com"),
        }
    }
}

/// Writes a number of bytes in the largest unit that needs no fraction.
pub(crate) fn in_units(bytes: u64) -> String {
    [("GiB", 30), ("MiB", 20), ("KiB", 10)]
        .into_iter()
        .find(|(_, shift)| bytes > 0 && bytes.trailing_zeros() >= *shift)
        .map_or_else(|| format!("{bytes} B"), |(unit, shift)| format!("{} {unit}", bytes >> shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_outside_the_bounds_are_refused() {
        let takes = Takes::Count(1..=65_536);
        for (number, fits) in [(-1, false), (0, false), (1, true), (65_536, true), (65_537, false), (i64::MAX, false)] {
            assert_eq!(takes.number::<u32>(&Value::Integer(number)).is_ok(), fits, "{number}");
        }
    }

    #[test]
    fn sizes_read_back_as_they_are_written() {
        for bytes in [0, 1, 1023, 1024, 65536, (1 << 24) - 1, 1 << 28, 1 << 40] {
            assert_eq!(Value::Text(in_units(bytes)).bytes(), Ok(bytes), "{}", in_units(bytes));
        }
    }
}
