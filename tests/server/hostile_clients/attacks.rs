//! What the crowds do. Each ends by itself, and sees that its clients are told what they have to be told.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use chappe_proto::compression::Compressor;
use chappe_proto::frame::FLAG_ZSTD;
use serde_json::json;
use socket2::{Domain, Socket, Type};

use crate::support::PATIENCE;
use crate::support::client::{Client, Door};
use crate::support::dice::Dice;
use crate::support::http::Http;
use crate::support::server::TestServer;
use crate::support::tls;

/// Clients of one server.
pub(super) struct Crowd<'a> {
    pub(super) server: &'a TestServer,
}

/// Threads of a crowd.
const THREADS: usize = 2;

/// One of some thousand addresses of this machine.
fn from(nth: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 1, (nth / 250 % 250) as u8, (1 + nth % 250) as u8)
}

/// A connection from one of many addresses. It ends with a reset: what it leaves behind would use the ports up.
fn connect(to: SocketAddr, nth: usize) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket can be made");
    socket.bind(&SocketAddr::from((from(nth), 0)).into()).expect("any loopback address is this machine's");
    socket.set_linger(Some(Duration::ZERO)).expect("the option can be set");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out can be set");
    socket.set_write_timeout(Some(PATIENCE)).expect("a time-out can be set");
    socket.connect(&to.into()).expect("the door is open");
    socket.into()
}

/// Reads to the end; what came.
fn rest(mut socket: TcpStream) -> String {
    let mut all = Vec::new();
    match socket.read_to_end(&mut all) {
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            panic!("waited {PATIENCE:?} for the end; came: {}", String::from_utf8_lossy(&all))
        }
        _ => String::from_utf8_lossy(&all).into_owned(),
    }
}

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const HELLO: &[u8] = b"{\"packet_type\":\"Hello\",\"user_id\":2}\n";

