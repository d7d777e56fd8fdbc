//! `chappe tail CHAT`: prints a chat's events as they come, each once and in order, across reconnects.
//!
//! Reconnects, gaps and order are the client library's; here is the printing.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use chappe_client::{Disconnect, Start, Update};
use chappe_proto::event::Event;
use chappe_proto::{ChatId, Code, Seq};
use futures_util::FutureExt;

use super::client::{BadServer, Retries, Server, exit_of};
use crate::client::block_on;
use crate::exit::Exit;

/// Events printed between two looks at whether more have come.
const AT_A_TIME: usize = 500;

/// Prints a chat's events as they come, until Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  chappe tail 1\n  chappe tail 1 --after 0 --json | jq .message.content")]
pub struct Args {
    /// The chat's id.
    #[arg(value_name = "CHAT")]
    chat: ChatId,
    #[command(flatten)]
    server: Server,
    /// Begin behind this number; 0 prints all that is kept. Only what is new if absent.
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
    Server(#[from] BadServer),
    #[error("{0}")]
    Ended(Disconnect),
    #[error("{code}: {reason}")]
    Gone { code: Code, reason: Box<str> },
    #[error("cannot write: {0}")]
    Output(io::Error),
    #[error("cannot start: {0}")]
    Start(#[from] io::Error),
}

/// Prints events until told to stop.
pub fn run(args: &Args) -> ExitCode {
    let ended = block_on(async {
        tokio::select! {
            ended = tail(args) => ended.map(|()| Exit::Fine),
            interrupted = tokio::signal::ctrl_c() => Ok(interrupted.map(|()| Exit::Interrupted)?),
        }
    });
    match ended {
        Ok(exit) => exit.into(),
        // Who reads us has seen enough.
        Err(TailError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Fine.into(),
        Err(error) => {
            eprintln!("chappe tail: {error}");
            let exit = match &error {
                TailError::Ended(reason) => exit_of(reason),
                TailError::Server(error) => error.exit(),
                _ => Exit::Failed,
            };
            exit.into()
        }
    }
}

async fn tail(args: &Args) -> Result<(), TailError> {
    // Only this chat is printed: what else the user hears begins where it is, and costs no history.
    let (client, mut updates) = args.server.options()?.start(Start::Newest).start_client().map_err(BadServer::from)?;
    let from = args.after.map_or(Start::Newest, |after| Start::After(Seq(after)));
    // Refused only by a client that was closed, which then says why.
    let _ = client.subscribe(args.chat, from).await;
    let mut retries = Retries::new(None);
    let mut printer = Printer { json: args.json, messages_left: args.count };
    // What comes together is printed together.
    let mut events = Vec::new();
    while let Some(update) = updates.next().await {
        let mut next = Some(update);
        while let Some(update) = next {
            match update {
                Update::Event(event) if event.chat_id() == args.chat => events.push(event),
                Update::Connected(_) => retries.connected(),
                Update::Disconnected { reason, retry_in } => {
                    if retry_in.is_none() || !retries.goes_on(&reason) {
                        return Err(TailError::Ended(reason));
                    }
                    eprintln!("chappe tail: {reason}; trying again");
                }
                Update::NotRenewed { reason } => eprintln!("chappe tail: no fresh token: {reason}; trying again"),
                Update::Afresh { .. } => eprintln!("chappe tail: the server's log is another one; from its beginning:"),
                Update::Skipped { chat_id, after, to } if chat_id == args.chat => {
                    printer.print(&mut events).map_err(TailError::Output)?;
                    eprintln!("chappe tail: {}", skipped(after, to));
                }
                Update::Gone { chat_id, code, reason } if chat_id == args.chat => {
                    printer.print(&mut events).map_err(TailError::Output)?;
                    return Err(TailError::Gone { code, reason });
                }
                _ => {}
            }
            next = if events.len() < AT_A_TIME { updates.next().now_or_never().flatten() } else { None };
        }
        if printer.print(&mut events).map_err(TailError::Output)? {
            return Ok(());
        }
    }
    Ok(())
}

fn skipped(after: Seq, to: Seq) -> String {
    if to < after {
        format!("the chat has come only to {to}, and not to {after}; going on from there")
    } else {
        format!("the events {} to {to} are not kept any more; going on behind them", after.next())
    }
}

/// Writes events to stdout.
struct Printer {
    json: bool,
    messages_left: Option<u64>,
}

impl Printer {
    /// Prints events; true once the last message that was asked for is among them.
    fn print(&mut self, events: &mut Vec<Arc<Event>>) -> io::Result<bool> {
        let mut out = io::stdout().lock();
        for event in events.drain(..) {
            let is_message = event.message().is_some();
            if self.json {
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
