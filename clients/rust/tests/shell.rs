//! The client against a server that follows a script: what goes over the wire, and when.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on should say so")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chappe_client::{Client, Disconnect, Options, SendError, Start, Trust, Update, Updates};
use chappe_proto::event::{Event, MemberLeft};
use chappe_proto::frame::{self, ClientFrame};
use chappe_proto::limits::Limits;
use chappe_proto::outgoing::{Encoder, Wire};
use chappe_proto::packet::{Ack, Closing, Events, Expiring, Head, Packet, Welcome};
use chappe_proto::request::Request;
use chappe_proto::{ChatId, CloseCode, Code, Millis, Reject, Seq, UserId};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

const PATIENCE: Duration = Duration::from_secs(20);

/// The server's end of one connection.
struct Peer<T>(T);

impl<T: AsyncRead + AsyncWrite + Unpin> Peer<T> {
    async fn next(&mut self) -> ClientFrame {
        let read = async {
            let length = self.0.read_u32().await.unwrap();
            let mut body = vec![0; usize::try_from(length).unwrap()];
            self.0.read_exact(&mut body).await.unwrap();
            frame::decode(&body).unwrap()
        };
        timeout(PATIENCE, read).await.unwrap()
    }

    async fn say(&mut self, request_id: Option<u64>, packet: Packet) {
        let mut bytes = Vec::new();
        Encoder::default().put(Wire::Binary, &packet, request_id, &mut bytes);
        self.0.write_all(&bytes).await.unwrap();
    }

    /// Answers `Hello`; the token in it.
    async fn welcome(&mut self, heads: &[(u64, u64)]) -> Option<String> {
        let ClientFrame { request_id, request: Request::Hello(hello) } = self.next().await else { panic!("no Hello") };
        let heads = heads.iter().map(|(id, seq)| Head { chat_id: chat(*id), seq: Seq(*seq) }).collect();
        let welcome = Welcome {
            version: 1,
            connection_id: 1,
            user_id: UserId::parse(1).unwrap(),
            epoch: 9,
            server_time: Millis(0),
            heartbeat_ms: 25_000,
            limits: Limits::default(),
            expires_at: None,
            heads: Some(heads),
            more_heads: false,
            udp: None,
            zstd: false,
        };
        self.say(request_id, Packet::Welcome(Box::new(welcome))).await;
        hello.token
    }
}

fn chat(id: u64) -> ChatId {
    ChatId::parse(id).unwrap()
}

