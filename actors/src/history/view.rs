//! One chat at one moment: its chunks, its end and its tail as one sequence of events.

use std::sync::Arc;

use chappe_proto::compression::Expander;
use chappe_proto::event::Event;
use chappe_proto::{ChatId, Seq};
use rusqlite::Connection;

use super::changes::Change;
use super::chunks::Chunks;
use super::forget;
use super::run::{Run, damaged};
use super::tail::{ChatTail, Tail};
use crate::log::LogError;
use crate::log::record::{self, Kind, Position, Record};
use crate::log::sqlite::SqliteLog;
use crate::map::Map;
use crate::retention::Limits;

/// See the module.
pub(super) struct View<'a> {
    chat: ChatId,
    tables: &'a Connection,
    chunks: Chunks<'a>,
    log: &'a mut SqliteLog,
    /// The last run in the tables.
    end: Run,
    tail: Option<&'a ChatTail>,
    /// What the tables do not know yet of what is not kept any more.
    limits: &'a Limits,
    /// No page of messages reaches below this number: they are not kept.
    floor: Seq,
}

impl<'a> View<'a> {
    /// Looks at a chat.
    ///
    /// # Errors
    /// [`LogError::Corrupt`] if the tables and the tail do not meet, or [`LogError`] if the disk cannot be read.
    pub(super) fn of(
        chat: ChatId,
        tables: &'a Connection,
        expander: &'a mut Expander,
        log: &'a mut SqliteLog,
        tail: &'a Tail,
    ) -> Result<Self, LogError> {
        let (tail, limits) = (tail.of(chat), tail.limits());
        let mut chunks = Chunks::of(tables, expander);
        let end = chunks.end(chat)?.unwrap_or_else(|| Run::new(Seq(1), 0));
        if tail.is_some_and(|tail| tail.first() != end.next()) {
            return Err(damaged(chat, end.next(), "the log does not go on where they end"));
        }
        let floor = forget::floor(tables, chat)?.max(limits.floor(chat));
        Ok(Self { chat, tables, chunks, log, end, tail, limits, floor })
    }

    /// Up to which number messages are not kept any more.
    pub(super) fn floor(&self) -> Seq {
        self.floor
    }

    /// Up to `limit` events after a number, oldest first; only those of a kind, if one is given. They are as they were when
    /// they happened: see [`View::change`].
    pub(super) fn after(&mut self, seq: Seq, limit: usize, kind: Option<Kind>) -> Result<Vec<Event>, LogError> {
        let mut found = Vec::new();
        let mut next = seq.next();
        while found.len() < limit && next < self.end.next() {
            let run = self.run(next)?;
            let events = run.events().filter(|event| event.seq > seq && kind.is_none_or(|kind| event.kind() == kind));
            for event in events.take(limit - found.len()) {
                found.extend(left(self.limits, self.floor, event.record(self.chat)?));
            }
            next = run.next();
        }
        let places = self.tail.into_iter().flat_map(ChatTail::events);
        let places = places.filter(|(at, _, of)| *at > seq && kind.is_none_or(|kind| *of == kind));
        let places: Vec<Position> = places.map(|(_, position, _)| position).take(limit - found.len()).collect();
        self.pick(&places, &mut found)?;
        Ok(found)
    }

    /// The last `limit` events before a number, oldest first, as for [`View::after`].
    pub(super) fn before(&mut self, seq: Seq, limit: usize, kind: Option<Kind>) -> Result<Vec<Event>, LogError> {
        let places = self.tail.into_iter().flat_map(|tail| tail.events().rev());
        let places = places.filter(|(at, _, of)| *at < seq && kind.is_none_or(|kind| *of == kind));
        let mut places: Vec<Position> = places.map(|(_, position, _)| position).take(limit).collect();
        places.reverse();
        let mut found = Vec::new();
        let mut next = seq.min(self.end.next());
        while found.len() < limit - places.len() && next > Seq(1) {
            let run = self.run(Seq(next.0 - 1))?;
            let events = run.events().rev();
            let events = events.filter(|event| event.seq < seq && kind.is_none_or(|kind| event.kind() == kind));
            for event in events.take(limit - places.len() - found.len()) {
                found.extend(left(self.limits, self.floor, event.record(self.chat)?));
            }
            next = run.first;
        }
        found.reverse();
        self.pick(&places, &mut found)?;
        Ok(found)
    }

    /// How many messages there are.
    pub(super) fn messages(&mut self) -> Result<u64, LogError> {
        self.messages_until(super::LAST)
    }

    /// How many messages have this number or a lower one.
    pub(super) fn messages_until(&mut self, seq: Seq) -> Result<u64, LogError> {
        if seq.next() < self.end.next() {
            let run = self.run(seq.max(Seq(1)))?;
            return Ok(run.before + run.messages_until(seq));
        }
        let newer = self.tail.into_iter().flat_map(ChatTail::events);
        let newer = newer.take_while(|(at, ..)| *at <= seq).filter(|(_, _, kind)| *kind == Kind::Post).count();
        Ok(self.end.before + self.end.messages_until(seq) + newer as u64)
    }

