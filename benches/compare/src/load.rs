//! The load: one thread that posts, hears and checks, over as many connections as there are seats.

use std::time::{Duration, Instant};

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use crate::board::Board;
use crate::connection::{Asked, Connection, READ_BYTES};
use crate::pace::{Pace, Schedule};
use crate::payload::{Payload, Pen};
use crate::protocol::Found;
use crate::tally::{Mark, Outcome, Tally};
use crate::trouble::Trouble;
use crate::usage::Watched;

/// The timer of a schedule.
const TIMER: Token = Token(usize::MAX);
/// How long nothing may come once nothing more is posted, or in a closed loop while it waits: what has not come is lost.
const SILENCE: Duration = Duration::from_secs(3);
/// How long what is under way at the end may take.
const GRACE: Duration = Duration::from_secs(20);
/// Events between two looks at who may post.
const ROUND: usize = 16;

/// How a load runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) pace: Pace,
    pub(crate) warmup: Duration,
    pub(crate) measure: Duration,
    /// The latency of one delivery in so many is taken.
    pub(crate) sample: u32,
    /// Whose CPU time is counted.
    pub(crate) server: Watched,
}

/// The load.
pub(crate) struct Load {
    connections: Vec<Connection>,
    /// The connection of each publisher.
    publishers: Vec<usize>,
    board: Board,
    pen: Pen,
    tally: Tally,
    span: Span,
    schedule: Option<Schedule>,
    start: Instant,
    measuring: bool,
    /// Deliveries that the posted messages come to.
    expected: u64,
    listeners: Vec<u32>,
    /// The last place that acks named, by line.
    places: Vec<u64>,
    /// Publishers with room in their window.
    ready: Vec<usize>,
    text: Vec<u8>,
}

