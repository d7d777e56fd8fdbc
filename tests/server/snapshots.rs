//! Kills while a snapshot is written: the next start takes the one before or the new one, and never half of one.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime};

use chappe_actors::folder::Folder;
use chappe_actors::log::record::{Draft, Fact, Place};
use chappe_actors::log::{EventLog, Numbering};
use chappe_actors::snapshot::{FILE, UNFINISHED};
use chappe_proto::{Millis, UserId};
use serde_json::Value;

use crate::support::client::{Client, Door};
use crate::support::dice::Dice;
use crate::support::flood::{Written, assert_kept, flood, history};
use crate::support::server::TestServer;
use crate::support::until;

/// Kills, unless `CHAPPE_KILLS` says otherwise.
const KILLS: u64 = 6;
/// So many records behind the last snapshot make the next one due with the next message.
const DUE: u64 = 250_000;
/// Users of the first snapshot.
const USERS: u64 = 20_000;

/// Appends users to the log of a folder that no server uses.
fn append_users(data: &Path, from: u64, count: u64) {
    let folder = Folder::lock(data).unwrap();
    let mut log = folder.open_log(0).unwrap();
    folder.read_log(&mut log, Numbering::default(), |_| {}).unwrap();
    let users: Vec<_> = (from..from + count)
        .map(|user| {
            let fact =
                Fact::UserCreated { user: UserId::parse(user).unwrap(), nickname: format!("user {user}").into() };
            Draft { at: Millis(1), place: Place::Nowhere, fact }
        })
        .collect();
    for batch in users.chunks(10_000) {
        log.append(batch.to_vec()).unwrap();
        log.maintain().unwrap();
    }
}

/// Where the log stood in the snapshots that starts have taken, in their order.
fn taken(server: &TestServer) -> Vec<u64> {
    let log = server.log();
    assert!(!log.contains("leave the snapshot aside"), "{log}");
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let taken = lines.filter(|line| line["message"].as_str().is_some_and(|what| what.starts_with("took a snapshot")));
    taken.map(|line| line["position"].as_u64().expect("a position")).collect()
}

/// Lets clients write while a snapshot is begun, and kills the server so much later, or once it is whole; what they wrote,
/// and how much later it was.
fn killed(server: &mut TestServer, round: u64, after: Option<Duration>) -> (Vec<Written>, Duration) {
    let (acks, [unfinished, whole]) = (AtomicU64::new(0), [UNFINISHED, FILE].map(|file| server.data().join(file)));
    let made = || fs::metadata(&whole).unwrap().modified().unwrap();
    let before = made();
    std::thread::scope(|scope| {
        let writers = [(Door::TcpBinary, 1), (Door::WsText, 2)].map(|(door, user)| {
            let (client, acks) = (Client::hello(server, door, user), &acks);
            scope.spawn(move || flood(client, 1, &format!("round {round} {door:?}"), 8, u64::MAX, acks))
        });
        until("a snapshot to be begun", || (unfinished.exists() || made() != before).then_some(()));
        let begun = Instant::now();
        match after {
            // The moment is thrown: there is nothing to wait for.
            Some(after) => std::thread::sleep(after),
            None => until("the snapshot to be whole", || (made() != before).then_some(())),
        }
        let later = begun.elapsed();
        server.kill();
        (writers.map(|writer| writer.join().unwrap()).into(), later)
    })
}

#[test]
fn a_start_after_a_kill_takes_the_last_snapshot_or_the_new_one_and_never_half_of_one() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("it is a number"));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = number("CHAPPE_SEED").unwrap_or(now.as_nanos() as u64);
    println!("seed {seed}");
    let mut dice = Dice::new(seed);

    let mut server = TestServer::for_floods();
    let data = server.data().to_owned();
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    append_users(&data, 1000, USERS);
    server.restart();
    assert_eq!(server.stop(), Some(0), "{}", server.log());
    let (place, old) = (data.join(FILE), fs::read(data.join(FILE)).unwrap());
    append_users(&data, 1000 + USERS, DUE);
    server.restart();
    let position = *taken(&server).last().unwrap();

    // Once as it should be, to know how long it takes.
    let (mut written, long) = killed(&mut server, 0, None);
    fs::write(&place, &old).unwrap();
    server.restart();
    let (mut halves, mut wholes) = (0, 0);
    let kills = number("CHAPPE_KILLS").unwrap_or(KILLS);
    for round in 1.. {
        // At first at once, which is in time on all but the oddest days.
        let after = if halves == 0 { Duration::ZERO } else { long.mul_f64(dice.below(2000) as f64 / 1000.0) };
        written.extend(killed(&mut server, round, Some(after)).0);
        let is_new = fs::read(&place).unwrap() != old;
        if is_new {
            wholes += 1
        } else {
            halves += 1
        }
        server.restart();
        let from = *taken(&server).last().unwrap();
        assert!(if is_new { from >= position + DUE } else { from == position }, "{from} after {position}, {is_new}");
        assert_kept(&history(&server, 1, 1), &written);
        if is_new {
            server.kill();
            fs::write(&place, &old).unwrap();
            server.restart();
        }
        if round >= kills && halves > 0 {
            break;
        }
        assert!(round < 5 * kills, "no kill came in time");
    }
    println!("a snapshot took {long:?}: {halves} kills before its end, {wholes} behind it");
    server.kill();
    TestServer::verify(&data).fine();
}
