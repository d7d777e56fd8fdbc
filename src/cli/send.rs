//! `chappe send CHAT TEXT`: posts one message over TCP and waits until it is on disk.
//!
//! Whatever goes wrong on the way, the retry carries the same `client_id`, so the message is stored once.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use chappe_client::{Disconnect, Next, SendError, Update, random};
use chappe_proto::packet::Ack;
use chappe_proto::request::NewMessage;
use chappe_proto::{ChatId, ClientId, Code};

use super::client::{BadServer, Retries, Server, exit_of};
use crate::bounded;
use crate::client::block_on;
use crate::exit::Exit;

/// No server takes more: `limits.content_bytes` goes up to it.
const MAX_CONTENT: u64 = 16 << 20;

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
    #[command(flatten)]
    server: Server,
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
            if may_be_kept(&error) {
                unknown(&client_id);
            }
            match &error {
                SendFailure::GaveUp(reason) => exit_of(reason).into(),
                SendFailure::Server(error) => error.exit().into(),
                _ => Exit::Failed.into(),
            }
        }
    }
}

/// Why the message was not posted, as far as is known.
#[derive(Debug, thiserror::Error)]
enum SendFailure {
    #[error(transparent)]
    Server(#[from] BadServer),
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
    #[error(transparent)]
    Refused(#[from] SendError),
    #[error("{code}: {reason}")]
    Delayed {
        code: Code,
        reason: Box<str>,
        /// A connection on which it may have been sent broke before.
        was_cut: bool,
    },
    #[error("{0}")]
    GaveUp(Disconnect),
}

fn may_be_kept(error: &SendFailure) -> bool {
    match error {
        SendFailure::GaveUp(reason) => exit_of(reason) == Exit::Failed && reason.next() != Next::Stop,
        SendFailure::Delayed { code, was_cut, .. } => *was_cut || matches!(code, Code::UnknownOutcome | Code::Internal),
        _ => false,
    }
}

fn unknown(client_id: &ClientId) {
    let name = client_id.as_str();
    eprintln!("Whether it was kept is not known; send it again with --client-id {name} and it is stored once.");
}

fn content(text: &str) -> io::Result<Box<str>> {
    if text != "-" {
        return Ok(text.into());
    }
    let read = bounded::read_text(io::stdin().lock(), MAX_CONTENT)?;
    // The line's end is the shell's, not the message's.
    let trimmed = read.strip_suffix('\n').unwrap_or(&read);
    Ok(trimmed.strip_suffix('\r').unwrap_or(trimmed).into())
}

async fn send(args: &Args, content: &str, client_id: &ClientId) -> Result<Ack, SendFailure> {
    let options = args.server.options()?.backoff(Duration::from_millis(200), Duration::from_secs(3));
    let (client, mut updates) = options.start_client().map_err(BadServer::from)?;
    let message = NewMessage {
        chat_id: args.chat,
        sender_id: None,
        content: content.into(),
        message_type: chappe_proto::message::MessageType::Text,
        client_id: Some(client_id.clone()),
        reply_to: None,
        signature: None,
    };
    let mut retries = Retries::new(Some(args.retries));
    let (mut is_connected, mut was_cut) = (false, false);
    let sending = client.send_message(message);
    tokio::pin!(sending);
    loop {
        tokio::select! {
            ack = &mut sending => return match ack {
                Err(SendError::Stopped(reason)) => Err(SendFailure::GaveUp(reason)),
                other => Ok(other?),
            },
            update = updates.next() => match update {
                Some(Update::Connected(_)) => {
                    is_connected = true;
                    retries.connected();
                }
                Some(Update::Disconnected { reason, .. }) => {
                    was_cut |= is_connected;
                    if !retries.goes_on(&reason) {
                        return Err(SendFailure::GaveUp(reason));
                    }
                }
                Some(Update::Delayed { code, reason, .. }) if !retries.again() => {
                    return Err(SendFailure::Delayed { code, reason, was_cut });
                }
                _ => {}
            },
        }
    }
}
