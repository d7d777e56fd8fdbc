//! The network between the clients and the server: bytes arrive late and in pieces, and connections come and go.

use std::hash::Hasher;

use super::{Dangling, World};
use crate::socket::Line;
use crate::verdict::broken;
use crate::wire::Speech;

impl World {
    pub(super) fn client(&mut self) -> usize {
        usize::try_from(self.dice.below(self.clients.len() as u64)).unwrap_or_default()
    }

    /// Some bytes of a client arrive.
    pub(super) fn bytes_up(&mut self) -> bool {
        let client = self.client();
        let most = self.bite();
        let Some(link) = &mut self.clients[client].link else { return false };
        let count = most.min(link.out.len());
        if count > 0 {
            link.line.borrow_mut().arrive(link.out.drain(..count));
            self.trace.write_u64(count as u64);
        }
        count > 0
    }

    pub(super) fn bite(&mut self) -> usize {
        let most = match self.dice.below(4) {
            0 if !self.is_finishing => 3,
            1 if !self.is_finishing => 60,
            _ => 4000,
        };
        1 + usize::try_from(self.dice.below(most)).unwrap_or_default()
    }

    /// Some bytes arrive at a client, which takes what is whole of them.
    pub(super) fn bytes_down(&mut self) -> bool {
        let number = self.client();
        let most = self.bite();
        let (steps, is_finishing) = (self.steps, self.is_finishing);
        let client = &mut self.clients[number];
        let Some(link) = &mut client.link else { return false };
        if link.reads_from > steps && !is_finishing {
            return false;
        }
        let bytes = link.line.borrow_mut().take(most);
        if bytes.is_empty() {
            let is_over = link.line.borrow().is_shut;
            if is_over {
                self.cut(number, false);
            }
            return is_over;
        }
        self.trace.write(&bytes);
        link.inbox.put(&bytes);
        let mut goes_on = true;
        while goes_on && let Some(link) = &mut client.link {
            match link.inbox.next(link.speech) {
                Ok(Some(heard)) => goes_on = client.hear(heard, &mut self.tally),
                Ok(None) => break,
                Err(error) => {
                    broken(format!("what client {number} gets is no packet: {error}"));
                    break;
                }
            }
        }
        if !goes_on {
            self.cut(number, false);
        }
        true
    }

    pub(super) fn act(&mut self) -> bool {
        let number = self.client();
        if self.clients[number].link.is_some() {
            return self.clients[number].act(&mut self.dice, self.is_finishing);
        }
        (self.is_finishing || self.dice.once_in(3)) && self.connect(number)
    }

    pub(super) fn connect(&mut self, number: usize) -> bool {
        let Some(server) = &mut self.server else { return false };
        let speech = self.dice.pick(&Speech::ALL).unwrap_or(Speech::Lines);
        let hub = usize::try_from(self.dice.below(self.shape.hubs as u64)).unwrap_or_default();
        let line = Line::new(self.shape.socket_room);
        let Some(place) = server.accept(hub, speech, line.clone()) else {
            broken("a connection is turned away".to_owned());
            return true;
        };
        self.places[number] = Some(place);
        self.clients[number].connected(line, speech, &mut self.dice);
        true
    }

    /// A client's connection ends: at once for the client, some time later for the server.
    pub(super) fn cut(&mut self, number: usize, is_reset: bool) {
        let Some(mut link) = self.clients[number].link.take() else { return };
        self.clients[number].behind.clear();
        if let Some(place) = self.places[number].take() {
            if is_reset {
                let lost = usize::try_from(self.dice.below(link.out.len() as u64 + 1)).unwrap_or_default();
                link.out.truncate(lost);
            }
            self.dangling.push_back(Dangling { link, place, is_reset });
        }
    }

    /// What a client that is gone had sent arrives; and that it is gone.
    pub(super) fn end_dangling(&mut self) -> bool {
        let most = self.bite();
        let Some(mut dangling) = self.dangling.pop_front() else { return false };
        let mut line = dangling.link.line.borrow_mut();
        let _ = line.take(usize::MAX);
        if !dangling.link.out.is_empty() {
            let count = most.min(dangling.link.out.len());
            line.arrive(dangling.link.out.drain(..count));
        } else if !line.is_ended {
            line.end(dangling.is_reset);
        }
        let is_over = line.is_shut;
        drop(line);
        let is_known =
            self.server.as_ref().is_some_and(|s| s.connections.get(dangling.place).is_some_and(Option::is_some));
        if !is_over && is_known {
            self.dangling.push_back(dangling);
        }
        true
    }
}
