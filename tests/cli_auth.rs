//! Users and tokens from the command line, without a server: the built program, its output, its files, its exit codes.

#![allow(clippy::expect_used, clippy::panic, reason = "a test that cannot go on should say so")]

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What a run of the program came to.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// A data folder, and the program in it.
struct World {
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder can be made") }
    }

    fn data(&self) -> &Path {
        self.folder.path()
    }

    /// Runs the program on the folder, with this on its stdin.
    fn run_with(&self, input: &str, args: &[&str]) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chappe"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CHAPPE_") {
                command.env_remove(name);
            }
        }
        command.current_dir(self.data()).env("CHAPPE_DATA", self.data()).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        // It may have ended without reading it.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        let Output { status, stdout, stderr } = child.wait_with_output().expect("the program ends");
        let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
        Run { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }

    fn run(&self, args: &[&str]) -> Run {
        self.run_with("", args)
    }

    /// Runs it, and takes what it printed.
    fn done(&self, args: &[&str]) -> String {
        let run = self.run(args);
        assert_eq!(run.code, Some(0), "{args:?}: {run:?}");
        run.stdout
    }

    fn token(&self, args: &[&str]) -> String {
        let printed = self.done(&[&["token", "create"], args].concat());
        assert_eq!((printed.lines().count(), printed.split('.').count()), (1, 3), "the token alone: {printed}");
        printed.trim().to_owned()
    }

    /// What `token inspect` says about the token on stdin, and whether it ended well.
    fn inspect(&self, token: &str) -> (serde_json::Value, bool) {
        let run = self.run_with(&format!("{token}\n"), &["token", "inspect"]);
        let shown = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
        (shown, run.code == Some(0))
    }
}

#[test]
fn a_token_says_whom_it_speaks_for_and_is_believed_by_its_own_folder_only() {
    let world = World::new();
    let token = world.token(&["--user", "1001", "--ttl", "15m", "--name", "Ann", "--role", "admin"]);
    let (shown, believed) = world.inspect(&token);
    assert!(believed, "{shown}");
    let claims = &shown["claims"];
    assert_eq!(claims["sub"], "1001");
    assert_eq!((&claims["name"], &claims["role"], &claims["iss"]), (&"Ann".into(), &"admin".into(), &"chappe".into()));
    let left = shown["verdict"]["runs_out_in_seconds"].as_u64().expect("a number");
    assert!((800..=900).contains(&left), "{left}");
    let (shown, believed) = World::new().inspect(&token);
    assert!(!believed && shown["verdict"]["problem"].as_str().is_some_and(|why| why.contains("signature")), "{shown}");
    assert_ne!(token, world.token(&["--user", "1001", "--ttl", "15m", "--name", "Ann", "--role", "admin"]));
}

#[test]
fn the_secret_is_the_owners_alone_and_made_once() {
    let world = World::new();
    let folder = world.data().join("data");
    let data = folder.display().to_string();
    let token = world.token(&["--user", "1", "--data", &data]);
    let secret = folder.join("token.secret");
    let bytes = std::fs::read(&secret).expect("the secret is there");
    let mode = std::fs::metadata(&secret).expect("it is there").permissions().mode();
    assert_eq!((bytes.len(), mode & 0o777), (32, 0o600));
    assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 1, "and nothing is left beside it");
    world.token(&["--user", "2", "--data", &data]);
    assert_eq!(std::fs::read(&secret).expect("the secret is there"), bytes);
    assert_eq!(world.run(&["token", "inspect", "--data", &data, &token]).code, Some(0));
    std::fs::write(&secret, "short").expect("a file can be written");
    let run = world.run(&["token", "create", "--user", "1", "--data", &data]);
    assert!(run.code == Some(1) && run.stderr.contains("token.secret has 5 bytes"), "{run:?}");
}

#[test]
fn to_look_at_a_token_makes_nothing() {
    let world = World::new();
    let (shown, believed) = world.inspect("e30.e30.");
    assert!(!believed, "{shown}");
    assert!(!world.inspect("nonsense").1 && !world.inspect("").1);
    assert_eq!(std::fs::read_dir(world.data()).expect("a folder").count(), 0);
}

#[test]
fn a_revoked_token_is_refused_and_others_are_not() {
    let world = World::new();
    let [one, two, three] = [(); 3].map(|()| world.token(&["--user", "7"]));
    let run = world.run_with(&one, &["token", "revoke"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""), "{run:?}");
    let jti = world.inspect(&two).0["claims"]["jti"].as_str().expect("text").to_owned();
    world.done(&["token", "revoke", "--id", &jti]);
    assert!(!world.inspect(&one).1 && !world.inspect(&two).1 && world.inspect(&three).1);
    let foreign = World::new().token(&["--user", "7"]);
    let run = world.run(&["token", "revoke", &foreign]);
    assert!(run.code == Some(1) && run.stderr.contains("signature") && !run.stderr.contains(&foreign), "{run:?}");
}

