//! Commands that wait for one another.

use super::world::World;

#[test]
fn who_changes_one_thing_over_and_over_is_busy_and_nobody_else() {
    let mut world = World::with_chat("ops", ["ann", "bob"]);
    world.say("ann", "ops", "hello");
    world.commit_all();
    let id = world.id_of("hello");
    // One is on its way, and so many wait for it.
    let refused: usize = (0..300).map(|nth| world.edit("ann", id, &nth.to_string()).replies.len()).sum();
    assert_eq!(refused, 300 - 1 - 256);
    assert_eq!(world.rename("ann", "ops", "dev").replies, ["ann: refused busy"], "behind them on the same connection");
    assert_eq!(world.state.pending_writes(), 1 + 256);
    world.say("bob", "ops", "undisturbed");
    let seen = world.commit_all();
    assert!(seen.replies.contains(&"bob: ok ops#4".to_owned()), "{:?}", seen.replies);
    assert!(world.edit("ann", id, "again").is_silent(), "there is room again");
    world.settle();
    world.newest("bob", "ops", 9);
    assert_eq!(world.settle(), ["bob: again undisturbed"]);
}

#[test]
fn what_waits_behind_many_changes_of_one_thing_is_not_looked_at_for_each_of_them() {
    let mut world = World::with_chat("ops", ["ann"]);
    world.say("ann", "ops", "hello");
    world.commit_all();
    let id = world.id_of("hello");
    let before = world.state.taken_up;
    for nth in 0..200 {
        world.edit("ann", id, &nth.to_string());
    }
    world.settle();
    let looks = world.state.taken_up - before;
    world.newest("ann", "ops", 9);
    assert_eq!(world.settle(), ["ann: 199"]);
    assert!(looks <= 2 * 200, "{looks} looks at 200 edits");
}
