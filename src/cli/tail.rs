//! `chappe tail CHAT`: prints a chat's events as they come, each once and in order, across reconnects.
//!
//! What is new and what was missed is [`Follow`]'s to say; here are the connection, the waiting and the printing.

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use chappe_proto::event::Event;
use chappe_proto::limits::MAX_PAGE;
use chappe_proto::packet::{Events, Packet, Reset};
use chappe_proto::request::{GetEvents, Ping, Request, Subscribe};
use chappe_proto::{ChatId, Seq, UserId};
use tokio::time::{Instant, sleep, timeout_at};

use crate::client::backoff::{Backoff, random};
use crate::client::follow::{Follow, Step};
use crate::client::tcp::{TcpClient, TcpWire};
use crate::client::{ClientError, block_on};
use crate::exit::Exit;

/// Prints a chat's events as they come, until Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  chappe tail 1\n  chappe tail 1 --after 0 --json | jq .message.content")]
pub struct Args {
    /// The chat's id.
    #[arg(value_name = "CHAT")]
    chat: ChatId,
    /// The server's TCP door.
    #[arg(long, value_name = "ADDR", env = "CHAPPE_TCP", default_value = "127.0.0.1:8081")]
    tcp: String,
    /// Who reads.
    #[arg(long, value_name = "ID", default_value = "1")]
    user: UserId,
    /// Begin behind this number; 0 prints the whole history. Only what is new if absent.
    #[arg(long, value_name = "SEQ")]
    after: Option<u64>,
    /// One JSON object a line, as on the wire.
    #[arg(long)]
    json: bool,
    /// End after so many messages.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

/// Why it ended before all was printed.
#[derive(Debug, thiserror::Error)]
enum TailError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("cannot write: {0}")]
    Output(io::Error),
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

/// Prints events until told to stop.
pub fn run(args: &Args) -> ExitCode {
    let ended = block_on(async {
        tokio::select! {
            ended = Tail::new(args).run() => ended.map(|()| Exit::Fine),
            interrupted = tokio::signal::ctrl_c() => Ok(interrupted.map(|()| Exit::Interrupted)?),
        }
    });
    match ended {
        Ok(exit) => exit.into(),
        // Who reads us has seen enough.
        Err(TailError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Fine.into(),
        Err(error) => {
            eprintln!("chappe tail: {error}");
            let exit = if let TailError::Client(error) = &error { error.exit() } else { Exit::Failed };
            exit.into()
        }
    }
}

struct Tail<'a> {
    args: &'a Args,
    /// `None` until the chat's head is known, where only new events are asked for.
    place: Option<Follow>,
    messages_left: Option<u64>,
    backoff: Backoff,
    connected: bool,
}

