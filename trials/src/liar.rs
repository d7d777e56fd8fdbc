//! What stands between clients and server: passes on, or breaks one promise now and then, so that a server that did so would
//! be seen.

use std::collections::BTreeMap;
use std::net::TcpListener;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::crowd::Scene;
use crate::dice::Dice;

/// How often it lies: once in so many occasions.
const SELDOM: u64 = 10;

/// A promise that is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lie {
    /// A message is acknowledged and not kept.
    AckUnkept,
    /// An edit is acknowledged and not done.
    EditLost,
    /// A message is stored twice.
    StoredTwice,
    /// An ack tells of another message.
    AckOfAnother,
    /// An event does not come.
    EventLost,
    /// An event comes twice.
    EventTwice,
    /// Two events come in each other's place.
    EventsSwapped,
    /// Two events come under each other's numbers.
    NumbersSwapped,
    /// Reads show what was there a while ago.
    OldReads,
}

impl Lie {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::AckUnkept,
        Self::EditLost,
        Self::StoredTwice,
        Self::AckOfAnother,
        Self::EventLost,
        Self::EventTwice,
        Self::EventsSwapped,
        Self::NumbersSwapped,
        Self::OldReads,
    ];
}

fn listen(listener: TcpListener) -> Option<tokio::net::TcpListener> {
    listener.set_nonblocking(true).ok()?;
    tokio::net::TcpListener::from_std(listener).ok()
}

/// A connection to the server, if there is one.
async fn to_server(scene: &watch::Receiver<Scene>) -> Option<TcpStream> {
    let tcp = scene.borrow().tcp.clone()?;
    let stream = TcpStream::connect(tcp).await.ok()?;
    stream.set_nodelay(true).ok()?;
    // Who asks a port without a server may be given that very port, and talk to itself.
    (stream.local_addr().ok()? != stream.peer_addr().ok()?).then_some(stream)
}

/// Passes connections on to the server, wherever it is at that time. Never ends.
pub async fn pass_on(listener: TcpListener, scene: watch::Receiver<Scene>) {
    let Some(listener) = listen(listener) else { return };
    loop {
        let Ok((mut client, _)) = listener.accept().await else { continue };
        let scene = scene.clone();
        tokio::spawn(async move {
            let _ = client.set_nodelay(true);
            if let Some(mut server) = to_server(&scene).await {
                // However it ends, the client sees it.
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        });
    }
}

/// Passes lines of JSON on, and lies. Never ends.
pub async fn lie(listener: TcpListener, scene: watch::Receiver<Scene>, lie: Lie, mut dice: Dice) {
    let Some(listener) = listen(listener) else { return };
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let (scene, dice) = (scene.clone(), dice.fork());
        tokio::spawn(async move {
            if let Some(server) = to_server(&scene).await {
                let _ = client.set_nodelay(true);
                between(client, server, Liar::new(lie, dice)).await;
            }
        });
    }
}

