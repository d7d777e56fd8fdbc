//! How a simulation ends: all comes to rest, and what is left is compared with the log.

use chappe_actors::metrics::metrics;

use super::World;
use crate::client::Client;
use crate::disk::{Mood, with_disk, with_ledger};
use crate::server::Server;
use crate::verdict::{broken, holds, verdict};

impl World {
    /// Everything that went wrong is mended, nothing new begins; and everybody ends with the log's events.
    pub(super) fn finish(&mut self) {
        self.is_finishing = true;
        self.stalled = Default::default();
        with_disk(|disk| disk.mood = Mood::Fine);
        let end = self.steps + self.shape.patience;
        while !self.is_at_rest() {
            for _ in 0..25 {
                self.step();
                if verdict().is_some() {
                    return;
                }
            }
            self.cut_who_hears_less();
            if self.steps > end {
                return broken(format!("they do not come to rest: {}", self.unrest()));
            }
        }
        self.compare();
    }

    /// Whoever asked not to hear a chat lacks its events: they connect anew.
    fn cut_who_hears_less(&mut self) {
        for number in 0..self.clients.len() {
            let hears_less = self.clients[number].link.as_ref().is_some_and(|link| link.ear.has_muted());
            if hears_less {
                self.cut(number, false);
            }
        }
    }

    fn is_at_rest(&self) -> bool {
        self.server.as_ref().is_some_and(Server::is_quiet)
            && self.dangling.is_empty()
            && self.clients.iter().all(Client::is_content)
    }

    fn unrest(&self) -> String {
        let restless = self.clients.iter().filter(|client| !client.is_content()).map(|client| {
            let link = client.link.as_ref().map(|link| {
                let line = link.line.borrow();
                let waits = (link.acks.front().map(|open| &open.asked), link.answers.values().next());
                format!(
                    "{:?}, to send {}, to come {}, waits for {waits:?}",
                    link.speech,
                    link.out.len(),
                    line.written.len()
                )
            });
            format!("client {}: {link:?}, behind {:?}, wishes {}", client.number, client.behind, client.wishes.len())
        });
        let quiet = self.server.as_ref().map(Server::is_quiet);
        format!("server quiet {quiet:?}, {} dangling; {}", self.dangling.len(), restless.collect::<Vec<_>>().join("; "))
    }

    fn compare(&mut self) {
        for client in &self.clients {
            with_ledger(|ledger| {
                for chat in ledger.chats_of(client.user) {
                    let (has, head) = (client.has.get(&chat).copied().unwrap_or_default(), ledger.seq(chat));
                    holds(has == head, || {
                        format!(
                            "client {} has {has} of the {head} events of {chat}, and lacks nothing it knows of",
                            client.number
                        )
                    });
                }
                for (wish, seq, id) in &client.granted {
                    let kept = ledger.named(wish.chat, client.user, &wish.name).map(|record| record.position.0);
                    holds(kept == Some(*id) || ledger.has_gone(*id), || {
                        format!("{wish:?} was acknowledged as {id}, event {seq}, and is {kept:?}")
                    });
                }
            });
        }
        self.http.is_answered();
        holds(metrics().pending_writes.get() == 0, || "writes are pending, and nothing is on its way".to_owned());
        if let Some(server) = &mut self.server {
            self.shelf.compare(server, self.shape.settings);
        }
    }
}
