//! Recovery as a model: clients over a bad network, a server that is killed, people who come and go. In the end every
//! client has the same events as the log, in the same order, none twice; and what was acknowledged is there, once.
//!
//! `CHAPPE_ROUNDS=20 cargo test --test server convergence -- --nocapture` runs more of it; each round prints its seed, and
//! `CHAPPE_SEED=…` runs one again.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use chappe_client::{Client, Options, SendError, Start, Update, Updates};
use chappe_proto::event::Event;
use chappe_proto::message::Message;
use chappe_proto::packet::Ack;
use chappe_proto::{ChatId, MessageId, Seq, UserId};
use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::{mpsc, watch};

use crate::acks::{all_events, group_chat};
use crate::support::client::{Client as RawClient, Door, Next, named_message};
use crate::support::dice::Dice;
use crate::support::http::Http;
use crate::support::proxy::{self, Weather};
use crate::support::server::TestServer;
use crate::support::{PATIENCE, until};

/// Users of the library's clients; user 1 has two of them, and owns the chats.
const USERS: [u64; 8] = [1, 1, 2, 3, 4, 5, 6, 7];
/// User of the client that has nothing but a socket.
const RAW_USER: u64 = 8;
const CHATS: usize = 4;
const KILLS: u64 = 3;

/// What the crowd does.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Act {
    /// All sorts of things.
    Talk,
    /// Nothing new; what is under way is answered.
    Rest,
    /// Reads until it has come so far in each chat, and ends.
    ReadTo(BTreeMap<ChatId, Seq>),
}

/// What a client brings home.
#[derive(Debug, Default)]
struct Record {
    name: String,
    events: BTreeMap<ChatId, Vec<Arc<Event>>>,
    acks: Vec<Ack>,
    recoveries: u64,
    refused: u64,
}

#[test]
fn every_client_ends_with_the_log_whatever_happens_on_the_way() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = number("CHAPPE_ROUNDS").unwrap_or(1);
    for _ in 0..rounds {
        let seed = number("CHAPPE_SEED").unwrap_or_else(chappe_client::random);
        println!("CHAPPE_SEED={seed}");
        let told = std::panic::catch_unwind(|| round(seed));
        if let Err(panic) = told {
            eprintln!("the round that failed: CHAPPE_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

fn round(seed: u64) {
    let mut dice = Dice::new(seed);
    // So small that outboxes overflow, and that pages come from the disk as well.
    let limits = [
        ("CHAPPE_LIMITS_FRAME_BYTES", "8192"),
        ("CHAPPE_LIMITS_CONTENT_BYTES", "1024"),
        ("CHAPPE_LIMITS_OUTBOX_BYTES", "16384"),
        ("CHAPPE_CACHE_MESSAGES_PER_CHAT", "40"),
    ];
    let mut server = TestServer::with(&limits);
    let mut members: Vec<u64> = USERS[1..].to_vec();
    members.push(RAW_USER);
    let chats: Vec<u64> = (0..CHATS).map(|_| group_chat(&server, &members)).collect();

    let (listener, address) = proxy::listen();
    let weather = Arc::new(Weather::default());
    let (act, acts) = watch::channel(Act::Talk);
    let (rest, mut rests) = mpsc::unbounded_channel();
    let (tcp, proxy_dice, crowd_dice) = (server.tcp, dice.fork(), dice.fork());
    let (crowd_weather, crowd_chats) = (Arc::clone(&weather), chats.clone());
    let raw = {
        let (acts, dice, chat) = (acts.clone(), dice.fork(), chats[0]);
        std::thread::spawn(move || raw_sender(address, chat, dice, &acts))
    };
    let crowd = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            tokio::spawn(proxy::serve(listener, tcp, proxy_dice, crowd_weather));
            crowd(address, &crowd_chats, crowd_dice, acts, rest).await
        })
    });

    disturb(&mut server, &chats, &mut dice);

    weather.calm.store(true, Ordering::Relaxed);
    act.send_replace(Act::Rest);
    let (mut rested, mut left) = (0, usize::MAX);
    until("every client's requests to be answered", || {
        rested += std::iter::from_fn(|| rests.try_recv().ok()).count();
        left = left.min(USERS.len().saturating_sub(rested));
        (rested >= USERS.len()).then_some(())
    });
    let mut raw_acks = raw.join().unwrap();
    // What happens last happens while nobody is there, and nothing after it gives it away.
    weather.down.send_replace(true);
    until("the last connection to end", || (server.metric("chappe_connections{door=\"tcp\"}") == 0.0).then_some(()));
    let mut http = Http::to(&server);
    let mut heads = BTreeMap::new();
    for chat in &chats {
        // Everybody is let in again, so that all have to have the same.
        for user in members.iter().filter(|user| **user != 1) {
            http.post(&format!("/api/chats/{chat}/members"), &json!({"user_id": user, "by": 1}));
        }
        let head =
            http.get(&format!("/api/chats/{chat}/events?after=0&limit=1&user_id=1")).expect(200)["head"].as_u64();
        heads.insert(ChatId::parse(*chat).unwrap(), Seq(head.unwrap()));
    }
    act.send_replace(Act::ReadTo(heads));
    weather.down.send_replace(false);
    let records = crowd.join().unwrap();

    let mut acks: Vec<Ack> = records.iter().flat_map(|record| record.acks.clone()).collect();
    acks.append(&mut raw_acks);
    for chat in &chats {
        let log: Vec<Event> =
            all_events(&server, *chat, 1).into_iter().map(|event| serde_json::from_value(event).unwrap()).collect();
        compare(ChatId::parse(*chat).unwrap(), &log, &records, &acks);
    }
    let sum = |count: fn(&Record) -> u64| records.iter().map(count).sum::<u64>();
    println!(
        "{} acks, {} events each, {} cuts, {} recoveries, {} refusals for good",
        acks.len(),
        records[0].events.values().map(Vec::len).sum::<usize>(),
        weather.cuts.load(Ordering::Relaxed),
        sum(|record| record.recoveries),
        sum(|record| record.refused),
    );
    assert!(acks.len() > 100 && weather.cuts.load(Ordering::Relaxed) > 10, "the round was too quiet to show anything");
}

