//! A reader's place in a chat: which events are new, and when to pull what was missed.
//!
//! Plain: packets in, decisions out. The connection, the clock and the printing are the caller's. Events come out once
//! each and in order, whatever the order of live events, pages, gaps and reconnects.

use chappe_proto::event::Event;
use chappe_proto::packet::{Events, Gap, Packet, Reset};
use chappe_proto::{ChatId, Seq};

/// What is to be done after a packet.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// New events, in order.
    pub events: Vec<Event>,
    /// Ask for the events after this number. One pull is under way at a time.
    pub pull: Option<Seq>,
    /// The log no longer reaches back: reading goes on after this number.
    pub skipped_to: Option<Seq>,
}

/// The place of one reader in one chat.
#[derive(Debug)]
pub struct Follow {
    chat: ChatId,
    /// The last event handed out.
    last: Seq,
    /// The newest number heard of.
    heard: Seq,
    pulling: bool,
    epoch: Option<u64>,
}

impl Follow {
    /// Reads on after `last`.
    pub const fn new(chat: ChatId, last: Seq) -> Self {
        Self { chat, last, heard: last, pulling: false, epoch: None }
    }

    /// The last event handed out.
    pub const fn last(&self) -> Seq {
        self.last
    }

    /// A connection stands: what came since is to be pulled. Another epoch is another log, read from its beginning.
    pub fn connected(&mut self, epoch: u64) -> Seq {
        if self.epoch.is_some_and(|known| known != epoch) {
            self.last = Seq::ZERO;
        }
        self.epoch = Some(epoch);
        self.heard = self.last;
        self.pulling = true;
        self.last
    }

    /// Takes what the server said; of other chats and other packets nothing comes.
    pub fn take(&mut self, packet: Packet) -> Step {
        match packet {
            Packet::Event(event) if event.chat_id() == self.chat => self.live(&event),
            Packet::Events(page) if page.chat_id == self.chat => self.page(page),
            Packet::Gap(Gap { chat_id, to, .. }) if chat_id == self.chat => {
                self.heard = self.heard.max(to);
                self.pull_if_behind()
            }
            Packet::Reset(Reset { chat_id, head, .. }) if chat_id == self.chat => {
                self.pulling = false;
                self.last = self.last.max(head);
                Step { skipped_to: Some(head), ..self.pull_if_behind() }
            }
            _ => Step::default(),
        }
    }

    fn live(&mut self, event: &Event) -> Step {
        self.heard = self.heard.max(event.seq());
        if event.seq() == self.last.next() {
            self.last = event.seq();
            return Step { events: vec![event.clone()], ..Step::default() };
        }
        self.pull_if_behind()
    }

    fn page(&mut self, page: Events) -> Step {
        self.pulling = false;
        let before = self.last;
        let mut step = Step::default();
        for event in page.events {
            // Live events may have been faster than the page.
            if event.seq() > self.last {
                self.last = event.seq();
                step.events.push(event);
            }
        }
        self.heard = self.heard.max(page.head);
        if step.events.is_empty() && self.last == before && page.head > before {
            // A page that brings nothing although there is more: asking again at once would never end. The next event
            // asks again.
            return step;
        }
        step.pull = self.pull_if_behind().pull;
        step
    }

    fn pull_if_behind(&mut self) -> Step {
        if self.pulling || self.heard <= self.last {
            return Step::default();
        }
        self.pulling = true;
        Step { pull: Some(self.last), ..Step::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chappe_proto::event::MemberLeft;
    use chappe_proto::{Millis, UserId};
    use std::sync::Arc;

    fn chat(id: u64) -> ChatId {
        ChatId::parse(id).unwrap()
    }

    fn event(seq: u64) -> Event {
        let user_id = UserId::parse(1).unwrap();
        Event::MemberLeft(MemberLeft { chat_id: chat(1), seq: Seq(seq), user_id, at: Millis(0) })
    }

    fn live(seq: u64) -> Packet {
        Packet::Event(Arc::new(event(seq)))
    }

    fn page(seqs: impl IntoIterator<Item = u64>, head: u64) -> Packet {
        Packet::Events(Events { chat_id: chat(1), events: seqs.into_iter().map(event).collect(), head: Seq(head) })
    }

    fn seqs(step: &Step) -> Vec<u64> {
        step.events.iter().map(|event| event.seq().0).collect()
    }

    #[test]
    fn live_events_during_a_pull_are_neither_missed_nor_doubled() {
        let mut follow = Follow::new(chat(1), Seq(2));
        assert_eq!(follow.connected(9), Seq(2));
        assert_eq!(follow.take(live(6)), Step::default());
        let step = follow.take(page(3..=5, 5));
        assert_eq!((seqs(&step), step.pull), (vec![3, 4, 5], Some(Seq(5))));
        let step = follow.take(live(7));
        assert_eq!((seqs(&step), step.pull), (vec![], None));
        assert_eq!(seqs(&follow.take(page(6..=7, 7))), [6, 7]);
        assert_eq!(seqs(&follow.take(live(8))), [8]);
        assert_eq!(seqs(&follow.take(live(8))), [0u64; 0]);
    }

    #[test]
    fn a_page_overtaken_by_live_events_repeats_nothing() {
        let mut follow = Follow::new(chat(1), Seq(0));
        follow.connected(9);
        assert_eq!(seqs(&follow.take(live(1))), [1]);
        assert_eq!(seqs(&follow.take(page(1..=2, 2))), [2]);
    }

    #[test]
    fn a_gap_is_pulled_once() {
        let mut follow = Follow::new(chat(1), Seq(0));
        follow.connected(9);
        follow.take(page([], 0));
        let gap = || Packet::Gap(Gap { chat_id: chat(1), from: Seq(1), to: Seq(3) });
        assert_eq!(follow.take(gap()).pull, Some(Seq(0)));
        assert_eq!(follow.take(gap()).pull, None);
        assert_eq!(seqs(&follow.take(page(1..=3, 3))), [1, 2, 3]);
        assert_eq!(follow.take(gap()), Step::default());
    }

    #[test]
    fn a_page_below_the_head_is_followed_by_the_next_and_an_empty_one_is_not() {
        let mut follow = Follow::new(chat(1), Seq(0));
        follow.connected(9);
        assert_eq!(follow.take(page(1..=2, 9)).pull, Some(Seq(2)));
        assert_eq!(follow.take(page([], 9)).pull, None);
        assert_eq!(follow.take(live(10)).pull, Some(Seq(2)));
    }

    #[test]
    fn a_reset_goes_on_from_the_head_and_another_epoch_from_the_beginning() {
        let mut follow = Follow::new(chat(1), Seq(5));
        follow.connected(9);
        let reset = Packet::Reset(Reset { chat_id: chat(1), head: Seq(40), reason: "trimmed".into() });
        assert_eq!(follow.take(reset).skipped_to, Some(Seq(40)));
        assert_eq!(seqs(&follow.take(live(41))), [41]);
        assert_eq!(follow.connected(9), Seq(41));
        assert_eq!(follow.connected(10), Seq(0));
    }

    #[test]
    fn other_chats_are_no_concern() {
        let mut follow = Follow::new(chat(2), Seq(0));
        follow.connected(9);
        assert_eq!(follow.take(live(1)), Step::default());
    }
}
