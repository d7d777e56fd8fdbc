//! SIGHUP takes over what can be taken over and closes nothing; SIGTERM has load balancers notice first; heartbeats.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::slow::stuck_client;
use crate::support::client::{Client, Door};
use crate::support::http::Http;
use crate::support::server::TestServer;
use crate::support::tls::{Authority, PairFiles, Socket};
use crate::support::udp::Udp;
use crate::support::until;

/// A server with a configuration file that can be changed.
fn server_with(folder: &Path, text: &str) -> TestServer {
    let file = folder.join("chappe.toml");
    std::fs::write(&file, text).unwrap();
    TestServer::with(&[("CHAPPE_CONFIG", file.to_str().unwrap())])
}

/// Changes the file, has it read, and waits for `word` to stand in the log once more.
fn reload(server: &TestServer, folder: &Path, text: &str, word: &str) {
    let before = server.log().matches(word).count();
    std::fs::write(folder.join("chappe.toml"), text).unwrap();
    server.signal(Signal::HUP);
    until(word, || (server.log().matches(word).count() > before).then_some(()));
}

#[test]
fn what_can_be_taken_over_is_and_the_rest_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let server = server_with(folder.path(), "");
    let mut client = Client::hello(&server, Door::TcpJson, 1);
    let enters = |origin: &str| {
        let headers = [("Origin", origin)];
        Http::to(&server)
            .call("POST", "/api/chats/1/messages", &headers, Some(&json!({"sender_id": 1, "content": "x"})))
            .status
    };
    assert_eq!(enters("https://chat.example.com"), 403);
    let origins = "[http_server]\nallowed_origins = [\"https://chat.example.com\"]\n";
    reload(&server, folder.path(), origins, "reload: done");
    assert_eq!(enters("https://chat.example.com"), 201);
    assert!(server.log().contains("\"changed\":\"http_server.allowed_origins\""), "{}", server.log());

    reload(&server, folder.path(), &format!("log = \"info,chappe=trace\"\n{origins}"), "reload: done");
    Udp::to(&server).send(b"hello");
    until("a line that was left out before", || server.log().contains("drop a datagram").then_some(()));

    reload(&server, folder.path(), "[limits]\nconnections = 7\n", "take a new start");
    assert!(server.log().contains("\"settings\":\"limits.connections\""), "{}", server.log());
    assert_eq!(enters("https://chat.example.com"), 403, "what is not there any more holds no more");
    client.post(1, "from before");
}

#[test]
fn settings_that_cannot_be_used_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = server_with(folder.path(), "log = \"info\"");
    for bad in ["log = 5", "[tls]\ncert_file = \"/nowhere\"\nkey_file = \"/nowhere\"\n", "[", "[limits]\nwindow = 0"] {
        reload(&server, folder.path(), &format!("{bad}\n"), "the new ones cannot be used");
    }
    std::fs::remove_file(folder.path().join("chappe.toml")).unwrap();
    server.signal(Signal::HUP);
    until("a word about the file", || (server.log().matches("cannot be used").count() > 4).then_some(()));
    Client::hello(&server, Door::WsText, 1).post(1, "goes on");
    assert!(!server.log().contains("reload: done"));
}

#[test]
fn a_reload_under_load_closes_no_connection() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let files = PairFiles::write(folder.path(), &authority.vouch());
    let server = TestServer::with_tls(&files.variables(), authority.trusted());
    let stop = Arc::new(AtomicBool::new(false));
    let mut idle: Vec<_> = Door::ALL.into_iter().map(|door| Client::connect(&server, door)).collect();
    let posters: Vec<_> = (0..8)
        .map(|nth| {
            let mut client = Client::hello(&server, Door::ALL[nth % 4], 1);
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                let mut posted = 0;
                while !stop.load(Ordering::Relaxed) {
                    client.post(1, "on and on");
                    posted += 1;
                }
                posted
            })
        })
        .collect();
    for _ in 0..10 {
        let pair = authority.vouch();
        files.replace(&pair);
        let before = server.log().matches("reload: done").count();
        server.signal(Signal::HUP);
        until("the reload", || (server.log().matches("reload: done").count() > before).then_some(()));
        // Whoever comes now is served as well.
        Client::hello(&server, Door::WsText, 2).post(1, "new");
    }
    stop.store(true, Ordering::Relaxed);
    for poster in posters {
        assert!(poster.join().expect("a poster is not cut off") > 0);
    }
    for client in &mut idle {
        client.greet(3);
    }
}

