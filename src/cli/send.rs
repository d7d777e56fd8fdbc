//! `chappe send CHAT TEXT`: posts one message over TCP and waits until it is on disk.
//!
//! Whatever goes wrong on the way, the retry carries the same `client_id`, so the message is stored once.

use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

use chappe_proto::packet::{Ack, Packet};
use chappe_proto::request::{NewMessage, Request, SendMessage};
use chappe_proto::{ChatId, ClientId, UserId};

use crate::client::backoff::{Backoff, random};
use crate::client::tcp::{TcpClient, TcpWire};
use crate::client::{ClientError, block_on};
use crate::exit::Exit;

/// Posts a message and prints its id and its number in the chat.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  chappe send 1 'hello, world'\n  echo hello | chappe send 1 - --user 7")]
pub struct Args {
    /// The chat's id.
    #[arg(value_name = "CHAT")]
    chat: ChatId,
    /// The message; `-` reads it from stdin.
    #[arg(value_name = "TEXT")]
    text: String,
    /// The server's TCP door.
    #[arg(long, value_name = "ADDR", env = "CHAPPE_TCP", default_value = "127.0.0.1:8081")]
    tcp: String,
    /// Who sends.
    #[arg(long, value_name = "ID", default_value = "1")]
    user: UserId,
    /// The message's own name: sent twice under one name, it is stored once. A random one if absent.
    #[arg(long, value_name = "ID", value_parser = |text: &str| ClientId::parse(text))]
    client_id: Option<ClientId>,
    /// How often to try again when the connection breaks or the server asks for patience.
    #[arg(long, value_name = "N", default_value_t = 5)]
    retries: u32,
}

/// Sends the message; tells on stdout where it stands, or on stderr why not.
pub fn run(args: &Args) -> ExitCode {
    let content = match content(&args.text) {
        Ok(content) => content,
        Err(error) => {
            eprintln!("chappe send: cannot read the message from stdin: {error}");
            return Exit::Failed.into();
        }
    };
    let Some(client_id) = args.client_id.clone().or_else(|| ClientId::parse(format!("send-{:016x}", random())).ok())
    else {
        return Exit::Failed.into();
    };
    match block_on(send(args, &content, &client_id)) {
        Ok(ack) => {
            let seq = ack.seq.unwrap_or_default();
            let repeated = if ack.duplicate { ", sent before" } else { "" };
            println!("message {}, seq {seq}{repeated}", ack.message_id);
            Exit::Fine.into()
        }
        Err(error) => {
            eprintln!("chappe send: {error}");
            if error.is_retryable() && !matches!(error, ClientError::Unreachable { .. }) {
                let name = client_id.as_str();
                eprintln!(
                    "Whether it was kept is not known; send it again with --client-id {name} and it is stored once."
                );
            }
            error.exit().into()
        }
    }
}

fn content(text: &str) -> std::io::Result<Box<str>> {
    if text != "-" {
        return Ok(text.into());
    }
    let mut read = String::new();
    std::io::stdin().read_to_string(&mut read)?;
    // The line's end is the shell's, not the message's.
    let trimmed = read.strip_suffix('\n').unwrap_or(&read);
    Ok(trimmed.strip_suffix('\r').unwrap_or(trimmed).into())
}

async fn send(args: &Args, content: &str, client_id: &ClientId) -> Result<Ack, ClientError> {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(3));
    let mut connected = false;
    let mut left = args.retries;
    loop {
        let error = match attempt(args, content, client_id, &mut connected).await {
            Ok(ack) => return Ok(ack),
            Err(error) => error,
        };
        // A server that was never there is told at once; one that went away may come back.
        if left == 0 || !connected || !error.is_retryable() {
            return Err(error);
        }
        left -= 1;
        let wait = backoff.next(random()).max(error.retry_after().unwrap_or_default());
        tokio::time::sleep(wait).await;
    }
}

async fn attempt(args: &Args, content: &str, client_id: &ClientId, connected: &mut bool) -> Result<Ack, ClientError> {
    let mut client = TcpClient::connect(&args.tcp, TcpWire::Binary).await?;
    *connected = true;
    client.hello(Some(args.user)).await?;
    let message = NewMessage {
        chat_id: args.chat,
        sender_id: None,
        content: content.into(),
        message_type: chappe_proto::message::MessageType::Text,
        client_id: Some(client_id.clone()),
        reply_to: None,
        signature: None,
    };
    match client.call(Request::SendMessage(SendMessage { message })).await? {
        Packet::Ack(ack) if ack.success => Ok(ack),
        other => Err(ClientError::from_answer(other)),
    }
}
