//! What a setting takes: said once, used for checking, for the text of a refusal, and for the documentation.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use chappe_proto::limits::Rate;

use crate::config::value::{Misfit, TIME_UNITS, Value};

/// The kind of value a setting takes, with its bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Takes {
    /// A folder.
    Folder,
    /// Files.
    Files,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Text.
    Text,
    /// Text, or `off`.
    TextOrOff,
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
    /// A span of time.
    Time(RangeInclusive<Duration>),
    /// A span of time, or `off`.
    TimeOrOff(RangeInclusive<Duration>),
    /// A whole number, or `off`.
    CountOrOff(RangeInclusive<u64>),
    /// A file, or `off`.
    FileOrOff,
    /// How often something may be done, or `off`.
    Rate,
    /// Addresses, alone or a whole network.
    Networks,
}

impl Takes {
    /// Reads a whole number, or a number of bytes, within the bounds.
    pub(crate) fn number<T: TryFrom<u64>>(&self, value: &Value) -> Result<T, Misfit> {
        let (number, bounds) = match self {
            Self::Count(bounds) | Self::CountOrAuto(bounds) | Self::CountOrOff(bounds) => (value.count()?, bounds),
            Self::Bytes(bounds) => (value.bytes()?, bounds),
            _ => return Err(Misfit::default()),
        };
        if bounds.contains(&number) {
            T::try_from(number).map_err(|_| Misfit::default())
        } else {
            Err(Misfit::default())
        }
    }

    /// Reads a time within the bounds.
    pub(crate) fn time(&self, value: &Value) -> Result<Duration, Misfit> {
        let time = value.time()?;
        match self {
            Self::Time(bounds) | Self::TimeOrOff(bounds) if bounds.contains(&time) => Ok(time),
            _ => Err(Misfit::default()),
        }
    }

    /// Reads a whole number within the bounds, or `off`.
    pub(crate) fn number_or_off<T: TryFrom<u64>>(&self, value: &Value) -> Result<Option<T>, Misfit> {
        if is_off(value) { Ok(None) } else { self.number(value).map(Some) }
    }

    /// Reads a time within the bounds, or `off`.
    pub(crate) fn time_or_off(&self, value: &Value) -> Result<Option<Duration>, Misfit> {
        if is_off(value) { Ok(None) } else { self.time(value).map(Some) }
    }

    /// Reads `1000/s`, `1000/s burst 4000` or `off`.
    pub(crate) fn rate(&self, value: &Value) -> Result<Rate, Misfit> {
        let text = value.text()?.trim();
        if text.eq_ignore_ascii_case("off") {
            return Ok(Rate { per_sec: 0, burst: 1 });
        }
        let number = |text: &str| text.trim().replace('_', "").parse::<u32>().map_err(|_| Misfit::default());
        let (per_sec, burst) = match text.split_once("burst") {
            Some((per_sec, burst)) => (per_sec.trim(), Some(number(burst)?)),
            None => (text, None),
        };
        let Some(per_sec) = per_sec.strip_suffix("/s") else {
            return Err(Misfit::hint("a rate is a number a second: write /s behind it"));
        };
        let per_sec = number(per_sec)?;
        let rate = Rate { per_sec, burst: burst.unwrap_or(per_sec) };
        let fits = RATES.contains(&rate.per_sec) && BURSTS.contains(&rate.burst);
        if fits { Ok(rate) } else { Err(Misfit::default()) }
    }
}

fn is_off(value: &Value) -> bool {
    value.text().is_ok_and(|text| text.trim().eq_ignore_ascii_case("off"))
}

/// What a rate may be: its parts a second, and at once.
const RATES: RangeInclusive<u32> = 1..=1_000_000;
const BURSTS: RangeInclusive<u32> = 1..=10_000_000;

/// Writes a rate as it is read.
pub(crate) fn in_words(rate: Rate) -> String {
    match rate.per_sec {
        0 => "off".to_owned(),
        per_sec => format!("{per_sec}/s burst {}", rate.burst),
    }
}