/// Kills the server again and again, and lets people go and come between.
fn disturb(server: &mut TestServer, chats: &[u64], dice: &mut Dice) {
    for _ in 0..KILLS {
        let mut http = Http::to(server);
        for _ in 0..8 {
            let (chat, user) = (dice.pick(chats).unwrap(), dice.pick(&USERS[2..]).unwrap());
            let there = format!("/api/chats/{chat}/members");
            // In whatever order they come: who is there already, or is not, is refused.
            match dice.once_in(2) {
                true => drop(http.call("DELETE", &format!("{there}/{user}?user_id=1"), &[], None)),
                false => drop(http.post(&there, &json!({"user_id": user, "by": 1}))),
            }
            // How long is part of the throw, as is all that happens meanwhile.
            std::thread::sleep(Duration::from_millis(dice.below(250)));
        }
        server.kill();
        std::thread::sleep(Duration::from_millis(dice.below(200)));
        server.restart_on_its_ports();
    }
}

/// Holds the log against what everybody saw and was promised.
fn compare(chat: ChatId, log: &[Event], records: &[Record], acks: &[Ack]) {
    assert!(log.iter().zip(1..).all(|(event, seq)| event.seq() == Seq(seq)), "the log of chat {chat} has a hole");
    for record in records {
        let seen = record.events.get(&chat).map(Vec::as_slice).unwrap_or_default();
        for (event, logged) in seen.iter().zip(log) {
            assert_eq!(what(event), what(logged), "{} in chat {chat}", record.name);
        }
        assert_eq!(seen.len(), log.len(), "{} in chat {chat}", record.name);
        // What was heard live stands for itself, what was replayed shows what became of it: both lead to the same.
        let seen = seen.iter().map(AsRef::as_ref);
        assert_eq!(state(seen), state(log.iter()), "{} in chat {chat}", record.name);
    }
    let names: Vec<_> = log.iter().filter_map(|event| event.message()?.client_id.clone()).collect();
    let unique: HashSet<_> = names.iter().collect();
    assert_eq!(unique.len(), names.len(), "a client_id stands twice in chat {chat}");
    for ack in acks.iter().filter(|ack| ack.chat_id == Some(chat) && ack.client_id.is_some()) {
        let at = usize::try_from(ack.seq.unwrap_or_default().0).unwrap();
        let message = log.get(at.wrapping_sub(1)).and_then(Event::message);
        let is_there =
            |message: &Arc<Message>| message.client_id == ack.client_id && message.id.get() == ack.message_id;
        assert!(message.is_some_and(is_there), "{ack:?} is not kept");
    }
}

