//! A thousand clients that never read while a hundred others chat: memory stays within its budget, the hundred lose
//! nothing, and the thousand are complete once they read.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

use crate::support::PATIENCE;
use crate::support::client::{Client, Door};
use crate::support::server::TestServer;

const SILENT: u64 = 1000;
const CHATTERS: u64 = 100;
/// Messages of each chatter: before the silent ones come, and while they are there.
const MESSAGES: u64 = 2;
const CHAT: u64 = 1;
/// What may wait to be sent to all connections together.
const BUDGET: u64 = 64 << 20;
/// Threads of this test.
const THREADS: usize = 4;

/// Does the same for all clients, on a few threads.
fn all<T: Send>(clients: &mut [Client], work: impl Fn(&mut Client) -> T + Sync) -> Vec<T> {
    let at_once = clients.len().div_ceil(THREADS);
    std::thread::scope(|scope| {
        let parts: Vec<_> = clients
            .chunks_mut(at_once)
            .map(|part| scope.spawn(|| part.iter_mut().map(&work).collect::<Vec<T>>()))
            .collect();
        parts.into_iter().flat_map(|part| part.join().expect("a thread ends well")).collect()
    })
}

fn connect(
    server: &TestServer,
    users: std::ops::RangeInclusive<u64>,
    connect: fn(SocketAddr) -> TcpStream,
) -> Vec<Client> {
    let users: Vec<u64> = users.collect();
    let greeted = |user: u64| {
        let (door, address) =
            if user.is_multiple_of(2) { (Door::TcpBinary, server.tcp) } else { (Door::WsBinary, server.http) };
        let mut client = Client::over(crate::support::tls::Socket::Plain(connect(address)), address, door);
        client.greet(user);
        client
    };
    std::thread::scope(|scope| {
        let parts: Vec<_> = users
            .chunks(users.len().div_ceil(THREADS))
            .map(|part| scope.spawn(move || part.iter().map(|user| greeted(*user)).collect::<Vec<_>>()))
            .collect();
        parts.into_iter().flat_map(|part| part.join().expect("a thread ends well")).collect()
    })
}

/// A connection whose kernels hold some tens of KiB, and not the megabytes that they hold for others.
fn narrow(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket can be made");
    socket.set_tcp_mss(536).expect("the option can be set");
    socket.set_recv_buffer_size(4096).expect("the option can be set");
    socket.connect(&address.into()).expect("the door is open");
    socket.into()
}

/// Makes all users and members of the chat; in one connection, so that nobody hears of it.
fn make_users(server: &TestServer) {
    let mut client = Client::connect(server, Door::TcpBinary);
    let posts: Vec<u64> = (1..=CHATTERS + SILENT)
        .map(|user| {
            let text = json!({"chat_id": CHAT, "sender_id": user, "content": "I am here"});
            client.begin(json!({"packet_type": "SendMessage", "message": text}))
        })
        .collect();
    posts.into_iter().for_each(|id| assert_eq!(client.answer(id)["success"], true));
}

/// Everybody posts, a few at a time; how long an ack took in the middle.
fn chat(clients: &mut [Client]) -> Duration {
    let content = "x".repeat(1000);
    let waited = all(clients, |client| {
        let post = || {
            let sent = Instant::now();
            client.post(CHAT, &content);
            sent.elapsed()
        };
        std::iter::repeat_with(post).take(MESSAGES as usize).collect::<Vec<_>>()
    });
    let mut waited: Vec<Duration> = waited.into_iter().flatten().collect();
    assert_eq!(waited.len() as u64, CHATTERS * MESSAGES, "all are acknowledged");
    waited.sort_unstable();
    waited[waited.len() / 2]
}

fn head(client: &mut Client) -> u64 {
    let page = client.ask(json!({"packet_type": "GetEvents", "chat_id": CHAT, "after": 0, "limit": 1}));
    page["head"].as_u64().expect("a chat has a head")
}

