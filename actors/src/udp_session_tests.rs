//! Tests of the sessions of UDP: a datagram is believed once, whatever the network does to it.

use chappe_proto::sealed::OVERHEAD;

use super::*;
use crate::principal::{Standing, TokenId};

const NOW: Millis = Millis(1_763_000_000_000);
const LATER: Millis = Millis(1_763_003_600_000);

fn user(id: u64) -> UserId {
    UserId::parse(id).unwrap()
}

fn principal(id: u64) -> Principal {
    let (standing, token) = (Standing::User, TokenId([9; 16]));
    Principal { user: user(id), nickname: None, standing, token, issued_at: NOW, expires_at: LATER }
}

struct World {
    keys: UdpKeys,
    sessions: UdpSessions,
}

impl World {
    fn new() -> Self {
        let keys = UdpKeys::new(&[7; 32]);
        Self { sessions: UdpSessions::new(keys.clone()), keys }
    }

    fn client(&self, id: u64) -> Seal {
        Seal::from_told(&self.keys.session(&principal(id), NOW).unwrap()).unwrap()
    }

    fn send(&mut self, client: &Seal, counter: u64) -> Result<u64, Unbelieved> {
        self.send_at(client, counter, NOW)
    }

    fn send_at(&mut self, client: &Seal, counter: u64, now: Millis) -> Result<u64, Unbelieved> {
        let mut bytes = Vec::new();
        assert!(client.seal(Side::Client, counter, b"hello", &mut bytes));
        let believed = self.sessions.open(&mut bytes, now, |_| false)?;
        assert_eq!(believed.datagram, b"hello");
        Ok(believed.user.get())
    }
}

#[test]
fn a_datagram_is_believed_once() {
    let mut world = World::new();
    let ann = world.client(1);
    assert_eq!(world.send(&ann, 9), Ok(1));
    assert_eq!(world.send(&ann, 9), Err(Unbelieved::Replayed));
    assert_eq!(world.send(&ann, 10), Ok(1));
    for counter in [9, 10] {
        assert_eq!(world.send(&ann, counter), Err(Unbelieved::Replayed));
    }
    let bob = world.client(2);
    assert_eq!(world.send(&bob, 9), Ok(2), "another session counts for itself");
}

#[test]
fn what_overtook_on_the_way_is_believed_within_64_counters() {
    let mut world = World::new();
    let ann = world.client(1);
    world.send(&ann, 1000).unwrap();
    for counter in (937..1000).rev() {
        assert_eq!(world.send(&ann, counter), Ok(1), "{counter}");
        assert_eq!(world.send(&ann, counter), Err(Unbelieved::Replayed), "{counter}");
    }
    for counter in [0, 1, 935, 936] {
        assert_eq!(world.send(&ann, counter), Err(Unbelieved::Replayed), "{counter} is too old");
    }
    // A leap, beyond all that was seen.
    assert_eq!(world.send(&ann, 5000), Ok(1));
    assert_eq!(world.send(&ann, 4937), Ok(1));
    assert_eq!(world.send(&ann, 4936), Err(Unbelieved::Replayed));
    assert_eq!(world.send(&ann, u64::MAX), Ok(1));
    assert_eq!(world.send(&ann, 5001), Err(Unbelieved::Replayed));
    assert_eq!(world.send(&ann, u64::MAX - 1), Ok(1));
}

#[test]
fn the_window_agrees_with_a_set_of_all_counters() {
    let (mut world, mut seen, mut highest) = (World::new(), std::collections::HashSet::new(), 0);
    let ann = world.client(1);
    // Any order that leaps and comes back; the same at every run.
    let mut chance = 1u64;
    for _ in 0..5000 {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let counter = (highest + chance % 100).saturating_sub(chance >> 33 & 0x7f);
        let new = seen.is_empty() || counter + 64 > highest && !seen.contains(&counter);
        assert_eq!(world.send(&ann, counter).is_ok(), new, "{counter} after {highest}");
        if new {
            seen.insert(counter);
            highest = highest.max(counter);
        }
    }
    assert!(seen.len() > 1000, "the test saw both");
}

#[test]
fn nothing_is_remembered_of_what_is_forged() {
    let mut world = World::new();
    let ann = world.client(1);
    let mut bytes = Vec::new();
    ann.seal(Side::Client, 7, b"hello", &mut bytes);
    *bytes.last_mut().unwrap() ^= 1;
    assert_eq!(world.sessions.open(&mut bytes, NOW, |_| false).unwrap_err(), Unbelieved::Forged);
    assert!(world.sessions.users.is_empty() && world.sessions.remembered == 0);
    // A forged one with a high counter does not shut the honest ones out.
    world.send(&ann, 1).unwrap();
    ann.seal(Side::Client, 1 << 40, b"hello", &mut bytes);
    bytes[40] ^= 1;
    assert_eq!(world.sessions.open(&mut bytes, NOW, |_| false).unwrap_err(), Unbelieved::Forged);
    assert_eq!(world.send(&ann, 2), Ok(1));
    let other = UdpKeys::new(&[8; 32]).session(&principal(1), NOW).unwrap();
    assert_eq!(world.send(&Seal::from_told(&other).unwrap(), 1), Err(Unbelieved::Forged), "of another start");
    for plain in [&b"{\"packet_type\":\"Ping\"}"[..], b"", &[0; 48], &[4; 48]] {
        assert_eq!(world.sessions.open(&mut plain.to_vec(), NOW, |_| false).unwrap_err(), Unbelieved::Unsealed);
    }
}