fn event(chat_id: u64, seq: u64) -> Event {
    let user_id = UserId::parse(1).unwrap();
    Event::MemberLeft(MemberLeft { chat_id: chat(chat_id), seq: Seq(seq), user_id, at: Millis(0) })
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

async fn accept(listener: &TcpListener) -> Peer<TcpStream> {
    Peer(timeout(PATIENCE, listener.accept()).await.unwrap().unwrap().0)
}

fn begin(options: Options) -> (Client, Updates) {
    options.backoff(Duration::from_millis(5), Duration::from_millis(20)).start_client().unwrap()
}

async fn until<T>(updates: &mut Updates, fits: impl Fn(Update) -> Option<T>) -> T {
    let found = async {
        loop {
            if let Some(found) = fits(updates.next().await.unwrap()) {
                return found;
            }
        }
    };
    timeout(PATIENCE, found).await.unwrap()
}

fn ended(update: Update) -> Option<Disconnect> {
    if let Update::Disconnected { reason, retry_in: None } = update { Some(reason) } else { None }
}

#[tokio::test]
async fn a_recovered_session_costs_two_round_trips_on_the_connection_however_many_chats_are_behind() {
    let (listener, address) = listen().await;
    let (_client, mut updates) = begin(Options::new(&address).unwrap().start(Start::Beginning));
    let mut peer = accept(&listener).await;
    let heads: Vec<(u64, u64)> = (1..=300).map(|id| (id, 2)).collect();
    peer.welcome(&heads).await;
    // No page is answered before all are asked for: were one to wait for another, nothing more would come.
    let mut asked = Vec::new();
    for _ in &heads {
        asked.push(peer.next().await);
    }
    for frame in asked {
        let Request::GetEvents(get) = frame.request else { panic!("{frame:?}") };
        let id = get.chat_id.get();
        let page = Events { chat_id: get.chat_id, events: vec![event(id, 1), event(id, 2)], head: Seq(2) };
        peer.say(frame.request_id, Packet::Events(page)).await;
    }
    let events = Arc::new(AtomicU64::new(0));
    until(&mut updates, |update| match update {
        Update::Event(_) => {
            events.fetch_add(1, Ordering::Relaxed);
            None
        }
        Update::CaughtUp => Some(()),
        _ => None,
    })
    .await;
    assert_eq!(events.load(Ordering::Relaxed), 600);
}

#[tokio::test]
async fn a_message_goes_out_again_unchanged_until_it_is_acknowledged() {
    let (listener, address) = listen().await;
    let (client, _updates) = begin(Options::new(&address).unwrap());
    let sending = tokio::spawn(async move { client.send(chat(1), "hello").await });
    let mut sent = Vec::new();
    // Cut before it is answered; refused for now; done.
    for attempt in 0..3 {
        let mut peer = accept(&listener).await;
        peer.welcome(&[]).await;
        let frame = peer.next().await;
        sent.push(frame.request.clone());
        match attempt {
            0 => continue,
            1 => {
                let mut reject = Reject::plain(Code::Busy);
                reject.retry_after_ms = Some(1);
                peer.say(frame.request_id, Packet::Ack(Ack::refused(reject, None))).await;
                sent.push(peer.next().await.request);
            }
            _ => {
                peer.say(frame.request_id, Packet::Ack(Ack::accepted(chat(1), Seq(7), None, None))).await;
                assert_eq!(timeout(PATIENCE, sending).await.unwrap().unwrap().unwrap().seq, Some(Seq(7)));
                break;
            }
        }
    }
    assert_eq!(sent.len(), 4);
    assert!(sent.windows(2).all(|pair| pair[0] == pair[1]), "{sent:?}");
    assert!(matches!(&sent[0], Request::SendMessage(send) if send.message.client_id.is_some()));
}

#[tokio::test]
async fn a_message_that_no_packet_holds_is_refused_and_those_behind_it_go_out() {
    let (listener, address) = listen().await;
    let (client, _updates) = begin(Options::new(&address).unwrap());
    let text = "x".repeat(70_000);
    let sender = client.clone();
    let sending = tokio::spawn(async move { sender.send(chat(1), &text).await });
    let mut peer = accept(&listener).await;
    peer.welcome(&[]).await;
    let refused = timeout(PATIENCE, sending).await.unwrap().unwrap();
    assert!(matches!(&refused, Err(SendError::Refused(refusal)) if refusal.code == Code::TooLarge), "{refused:?}");
    assert!(matches!(client.status(&"x".repeat(65)).await, Err(SendError::Refused(_))));
    let sending = tokio::spawn(async move { client.send(chat(1), "small").await });
    let frame = peer.next().await;
    assert!(matches!(&frame.request, Request::SendMessage(send) if &*send.message.content == "small"), "{frame:?}");
    drop(sending);
}

#[tokio::test]
async fn a_token_is_renewed_on_the_connection_that_stands_and_fetched_for_each_new_one() {
    let (listener, address) = listen().await;
    let count = Arc::new(AtomicU64::new(0));
    let source = move || {
        let nth = count.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok(format!("token {nth}")))
    };
    let (_client, _updates) = begin(Options::new(&address).unwrap().token_source(source));
    let mut peer = accept(&listener).await;
    assert_eq!(peer.welcome(&[]).await.as_deref(), Some("token 0"));
    peer.say(None, Packet::Expiring(Expiring { expires_at: Millis(1) })).await;
    assert_eq!(peer.welcome(&[]).await.as_deref(), Some("token 1"));
    let closing = Closing { code: CloseCode::TokenExpired, reason: "".into(), reconnect_after_ms: None };
    peer.say(None, Packet::Closing(closing)).await;
    let mut peer = accept(&listener).await;
    assert_eq!(peer.welcome(&[]).await.as_deref(), Some("token 2"));
}

