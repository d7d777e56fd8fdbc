//! Reads all of a chat in one of several ways, which have to show the same.

use std::collections::BTreeMap;

use chappe::client::http::HttpClient;
use chappe::client::tcp::{TcpClient, TcpWire};
use chappe::client::websocket::{WsClient, WsWire};
use chappe::client::{ClientError, block_on};
use chappe_proto::event::Event as Happened;
use chappe_proto::message::Message as Shown;
use chappe_proto::packet::Packet;
use chappe_proto::request::{GetEvents, GetMessages, Request};
use chappe_proto::{ChatId, Seq, UserId};
use serde::Deserialize;
use serde_json::json;

use crate::crowd::{LIBRARY, MEMBERS, OWNER, WANDERERS};
use crate::history::{Event, Kept, Message, Reading};
use crate::server::Doors;
use crate::trouble::Trouble;

/// The largest page.
const PAGE: u32 = 500;

/// Makes group chats of everybody who is there from the beginning, and sees to it that the server knows the others as well: a new
/// user would be let into chats that are not ours.
///
/// # Errors
/// Those of the connection.
pub fn make_chats(doors: &Doors, count: usize) -> Result<Vec<u64>, Trouble> {
    #[derive(Deserialize)]
    struct Made {
        chat_id: u64,
    }
    block_on(async {
        let mut http = HttpClient::connect(&doors.http).await?;
        let body = json!({"title": "everybody", "kind": "group", "members": WANDERERS, "user_id": OWNER});
        let Made { chat_id } = http.post("/api/chats", &body).await?.json()?;
        http.request("DELETE", &format!("/api/chats/{chat_id}?user_id={OWNER}"), None).await?;
        let members: Vec<u64> = [OWNER].into_iter().chain(MEMBERS).chain([LIBRARY]).collect();
        let body = json!({"title": "a trial", "kind": "group", "members": members, "user_id": OWNER});
        let mut chats = Vec::new();
        for _ in 0..count {
            chats.push(http.post("/api/chats", &body).await?.json::<Made>()?.chat_id);
        }
        Ok(chats)
    })
}

/// Deletes chats, so that nobody finds them in their list any more.
///
/// # Errors
/// Those of the connection, or the refusal.
pub fn delete_chats(doors: &Doors, chats: &[u64]) -> Result<(), Trouble> {
    block_on(async {
        let mut http = HttpClient::connect(&doors.http).await?;
        for chat in chats {
            let answer = http.request("DELETE", &format!("/api/chats/{chat}?user_id={OWNER}"), None).await?;
            if answer.status >= 300 {
                return Err(ClientError::Unexpected(format!("HTTP {} to the end of a chat", answer.status)).into());
            }
        }
        Ok(())
    })
}

/// The newest number of each chat.
///
/// # Errors
/// Those of the connection.
pub fn heads(doors: &Doors, chats: &[u64]) -> Result<BTreeMap<u64, u64>, Trouble> {
    #[derive(Deserialize)]
    struct Head {
        head: u64,
    }
    block_on(async {
        let mut http = HttpClient::connect(&doors.http).await?;
        let mut heads = BTreeMap::new();
        for chat in chats {
            let path = format!("/api/chats/{chat}/events?limit=1&user_id={OWNER}");
            heads.insert(*chat, http.get(&path).await?.json::<Head>()?.head);
        }
        Ok(heads)
    })
}

/// A way to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// TCP, binary frames.
    Binary,
    /// WebSocket, text.
    WebSocket,
    /// HTTP.
    Http,
}

/// Reads all of these chats in one way, and who is in them.
///
/// # Errors
/// Those of the connection.
pub fn read(kept: &mut Kept, doors: &Doors, chats: &[u64], way: Way, by: &'static str) -> Result<(), Trouble> {
    block_on(async {
        let mut asker = Asker::open(doors, way).await?;
        for chat in chats {
            let (log, messages) = (asker.events(*chat).await?, asker.messages(*chat).await?);
            let found = kept.chats.entry(*chat).or_default();
            found.readings.push(Reading { by, log, messages });
            found.members = members(doors, *chat).await?;
        }
        Ok(())
    })
}

