//! Where secrets must not be: in the log, in what is refused, among the metrics, in what other users of the machine see of
//! the process, in what the settings look like. The most talkative server is looked at, and everything it says.

use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::client::{Client, Door};
use crate::support::http::{Answer, Http};
use crate::support::programs::run;
use crate::support::server::{CHAPPE, TestServer, command};
use crate::support::tls::{Authority, PairFiles};
use crate::support::tokens::{claims, hello, sign};
use crate::support::until;

const SHARED: &str = "shared-with-the-identity-provider-0123456789";
const PASSWORD: &str = "ann's own passphrase";
const WRONG: &str = "not ann's passphrase";
const CONTENT: &str = "said between four eyes";

/// Everything that must not be found, by what it is.
#[derive(Default)]
struct Secrets(Vec<(&'static str, String)>);

impl Secrets {
    fn keep(&mut self, what: &'static str, secret: impl Into<String>) {
        let secret = secret.into();
        assert!(secret.len() >= 16, "{what} is too short to be looked for: {secret}");
        // Without its ends, which somebody may have cut off.
        self.0.push((what, secret[2..secret.len() - 2].to_owned()));
    }

    /// A key, as bytes are written.
    fn keep_bytes(&mut self, what: &'static str, bytes: &[u8]) {
        self.keep(what, STANDARD.encode(bytes));
        self.keep(what, URL_SAFE_NO_PAD.encode(bytes));
        self.keep(what, bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
        self.keep(what, format!("{bytes:?}"));
    }

    /// What of a token makes it one, without which it can be told.
    fn keep_token(&mut self, what: &'static str, token: &str) {
        self.keep(what, token.rsplit('.').next().expect("a signature"));
    }

    fn are_not_in(&self, place: &str, text: &str) {
        for (what, secret) in &self.0 {
            assert!(!text.contains(secret), "{what} is in {place}");
        }
    }
}

/// What everybody on the machine, or at least its administrator, sees of a process.
fn seen_of(pid: u32) -> String {
    let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).expect("a process has it");
    String::from_utf8_lossy(&[read("cmdline"), read("environ"), read("comm")].concat()).into_owned()
}

/// Does everything with which a secret comes or goes, well and badly; every answer over HTTP.
fn live(server: &TestServer, secrets: &mut Secrets) -> Vec<Answer> {
    let login = json!({"nickname": "Ann", "password": PASSWORD});
    let session = Http::to(server).post("/api/sessions", &login).expect(201);
    let token = session["token"].as_str().expect("a token");
    secrets.keep_token("a session's token", token);
    let csrf = session["csrf_token"].as_str().expect("a token");
    secrets.keep("what proves a page", csrf);
    let provided = sign(SHARED.as_bytes(), &json!({"sub": "1001", "exp": claims(1)["exp"]}));
    secrets.keep_token("a provider's token", &provided);
    for door in Door::ALL {
        let mut client = Client::connect(server, door);
        let welcome = client.show(if door.is_binary() { token } else { &provided });
        if let Some(key) = welcome["udp"]["key"].as_str() {
            secrets.keep("the key of datagrams", key);
        }
        client.post(1, CONTENT);
        client.ask(hello(&format!("{token}x")));
        if !door.is_binary() {
            client.send_body(format!("{{\"packet_type\":\"Hello\",\"token\":\"{token}\",,}}").into_bytes());
            client.send_body(format!("{{\"packet_type\":\"Hello\",\"token\":[\"{token}\"]}}").into_bytes());
            client.send_body(format!("{{\"packet_type\":\"SendMessage\",\"content\":\"{CONTENT}\"}}").into_bytes());
        }
        Client::connect(server, door).ask(hello(&format!("{token}.")));
    }
    let mut answers = Vec::new();
    let mut call = |method: &str, path: &str, headers: &[(&str, &str)], body: Option<Value>| {
        answers.push(Http::to(server).call(method, path, headers, body.as_ref()));
    };
    let bearer = format!("Bearer {token}");
    let cookie = format!("chappe_session={token}");
    for (name, value) in [
        ("Authorization", format!("{bearer}x")),
        ("Authorization", format!("Basic {token}")),
        ("Authorization", token.to_owned()),
        ("Cookie", format!("{cookie}x")),
        ("Cookie", format!("{cookie}; {cookie}x")),
        ("Sec-WebSocket-Protocol", format!("chappe.bearer.{token}x")),
        ("X-CSRF-Token", csrf.to_owned()),
        ("Idempotency-Key", token.to_owned()),
    ] {
        for path in ["/api/chats", "/api/nothing", "/ws", "/"] {
            call("GET", path, &[(name, &value)], None);
            call("POST", path, &[(name, &value)], Some(json!({"title": 7})));
        }
    }
    for query in ["token", "access_token", "jwt", "limit", "x"] {
        call("GET", &format!("/api/chats?{query}={token}"), &[("Authorization", &bearer)], None);
        call("GET", &format!("/ws?{query}={token}"), &[], None);
    }
    call("POST", "/api/chats", &[("Cookie", &cookie), ("X-CSRF-Token", &csrf[1..])], Some(json!({"title": "x"})));
    call("POST", "/api/chats", &[("Cookie", &cookie), ("Origin", "https://evil.example")], Some(json!({"title": "x"})));
    for body in [
        json!({"nickname": "Ann", "password": WRONG}),
        json!({"nickname": "Ann", "password": [PASSWORD]}),
        json!({"nickname": "Ann", "password": {(PASSWORD): PASSWORD}}),
        json!({"nickname": ["Ann"], "password": PASSWORD}),
        json!({"password": PASSWORD}),
        json!({"nickname": "Ann", "password": PASSWORD, "cookie": "yes"}),
    ] {
        call("POST", "/api/sessions", &[], Some(body.clone()));
        call("POST", "/api/users", &[], Some(body));
    }
    // A number is a password to whoever types it into a program.
    secrets.keep("a password of digits", "2001196920011969");
    for (method, path) in [("POST", "/api/sessions"), ("POST", "/api/users"), ("PUT", "/api/users/1001/password")] {
        let digits = json!(2_001_196_920_011_969_u64);
        let body = json!({"nickname": "Ann", "password": digits, "current": digits});
        call(method, path, &[("Authorization", &bearer)], Some(body));
    }
    let change = |current: &str, new: &str| Some(json!({"current": current, "password": new}));
    call("PUT", "/api/users/1001/password", &[("Authorization", &bearer)], change(WRONG, PASSWORD));
    call("PUT", "/api/users/1001/password", &[("Authorization", &bearer)], change(PASSWORD, &PASSWORD.repeat(20)));
    for path in ["/health", "/health/ready", "/metrics", "/api/limits", "/api/auth", "/api/openapi.json", "/nothing"] {
        call("GET", path, &[], None);
    }
    call("DELETE", "/api/sessions/current", &[("Authorization", &bearer)], None);
    call("GET", "/api/chats", &[("Authorization", &bearer)], None);
    answers
}

#[test]
fn no_secret_is_logged_refused_counted_or_seen_in_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let shared = folder.path().join("site.secret");
    std::fs::write(&shared, SHARED).unwrap();
    let authority = Authority::new();
    let files = PairFiles::write(folder.path(), &authority.vouch());
    let shared = shared.display().to_string();
    let mut variables = files.variables().to_vec();
    variables.extend([
        ("CHAPPE_AUTH_MODE", "token"),
        ("CHAPPE_LOG", "trace"),
        ("CHAPPE_AUTH_SECRET_FILES", shared.as_str()),
    ]);
    // Registration does not go with a provider's keys: the account is made where only the server's own are.
    let mut secrets = Secrets::default();
    for (what, secret) in [("a password", PASSWORD), ("a wrong password", WRONG), ("the shared secret", SHARED)] {
        secrets.keep(what, secret);
    }
    let mut server = TestServer::with_tls(&variables, authority.trusted());
    let made = command(&[CHAPPE.to_owned()], &[])
        .args(["user", "add", "Ann", "--password-stdin", "--data"])
        .arg(server.data())
        .stdin(password())
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    secrets.keep_bytes("the server's secret", &std::fs::read(server.data().join("token.secret")).unwrap());
    let key = variables.iter().find(|(name, _)| *name == "CHAPPE_TLS_KEY_FILE").expect("a key").1;
    for line in
        std::fs::read_to_string(key).unwrap().lines().filter(|line| line.len() > 32 && !line.starts_with("-----"))
    {
        secrets.keep("the key of TLS", line);
    }
    let answers = live(&server, &mut secrets);
    assert!(answers.len() > 80, "{}", answers.len());
    for answer in &answers {
        let kind = answer.header("content-type").unwrap_or_default().to_owned();
        let place = format!("an answer of {} with {kind}", answer.status);
        secrets.are_not_in(&place, &String::from_utf8_lossy(&answer.body));
        let headers: Vec<_> = answer.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        secrets.are_not_in(&place, &headers.join("\n"));
    }
    // To whom a message is for it is no secret.
    secrets.keep("a message", CONTENT);
    secrets.are_not_in("the metrics", &Http::to(&server).get("/metrics").text());
    secrets.are_not_in("the process", &seen_of(server.pid()));
    let config = run(command(&[CHAPPE.to_owned()], &[]).envs(variables.iter().copied()).arg("config")).fine();
    assert!(config.stdout.contains("site.secret"), "{config:?}");
    secrets.are_not_in("the settings", &config.stdout);
    assert_eq!(server.stop(), Some(0));
    let log = server.log();
    assert!(log.contains("TRACE") && log.lines().count() > 200, "the log is talkative");
    secrets.are_not_in("the log", &log);
}

/// Something to read a password from.
fn password() -> Stdio {
    use std::io::{Seek, Write};
    let mut file = tempfile::tempfile().unwrap();
    writeln!(file, "{PASSWORD}").and_then(|()| file.rewind()).unwrap();
    file.into()
}

#[test]
fn a_client_of_the_command_line_shows_its_token_to_nobody_but_the_server() {
    let server = TestServer::with_tokens(&[]);
    let mut secrets = Secrets::default();
    let token = server.token(7);
    secrets.keep_token("a token", &token);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &token).unwrap();
    let mut tail = command(&[CHAPPE.to_owned()], &[])
        .args(["tail", "1", "--tcp", &server.tcp.to_string(), "--token-file"])
        .arg(file.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("the client to be there", || (server.metric("chappe_sessions") >= 1.0).then_some(()));
    let seen = seen_of(tail.id());
    tail.kill().unwrap();
    tail.wait().unwrap();
    assert!(seen.contains("--token-file"), "{seen}");
    secrets.are_not_in("the process", &seen);
}