/// An event without what may have become of it.
fn what(event: &Event) -> (u64, &'static str, String) {
    let (kind, of) = match event {
        Event::Message(event) => ("posted", format!("{} {} {:?}", event.id, event.sender_id, event.client_id)),
        Event::MessageEdited(event) => ("edited", format!("{} {}", event.message_id, event.user_id)),
        Event::MessageDeleted(event) => ("deleted", format!("{} {}", event.message_id, event.user_id)),
        Event::Reaction(event) => ("reacted", format!("{event:?}")),
        Event::ChatCreated(event) => ("created", format!("{event:?}")),
        Event::ChatUpdated(event) => ("updated", format!("{event:?}")),
        Event::MemberJoined(event) => ("joined", format!("{event:?}")),
        Event::MemberLeft(event) => ("left", format!("{event:?}")),
    };
    (event.seq().0, kind, of)
}

/// What a reader of these events makes of the chat.
#[derive(Debug, Default, PartialEq, Eq)]
struct State {
    messages: BTreeMap<MessageId, String>,
    reactions: BTreeSet<(MessageId, UserId, String)>,
    members: BTreeSet<UserId>,
}

fn state<'a>(events: impl Iterator<Item = &'a Event>) -> State {
    let mut state = State::default();
    for event in events {
        match event {
            Event::Message(posted) => drop(state.messages.insert(posted.id, posted.content.to_string())),
            Event::MessageEdited(edited) => drop(state.messages.insert(edited.message_id, edited.content.to_string())),
            Event::MessageDeleted(deleted) => drop(state.messages.insert(deleted.message_id, String::new())),
            Event::Reaction(put) => {
                let reaction = (put.message_id, put.user_id, put.emoji.to_string());
                if put.removed {
                    state.reactions.remove(&reaction)
                } else {
                    state.reactions.insert(reaction)
                };
            }
            Event::ChatCreated(created) => state.members.extend(&created.members),
            Event::ChatUpdated(_) => {}
            Event::MemberJoined(joined) => drop(state.members.insert(joined.user_id)),
            Event::MemberLeft(left) => drop(state.members.remove(&left.user_id)),
        }
    }
    state
}

/// All clients of the library, to their end.
async fn crowd(
    address: SocketAddr,
    chats: &[u64],
    mut dice: Dice,
    acts: watch::Receiver<Act>,
    rest: mpsc::UnboundedSender<()>,
) -> Vec<Record> {
    let chats: Vec<ChatId> = chats.iter().map(|chat| ChatId::parse(*chat).unwrap()).collect();
    let clients = USERS.iter().enumerate().map(|(nth, user)| {
        let options = Options::new(&address.to_string()).unwrap().user(UserId::parse(*user).unwrap());
        let options = options.start(Start::Beginning).outbox(64).updates(8);
        let options = options.backoff(Duration::from_millis(20), Duration::from_millis(300));
        let (client, updates) = options.start_client().unwrap();
        let (mine, yours) = (dice.fork(), dice.fork());
        let (acts, rest, chats) = (acts.clone(), rest.clone(), chats.clone());
        async move {
            let name = format!("client {nth} (user {user})");
            let hearing = tokio::spawn(hear(name, updates, mine, acts.clone()));
            let (acks, refused) = talk(&client, &chats, yours, acts).await;
            let _ = rest.send(());
            let record = hearing.await.unwrap();
            Record { acks, refused, ..record }
        }
    });
    join_all(clients.collect::<Vec<_>>()).await
}

/// Says and does things until told to rest; what was acknowledged, and how much was refused for good.
async fn talk(client: &Client, chats: &[ChatId], mut dice: Dice, mut acts: watch::Receiver<Act>) -> (Vec<Ack>, u64) {
    let mut posted: Vec<MessageId> = Vec::new();
    let (mut acks, mut refused) = (Vec::new(), 0);
    while *acts.borrow_and_update() == Act::Talk {
        let Some(chat) = dice.pick(chats) else { break };
        let text = "x".repeat(usize::try_from(dice.below(400)).unwrap() + 1);
        let old = dice.pick(&posted).filter(|_| dice.once_in(2));
        let outcome = match (dice.below(5), old) {
            (0, Some(message)) => client.edit(message, &text).await,
            (1, Some(message)) => client.delete(message).await,
            (2, Some(message)) => client.react(message, "\u{1f44d}", dice.once_in(3)).await,
            (3, _) if dice.once_in(3) => client.mark_read(chat, Seq(dice.below(20))).await,
            _ => {
                // Some together, so that more than one is under way when the connection is cut.
                let burst = (0..1 + dice.below(6)).map(|_| client.send(chat, &text));
                let mut outcomes = join_all(burst.collect::<Vec<_>>()).await;
                let last = outcomes.pop().unwrap_or(Err(SendError::Closed));
                for ack in outcomes.into_iter().flatten() {
                    posted.extend(MessageId::parse(ack.message_id));
                    acks.push(ack);
                }
                last
            }
        };
        match outcome {
            Ok(ack) => {
                posted.extend(MessageId::parse(ack.message_id));
                acks.push(ack);
            }
            // Who is no member, or comes too late for a deleted message.
            Err(SendError::Refused(_)) => refused += 1,
            Err(other) => panic!("{other}"),
        }
    }
    (acks, refused)
}

