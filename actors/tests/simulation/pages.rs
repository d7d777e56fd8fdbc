//! Whether a page that a client gets holds what it has to, and nothing that has gone.

use chappe_proto::event::Event;
use chappe_proto::packet::{ChatSummary, Events, Messages, Reset};
use chappe_proto::{ChatId, Seq};

use crate::answers::Tally;
use crate::client::{Asked, Client, Edge, Open};
use crate::disk::with_ledger;
use crate::ledger::Ledger;
use crate::verdict::{broken, holds};

impl Client {
    fn may_read(&self, ledger: &Ledger, chat: ChatId, since: u64) {
        let may = ledger.is_open(chat) || ledger.was_in(chat, self.user, since, ledger.head());
        holds(may, || format!("{} gets a page of {chat} and is no member", self.user));
    }

    pub(crate) fn events(&mut self, id: Option<u64>, page: &Events) {
        let Some(Open { asked: Asked::Events(chat, after), since, told, .. }) = self.answered(id) else {
            return broken(format!("events that {} did not ask for", self.user));
        };
        with_ledger(|ledger| {
            self.may_read(ledger, chat, since);
            holds(page.chat_id == chat, || format!("events of {} instead of {chat}", page.chat_id));
            let floor = ledger.keeping.floor(chat, since);
            holds(after >= floor, || format!("a page of {chat} after {after}, and nothing is kept up to {floor}"));
            for (event, seq) in page.events.iter().zip(after.0 + 1..) {
                let is_next = event.chat_id() == chat && event.seq() == Seq(seq);
                holds(is_next, || format!("in a page after {after}, event {} stands where {seq} was due", event.seq()));
                holds(ledger.knows(event, since), || format!("a page has {event:?}, and the disk does not"));
            }
            let (head, on_disk) = (page.head.0, ledger.seq(chat));
            holds(head <= on_disk, || format!("a page says that {chat} has come to {head}: on disk to {on_disk}"));
            let least = told.event(chat);
            holds(head >= least, || format!("{chat} has come to {least}, as was told, and a page says to {head}"));
            let stops_short = page.events.is_empty() && after.0 < head;
            holds(!stops_short, || format!("an empty page of {chat} after {after}, before its head {head}"));
        });
        let to = page.events.last().map_or(after.0, |event| event.seq().0);
        for message in page.events.iter().filter_map(Event::message) {
            self.heard_of(message.id);
            self.told.of_message(chat, message.seq.0);
        }
        self.told.of_event(chat, page.head.0);
        self.got(chat, after.0, to);
        self.told_of(chat, page.head.0);
    }

    /// What came next is not kept any more: it goes on from the head.
    pub(crate) fn reset(&mut self, id: Option<u64>, reset: &Reset, tally: &mut Tally) {
        tally.resets += 1;
        let Some(Open { asked: Asked::Events(chat, after), since, told, .. }) = self.answered(id) else {
            return broken(format!("a reset that {} did not ask for", self.user));
        };
        with_ledger(|ledger| {
            self.may_read(ledger, chat, since);
            let floor = ledger.keeping.floor(chat, u64::MAX);
            holds(reset.chat_id == chat && after < floor, || {
                format!("{} is to start afresh in {chat} after {after}, and all is kept behind {floor}", self.user)
            });
            let (head, on_disk, least) = (reset.head.0, ledger.seq(chat), told.event(chat));
            holds(head <= on_disk && head >= least, || {
                format!("{chat} has come to {least}, as was told, on disk to {on_disk}, and a reset says to {head}")
            });
        });
        self.told.of_event(chat, reset.head.0);
        // It reads the newest page some time, or never.
        self.got(chat, 0, reset.head.0);
    }

