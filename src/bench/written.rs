//! Whether what was acknowledged is there: every acked message once, at its place, with its content.
//!
//! [`Ledger`] is plain; [`read_back`] asks a server, once by events and once by messages.

use std::collections::HashSet;

use chappe_proto::limits::MAX_PAGE;
use chappe_proto::message::Message;
use chappe_proto::packet::{Events, Messages, Packet};
use chappe_proto::request::{GetEvents, GetMessages, Request};
use chappe_proto::{ChatId, Seq};

use futures_util::stream::{StreamExt, iter};

use super::BenchError;
use super::content::Content;
use super::identity::Identities;
use super::setup::call_patiently;
use crate::client::ClientError;
use crate::client::tcp::{TcpClient, TcpWire};

/// Chats read at a time.
const READERS: usize = 4;

/// What an ack said, and for which message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Acked {
    pub(super) seq: u64,
    pub(super) message_id: u64,
    pub(super) name: Name,
}

/// Which message of a run it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub(super) connection: usize,
    pub(super) n: u64,
}

impl Name {
    /// Its `client_id`, into `text`: 16 bytes, as those of an ordinary client.
    pub(super) fn write(self, run: &str, text: &mut String) {
        use std::fmt::Write;
        text.clear();
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{run}{:04x}{:07x}", self.connection, self.n);
    }

    fn read(run: &str, client_id: &str) -> Option<Self> {
        let (connection, n) = client_id.strip_prefix(run)?.split_at_checked(4)?;
        let connection = usize::from_str_radix(connection, 16).ok()?;
        Some(Self { connection, n: u64::from_str_radix(n, 16).ok()? })
    }

    /// Which text it has.
    pub(super) fn number(self) -> u64 {
        u64::try_from(self.connection).unwrap_or(0) << 40 | self.n
    }
}

/// What reading back found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Findings {
    /// Acked messages found as they were acked.
    pub(super) whole: u64,
    /// Messages stored though their ack never came: the run ended first. No fault.
    pub(super) unacked: u64,
    /// Acked messages that are not there.
    pub(super) missing: u64,
    /// Messages at an acked place with another id, name or content.
    pub(super) changed: u64,
    /// Messages stored more than once.
    pub(super) doubled: u64,
    /// Places where the numbers of the chat do not go up as they should.
    pub(super) disordered: u64,
}

impl Findings {
    fn add(&mut self, other: Self) {
        self.whole += other.whole;
        self.unacked += other.unacked;
        self.missing += other.missing;
        self.changed += other.changed;
        self.doubled += other.doubled;
        self.disordered += other.disordered;
    }

    /// A sentence, if something is wrong.
    pub(super) fn failure(&self, source: &str) -> Option<String> {
        let Self { missing, changed, doubled, disordered, .. } = self;
        (missing + changed + doubled + disordered > 0).then(|| {
            format!("read back by {source}: {missing} missing, {changed} changed, {doubled} doubled, {disordered} out of order")
        })
    }
}

/// Compares one chat with its acks, from the first message to the last.
struct Ledger<'a> {
    run: &'a str,
    content: &'a Content,
    size: usize,
    /// By seq.
    acked: &'a [Acked],
    next: usize,
    /// Messages of this run that no ack names.
    strays: Vec<Name>,
    found: Findings,
    expected: String,
}

impl<'a> Ledger<'a> {
    /// `acked` stands in the order of `seq`.
    fn new(run: &'a str, content: &'a Content, size: usize, acked: &'a [Acked]) -> Self {
        let found = Findings {
            disordered: acked.windows(2).filter(|pair| pair[0].seq >= pair[1].seq).fold(0, |n, _| n + 1),
            ..Findings::default()
        };
        Self { run, content, size, acked, next: 0, strays: Vec::new(), found, expected: String::new() }
    }

    fn message(&mut self, message: &Message) {
        let client_id = message.client_id.as_ref().map_or("", |id| id.as_str());
        while self.acked.get(self.next).is_some_and(|acked| acked.seq < message.seq.0) {
            self.found.missing += 1;
            self.next += 1;
        }
        let name = Name::read(self.run, client_id);
        match (self.acked.get(self.next), name) {
            (Some(acked), _) if acked.seq == message.seq.0 => {
                self.next += 1;
                acked.name.write(self.run, &mut self.expected);
                let as_acked = acked.message_id == message.id.get()
                    && client_id == self.expected
                    && message.content == self.content.text("", acked.name.number(), self.size);
                if as_acked { self.found.whole += 1 } else { self.found.changed += 1 }
            }
            (_, Some(name)) => self.strays.push(name),
            (_, None) => {}
        }
    }

    fn finish(mut self) -> Findings {
        self.found.missing += (self.acked.len() - self.next) as u64;
        if !self.strays.is_empty() {
            let mut seen: HashSet<Name> = self.acked.iter().map(|acked| acked.name).collect();
            for name in self.strays {
                if seen.insert(name) { self.found.unacked += 1 } else { self.found.doubled += 1 }
            }
        }
        self.found
    }
}

/// Which of the server's answers is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// `GetEvents`.
    Events,
    /// `GetMessages`.
    Messages,
}

/// Reads `chats` from their beginning and compares them with their acks, which stand in the order of `seq`.
pub(super) async fn read_back(
    tcp: &str,
    identities: &Identities,
    run: &str,
    content: &Content,
    size: usize,
    chats: &[(ChatId, Vec<Acked>)],
    source: Source,
) -> Result<Findings, BenchError> {
    let reading = chats
        .iter()
        .map(|(chat, acked)| read_chat(tcp, identities, *chat, Ledger::new(run, content, size, acked), source));
    let mut reading = iter(reading).buffer_unordered(READERS);
    let mut all = Findings::default();
    while let Some(found) = reading.next().await {
        all.add(found?);
    }
    Ok(all)
}

