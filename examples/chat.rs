//! A chat in the terminal that loses nothing: each line of the input is sent once, whatever happens to the connection or the
//! server, and each event is printed once, in order. Ends when the input ends and all of it is acknowledged.
//!
//! `cargo run --example chat [ADDRESS]`, or with the address in `CHAPPE_TCP`; `tls://HOST:PORT` speaks TLS.
//!
//! `CHAPPE_TOKEN_FILE` holds the token where the server asks for one; put a fresh one there before it runs out. Otherwise
//! `CHAPPE_USER` says who you are (1). `CHAPPE_CHAT` says where (1).

use std::error::Error;
use std::io::{BufRead, ErrorKind, Write};

use chappe_client::{Client, Options, SendError, Start, Update};
use chappe_proto::message::MessageType;
use chappe_proto::request::NewMessage;
use chappe_proto::{ChatId, UserId};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let setting = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let number = |name: &str| setting(name).map_or(Ok(1), |text| text.parse::<u64>());
    let address = std::env::args().nth(1).or_else(|| setting("CHAPPE_TCP"));
    let chat = ChatId::parse(number("CHAPPE_CHAT")?)?;

    let options = Options::new(&address.unwrap_or_else(|| "127.0.0.1:8081".to_owned()))?.agent("example/chat");
    let options = match setting("CHAPPE_TOKEN_FILE") {
        // Read anew whenever a token is needed.
        Some(file) => options.token_source(move || {
            let token = std::fs::read_to_string(&file).map(|token| token.trim().to_owned());
            std::future::ready(token.map_err(Into::into))
        }),
        None => options.user(UserId::parse(number("CHAPPE_USER")?)?),
    };
    let (client, mut updates) = options.start_client()?;
    // Members hear their chats anyway; this also works before the first message has made us one.
    client.subscribe(chat, Start::Newest).await?;

    let mut lines = lines_of_stdin();
    let mut unacked = FuturesUnordered::new();
    let mut input_ended = false;
    while !(input_ended && unacked.is_empty()) {
        tokio::select! {
            // Far fewer than the outbox holds: so that handing over a line never waits, and the updates are read.
            line = lines.recv(), if !input_ended && unacked.len() < 100 => match line {
                Some(line) => unacked.push(submit(&client, chat, line).await?),
                None => input_ended = true,
            },
            Some(answer) = unacked.next() => match answer {
                Ok(_) => {}
                Err(SendError::Refused(refusal)) => eprintln!("not sent: {refusal}"),
                Err(error) => return Err(error.into()),
            },
            update = updates.next() => match update {
                Some(Update::Event(event)) if event.chat_id() == chat => {
                    let mut out = std::io::stdout().lock();
                    serde_json::to_writer(&mut out, &event)?;
                    out.write_all(b"\n")?;
                }
                Some(Update::Disconnected { reason, retry_in: Some(_) }) => eprintln!("{reason}; trying again"),
                Some(Update::Disconnected { reason, retry_in: None }) => return Err(reason.into()),
                Some(Update::Gone { chat_id, reason, .. }) if chat_id == chat => return Err(reason.into_string().into()),
                Some(_) => {}
                None => return Err("the client has ended".into()),
            },
        }
    }
    Ok(())
}

/// Puts a line into the outbox; the answer comes later.
async fn submit(client: &Client, chat_id: ChatId, line: String) -> Result<chappe_client::Pending, SendError> {
    let message = NewMessage {
        chat_id,
        sender_id: None,
        content: line.into(),
        message_type: MessageType::Text,
        client_id: None, // the client gives it a name of its own, the same for every attempt
        reply_to: None,
        signature: None,
    };
    client.submit_message(message).await
}

/// Reading from a terminal blocks, so it has a thread.
fn lines_of_stdin() -> mpsc::UnboundedReceiver<String> {
    let (found, lines) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            match line {
                Ok(line) if line.is_empty() => {}
                Ok(line) => {
                    if found.send(line).is_err() {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::InvalidData => eprintln!("not sent: a line that is no UTF-8"),
                Err(error) => return eprintln!("the input cannot be read: {error}"),
            }
        }
    });
    lines
}
