//! Reads the configuration file: its syntax, its keys, and where each stands. Whether a value fits is decided later.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use crate::bounded;
use crate::config::nearest::nearest;
use crate::config::problem::{Entry, Problem, Source};
use crate::config::settings::{SETTINGS, Setting};
use crate::config::value::Value;

/// What a file says, and what cannot be understood of it.
#[derive(Debug, Default)]
pub(crate) struct File {
    pub(crate) entries: Vec<Entry>,
    pub(crate) problems: Vec<Problem>,
}

/// Reads the file at `path`.
pub(crate) fn read(path: &Path) -> File {
    let name = path.display().to_string();
    let unreadable = |text: String| File { entries: Vec::new(), problems: vec![Problem::with(&name, text)] };
    let bytes = match bounded::read_file(path, bounded::SETTINGS_BYTES) {
        Ok(bytes) => bytes,
        Err(error) => return unreadable(format!("cannot be read: {error}")),
    };
    match String::from_utf8(bytes) {
        Ok(text) => parse(&name, &text),
        Err(_) => unreadable("is not UTF-8".to_owned()),
    }
}

/// Reads the text of a file called `path`.
fn parse(path: &str, text: &str) -> File {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { path, text, found: File::default() };
    for error in &errors {
        reader.problem(error.span().map_or(0, |span| span.start), error.message().to_owned());
    }
    // What a broken file seems to say is a guess; only its syntax is reported.
    if errors.is_empty() {
        reader.table("", table.get_ref());
    }
    reader.found
}

struct Reader<'a> {
    path: &'a str,
    text: &'a str,
    found: File,
}

impl Reader<'_> {
    fn table(&mut self, table: &str, content: &DeTable<'_>) {
        for (key, value) in content {
            let name = match table {
                "" => key.get_ref().to_string(),
                table => format!("{table}.{}", key.get_ref()),
            };
            let inner = value.get_ref();
            let is_table = table.is_empty() && SETTINGS.iter().any(|setting| setting.table_and_key().0 == name);
            match (Setting::find(&name), inner) {
                (Some(setting), inner) => {
                    let source = self.source(value.span().start);
                    self.found.entries.push(Entry { setting, value: convert(inner), source });
                }
                (None, DeValue::Table(inner)) if is_table => self.table(&name, inner),
                (None, other) if is_table => {
                    let text = format!("`{name}` is {}, but is a table: [{name}], its keys below", convert(other));
                    self.problem(value.span().start, text);
                }
                (None, other) => self.problem(key.span().start, unknown(&name, matches!(other, DeValue::Table(_)))),
            }
        }
    }

    fn problem(&mut self, offset: usize, text: String) {
        let problem = Problem::at(&self.source(offset), text);
        self.found.problems.push(problem);
    }

    fn source(&self, offset: usize) -> Source {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Source::File { path: self.path.to_owned(), line, column }
    }
}

/// Says that there is no such key, and which may have been meant.
fn unknown(name: &str, is_table: bool) -> String {
    let what = if is_table { "table" } else { "key" };
    let tables = SETTINGS.iter().map(|setting| setting.table_and_key().0).filter(|table| !table.is_empty());
    let meant = if is_table { nearest(name, tables).or_else(|| key_meant(name)) } else { key_meant(name) };
    match meant {
        Some(meant) => format!("unknown {what} `{name}`; did you mean `{meant}`?"),
        None => format!("unknown {what} `{name}`; `chappe config` lists all there are"),
    }
}

/// The key whose whole name is closest; or else the one that is called like this in another table.
fn key_meant(name: &str) -> Option<&'static str> {
    let leaf = name.rsplit('.').next().unwrap_or(name);
    let in_table = name.split_once('.').and_then(|(table, leaf)| {
        let siblings = SETTINGS.iter().map(Setting::table_and_key).filter(|(other, _)| *other == table);
        let key = nearest(leaf, siblings.map(|(_, key)| key))?;
        SETTINGS.iter().map(|setting| setting.name).find(|name| *name == format!("{table}.{key}"))
    });
    in_table.or_else(|| nearest(name, SETTINGS.iter().map(|setting| setting.name))).or_else(|| {
        let key = nearest(leaf, SETTINGS.iter().map(|setting| setting.table_and_key().1))?;
        SETTINGS.iter().find(|setting| setting.table_and_key().1 == key).map(|setting| setting.name)
    })
}

fn convert(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("a number beyond all bounds"), Value::Integer),
        DeValue::Boolean(on) => Value::Switch(*on),
        DeValue::Float(_) => Value::Other("a number with a fraction"),
        DeValue::Datetime(_) => Value::Other("a date or time"),
        DeValue::Table(_) => Value::Other("a table"),
        DeValue::Array(items) => {
            let texts = items.iter().map(|item| item.get_ref().as_str().map(str::to_owned));
            texts.collect::<Option<_>>().map_or(Value::Other("a list that holds more than texts"), Value::List)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        parse("c.toml", text).problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn values_are_found_where_they_stand() {
        let entries = parse("c.toml", "log = 'warn'\n[limits]\n  window = 0x10\n").entries;
        let found: Vec<_> = entries.iter().map(|e| (e.setting.name, e.value.clone(), e.source.to_string())).collect();
        assert_eq!(
            found,
            [
                ("limits.window", Value::Integer(16), "c.toml:3:12".to_owned()),
                ("log", Value::Text("warn".into()), "c.toml:1:7".to_owned()),
            ]
        );
    }

    #[test]
    fn a_dotted_key_and_an_inline_table_say_the_same_as_a_table() {
        for text in
            ["limits.window = 5", "limits = { window = 5 }", "[limits]\nwindow = 5", "\u{feff}limits.window = 5"]
        {
            assert_eq!(parse("c.toml", text).entries[0].value, Value::Integer(5), "{text}");
        }
    }

    #[test]
    fn unknown_keys_are_told_what_was_meant() {
        for (text, expected) in [
            ("htpp = 1", "c.toml:1:1: unknown key `htpp`; did you mean `http`?"),
            ("\n  [limit]\nwindow = 1", "c.toml:2:4: unknown table `limit`; did you mean `limits`?"),
            ("[limits]\nwindw = 1", "c.toml:2:1: unknown key `limits.windw`; did you mean `limits.window`?"),
            ("window = 1", "c.toml:1:1: unknown key `window`; did you mean `limits.window`?"),
            ("max_connections = 1", "c.toml:1:1: unknown key `max_connections`; did you mean `limits.connections`?"),
            ("[cache]\nwindow = 1", "c.toml:2:1: unknown key `cache.window`; did you mean `limits.window`?"),
            ("tcp_port = 1", "c.toml:1:1: unknown key `tcp_port`; did you mean `tcp`?"),
            ("colour = 1", "c.toml:1:1: unknown key `colour`; `chappe config` lists all there are"),
            ("limits = 5", "c.toml:1:10: `limits` is 5, but is a table: [limits], its keys below"),
            (
                "[[limits]]\nwindow = 1",
                "c.toml:1:1: `limits` is a list that holds more than texts, but is a table: [limits], its keys below",
            ),
        ] {
            assert_eq!(problems(text), [expected], "{text}");
        }
    }

    #[test]
    fn broken_syntax_is_told_with_its_place() {
        for (text, at) in [
            ("http = ", "c.toml:1:8: "),
            ("log = \"é\" x", "c.toml:1:11: "),
            ("a = 1\nb = \"x", "c.toml:2:"),
            ("log = 'a'\nlog = 'b'", "c.toml:2:1: "),
        ] {
            let found = problems(text);
            assert!(found[0].starts_with(at), "{text} → {found:?}");
        }
    }
}