#[tokio::test]
async fn a_renewal_that_goes_wrong_is_tried_again_on_the_connection_that_stands() {
    let (listener, address) = listen().await;
    let count = Arc::new(AtomicU64::new(0));
    let source = move || {
        std::future::ready(match count.fetch_add(1, Ordering::Relaxed) {
            1 => Err("the file is gone".into()),
            nth => Ok(format!("token {nth}")),
        })
    };
    let (_client, mut updates) = begin(Options::new(&address).unwrap().token_source(source));
    let mut peer = accept(&listener).await;
    peer.welcome(&[]).await;
    peer.say(None, Packet::Expiring(Expiring { expires_at: Millis(1) })).await;
    let ClientFrame { request_id, request: Request::Hello(hello) } = peer.next().await else { panic!("no Hello") };
    assert_eq!(hello.token.as_deref(), Some("token 2"));
    peer.say(request_id, Packet::Error(Reject::plain(Code::NotAuthenticated).into())).await;
    assert_eq!(peer.welcome(&[]).await.as_deref(), Some("token 3"));
    let mut reasons = Vec::new();
    for _ in 0..2 {
        reasons.push(
            until(&mut updates, |update| match update {
                Update::NotRenewed { reason } => Some(reason),
                Update::Disconnected { .. } => panic!("{update:?}"),
                _ => None,
            })
            .await,
        );
    }
    assert!(matches!(&reasons[..], [Disconnect::NoToken(_), Disconnect::Refused(_)]), "{reasons:?}");
}

#[tokio::test]
async fn a_token_that_is_always_too_old_and_a_close_code_that_says_so_end_the_client() {
    let (listener, address) = listen().await;
    let (client, mut updates) = begin(Options::new(&address).unwrap().token("old".to_owned()));
    for _ in 0..3 {
        let mut peer = accept(&listener).await;
        let hello = peer.next().await;
        peer.say(hello.request_id, Packet::Error(Reject::plain(Code::TokenExpired).into())).await;
    }
    let reason = until(&mut updates, ended).await;
    assert!(matches!(reason, Disconnect::Refused(refusal) if refusal.code == Code::TokenExpired));
    assert!(matches!(client.send(chat(1), "x").await, Err(SendError::Stopped(_) | SendError::Closed)));

    let (client, mut updates) = begin(Options::new(&address).unwrap());
    let sending = tokio::spawn(async move { client.send(chat(1), "x").await });
    let mut peer = accept(&listener).await;
    peer.welcome(&[]).await;
    peer.next().await;
    let closing = Closing { code: CloseCode::Revoked, reason: "logged out".into(), reconnect_after_ms: None };
    peer.say(None, Packet::Closing(closing.clone())).await;
    assert_eq!(until(&mut updates, ended).await, Disconnect::Closing(closing));
    assert!(matches!(sending.await.unwrap(), Err(SendError::Stopped(_))));
}

#[tokio::test]
async fn who_is_turned_away_in_json_before_a_word_was_read_comes_again() {
    let (listener, address) = listen().await;
    let (_client, mut updates) = begin(Options::new(&address).unwrap());
    let mut peer = accept(&listener).await;
    let closing = Closing { code: CloseCode::Overloaded, reason: "full".into(), reconnect_after_ms: Some(1) };
    let mut line = Vec::new();
    Encoder::default().put(Wire::JsonLines, &Packet::Closing(closing), None, &mut line);
    peer.0.write_all(&line).await.unwrap();
    let code = |update| match update {
        Update::Disconnected { reason: Disconnect::Closing(closing), retry_in: Some(_) } => Some(closing.code),
        _ => None,
    };
    assert_eq!(until(&mut updates, code).await, CloseCode::Overloaded);
    accept(&listener).await.welcome(&[]).await;
    until(&mut updates, |update| matches!(update, Update::CaughtUp).then_some(())).await;
}