#[test]
fn an_account_is_added_listed_disabled_and_enabled() {
    let world = World::new();
    let added = world.run_with("correct horse\n", &["user", "add", "Ann", "--role", "admin", "--password-stdin"]);
    assert_eq!((added.code, added.stdout.as_str()), (Some(0), "1001\n"), "{added:?}");
    assert_eq!(world.done(&["user", "add", "bob", "--id", "7", "--no-password"]), "7\n");
    assert_eq!(world.done(&["user", "add", "carl", "--no-password"]), "1002\n");
    let token = world.token(&["--user", "1001"]);
    let claims = &world.inspect(&token).0["claims"];
    assert_eq!((&claims["name"], &claims["role"]), (&"Ann".into(), &"admin".into()), "as the account says");
    world.done(&["user", "disable", "ann"]);
    assert!(!world.inspect(&token).1);
    let listed = world.done(&["user", "list"]);
    assert!(listed.lines().any(|line| line.split_whitespace().eq(["1001", "admin", "disabled", "Ann"])), "{listed}");
    let json: serde_json::Value = serde_json::from_str(&world.done(&["user", "list", "--json"])).expect("JSON");
    let ids: Vec<_> = json.as_array().expect("a list").iter().map(|user| user["user_id"].as_u64()).collect();
    assert_eq!(ids, [Some(7), Some(1001), Some(1002)]);
    world.done(&["user", "enable", "1001"]);
    assert!(!world.inspect(&token).1, "what was made before stays worthless: it may be why they were disabled");
    assert!(world.inspect(&world.token(&["--user", "1001"])).1);
    // Whoever comes from an identity provider has no account, and can be refused all the same.
    let foreign = world.token(&["--user", "42"]);
    world.done(&["user", "disable", "42"]);
    assert!(!world.inspect(&foreign).1);
}

#[test]
fn a_new_password_ends_the_tokens_made_before_and_no_later_ones() {
    let world = World::new();
    world.done(&["user", "add", "ann", "--no-password"]);
    let before = world.token(&["--user", "1001"]);
    std::fs::write(world.data().join("password"), "correct horse\nwhatever follows").expect("a file can be written");
    world.done(&["user", "passwd", "ann", "--password-file", "password"]);
    let after = world.token(&["--user", "1001"]);
    assert!(!world.inspect(&before).1 && world.inspect(&after).1);
}

#[test]
fn what_cannot_be_done_is_said_and_nothing_is_asked_without_a_terminal() {
    let world = World::new();
    world.done(&["user", "add", "ann", "--no-password"]);
    std::fs::write(world.data().join("file"), "where a folder would be").expect("a file can be written");
    for (input, args, code, said) in [
        ("", &["user", "add", "ANN", "--no-password"][..], 1, "taken"),
        ("", &["user", "add", "bob", "--id", "1001", "--no-password"], 1, "user 1001 has an account"),
        ("", &["user", "add", "bob"], 1, "--password-stdin"),
        ("short\n", &["user", "add", "bob", "--password-stdin"], 1, "8 to 256 bytes"),
        ("", &["user", "add", "bob", "--password-file", "missing"], 1, "missing"),
        ("", &["user", "add", "1001", "--no-password"], 1, "taken for an id"),
        ("", &["user", "add", "bob", "--no-password", "--password-stdin"], 2, "cannot be used with"),
        ("", &["user", "add", "bob", "--password", "correct horse"], 2, "unexpected argument"),
        ("", &["user", "add", "bob", "--id", "0", "--no-password"], 2, "an id is an integer"),
        ("", &["user", "disable", "nobody"], 1, "\"nobody\" has no account"),
        ("", &["user", "passwd", "9", "--no-password"], 1, "user 9 has no account"),
        ("", &["user", "list", "--data", "elsewhere"], 3, "there is no folder elsewhere"),
        ("", &["token", "create", "--user", "1", "--ttl", "1w"], 2, "15m, 24h or 30d"),
        ("", &["token", "create", "--user", "ann"], 2, "an id is an integer"),
        ("", &["token", "create"], 2, "--user"),
        ("", &["token", "create", "--user", "1", "--config", "missing.toml"], 3, "missing.toml"),
        ("", &["user", "add", "bob", "--no-password", "--data", "file"], 10, "file: "),
        ("", &["token", "create", "--user", "1", "--data", "file"], 10, "file/token.secret: "),
    ] {
        let run = world.run_with(input, args);
        assert_eq!((run.code, run.stdout.as_str()), (Some(code), ""), "{args:?}: {run:?}");
        assert!(run.stderr.contains(said), "{args:?}: {run:?}");
    }
    assert!(!world.data().join("elsewhere").exists());
    assert_eq!(world.done(&["user", "list"]).lines().count(), 1);
}

