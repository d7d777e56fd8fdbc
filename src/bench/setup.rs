//! What the benchmarks prepare before the load: chats of their own, users, open files.

use std::time::Duration;

use chappe_proto::limits::MAX_LIST;
use chappe_proto::packet::{ChatSummary, Events, Packet, Reset};
use chappe_proto::request::{GetEvents, NewMessage, Request, SendMessage};
use chappe_proto::{ChatId, ClientId, Seq, UserId};
use futures_util::future::try_join_all;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::BenchError;
use super::identity::Identities;
use crate::client::ClientError;
use crate::client::http::HttpClient;
use crate::client::tcp::TcpClient;

/// Users of benchmarks begin here, away from people's.
const FIRST_USER: u64 = 7_000_000;
/// How many chats one of them makes.
const CHATS_PER_OWNER: usize = 100;
/// How many make chats at a time.
const MAKERS: usize = 32;
/// How often a refusal that asks for patience is heeded.
const ATTEMPTS: u32 = 100;

/// User `index` of a benchmark.
pub(super) fn user(index: usize) -> Result<UserId, BenchError> {
    let index = u64::try_from(index).unwrap_or(u64::MAX);
    UserId::parse(FIRST_USER.saturating_add(index)).map_err(|error| BenchError::Worker(error.to_string()))
}

/// Makes `count` chats. `members` says who is in one, by its place; its owner first. If there are none, it is open to all.
pub(super) async fn make_chats(
    http: &str,
    identities: &Identities,
    title: &str,
    count: usize,
    members: impl Fn(usize) -> Vec<usize>,
) -> Result<Vec<ChatId>, BenchError> {
    let members = &members;
    let making = (0..MAKERS.min(count)).map(|maker| async move {
        let mut client = HttpClient::connect(http).await?;
        let mut made = Vec::new();
        for index in (maker..count).step_by(MAKERS) {
            made.push((index, make_chat(&mut client, identities, title, index, &members(index)).await?));
        }
        Ok::<_, BenchError>(made)
    });
    let mut chats: Vec<(usize, ChatId)> = try_join_all(making).await?.concat();
    chats.sort_unstable_by_key(|(index, _)| *index);
    Ok(chats.into_iter().map(|(_, chat)| chat).collect())
}

async fn make_chat(
    client: &mut HttpClient,
    identities: &Identities,
    title: &str,
    index: usize,
    members: &[usize],
) -> Result<ChatId, BenchError> {
    // A user makes only so many.
    let owner = user(members.first().copied().unwrap_or(index / CHATS_PER_OWNER))?;
    client.bear(identities.admin(owner)?);
    let kind = if members.is_empty() { "open" } else { "group" };
    let members = members.iter().map(|index| user(*index)).collect::<Result<Vec<_>, _>>()?;
    let (first, others) = members.split_at(members.len().min(MAX_LIST));
    let body = json!({"title": title, "kind": kind, "members": first, "user_id": owner});
    let chat = post_patiently::<ChatSummary>(client, "/api/chats", &body).await?.chat_id;
    for member in others {
        let path = format!("/api/chats/{chat}/members?user_id={owner}");
        post_patiently::<Value>(client, &path, &json!({"user_id": member})).await?;
    }
    Ok(chat)
}

/// Posts again for as long as the server asks for patience.
async fn post_patiently<T: DeserializeOwned>(
    client: &mut HttpClient,
    path: &str,
    body: &Value,
) -> Result<T, ClientError> {
    loop {
        let response = client.post(path, body).await?;
        if response.status != 429 && response.status != 503 {
            return response.json();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Asks again for as long as the server asks for patience.
pub(super) async fn call_patiently(client: &mut TcpClient, request: &Request) -> Result<Packet, ClientError> {
    let mut attempts = 0;
    loop {
        let packet = client.call(request.clone()).await?;
        let wait = match &packet {
            Packet::Error(error) if error.retryable => error.retry_after_ms,
            Packet::Ack(ack) if ack.code.is_some_and(chappe_proto::Code::retryable) => ack.retry_after_ms,
            _ => return Ok(packet),
        };
        attempts += 1;
        if attempts == ATTEMPTS {
            return Err(ClientError::from_answer(packet));
        }
        tokio::time::sleep(Duration::from_millis(wait.unwrap_or(100).into())).await;
    }
}

/// Posts one message and waits for its ack; its sender is a member of the chat afterwards.
pub(super) async fn post(
    client: &mut TcpClient,
    chat_id: ChatId,
    sender: UserId,
    content: &str,
    client_id: &str,
) -> Result<Seq, BenchError> {
    let message = new_message(chat_id, sender, content.into(), client_id)?;
    match call_patiently(client, &message).await? {
        Packet::Ack(ack) if ack.success => Ok(ack.seq.unwrap_or_default()),
        other => Err(ClientError::from_answer(other).into()),
    }
}

/// The request that posts a message.
pub(super) fn new_message(
    chat_id: ChatId,
    sender: UserId,
    content: Box<str>,
    client_id: &str,
) -> Result<Request, BenchError> {
    let client_id = ClientId::parse(client_id).map_err(|error| BenchError::Worker(error.to_string()))?;
    let message = NewMessage {
        chat_id,
        sender_id: Some(sender),
        content,
        message_type: chappe_proto::message::MessageType::Text,
        client_id: Some(client_id),
        reply_to: None,
        signature: None,
    };
    Ok(Request::SendMessage(SendMessage { message }))
}

/// The chat's newest number.
pub(super) async fn head(client: &mut TcpClient, chat_id: ChatId) -> Result<Seq, BenchError> {
    let request = Request::GetEvents(GetEvents { chat_id, after: Seq::ZERO, limit: Some(1) });
    match call_patiently(client, &request).await? {
        Packet::Events(Events { head, .. }) | Packet::Reset(Reset { head, .. }) => Ok(head),
        other => Err(ClientError::from_answer(other).into()),
    }
}

/// Lets this process hold as many connections open as the system allows it.
pub(super) fn allow_many_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it is refused, connecting will say so with a number.
    let _ = setrlimit(Resource::Nofile, limit);
}
