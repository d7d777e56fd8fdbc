//! Whatever happens between the slices of a snapshot: with what came after the first of them, it is the state.

use proptest::prelude::*;

use super::*;
use crate::log::record::Record;
use crate::state::dedup::Dedup;
use crate::state::names::{Name, Names};
use crate::state::print::PrintKey;
use crate::state::tests::properties::{Story, happening, is_the_same, settings};
use crate::state::tests::world::{SETTINGS, World};

/// A snapshot that is being taken.
#[derive(Default)]
struct Taking {
    from: Position,
    slices: Vec<Vec<u8>>,
    next: Option<Cursor>,
}

impl Taking {
    fn begin(state: &State) -> Self {
        Self { from: state.head(), slices: Vec::new(), next: Some(Cursor::default()) }
    }

    /// Takes the next slice, and it is a small one.
    fn step(&mut self, state: &State) {
        let Some(cursor) = self.next else { return };
        let (slice, next) = state.slice_of(cursor, 1);
        self.slices.push(slice);
        self.next = next;
    }

    fn finish(mut self, world: &mut World) -> Snapshot {
        while self.next.is_some() {
            self.step(&world.state);
        }
        let mut names = world.state.dedup.take_fresh(0).unwrap_or_default();
        names.sort_unstable();
        Snapshot { from: self.from, slices: self.slices, last_chat: world.state.last_chat, names }
    }
}

struct Snapshot {
    from: Position,
    slices: Vec<Vec<u8>>,
    last_chat: u64,
    names: Vec<Name>,
}

impl Snapshot {
    fn load(&self, settings: Settings) -> State {
        let mut restoring = Restoring::new(settings);
        for slice in &self.slices {
            restoring.take(slice).unwrap();
        }
        let mut state = restoring.finish(self.from, self.last_chat);
        let names: Vec<_> = self.names.iter().map(Name::packed).collect();
        state.set_names(Dedup::new(PrintKey::default(), Names::of_runs(vec![&names])));
        state
    }
}

/// All that is kept of a state, in words.
fn told(state: &State) -> Vec<String> {
    let State { users, open, quotas, head, last_chat, .. } = state;
    let mut told = vec![format!("{head:?} {last_chat} {open:?}")];
    let mut made: Vec<_> = quotas.made().collect();
    made.sort();
    told.push(format!("{made:?}"));
    told.extend(users.iter().map(|user| format!("{user:?}")));
    let mut chats: Vec<_> = state.chats.values().collect();
    chats.sort_by_key(|chat| chat.id);
    told.extend(chats.into_iter().map(|chat| {
        let Chat { id, title, kind, created_by, created_at, members, head, messages, floor, trimmed, .. } = chat;
        format!(
            "{id} {title} {kind:?} {created_by:?} {created_at:?} {head:?} {messages} {floor:?} {trimmed} {members:?}"
        )
    }));
    told.push(format!("{:?}", state.dedup.names().iter().collect::<Vec<_>>()));
    told
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn slices_of_any_moments_and_what_came_after_the_first_are_the_state_of_the_end(
        settings in settings(),
        happenings in proptest::collection::vec((happening(), 0..4usize), 1..150),
        begin in 0..100usize,
    ) {
        let mut story = Story::new(settings);
        let mut taking = None;
        for (index, (happening, slices)) in happenings.into_iter().enumerate() {
            if index == begin {
                taking = Some(Taking::begin(&story.world.state));
            }
            story.happen(happening);
            if let Some(taking) = &mut taking {
                (0..slices).for_each(|_| taking.step(&story.world.state));
            }
        }
        story.world.settle();
        let world = &mut story.world;
        let snapshot = taking.unwrap_or_else(|| Taking::begin(&world.state)).finish(world);

        let mut state = snapshot.load(settings);
        let tail: Vec<Record> =
            world.records().into_iter().filter(|record| record.position > snapshot.from).collect();
        tail.into_iter().for_each(|record| state.replay(record));
        prop_assert_eq!(told(&state), told(&world.state));
        let mut restored = World::rebuilt(world, settings);
        restored.state = state;
        is_the_same(world, &mut restored);
    }
}

#[test]
fn a_slice_that_is_cut_anywhere_is_none() {
    let world = World::with_chat("ops", ["ann", "bob"]);
    for cursor in [Cursor::Chats(1), Cursor::Users(1)] {
        let (slice, _) = world.state.slice(cursor);
        let restore = |bytes: &[u8]| Restoring::new(SETTINGS).take(bytes);
        assert!(restore(&slice).is_some());
        assert!(restore(&[]).is_none());
        assert!((2..slice.len()).filter(|cut| restore(&slice[..*cut]).is_some()).count() <= 1, "between two of them");
    }
}
