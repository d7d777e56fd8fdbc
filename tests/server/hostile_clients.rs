//! Crowds of hostile clients: nobody else waits for them, what was acknowledged is there, and memory and files return when
//! they are gone.
//!
//! In short here; with `CHAPPE_HOSTILE=full` in full size, one test at a time, on a machine that does nothing else. How long
//! others wait is held against how long they waited in the same run before the crowd came.

mod attacks;
mod files;

use std::time::{Duration, Instant};

use attacks::Crowd;

use crate::support::client::{Client, Door, named_message};
use crate::support::flood::{Written, assert_kept, history};
use crate::support::server::{FAST, TestServer};
use crate::support::until;

/// Messages while it is quiet, and at least so many while it is not.
const MESSAGES: usize = 400;
/// Between two of them.
const PACE: Duration = Duration::from_millis(4);
/// How much memory may stay with the server that it did not have before, in KiB: buffers of its threads, and pages that its
/// allocator gives back later.
const STAYS_KIB: u64 = 24 * 1024;
/// So much more than twice as long may an ack take. Here other tests share the cores, and only who stands still is found; in
/// full size there is nobody else.
const CROWDED: Duration = Duration::from_secs(1);
const ALONE: Duration = Duration::from_millis(10);

/// Whether everything is done in full size.
fn is_full() -> bool {
    std::env::var("CHAPPE_HOSTILE").is_ok_and(|size| size == "full")
}

/// So many in full size, and so many here.
fn size(full: usize, short: usize) -> usize {
    if is_full() { full } else { short }
}

/// Somebody who posts, and waits for the ack, and posts again.
struct Honest {
    client: Client,
    sent: usize,
    written: Written,
}

impl Honest {
    /// Posts as long as `go_on` says so; how long the acks took, sorted.
    fn posts(&mut self, go_on: impl Fn(usize) -> bool) -> Vec<Duration> {
        let mut waited = Vec::new();
        while go_on(waited.len()) {
            let name = format!("honest-{}", self.sent);
            self.sent += 1;
            let began = Instant::now();
            let ack = self.client.ask(named_message(1, &name, &name));
            waited.push(began.elapsed());
            assert_eq!(ack["success"], true, "{ack}");
            let number = |field: &str| ack[field].as_u64().expect("an ack has numbers");
            self.written.acked.insert(name, (number("message_id"), number("seq")));
            self.client.forget();
            std::thread::sleep(PACE.saturating_sub(began.elapsed()));
        }
        waited.sort_unstable();
        waited
    }
}

fn percentile(sorted: &[Duration], of_100: usize) -> Duration {
    sorted[(sorted.len() * of_100 / 100).min(sorted.len() - 1)]
}

/// Open files of the server.
fn files(server: &TestServer) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).expect("a process has files").count()
}

/// Lets a crowd loose on `server` while somebody else uses it.
fn withstands(what: &str, server: &TestServer, attack: impl FnOnce(&Crowd<'_>) + Send) {
    allow_many_files();
    let client = Client::hello(server, Door::TcpBinary, 1);
    let mut honest = Honest { client, sent: 0, written: Written::default() };
    honest.posts(|posted| posted < MESSAGES / 4);
    let quiet = honest.posts(|posted| posted < MESSAGES);
    let (memory, open) = (server.resident_kib(), files(server));
    let began = Instant::now();
    let (crowded, most) = std::thread::scope(|scope| {
        let crowd = scope.spawn(|| attack(&Crowd { server }));
        let watch = scope.spawn(move || {
            let mut most = 0;
            while !crowd.is_finished() {
                most = most.max(server.resident_kib());
                std::thread::sleep(Duration::from_millis(20));
            }
            most
        });
        let crowded = honest.posts(|posted| posted < MESSAGES || !watch.is_finished());
        (crowded, watch.join().expect("a thread ends well"))
    });
    let took = began.elapsed();
    let [before, during] = [&quiet, &crowded].map(|all| (percentile(all, 50), percentile(all, 99)));
    println!(
        "{what}: {took:.1?}; acks p50 {:.1?} p99 {:.1?} before, p50 {:.1?} p99 {:.1?} meanwhile: {:.2} times; memory {} MiB before, at most {}",
        before.0,
        before.1,
        during.0,
        during.1,
        during.1.as_secs_f64() / before.1.as_secs_f64(),
        memory >> 10,
        most >> 10,
    );
    until("the crowd's files to be closed", || (files(server) <= open + 4).then_some(()));
    until("the crowd's memory to return", || (server.resident_kib() <= memory + STAYS_KIB).then_some(()));
    println!("{what}: {} MiB and {} files in the end, {open} before", server.resident_kib() >> 10, files(server));
    let allowed = 2 * before.1 + if is_full() { ALONE } else { CROWDED };
    assert!(during.1 <= allowed, "{what}: an ack takes {:?}, and took {:?} before", during.1, before.1);
    assert_kept(&history(server, 1, 1), &[honest.written]);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// This process has as many sockets as the server.
fn allow_many_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("the limit can be raised");
}

/// A server that takes floods, with these settings besides.
fn server(more: &[(&str, &str)]) -> TestServer {
    TestServer::with(&[&FAST, more].concat())
}

/// Who begins something has two seconds for it.
const IMPATIENT: [(&str, &str); 2] = [("CHAPPE_LIMITS_PACKET_TIME", "2s"), ("CHAPPE_LIMITS_IDLE_TIME", "2s")];

#[test]
fn connections_that_come_and_go_cost_nobody_anything() {
    let server = server(&[]);
    withstands("churn", &server, |crowd| crowd.churn(size(100_000, 4_000)));
}

#[test]
fn connections_that_say_nothing_or_half_of_it_cost_nobody_anything() {
    let server = server(&[&IMPATIENT[..], &[("CHAPPE_HTTP_SERVER_KEEP_ALIVE", "3s")]].concat());
    withstands("half-open", &server, |crowd| crowd.half_open(size(5_000, 300)));
}

#[test]
fn crowds_that_drip_byte_by_byte_on_every_door_cost_nobody_anything() {
    let server = server(&[&IMPATIENT[..], &[("CHAPPE_HTTP_SERVER_KEEP_ALIVE", "3s")]].concat());
    withstands("slow-loris", &server, |crowd| crowd.drip(size(1_000, 120)));
}

#[test]
fn datagrams_from_many_addresses_cost_nobody_anything() {
    let open = server(&[]);
    withstands("datagrams", &open, |crowd| crowd.datagrams(size(2_000_000, 60_000)));
    let all = open.metric("chappe_udp_packets_total");
    assert!(all > 0.0, "the flood arrives");
}

#[test]
fn what_expands_to_much_costs_nobody_anything() {
    let server = server(&[]);
    withstands("compression bombs", &server, |crowd| crowd.bombs(size(20_000, 400)));
}

#[test]
fn json_of_depth_100_000_costs_nobody_anything() {
    let small = server(&[]);
    withstands("deep JSON", &small, |crowd| crowd.deep_json(size(2_000, 100), "too_large"));
    let large = server(&[("CHAPPE_LIMITS_FRAME_BYTES", "1 MiB"), ("CHAPPE_LIMITS_OUTBOX_BYTES", "4 MiB")]);
    withstands("deep JSON that is not too large", &large, |crowd| crowd.deep_json(size(2_000, 100), "too_deep"));
}

#[test]
fn heads_of_requests_without_end_cost_nobody_anything() {
    let server = server(&[]);
    withstands("header floods", &server, |crowd| crowd.headers(size(5_000, 150)));
}