#[test]
fn the_servers_answer_is_no_larger_and_is_not_taken_for_a_question() {
    let mut world = World::new();
    let ann = world.client(1);
    let (mut bytes, mut answer) = (Vec::new(), Vec::new());
    ann.seal(Side::Client, 3, b"ping", &mut bytes);
    let believed = world.sessions.open(&mut bytes, NOW, |_| false).unwrap();
    assert!(believed.answer(b"pong", &mut answer));
    assert_eq!(answer.len(), b"pong".len() + OVERHEAD);
    let mut reflected = answer.clone();
    assert_eq!(world.sessions.open(&mut reflected, NOW, |_| false).unwrap_err(), Unbelieved::Forged);
    assert_eq!(ann.open(Side::Server, &mut answer), Some((3, &mut b"pong".to_vec()[..])));
}

#[test]
fn a_session_runs_out_and_can_be_ended() {
    let mut world = World::new();
    let ann = world.client(1);
    assert_eq!(world.send_at(&ann, 1, Millis(LATER.0 - 1)), Ok(1));
    assert_eq!(world.send_at(&ann, 2, LATER), Err(Unbelieved::Expired));
    assert!(world.sessions.users.is_empty() && world.sessions.remembered == 0);
    let mut bytes = Vec::new();
    ann.seal(Side::Client, 9, b"hello", &mut bytes);
    let given = Given { user: user(1), token: [9; 4], time: NOW };
    let over = world.sessions.open(&mut bytes.clone(), NOW, |session| session == given).unwrap_err();
    assert_eq!(over, Unbelieved::Expired);
    assert!(world.sessions.open(&mut bytes, NOW, |session| session != given).is_ok());
}

#[test]
fn who_was_forgotten_is_not_believed_again_and_newer_sessions_are() {
    let mut world = World::new();
    world.sessions.room = 3;
    let clients: Vec<_> = (1..=4).map(|id| world.client(id)).collect();
    for client in &clients[..3] {
        world.send(client, 5).unwrap();
    }
    // The first was heard last: the second is forgotten for the fourth.
    world.send(&clients[0], 6).unwrap();
    assert_eq!(world.send(&clients[3], 1), Ok(4));
    assert_eq!(world.send(&clients[1], 5), Err(Unbelieved::Replayed), "it was seen, and nobody knows any more");
    assert_eq!(world.send(&clients[1], 6), Err(Unbelieved::Replayed), "so it needs a new session");
    for (client, id) in [(&clients[0], 1), (&clients[2], 3), (&clients[3], 4)] {
        assert_eq!(world.send(client, 7), Ok(id), "who is remembered goes on");
    }
    let again = world.client(2);
    assert_eq!(world.send(&again, 1), Ok(2));
    assert_eq!((world.sessions.users.len(), world.sessions.remembered), (3, 3));
}

#[test]
fn every_session_has_a_number_of_its_own_also_when_the_clock_goes_back() {
    let keys = UdpKeys::new(&[7; 32]);
    let mut last = 0;
    for now in [NOW, NOW, Millis(NOW.0 + 1), Millis(5), NOW] {
        let seal = Seal::from_told(&keys.session(&principal(1), now).unwrap()).unwrap();
        assert!(seal.session().number() > last);
        last = seal.session().number();
    }
}

#[test]
fn a_user_pushes_out_nobodys_sessions_but_their_own() {
    let mut world = World::new();
    world.sessions.room = 200;
    let (ann, bob) = (world.client(1), world.client(2));
    world.send(&ann, 5).unwrap();
    let eves: Vec<_> = (0..1000).map(|_| world.client(3)).collect();
    for eve in &eves {
        assert_eq!(world.send(eve, 1), Ok(3));
    }
    assert_eq!(world.sessions.remembered, 1 + OF_A_USER);
    assert_eq!(world.send(&ann, 6), Ok(1), "who was remembered goes on");
    assert_eq!(world.send(&ann, 5), Err(Unbelieved::Replayed));
    assert_eq!(world.send(&bob, 1), Ok(2), "a session that was given before, and not used yet");
    for (nth, eve) in eves.iter().enumerate() {
        let is_remembered = nth >= eves.len() - OF_A_USER;
        assert_eq!(world.send(eve, 1), Err(Unbelieved::Replayed), "{nth}");
        assert_eq!(world.send(eve, 2).is_ok(), is_remembered, "{nth}");
    }
}

#[test]
fn of_a_users_sessions_the_one_that_was_silent_longest_is_forgotten() {
    let mut world = World::new();
    let anns: Vec<_> = (0..=OF_A_USER).map(|_| world.client(1)).collect();
    anns[..OF_A_USER].iter().for_each(|ann| assert_eq!(world.send(ann, 1), Ok(1)));
    assert_eq!(world.send(&anns[0], 2), Ok(1));
    assert_eq!(world.send(&anns[OF_A_USER], 1), Ok(1));
    assert_eq!(world.send(&anns[1], 2), Err(Unbelieved::Replayed));
    assert_eq!(world.send(&anns[0], 3), Ok(1));
}

#[test]
fn what_was_forgotten_of_a_user_is_no_matter_once_it_has_run_out() {
    let mut world = World::new();
    for _ in 0..=OF_A_USER {
        let ann = world.client(1);
        world.send(&ann, 1).unwrap();
    }
    world.sessions.make_room(Millis(LATER.0 - 1));
    assert_eq!((world.sessions.users.len(), world.sessions.remembered), (1, OF_A_USER));
    world.sessions.make_room(Millis(LATER.0 + SWEEP_MS));
    assert_eq!((world.sessions.users.len(), world.sessions.remembered), (0, 0));
    assert_eq!(world.sessions.forgotten, 0, "nobody else's is the older for it");
}