impl Crowd<'_> {
    /// Does it so many times, on a few threads.
    fn all(&self, count: usize, work: impl Fn(usize) + Sync) {
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let work = &work;
                scope.spawn(move || {
                    // Attackers have machines of their own; here they are to take no time of the server and of others.
                    rustix::process::nice(19).expect("a thread may be nicer");
                    (thread..count).step_by(THREADS).for_each(work);
                });
            }
        });
    }

    /// Connections that are made and dropped: at once, after a word, after a question, and after a handshake.
    pub(super) fn churn(&self, count: usize) {
        let (tcp, http) = (self.server.tcp, self.server.http);
        self.all(count, |nth| match nth / THREADS % 4 {
            0 => drop(connect(tcp, nth)),
            1 => {
                let mut socket = connect(tcp, nth);
                socket.write_all(HELLO).expect("the connection takes bytes");
                let mut welcome = [0; 256];
                assert!(socket.read(&mut welcome).expect("an answer comes") > 0);
            }
            2 => {
                let mut socket = connect(http, nth);
                let ask = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
                socket.write_all(ask).expect("the connection takes bytes");
                assert!(rest(socket).starts_with("HTTP/1.1 200"));
            }
            _ => {
                let mut socket = connect(http, nth);
                socket.write_all(UPGRADE.as_bytes()).expect("the connection takes bytes");
                let mut answer = [0; 12];
                socket.read_exact(&mut answer).expect("an answer comes");
                assert_eq!(&answer, b"HTTP/1.1 101");
            }
        });
    }

    /// Connections that are opened and left alone: without a word, or with half of one. All are shown out.
    pub(super) fn half_open(&self, count: usize) {
        let beginnings: [(SocketAddr, &[u8]); 8] = [
            (self.server.tcp, b""),
            (self.server.tcp, b"{\"packet_type\":"),
            (self.server.tcp, &[0, 0]),
            (self.server.tcp, &[0, 0, 100, 0, 0]),
            (self.server.http, b""),
            (self.server.http, b"GET /health HTTP/1.1\r\nHost: loc"),
            (self.server.http, UPGRADE.as_bytes()),
            (self.server.http, b"POST /api/chats HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"),
        ];
        let sockets: Vec<TcpStream> = (0..count)
            .map(|nth| {
                let (to, bytes) = beginnings[nth % beginnings.len()];
                let mut socket = connect(to, nth);
                socket.write_all(bytes).expect("the connection takes bytes");
                socket
            })
            .collect();
        sockets.into_iter().for_each(|socket| drop(rest(socket)));
    }

    /// Connections on which a byte comes now and then. All are shown out.
    pub(super) fn drip(&self, count: usize) {
        let beginnings: [(SocketAddr, Vec<u8>); 6] = [
            (self.server.tcp, b"{\"packet_type\":\"Ping\",\"x\":\"".to_vec()),
            (self.server.tcp, vec![0, 0, 200, 0]),
            (self.server.http, [UPGRADE.as_bytes(), &[0x81, 0xfe, 0x40, 0, 0, 0, 0, 0]].concat()),
            (self.server.http, b"GET /api/chats HTTP/1.1\r\nHost: localhost\r\nX: ".to_vec()),
            (self.server.http, b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: ".to_vec()),
            (
                self.server.http,
                b"POST /api/chats HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n"
                    .to_vec(),
            ),
        ];
        let mut sockets: Vec<TcpStream> = (0..count)
            .map(|nth| {
                let (to, bytes) = &beginnings[nth % beginnings.len()];
                let mut socket = connect(*to, nth);
                socket.write_all(bytes).expect("the connection takes bytes");
                socket.set_nonblocking(true).expect("it can be");
                socket
            })
            .collect();
        let began = Instant::now();
        while !sockets.is_empty() {
            assert!(began.elapsed() < 2 * PATIENCE, "{} are never shown out", sockets.len());
            sockets.retain_mut(|socket| {
                let mut answer = [0; 4096];
                let is_over = match socket.read(&mut answer) {
                    Ok(size) => size == 0,
                    Err(error) => error.kind() != ErrorKind::WouldBlock,
                };
                !is_over && socket.write(b"x").is_ok_and(|size| size == 1)
            });
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Datagrams of all kinds from hundreds of addresses, as fast as they can be sent.
    pub(super) fn datagrams(&self, count: usize) {
        const SOCKETS: usize = 200;
        let sockets: Vec<UdpSocket> = (0..SOCKETS)
            .map(|nth| UdpSocket::bind((IpAddr::V4(from(nth)), 0)).expect("any loopback address is this machine's"))
            .collect();
        let mut forged = vec![4; 120];
        forged[1..9].copy_from_slice(&7u64.to_le_bytes());
        let kinds: [Vec<u8>; 8] = [
            json!({"packet_type": "Ping", "nonce": 5}).to_string().into_bytes(),
            json!({"packet_type": "Status", "user_id": 2, "status_data": "online"}).to_string().into_bytes(),
            // Of somebody there is: the one who posts meanwhile.
            json!({"packet_type": "Status", "user_id": 1, "status_data": "busy"}).to_string().into_bytes(),
            json!({"packet_type": "Typing", "chat_id": 1, "user_id": 3}).to_string().into_bytes(),
            vec![0, 0, 14, 0, 0, 0, 0, 0, 0],
            b"{".repeat(1200),
            vec![0xff; 1201],
            forged,
        ];
        self.all(count, |nth| {
            let udp = &sockets[nth % SOCKETS];
            // A full socket takes no more: that is the kernel's way to lose a datagram.
            let _ = udp.send_to(&kinds[nth % kinds.len()], self.server.udp);
        });
    }

    /// zstd frames with 64 MiB in them, where compression was agreed on; and bodies of requests that claim to be compressed.
    pub(super) fn bombs(&self, count: usize) {
        let zeros = vec![0; 64 << 20];
        let bomb = Compressor::default().compress(&zeros).expect("zeros are compressed").to_vec();
        drop(zeros);
        let frame = |body: &[u8]| {
            let body = [&[FLAG_ZSTD], body].concat();
            [&u32::try_from(body.len()).expect("it is small").to_be_bytes()[..], &body].concat()
        };
        let bomb = frame(&bomb);
        // Without its size in its head: RFC 8878, blocks of 128 KiB of one byte.
        let silent = frame(&[&[0x28, 0xb5, 0x2f, 0xfd, 0, 0x58][..], &[0x02, 0, 0x10, 0].repeat(1000)].concat());
        self.all(THREADS, |thread| {
            let mut client = Client::connect(self.server, Door::TcpBinary);
            let hello = json!({"packet_type": "Hello", "version": 1, "user_id": 10 + thread, "zstd": true});
            assert_eq!(client.ask(hello)["zstd"], true);
            let mut http = Http::to(self.server);
            for nth in 0..count / THREADS {
                client.raw(if nth % 2 == 0 { &bomb } else { &silent });
                let code = client.wait_for("Error")["code"].clone();
                assert!(code == "too_large" || code == "malformed", "{code}");
                let body = json!({"title": "x"});
                let answer = http.call("POST", "/api/chats", &[("Content-Encoding", "gzip")], Some(&body));
                assert_eq!(answer.refusal().0, 415);
                client.forget();
            }
            client.ask(json!({"packet_type": "Ping"}));
        });
    }

    /// JSON that nests 100,000 deep, on every door that takes JSON.
    pub(super) fn deep_json(&self, count: usize, code: &str) {
        const DEPTH: usize = 100_000;
        let packet = format!("{{\"packet_type\":\"Ping\",\"x\":{}{}}}", "[".repeat(DEPTH), "]".repeat(DEPTH));
        let open = format!("{{\"packet_type\":\"Ping\",\"x\":{}", "{\"x\":".repeat(DEPTH));
        let body = format!("{{\"title\":{}{}}}", "[".repeat(DEPTH), "]".repeat(DEPTH));
        let ask = format!(
            "POST /api/chats HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.all(count, |nth| match nth / THREADS % 4 {
            0 => {
                let mut client = Client::hello(self.server, Door::TcpJson, 20 + (nth % 8) as u64);
                client.raw(packet.as_bytes());
                assert_eq!(client.wait_for("Error")["code"], code);
                client.ask(json!({"packet_type": "Ping"}));
            }
            1 => {
                let mut client = Client::hello(self.server, Door::WsText, 20 + (nth % 8) as u64);
                if code == "too_large" {
                    client.try_send_body(packet.clone().into_bytes());
                    assert_eq!(client.rest().1, Some(1009));
                } else {
                    client.send_body(packet.clone().into_bytes());
                    assert_eq!(client.wait_for("Error")["code"], code);
                }
            }
            2 => {
                // It has no end, and neither does the connection wait for one.
                let mut socket = connect(self.server.tcp, nth);
                let _ = socket.write_all(open.as_bytes());
            }
            _ => {
                let mut socket = tls::Socket::to(self.server.http, None);
                // Refused by its length, it may not be read to its end.
                let _ = socket.write_all(ask.as_bytes());
                let mut answer = [0; 12];
                socket.read_exact(&mut answer).expect("an answer comes");
                let status = if code == "too_large" { "413" } else { "400" };
                assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"));
            }
        });
    }

    /// Heads with too many headers, with too long ones, and without an end.
    pub(super) fn headers(&self, count: usize) {
        let many: String = (0..5000).map(|nth| format!("X-{nth}: x\r\n")).collect();
        let long = format!("X-Long: {}\r\n", "x".repeat(300_000));
        let mut dice = Dice::new(1);
        let chance: String = (0..90).map(|_| format!("X-{}: {}\r\n", dice.next(), dice.next())).collect();
        self.all(count, |nth| {
            let mut socket = connect(self.server.http, nth);
            let (headers, end) = match nth / THREADS % 4 {
                0 => (&many, "\r\n"),
                1 => (&long, "\r\n"),
                2 => (&long, ""),
                _ => (&chance, "\r\n"),
            };
            let head = format!("GET /api/limits HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}{end}");
            // Who is refused need not be listened to any longer.
            let _ = socket.write_all(head.as_bytes());
            let mut answer = [0; 12];
            match socket.read_exact(&mut answer) {
                Ok(()) => {
                    let answer = String::from_utf8_lossy(&answer).into_owned();
                    let expected = if headers == &chance { "HTTP/1.1 200" } else { "HTTP/1.1 431" };
                    assert_eq!(answer, expected);
                }
                Err(error) => assert_ne!(error.kind(), ErrorKind::WouldBlock, "it is never told anything"),
            }
        });
    }
}