    /// The number of the `rank`th message, counted from 1; there are as many. Cost: a search among the chunks.
    pub(super) fn nth_message(&mut self, rank: u64) -> Result<Seq, LogError> {
        let in_tables = self.end.before + self.end.messages_until(self.end.next());
        let (chat, end) = (self.chat, self.end.next());
        let missing = || damaged(chat, end, "messages are missing");
        let nth = |before: u64| usize::try_from(rank.saturating_sub(before + 1)).unwrap_or(usize::MAX);
        if rank > in_tables {
            let posts = self.tail.into_iter().flat_map(ChatTail::events).filter(|(_, _, kind)| *kind == Kind::Post);
            return posts.map(|(seq, ..)| seq).nth(nth(in_tables)).ok_or_else(missing);
        }
        let run = if rank > self.end.before { self.end.clone() } else { self.run_of(rank)? };
        let mut posts = run.events().filter(|event| event.kind() == Kind::Post).map(|event| event.seq);
        posts.nth(nth(run.before)).filter(|_| rank > run.before).ok_or_else(missing)
    }

    /// The chunk in which a message stands, by its rank.
    fn run_of(&mut self, rank: u64) -> Result<Run, LogError> {
        // There are no fewer events than messages, neither before it nor behind it.
        let behind = self.end.before.saturating_sub(rank);
        let (mut low, mut high) = (Seq(rank), Seq(self.end.first.0.saturating_sub(behind + 1)));
        while low < high {
            let middle = Seq(low.0 + (high.0 - low.0).div_ceil(2));
            match self.chunks.place(self.chat, middle)? {
                Some((first, before)) if before >= rank && first > low => high = Seq(first.0 - 1),
                Some((first, _)) if first > low => low = first,
                // It may begin where the search does; then it is this one, or what is behind it.
                _ => {
                    let run = self.chunks.at(self.chat, low)?;
                    if run.before + run.messages_until(run.next()) >= rank {
                        return Ok(run);
                    }
                    low = run.next();
                }
            }
        }
        self.chunks.at(self.chat, low)
    }

    /// Brings events into the state that they have now: messages edited or deleted, edits of deleted messages empty.
    pub(super) fn change(&mut self, events: &mut [Event]) -> Result<(), LogError> {
        let changes = self.changes(events)?;
        if changes.is_empty() {
            return Ok(());
        }
        for event in events {
            match event {
                Event::Message(message) => {
                    if let Some(change) = changes.get(&message.seq) {
                        change.apply(Arc::make_mut(message));
                    }
                }
                Event::MessageEdited(edited) if changes.get(&edited.message_seq).is_some_and(|now| now.deleted) => {
                    edited.content = Box::default();
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What became of the messages among these events, and of those that they change.
    fn changes(&mut self, events: &[Event]) -> Result<Map<Seq, Change>, LogError> {
        let mut messages = events.iter().filter_map(Event::message).map(|message| message.seq);
        let mut changes = Map::default();
        if let Some(first) = messages.next() {
            let last = messages.next_back().unwrap_or(first);
            changes.extend(Change::between(self.tables, self.chat, first, last)?);
        }
        for target in events.iter().filter_map(Change::target) {
            if let Some(change) = Change::of(self.tables, self.chat, target)? {
                changes.insert(target, change);
            }
        }
        let newer = self.tail.into_iter().flat_map(ChatTail::events).filter(|(_, _, kind)| *kind == Kind::Change);
        let newer: Vec<Position> = newer.map(|(_, position, _)| position).collect();
        let mut found = Vec::new();
        self.pick(&newer, &mut found)?;
        for event in &found {
            if let Some(target) = Change::target(event) {
                changes.entry(target).or_default().note(event);
            }
        }
        Ok(changes)
    }

    /// The run in which an event stands that is in the tables.
    fn run(&mut self, seq: Seq) -> Result<Run, LogError> {
        if seq >= self.end.first { Ok(self.end.clone()) } else { self.chunks.at(self.chat, seq) }
    }

    /// Adds the events at these positions of the log.
    fn pick(&mut self, places: &[Position], found: &mut Vec<Event>) -> Result<(), LogError> {
        let expected = found.len() + places.len();
        let (limits, floor) = (self.limits, self.floor);
        self.log.pick(places, |position, body| {
            found.extend(left(limits, floor, record::decode(position, body)?));
            Ok(())
        })?;
        let missing = || damaged(self.chat, self.end.next(), "the log has no event where one was");
        if found.len() == expected { Ok(()) } else { Err(missing()) }
    }
}

/// The event of a chat that a record is by now.
fn left(limits: &Limits, floor: Seq, mut record: Record) -> Option<Event> {
    limits.reduce_below(floor, &mut record);
    record.into_event()
}
