//! The table of settings against the defaults and the documentation.

use super::*;

#[test]
fn every_default_is_a_value_its_setting_takes() {
    for setting in SETTINGS {
        let shown = setting.show(&Config::default());
        let value = match shown.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(text) => Value::Text(text.to_owned()),
            None => Value::Word(shown.trim_matches(['[', ']']).replace('"', "")),
        };
        let mut config = Config::default();
        assert_eq!(setting.apply(&mut config, &value), Ok(()), "{} = {shown}", setting.name);
        assert_eq!(config, Config::default(), "{}", setting.name);
    }
}

#[test]
fn no_variable_is_one_that_kubernetes_injects() {
    for setting in SETTINGS {
        let env = setting.env();
        assert!(!env.ends_with("_PORT") && !env.contains("_SERVICE_") && !env.contains("_PORT_"), "{env}");
    }
}

#[test]
fn the_page_has_a_row_for_every_setting() {
    let page = include_str!("../../docs/configuration.md");
    for setting in SETTINGS {
        let flag = setting.flag().map_or_else(String::new, |flag| format!("`{flag}`"));
        let reload = if setting.reload { "SIGHUP" } else { "start" };
        let row = format!(
            "| `{}` | `{}` | {flag} | `{}` | {} | {reload} | {} |",
            setting.name,
            setting.env(),
            setting.show(&Config::default()),
            setting.takes,
            setting.about
        );
        assert!(page.lines().any(|line| line == row), "docs/configuration.md lacks this row:\n{row}");
    }
}

#[test]
fn the_page_about_limits_has_a_row_for_every_limit_with_its_default_and_a_reason() {
    let page = include_str!("../../docs/limits.md");
    for setting in SETTINGS.iter().filter(|setting| setting.name.starts_with("limits.")) {
        let begins = format!("| `{}` | `{}` | ", setting.name, setting.show(&Config::default()));
        let row = page.lines().find(|line| line.starts_with(&begins));
        let row = row.unwrap_or_else(|| panic!("docs/limits.md lacks a row that begins with {begins}"));
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert!(cells.len() == 5 && cells.iter().all(|cell| !cell.is_empty()), "{row}");
    }
    let named = page.split('`').filter(|word| word.starts_with("limits.") && !word.contains(".md"));
    for name in named {
        assert!(Setting::find(name).is_some(), "docs/limits.md names {name}, which is no setting");
    }
}
