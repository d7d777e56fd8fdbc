//! The command line from outside: the built program, its output and its exit codes. No server is started here.

#![allow(clippy::expect_used, reason = "a test that cannot go on should say so")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

/// What a run of the program came to.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs the program in `folder` with these variables of ours and no others.
fn chappe_in(folder: &Path, variables: &[(&str, &str)], args: &[&str]) -> Run {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chappe"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CHAPPE_") {
            command.env_remove(name);
        }
    }
    let run = command.current_dir(folder).envs(variables.iter().copied()).args(args).output();
    let Output { status, stdout, stderr } = run.expect("the program starts");
    let text = |bytes| String::from_utf8(bytes).expect("the program writes UTF-8");
    Run { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

fn chappe(args: &[&str]) -> Run {
    chappe_in(Path::new("."), &[], args)
}

/// A folder with a configuration file in it.
fn folder_with(file: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder can be made");
    std::fs::write(folder.path().join("chappe.toml"), file).expect("a file can be written");
    folder
}

/// The line of `chappe config` for a key, as (value, origin).
fn setting(run: &Run, key: &str) -> (String, String) {
    assert_eq!(run.code, Some(0), "{run:?}");
    let start = format!("{key} = ");
    let line = run.stdout.lines().find_map(|line| line.strip_prefix(&start)).expect("the key is shown");
    let (value, origin) = line.split_once('#').expect("the origin is shown");
    (value.trim().to_owned(), origin.trim().to_owned())
}

#[test]
fn a_flag_beats_a_variable_beats_the_file_beats_the_default() {
    let folder = folder_with("http = \"127.0.0.1:1001\"\n\n[limits]\nwindow = 11\n");
    let config =
        |variables: &[(&str, &str)], args: &[&str]| chappe_in(folder.path(), variables, &[&["config"], args].concat());
    let file = ["--config", "chappe.toml"];
    let variable = [("CHAPPE_HTTP", "127.0.0.1:1002"), ("CHAPPE_LIMITS_WINDOW", "12")];
    let all = ["--config", "chappe.toml", "--http", "127.0.0.1:1003"];
    for (variables, args, value, origin) in [
        (&[][..], &[][..], "\"127.0.0.1:8080\"", "default"),
        (&[], &file, "\"127.0.0.1:1001\"", "chappe.toml:1:8"),
        (&variable, &file, "\"127.0.0.1:1002\"", "CHAPPE_HTTP"),
        (&variable, &all, "\"127.0.0.1:1003\"", "--http"),
    ] {
        assert_eq!(setting(&config(variables, args), "http"), (value.to_owned(), origin.to_owned()));
    }
    assert_eq!(setting(&config(&[], &file), "window"), ("11".to_owned(), "chappe.toml:4:10".to_owned()));
    assert_eq!(setting(&config(&variable, &file), "window"), ("12".to_owned(), "CHAPPE_LIMITS_WINDOW".to_owned()));
}

#[test]
fn a_switch_given_as_a_flag_can_be_taken_back() {
    let variables = [("CHAPPE_INSECURE_OPEN", "true")];
    let run = |args: &[&str]| setting(&chappe_in(Path::new("."), &variables, args), "insecure_open").0;
    assert_eq!(run(&["config"]), "true");
    assert_eq!(run(&["config", "--insecure-open=false"]), "false");
    assert_eq!(setting(&chappe(&["config", "--insecure-open"]), "insecure_open").0, "true");
}

#[test]
fn a_file_is_read_only_when_it_is_named() {
    let folder = folder_with("log = \"warn\"\n");
    assert_eq!(setting(&chappe_in(folder.path(), &[], &["config"]), "log").1, "default");
    let named = chappe_in(folder.path(), &[("CHAPPE_CONFIG", "chappe.toml")], &["config"]);
    assert_eq!(setting(&named, "log").0, "\"warn\"");
    let missing = chappe_in(folder.path(), &[], &["config", "--config", "missing.toml"]);
    assert_eq!(missing.code, Some(3));
    assert!(missing.stderr.contains("missing.toml: cannot be read"), "{}", missing.stderr);
}

#[test]
fn what_config_prints_is_a_file_that_says_the_same() {
    let folder = folder_with("");
    let odd = [
        ("CHAPPE_DATA", "a \"b\" \\ c"),
        ("CHAPPE_UDP", "off"),
        ("CHAPPE_LIMITS_FRAME_BYTES", "70001"),
        ("CHAPPE_HTTP_SERVER_ALLOWED_ORIGINS", "https://a.example,https://b.example:8443"),
        ("CHAPPE_HTTP_SERVER_WORKERS", "3"),
    ];
    let first = chappe_in(folder.path(), &odd, &["config"]);
    assert_eq!(first.code, Some(0), "{first:?}");
    std::fs::write(folder.path().join("printed.toml"), &first.stdout).expect("a file can be written");
    let second = chappe_in(folder.path(), &[], &["check-config", "--config", "printed.toml"]);
    for key in ["data", "udp", "frame_bytes", "allowed_origins", "workers", "http", "bytes"] {
        assert_eq!(setting(&first, key).0, setting(&second, key).0, "{key}");
    }
}

#[test]
fn the_start_lists_everything_that_is_wrong_with_its_place() {
    let folder = folder_with("# mine\nhtpp = \"127.0.0.1:1\"\nlog = \"inof\"\n\n[limits]\nwindow = 0\n  windwo = 5\n");
    let variables = [("CHAPPE_TCP", "8081")];
    for command in [&[][..], &["serve"], &["check-config"]] {
        let args = [command, &["--config", "chappe.toml", "--udp", "localhost"]].concat();
        let run = chappe_in(folder.path(), &variables, &args);
        assert_eq!(run.code, Some(3), "{run:?}");
        assert_eq!(run.stdout, "");
        let expected = [
            "chappe.toml:2:1: unknown key `htpp`; did you mean `http`?",
            "chappe.toml:7:3: unknown key `limits.windwo`; did you mean `limits.window`?",
            "chappe.toml:3:7: `log` is \"inof\", but takes off, error, warn, info, debug or trace",
            "; did you mean info?",
            "chappe.toml:6:10: `limits.window` is 0, but takes a whole number from 1 to 65536",
            "CHAPPE_TCP: `tcp` is \"8081\", but takes an address",
            "; did you mean 127.0.0.1:8081?",
            "--udp: `udp` is \"localhost\", but takes an address",
            "; the port is missing",
        ];
        for part in expected {
            assert!(run.stderr.contains(part), "{part:?} is missing in\n{}", run.stderr);
        }
        let places: Vec<&str> = run.stderr.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
        let in_order =
            ["chappe.toml:2:1:", "chappe.toml:3:7:", "chappe.toml:6:10:", "chappe.toml:7:3:", "CHAPPE_TCP:", "--udp:"];
        assert_eq!(places, in_order);
    }
}

#[test]
fn a_bad_file_never_starts_a_server() {
    for (file, told) in [
        ("http = ", "chappe.toml:1:8: "),
        ("log = \"info\"\nlog = \"warn\"", "chappe.toml:2:1: duplicate key"),
        ("http = 8080", "1:8: `http` is 8080, but takes an address"),
        ("http = \"off\"", "1:8: `http` is \"off\", but takes an address"),
        ("http = [\"127.0.0.1:1\"]", "1:8: `http` is a list of 1, but takes an address"),
        ("http = \"http://127.0.0.1:1\"", "leave out what makes it a URL"),
        ("http = \"no.such.host.invalid:1\"", "no.such.host.invalid cannot be resolved"),
        ("data = \"\"", "`data` is \"\", but takes the path of a folder"),
        ("insecure_open = \"true\"", "takes true or false; leave the quotes out"),
        ("limits = 5", "`limits` is 5, but is a table"),
        ("[limit]\nwindow = 5", "1:2: unknown table `limit`; did you mean `limits`?"),
        ("[limits]\nwindow = \"5\"", "leave the quotes out"),
        ("[limits]\nwindow = 5.5", "`limits.window` is a number with a fraction"),
        ("[limits]\nwindow = 65537", "from 1 to 65536"),
        ("[limits]\nwindow = -1", "`limits.window` is -1"),
        ("[limits]\nframe_bytes = \"16 MiB\"", "from 1 KiB to 16777215 B"),
        ("[limits]\nframe_bytes = \"1 mile\"", "\"mile\" is no unit"),
        ("[limits]\ncontent_bytes = \"64 KiB\"", "2:17: `limits.content_bytes` (64 KiB) has to be less than"),
        ("[limits]\nframe_bytes = \"1 MiB\"", "2:15: `limits.outbox_bytes` (1 MiB) has to be at least twice"),
        ("tcp = \"127.0.0.1:8080\"", "1:7: `http` (127.0.0.1:8080) and `tcp` (127.0.0.1:8080) cannot listen"),
        ("[http_server]\nallowed_origins = [\"*\"]", "list the origins you trust"),
        ("[http_server]\nallowed_origins = \"https://a\"", "put it in brackets"),
        ("[http_server]\nworkers = 0", "auto or a whole number from 1 to 256"),
    ] {
        let folder = folder_with(file);
        let run = chappe_in(folder.path(), &[], &["--config", "chappe.toml"]);
        assert_eq!(run.code, Some(3), "{file}: {run:?}");
        assert!(run.stderr.contains(told), "{told:?} is missing for {file:?} in\n{}", run.stderr);
    }
}

#[test]
fn an_open_server_is_not_reachable_from_other_machines_unless_the_operator_insists() {
    for (flag, address) in [("--http", "0.0.0.0:0"), ("--tcp", "[::]:0"), ("--udp", "192.0.2.1:1")] {
        let run = chappe(&["check-config", flag, address]);
        assert_eq!(run.code, Some(3), "{run:?}");
        for part in [flag, address, "--insecure-open", "CHAPPE_INSECURE_OPEN=true", "insecure_open = true"] {
            assert!(run.stderr.contains(part), "{part:?} is missing in\n{}", run.stderr);
        }
        assert_eq!(chappe(&["check-config", flag, address, "--insecure-open"]).code, Some(0));
    }
}

#[test]
fn strangers_do_not_register_beside_an_identity_provider() {
    let variables = [("CHAPPE_AUTH_REGISTRATION", "true"), ("CHAPPE_AUTH_SECRET_FILES", "shared.secret")];
    let run = chappe_in(Path::new("."), &variables, &["check-config"]);
    assert_eq!(run.code, Some(3), "{run:?}");
    for part in ["auth.registration", "auth.secret_files", "CHAPPE_AUTH_REGISTRATION"] {
        assert!(run.stderr.contains(part), "{run:?}");
    }
}

#[test]
fn an_unknown_variable_is_warned_of_and_ignored() {
    let variables = [("CHAPPE_HTPP", "x"), ("CHAPPE_SERVICE_HOST", "10.0.0.7"), ("CHAPPE_PORT", "tcp://10.0.0.7:8080")];
    let run = chappe_in(Path::new("."), &variables, &["config"]);
    assert_eq!(run.code, Some(0));
    assert_eq!(run.stderr, "warning: CHAPPE_HTPP is not a setting and is ignored; did you mean CHAPPE_HTTP?\n");
}

#[test]
fn quotes_that_came_along_are_noticed() {
    let run = chappe_in(Path::new("."), &[("CHAPPE_HTTP", "\"127.0.0.1:8080\"")], &["config"]);
    assert_eq!(run.code, Some(3));
    assert!(run.stderr.contains("leave the quotes out"), "{}", run.stderr);
}

#[test]
fn the_example_file_has_every_key_with_its_default() {
    let example = include_str!("../chappe.example.toml");
    let is_setting = |line: &&str| line.starts_with('#') && !line.starts_with("# ");
    let uncommented: String = example
        .lines()
        .map(|line| if is_setting(&line) { line.trim_start_matches('#') } else { line })
        .map(|line| format!("{line}\n"))
        .collect();
    let folder = folder_with(&uncommented);
    let default = chappe(&["config"]);
    let read = chappe_in(folder.path(), &[], &["config", "--config", "chappe.toml"]);
    assert_eq!(read.code, Some(0), "{read:?}");
    let values = |run: &Run| -> Vec<String> {
        run.stdout.lines().skip(1).map(|line| line.split('#').next().unwrap_or_default().trim().to_owned()).collect()
    };
    assert_eq!(values(&read), values(&default));
    assert!(!read.stdout.contains("# default"), "a key is missing from the example:\n{}", read.stdout);

    let as_it_is = folder_with(example);
    let read = chappe_in(as_it_is.path(), &[], &["config", "--config", "chappe.toml"]);
    assert_eq!(values(&read), values(&default));
}

#[test]
fn help_and_version_go_to_stdout() {
    let version = chappe(&["--version"]);
    assert_eq!((version.code, version.stdout.as_str()), (Some(0), concat!("chappe ", env!("CARGO_PKG_VERSION"), "\n")));
    let help = chappe(&["--help"]);
    assert_eq!(help.code, Some(0));
    for part in
        ["serve", "send", "tail", "bench", "verify", "check-config", "explain", "--print-addresses", "Examples:"]
    {
        assert!(help.stdout.contains(part), "{part:?} is missing in\n{}", help.stdout);
    }
    let flags = ["--data", "--http", "--tcp", "--udp", "--log", "--insecure-open", "--config", "--print-addresses"];
    let serve = chappe(&["serve", "--help"]);
    for flag in flags {
        assert!(serve.stdout.contains(flag), "{flag} is missing in\n{}", serve.stdout);
    }
}

#[test]
fn what_has_no_end_is_refused_before_it_fills_the_memory() {
    let (check, token) = (&["check-config"][..], &["send", "1", "x", "--token-file", "/dev/zero"][..]);
    let cert = [("CHAPPE_TLS_CERT_FILE", "/dev/zero"), ("CHAPPE_TLS_KEY_FILE", "/dev/zero")];
    for (variables, args, code) in [
        (&[][..], &["check-config", "--config", "/dev/zero"][..], 3),
        (&[("CHAPPE_AUTH_MODE", "token"), ("CHAPPE_AUTH_JWKS_FILE", "/dev/zero")], check, 3),
        (&cert, check, 3),
        (&[], &["send", "1", "-"], 1),
        (&[], token, 3),
    ] {
        // Not the machine's memory, should it go wrong.
        let limited = "ulimit -v 4000000; exec \"$@\"";
        let mut command = Command::new("sh");
        command.args(["-c", limited, "sh", env!("CARGO_BIN_EXE_chappe")]).args(args).envs(variables.iter().copied());
        let zeros = std::fs::File::open("/dev/zero").expect("there are zeros");
        let run = command.stdin(zeros).output().expect("it runs");
        let told = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(code), "{args:?}: {told}");
        assert!(told.contains("it is larger than") && told.len() < 500, "{args:?}: {told}");
    }
}

