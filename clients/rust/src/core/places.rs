//! Where the client stands in each chat: up to which number it has every event, and what it asks for.
//!
//! Events come out once each and in order, whatever the order of live events, pages, gaps and reconnects.

use std::collections::BTreeMap;
use std::sync::Arc;

use chappe_proto::event::Event;
use chappe_proto::packet::{Events, Gap, Head, Messages, Reset};
use chappe_proto::{ChatId, Seq};

use super::update::{Positions, Start, Update};

/// Live events of a chat that are kept while what lies before them is pulled. Those beyond are pulled as well.
const AHEAD: usize = 500;

/// What is asked for in a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pull {
    /// Nothing.
    No,
    /// The events after this number; the answer is on its way.
    After(Option<Seq>),
    /// The oldest message that is kept, of a chat with this head; the answer is on its way.
    Oldest(Seq),
    /// What is missing, once the server's patience allows it.
    Later,
}

/// The place in one chat.
#[derive(Debug)]
struct Place {
    /// Every event up to here was handed out. `None`: begin at whatever is the newest.
    last: Option<Seq>,
    /// The newest number heard of.
    heard: Seq,
    pull: Pull,
    /// Events that came before their time.
    ahead: BTreeMap<Seq, Arc<Event>>,
    /// The program subscribed to it.
    asked: bool,
    /// The server would not have it yet.
    not_heard: bool,
    /// The connection's heads named it, or it was heard live.
    listed: bool,
    /// Heads named it: the user is, or was, a member.
    member: bool,
    /// The program unsubscribed from it, and is no member.
    left: bool,
    /// The program was told that it is gone.
    gone: bool,
}

impl Place {
    fn new(last: Option<Seq>) -> Self {
        Self {
            last,
            heard: last.unwrap_or_default(),
            pull: Pull::No,
            ahead: BTreeMap::new(),
            asked: false,
            not_heard: false,
            listed: false,
            member: false,
            left: false,
            gone: false,
        }
    }

    /// Hands out an event whose turn it is, and those that waited for it.
    fn advance(&mut self, event: Arc<Event>, updates: &mut Vec<Update>) {
        let mut last = event.seq();
        updates.push(Update::Event(event));
        while let Some(next) = self.ahead.remove(&last.next()) {
            last = last.next();
            updates.push(Update::Event(next));
        }
        self.last = Some(last);
        self.heard = self.heard.max(last);
    }

    /// Passes over what cannot be had, and says so.
    fn pass_over(&mut self, chat_id: ChatId, to: Seq, updates: &mut Vec<Update>) {
        updates.push(Update::Skipped { chat_id, after: self.last.unwrap_or_default(), to });
        self.skip_to(to, updates);
    }

    /// Begins behind a number that was not known until now, and says so.
    fn begin(&mut self, chat_id: ChatId, at: Seq, updates: &mut Vec<Update>) {
        updates.push(Update::Begun { chats: vec![(chat_id, at)] });
        self.skip_to(at, updates);
    }

    /// Goes on behind a number; what waited there comes out.
    fn skip_to(&mut self, to: Seq, updates: &mut Vec<Update>) {
        self.last = Some(to);
        self.ahead.retain(|seq, _| *seq > to);
        if let Some(next) = self.ahead.remove(&to.next()) {
            self.advance(next, updates);
        }
    }
}

/// The places in all chats.
#[derive(Debug, Default)]
pub(super) struct Places {
    places: BTreeMap<ChatId, Place>,
    /// How many of them have a pull under way, or deferred.
    pulls: usize,
    /// Where chats begin that the next heads name for the first time.
    start: Start,
}

impl Places {
    /// Where another life of the client was.
    pub(super) fn at(positions: &Positions) -> Self {
        let places = positions.chats.iter().map(|(chat, last)| (*chat, Place::new(Some(*last))));
        Self { places: places.collect(), ..Self::default() }
    }

    /// The connection is gone, and with it all answers.
    pub(super) fn cut(&mut self) {
        self.pulls = 0;
        for place in self.places.values_mut() {
            place.pull = Pull::No;
            place.heard = place.last.unwrap_or_default();
            place.ahead.clear();
            (place.listed, place.not_heard) = (false, false);
        }
    }

    /// Another log: what was known is of no use. What was subscribed to is read from its beginning.
    pub(super) fn forget(&mut self) {
        self.places.retain(|_, place| place.asked);
        for place in self.places.values_mut() {
            *place = Place { asked: true, ..Place::new(Some(Seq::ZERO)) };
        }
    }

    /// Says where chats begin that the heads of this connection name for the first time.
    pub(super) fn settle(&mut self, start: Start) {
        self.start = start;
    }

