//! Redis: Pub/Sub, and Streams with pipelined `XADD`.

use std::net::SocketAddr;

use super::resp::{Value, put_command, value};
use super::text::{number, put_number};
use super::{Found, Protocol, Seat};
use crate::door::Door;
use crate::trouble::Trouble;

/// One connection. Speaks RESP 3, in which one that listens may also publish.
#[derive(Debug)]
pub(crate) struct Redis {
    seat: Seat,
    /// Posts go to streams, and are answered by their ids.
    streams: bool,
    name: Vec<u8>,
}

impl Redis {
    /// Pub/Sub: what nobody listens to is gone.
    pub(crate) fn pubsub(seat: Seat) -> Self {
        Self { seat, streams: false, name: Vec::new() }
    }

    /// Streams: kept, and answered.
    pub(crate) fn streams(seat: Seat) -> Self {
        Self { seat, streams: true, name: Vec::new() }
    }
}

/// How many messages the streams hold.
pub(crate) fn stored(address: SocketAddr, channels: &[u64]) -> Result<u64, Trouble> {
    let mut door = Door::knock(address)?;
    let mut sum = 0;
    for channel in channels {
        let mut asked = Vec::new();
        put_command(&[b"XLEN", format!("c.{channel}").as_bytes()], &mut asked);
        door.say(&asked)?;
        sum += door.hear(|bytes| match value(bytes, 0)? {
            Some((Value::Number(length), used)) => Ok(Some((length, used))),
            Some(_) => Err(Trouble::answer(bytes)),
            None => Ok(None),
        })?;
    }
    Ok(sum)
}

/// A stream's id, `milliseconds-number`, as one number that grows with it.
fn place(id: &[u8]) -> Option<u64> {
    let (ms, digits) = number(id)?;
    let (among, _) = number(id.get(digits + 1..)?)?;
    Some(ms << 20 | among)
}

impl Protocol for Redis {
    fn open(&mut self, door: &mut Door) -> Result<(), Trouble> {
        let mut said = Vec::new();
        put_command(&[b"HELLO", b"3"], &mut said);
        for channel in &self.seat.hears {
            put_command(&[b"SUBSCRIBE", format!("c.{channel}").as_bytes()], &mut said);
        }
        put_command(&[b"PING"], &mut said);
        door.say(&said)?;
        door.hear_end(b"+PONG\r\n")
    }

    fn acks(&self) -> bool {
        self.streams
    }

    fn post(&mut self, channel: u64, _: u32, payload: &[u8], out: &mut Vec<u8>) {
        self.name.clear();
        self.name.extend_from_slice(b"c.");
        put_number(channel, &mut self.name);
        if self.streams {
            put_command(&[b"XADD", &self.name, b"*", b"m", payload], out);
        } else {
            put_command(&[b"PUBLISH", &self.name, payload], out);
        }
    }

    fn read(&mut self, bytes: &[u8], found: &mut Vec<Found>, _: &mut Vec<u8>) -> Result<usize, Trouble> {
        let mut at = 0;
        loop {
            let Some((first, mut end)) = value(bytes, at)? else { return Ok(at) };
            match first {
                Value::List(3) => {
                    // The word `message`, the channel, the payload.
                    for _ in 0..2 {
                        let Some((_, next)) = value(bytes, end)? else { return Ok(at) };
                        end = next;
                    }
                    let Some((payload, next)) = value(bytes, end)? else { return Ok(at) };
                    let Value::Text(from, to) = payload else { return Err(Trouble::answer(&bytes[at..])) };
                    found.push(Found::Delivery(from, to));
                    end = next;
                }
                Value::Text(from, to) if self.streams => {
                    let place = place(&bytes[from..to]).ok_or_else(|| Trouble::answer(&bytes[at..]))?;
                    found.push(Found::Ack { number: None, place });
                }
                // How many a `PUBLISH` reached.
                Value::Number(_) => {}
                _ => return Err(Trouble::answer(&bytes[at..])),
            }
            at = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_wherever_the_bytes_are_cut() {
        let mut redis = Redis::pubsub(Seat::default());
        let bytes = b":3\r\n>3\r\n$7\r\nmessage\r\n$3\r\nc.7\r\n$5\r\nhello\r\n:3\r\n";
        for cut in 0..bytes.len() {
            let (mut found, mut out) = (Vec::new(), Vec::new());
            let used = redis.read(&bytes[..cut], &mut found, &mut out).unwrap();
            redis.read(&bytes[used..], &mut found, &mut out).unwrap();
            let shift = if used < bytes.len() - 4 { used } else { 0 };
            assert_eq!(found, [Found::Delivery(34 - shift, 39 - shift)], "cut at {cut}");
        }
    }

    #[test]
    fn ids_of_a_stream_are_acks_whose_place_grows() {
        let mut redis = Redis::streams(Seat::default());
        let mut found = Vec::new();
        redis.read(b"$7\r\n1700-12\r\n$6\r\n1701-0\r\n", &mut found, &mut Vec::new()).unwrap();
        let places: Vec<_> =
            found.iter().map(|found| matches!(found, Found::Ack { place, .. } if *place > 0)).collect();
        assert_eq!(places, [true, true]);
        assert!(place(b"1700-12") < place(b"1701-0") && place(b"1701-0") < place(b"1701-1"));
        assert!(redis.read(b"-MISCONF no\r\n", &mut found, &mut Vec::new()).is_err());
    }
}
