//! The HTTP API as its description tells of it, to a program that knows nothing else: schemathesis makes requests of every
//! kind from it, good and bad ones, and holds each answer against it.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::support::client::{Client, Door};
use crate::support::http::Http;
use crate::support::programs::run_within;
use crate::support::server::{FAST, TestServer};

/// Requests of each operation in each phase; `CHAPPE_EXAMPLES` says another number.
const EXAMPLES: &str = "12";
/// It takes half a minute.
const LONGEST: Duration = Duration::from_secs(300);

/// Runs all checks against a server.
fn holds(server: &TestServer, more: &[&str]) {
    let examples = std::env::var("CHAPPE_EXAMPLES").unwrap_or_else(|_| EXAMPLES.to_owned());
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis");
    // It leaves notes where it runs.
    let notes = tempfile::tempdir().expect("a folder can be made");
    let run = run_within(
        LONGEST,
        Command::new("schemathesis")
            .current_dir(notes.path())
            .env("SCHEMATHESIS_HOOKS", own.join("hooks.py"))
            .arg("--config-file")
            .arg(own.join("schemathesis.toml"))
            .args(["run", &format!("http://{}/api/openapi.json", server.http)])
            .args(["--checks", "all", "--seed", "1", "--max-examples", &examples, "--no-color"])
            .args(["--warnings", "off", "--continue-on-failure", "--suppress-health-check", "all"])
            .args(more),
    );
    assert_eq!(run.code, Some(0), "{}\n{}", run.stdout, run.stderr);
    let summary: Vec<&str> = run.stdout.lines().rev().take(12).collect();
    println!("{}", summary.into_iter().rev().collect::<Vec<_>>().join("\n"));
    assert!(!server.log().contains("panicked"), "{}", server.log());
    assert!(!server.log().contains("ERROR"), "{}", server.log());
}

#[test]
fn the_api_is_as_described_where_everybody_is_believed() {
    let server = TestServer::with(&FAST);
    Client::hello(&server, Door::TcpJson, 1).post(1, "hello");
    // Nobody has to show who they are; and a password is nothing that such a server looks at.
    let passwords = ["--exclude-operation-id", "create_user", "--exclude-operation-id", "change_password"];
    holds(&server, &[&["--exclude-checks", "ignored_auth"], &passwords[..]].concat());
    Http::to(&server).get("/health").expect(200);
}

#[test]
fn the_api_is_as_described_where_tokens_are_asked_for() {
    let server = TestServer::with_tokens(&FAST);
    let token = server.token(7);
    let made = server.as_user(&token, "POST", "/api/chats", Some(&json!({"title": "ops"}))).expect(201);
    let path = format!("/api/chats/{}/messages", made["chat_id"]);
    server.as_user(&token, "POST", &path, Some(&json!({"content": "hello"}))).expect(201);
    holds(&server, &["--header", &format!("Authorization: Bearer {token}")]);
    Http::to(&server).get("/health").expect(200);
}