impl<'a> Tail<'a> {
    fn new(args: &'a Args) -> Self {
        Self {
            args,
            place: args.after.map(|after| Follow::new(args.chat, Seq(after))),
            messages_left: args.count,
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(10)),
            connected: false,
        }
    }

    async fn run(mut self) -> Result<(), TailError> {
        loop {
            match self.connection().await {
                // A server that was never there is told at once; one that went away may come back.
                Err(TailError::Client(error)) if self.connected && error.is_retryable() => {
                    let wait = error.retry_after().unwrap_or_default().max(self.backoff.next(random()));
                    eprintln!("chappe tail: {error}; trying again");
                    sleep(wait).await;
                }
                ended => return ended,
            }
        }
    }

    /// Reads one connection until it breaks, or all that was asked for is printed.
    async fn connection(&mut self) -> Result<(), TailError> {
        let mut client = TcpClient::connect(&self.args.tcp, TcpWire::Binary).await?;
        self.connected = true;
        let welcome = client.hello(Some(self.args.user)).await?;
        let chat = self.args.chat;
        match client.call(Request::Subscribe(Subscribe { chat_ids: vec![chat] })).await? {
            Packet::Ack(ack) if ack.success => {}
            other => return Err(ClientError::from_answer(other).into()),
        }
        let place = match &mut self.place {
            Some(place) => place,
            none => none.insert(Follow::new(chat, head(&mut client, chat).await?)),
        };
        pull(&mut client, chat, place.connected(welcome.epoch)).await?;
        let heartbeat = Duration::from_millis(welcome.heartbeat_ms.max(1000).into());
        let mut heard = Instant::now();
        let mut pinged = heard;
        loop {
            let Ok(answer) = timeout_at(pinged + heartbeat, client.next()).await else {
                if heard.elapsed() > heartbeat * 3 {
                    return Err(ClientError::Silent(heartbeat * 3).into());
                }
                pinged = Instant::now();
                client.queue(Request::Ping(Ping::default()), None);
                client.flush().await?;
                continue;
            };
            let answer = answer?;
            heard = Instant::now();
            self.backoff.reset();
            let packet = match answer.packet {
                refused @ (Packet::Error(_) | Packet::Closing(_)) => {
                    return Err(ClientError::from_answer(refused).into());
                }
                packet => packet,
            };
            let Some(place) = &mut self.place else { continue };
            let Step { events, pull: after, skipped_to } = place.take(packet);
            if let Some(head) = skipped_to {
                eprintln!("chappe tail: the log no longer reaches back; going on after {head}");
            }
            if self.print(events).map_err(TailError::Output)? {
                return Ok(());
            }
            if let Some(after) = after {
                pull(&mut client, chat, after).await?;
            }
        }
    }

    /// Prints events; true once the last message that was asked for is among them.
    fn print(&mut self, events: Vec<Event>) -> io::Result<bool> {
        let mut out = io::stdout().lock();
        for event in events {
            let is_message = event.message().is_some();
            if self.args.json {
                serde_json::to_writer(&mut out, &event)?;
                out.write_all(b"\n")?;
            } else {
                writeln!(out, "{}", line(&event))?;
            }
            if let (true, Some(left)) = (is_message, &mut self.messages_left) {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    return out.flush().map(|()| true);
                }
            }
        }
        out.flush().map(|()| false)
    }
}

async fn pull(client: &mut TcpClient, chat_id: ChatId, after: Seq) -> Result<(), ClientError> {
    client.queue(Request::GetEvents(GetEvents { chat_id, after, limit: Some(MAX_PAGE) }), None);
    client.flush().await
}

/// The chat's newest number.
async fn head(client: &mut TcpClient, chat_id: ChatId) -> Result<Seq, ClientError> {
    match client.call(Request::GetEvents(GetEvents { chat_id, after: Seq::ZERO, limit: Some(1) })).await? {
        Packet::Events(Events { head, .. }) | Packet::Reset(Reset { head, .. }) => Ok(head),
        other => Err(ClientError::from_answer(other)),
    }
}

/// An event for people, in one line that leaves the terminal as it is.
fn line(event: &Event) -> String {
    let what = match event {
        Event::Message(message) if message.deleted => format!("user {}: (deleted)", message.sender_id),
        Event::Message(message) => format!("user {}: {}", message.sender_id, message.content),
        Event::MessageEdited(edited) => {
            format!("user {} edited {}: {}", edited.user_id, edited.message_seq, edited.content)
        }
        Event::MessageDeleted(deleted) => format!("user {} deleted {}", deleted.user_id, deleted.message_seq),
        Event::Reaction(reaction) => {
            let verb = if reaction.removed { "took back" } else { "put" };
            format!("user {} {verb} {} on {}", reaction.user_id, reaction.emoji, reaction.message_seq)
        }
        Event::ChatCreated(created) => format!("the chat began: {}", created.title),
        Event::ChatUpdated(updated) if updated.deleted => "the chat was deleted".to_owned(),
        Event::ChatUpdated(updated) => format!("the chat is now called {}", updated.title),
        Event::MemberJoined(joined) => format!("user {} joined", joined.user_id),
        Event::MemberLeft(left) => format!("user {} left", left.user_id),
    };
    // Content is anyone's; it must not steer the terminal.
    let mut text = format!("{:>6}  ", event.seq());
    for char in what.chars() {
        if char.is_control() { text.extend(char.escape_default()) } else { text.push(char) }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_people_cannot_steer_the_terminal() {
        let json = r#"{"packet_type":"Message","chat_id":1,"seq":12,"message":{"id":1,"chat_id":1,"seq":12,
            "sender_id":7,"content":"hi\u001b[2J\nthere","message_type":"Text","created_at":0}}"#;
        let event: Event = serde_json::from_str(json).unwrap();
        assert_eq!(line(&event), "    12  user 7: hi\\u{1b}[2J\\nthere");
    }
}
