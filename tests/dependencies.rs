//! What must not come into the tree is refused: `./check` is asked with rules under which the tree as it is has to fail.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on should say so")]

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// A crate of the tree.
const VICTIM: &str = "rusqlite";
const ADVISORY: &str = "RUSTSEC-2026-9999";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// `deny.toml` with something else in place of `from`.
fn rules(from: &str, to: &str) -> String {
    let rules = read("deny.toml");
    assert_eq!(rules.matches(from).count(), 1, "{from:?} in deny.toml");
    rules.replace(from, to)
}

/// Asks cargo-deny by these rules, about `what` or, by default, about what `./check` asks; whether it agrees, and what it says.
fn ask(rules: &str, what: Option<&str>, database: &Path) -> (bool, String) {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let config = folder.path().join("deny.toml");
    fs::write(&config, rules).expect("it has room");
    let check = read("check");
    let asked = check.lines().find(|line| line.starts_with("cargo deny ")).expect("./check asks");
    let (before, usual) = asked.split_once(" check ").expect("it checks");
    let mut path = OsString::from(root().join("target/python/bin:"));
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut command = Command::new("cargo");
    command
        .args(before.split(' ').skip(1))
        .arg("--config")
        .arg(config)
        .arg("check")
        .args(what.unwrap_or(usual).split(' '))
        .current_dir(root())
        .env("PATH", path)
        // Where the advisories come from, unless a test says otherwise, there are none.
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", format!("url.file://{}.insteadOf", database.display()))
        .env("GIT_CONFIG_VALUE_0", "https://github.com/RustSec/advisory-db");
    let Output { status, stdout, stderr } = command.output().expect("cargo runs");
    let said = [stdout, stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(!said.contains("no such command"), "cargo-deny is not here; ./check installs it: {said}");
    (status.success(), said)
}

fn git(folder: &Path, arguments: &[&str]) {
    let done = Command::new("git").arg("-C").arg(folder).args(arguments).output().expect("git runs");
    assert!(done.status.success(), "git {arguments:?}: {done:?}");
}

/// A database of one advisory, about a crate of the tree.
fn database() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let crates = folder.path().join("crates").join(VICTIM);
    fs::create_dir_all(&crates).expect("a folder can be made");
    let advisory = format!(
        "```toml\n[advisory]\nid = \"{ADVISORY}\"\npackage = \"{VICTIM}\"\ndate = \"2026-01-02\"\n\n\
         [versions]\npatched = [\">= 99.0.0\"]\n```\n\n# A hole\n\nMade up, to be found.\n"
    );
    fs::write(crates.join(format!("{ADVISORY}.md")), advisory).expect("it has room");
    git(folder.path(), &["init", "--quiet", "--initial-branch=main"]);
    git(folder.path(), &["add", "."]);
    git(folder.path(), &["-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "--quiet", "-m", "one"]);
    folder
}

#[test]
fn a_licence_a_crate_and_an_advisory_that_are_not_wanted_are_refused() {
    let (nowhere, database) = (Path::new("/nonexistent"), database());
    let (agrees, said) = ask(&read("deny.toml"), None, nowhere);
    assert!(agrees, "the tree as it is: {said}");

    let (agrees, said) = ask(&rules("    \"ISC\",\n", ""), None, nowhere);
    assert!(!agrees && said.contains("error[rejected]") && said.contains("licenses FAILED"), "{said}");

    let ban = format!("deny = [\n    {{ crate = \"{VICTIM}\" }},\n");
    let (agrees, said) = ask(&rules("deny = [\n", &ban), None, nowhere);
    assert!(!agrees && said.contains("error[banned]") && said.contains("bans FAILED"), "{said}");

    let kept = tempfile::tempdir().expect("a folder can be made");
    let here = format!("[advisories]\ngit-fetch-with-cli = true\ndb-path = \"{}\"\n", kept.path().display());
    let (agrees, said) = ask(&rules("[advisories]\n", &here), Some("advisories"), database.path());
    assert!(!agrees && said.contains("error[vulnerability]") && said.contains(ADVISORY), "{said}");
}