#[test]
fn a_key_that_cannot_be_used_stops_the_start_and_is_named() {
    let world = World::new();
    let file = |name: &str, content: &str| {
        std::fs::write(world.data().join(name), content).expect("a file can be written");
    };
    file("short.secret", "not thirty-two bytes");
    file("no.pem", "no key");
    file("private.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
    file("empty.json", "{\"keys\":[]}");
    file(
        "public.secret",
        "-----BEGIN PUBLIC KEY-----\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n-----END PUBLIC KEY-----\n",
    );
    file("a.secret", &"a".repeat(32));
    for (settings, said) in [
        ("secret_files = [\"short.secret\"]", "short.secret: has 20 bytes, but a secret has 32 at least"),
        ("secret_files = [\"public.secret\"]", "`auth.public_key_files`"),
        ("secret_files = [\"missing.secret\"]", "missing.secret: cannot be read"),
        ("secret_files = [\"a.secret\", \"./a.secret\"]", "another key called \"a\""),
        ("public_key_files = [\"no.pem\"]", "no.pem: is not PEM"),
        ("public_key_files = [\"private.pem\"]", "private.pem: holds a private key"),
        ("jwks_file = \"empty.json\"", "empty.json: has no key"),
        ("jwks_file = \"no.pem\"", "no.pem: is no JSON Web Key Set"),
        ("mode = \"closed\"", "takes open or token"),
        ("session_ttl = \"1d\"", "there are ms, s, m and h"),
    ] {
        file("chappe.toml", &format!("[auth]\n{settings}\n"));
        for command in [&["check-config"][..], &["serve", "--auth", "token"]] {
            let run = world.run(&[command, &["--config", "chappe.toml"]].concat());
            assert_eq!((run.code, run.stdout.as_str()), (Some(3), ""), "{settings}: {run:?}");
            assert!(run.stderr.contains(said), "{settings}: {run:?}");
        }
    }
    assert!(!world.data().join("token.secret").exists(), "a start that failed makes nothing");
}

#[test]
fn in_token_mode_other_machines_may_be_let_in() {
    let world = World::new();
    let open = world.run(&["check-config", "--http", "0.0.0.0:8080"]);
    assert!(open.code == Some(3) && open.stderr.contains("--auth token"), "{open:?}");
    let token = world.done(&["check-config", "--http", "0.0.0.0:8080", "--auth", "token"]);
    assert!(token.lines().any(|line| line.starts_with("mode = \"token\"") && line.ends_with("# --auth")), "{token}");
}

/// The blocks of the page in this language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let start = format!("```{language}\n");
    page.split(&start).skip(1).filter_map(|rest| rest.split("```").next()).collect()
}

#[test]
fn the_lines_of_the_page_make_tokens_that_are_believed() {
    let world = World::new();
    let page = include_str!("../docs/authentication.md");
    let shell = |line: &str| {
        let run = Command::new("sh").current_dir(world.data()).args(["-c", line]).output().expect("a shell");
        assert!(run.status.success(), "{line}: {}", String::from_utf8_lossy(&run.stderr));
        String::from_utf8(run.stdout).expect("text")
    };
    let commands = blocks(page, "console").concat();
    let keys: Vec<&str> = commands.lines().filter_map(|line| line.strip_prefix("$ openssl ")).collect();
    assert_eq!(keys.len(), 3, "{keys:?}");
    keys.iter().for_each(|key| drop(shell(&format!("openssl {key}"))));
    let file = |name: &str, content: &str| {
        std::fs::write(world.data().join(name), content).expect("a file can be written");
    };
    file("chappe.toml", &blocks(page, "toml").concat());
    for (language, program) in [("python", "python3"), ("js", "node")] {
        let [lines] = blocks(page, language)[..] else { panic!("one block in {language}") };
        file("lines", lines);
        let token = shell(&format!("{program} lines"));
        let run = world.run_with(&token, &["token", "inspect", "--config", "chappe.toml"]);
        assert!(run.code == Some(0) && run.stdout.contains("\"user_id\": 1001"), "{language}: {run:?}");
    }
}