#[test]
fn a_command_line_that_makes_no_sense_is_a_usage_error() {
    for args in [&["--htpp", "x"][..], &["serv"], &["--http"], &["explain", "rate_limitd"], &["--http", "x", "verify"]]
    {
        let run = chappe(args);
        assert_eq!(run.code, Some(2), "{args:?}: {run:?}");
        assert_eq!(run.stdout, "", "{args:?}");
        assert_ne!(run.stderr, "", "{args:?}");
    }
    assert!(chappe(&["explain", "rate_limitd"]).stderr.contains("did you mean rate_limited?"));
    assert!(chappe(&["--htpp", "x"]).stderr.contains("--http"));
}

#[test]
fn a_value_that_does_not_fit_is_a_usage_error_but_for_a_servers_settings() {
    for (args, code) in [
        (&["send", "xx", "hi"][..], 2),
        (&["tail", "1", "--after", "x"], 2),
        (&["token", "create", "--user", "0"], 2),
        (&["token", "create", "--user", "1", "--ttl", "5"], 2),
        (&["serve", "--http", "x"], 3),
    ] {
        let run = chappe(args);
        assert_eq!(run.code, Some(code), "{args:?}: {run:?}");
    }
}

#[test]
fn who_asks_for_tls_is_not_spoken_to_plainly() {
    let plain = "tcp://127.0.0.1:9";
    for command in [&["send", "1", "hi", "--retries", "0"][..], &["tail", "1"]] {
        for flags in [&["--insecure"][..], &["--tls-ca", "ca.pem"]] {
            for (variable, argument) in [(&[("CHAPPE_TCP", plain)][..], &[][..]), (&[], &["--tcp", plain])] {
                let run = chappe_in(Path::new("."), variable, &[command, flags, argument].concat());
                assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{run:?}");
                assert!(run.stderr.contains("tls://"), "{run:?}");
            }
        }
    }
}