    /// The program wants to hear a chat; its place.
    pub(super) fn ask(&mut self, chat: ChatId, from: Start) -> Option<Seq> {
        let place = self.places.entry(chat).or_insert_with(|| Place::new(from.place()));
        (place.asked, place.left, place.gone) = (true, false, false);
        place.last
    }

    /// The program no longer wants to hear a chat.
    pub(super) fn unask(&mut self, chat: ChatId) {
        if let Some(place) = self.places.get_mut(&chat) {
            place.asked = false;
            place.left = !place.member;
        }
    }

    /// What the program subscribed to, and where it stands there.
    pub(super) fn asked(&self) -> Vec<(ChatId, Option<Seq>)> {
        self.filtered(|place| place.asked)
    }

    /// The server did not subscribe us.
    pub(super) fn not_heard(&mut self, chat: ChatId) {
        if let Some(place) = self.places.get_mut(&chat) {
            place.not_heard = true;
        }
    }

    /// What is to be subscribed to again.
    pub(super) fn unheard(&mut self) -> Vec<(ChatId, Option<Seq>)> {
        let found = self.filtered(|place| place.asked && place.not_heard);
        for (chat, _) in &found {
            if let Some(place) = self.places.get_mut(chat) {
                place.not_heard = false;
            }
        }
        found
    }

    fn filtered(&self, fits: impl Fn(&Place) -> bool) -> Vec<(ChatId, Option<Seq>)> {
        self.places.iter().filter(|(_, place)| fits(place)).map(|(chat, place)| (*chat, place.last)).collect()
    }

    /// A chat's head, as a connection begins. Returns behind which number it is read, where that was not known yet.
    pub(super) fn head(&mut self, head: &Head) -> Option<(ChatId, Seq)> {
        let start = self.start.place();
        let mut begins = false;
        let place = self.places.entry(head.chat_id).or_insert_with(|| {
            begins = true;
            Place::new(start)
        });
        (place.listed, place.member) = (true, true);
        (place.left, place.gone) = (false, false);
        begins |= place.last.is_none();
        let last = *place.last.get_or_insert(head.seq);
        place.heard = place.heard.max(head.seq);
        (begins && last > Seq::ZERO).then_some((head.chat_id, last))
    }

    /// Chats that no head names and that nobody asked for; each is told once. What the program left itself is no news.
    pub(super) fn unlisted(&mut self) -> Vec<ChatId> {
        let is_lost = |place: &Place| !place.listed && !place.asked && !place.left && !place.gone;
        let lost = self.places.iter_mut().filter(|(_, place)| is_lost(place));
        lost.map(|(chat, place)| {
            (place.member, place.gone) = (false, true);
            *chat
        })
        .collect()
    }

    /// An event as it happens.
    pub(super) fn live(&mut self, event: Arc<Event>, start: Start, updates: &mut Vec<Update>) {
        let seq = event.seq();
        let place = self.heard(event.chat_id(), seq, start);
        let last = *place.last.get_or_insert(Seq(seq.0.saturating_sub(1)));
        place.heard = place.heard.max(seq);
        if seq == last.next() {
            place.advance(event, updates);
        } else if seq > last && place.ahead.len() < AHEAD {
            place.ahead.insert(seq, event);
        }
    }

    /// Events were left out.
    pub(super) fn gap(&mut self, gap: &Gap, start: Start, updates: &mut Vec<Update>) {
        let begins = self.places.get(&gap.chat_id).is_none_or(|place| place.last.is_none());
        let place = self.heard(gap.chat_id, gap.from, start);
        let last = *place.last.get_or_insert(Seq(gap.from.0.saturating_sub(1)));
        if begins {
            updates.push(Update::Begun { chats: vec![(gap.chat_id, last)] });
        }
        place.heard = place.heard.max(gap.to);
    }

    /// The place of a chat of which `seq` was heard.
    fn heard(&mut self, chat: ChatId, seq: Seq, start: Start) -> &mut Place {
        let first = match start {
            Start::Newest => Seq(seq.0.saturating_sub(1)),
            other => other.place().unwrap_or_default(),
        };
        let place = self.places.entry(chat).or_insert_with(|| Place::new(Some(first)));
        (place.listed, place.gone) = (true, false);
        place
    }

