//! TLS on HTTP, WebSocket and TCP: what is agreed on, who is refused, and how certificates are replaced.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ProtocolVersion;
use rustls::client::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

use crate::slow::stuck_client;
use crate::support::client::{Client, Door};
use crate::support::http::Http;
use crate::support::programs::Run;
use crate::support::server::TestServer;
use crate::support::tls::{Authority, Pair, PairFiles, Socket, trusting};
use crate::support::{PATIENCE, until};

/// A server with a certificate of this authority, and the folder of its files.
fn server_of(authority: &Authority) -> (TestServer, PairFiles, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let files = PairFiles::write(folder.path(), &authority.vouch());
    let server = TestServer::with_tls(&files.variables(), authority.trusted());
    (server, files, folder)
}

fn leaf(pair: &Pair) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pair.cert.as_bytes()).unwrap()
}

#[test]
fn all_doors_speak_tls_and_tcp_goes_on_in_json_or_binary_inside() {
    let (mut server, _files, _folder) = server_of(&Authority::new());
    let mut listeners: Vec<_> = Door::ALL.into_iter().map(|door| Client::hello(&server, door, 1)).collect();
    for door in Door::ALL {
        let text = format!("by {door:?} {}", "x".repeat(20_000));
        Client::hello(&server, door, 2).post(1, &text);
        for listener in &mut listeners {
            let message = listener.wait("the message", |packet| packet["packet_type"] == "Message");
            assert!(message["message"]["content"] == text, "{:?} {door:?}", listener.door);
        }
    }
    let posted = Http::to(&server).post("/api/chats/1/messages", &json!({"sender_id": 3, "content": "by HTTPS"}));
    posted.expect(201);
    // In the clear only on this machine, and never HTTP.
    let mut plain = Client::connect_to(server.tcp, Door::TcpJson);
    assert_eq!(plain.ask(json!({"packet_type": "Ping", "nonce": 3}))["nonce"], 3);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_stop_says_goodbye_inside_tls_and_ends_it_properly() {
    let (mut server, _files, _folder) = server_of(&Authority::new());
    let clients: Vec<_> = Door::ALL.into_iter().map(|door| Client::hello(&server, door, 1)).collect();
    let mut raw = Socket::to(server.tcp, server.tls.as_ref());
    raw.write_all(b"{\"packet_type\":\"Ping\",\"nonce\":1}\n").unwrap();
    assert!(raw.read(&mut [0; 1000]).unwrap() > 0);
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    for mut client in clients {
        let (packets, code) = client.rest();
        assert_eq!(packets.last().expect("a goodbye")["code"], 4201, "{:?}", client.door);
        assert_eq!(code, client.door.is_web_socket().then_some(4201), "{:?}", client.door);
    }
    // Without a close_notify the library calls the end an error.
    let mut rest = Vec::new();
    raw.read_to_end(&mut rest).expect("TLS ends before the connection does");
    assert!(String::from_utf8(rest).unwrap().contains("\"code\":4201"));
}

#[test]
fn who_reads_late_gets_every_byte() {
    let (server, _files, _folder) = server_of(&Authority::new());
    let mut late = stuck_client(&server);
    socket2::SockRef::from(late.socket()).set_recv_buffer_size(4 << 20).unwrap();
    let mut pages = 0;
    while pages < 80 {
        pages += u32::from(late.next()["packet_type"] == "Messages");
    }
    assert_eq!(late.ask(json!({"packet_type": "Ping"}))["packet_type"], "Pong");
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_http_2_is_not() {
    let authority = Authority::new();
    let (server, _files, _folder) = server_of(&authority);
    for (versions, expected) in [
        (&[&rustls::version::TLS12][..], ProtocolVersion::TLSv1_2),
        (&[&rustls::version::TLS12, &rustls::version::TLS13], ProtocolVersion::TLSv1_3),
    ] {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Arc::new(config);
        for address in [server.http, server.tcp] {
            assert_eq!(Socket::connect_tls(address, &config).unwrap().version(), Some(expected));
        }
    }
    let offering = |names: &[&str]| {
        let mut config = trusting(&authority.pem(), None);
        config.alpn_protocols = names.iter().map(|name| name.as_bytes().to_vec()).collect();
        Socket::connect_tls(server.http, &Arc::new(config))
    };
    assert_eq!(offering(&["h2", "http/1.1"]).unwrap().alpn(), Some(b"http/1.1".to_vec()));
    assert!(offering(&["h2"]).is_err(), "there is no HTTP/2");
}

#[test]
fn http_in_the_clear_is_told_to_come_back_with_tls() {
    let (server, _files, _folder) = server_of(&Authority::new());
    let mut socket = TcpStream::connect(server.http).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!("POST /api HTTP/1.1\r\nHost: {}\r\n\r\n{}", server.http, "x".repeat(10_000));
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.ends_with("This port speaks TLS: ask again with https:// or wss://.\n"), "{answer}");
}

/// An address of this machine that is not loopback, if it has one. Nothing is sent.
fn outside_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("198.51.100.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[test]
fn from_another_machine_nothing_is_taken_in_the_clear() {
    let Some(outside) = outside_address() else {
        eprintln!("not checked: this machine has loopback addresses only");
        return;
    };
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let files = PairFiles::write(folder.path(), &authority.vouch());
    let mut variables = files.variables().to_vec();
    variables.push(("CHAPPE_INSECURE_OPEN", "true"));
    let mut server = TestServer::with_tls(&variables, authority.trusted());
    assert_eq!(server.stop(), Some(0));
    server.restart_at(SocketAddr::new(outside, 0), None);
    for door in [Door::TcpJson, Door::TcpBinary] {
        let mut client = Client::connect_to(server.tcp, door);
        client.send(&json!({"packet_type": "Hello", "version": 1, "user_id": 1}));
        let (packets, _) = client.rest();
        let told: Vec<_> = packets.iter().map(|packet| (&packet["packet_type"], &packet["code"])).collect();
        assert_eq!(told, [(&json!("Closing"), &json!(4005))], "{door:?}: in its own framing, and nothing else");
        Client::hello(&server, door, 1).post(1, "by TLS");
    }
    // Without a certificate nothing asks for TLS.
    let plain = TestServer::with(&[("CHAPPE_INSECURE_OPEN", "true")]);
    let mut plain = plain;
    assert_eq!(plain.stop(), Some(0));
    plain.restart_at(SocketAddr::new(outside, 0), None);
    Client::hello(&plain, Door::TcpJson, 1);
}

#[test]
fn tcp_asks_for_a_client_certificate_where_it_is_to_and_https_does_not() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let files = PairFiles::write(folder.path(), &servers.vouch());
    let roots = folder.path().join("clients.pem");
    std::fs::write(&roots, clients.pem()).unwrap();
    let mut variables = files.variables().to_vec();
    variables.push(("CHAPPE_TLS_CLIENT_CA_FILE", roots.to_str().unwrap()));
    let mut server = TestServer::with_tls(&variables, servers.trusted());
    Http::to(&server).get("/health").expect(200);
    // In TLS 1.3 a client learns that it is refused only when it reads.
    let enters = |own: Option<&Pair>| {
        let mut socket = Socket::connect_tls(server.tcp, &Arc::new(trusting(&servers.pem(), own)))?;
        socket.write_all(b"{\"packet_type\":\"Ping\"}\n")?;
        socket.read(&mut [0; 1000]).map(|size| assert!(size > 0))
    };
    assert!(enters(None).is_err(), "none");
    assert!(enters(Some(&servers.vouch())).is_err(), "somebody else's");
    enters(Some(&clients.vouch())).expect("a client of the authority enters");
    until("the failures to be counted", || {
        (server.metric("chappe_tls_handshakes_total{result=\"failed\"}") >= 2.0).then_some(())
    });
    server.tls = Some(Arc::new(trusting(&servers.pem(), Some(&clients.vouch()))));
    Client::hello(&server, Door::TcpBinary, 1).post(1, "by name");
}

#[test]
fn a_certificate_that_changes_is_taken_over_and_a_bad_one_is_not() {
    let authority = Authority::new();
    let (server, files, _folder) = server_of(&authority);
    let shown = || [server.http, server.tcp].map(|address| Socket::to(address, server.tls.as_ref()).shown());
    let mut client = Client::hello(&server, Door::TcpJson, 1);
    let before = shown();
    // A key of another certificate: complained of, and not used.
    std::fs::write(&files.key, authority.vouch().key).unwrap();
    until("the complaint", || server.log().contains("the new one cannot be used").then_some(()));
    assert_eq!(shown(), before);
    let second = authority.vouch();
    files.replace(&second);
    until("the new certificate", || (shown() == [leaf(&second), leaf(&second)]).then_some(()));
    client.post(1, "the connection from before is still there");
    std::fs::remove_file(&files.cert).unwrap();
    until("the second complaint", || (server.log().matches("the new one cannot be used").count() >= 2).then_some(()));
    assert_eq!(shown(), [leaf(&second), leaf(&second)]);
}

#[test]
fn a_server_makes_a_certificate_for_itself_once_and_tells_its_fingerprint() {
    let mut server = TestServer::with(&[("CHAPPE_TLS_SELF_SIGNED", "true")]);
    let pem = |server: &TestServer| std::fs::read_to_string(server.data().join("tls-cert.pem")).unwrap();
    let first = pem(&server);
    let key = std::fs::metadata(server.data().join("tls-key.pem")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    server.tls = Some(Arc::new(trusting(&first, None)));
    let client = Client::hello(&server, Door::TcpJson, 1);
    drop(client);
    let der = Socket::to(server.http, server.tls.as_ref()).shown();
    let digest = ::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA256, &der);
    let pairs: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    assert!(server.log().contains(&pairs.join(":")), "{}", server.log());
    assert_eq!(server.stop(), Some(0));
    server.restart();
    assert_eq!(pem(&server), first);
    Client::hello(&server, Door::WsText, 1);
}

#[test]
fn a_handshake_that_does_not_come_to_its_end_is_ended() {
    let (server, _files, _folder) = server_of(&Authority::new());
    let before = Instant::now();
    for address in [server.http, server.tcp] {
        let mut socket = TcpStream::connect(address).unwrap();
        // The head of a record that never comes.
        socket.write_all(&[0x16, 3, 1, 0, 200]).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let end = socket.read(&mut [0; 100]);
        assert!(matches!(end, Ok(0)) || end.is_err_and(|error| error.kind() != std::io::ErrorKind::WouldBlock));
    }
    let took = before.elapsed();
    assert!(took > Duration::from_secs(9), "5 s each, not {took:?}");
    until("the connection to be gone", || (server.metric("chappe_connections{door=\"tcp\"}") == 0.0).then_some(()));
}

#[test]
fn what_is_no_tls_inside_a_handshake_harms_nobody() {
    let (server, _files, _folder) = server_of(&Authority::new());
    for address in [server.http, server.tcp] {
        for garbage in [vec![0x16; 5000], b"\x16\x03\x01\x00\x05hello".to_vec(), vec![0x16], vec![0xff; 300]] {
            let mut socket = TcpStream::connect(address).unwrap();
            // The server may have had enough before all of it is there.
            let _ = socket.write_all(&garbage);
            let _ = socket.shutdown(std::net::Shutdown::Write);
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            let _ = socket.read_to_end(&mut Vec::new());
        }
    }
    Client::hello(&server, Door::TcpJson, 1).post(1, "still here");
}

#[test]
fn files_that_cannot_be_used_stop_the_start_with_a_sentence() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let files = PairFiles::write(folder.path(), &authority.vouch());
    let [(cert_name, cert), (key_name, key)] = files.variables();
    let start = |cert: &str, key: &str| -> Run {
        TestServer::fails_with(&folder.path().join("data"), &[(cert_name, cert), (key_name, key)])
    };
    let says = |run: Run, part: &str| {
        assert_eq!(run.code, Some(3), "{}", run.stderr);
        assert!(run.stderr.contains(part), "{part:?} is missing in {}", run.stderr);
    };
    says(start("/nowhere/cert.pem", key), "/nowhere/cert.pem: No such file");
    says(start(cert, "off"), "go together");
    says(start(key, key), "there is no certificate in it");
    says(start(cert, cert), "there is no private key in it");
    let other = folder.path().join("other.pem");
    std::fs::write(&other, authority.vouch().key).unwrap();
    says(start(cert, other.to_str().unwrap()), "does not belong to the certificate");
}

#[test]
fn an_expired_certificate_is_shown_and_warned_of() {
    let authority = Authority::new();
    let folder = tempfile::tempdir().unwrap();
    let files = PairFiles::write(folder.path(), &authority.vouch_until(2024));
    let mut server = TestServer::with(&files.variables());
    assert!(server.log().contains("the TLS certificate has expired"), "{}", server.log());
    assert!(Socket::connect_tls(server.tcp, &authority.trusted()).is_err(), "a client that checks refuses it");
    assert_eq!(server.stop(), Some(0));
}
