//! A connection to the HTTP door: one request at a time, and nothing is heard.

use std::time::{Duration, Instant};

use chappe::client::ClientError;
use chappe::client::http::{HttpClient, Response};
use chappe_proto::Code;
use chappe_proto::event::Event as Happened;
use chappe_proto::message::Message as Shown;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;

use super::mind::Wish;
use super::person::{End, Person};
use super::{Act, Scene};
use crate::history::{Ack, Change, Event, Message, Note};
use crate::server::Doors;
use crate::wire::Door;

/// Requests of one connection, where there are other doors.
const A_CONNECTION: u32 = 40;
/// After a refusal that asks for patience.
const LATER: Duration = Duration::from_millis(20);

impl Person {
    /// Asks over one connection until it ends.
    pub(super) async fn ask(&mut self, doors: &Doors, scene: &mut watch::Receiver<Scene>) -> Result<End, ClientError> {
        let mut http = HttpClient::connect(&doors.http).await?;
        let connection = self.recorder.number();
        let has_others = self.doors.len() > 1;
        let mut asked = 0;
        loop {
            let act = scene.borrow_and_update().act.clone();
            let wish = match &act {
                Act::Talk if has_others && asked >= A_CONNECTION => return Ok(End::GoOn),
                Act::Talk => self.mind.next(Door::Http),
                _ if has_others => return Ok(End::GoOn),
                Act::Rest => match self.mind.old(Door::Http) {
                    Some(change) => Wish::Change(change),
                    None => {
                        self.rest();
                        if scene.changed().await.is_err() {
                            return Ok(End::Home);
                        }
                        continue;
                    }
                },
                Act::Finish(_) => return Ok(End::Home),
            };
            asked += 1;
            if self.once(&mut http, connection, wish).await? {
                sleep(LATER).await;
            }
            if let Some(pace) = self.pace {
                sleep(pace).await;
            }
        }
    }

    /// One request and its answer; `true` if the server asks for patience.
    async fn once(&mut self, http: &mut HttpClient, connection: u64, wish: Wish) -> Result<bool, ClientError> {
        let attempt = self.recorder.number();
        self.asks(connection, attempt, &wish);
        let at = Instant::now();
        let (method, path, body) = request(self.mind.user, &wish);
        let answer = match http.request(method, &path, body.as_ref()).await {
            Ok(answer) => answer,
            Err(error) => {
                self.in_doubt(connection, attempt, wish, true);
                return Err(error);
            }
        };
        if answer.status >= 400 {
            let told: Option<Value> = serde_json::from_slice(&answer.body).ok();
            let code: Option<Code> = told.and_then(|told| serde_json::from_value(told.get("code")?.clone()).ok());
            return match code {
                Some(code) => Ok(self.refused(connection, attempt, code, wish)),
                None => Err(ClientError::Unexpected(format!("HTTP {} without a code to {path}", answer.status))),
            };
        }
        let said: Value = if answer.body.is_empty() { Value::Null } else { answer.json()? };
        let number = |name: &str| said.get(name).and_then(Value::as_u64);
        match wish {
            Wish::Change(change) => {
                let is_post = matches!(change, Change::Post { .. });
                let ack = Ack {
                    chat: number("chat_id"),
                    seq: number("seq"),
                    message: if is_post { number("id") } else { number("message_id") },
                    name: said.get("client_id").and_then(Value::as_str).map(str::to_owned),
                    duplicate: answer.status == 200 && (is_post || matches!(change, Change::Join { .. })),
                };
                self.acked(connection, attempt, ack, change, at);
            }
            wish => {
                self.recorder.took(false, at.elapsed());
                let note = read(attempt, &wish, &said, &answer)?;
                if let Note::Page { events, .. } = &note {
                    events.iter().for_each(|event| self.mind.saw(event));
                }
                self.note(connection, note);
            }
        }
        Ok(false)
    }
}

fn request(user: u64, wish: &Wish) -> (&'static str, String, Option<Value>) {
    let asks = format!("user_id={user}");
    match wish {
        Wish::Change(Change::Post { chat, name, content }) => {
            let body = json!({"sender_id": user, "client_id": name, "content": content});
            ("POST", format!("/api/chats/{chat}/messages"), Some(body))
        }
        Wish::Change(Change::Edit { message, content }) => {
            ("PATCH", format!("/api/messages/{message}"), Some(json!({"user_id": user, "content": content})))
        }
        Wish::Change(Change::Delete { message }) => ("DELETE", format!("/api/messages/{message}?{asks}"), None),
        Wish::Change(Change::Join { chat, member }) => {
            ("POST", format!("/api/chats/{chat}/members"), Some(json!({"user_id": member, "by": user})))
        }
        Wish::Change(Change::Leave { chat, member }) => {
            ("DELETE", format!("/api/chats/{chat}/members/{member}?{asks}"), None)
        }
        Wish::Events { chat, after } => ("GET", format!("/api/chats/{chat}/events?after={after}&{asks}"), None),
        Wish::Newest { chat } => ("GET", format!("/api/chats/{chat}/messages?limit=20&{asks}"), None),
        // What has no path is not asked here.
        Wish::Heads | Wish::Change(Change::React { .. } | Change::Mark { .. }) => {
            ("GET", format!("/api/chats?{asks}"), None)
        }
    }
}

fn read(attempt: u64, wish: &Wish, said: &Value, answer: &Response) -> Result<Note, ClientError> {
    let unexpected = || ClientError::Unexpected(String::from_utf8_lossy(&answer.body).chars().take(300).collect());
    let list = |name: &str| said.get(name).and_then(Value::as_array).ok_or_else(unexpected);
    Ok(match wish {
        Wish::Events { chat, after } => {
            let events: Result<Vec<Event>, _> = list("events")?
                .iter()
                .map(|event| serde_json::from_value::<Happened>(event.clone()).map(|event| Event::from(&event)))
                .collect();
            let events = events.map_err(|_| unexpected())?;
            let head = said.get("head").and_then(Value::as_u64).ok_or_else(unexpected)?;
            Note::Page { attempt, chat: *chat, after: *after, events, head }
        }
        Wish::Newest { chat } => {
            let messages: Result<Vec<Message>, _> = list("messages")?
                .iter()
                .map(|message| serde_json::from_value::<Shown>(message.clone()).map(|shown| Message::from(&shown)))
                .collect();
            Note::Newest { attempt, chat: *chat, messages: messages.map_err(|_| unexpected())? }
        }
        _ => {
            let head = |chat: &Value| Some((chat.get("chat_id")?.as_u64()?, chat.get("seq")?.as_u64()?));
            let heads: Option<Vec<(u64, u64)>> = list("chats")?.iter().map(head).collect();
            Note::Heads { attempt, heads: heads.ok_or_else(unexpected)? }
        }
    })
}
