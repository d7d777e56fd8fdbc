//! The server as a user who may do nothing else: it needs no rights, and only that user reads what it keeps.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::support::client::{Client, Door};
use crate::support::http::Http;
use crate::support::server::{CHAPPE, TestServer};
use crate::support::tokens::PASSWORD;

/// Nobody, as they are called where nothing else is said.
const NOBODY: u32 = 65_534;
const COMPLAINT: &str = "the server runs as root";

/// What the kernel says of a process.
fn status(server: &TestServer, name: &str) -> Vec<String> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the kernel says so");
    line.trim_start_matches(':').split_whitespace().map(str::to_owned).collect()
}

/// Everything in a folder, with the folder.
fn all(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    let mut at = 0;
    while let Some(path) = found.get(at).cloned() {
        if path.is_dir() {
            found.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        at += 1;
    }
    found
}

#[test]
fn the_server_runs_as_a_user_without_any_rights_and_keeps_all_to_itself() {
    let root = rustix::process::geteuid().is_root();
    let own = tempfile::tempdir().unwrap();
    let data = own.path().join("data");
    // Its folder is under one that it owns. Where the program was built, it may not even be allowed to look.
    let program = own.path().join("chappe");
    let mut launch = vec![CHAPPE.to_owned()];
    let mut user = rustix::process::geteuid().as_raw();
    if root {
        std::fs::copy(CHAPPE, &program).unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        chown(own.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        user = NOBODY;
        let [uid, gid] = ["--reuid", "--regid"].map(|flag| format!("{flag}={NOBODY}"));
        let without = ["--clear-groups", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"];
        launch = ["setpriv".to_owned(), uid, gid].to_vec();
        launch.extend(without.map(str::to_owned));
        launch.push(program.display().to_string());
    }
    let variables = [("CHAPPE_AUTH_MODE", "token"), ("CHAPPE_AUTH_REGISTRATION", "true")];
    let mut server = TestServer::launched(launch, &data, None, &variables);
    assert_eq!(status(&server, "Uid"), vec![user.to_string(); 4]);
    if root {
        for rights in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(status(&server, rights), ["0000000000000000"], "{rights}");
        }
        assert_eq!(status(&server, "NoNewPrivs"), ["1"]);
    }
    let body = serde_json::json!({"nickname": "Ann", "password": PASSWORD});
    Http::to(&server).post("/api/users", &body).expect(201);
    let session = server.login("Ann");
    let token = session["token"].as_str().unwrap();
    let mut client = Client::holding(&server, Door::WsText, token);
    let ack = client.post(1, "kept by nobody");
    server.caught_up();
    for path in all(&data) {
        let found = std::fs::metadata(&path).unwrap();
        let mode = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(found.permissions().mode() & 0o7777, mode, "{}", path.display());
        assert_eq!(found.uid(), user, "{}", path.display());
    }
    assert!(all(&data).len() > 6, "{:?}", all(&data));
    assert_eq!(server.stop(), Some(0));
    server.restart();
    let read = server.as_user(token, "GET", "/api/chats/1/messages", None).expect(200);
    assert_eq!(read["messages"][0]["id"], ack["message_id"]);
    assert!(!server.log().contains(COMPLAINT) && !server.log().contains("ERROR"), "{}", server.log());
}

#[test]
fn who_starts_the_server_as_root_is_told_that_it_need_not_be() {
    let server = TestServer::start();
    let told = server.log().lines().filter(|line| line.contains(COMPLAINT)).count();
    assert_eq!(told, usize::from(rustix::process::geteuid().is_root()), "{}", server.log());
    Client::hello(&server, Door::TcpJson, 1);
}