#[test]
fn a_certificate_is_read_again_at_once() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let files = PairFiles::write(folder.path(), &authority.vouch());
    let server = TestServer::with_tls(&files.variables(), authority.trusted());
    let before = Socket::to(server.http, server.tls.as_ref()).shown();
    let end = || server.metric("chappe_tls_not_after_seconds");
    let first = end();
    files.replace(&authority.vouch_until(2098));
    server.signal(Signal::HUP);
    until("the reload", || server.log().contains("reload: done").then_some(()));
    assert_ne!(Socket::to(server.http, server.tls.as_ref()).shown(), before);
    // The last days of 2099 and of 2098.
    assert_eq!((first, end()), (4_102_358_400.0, 4_070_822_400.0));
}

#[test]
fn a_server_that_is_to_stop_is_not_ready_and_goes_on_for_a_while() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let files = PairFiles::write(folder.path(), &authority.vouch());
    for tls in [false, true] {
        let mut variables = vec![("CHAPPE_SHUTDOWN_DELAY", "1500ms"), ("CHAPPE_SHUTDOWN_RECONNECT_WITHIN", "40s")];
        let mut server = if tls {
            variables.extend(files.variables());
            TestServer::with_tls(&variables, authority.trusted())
        } else {
            TestServer::with(&variables)
        };
        let mut clients: Vec<_> = (0..20).map(|nth| Client::hello(&server, Door::ALL[nth % 4], 1)).collect();
        Http::to(&server).get("/health/ready").expect(200);
        let began = Instant::now();
        server.signal(Signal::TERM);
        until("not ready", || (Http::to(&server).get("/health/ready").status == 503).then_some(()));
        assert_eq!(Http::to(&server).get("/health").expect(200)["status"], "draining");
        clients[0].post(1, "still taken");
        Client::hello(&server, Door::TcpBinary, 2).post(1, "from somebody new");
        assert_eq!(server.ended(), Some(0), "{}", server.log());
        assert!(began.elapsed() >= Duration::from_millis(1500), "{:?}", began.elapsed());
        let waits: Vec<_> = clients
            .iter_mut()
            .map(|client| {
                let (packets, _) = client.rest();
                let closing = packets.last().expect("a goodbye");
                assert_eq!(closing["code"], 4201, "{closing}");
                closing["reconnect_after_ms"].as_u64().expect("a time")
            })
            .collect();
        assert!(waits.iter().all(|wait| *wait <= 40_000) && waits.iter().any(|wait| *wait > 20_000), "{waits:?}");
    }
}

#[test]
fn the_server_is_heard_at_every_heartbeat_and_the_silent_are_let_go() {
    let server = TestServer::with(&[("CHAPPE_HEARTBEAT", "1s")]);
    for door in [Door::TcpJson, Door::WsBinary] {
        let mut client = Client::connect(&server, door);
        assert_eq!(client.greet(1)["heartbeat_ms"], 1000);
        for _ in 0..3 {
            let before = Instant::now();
            client.wait_for("Pong");
            assert!(before.elapsed() < Duration::from_secs(5), "{door:?}");
        }
    }
    // Who takes not a byte for two heartbeats counts as dead.
    let stuck = stuck_client(&server);
    until("the end of the one that takes nothing", || {
        (server.metric("chappe_connections{door=\"tcp\"}") == 0.0).then_some(())
    });
    drop(stuck);
}