/// The events after `last`. While too much waits to be sent to everybody, who has not taken what waits for them is asked to
/// come again; and has taken it when told so, for the answer comes behind it.
fn page(client: &mut Client, last: u64) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page = client.ask(json!({"packet_type": "GetEvents", "chat_id": CHAT, "after": last, "limit": 100}));
        if page["code"] != "busy" {
            return page;
        }
        assert!(Instant::now() < deadline, "the server is busy for ever");
    }
}

/// Reads on from number `last`, and pulls what a `Gap` says is missing, up to number `to`. How many gaps there were.
fn catch_up(client: &mut Client, mut last: u64, to: u64) -> u32 {
    let mut gaps = 0;
    while last < to {
        let packet = client.next();
        if packet["packet_type"] == "Gap" {
            assert_eq!(packet["from"], last + 1, "the gap begins where the events end");
            gaps += 1;
            while last < to {
                let page = page(client, last);
                for event in page["events"].as_array().expect("a page has events") {
                    assert_eq!(event["seq"], last + 1, "pulled in order");
                    last += 1;
                }
            }
        } else if packet["chat_id"] == CHAT && packet["seq"].is_u64() && packet["packet_type"] != "Read" {
            assert_eq!(packet["seq"], last + 1, "heard in order, none missing without a word");
            last += 1;
        }
    }
    gaps
}

#[test]
fn a_thousand_clients_that_never_read_cost_the_others_nothing_and_miss_nothing() {
    // This process holds as many sockets as the server.
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("the limit can be raised");
    let server = TestServer::with(&[
        ("CHAPPE_LIMITS_OUTBOXES_BYTES", &BUDGET.to_string()),
        ("CHAPPE_CACHE_BYTES", "1 MiB"),
        // However long the machine takes, nobody counts as dead before they read.
        ("CHAPPE_HEARTBEAT", "10m"),
    ]);
    let began = Instant::now();
    make_users(&server);
    let plain = |address| TcpStream::connect(address).expect("the door is open");
    let mut chatters = connect(&server, 1..=CHATTERS, plain);
    let first = head(&mut chatters[0]);
    let alone = chat(&mut chatters);
    let mut silent = connect(&server, CHATTERS + 1..=CHATTERS + SILENT, narrow);
    let asleep = head(&mut chatters[0]);
    eprintln!("connected after {:?}, at event {asleep}", began.elapsed());
    let before = server.resident_kib() * 1024;
    // At first their sockets take what comes, as those of clients do that read; then nothing more.
    let (with, stuck) = (chat(&mut chatters), chat(&mut chatters));
    let last = head(&mut chatters[0]);
    let waiting = server.metric("chappe_outbox_bytes");
    let grown = (server.resident_kib() * 1024).saturating_sub(before);
    let times = |one: Duration, other: Duration| one.as_secs_f64() / other.as_secs_f64();
    eprintln!("an ack took {alone:?} in the middle with nobody else there, {with:?} with {SILENT} more to be told,");
    eprintln!("{stuck:?} once those take nothing: {:.2} times as long", times(stuck, with));
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let (level, growth, budget) = (mib(waiting), mib(grown as f64), mib(BUDGET as f64));
    eprintln!("waiting to be sent: {level:.1} MiB, memory grown by {growth:.1} MiB, budget {budget:.1} MiB");
    assert!(waiting <= BUDGET as f64, "{waiting} bytes wait to be sent");
    assert!(grown <= BUDGET, "the server has grown by {grown} bytes");
    // The hundred have heard everything.
    assert_eq!(last - first, 3 * CHATTERS * MESSAGES);
    for client in &mut chatters {
        let heard: Vec<u64> = client.events(CHAT, last).iter().filter_map(|event| event["seq"].as_u64()).collect();
        assert_eq!(heard, (first + 1..=last).collect::<Vec<_>>(), "{:?}", client.door);
    }
    let gaps = all(&mut silent, |client| {
        socket2::SockRef::from(client.socket()).set_recv_buffer_size(1 << 20).expect("the option can be set");
        catch_up(client, asleep, last)
    });
    let gaps: u32 = gaps.into_iter().sum();
    eprintln!("all caught up after {:?}, with {gaps} gaps", began.elapsed());
    assert!(gaps > 0, "else nobody was slow, and nothing was shown");
}
