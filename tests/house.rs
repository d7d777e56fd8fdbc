//! The walls of the house: which way imports go, what stays plain, and what stands in one file only.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on should say so")]

use std::fs;
use std::path::{Path, PathBuf};

/// A source file: its path from the root, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// The code without comments, and without the tests at its end.
    fn code(&self) -> Vec<&str> {
        let own = self.text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        own.lines().map(|line| line.split("//").next().unwrap_or_default()).collect()
    }

    /// The lines of code in which one of these words stands.
    fn naming(&self, words: &[&str]) -> Vec<String> {
        let names = |line: &&str| words.iter().any(|word| has_word(line, word));
        self.code().into_iter().filter(names).map(|line| format!("{}: {}", self.path, line.trim())).collect()
    }

    /// The modules that it declares for tests only: `#[cfg(test)]`, and a name without a body.
    fn test_modules(&self) -> Vec<PathBuf> {
        let folder = match self.path.strip_suffix("mod.rs").or_else(|| self.path.strip_suffix("lib.rs")) {
            Some(folder) => PathBuf::from(folder),
            None => PathBuf::from(self.path.trim_end_matches(".rs")),
        };
        let lines: Vec<_> = self.text.lines().collect();
        let declared = lines.windows(2).filter(|pair| pair[0] == "#[cfg(test)]").filter_map(|pair| {
            if let Some(name) = pair[1].strip_prefix("#[path = \"") {
                return Some(Path::new(&self.path).with_file_name(name.trim_end_matches(".rs\"]")));
            }
            Some(folder.join(pair[1].strip_suffix(';')?.rsplit("mod ").next()?))
        });
        declared.collect()
    }
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |character: Option<char>| character.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word)
        .any(|(at, _)| !is_part(line[..at].chars().next_back()) && !is_part(line[at + word.len()..].chars().next()))
}