/// Ends the sentence "`http` takes …".
impl fmt::Display for Takes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder => f.write_str("the path of a folder"),
            Self::Files => f.write_str("a list of paths of files"),
            Self::OneOf(words) => f.write_str(&words.join(" or ")),
            Self::Text => f.write_str("text"),
            Self::TextOrOff => f.write_str("text, or off"),
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
            Self::Time(bounds) => write!(f, "a time from {} to {}", in_time(*bounds.start()), in_time(*bounds.end())),
            Self::TimeOrOff(bounds) => {
                write!(f, "a time from {} to {}, or off", in_time(*bounds.start()), in_time(*bounds.end()))
            }
            Self::CountOrOff(bounds) => write!(f, "a whole number from {} to {}, or off", bounds.start(), bounds.end()),
            Self::FileOrOff => f.write_str("the path of a file, or off"),
            Self::Rate => f.write_str("a rate such as 1000/s burst 4000, or off"),
            Self::Networks => f.write_str("a list of addresses or networks such as 10.0.0.0/8"),
            Self::Origins => f.write_str("a list of origins such as https://chat.example.com"),
        }
    }
}

/// A number of bytes, for people: to a tenth of its unit.
pub(crate) fn about(bytes: u64) -> String {
    let unit = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)].into_iter().find(|(_, shift)| bytes >> shift > 0);
    let Some((name, shift)) = unit else { return format!("{bytes} B") };
    let tenths = (u128::from(bytes) * 10) >> shift;
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

/// Writes a number of bytes in the largest unit that needs no fraction.
pub(crate) fn in_units(bytes: u64) -> String {
    [("GiB", 30), ("MiB", 20), ("KiB", 10)]
        .into_iter()
        .find(|(_, shift)| bytes > 0 && bytes.trailing_zeros() >= *shift)
        .map_or_else(|| format!("{bytes} B"), |(unit, shift)| format!("{} {unit}", bytes >> shift))
}

/// Writes a time in the largest unit that needs no fraction.
pub(crate) fn in_time(time: Duration) -> String {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let fits = |(_, factor): &&(&str, u64)| millis > 0 && millis.is_multiple_of(*factor);
    TIME_UNITS
        .iter()
        .rev()
        .find(fits)
        .map_or_else(|| "0s".to_owned(), |(unit, factor)| format!("{}{unit}", millis / factor))
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
    fn a_rate_is_so_much_a_second_and_so_much_at_once() {
        let read = |text: &str| Takes::Rate.rate(&Value::Text(text.to_owned()));
        for (text, per_sec, burst) in [
            ("1000/s burst 4000", 1000, 4000),
            ("1/s burst 1", 1, 1),
            (" 1_000/s  burst  4_000 ", 1000, 4000),
            ("20/s", 20, 20),
            ("off", 0, 1),
            ("Off", 0, 1),
        ] {
            assert_eq!(read(text), Ok(Rate { per_sec, burst }), "{text}");
        }
        for text in ["", "1000", "1000/m", "0/s", "10/s burst 0", "-1/s", "10/s burst", "2000000/s", "10/s burst x"] {
            assert!(read(text).is_err(), "{text}");
        }
        for rate in [Rate { per_sec: 7, burst: 9 }, Rate { per_sec: 0, burst: 1 }] {
            assert_eq!(read(&in_words(rate)), Ok(rate));
        }
    }

    #[test]
    fn sizes_read_back_as_they_are_written() {
        for bytes in [0, 1, 1023, 1024, 65536, (1 << 24) - 1, 1 << 28, 1 << 40] {
            assert_eq!(Value::Text(in_units(bytes)).bytes(), Ok(bytes), "{}", in_units(bytes));
        }
    }

    #[test]
    fn times_read_back_as_they_are_written() {
        for millis in [0, 1, 999, 1000, 25_000, 90_000, 300_000, 7_200_000] {
            let time = Duration::from_millis(millis);
            assert_eq!(Value::Text(in_time(time)).time(), Ok(time), "{}", in_time(time));
        }
        let takes = Takes::Time(Duration::from_secs(1)..=Duration::from_secs(600));
        assert_eq!(takes.to_string(), "a time from 1s to 10m");
        assert!(takes.time(&Value::Text("1s".into())).is_ok() && takes.time(&Value::Text("999ms".into())).is_err());
    }
}
