//! The NATS text protocol: core, and JetStream's acks of publishing.

use std::net::SocketAddr;

use super::text::{line, number, number_behind, put_number};
use super::{Found, Protocol, Seat};
use crate::door::Door;
use crate::trouble::Trouble;

/// Subscription of the answers to posts; those of the channels follow.
const ANSWERS: u64 = 1;
const STREAM: &str = "compare";

/// One connection.
#[derive(Debug)]
pub(crate) struct Nats {
    seat: Seat,
    /// Posts go to a stream, which answers.
    jetstream: bool,
}

impl Nats {
    /// Core NATS: nothing is answered.
    pub(crate) fn core(seat: Seat) -> Self {
        Self { seat, jetstream: false }
    }

    /// JetStream.
    pub(crate) fn jetstream(seat: Seat) -> Self {
        Self { seat, jetstream: true }
    }
}

/// Makes the stream that holds the channels.
pub(crate) fn make_stream(address: SocketAddr) -> Result<(), Trouble> {
    let order = format!(r#"{{"name":"{STREAM}","subjects":["c.*"],"storage":"file","num_replicas":1}}"#);
    ask(address, "CREATE", &order).map(|_| ())
}

/// How many messages the stream holds.
pub(crate) fn stored(address: SocketAddr) -> Result<u64, Trouble> {
    let answer = ask(address, "INFO", "")?;
    number_behind(&answer, b"\"messages\":").ok_or_else(|| Trouble::answer(&answer))
}

fn ask(address: SocketAddr, verb: &str, body: &str) -> Result<Vec<u8>, Trouble> {
    let mut door = Door::knock(address)?;
    Nats::core(Seat::default()).open(&mut door)?;
    let size = body.len();
    door.say(format!("SUB answer 9\r\nPUB $JS.API.STREAM.{verb}.{STREAM} answer {size}\r\n{body}\r\n").as_bytes())?;
    let answer =
        door.hear(|bytes| Ok(message(bytes)?.map(|whole| (bytes[whole.from..whole.to].to_vec(), whole.used))))?;
    if memchr::memmem::find(&answer, b"\"error\":").is_some() { Err(Trouble::answer(&answer)) } else { Ok(answer) }
}

/// A `MSG`: its subscription, the number at the end of its subject, and where its payload lies.
struct Message {
    subscription: u64,
    tail: u64,
    from: usize,
    to: usize,
    used: usize,
}

/// The message that `bytes` begin with, if all of it has come.
fn message(bytes: &[u8]) -> Result<Option<Message>, Trouble> {
    let Some((head, from)) = line(bytes) else { return Ok(None) };
    // Subject, subscription, perhaps where to answer, size.
    let mut words = head.split(|byte| *byte == b' ').skip(1);
    let read = |word: Option<&[u8]>| word.and_then(number).map(|(number, _)| number);
    let subject = words.next().unwrap_or_default();
    let digits = subject.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let tail = number(&subject[subject.len() - digits..]).map_or(0, |(number, _)| number);
    let subscription = read(words.next());
    let size = read(words.last()).and_then(|size| usize::try_from(size).ok());
    let (Some(subscription), Some(size)) = (subscription, size) else { return Err(Trouble::answer(head)) };
    let to = from + size;
    Ok((bytes.len() >= to + 2).then_some(Message { subscription, tail, from, to, used: to + 2 }))
}

impl Protocol for Nats {
    fn open(&mut self, door: &mut Door) -> Result<(), Trouble> {
        let mut said = String::from(r#"CONNECT {"verbose":false,"pedantic":false,"lang":"compare","version":"1"}"#);
        for (channel, subscription) in self.seat.hears.iter().zip(ANSWERS + 1..) {
            said.push_str(&format!("\r\nSUB c.{channel} {subscription}"));
        }
        if self.jetstream {
            said.push_str(&format!("\r\nSUB a.{}.* {ANSWERS}", self.seat.user));
        }
        said.push_str("\r\nPING\r\n");
        door.say(said.as_bytes())?;
        door.hear_end(b"PONG\r\n")
    }

    fn acks(&self) -> bool {
        self.jetstream
    }

    fn post(&mut self, channel: u64, post: u32, payload: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(b"PUB c.");
        put_number(channel, out);
        if self.jetstream {
            out.extend_from_slice(b" a.");
            put_number(self.seat.user, out);
            out.push(b'.');
            put_number(post.into(), out);
        }
        out.push(b' ');
        put_number(payload.len().try_into().unwrap_or(u64::MAX), out);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(payload);
        out.extend_from_slice(b"\r\n");
    }

    fn read(&mut self, bytes: &[u8], found: &mut Vec<Found>, out: &mut Vec<u8>) -> Result<usize, Trouble> {
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            if rest.starts_with(b"MSG ") {
                let Some(message) = message(rest)? else { return Ok(at) };
                let (from, to) = (at + message.from, at + message.to);
                at += message.used;
                if message.subscription != ANSWERS {
                    found.push(Found::Delivery(from, to));
                    continue;
                }
                let place = number_behind(&bytes[from..to], b"\"seq\":");
                let place = place.ok_or_else(|| Trouble::answer(&bytes[from..to]))?;
                found.push(Found::Ack { number: u32::try_from(message.tail).ok(), place });
                continue;
            }
            let Some((said, used)) = line(rest) else { return Ok(at) };
            match said {
                b"PING" => out.extend_from_slice(b"PONG\r\n"),
                b"PONG" | b"+OK" => {}
                _ if said.starts_with(b"INFO") => {}
                _ => return Err(Trouble::answer(said)),
            }
            at += used;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_and_acks_are_found_wherever_the_bytes_are_cut() {
        let mut nats = Nats::jetstream(Seat { user: 4, ..Seat::default() });
        let bytes = b"MSG c.7 2 5\r\nhello\r\nPING\r\nMSG a.4.31 1 26\r\n{\"stream\":\"S\", \"seq\":1712}\r\n";
        for cut in 0..bytes.len() {
            let (mut found, mut out) = (Vec::new(), Vec::new());
            let used = nats.read(&bytes[..cut], &mut found, &mut out).unwrap();
            let first = found.len();
            nats.read(&bytes[used..], &mut found, &mut out).unwrap();
            let shift = if first == 0 { used } else { 0 };
            assert_eq!(found[0], Found::Delivery(13 - shift, 18 - shift));
            assert_eq!(found[1], Found::Ack { number: Some(31), place: 1712 });
            assert_eq!(out, b"PONG\r\n");
        }
        assert!(nats.read(b"-ERR 'Slow Consumer'\r\n", &mut Vec::new(), &mut Vec::new()).is_err());
    }

    #[test]
    fn a_post_names_its_channel_and_where_to_answer() {
        let mut out = Vec::new();
        Nats::core(Seat::default()).post(7, 0, b"hello", &mut out);
        Nats::jetstream(Seat { user: 4, ..Seat::default() }).post(7, 31, b"hello", &mut out);
        assert_eq!(out, b"PUB c.7 5\r\nhello\r\nPUB c.7 a.4.31 5\r\nhello\r\n");
    }
}