enum Asker {
    Binary(TcpClient),
    WebSocket(WsClient),
    Http(HttpClient),
}

impl Asker {
    async fn open(doors: &Doors, way: Way) -> Result<Self, ClientError> {
        let user = UserId::parse(OWNER).ok();
        Ok(match way {
            Way::Binary => {
                let mut client = TcpClient::connect(&doors.tcp, TcpWire::Binary).await?;
                client.hello(user).await?;
                Self::Binary(client)
            }
            Way::WebSocket => {
                let mut client = WsClient::connect(&doors.http, WsWire::Json).await?;
                client.hello(user).await?;
                Self::WebSocket(client)
            }
            Way::Http => Self::Http(HttpClient::connect(&doors.http).await?),
        })
    }

    async fn call(&mut self, request: Request) -> Result<Packet, ClientError> {
        match self {
            Self::Binary(client) => client.call(request).await,
            Self::WebSocket(client) => client.call(request).await,
            Self::Http(_) => Err(ClientError::Unexpected("HTTP takes no packets".to_owned())),
        }
    }

    async fn events(&mut self, chat: u64) -> Result<Vec<Event>, ClientError> {
        #[derive(Deserialize)]
        struct Page {
            events: Vec<Happened>,
            head: Seq,
        }
        let mut all: Vec<Event> = Vec::new();
        loop {
            let after = all.last().map(|event| event.seq).unwrap_or_default();
            let page = if let Self::Http(http) = self {
                let path = format!("/api/chats/{chat}/events?after={after}&limit={PAGE}&user_id={OWNER}");
                http.get(&path).await?.json::<Page>()?
            } else {
                let chat_id = chat_id(chat)?;
                let request = GetEvents { chat_id, after: Seq(after), limit: Some(PAGE) };
                match self.call(Request::GetEvents(request)).await? {
                    Packet::Events(page) => Page { events: page.events, head: page.head },
                    other => return Err(ClientError::from_answer(other)),
                }
            };
            let is_last = page.events.is_empty();
            all.extend(page.events.iter().map(Event::from));
            if is_last || all.last().is_some_and(|event| event.seq >= page.head.0) {
                return Ok(all);
            }
        }
    }

    async fn messages(&mut self, chat: u64) -> Result<Vec<Message>, ClientError> {
        #[derive(Deserialize)]
        struct Page {
            messages: Vec<std::sync::Arc<Shown>>,
            has_more: bool,
        }
        let mut all: Vec<Message> = Vec::new();
        loop {
            let after = all.last().map(|message| message.seq).unwrap_or_default();
            let page = if let Self::Http(http) = self {
                let path = format!("/api/chats/{chat}/messages?after={after}&limit={PAGE}&user_id={OWNER}");
                http.get(&path).await?.json::<Page>()?
            } else {
                let (page, per_page, before) = (None, None, None);
                let (chat_id, after, limit) = (chat_id(chat)?, Some(Seq(after)), Some(PAGE));
                let request = GetMessages { chat_id, page, per_page, before, after, limit };
                match self.call(Request::GetMessages(request)).await? {
                    Packet::Messages(page) => Page { messages: page.messages, has_more: page.has_more },
                    other => return Err(ClientError::from_answer(other)),
                }
            };
            let is_last = page.messages.is_empty() || !page.has_more;
            all.extend(page.messages.iter().map(|message| Message::from(&**message)));
            if is_last {
                return Ok(all);
            }
        }
    }
}

fn chat_id(chat: u64) -> Result<ChatId, ClientError> {
    ChatId::parse(chat).map_err(|error| ClientError::Unexpected(error.to_string()))
}

async fn members(doors: &Doors, chat: u64) -> Result<BTreeMap<u64, u64>, ClientError> {
    #[derive(Deserialize)]
    struct Member {
        user_id: u64,
        read_seq: u64,
    }
    #[derive(Deserialize)]
    struct Members {
        members: Vec<Member>,
    }
    let mut http = HttpClient::connect(&doors.http).await?;
    let path = format!("/api/chats/{chat}/members?limit={PAGE}&user_id={OWNER}");
    let found: Members = http.get(&path).await?.json()?;
    Ok(found.members.into_iter().map(|member| (member.user_id, member.read_seq)).collect())
}
