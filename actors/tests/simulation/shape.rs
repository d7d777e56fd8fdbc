//! How large a simulated server is, and how tight its limits: chosen by the dice.

use std::time::Duration;

use chappe_actors::retention::Retention;
use chappe_actors::state::Settings;
use chappe_proto::limits::{Limits, Rate};

use crate::acts::{CONTENT, PAGE};
use crate::dice::Dice;
use crate::office::HUBS;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) users: u64,
    pub(crate) clients: usize,
    pub(crate) hubs: usize,
    pub(crate) settings: Settings,
    pub(crate) retention: Retention,
    /// Whether users are erased.
    pub(crate) erases: bool,
    /// How many bytes a socket takes before anybody reads them.
    pub(crate) socket_room: usize,
    /// What all outboxes together may hold.
    pub(crate) all_outboxes: i64,
    /// How many steps it may take until all is at rest.
    pub(crate) patience: u64,
    /// Which of those that may be stalled has to wait now and then between two messages that it sends. The disk sends none.
    pub(crate) slow: usize,
}

impl Shape {
    pub(crate) fn of(dice: &mut Dice) -> Self {
        let users = 2 + dice.below(4);
        let clients = 2 + usize::try_from(dice.below(5)).unwrap_or_default();
        let free = Rate { per_sec: 0, burst: 1 };
        let rate = if dice.once_in(6) { Rate { per_sec: 30, burst: 10 } } else { free };
        let retention = Retention {
            max_age: dice.pick(&[None, None, Some(Duration::from_millis(300)), Some(Duration::from_secs(2))]).flatten(),
            max_messages_per_chat: dice.pick(&[None, None, Some(1), Some(6), Some(20)]).flatten(),
            every: Duration::ZERO,
            compact_every: Duration::ZERO,
        };
        let erases = dice.once_in(2);
        let mut pick = |all: [u32; 3]| dice.pick(&all).unwrap_or(all[0]);
        let limits = Limits {
            frame_bytes: 2048,
            content_bytes: 1024,
            window: pick([3, 16, 256]),
            outbox_bytes: pick([1500, 5000, 1 << 20]),
            page: 500,
            members: pick([4, 100, 100]),
            chats: pick([3, 100, 100]),
            connection_rate: rate,
            user_rate: rate,
            chat_rate: rate,
        };
        let as_size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let settings = Settings {
            limits,
            messages_per_chat: as_size(pick([2, 10, 100])),
            cache_bytes: as_size(pick([400, 4000, 1 << 20])),
            pending_writes: as_size(pick([6, 40, 1000])),
            heartbeat_ms: 25_000,
            connections_per_user: 100,
            open: true,
            epoch: 1,
        };
        Self {
            retention,
            erases,
            users,
            clients,
            hubs: 1 + as_size(pick([0, 1, 1])).min(HUBS - 1),
            settings,
            socket_room: as_size(pick([40, 600, 8000])),
            all_outboxes: i64::from(pick([6000, 1 << 30, 1 << 30])),
            patience: 20_000,
            // Most often the writer: a commit has it tell the state, and those who wait for their acks.
            slow: dice.pick(&[0, 1, 1, 2, 3, 4, 5]).unwrap_or_default(),
        }
    }

    /// What an outbox may hold: its events have a limit, and the answers of a window come to that.
    pub(crate) fn most_in_an_outbox(&self) -> usize {
        let limits = self.settings.limits;
        let as_size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let page = as_size(PAGE) * (usize::try_from(CONTENT).unwrap_or_default() + 400);
        let pages = as_size(limits.window.div_ceil(chappe_proto::commands::PAGE_WEIGHT)) + 1;
        // An ack, or an answer with a sentence; a list of chats has the last message of each.
        as_size(limits.outbox_bytes) + as_size(limits.window) * 400 + pages * page * 4
    }

    /// How many writes may be pending: a request that finds room may bring some more with it, for users that it makes.
    pub(crate) fn most_pending(&self) -> i64 {
        i64::try_from(self.settings.pending_writes).unwrap_or(i64::MAX) + 16
    }
}
