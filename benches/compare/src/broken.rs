//! A server that is broken on purpose: it speaks enough of NATS and JetStream to be compared, and makes one kind of mistake
//! now and then. The load has to catch each kind, else its counts of the real servers mean nothing.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// What the server does wrong.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Leaves deliveries out.
    Lose,
    /// Delivers twice.
    Double,
    /// Delivers in another order.
    Swap,
    /// Changes a byte.
    Damage,
    /// Delivers to one who listens to something else.
    Misdirect,
    /// Leaves acks out.
    LoseAcks,
    /// Acknowledges twice.
    DoubleAcks,
    /// Acknowledges in another order.
    SwapAcks,
    /// Acknowledges what was not taken yet by the place of another.
    MisplaceAcks,
    /// Acknowledges and does not keep.
    Forget,
}

/// One in so many goes wrong.
const EVERY: u64 = 97;

enum Said {
    Come(TcpStream),
    Subscribe(String, String),
    Publish { subject: String, answer: Option<String>, body: Vec<u8> },
    Ping,
}

/// Serves until the process ends.
pub(crate) fn serve(listener: &TcpListener, fault: Fault) {
    let (say, said) = channel();
    thread::spawn(move || Hub { fault, ..Hub::default() }.run(&said));
    for (id, stream) in listener.incoming().flatten().enumerate() {
        let say = say.clone();
        thread::spawn(move || listen(id, stream, &say));
    }
}

/// Reads what one client says. `None` at its end, or where it makes no sense.
fn listen(id: usize, stream: TcpStream, say: &Sender<(usize, Said)>) -> Option<()> {
    // Small answers should not wait for one another.
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    say.send((id, Said::Come(stream))).ok()?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
        let said = match words.as_slice() {
            [verb, subject, sid] if verb == "SUB" => Said::Subscribe(subject.clone(), sid.clone()),
            [verb, subject, answer @ .., size] if verb == "PUB" => {
                let mut body = vec![0; size.parse::<usize>().ok()? + 2];
                reader.read_exact(&mut body).ok()?;
                body.truncate(body.len() - 2);
                Said::Publish { subject: subject.clone(), answer: answer.first().cloned(), body }
            }
            [verb] if verb == "PING" => Said::Ping,
            _ => continue,
        };
        say.send((id, said)).ok()?;
    }
}

/// Knows who listens to what.
#[derive(Default)]
struct Hub {
    fault: Fault,
    clients: HashMap<usize, TcpStream>,
    /// Client, subject, subscription.
    subscriptions: Vec<(usize, String, String)>,
    deliveries: u64,
    acks: u64,
    kept: u64,
    /// What waits until the next one to the same client is through.
    held: Option<(usize, Vec<u8>)>,
}

impl Hub {
    fn run(mut self, said: &Receiver<(usize, Said)>) {
        for (id, said) in said {
            match said {
                Said::Come(mut stream) => {
                    let _ = stream.write_all(b"INFO {}\r\n");
                    self.clients.insert(id, stream);
                }
                Said::Ping => self.write(id, b"PONG\r\n"),
                Said::Subscribe(subject, sid) => self.subscriptions.push((id, subject, sid)),
                Said::Publish { subject, answer, body } => self.publish(&subject, answer, &body),
            }
        }
    }

    fn write(&mut self, id: usize, bytes: &[u8]) {
        // A client that is gone hears nothing.
        self.clients.get_mut(&id).map(|stream| stream.write_all(bytes));
    }

