//! What the benchmarks prepare before the load: chats of their own, users, open files.

use std::time::Duration;

use chappe_proto::packet::{ChatSummary, Events, Packet, Reset};
use chappe_proto::request::{GetEvents, NewMessage, Request, SendMessage};
use chappe_proto::{ChatId, ClientId, Seq, UserId};
use serde_json::json;

use super::BenchError;
use super::identity::Identities;
use crate::client::ClientError;
use crate::client::http::HttpClient;
use crate::client::tcp::TcpClient;

/// Users of benchmarks begin here, away from people's.
const FIRST_USER: u64 = 7_000_000;
/// How many chats one of them makes.
const CHATS_PER_OWNER: usize = 100;
/// How often a refusal that asks for patience is heeded.
const ATTEMPTS: u32 = 100;

/// User `index` of a benchmark.
pub(super) fn user(index: usize) -> Result<UserId, BenchError> {
    let index = u64::try_from(index).unwrap_or(u64::MAX);
    UserId::parse(FIRST_USER.saturating_add(index)).map_err(|error| BenchError::Worker(error.to_string()))
}

/// Makes `count` open chats.
pub(super) async fn make_chats(
    http: &str,
    identities: &Identities,
    title: &str,
    count: usize,
) -> Result<Vec<ChatId>, BenchError> {
    let mut client = HttpClient::connect(http).await?;
    let mut chats = Vec::with_capacity(count);
    while chats.len() < count {
        // A user makes only so many.
        let owner = user(chats.len() / CHATS_PER_OWNER)?;
        client.bear(identities.token(owner)?);
        let body = json!({"title": title, "kind": "open", "members": [], "user_id": owner});
        let response = client.post("/api/chats", &body).await?;
        if response.status == 429 || response.status == 503 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        }
        chats.push(response.json::<ChatSummary>()?.chat_id);
    }
    Ok(chats)
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

/// `head`, filled up to `size` bytes, or cut.
pub(super) fn padded(head: &str, size: usize) -> Box<str> {
    let mut text = String::with_capacity(size);
    text.extend(head.chars().take(size));
    text.extend(std::iter::repeat_n('.', size.saturating_sub(text.len())));
    text.into()
}

/// Lets this process hold as many connections open as the system allows it.
pub(super) fn allow_many_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it is refused, connecting will say so with a number.
    let _ = setrlimit(Resource::Nofile, limit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_has_the_size_asked_for() {
        assert_eq!(&*padded("abc", 5), "abc..");
        assert_eq!(&*padded("abc", 2), "ab");
        assert_eq!(padded("", 128).len(), 128);
    }
}