impl Load {
    /// A load that has not begun. `publishers` are the connections of the board's, `listeners` how many hear each line.
    pub(crate) fn new(
        connections: Vec<Connection>,
        publishers: Vec<usize>,
        board: Board,
        listeners: Vec<u32>,
        pen: Pen,
        span: Span,
    ) -> Result<Self, Trouble> {
        let schedule = match span.pace {
            Pace::Rate(per_s) => Some(Schedule::new(per_s)?),
            Pace::Window(_) => None,
        };
        Ok(Self {
            ready: (0..publishers.len()).collect(),
            places: vec![0; listeners.len()],
            connections,
            publishers,
            board,
            pen,
            tally: Tally::new()?,
            span,
            schedule,
            start: Instant::now(),
            measuring: false,
            expected: 0,
            listeners,
            text: Vec::new(),
        })
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Runs to the end, and says what came of it and how many messages were posted.
    pub(crate) fn run(mut self) -> Result<(Outcome, u64), Trouble> {
        let machine = || Trouble::machine("poll");
        let mut poll = Poll::new().map_err(machine())?;
        for (index, connection) in self.connections.iter_mut().enumerate() {
            let interest = Interest::READABLE | Interest::WRITABLE;
            let interest = if self.publishers.contains(&index) { interest } else { Interest::READABLE };
            poll.registry().register(&mut connection.stream, Token(index), interest).map_err(machine())?;
        }
        if let Some(schedule) = &self.schedule {
            let timer = schedule.timer();
            poll.registry().register(&mut SourceFd(&timer), TIMER, Interest::READABLE).map_err(machine())?;
        }
        let mut events = Events::with_capacity(256);
        let mut buffer = vec![0; READ_BYTES * 2];
        let mut found = Vec::new();
        let (from, to) = (self.span.warmup, self.span.warmup + self.span.measure);
        let (mut begun, mut ended): (Option<Mark>, Option<Mark>) = (None, None);
        let (mut come, mut came_at) = (0, Instant::now());
        self.start = Instant::now();
        self.post()?;
        loop {
            if let Err(error) = poll.poll(&mut events, Some(Duration::from_millis(50)))
                && error.kind() != std::io::ErrorKind::Interrupted
            {
                return Err(machine()(error));
            }
            for (index, event) in events.iter().enumerate() {
                self.happened(event, &mut buffer, &mut found)?;
                if index % ROUND == ROUND - 1 && ended.is_none() {
                    self.post()?;
                }
            }
            let elapsed = self.start.elapsed();
            if begun.is_none() && elapsed >= from {
                begun = Some(self.mark());
                self.measuring = true;
            }
            if ended.is_none() && elapsed >= to {
                ended = Some(self.mark());
            }
            if ended.is_none() {
                self.post()?;
            }
            if self.tally.deliveries + self.tally.acks > come {
                (come, came_at) = (self.tally.deliveries + self.tally.acks, Instant::now());
            }
            let through = ended.is_some() && self.is_through();
            if through || elapsed > to + GRACE || (came_at.elapsed() > SILENCE && self.waits(ended.is_some())) {
                break;
            }
        }
        let ended = ended.unwrap_or_else(|| self.mark());
        Ok(self.close(begun, ended))
    }

    fn mark(&self) -> Mark {
        Mark::now(self.now_ns(), &self.tally, self.span.server)
    }

    /// Whether all that was posted has come to everybody, and was acknowledged.
    fn is_through(&self) -> bool {
        self.tally.deliveries >= self.expected && self.connections.iter().all(|connection| connection.asked.is_empty())
    }

    /// Whether something has to come before anything else can happen.
    fn waits(&self, ended: bool) -> bool {
        ended || self.schedule.is_none()
    }

    fn happened(&mut self, event: &Event, buffer: &mut [u8], found: &mut Vec<Found>) -> Result<(), Trouble> {
        let Token(index) = event.token();
        if event.is_writable()
            && let Some(connection) = self.connections.get_mut(index)
        {
            connection.flush()?;
        }
        if !event.is_readable() {
            return Ok(());
        }
        while let Some(connection) = self.connections.get_mut(index) {
            let Some((bytes, more)) = connection.read(buffer, found)? else { break };
            let now = self.now_ns();
            for found in &*found {
                match *found {
                    Found::Delivery(from, to) => self.delivered(index, bytes.get(from..to).unwrap_or_default(), now),
                    Found::Ack { number, place } => self.acked(index, number, place, now),
                }
            }
            // A read that did not fill its space has emptied the socket: what comes later is another event.
            if !more {
                break;
            }
        }
        // Answers to pings.
        self.connections.get_mut(index).map_or(Ok(()), Connection::flush)
    }

    fn delivered(&mut self, index: usize, text: &[u8], now: u64) {
        let Some(payload) = self.pen.read(text) else {
            self.tally.delivered.damaged += 1;
            return;
        };
        let Some(account) = self.connections[index].account(payload.line) else {
            self.tally.delivered.stray += 1;
            return;
        };
        if !self.tally.delivered.count(account.take(payload.number)) {
            return;
        }
        self.tally.deliveries += 1;
        let turn = u32::try_from(index).unwrap_or_default().wrapping_add(payload.number);
        if turn.is_multiple_of(self.span.sample) && self.is_measured(payload.due_ns) {
            self.tally.delivery.record(now.saturating_sub(payload.due_ns));
        }
        self.ready.extend(self.board.came(payload.line, payload.number));
    }

    fn acked(&mut self, index: usize, number: Option<u32>, place: u64, now: u64) {
        let connection = &mut self.connections[index];
        let number = number.unwrap_or(connection.acked.next());
        let at = number.checked_sub(connection.first).and_then(|at| usize::try_from(at).ok());
        let Some(asked) = at.and_then(|at| connection.asked.get(at)).copied() else {
            // Of nothing that was asked, or a second time.
            let known = number < connection.posts();
            self.tally.acked.doubled += u64::from(known);
            self.tally.acked.stray += u64::from(!known);
            return;
        };
        if !self.tally.acked.count(connection.acked.take(number)) {
            return;
        }
        while connection.acked.has(connection.first) && connection.asked.pop_front().is_some() {
            connection.first += 1;
        }
        self.tally.acks += 1;
        if self.is_measured(asked.due_ns) {
            self.tally.ack.record(now.saturating_sub(asked.due_ns));
        }
        let Some(line) = usize::try_from(asked.line).ok().filter(|line| *line < self.places.len()) else { return };
        // A place that does not grow: the ack of another message, or a message stored out of order.
        self.tally.acked.swapped += u64::from(place > 0 && place <= self.places[line]);
        self.places[line] = self.places[line].max(place);
        if self.listeners[line] == 0 {
            self.ready.extend(self.board.came(asked.line, asked.number));
        }
    }

    fn is_measured(&self, due_ns: u64) -> bool {
        let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        (ns(self.span.warmup)..ns(self.span.warmup + self.span.measure)).contains(&due_ns)
    }

    /// Posts all that may be posted, or is due.
    fn post(&mut self) -> Result<(), Trouble> {
        let Some(mut schedule) = self.schedule.take() else {
            while let Some(publisher) = self.ready.pop() {
                let due = self.now_ns();
                while self.post_one(publisher, due) {}
                self.connections[self.publishers[publisher]].flush()?;
            }
            return Ok(());
        };
        let now = self.now_ns();
        let count = self.board.publishers().max(1);
        while let Some((number, due)) = schedule.take(now) {
            let publisher = usize::try_from(number).unwrap_or_default() % count;
            self.post_one(publisher, due);
            self.connections[self.publishers[publisher]].flush()?;
            if self.is_measured(due) {
                self.tally.late.record(now - due);
            }
        }
        schedule.wind(self.now_ns())?;
        self.schedule = Some(schedule);
        Ok(())
    }

    fn post_one(&mut self, publisher: usize, due_ns: u64) -> bool {
        let Some(next) = self.board.post(publisher) else { return false };
        self.pen.write(Payload { line: next.line, number: next.number, due_ns }, &mut self.text);
        self.expected += u64::from(usize::try_from(next.line).map_or(0, |line| self.listeners[line]));
        let asked = Asked { line: next.line, number: next.number, due_ns };
        self.connections[self.publishers[publisher]].post(next.channel, asked, &self.text);
        true
    }

    /// Draws the line under all accounts.
    fn close(mut self, begun: Option<Mark>, ended: Mark) -> (Outcome, u64) {
        let mut outcome = Outcome::default();
        for connection in &self.connections {
            for (line, account) in connection.accounts() {
                self.tally.delivered.lost += account.lost(self.board.posted_in(*line));
            }
            if connection.protocol.acks() {
                self.tally.acked.lost += connection.acked.lost(connection.posts());
            }
        }
        match begun {
            Some(begun) => begun.until(&ended, &mut outcome.values),
            None => outcome.failures.push("it stood still before measuring began".to_owned()),
        }
        self.tally.delivery.tell("delivery", &mut outcome.values);
        self.tally.ack.tell("ack", &mut outcome.values);
        self.tally.late.tell("late", &mut outcome.values);
        outcome.values.insert("server_resident_bytes".to_owned(), self.span.server.resident());
        #[allow(clippy::cast_precision_loss)]
        for (name, count) in
            [("posted", self.board.posted()), ("deliveries", self.tally.deliveries), ("acks", self.tally.acks)]
        {
            outcome.values.insert(name.to_owned(), count as f64);
        }
        let told = [self.tally.delivered.told("deliveries"), self.tally.acked.told("acks")];
        outcome.failures.extend(told.into_iter().flatten());
        (outcome, self.board.posted())
    }
}