/// Runs `chappe send` without retries against somebody who answers every message with this code.
fn sent_and_refused(code: &str) -> Run {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it has an address").to_string();
    let refusal = format!(
        r#"{{"packet_type":"Ack","request_id":1,"message_id":0,"success":false,"error":"so it is","code":"{code}"}}"#
    );
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("it connects");
        for answer in [WELCOME, &refusal] {
            let mut length = [0; 4];
            stream.read_exact(&mut length).expect("a frame comes");
            let mut body = vec![0; usize::try_from(u32::from_be_bytes(length)).expect("it fits")];
            stream.read_exact(&mut body).expect("all of it");
            writeln!(stream, "{answer}").expect("it listens");
        }
        // Until it goes.
        let _ = stream.read(&mut [0]);
    });
    let run = chappe(&["send", "1", "hi", "--retries", "0", "--client-id", "mine", "--tcp", &address]);
    peer.join().expect("the peer ends well");
    run
}

const WELCOME: &str = concat!(
    r#"{"packet_type":"Welcome","version":1,"connection_id":1,"user_id":1,"epoch":1,"server_time""#,
    r#":0,"heartbeat_ms":25000,"limits":{"frame_bytes":65536,"content_bytes":32768,"window":256,""#,
    r#"outbox_bytes":1048576,"page":500,"members":10,"chats":10,"connection_rate":{"per_sec":0,"b"#,
    r#"urst":1},"user_rate":{"per_sec":0,"burst":1},"chat_rate":{"per_sec":0,"burst":1}},"heads":"#,
    r#"[]}"#,
);

