//! Reads the environment: the variables of the settings, and those that only look like one.

use std::ffi::OsString;

use crate::config::nearest::nearest;
use crate::config::problem::{Entry, Problem, Source};
use crate::config::settings::SETTINGS;
use crate::config::value::Value;

/// The variable that names the file.
pub(crate) const CONFIG_VARIABLE: &str = "CHAPPE_CONFIG";
const PREFIX: &str = "CHAPPE_";

/// What the environment says.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    pub(crate) entries: Vec<Entry>,
    pub(crate) file: Option<String>,
    pub(crate) problems: Vec<Problem>,
    /// Variables that begin like ours and are not, each with what may be meant.
    pub(crate) warnings: Vec<String>,
}

/// Reads the variables. `others` are names that other commands read.
pub(crate) fn read(variables: impl IntoIterator<Item = (OsString, OsString)>, others: &[String]) -> Environment {
    let names: Vec<String> = SETTINGS.iter().map(|setting| setting.env()).collect();
    let mut environment = Environment::default();
    let mut variables: Vec<(String, OsString)> = variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
        .filter(|(name, value)| name.starts_with(PREFIX) && !value.is_empty())
        .collect();
    variables.sort();
    for (name, value) in variables {
        let index = names.iter().position(|known| *known == name);
        let setting = index.and_then(|index| SETTINGS.get(index));
        if setting.is_none() && name != CONFIG_VARIABLE {
            if !others.contains(&name) && !is_service_link(&name, &value) {
                environment.warnings.push(unknown(&name, &names));
            }
            continue;
        }
        match (value.into_string(), setting) {
            (Err(_), _) => environment.problems.push(Problem::at(&Source::Env(name), "is not UTF-8")),
            (Ok(value), None) => environment.file = Some(value),
            (Ok(value), Some(setting)) => {
                environment.entries.push(Entry { setting, value: Value::Word(value), source: Source::Env(name) });
            }
        }
    }
    environment
}

fn unknown(name: &str, names: &[String]) -> String {
    // By the part behind the prefix: with it, everything looks alike.
    let own = |name: &'_ str| name.strip_prefix(PREFIX).map(str::to_owned);
    let known: Vec<String> = names.iter().filter_map(|name| own(name)).chain(own(CONFIG_VARIABLE)).collect();
    let word = own(name).unwrap_or_default().replace("__", "_");
    match nearest(&word, known.iter().map(String::as_str)) {
        Some(meant) => format!("{name} is not a setting and is ignored; did you mean {PREFIX}{meant}?"),
        None => format!("{name} is not a setting and is ignored"),
    }
}

/// Whether Kubernetes put it there, because a service of the same namespace is called `chappe` or `chappe-…`.
fn is_service_link(name: &str, value: &OsString) -> bool {
    let is_url =
        value.to_str().is_some_and(|value| ["tcp://", "udp://", "sctp://"].iter().any(|p| value.starts_with(p)));
    let is_port_part = ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| {
        name.contains("_PORT_")
            && ["_PROTO", "_PORT", "_ADDR"]
                .iter()
                .any(|part| name.strip_suffix(part).is_some_and(|name| name.ends_with(protocol)))
    });
    let is_service =
        name.ends_with("_SERVICE_HOST") || name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_");
    is_service || is_port_part || (is_url && name.contains("_PORT"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        read(variables.iter().map(|(name, value)| (name.into(), value.into())), &["CHAPPE_USER".to_owned()])
    }

    #[test]
    fn every_setting_has_a_variable() {
        for setting in SETTINGS {
            let read = environment(&[(&setting.env(), "x")]);
            assert_eq!(read.entries.len(), 1, "{}", setting.env());
            assert_eq!(read.entries[0].setting.name, setting.name);
        }
    }

    #[test]
    fn an_empty_variable_is_no_variable() {
        let read = environment(&[("CHAPPE_HTTP", ""), ("CHAPPE_CONFIG", ""), ("CHAPPE_HTPP", "")]);
        assert!(read.entries.is_empty() && read.file.is_none() && read.warnings.is_empty());
    }

    #[test]
    fn a_misspelt_variable_is_warned_of() {
        let read = environment(&[
            ("CHAPPE_HTPP", "x"),
            ("CHAPPE_LIMITS__WINDOW", "5"),
            ("CHAPPE_PORT", "9000"),
            ("HTTP", "x"),
        ]);
        assert_eq!(
            read.warnings,
            [
                "CHAPPE_HTPP is not a setting and is ignored; did you mean CHAPPE_HTTP?",
                "CHAPPE_LIMITS__WINDOW is not a setting and is ignored; did you mean CHAPPE_LIMITS_WINDOW?",
                "CHAPPE_PORT is not a setting and is ignored",
            ]
        );
    }

    #[test]
    fn what_kubernetes_injects_is_passed_over_in_silence() {
        let read = environment(&[
            ("CHAPPE_PORT", "tcp://10.0.0.7:8080"),
            ("CHAPPE_SERVICE_HOST", "10.0.0.7"),
            ("CHAPPE_SERVICE_PORT", "8080"),
            ("CHAPPE_SERVICE_PORT_HTTP", "8080"),
            ("CHAPPE_PORT_8080_TCP", "tcp://10.0.0.7:8080"),
            ("CHAPPE_PORT_8080_TCP_PROTO", "tcp"),
            ("CHAPPE_PORT_8080_TCP_PORT", "8080"),
            ("CHAPPE_PORT_8080_TCP_ADDR", "10.0.0.7"),
            ("CHAPPE_HTTP_PORT", "tcp://10.0.0.8:80"),
            ("CHAPPE_USER", "ann"),
        ]);
        assert!(read.entries.is_empty(), "{:?}", read.entries);
        assert_eq!(read.warnings, Vec::<String>::new());
    }
}