/// Reads until told how far; slowly, now and then.
async fn hear(name: String, mut updates: Updates, mut dice: Dice, mut acts: watch::Receiver<Act>) -> Record {
    let mut record = Record { name, ..Record::default() };
    let is_done = |act: &Act, record: &Record| {
        let Act::ReadTo(heads) = act else { return false };
        heads.iter().all(|(chat, head)| record.events.get(chat).is_some_and(|all| Seq(all.len() as u64) >= *head))
    };
    loop {
        let act = acts.borrow_and_update().clone();
        if is_done(&act, &record) {
            return record;
        }
        if act == Act::Talk && dice.once_in(150) {
            // A reader that is slow for a while: this is what it is about, not a wait for something.
            tokio::time::sleep(Duration::from_millis(dice.below(300))).await;
        }
        let update = tokio::select! {
            update = tokio::time::timeout(PATIENCE, updates.next()) => update,
            changed = acts.changed() => {
                changed.expect("the test goes on");
                continue;
            }
        };
        let reached = || record.events.iter().map(|(chat, all)| (chat.get(), all.len())).collect::<Vec<_>>();
        match update {
            Err(_) => panic!("{} waits for {act:?} and has {:?}", record.name, reached()),
            Ok(None) => panic!("{} has ended", record.name),
            Ok(Some(Update::Event(event))) => {
                let all = record.events.entry(event.chat_id()).or_default();
                assert_eq!(event.seq(), Seq(all.len() as u64 + 1), "{} in chat {}", record.name, event.chat_id());
                all.push(event);
            }
            Ok(Some(Update::CaughtUp)) => record.recoveries += 1,
            Ok(Some(wrong @ (Update::Afresh { .. } | Update::Skipped { .. }))) => panic!("{wrong:?}"),
            Ok(Some(Update::Disconnected { reason, retry_in: None })) => panic!("{} gave up: {reason}", record.name),
            Ok(Some(_)) => {}
        }
    }
}

/// A client without the library: sends under names, and again what was not answered.
fn raw_sender(address: SocketAddr, chat: u64, mut dice: Dice, acts: &watch::Receiver<Act>) -> Vec<Ack> {
    let (mut acks, mut next) = (Vec::new(), 0);
    let mut open: BTreeSet<u64> = BTreeSet::new();
    loop {
        let door = if dice.once_in(2) { Door::TcpJson } else { Door::TcpBinary };
        let mut client = RawClient::connect_to(address, door);
        client.try_send(&json!({"packet_type": "Hello", "version": 1, "user_id": RAW_USER}));
        let again = open.clone();
        let send = |client: &mut RawClient, nth: u64| {
            client.try_send(&named_message(chat, &format!("raw {nth}"), &format!("raw-{nth}")))
        };
        if !again.into_iter().all(|nth| send(&mut client, nth)) {
            continue;
        }
        loop {
            let rests = *acts.borrow() != Act::Talk;
            if rests && open.is_empty() {
                return acks;
            }
            if !rests && open.len() < 4 {
                open.insert(next);
                next += 1;
                if !send(&mut client, next - 1) {
                    break;
                }
            }
            match client.next_within(PATIENCE) {
                Next::Packet(packet) if packet["packet_type"] == "Ack" && packet["success"] == true => {
                    let ack: Ack = serde_json::from_value(packet).unwrap();
                    let nth = ack.client_id.as_ref().and_then(|name| name.as_str().strip_prefix("raw-")?.parse().ok());
                    open.remove(&nth.unwrap());
                    acks.push(ack);
                }
                Next::Packet(packet) if packet["packet_type"] == "Ack" => break,
                Next::Packet(_) => {}
                Next::End(_) => break,
                Next::Silence => panic!("waited {PATIENCE:?} for an ack of {open:?}"),
            }
        }
    }
}
