//! The state: what a command and a commit cost, in chats small and large.

use std::hint::black_box;

use chappe_actors::command::{Command, Page};
use chappe_actors::state::step::Step;
use chappe_proto::{MessageId, Seq};

use crate::Bench;
use crate::meter::Meter;
use crate::sample::{chat, origin, parsed, user};
use crate::world::World;

/// How often each is done.
const TIMES: u32 = 256;

pub(crate) const ALL: &[(&str, Bench)] = &[
    ("state_post_10", |meter| post(meter, 10)),
    ("state_post_1000", |meter| post(meter, 1000)),
    ("state_commit_10", |meter| commit(meter, 10)),
    ("state_commit_1000", |meter| commit(meter, 1000)),
    ("state_who_hears_10", |meter| who_hears(meter, 10)),
    ("state_who_hears_1000", |meter| who_hears(meter, 1000)),
    ("state_duplicate", duplicate),
    ("state_edit", edit),
    ("state_mark_read", mark_read),
    ("state_page_of_50", page),
    ("state_join_and_leave_10", |meter| join_and_leave(meter, 10)),
    ("state_join_and_leave_1000", |meter| join_and_leave(meter, 1000)),
    ("state_hello_and_bye_10", |meter| hello_and_bye(meter, 10)),
    ("state_hello_and_bye_1000", |meter| hello_and_bye(meter, 1000)),
];

/// Counts what the state makes of commands, without their commits, which follow.
fn handled(meter: &mut Meter, world: &mut World, commands: Vec<Command>) -> Step {
    let commands: Vec<_> = commands.into_iter().map(|command| (world.next_origin(), command)).collect();
    let mut step = Step::default();
    meter.count(TIMES, || {
        for (origin, command) in commands {
            world.handle(origin, command, &mut step);
        }
    });
    step
}

/// Counts commands and what follows from them, each by itself.
fn each(meter: &mut Meter, world: &mut World, commands: Vec<Command>) {
    let commands: Vec<_> = commands.into_iter().map(|command| (world.next_origin(), command)).collect();
    meter.count(TIMES, || {
        for (origin, command) in commands {
            let mut step = Step::default();
            world.handle(origin, command, &mut step);
            world.keep(step);
        }
    });
}

fn post(meter: &mut Meter, members: u64) {
    let mut world = World::new(members);
    let commands = world.messages(chat(2), TIMES.into());
    let step = handled(meter, &mut world, commands);
    assert_eq!(step.append.len(), 256);
}

fn commit(meter: &mut Meter, members: u64) {
    let mut world = World::new(members);
    let mut step = Step::default();
    for command in world.messages(chat(2), TIMES.into()) {
        let origin = world.next_origin();
        world.handle(origin, command, &mut step);
    }
    let records = world.written(&mut step);
    meter.count(TIMES, || {
        world.commit(records, &mut step);
        assert!(step.deliver.len() >= 256, "an event each");
        drop(step);
    });
}

fn who_hears(meter: &mut Meter, members: u64) {
    let world = World::new(members);
    meter.count(TIMES, || {
        for _ in 0..TIMES {
            assert_eq!(world.state.hubs_hearing(black_box(chat(2))).map(black_box).count(), 2);
        }
    });
}

fn duplicate(meter: &mut Meter) {
    let mut world = World::new(10);
    let commands = world.messages(chat(2), 64);
    for command in commands.clone() {
        world.ask(command);
    }
    let commands = std::iter::repeat_n(commands, 4).flatten().collect();
    let step = handled(meter, &mut world, commands);
    assert_eq!((step.append.len(), step.deliver.len()), (0, 256));
}

fn edit(meter: &mut Meter) {
    let mut world = World::new(10);
    let message = parsed(MessageId::parse(world.state.head().0));
    let edit = Command::Edit { user: user(0), message, content: "shall we meet at the new bridge?".into() };
    each(meter, &mut world, vec![edit; 256]);
}

fn mark_read(meter: &mut Meter) {
    let mut world = World::new(10);
    world.posts(chat(2), 300);
    // Four members read on, one message at a time.
    let mark = |n| Command::MarkRead { user: user(1 + n / 64), chat: chat(2), seq: Seq(430 + n % 64) };
    let commands = (0..u64::from(TIMES)).map(mark).collect();
    each(meter, &mut world, commands);
}

fn page(meter: &mut Meter) {
    let mut world = World::new(10);
    let page = Page::Newest { skip: 0 };
    let get = Command::GetMessages { user: Some(user(3)), chat: chat(2), page, limit: 50 };
    let step = handled(meter, &mut world, vec![get; 256]);
    assert!(step.ask.is_empty() && step.deliver.len() == 256, "{:?}", step.ask);
}

fn join_and_leave(meter: &mut Meter, members: u64) {
    let mut world = World::new(members);
    let (chat, member) = (chat(2), user(members));
    world.say_hello(members);
    let round = || {
        [
            Command::AddMember { user: Some(user(0)), chat, member },
            Command::RemoveMember { user: Some(user(0)), chat, member },
        ]
    };
    each(meter, &mut world, (0..128).flat_map(|_| round()).collect());
}

fn hello_and_bye(meter: &mut Meter, members: u64) {
    let mut world = World::new(members);
    let rounds = 0..TIMES / 2;
    meter.count(TIMES, || {
        for n in rounds {
            for command in [Command::Hello { user: user(3), nickname: None, heads: true }, Command::Bye] {
                let mut step = Step::default();
                world.handle(origin(members + 1, n.into()), command, &mut step);
                world.keep(step);
            }
        }
    });
}