#[test]
fn who_gives_up_without_knowing_whether_it_was_kept_is_told_how_to_send_it_once() {
    for (code, is_told) in [("unknown", true), ("internal", true), ("busy", false)] {
        let run = sent_and_refused(code);
        assert_eq!(run.code, Some(1), "{code}: {run:?}");
        assert_eq!(run.stderr.contains("--client-id mine"), is_told, "{code}: {run:?}");
    }
}

#[test]
fn codes_are_explained() {
    for (code, parts) in [
        ("rate_limited", &["HTTP status 429, a retry can help", "client:", "operator:"][..]),
        ("Not-A-Member", &["not_a_member: error code, HTTP status 403, a retry does not help"]),
        ("4201", &["shutting_down: close code 4201, reconnect at once"]),
        ("4000", &["protocol_error: close code 4000, do not reconnect"]),
        ("overloaded", &["close code 4100, back off, then reconnect"]),
        ("internal", &["error code, HTTP status 500", "close code 4101"]),
        ("3", &["exit code of the process", "chappe check-config"]),
    ] {
        let run = chappe(&["explain", code]);
        assert_eq!(run.code, Some(0), "{run:?}");
        for part in parts {
            assert!(run.stdout.contains(part), "{part:?} is missing in\n{}", run.stdout);
        }
    }
    let all = chappe(&["explain"]);
    for part in ["malformed", "internal", "4000 protocol_error", "130"] {
        assert!(all.stdout.contains(part), "{part:?} is missing in\n{}", all.stdout);
    }
}

#[test]
fn a_reader_that_has_had_enough_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_chappe"))
        .arg("explain")
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let Output { status, stderr, .. } = child.wait_with_output().expect("the program ends");
    assert_eq!(String::from_utf8_lossy(&stderr), "");
    assert_eq!(status.code(), Some(0));
}