#[test]
fn new_keys_of_tokens_are_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let [old, new] = [[1; 32], [2; 32]];
    let files = ["old", "new"].map(|name| folder.path().join(name));
    for (file, secret) in files.iter().zip([old, new]) {
        std::fs::write(file, secret).unwrap();
    }
    let settings = |files: &[std::path::PathBuf]| format!("[auth]\nmode = \"token\"\nsecret_files = {files:?}\n");
    let server = server_with(folder.path(), &settings(&files[..1]));
    let claims = json!({"sub": "7", "exp": crate::support::tokens::now() + 3600});
    let [old, new] = [old, new].map(|secret| crate::support::tokens::sign(&secret, &claims));
    let status = |token: &str| server.as_user(token, "GET", "/api/users", None).status;
    assert_eq!((status(&old), status(&new)), (200, 401));
    let mut client = Client::holding(&server, Door::WsText, &old);
    reload(&server, folder.path(), &settings(&files[1..]), "reload: done");
    until("the hubs to be told", || ((status(&old), status(&new)) == (401, 200)).then_some(()));
    assert_eq!(client.ask(json!({"packet_type": "Ping"}))["packet_type"], "Pong", "who is there stays");
}

#[test]
fn new_limits_hold_for_those_who_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let server = server_with(folder.path(), "");
    let mut client = Client::hello(&server, Door::WsBinary, 1);
    let mut refused = || {
        let asked: Vec<_> = (0..20).map(|_| client.begin(json!({"packet_type": "Ping"}))).collect();
        asked.into_iter().filter(|id| client.answer(*id)["code"] == "rate_limited").count()
    };
    assert_eq!(refused(), 0);
    let rates = "[limits]\nconnection_rate = \"1/s burst 1\"\nframe_bytes = \"8 KiB\"\ncontent_bytes = \"4 KiB\"\n";
    reload(&server, folder.path(), rates, "take a new start");
    assert!(server.log().contains("\"changed\":\"limits.connection_rate\""), "{}", server.log());
    until("the new rate", || (refused() > 10).then_some(()));
    reload(&server, folder.path(), "", "reload: done");
    until("the old rate", || (refused() == 0).then_some(()));
    let limits = Http::to(&server).get("/api/limits").expect(200);
    assert_eq!(limits["frame_bytes"], 65_536, "that takes a start");
}

#[test]
fn a_secret_that_is_gone_and_a_certificate_of_its_own_wait_for_a_start() {
    let (folder, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let files = PairFiles::write(folder.path(), &authority.vouch());
    let [cert, key] = [&files.cert, &files.key];
    let foreign = folder.path().join("foreign");
    std::fs::write(&foreign, [3; 32]).unwrap();
    let settings = |auth: &str, tls: &str| format!("[auth]\nmode = \"token\"\n{auth}\n[tls]\n{tls}\n");
    let bought = settings("", &format!("cert_file = {cert:?}\nkey_file = {key:?}"));
    let mut server = server_with(folder.path(), &bought);
    server.tls = Some(authority.trusted());
    let token = server.token(7);
    let shown = || Socket::to(server.http, server.tls.as_ref()).shown();
    let before = shown();
    std::fs::remove_file(server.data().join("token.secret")).unwrap();
    let keys = format!("secret_files = [{foreign:?}]");
    reload(&server, folder.path(), &settings(&keys, "self_signed = true"), "take a new start");
    assert!(server.log().contains("\"settings\":\"tls.self_signed, tls.cert_file, tls.key_file\""), "{}", server.log());
    assert_eq!(shown(), before);
    assert!(!server.data().join("tls-cert.pem").exists());
    let status = |token: &str| server.as_user(token, "GET", "/api/users", None).status;
    let foreign =
        crate::support::tokens::sign(&[3; 32], &json!({"sub": "8", "exp": crate::support::tokens::now() + 3600}));
    until("the hubs to be told", || (status(&foreign) == 200).then_some(()));
    assert_eq!(status(&token), 200, "the secret of the start still signs");
}