    pub(crate) fn messages(&mut self, id: Option<u64>, page: &Messages) {
        let Some(Open { asked: Asked::Messages(chat, edge), since, told, .. }) = self.answered(id) else {
            return broken(format!("messages that {} did not ask for", self.user));
        };
        with_ledger(|ledger| {
            self.may_read(ledger, chat, since);
            let (least, most) = (ledger.keeping.floor(chat, since), ledger.keeping.floor(chat, u64::MAX));
            for message in &page.messages {
                let event = Event::Message(message.clone());
                holds(ledger.knows(&event, since), || format!("a page has {message:?}, and the disk does not"));
                holds(message.seq > least, || format!("a page has {message:?}, and nothing is kept up to {least}"));
            }
            let found: Vec<u64> = page.messages.iter().map(|message| message.seq.0).collect();
            let [first, last] = [found.first(), found.last()].map(|seq| seq.copied().unwrap_or_default());
            let whole: Vec<u64> = ledger.posts(chat, first, last).collect();
            holds(page.chat_id == chat && found == whole, || format!("a page of {chat} has {found:?} of {whole:?}"));
            // What is before it or behind it, and is kept whatever has gone meanwhile.
            let missing = match edge {
                Edge::After(at) if found.is_empty() => {
                    ledger.posts(chat, at.max(most.0) + 1, told.message(chat)).next()
                }
                Edge::After(at) => ledger.posts(chat, at.max(most.0) + 1, first - 1).next(),
                Edge::Newest | Edge::Elsewhere if page.has_more => None,
                Edge::Newest if found.is_empty() => ledger.posts(chat, most.0 + 1, told.message(chat)).next(),
                Edge::Newest => ledger.posts(chat, most.0 + 1, first - 1).next(),
                Edge::Elsewhere => None,
            };
            holds(missing.is_none(), || {
                format!("a page of {chat}, {edge:?}, begins with {first}: {missing:?} is kept, up to {most} nothing is")
            });
            let (newest, told) = (last, told.message(chat));
            let has_newest = told <= most.0
                || match edge {
                    Edge::Elsewhere => true,
                    Edge::Newest => newest >= told,
                    Edge::After(at) => page.has_more || newest.max(at) >= told,
                };
            holds(has_newest, || {
                format!("{chat} has message {told}, as was told, and the newest of a page is {newest}")
            });
        });
    }

    pub(crate) fn chat(&mut self, open: &Open, chat: &ChatSummary) {
        let id = chat.chat_id;
        with_ledger(|ledger| {
            self.may_read(ledger, id, open.since);
            let head = ledger.seq(id);
            holds(chat.seq.0 <= head, || format!("{id} has come to {}: on disk to {head}", chat.seq));
            let (floor, read) = (open.told.event(id), open.told.read(id));
            holds(chat.seq.0 >= floor, || format!("{id} has come to {floor}, as was told, and now to {}", chat.seq));
            holds(chat.read_seq.0 >= read, || {
                format!("{} had read {read} of {id}, as was told, and now {}", self.user, chat.read_seq)
            });
            let kept = ledger.mark(id, self.user);
            holds(chat.read_seq <= kept, || {
                format!("{} has read {} of {id}: on disk {kept}", self.user, chat.read_seq)
            });
            let floors = ledger.keeping.floors(id, open.since);
            let unread = |floor: &Seq| ledger.posts(id, chat.read_seq.max(*floor).0 + 1, chat.seq.0).count() as u64;
            let unread: Vec<u64> = floors.iter().map(unread).collect();
            holds(unread.contains(&chat.unread), || {
                let (user, told, read, seq) = (self.user, chat.unread, chat.read_seq, chat.seq);
                format!("{user} has {told} unread of {id} up to {seq}, read up to {read}: there are {unread:?}")
            });
            let newest = |floor: &Seq| ledger.posts(id, floor.0 + 1, chat.seq.0).last();
            let found = chat.last_message.as_ref().map(|message| message.seq.0);
            holds(floors.iter().map(newest).any(|newest| newest == found), || {
                format!(
                    "the last message of {id} is {found:?}, head {}, and up to {floors:?} nothing is kept",
                    chat.seq
                )
            });
            if let Some(message) = &chat.last_message {
                let event = Event::Message(message.clone());
                holds(ledger.knows(&event, open.since), || format!("{id} ends with {message:?}, and not on the disk"));
            }
        });
        self.told.of_event(id, chat.seq.0);
        self.told.of_read(id, chat.read_seq.0);
    }
}
