//! Checks what to log before anything is logged. The filtering itself is tracing's.

use tracing_subscriber::EnvFilter;

use crate::config::nearest::nearest;
use crate::config::value::Misfit;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// Reads a filter: levels, `module=level`, set apart by commas.
pub(crate) fn parse(text: &str) -> Result<String, Misfit> {
    if text.trim().is_empty() {
        return Err(Misfit::default());
    }
    let directives: Vec<&str> = text.split(',').map(str::trim).collect();
    directives.iter().try_for_each(|directive| refuse_bare_word(directive))?;
    let filter = directives.join(",");
    EnvFilter::try_new(&filter).map_err(|error| Misfit::hint(error.to_string()))?;
    Ok(filter)
}

/// The filter takes a lone word that is no level for a module's name, so `inof` would silence everything else.
fn refuse_bare_word(word: &str) -> Result<(), Misfit> {
    let is_level = LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    if is_level || word.contains(['=', '[']) {
        return Ok(());
    }
    Err(Misfit::hint(match nearest(word, LEVELS) {
        Some(level) => format!("did you mean {level}?"),
        None => format!("{word:?} is no level; for a module of this name, write {word}=info"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_levels_also_per_module() {
        for text in ["info", "WARN", "off", "info,chappe=debug", "warn,chappe::cli=trace", "chappe[session]=debug"] {
            assert_eq!(parse(text), Ok(text.to_owned()), "{text}");
        }
        assert_eq!(parse(" warn, chappe::cli=trace"), Ok("warn,chappe::cli=trace".to_owned()));
    }

    #[test]
    fn a_misspelt_level_is_not_taken_for_a_module() {
        assert_eq!(parse("inof"), Err(Misfit::hint("did you mean info?")));
        for text in ["", " ", "info,", "chappe", "chappe=loud", "verbose"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
