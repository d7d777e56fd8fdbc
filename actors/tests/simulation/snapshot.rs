//! Snapshots of the state, slice by slice while it goes on, and what a start makes of them: the engine's own slices on a
//! simulated shelf.

use chappe_actors::log::record::Position;
use chappe_actors::snapshot::scribe::Slice;
use chappe_actors::state::dedup::Dedup;
use chappe_actors::state::names::{Name, Names};
use chappe_actors::state::print::PrintKey;
use chappe_actors::state::slices::{Cursor, Restoring};
use chappe_actors::state::{Settings, State};

use crate::disk::with_ledger;
use crate::ledger::Ledger;
use crate::lie::Lie;
use crate::server::Server;
use crate::verdict::holds;

/// One snapshot: whole, or as far as it has come.
#[derive(Default)]
struct Snapshot {
    slices: Vec<Vec<u8>>,
    /// Where the log stood when the first slice was taken, and the last.
    from: Option<Position>,
    until: Position,
    last_chat: u64,
}

/// See the module. It outlives the process.
#[derive(Default)]
pub(crate) struct Shelf {
    done: Option<Snapshot>,
    under_way: Option<(Cursor, Snapshot)>,
    names: Vec<Name>,
    pub(crate) taken: u64,
}

impl Shelf {
    /// Takes the next slice; with the last, the snapshot is there.
    pub(crate) fn go_on(&mut self, server: &mut Server) {
        let (cursor, mut snapshot) = self.under_way.take().unwrap_or_default();
        let Slice { bytes, next, at, last_chat, names } = server.slice(cursor);
        snapshot.slices.push(bytes);
        snapshot.from.get_or_insert(at);
        (snapshot.until, snapshot.last_chat) = (at, last_chat);
        match next {
            Some(next) => self.under_way = Some((next, snapshot)),
            None => {
                self.names.extend(names);
                self.done = Some(snapshot);
                self.taken += 1;
            }
        }
    }

    /// The process is gone, and with it what was not whole.
    pub(crate) fn crash(&mut self) {
        self.under_way = None;
    }

    /// The state that the last snapshot leads to, with what came behind it; or all of the log, where there is none.
    pub(crate) fn restore(&self, settings: Settings, lie: Lie) -> State {
        let Some(snapshot) = &self.done else { return replayed(settings, lie) };
        let mut restoring = Restoring::new(settings);
        for slice in &snapshot.slices {
            holds(restoring.take(slice).is_some(), || "a slice cannot be read".to_owned());
        }
        let from = snapshot.from.unwrap_or_default();
        let mut state = restoring.finish(from, snapshot.last_chat);
        let mut names = Names::default();
        self.names.iter().for_each(|name| {
            names.insert(*name);
        });
        state.set_names(Dedup::new(PrintKey::default(), names));
        with_ledger(|ledger| {
            let head = ledger.head();
            holds(snapshot.until.0 <= head, || format!("a snapshot knows of {}: on disk are {head}", snapshot.until.0));
            ledger.log(from.0).filter(|record| lie.replays(record)).for_each(|record| state.replay(record));
        });
        state.replayed();
        state
    }

    /// Whether the state of a server at rest is the one that the log leads to.
    pub(crate) fn compare(&mut self, server: &mut Server, settings: Settings) {
        self.under_way = None;
        self.go_on(server);
        while self.under_way.is_some() {
            self.go_on(server);
        }
        // The names of messages of which the log says nothing any more are known from before.
        let rewritten = with_ledger(Ledger::rewritten);
        let restored = self.restore(settings, Lie::None);
        let differences = replayed(settings, Lie::None).differences(&restored, &rewritten);
        holds(differences == 0, || format!("{differences} chats, users or names are not what the log leads to"));
    }
}

fn replayed(settings: Settings, lie: Lie) -> State {
    let mut state = State::new(settings);
    with_ledger(|ledger| {
        ledger.log(0).filter(|record| lie.replays(record)).for_each(|record| state.replay(record));
    });
    state
}
