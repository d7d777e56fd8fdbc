//! What was posted and is under way: who may post, and where to. Plain: no sockets, no clock.

/// Who posts, where to, and how much may be under way.
#[derive(Debug, Default)]
pub(crate) struct Board {
    lines: Vec<Line>,
    publishers: Vec<Publisher>,
    /// Messages that one publisher may have under way; without it any number: then nothing is counted here.
    window: Option<u32>,
    posted: u64,
}

/// The messages of one publisher in one channel.
#[derive(Debug)]
struct Line {
    publisher: usize,
    channel: u64,
    /// What completes a message: so many deliveries, or its ack if nobody listens.
    goal: u32,
    posted: u32,
    /// What is still to come of the last messages, by their number in the window.
    waiting: Vec<u32>,
}

#[derive(Debug, Default)]
struct Publisher {
    lines: Vec<u32>,
    turn: usize,
    under_way: u32,
}

/// A message to post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) line: u32,
    pub(crate) number: u32,
    pub(crate) channel: u64,
}

impl Board {
    /// An empty board. A window is taken as the next power of two.
    pub(crate) fn new(window: Option<u32>) -> Self {
        Self { window: window.map(u32::next_power_of_two), ..Self::default() }
    }

    /// Adds a publisher that posts to `channels` in turn, each with its number of listeners; returns its first line.
    pub(crate) fn publisher(&mut self, channels: &[(u64, u32)]) -> u32 {
        let first = u32::try_from(self.lines.len()).unwrap_or(u32::MAX);
        let slots = usize::try_from(self.window.unwrap_or(0)).unwrap_or_default();
        let lines = channels.iter().map(|(channel, listeners)| Line {
            publisher: self.publishers.len(),
            channel: *channel,
            goal: (*listeners).max(1),
            posted: 0,
            waiting: vec![0; slots],
        });
        self.lines.extend(lines);
        let lines = (first..).take(channels.len()).collect();
        self.publishers.push(Publisher { lines, ..Publisher::default() });
        first
    }

    /// How many publishers there are.
    pub(crate) fn publishers(&self) -> usize {
        self.publishers.len()
    }

    /// The message that a publisher posts now, if it may.
    pub(crate) fn post(&mut self, publisher: usize) -> Option<Next> {
        let publisher = self.publishers.get_mut(publisher)?;
        if self.window.is_some_and(|window| publisher.under_way >= window) {
            return None;
        }
        let at = *publisher.lines.get(publisher.turn % publisher.lines.len().max(1))?;
        let line = self.lines.get_mut(usize::try_from(at).ok()?)?;
        if let Some(slot) = slot(&mut line.waiting, line.posted) {
            if *slot > 0 {
                // The window's length ago is still under way, though later ones are through.
                return None;
            }
            *slot = line.goal;
            publisher.under_way += 1;
        }
        publisher.turn = publisher.turn.wrapping_add(1);
        let number = line.posted;
        line.posted += 1;
        self.posted += 1;
        Some(Next { line: at, number, channel: line.channel })
    }

    /// A message came to one more of its listeners, or was acknowledged and has none. Returns the publisher that may post
    /// again if that was the last.
    pub(crate) fn came(&mut self, line: u32, number: u32) -> Option<usize> {
        let line = self.lines.get_mut(usize::try_from(line).ok()?)?;
        let slot = slot(&mut line.waiting, number)?;
        *slot = slot.checked_sub(1)?;
        if *slot > 0 {
            return None;
        }
        let publisher = self.publishers.get_mut(line.publisher)?;
        publisher.under_way = publisher.under_way.saturating_sub(1);
        Some(line.publisher)
    }

    /// Messages of a line.
    pub(crate) fn posted_in(&self, line: u32) -> u32 {
        usize::try_from(line).ok().and_then(|line| self.lines.get(line)).map_or(0, |line| line.posted)
    }

    /// Messages of all lines.
    pub(crate) fn posted(&self) -> u64 {
        self.posted
    }
}

fn slot(waiting: &mut [u32], number: u32) -> Option<&mut u32> {
    let mask = waiting.len().checked_sub(1)?;
    waiting.get_mut(usize::try_from(number).ok()? & mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(next: Option<Next>) -> Option<u32> {
        next.map(|next| next.number)
    }

    #[test]
    fn a_publisher_posts_no_more_than_its_window_until_all_have_heard_one() {
        let mut board = Board::new(Some(2));
        let line = board.publisher(&[(9, 3)]);
        assert_eq!(board.post(0), Some(Next { line, number: 0, channel: 9 }));
        assert_eq!(number(board.post(0)), Some(1));
        assert_eq!(board.post(0), None);
        assert_eq!([board.came(line, 0), board.came(line, 0)], [None, None]);
        assert_eq!(board.post(0), None);
        assert_eq!(board.came(line, 0), Some(0));
        assert_eq!(number(board.post(0)), Some(2));
    }

    #[test]
    fn a_message_that_hangs_is_not_overtaken_by_more_than_a_window() {
        let mut board = Board::new(Some(4));
        let line = board.publisher(&[(9, 1)]);
        for _ in 0..4 {
            board.post(0);
        }
        for number in 1..4 {
            board.came(line, number);
        }
        // Three are through, but the first has not come: its place would be taken.
        assert_eq!(board.post(0), None);
        assert_eq!(board.came(line, 0), Some(0));
        assert_eq!(number(board.post(0)), Some(4));
    }

    #[test]
    fn channels_take_turns_and_share_the_window() {
        let mut board = Board::new(Some(4));
        let first = board.publisher(&[(7, 1), (8, 1)]);
        let posted: Vec<_> = std::iter::from_fn(|| board.post(0)).map(|next| (next.channel, next.number)).collect();
        assert_eq!(posted, [(7, 0), (8, 0), (7, 1), (8, 1)]);
        assert_eq!((board.posted_in(first), board.posted()), (2, 4));
    }

    #[test]
    fn without_a_window_everything_may_be_posted() {
        let mut board = Board::new(None);
        let line = board.publisher(&[(9, 5)]);
        assert_eq!((0..1000).filter_map(|_| board.post(0)).count(), 1000);
        assert_eq!(board.came(line, 0), None);
    }
}