    fn publish(&mut self, subject: &str, answer: Option<String>, body: &[u8]) {
        for (id, sid) in self.listeners(subject) {
            self.deliver(id, subject, &sid, body);
        }
        let Some(answer) = answer else { return };
        if subject.starts_with("$JS.") {
            return self.send_answer(&answer, &format!(r#"{{"messages":{}}}"#, self.kept));
        }
        let turn = self.acks % EVERY == EVERY - 1;
        self.acks += 1;
        self.kept += u64::from(!(turn && self.fault == Fault::Forget));
        let place = if turn && self.fault == Fault::MisplaceAcks { self.acks - 2 } else { self.acks };
        let text = format!(r#"{{"stream":"S","seq":{place}}}"#);
        match self.fault {
            Fault::LoseAcks if turn => return,
            Fault::DoubleAcks if turn => self.send_answer(&answer, &text),
            _ => {}
        }
        self.send_answer(&answer, &text);
    }

    fn listeners(&self, subject: &str) -> Vec<(usize, String)> {
        let hears =
            |pattern: &str| pattern.strip_suffix('*').map_or(pattern == subject, |head| subject.starts_with(head));
        let all = self.subscriptions.iter().filter(|(_, pattern, _)| hears(pattern));
        all.map(|(id, _, sid)| (*id, sid.clone())).collect()
    }

    fn send_answer(&mut self, subject: &str, text: &str) {
        for (id, sid) in self.listeners(subject) {
            let frame = frame(subject, &sid, text.as_bytes());
            let hold = self.fault == Fault::SwapAcks && self.acks % EVERY == EVERY - 1;
            self.send(id, frame, hold);
        }
    }

    fn deliver(&mut self, id: usize, subject: &str, sid: &str, body: &[u8]) {
        let turn = self.deliveries % EVERY == EVERY - 1;
        self.deliveries += 1;
        let mut bytes = frame(subject, sid, body);
        match self.fault {
            Fault::Lose if turn => return,
            Fault::Double if turn => self.send(id, bytes.clone(), false),
            Fault::Damage if turn => {
                let at = bytes.len() - 10;
                bytes[at] ^= 1;
            }
            Fault::Misdirect if turn => {
                let other =
                    self.subscriptions.iter().find(|(_, pattern, _)| pattern != subject && pattern.starts_with("c."));
                let Some((other, _, _)) = other.cloned() else { return };
                return self.send(other, bytes, false);
            }
            _ => {}
        }
        self.send(id, bytes, turn && self.fault == Fault::Swap);
    }

    /// Sends a frame, and behind it the one that was held.
    fn send(&mut self, id: usize, bytes: Vec<u8>, hold: bool) {
        if hold && self.held.is_none() {
            self.held = Some((id, bytes));
            return;
        }
        self.write(id, &bytes);
        if let Some((_, held)) = self.held.take_if(|(held, _)| *held == id) {
            self.write(id, &held);
        }
    }
}

fn frame(subject: &str, sid: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("MSG {subject} {sid} {}\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes.extend_from_slice(b"\r\n");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crew::{self, Run, Shape};
    use crate::pace::Pace;
    use crate::peers::Peer;
    use crate::usage::Watched;
    use std::time::Duration;

    const FANOUT: Shape = Shape::Fanout(5);
    const ACKS: Shape = Shape::Acks(2);

    /// What the load says of a server with a fault.
    fn failures(fault: Fault, shape: Shape, pace: Pace) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || serve(&listener, fault));
        let time = Duration::from_millis(300);
        let run = Run { shape, pace, warmup: time / 3, measure: time, size: 128, seed: 1 };
        let peer = if shape == ACKS { Peer::JetStream } else { Peer::Nats };
        let outcome = crew::run(peer, port, Watched::own(), &run).unwrap();
        let name = if shape == ACKS { "acks" } else { "deliveries" };
        assert!(outcome.values[name] > 100.0, "too few to judge: {:?}", outcome.values);
        outcome.failures.join("; ")
    }

    #[test]
    fn a_healthy_server_passes_every_shape_at_every_pace() {
        for shape in [FANOUT, ACKS, Shape::Rooms(6, 3)] {
            for pace in [Pace::Window(64), Pace::Window(1), Pace::Rate(2_000.0)] {
                assert_eq!(failures(Fault::None, shape, pace), "", "{shape:?} {pace:?}");
            }
        }
    }

    #[test]
    fn every_kind_of_fault_is_caught_and_named() {
        let faults = [
            (Fault::Lose, FANOUT, "lost"),
            (Fault::Double, FANOUT, "doubled"),
            (Fault::Swap, FANOUT, "swapped"),
            (Fault::Damage, FANOUT, "damaged"),
            (Fault::Misdirect, Shape::Rooms(6, 3), "stray"),
            (Fault::LoseAcks, ACKS, "lost"),
            (Fault::DoubleAcks, ACKS, "doubled"),
            (Fault::SwapAcks, ACKS, "swapped"),
            (Fault::MisplaceAcks, ACKS, "swapped"),
            (Fault::Forget, ACKS, "the server keeps"),
        ];
        // At a rate, since in a window a lost message ends the run: that is looked at below.
        let looks = faults.map(|(fault, shape, kind)| {
            (fault, shape, kind, thread::spawn(move || failures(fault, shape, Pace::Rate(1_000.0))))
        });
        for (fault, shape, kind, told) in looks {
            let told = told.join().unwrap();
            assert!(told.contains(kind), "{fault:?}: {told:?}");
            let whose = if shape == ACKS { "acks" } else { "deliveries" };
            assert!(fault == Fault::Forget || told.starts_with(whose), "{fault:?}: {told:?}");
        }
    }

    #[test]
    fn a_window_that_waits_for_what_is_lost_ends_and_says_so() {
        for (fault, shape) in [(Fault::Lose, FANOUT), (Fault::LoseAcks, ACKS)] {
            let told = failures(fault, shape, Pace::Window(64));
            assert!(told.contains("lost"), "{fault:?}: {told:?}");
        }
    }
}