async fn between(mut client: TcpStream, mut server: TcpStream, mut liar: Liar) {
    let (from_client, mut to_client) = client.split();
    let (from_server, mut to_server) = server.split();
    let (mut asked, mut said) = (BufReader::new(from_client).lines(), BufReader::new(from_server).lines());
    loop {
        let (up, down) = tokio::select! {
            line = asked.next_line() => match line {
                Ok(Some(line)) => liar.asked(&line),
                _ => return,
            },
            line = said.next_line() => match line {
                Ok(Some(line)) => (Vec::new(), liar.said(line)),
                _ => return,
            },
        };
        for (lines, to) in [(up, &mut to_server), (down, &mut to_client)] {
            let bytes: String = lines.into_iter().map(|line| line + "\n").collect();
            if !bytes.is_empty() && to.write_all(bytes.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// What the liar knows of one connection.
#[derive(Debug)]
struct Liar {
    lie: Lie,
    dice: Dice,
    /// The newest number of each chat that came by.
    newest: BTreeMap<u64, u64>,
    /// The newest message that was acknowledged.
    message: u64,
    /// An event that waits for another one to be told first.
    kept_back: Option<Value>,
    /// The first answer to each kind of read, by chat.
    first: BTreeMap<u64, Value>,
}

impl Liar {
    fn new(lie: Lie, dice: Dice) -> Self {
        Self { lie, dice, newest: BTreeMap::new(), message: 0, kept_back: None, first: BTreeMap::new() }
    }

    fn is_due(&mut self) -> bool {
        self.dice.once_in(SELDOM)
    }

    /// A line from the client: what the server is told, and what the client.
    fn asked(&mut self, line: &str) -> (Vec<String>, Vec<String>) {
        let packet: Value = serde_json::from_str(line).unwrap_or_default();
        let kind = packet["packet_type"].as_str().unwrap_or_default();
        let honest = (vec![line.to_owned()], Vec::new());
        match (self.lie, kind) {
            (Lie::AckUnkept, "SendMessage") if self.is_due() => {
                let message = &packet["message"];
                let chat = message["chat_id"].as_u64().unwrap_or_default();
                let seq = self.newest.get(&chat).copied().unwrap_or_default() + 1;
                let ack = json!({"packet_type": "Ack", "success": true, "error": null, "message_id": self.message + 1,
                    "chat_id": chat, "seq": seq, "client_id": message["client_id"], "request_id": packet["request_id"]});
                (Vec::new(), vec![ack.to_string()])
            }
            (Lie::EditLost, "EditMessage") if self.is_due() => {
                let (chat, seq) = self.newest.iter().next().map_or((1, 1), |(chat, seq)| (*chat, seq + 1));
                let ack = json!({"packet_type": "Ack", "success": true, "error": null, "chat_id": chat, "seq": seq,
                    "message_id": packet["message_id"], "request_id": packet["request_id"]});
                (Vec::new(), vec![ack.to_string()])
            }
            (Lie::StoredTwice, "SendMessage") if self.is_due() => {
                let mut again = packet.clone();
                again["message"]["client_id"] = Value::Null;
                again["request_id"] = json!(0);
                (vec![line.to_owned(), again.to_string()], Vec::new())
            }
            _ => honest,
        }
    }

    /// A line from the server: what the client is told.
    fn said(&mut self, line: String) -> Vec<String> {
        let mut packet: Value = serde_json::from_str(&line).unwrap_or_default();
        let (chat, seq) = (packet["chat_id"].as_u64(), packet["seq"].as_u64());
        if let (Some(chat), Some(seq)) = (chat, seq) {
            let newest = self.newest.entry(chat).or_default();
            *newest = seq.max(*newest);
        }
        let kind = packet["packet_type"].as_str().unwrap_or_default().to_owned();
        let is_event = seq.is_some() && !matches!(kind.as_str(), "Ack" | "Read");
        if kind == "Ack" {
            if packet["request_id"] == 0 {
                // Nobody asked for it.
                return Vec::new();
            }
            let message = packet["message_id"].as_u64().unwrap_or_default();
            self.message = message.max(self.message);
        }
        let lie = self.lie;
        match lie {
            Lie::AckOfAnother if kind == "Ack" && packet["client_id"].is_string() && self.is_due() => {
                packet["seq"] = json!(seq.unwrap_or_default().saturating_sub(1));
                vec![packet.to_string()]
            }
            Lie::EventLost if is_event && self.is_due() => Vec::new(),
            Lie::EventTwice if is_event && self.is_due() => vec![line.clone(), line],
            Lie::EventsSwapped | Lie::NumbersSwapped if is_event => match self.kept_back.take() {
                Some(mut first) if first["chat_id"] == packet["chat_id"] => {
                    if lie == Lie::NumbersSwapped {
                        swap_numbers(&mut first, &mut packet);
                    }
                    vec![packet.to_string(), first.to_string()]
                }
                Some(first) => vec![first.to_string(), line],
                None if self.is_due() => {
                    self.kept_back = Some(packet);
                    Vec::new()
                }
                None => vec![line],
            },
            Lie::OldReads if kind == "Events" => {
                let first = self.first.entry(chat.unwrap_or_default()).or_insert_with(|| packet.clone()).clone();
                // A connection asks seldom enough.
                if self.dice.once_in(3) {
                    return vec![line];
                }
                packet["head"] = first["head"].clone();
                vec![packet.to_string()]
            }
            _ => vec![line],
        }
    }
}

fn swap_numbers(one: &mut Value, other: &mut Value) {
    let (first, second) = (one["seq"].clone(), other["seq"].clone());
    for (packet, seq) in [(one, second), (other, first)] {
        if packet["message"].is_object() {
            packet["message"]["seq"] = seq.clone();
        }
        packet["seq"] = seq;
    }
}
