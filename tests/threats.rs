//! The threat model, held against the tree: what docs/security.md says shows something is there, pages have no scripts in
//! their text, the HTTP door opens no files, and the unit starts what it says.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on should say so")]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files below a folder, by their paths from the root.
fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![PathBuf::from(folder)];
    while let Some(path) = waiting.pop() {
        if root().join(&path).is_dir() {
            let entries = fs::read_dir(root().join(&path)).expect("a folder can be read");
            waiting.extend(entries.map(|entry| path.join(entry.expect("read").file_name())));
        } else {
            found.push(path.display().to_string());
        }
    }
    found.sort();
    found
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_row_of_the_threat_table_names_tests_that_exist() {
    let page = read("docs/security.md");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
        .filter(|row: &Vec<&str>| row.len() == 4 && row[0] != "what")
        .collect();
    assert!(rows.len() > 30, "{} rows", rows.len());
    for row in &rows {
        let shows = row[3];
        let named: Vec<_> = quoted(shows).filter_map(|name| name.split_once("::")).collect();
        assert!(!named.is_empty(), "nothing shows {:?}", row[0]);
        for (file, test) in named {
            let path = format!("{file}.rs");
            assert!(read(&path).contains(&format!("fn {test}(")), "{path} has no test {test} (for {:?})", row[0]);
        }
    }
}

#[test]
fn pages_have_no_script_style_or_handler_in_their_text_and_make_no_markup_of_text() {
    let is_handler = |text: &str| {
        text.match_indices(" on").any(|(at, _)| {
            let rest = &text[at + 3..];
            let name = rest.len() - rest.trim_start_matches(|letter: char| letter.is_ascii_lowercase()).len();
            name > 0 && rest[name..].trim_start().starts_with('=')
        })
    };
    assert!(is_handler("<a onclick = x>") && !is_handler("<a content=x only>"), "the check itself");
    let all = files("web");
    assert!(all.len() > 10, "{all:?}");
    for path in &all {
        // As one line: markup may be wrapped anywhere.
        let text = read(path).to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        let forbidden: &[&str] = match path.rsplit('.').next() {
            Some("html") => {
                &["<style", " style=", "javascript:", "<iframe", "<object", "<embed", "<base", "http-equiv"]
            }
            Some("js") => &[
                "innerhtml",
                "outerhtml",
                "insertadjacenthtml",
                "document.write",
                "eval(",
                "new function",
                "srcdoc",
                "domparser",
                "createcontextualfragment",
                "sethtml",
                "settimeout('",
                "settimeout(\"",
                "settimeout(`",
                "importscripts",
                "javascript:",
                ".style =",
                "'style'",
                "http://",
                "https://",
            ],
            Some("css") => &["@import", "expression(", "http:", "https:", "url(//"],
            other => panic!("{path}: what is a file of {other:?}?"),
        };
        for word in forbidden {
            assert!(!text.contains(word), "{path}: {word}");
        }
        if path.ends_with(".html") {
            assert!(!is_handler(&text), "{path}: a handler");
            for script in text.split("<script").skip(1) {
                let tag = script.split('>').next().unwrap_or_default();
                assert!(tag.contains(" src=\"/web/"), "{path}: <script{tag}>");
                assert!(script[tag.len() + 1..].starts_with("</script>"), "{path}: a script with text in it");
            }
        }
    }
}

#[test]
fn the_http_door_opens_no_files() {
    for path in files("src/http") {
        let text = read(&path);
        for word in ["std::fs", "tokio::fs", "File::open", "NamedFile", "actix_files", "OpenOptions"] {
            assert!(!text.contains(word), "{path}: {word}: what is served is inside the binary");
        }
    }
}

#[test]
fn the_unit_starts_again_what_another_start_can_help_and_gives_a_stop_its_time() {
    let unit = read("deploy/chappe.service");
    let value = |name: &str| {
        let mut all = unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        all.next_back().unwrap_or_else(|| panic!("the unit has no {name}"))
    };
    let codes = read("docs/exit-codes.md");
    assert!(codes.contains(&format!("`RestartPreventExitStatus={}`", value("RestartPreventExitStatus"))));
    assert_eq!((value("Restart"), value("ExecReload")), ("always", "/bin/sh -c 'kill -HUP $MAINPID'"));
    // What waits for the disk, and then for clients.
    let app = read("src/app.rs");
    let seconds = |name: &str| -> u64 {
        let line = app.lines().find(|line| line.starts_with(&format!("const {name}: Duration"))).expect("it is there");
        line.split(['(', ')']).nth(1).and_then(|number| number.parse().ok()).expect("seconds")
    };
    let stop: u64 = value("TimeoutStopSec").trim_end_matches('s').parse().expect("seconds");
    assert!(stop > seconds("DRAIN") + seconds("GOODBYE"), "{stop} s");
    for (name, expected) in [("NoNewPrivileges", "yes"), ("ProtectSystem", "strict"), ("CapabilityBoundingSet", "")] {
        assert_eq!(value(name), expected, "{name}");
    }
    assert!(value("User") != "root" && value("ExecStart").starts_with('/'), "as a user of its own");
}