#[tokio::test]
async fn what_is_newer_than_the_client_is_passed_over_and_what_is_no_packet_ends_only_the_connection() {
    let (listener, address) = listen().await;
    let (_client, mut updates) = begin(Options::new(&address).unwrap());
    let mut peer = accept(&listener).await;
    peer.welcome(&[]).await;
    // Length; flags; no request_id; a tag of days to come; and something.
    peer.0.write_all(&[0, 0, 0, 7, 0, 0, 99, 0, 0, 0, 1]).await.unwrap();
    peer.say(None, Packet::Event(Arc::new(event(1, 1)))).await;
    until(&mut updates, |update| match update {
        Update::Event(_) => Some(()),
        Update::Disconnected { .. } => panic!("{update:?}"),
        _ => None,
    })
    .await;
    let unexpected = |update| match update {
        Update::Disconnected { reason: Disconnect::Unexpected(_), retry_in } => Some(retry_in.is_some()),
        _ => None,
    };
    peer.0.write_all(&[0, 0, 0, 2, 77, 77]).await.unwrap();
    assert!(until(&mut updates, unexpected).await, "it does not come back");
    // What never was the protocol will not be.
    let mut peer = accept(&listener).await;
    peer.next().await;
    peer.0.write_all(b"HTTP/1.1 400 Bad Request").await.unwrap();
    assert!(!until(&mut updates, unexpected).await);
}

#[tokio::test]
async fn a_program_that_does_not_read_stops_the_reading_of_the_socket() {
    let (listener, address) = listen().await;
    let (_client, mut updates) = begin(Options::new(&address).unwrap().updates(4));
    let mut peer = accept(&listener).await;
    peer.welcome(&[]).await;
    // Far more than sockets hold: the writing stops, and goes on when the program reads.
    let mut bytes = Vec::new();
    const COUNT: u64 = 400_000;
    for seq in 1..=COUNT {
        let packet = Packet::Event(Arc::new(event(1, seq)));
        Encoder::default().put(Wire::Binary, &packet, None, &mut bytes);
    }
    let mut peer_io = peer.0;
    let mut writing = tokio::spawn(async move { peer_io.write_all(&bytes).await.map(|()| peer_io) });
    assert!(timeout(Duration::from_millis(500), &mut writing).await.is_err(), "all was taken although nobody reads");
    let mut next = 1;
    while next <= COUNT {
        if let Some(Update::Event(event)) = timeout(PATIENCE, updates.next()).await.unwrap() {
            assert_eq!(event.seq(), Seq(next));
            next += 1;
        }
    }
    timeout(PATIENCE, writing).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn tls_is_spoken_with_whom_the_program_trusts_and_with_nobody_else() {
    let (listener, address) = listen().await;
    let issued = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let folder = std::env::temp_dir().join(format!("chappe-client-{:x}", chappe_client::random()));
    std::fs::create_dir_all(&folder).unwrap();
    let (known, other) = (folder.join("known.pem"), folder.join("other.pem"));
    std::fs::write(&known, issued.cert.pem()).unwrap();
    let stranger = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&other, stranger.cert.pem()).unwrap();
    let digest = |der: &[u8]| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
        <[u8; 32]>::try_from(digest.as_ref()).unwrap()
    };
    let key = rustls::pki_types::PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    for (trust, is_trusted) in [
        (Trust::File(known), true),
        (Trust::Fingerprint(digest(issued.cert.der())), true),
        (Trust::Anybody, true),
        (Trust::File(other), false),
        (Trust::Fingerprint(digest(stranger.cert.der())), false),
    ] {
        let options = Options::new(&format!("tls://{address}")).unwrap().trust(trust.clone());
        let (client, mut updates) = begin(options);
        let stream = accept(&listener).await.0;
        let peer = acceptor.accept(stream).await;
        assert_eq!(peer.is_ok(), is_trusted, "{trust:?}");
        if let Ok(io) = peer {
            Peer(io).welcome(&[]).await;
            until(&mut updates, |update| matches!(update, Update::CaughtUp).then_some(())).await;
        } else {
            until(&mut updates, |update| match update {
                Update::Disconnected { reason: Disconnect::Tls { .. }, .. } => Some(()),
                _ => None,
            })
            .await;
        }
        drop((client, updates));
    }
    std::fs::remove_dir_all(folder).unwrap();
}