    /// A page that was asked for.
    pub(super) fn page(&mut self, page: Events, updates: &mut Vec<Update>) {
        let Some((place, asked)) = self.answered(page.chat_id) else { return };
        place.heard = place.heard.max(page.head);
        let Some(before) = place.last else {
            // Only the head was of interest.
            return place.begin(page.chat_id, page.head, updates);
        };
        for event in page.events {
            // Live events may have been faster than the page.
            let next = place.last.unwrap_or_default().next();
            if event.seq() == next {
                place.advance(Arc::new(event), updates);
            } else if event.seq() > next {
                break;
            }
        }
        let asked_for_less = asked.is_some_and(|asked| asked < before);
        if place.last == Some(before) && page.head > before && !asked_for_less {
            // A page that brings nothing although there is more: asking again at once would never end. The next event
            // asks again.
            place.heard = before;
        }
    }

    /// The log does not reach back to where we are, or not forward. Returns after what to ask for the oldest message that
    /// is kept, if that is to be known first. The asking is taken as done.
    pub(super) fn reset(&mut self, reset: &Reset, updates: &mut Vec<Update>) -> Option<Seq> {
        let (place, asked) = self.answered(reset.chat_id)?;
        let Some(last) = place.last else {
            // Only the head was of interest.
            place.heard = place.heard.max(reset.head);
            place.begin(reset.chat_id, reset.head, updates);
            return None;
        };
        if asked.is_some_and(|asked| asked > reset.head) {
            place.heard = reset.head;
            place.pass_over(reset.chat_id, reset.head, updates);
        } else if reset.head > last {
            place.heard = place.heard.max(reset.head);
            place.pull = Pull::Oldest(reset.head);
            self.pulls += 1;
            return Some(last);
        }
        None
    }

    /// The oldest message that is kept: the chat goes on with it, or behind its head where nothing is kept.
    pub(super) fn oldest(&mut self, page: &Messages, updates: &mut Vec<Update>) {
        let Some(place) = self.places.get_mut(&page.chat_id) else { return };
        let Pull::Oldest(head) = place.pull else { return };
        place.pull = Pull::No;
        self.pulls -= 1;
        let before = page.messages.first().map(|oldest| Seq(oldest.seq.0.saturating_sub(1)));
        // Were it where we are already, the same question would bring the same answer for ever.
        let to = before.filter(|before| Some(*before) > place.last).unwrap_or(head);
        if Some(to) > place.last {
            place.pass_over(page.chat_id, to, updates);
        }
    }

    /// The place whose pull was answered, and after what it asked.
    fn answered(&mut self, chat: ChatId) -> Option<(&mut Place, Option<Seq>)> {
        let place = self.places.get_mut(&chat)?;
        let Pull::After(asked) = place.pull else { return None };
        place.pull = Pull::No;
        self.pulls -= 1;
        Some((place, asked))
    }

    /// Begins to ask, whether or not anything is missing; `false` if that is under way already.
    pub(super) fn begin_pull(&mut self, chat: ChatId) -> bool {
        let Some(place) = self.places.get_mut(&chat) else { return false };
        match place.pull {
            Pull::After(_) | Pull::Oldest(_) => return false,
            Pull::No => self.pulls += 1,
            Pull::Later => {}
        }
        place.pull = Pull::After(place.last);
        true
    }

    /// After what to ask next, if anything is missing and not asked for yet. The asking is taken as done.
    pub(super) fn next_pull(&mut self, chat: ChatId) -> Option<Option<Seq>> {
        let place = self.places.get(&chat)?;
        let wanted = place.pull == Pull::Later || place.last.is_some_and(|last| place.heard > last);
        let last = place.last;
        (wanted && !place.gone && self.begin_pull(chat)).then_some(last)
    }

    /// A pull was refused.
    pub(super) fn defer(&mut self, chat: ChatId) {
        if let Some(place) = self.places.get_mut(&chat)
            && matches!(place.pull, Pull::After(_) | Pull::Oldest(_))
        {
            place.pull = Pull::Later;
        }
    }

    /// Chats whose pull waits for patience.
    pub(super) fn deferred(&self) -> Vec<ChatId> {
        self.places.iter().filter(|(_, place)| place.pull == Pull::Later).map(|(chat, _)| *chat).collect()
    }

    /// A chat cannot be read; `true` if that is news.
    pub(super) fn give_up(&mut self, chat: ChatId) -> bool {
        let Some(place) = self.places.get_mut(&chat) else { return false };
        if place.pull == Pull::Later {
            place.pull = Pull::No;
            self.pulls -= 1;
        }
        place.heard = place.last.unwrap_or_default();
        place.ahead.clear();
        (place.asked, place.member) = (false, false);
        !std::mem::replace(&mut place.gone, true)
    }

    /// Whether anything is still being pulled.
    pub(super) fn is_behind(&self) -> bool {
        self.pulls > 0
    }
}