/// A version as numbers.
fn version(text: &str) -> Vec<u64> {
    text.split(['.', '+', '-']).map_while(|part| part.parse().ok()).collect()
}

/// Crates of which some versions had a hole, and the first of ours that has not: what was read in the advisories by hand, kept
/// so that no update goes back behind it. A crate that is not in the tree has none.
const MENDED: [(&str, &str, &str); 18] = [
    ("libsqlite3-sys", "0.25.1", "RUSTSEC-2022-0090"),
    ("rusqlite", "0.26.2", "RUSTSEC-2021-0128"),
    ("actix-http", "3.12.1", "RUSTSEC-2021-0081, and requests with two lengths"),
    ("actix-web", "0.7.15", "RUSTSEC-2018-0019"),
    ("tungstenite", "0.20.1", "RUSTSEC-2023-0065"),
    ("h2", "0.4.16", "RUSTSEC-2026-0258"),
    ("lru", "0.18.2", "RUSTSEC-2026-0253"),
    ("bytes", "1.11.1", "RUSTSEC-2026-0007"),
    ("tokio-postgres", "0.7.18", "RUSTSEC-2026-0178"),
    ("rustls-webpki", "0.103.13", "RUSTSEC-2026-0049, 0098, 0099, 0104"),
    ("time", "0.3.47", "RUSTSEC-2026-0009"),
    ("rand", "0.10.1", "RUSTSEC-2026-0097"),
    ("lz4_flex", "0.12.1", "RUSTSEC-2026-0041"),
    ("protobuf", "3.7.2", "RUSTSEC-2024-0437"),
    ("jsonwebtoken", "10.3.0", "CVE-2026-25537"),
    ("tracing-subscriber", "0.3.20", "RUSTSEC-2025-0055"),
    ("rustls", "0.23.18", "RUSTSEC-2024-0399"),
    ("idna", "1.0.0", "RUSTSEC-2024-0421"),
];
/// Unmaintained.
const ABANDONED: [&str; 4] = ["rustls-pemfile", "paste", "proc-macro-error", "instant"];

#[test]
fn the_rules_of_dependencies_are_as_strict_as_they_are_told_to_be() {
    let rules = read("deny.toml");
    for rule in ["unknown-registry = \"deny\"", "unknown-git = \"deny\"", "wildcards = \"deny\""] {
        assert!(rules.lines().any(|line| line == rule), "{rule}");
    }
    assert!(!rules.contains("GPL\"") && !rules.contains("allow-git"), "neither copyleft nor sources of one's own");
    assert!(read("check").contains("check licenses bans sources"), "it is asked with every change");
    let lock = read("Cargo.lock");
    let packages = lock.split("\n[[package]]\n").skip(1);
    let mut seen = 0;
    for package in packages {
        let value = |name: &str| {
            let line = package.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""));
            line.map(|line| line.trim_end_matches('"'))
        };
        let (name, found) = (value("name").expect("a name"), value("version").expect("a version"));
        seen += 1;
        match value("source") {
            None => assert!(name.starts_with("chappe"), "{name} comes from nowhere"),
            Some(source) => {
                assert_eq!(source, "registry+https://github.com/rust-lang/crates.io-index", "{name}");
                assert!(value("checksum").is_some_and(|sum| sum.len() == 64), "{name} has no checksum");
            }
        }
        for (_, mended, advisory) in MENDED.iter().filter(|(known, ..)| *known == name) {
            assert!(version(found) >= version(mended), "{name} {found}: {advisory}");
        }
        assert!(!ABANDONED.contains(&name), "{name} is not maintained any more");
    }
    assert!(seen > 100, "{seen} packages");
    assert!(version("0.10.3") > version("0.10.1") && version("1.0.0") > version("0.99"), "the check itself");
}