fn sources(folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut waiting: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
    while let Some(path) = waiting.pop() {
        if path.is_dir() {
            waiting.extend(fs::read_dir(&path).expect("a folder can be read").map(|entry| entry.expect("read").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source is text");
            let path = path.strip_prefix(root).expect("it is in the root").display().to_string();
            found.push(Source { path, text });
        }
    }
    assert!(!found.is_empty(), "no sources in {folders:?}");
    found
}

/// Those that are part of the program: no tests.
fn own(folders: &[&str]) -> Vec<Source> {
    let all = sources(folders);
    let tests: Vec<PathBuf> = all.iter().flat_map(Source::test_modules).collect();
    let is_test = |path: &str| tests.iter().any(|test| Path::new(path).with_extension("").starts_with(test));
    all.into_iter().filter(|source| !source.path.contains("/tests/") && !is_test(&source.path)).collect()
}

fn none(found: Vec<String>, rule: &str) {
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

#[test]
fn imports_go_one_way_from_the_program_to_the_engine_to_the_wire() {
    let naming = |folders: &[&str], words: &[&str]| -> Vec<String> {
        own(folders).iter().flat_map(|source| source.naming(words)).collect()
    };
    none(naming(&["proto/src"], &["chappe_actors", "chappe::"]), "proto knows neither the engine nor the program");
    none(naming(&["actors/src"], &["chappe::"]), "the engine does not know the program");
    none(naming(&["examples"], &["chappe_actors", "chappe::"]), "examples know only the wire, and its client");
    none(naming(&["clients/rust/src"], &["chappe_actors", "chappe::"]), "the client knows only the wire");
    none(naming(&["benches/compare/src"], &["chappe_actors", "chappe_client"]), "the comparison knows only the wire");
    none(naming(&["trials/src"], &["chappe_actors"]), "trials know the server from outside");
    for (manifest, words) in [
        ("proto/Cargo.toml", &["chappe-actors", "actix", "tokio"][..]),
        ("actors/Cargo.toml", &["actix-web", "chappe ="]),
        ("clients/rust/Cargo.toml", &["chappe-actors", "chappe =", "actix"]),
        ("benches/compare/Cargo.toml", &["chappe-actors", "chappe-client", "chappe =", "actix"]),
        ("trials/Cargo.toml", &["chappe-actors", "actix"]),
    ] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(manifest)).expect("a manifest");
        let found = words.iter().filter(|word| text.lines().any(|line| line.starts_with(**word)));
        none(found.map(|word| format!("{manifest}: {word}")).collect(), "a crate depends on what is below it");
    }
}

#[test]
fn what_decides_is_plain_without_actors_sockets_clocks_or_chance() {
    let machinery = ["actix", "actix_rt", "tokio", "Instant", "SystemTime", "rand", "thread", "mpsc", "oneshot"];
    let plain = [
        "proto/src",
        "actors/src/state",
        "actors/src/session/admit.rs",
        "actors/src/session/identity.rs",
        "actors/src/session/outbox.rs",
        "actors/src/bounds.rs",
        "actors/src/command.rs",
        "actors/src/reply.rs",
        "actors/src/log/record.rs",
        "actors/src/retention/limits.rs",
        "src/http/origin.rs",
        "clients/rust/src/core",
        "trials/src/checker",
        "trials/src/history.rs",
    ];
    none(own(&plain).iter().flat_map(|source| source.naming(&machinery)).collect(), "plain stays plain");
    let wire = sources(&["proto/src"]);
    none(
        wire.iter().flat_map(|source| source.naming(&["std::io", "std::net", "std::fs"])).collect(),
        "no I/O in proto",
    );
}

#[test]
fn nothing_is_locked_and_nothing_gives_up() {
    let own = own(&["src", "actors/src", "proto/src", "clients/rust/src", "benches/compare/src", "trials/src"]);
    let locks = ["Mutex", "RwLock", "Condvar", "parking_lot", "Semaphore"];
    none(own.iter().flat_map(|source| source.naming(&locks)).collect(), "state belongs to one actor");
    let endings = [".unwrap()", ".expect(", "panic!(", "unreachable!(", "todo!(", "unimplemented!(", "unsafe "];
    let found = own.iter().flat_map(|source| {
        let gives_up = |line: &&str| endings.iter().any(|ending| line.contains(ending));
        // The scripted engine of the HTTP tests stands in a file of its own, behind `#[cfg(test)]`.
        let code = source.code();
        let code = if source.path == "src/http/engine.rs" { Vec::new() } else { code };
        code.into_iter().filter(gives_up).map(|line| format!("{}: {line}", source.path)).collect::<Vec<_>>()
    });
    none(found.collect(), "errors are values");
}

#[test]
fn what_may_have_to_be_replaced_stands_in_one_file() {
    let (word, home) = ("bincode", "proto/src/format.rs");
    let all = sources(&["src", "actors", "proto", "clients", "examples", "benches", "fuzz", "trials"]);
    let elsewhere = all.iter().filter(|source| source.path != home).flat_map(|source| source.naming(&[word]));
    // An attribute of the derived traits says only where to find them, which is the home.
    let elsewhere = elsewhere.filter(|line| !line.contains("#[bincode(crate = \"chappe_proto::format\")]"));
    none(elsewhere.collect(), &format!("{word} is named only in {home}"));
    assert!(all.iter().any(|source| source.path == home && !source.naming(&[word]).is_empty()), "{home}");
}

#[test]
fn files_say_what_they_are_and_stay_readable() {
    let all = sources(&["src", "actors", "proto", "clients", "examples", "tests", "benches", "fuzz", "trials"]);
    let silent = all.iter().filter(|source| !source.text.starts_with("//! ")).map(|source| source.path.clone());
    none(silent.collect(), "a file begins with what it owns");
    let long = all.iter().filter_map(|source| {
        let lines = source.text.lines().count();
        (lines > 400).then(|| format!("{}: {lines} lines", source.path))
    });
    none(long.collect(), "no file has more than 400 lines");
    let own = own(&["src", "actors/src", "proto/src", "clients/rust/src", "benches/compare/src", "trials/src"]);
    let mut lengths: Vec<_> = own.iter().map(|source| source.text.lines().count()).collect();
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(median <= 140, "the median of the files has {median} lines");
    let vague = ["utils", "util", "helpers", "helper", "common", "manager", "misc"];
    let named =
        all.iter().filter(|source| source.path.split('/').any(|part| vague.contains(&part.trim_end_matches(".rs"))));
    none(named.map(|source| source.path.clone()).collect(), "a name says what is inside");
}