async fn read_chat(
    tcp: &str,
    identities: &Identities,
    chat_id: ChatId,
    mut ledger: Ledger<'_>,
    source: Source,
) -> Result<Findings, BenchError> {
    let mut client = TcpClient::connect(tcp, TcpWire::Binary).await?;
    // Anyone may read an open chat; who asks makes no difference.
    client.greet(identities.hello(super::setup::user(0)?)?).await?;
    let mut after = Seq::ZERO;
    loop {
        let ((messages, last), more) = page(&mut client, chat_id, after, source, &mut ledger.found).await?;
        for message in &messages {
            ledger.message(message);
        }
        if !more || last <= after {
            return Ok(ledger.finish());
        }
        after = last;
    }
}

/// The messages of a page, and the number it ends at.
type Page = (Vec<std::sync::Arc<Message>>, Seq);

/// Fetches one page; whether there are more.
async fn page(
    client: &mut TcpClient,
    chat_id: ChatId,
    after: Seq,
    source: Source,
    found: &mut Findings,
) -> Result<(Page, bool), BenchError> {
    let request = match source {
        Source::Events => Request::GetEvents(GetEvents { chat_id, after, limit: Some(MAX_PAGE) }),
        Source::Messages => Request::GetMessages(GetMessages {
            chat_id,
            page: None,
            per_page: None,
            before: None,
            after: Some(after),
            limit: Some(MAX_PAGE),
        }),
    };
    match call_patiently(client, &request).await? {
        Packet::Events(Events { events, head, .. }) => {
            let mut last = after;
            for event in &events {
                found.disordered += u64::from(event.seq() != last.next());
                last = event.seq();
            }
            let messages = events.iter().filter_map(|event| event.message().cloned()).collect();
            Ok(((messages, last), last < head))
        }
        Packet::Messages(Messages { messages, has_more, .. }) => {
            let mut last = after;
            for message in &messages {
                found.disordered += u64::from(message.seq <= last);
                last = message.seq;
            }
            Ok(((messages, last), has_more))
        }
        other => Err(ClientError::from_answer(other).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::content::Kind;
    use chappe_proto::{ClientId, MessageId, Millis, UserId};

    const SIZE: usize = 20;

    fn acked(n: u64) -> Acked {
        Acked { seq: n + 1, message_id: n + 100, name: Name { connection: 3, n } }
    }

    fn stored(acked: Acked) -> Message {
        let mut name = String::new();
        acked.name.write("run", &mut name);
        Message {
            id: MessageId::parse(acked.message_id).unwrap(),
            chat_id: ChatId::parse(1).unwrap(),
            seq: Seq(acked.seq),
            sender_id: UserId::parse(1).unwrap(),
            content: Content::new(Kind::Words).text("", acked.name.number(), SIZE),
            message_type: chappe_proto::message::MessageType::Text,
            client_id: Some(ClientId::parse(name).unwrap()),
            reply_to: None,
            created_at: Millis(0),
            edited_at: None,
            deleted: false,
            signature: None,
        }
    }

    fn compare(acked: &[Acked], stored: &[Message]) -> Findings {
        let content = Content::new(Kind::Words);
        let mut ledger = Ledger::new("run", &content, SIZE, acked);
        for message in stored {
            ledger.message(message);
        }
        ledger.finish()
    }

    #[test]
    fn what_is_there_as_it_was_acked_is_whole() {
        let all: Vec<Acked> = (0..10).map(acked).collect();
        let stored: Vec<Message> = all.iter().copied().map(stored).collect();
        let found = compare(&all, &stored);
        assert_eq!(found, Findings { whole: 10, ..Findings::default() });
        assert_eq!(found.failure("events"), None);
    }

    #[test]
    fn an_acked_message_that_is_not_there_is_missing_wherever_it_stood() {
        let all: Vec<Acked> = (0..10).map(acked).collect();
        for lost in 0..10 {
            let mut left: Vec<Message> = all.iter().copied().map(stored).collect();
            left.remove(lost);
            let found = compare(&all, &left);
            assert_eq!((found.whole, found.missing), (9, 1), "without {lost}");
            assert!(found.failure("events").unwrap().contains("1 missing"));
        }
    }

    #[test]
    fn another_id_or_content_at_an_acked_place_is_a_change() {
        for change in [
            |message: &mut Message| message.id = MessageId::parse(7).unwrap(),
            |message: &mut Message| message.content = "other".into(),
            |message: &mut Message| message.content = stored(acked(1)).content,
            |message: &mut Message| message.client_id = None,
        ] {
            let mut message = stored(acked(0));
            change(&mut message);
            assert_eq!(compare(&[acked(0)], &[message]), Findings { changed: 1, ..Findings::default() });
        }
    }

    #[test]
    fn a_message_stored_twice_is_doubled_and_one_whose_ack_never_came_is_not() {
        let again = Acked { seq: 5, message_id: 105, ..acked(0) };
        let late = acked(7);
        let messages = [stored(acked(0)), stored(acked(1)), stored(again), stored(late)];
        let found = compare(&[acked(0), acked(1)], &messages);
        assert_eq!(found, Findings { whole: 2, doubled: 1, unacked: 1, ..Findings::default() });
    }

    #[test]
    fn messages_of_others_and_acks_with_one_number_are_told_apart() {
        let mut other = stored(acked(5));
        other.client_id = Some(ClientId::parse("ran00010000002").unwrap());
        assert_eq!(compare(&[], &[other]), Findings::default());
        let twice = [acked(0), Acked { message_id: 9, ..acked(0) }];
        assert_eq!(compare(&twice, &[stored(acked(0))]).disordered, 1);
    }
}
