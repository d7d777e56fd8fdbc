//! A user of the client library, which reconnects and sends again by itself: it hears each event once and in order, from the
//! first, over all connections together.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use chappe_client::{Client, Options, SendError, Start, Update, Updates};
use chappe_proto::message::MessageType;
use chappe_proto::request::NewMessage;
use chappe_proto::{ChatId, ClientId, UserId};
use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::mind::Mind;
use super::talking::ack;
use super::{Act, LIBRARY, Recorder, Scene};
use crate::dice::Dice;
use crate::history::{Change, Event, Note};
use crate::trouble::Trouble;

/// How long it waits for the end of a chat.
const END_OF_CHAT: Duration = Duration::from_secs(20);

/// Plays until the scene is over.
pub(super) async fn play(
    address: SocketAddr,
    chats: &[u64],
    mut dice: Dice,
    pace: Option<Duration>,
    scene: watch::Receiver<Scene>,
    recorder: &Recorder,
    rested: &mpsc::Sender<u64>,
) -> Result<(), Trouble> {
    let unable = |what: String| Trouble::Clients(format!("that use the library cannot begin: {what}"));
    let options = Options::new(&format!("tcp://{address}")).map_err(|error| unable(error.to_string()))?;
    let user = UserId::parse(LIBRARY).map_err(|error| unable(error.to_string()))?;
    let options = options.user(user).start(Start::Beginning).updates(64);
    let options = options.backoff(Duration::from_millis(10), Duration::from_millis(100));
    let (client, updates) = options.start_client().map_err(|error| unable(error.to_string()))?;
    let mind = Mind::new(LIBRARY, chats.to_vec(), dice.fork());
    let talking = async {
        send(&client, mind, chats, dice, pace, scene.clone(), recorder).await;
        // Whoever does not wait for it has given up.
        let _ = rested.send(LIBRARY);
    };
    tokio::join!(talking, hear(updates, chats, scene.clone(), recorder));
    Ok(())
}

async fn send(
    client: &Client,
    mut mind: Mind,
    chats: &[u64],
    mut dice: Dice,
    pace: Option<Duration>,
    scene: watch::Receiver<Scene>,
    recorder: &Recorder,
) {
    while scene.borrow().act == Act::Talk && scene.has_changed().is_ok() {
        let burst = 1 + dice.below(3);
        let sends = (0..burst).filter_map(|_| {
            let chat = dice.pick(chats)?;
            Some(send_one(client, mind.post(chat), recorder))
        });
        join_all(sends.collect::<Vec<_>>()).await;
        if let Some(pace) = pace {
            sleep(pace * u32::try_from(burst).unwrap_or(1)).await;
        }
    }
}

async fn send_one(client: &Client, change: Change, recorder: &Recorder) {
    let Change::Post { chat, name, content } = &change else { return };
    let (Ok(chat_id), Ok(client_id)) = (ChatId::parse(*chat), ClientId::parse(name.as_str())) else { return };
    let content = content.as_str().into();
    // What it sends goes over any number of connections.
    let (attempt, connection) = (recorder.number(), recorder.number());
    recorder.note(LIBRARY, connection, Note::Asked { attempt, change: change.clone() });
    let (sender_id, message_type, reply_to, signature) = (None, MessageType::Text, None, None);
    let client_id = Some(client_id);
    let message = NewMessage { chat_id, sender_id, content, message_type, client_id, reply_to, signature };
    let at = Instant::now();
    let note = match client.send_message(message).await {
        Ok(packet) => {
            recorder.took(true, at.elapsed());
            Note::Acked { attempt, ack: ack(&packet) }
        }
        Err(SendError::Refused(refusal)) => Note::Refused { attempt, code: refusal.code },
        Err(other) => Note::Nonsense(format!("the library gave up: {other}")),
    };
    recorder.note(LIBRARY, connection, note);
}

async fn hear(mut updates: Updates, chats: &[u64], mut scene: watch::Receiver<Scene>, recorder: &Recorder) {
    let connection = recorder.number();
    let note = |note: Note| recorder.note(LIBRARY, connection, note);
    note(Note::Opened { heads: chats.iter().map(|chat| (*chat, 0)).collect() });
    let mut heard: BTreeMap<u64, u64> = BTreeMap::new();
    let mut deadline = None;
    loop {
        let act = scene.borrow_and_update().act.clone();
        if let Act::Finish(heads) = act {
            let end = *deadline.get_or_insert_with(|| Instant::now() + END_OF_CHAT);
            let last = |chat: u64| heard.get(&chat).copied().unwrap_or_default();
            let late: Vec<(u64, u64)> = heads.into_iter().filter(|(chat, head)| last(*chat) < *head).collect();
            if late.is_empty() {
                return;
            }
            if Instant::now() >= end {
                late.iter().for_each(|(chat, head)| {
                    note(Note::Missed { chat: *chat, last: last(*chat), head: *head });
                });
                return;
            }
        }
        let update = tokio::select! {
            update = timeout(Duration::from_millis(500), updates.next()) => update,
            changed = scene.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
        };
        match update {
            Err(_) => {}
            Ok(Some(Update::Event(event))) => {
                let event = Event::from(&*event);
                // It also follows the chat that is open to all.
                if !chats.contains(&event.chat) {
                    continue;
                }
                heard.insert(event.chat, event.seq);
                note(Note::Heard(event));
            }
            Ok(Some(wrong @ (Update::Afresh { .. } | Update::Skipped { .. } | Update::Gone { .. }))) => {
                note(Note::Nonsense(format!("the library says {wrong:?}")));
            }
            Ok(Some(Update::Disconnected { reason, retry_in: None })) => {
                return note(Note::Nonsense(format!("the library gave up: {reason}")));
            }
            Ok(None) => return note(Note::Nonsense("the library has ended".to_owned())),
            Ok(Some(_)) => {}
        }
    }
}
