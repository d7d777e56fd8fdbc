//! Tests of what a server says about itself.

use super::*;

fn ready(http: &str, tcp: Option<&str>) -> Ready {
    Ready {
        http: http.parse().unwrap(),
        tcp: tcp.map(|tcp| tcp.parse().unwrap()),
        udp: None,
        data: "/srv/chappe".into(),
        open_mode: true,
        first_token: None,
        started_in: std::time::Duration::from_millis(41),
        fingerprint: None,
        self_signed: false,
        messages: 1,
        chats: 2,
    }
}

#[test]
fn the_banner_says_where_things_are_and_what_to_try() {
    let text = banner(&ready("127.0.0.1:8080", Some("127.0.0.1:8081")));
    for part in [
        "ready in 41 ms",
        "http://127.0.0.1:8080/\n",
        "ws://127.0.0.1:8080/ws",
        "UDP        off",
        "/srv/chappe  (2 chats, 1 message)",
        "anyone on this machine",
        "curl http://127.0.0.1:8080/api/chats/1/messages",
        "| nc 127.0.0.1 8081",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    assert!(!banner(&ready("127.0.0.1:8080", None)).contains("| nc"));
}

#[test]
fn with_tls_the_addresses_say_so_and_the_fingerprint_is_told() {
    let told = Ready {
        fingerprint: Some("AB:CD".into()),
        self_signed: true,
        ..ready("127.0.0.1:8080", Some("127.0.0.1:8081"))
    };
    let text = banner(&told);
    for part in ["https://127.0.0.1:8080/\n", "wss://", "TLS        SHA-256 AB:CD", "curl --insecure https://"] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    assert!(!text.contains("http://"), "{text}");
}

#[test]
fn in_token_mode_the_first_start_says_how_to_make_a_token() {
    let ready = Ready {
        open_mode: false,
        first_token: Some("chappe token create --user 1001".into()),
        ..ready("127.0.0.1:8080", None)
    };
    let text = banner(&ready);
    assert!(text.contains("  chappe token create --user 1001\n"), "{text}");
    assert!(!text.contains("open mode"), "{text}");
}

#[test]
fn all_interfaces_are_shown_as_an_address_one_can_go_to() {
    let text = banner(&ready("0.0.0.0:8080", Some("[::]:8081")));
    assert!(text.contains("http://127.0.0.1:8080/\n"), "{text}");
    assert!(text.contains("nc ::1 8081"), "{text}");
    assert!(text.contains("TCP        [::]:8081"), "{text}");
    assert!(text.contains("EVERY MACHINE"), "{text}");
}

#[test]
fn the_addresses_are_one_line_of_json() {
    let line = addresses(&ready("127.0.0.1:41001", Some("[::1]:41002")));
    assert_eq!(line, r#"{"http":"127.0.0.1:41001","tcp":"[::1]:41002","udp":null}"#);
}
