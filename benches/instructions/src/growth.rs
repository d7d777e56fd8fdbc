//! How the state's instructions grow with what there is: the same few things done in states of many sizes.

use std::hint::black_box;

use chappe_actors::command::{Command, Page, PresenceOf};
use chappe_actors::state::step::Step;
use chappe_proto::Seq;

use crate::meter::Meter;
use crate::sample::{chat, origin, user};
use crate::world::World;

/// How often each is done.
const TIMES: u32 = 64;
/// Sizes: members of a chat, chats of a user, users, messages of a chat.
const SIZES: &[u64] = &[10, 100, 1000, 10_000];

/// What is counted, in which sizes.
type Growth = (&'static str, &'static [u64], fn(&mut Meter, u64));

pub(crate) const ALL: &[Growth] = &[
    ("post and commit by members", SIZES, |meter, size| post(meter, &mut World::new(size))),
    ("post and commit by messages", SIZES, |meter, size| post(meter, &mut with_messages(size))),
    ("post and commit by chats of a user", SIZES, |meter, size| post(meter, &mut with_chats(size))),
    ("page by messages", SIZES, |meter, size| page(meter, &mut with_messages(size))),
    ("page by members", SIZES, |meter, size| page(meter, &mut World::new(size))),
    ("read mark by members", SIZES, read_mark),
    ("typing by members", SIZES, typing),
    ("join and leave by members", SIZES, |meter, size| join_and_leave(meter, &mut World::new(size), size, false)),
    ("join and leave by chats of a user", SIZES, |meter, size| join_and_leave(meter, &mut with_chats(size), 1, true)),
    ("hello and bye by members", SIZES, |meter, size| hello_and_bye(meter, &mut World::new(size))),
    ("hello and bye by chats of a user", SIZES, |meter, size| hello_and_bye(meter, &mut with_chats(size))),
    ("50 chats by chats of a user", SIZES, |meter, size| chats(meter, &mut with_chats(size))),
    ("50 members by members", SIZES, members),
    ("presence of a user by members", SIZES, |meter, size| presence(meter, &mut World::new(size))),
    ("presence of a user by chats of a user", SIZES, |meter, size| presence(meter, &mut with_chats(size))),
    ("a second's tick by users", SIZES, tick),
];

/// The chat with so many messages.
fn with_messages(count: u64) -> World {
    let mut world = World::new(10);
    (0..count / 1000).for_each(|_| world.posts(chat(2), 1000));
    world.posts(chat(2), count % 1000);
    world
}

/// Users 0 and 1 are in so many chats besides.
fn with_chats(count: u64) -> World {
    let mut world = World::new(10);
    for n in 0..count {
        // By others: one user makes only so many.
        let maker = user(1_000_000 + n / 1000);
        let (title, kind) = ("another".into(), chappe_proto::event::ChatKind::Group);
        world.ask(Command::CreateChat { user: Some(maker), title, kind, members: vec![user(0), user(1)] });
    }
    world
}

/// Counts commands and what follows from them, each by itself.
fn each(meter: &mut Meter, world: &mut World, commands: Vec<Command>) {
    let commands: Vec<_> = commands.into_iter().map(|command| (world.next_origin(), command)).collect();
    let count = u32::try_from(commands.len()).unwrap_or(u32::MAX);
    meter.count(count, || {
        for (origin, command) in commands {
            let mut step = Step::default();
            world.handle(origin, command, &mut step);
            world.keep(black_box(step));
        }
    });
}

fn times(command: impl Fn(u64) -> Command) -> Vec<Command> {
    (0..TIMES.into()).map(command).collect()
}

fn post(meter: &mut Meter, world: &mut World) {
    let commands = world.messages(chat(2), TIMES.into());
    each(meter, world, commands);
}

fn page(meter: &mut Meter, world: &mut World) {
    let page = Page::Newest { skip: 0 };
    each(meter, world, times(|_| Command::GetMessages { user: Some(user(3)), chat: chat(2), page, limit: 50 }));
}

fn read_mark(meter: &mut Meter, size: u64) {
    let mut world = World::new(size);
    // Of the 200 messages, the later half is at hand.
    each(meter, &mut world, times(|n| Command::MarkRead { user: user(3), chat: chat(2), seq: Seq(110 + n) }));
}

fn typing(meter: &mut Meter, size: u64) {
    let mut world = World::new(size);
    each(meter, &mut world, times(|n| Command::Typing { user: user(3), chat: chat(2), stop: n % 2 == 1 }));
}

/// User `member` joins and leaves, or, being in, leaves and joins.
fn join_and_leave(meter: &mut Meter, world: &mut World, member: u64, is_in: bool) {
    let (chat, user) = (chat(2), user(member));
    world.say_hello(member);
    let by = Some(crate::sample::user(0));
    let leave = |_| Command::RemoveMember { user: by, chat, member: user };
    let join = |_| Command::AddMember { user: by, chat, member: user };
    each(meter, world, times(|n| if (n % 2 == 0) == is_in { leave(n) } else { join(n) }));
}

fn hello_and_bye(meter: &mut Meter, world: &mut World) {
    meter.count(TIMES, || {
        for n in 0..u64::from(TIMES) {
            for command in [Command::Hello { user: user(0), nickname: None, heads: true }, Command::Bye] {
                let mut step = Step::default();
                world.handle(origin(1_000_001, n), command, &mut step);
                world.keep(black_box(step));
            }
        }
    });
}

fn chats(meter: &mut Meter, world: &mut World) {
    each(meter, world, times(|_| Command::GetChats { user: Some(user(0)), after: None, limit: 50 }));
}

fn members(meter: &mut Meter, size: u64) {
    let get = |_| Command::GetMembers { user: Some(user(0)), chat: chat(2), after: None, limit: 50 };
    each(meter, &mut World::new(size), times(get));
}

fn presence(meter: &mut Meter, world: &mut World) {
    let of = || PresenceOf::Users(vec![user(1)]);
    each(meter, world, times(|_| Command::GetPresence { user: Some(user(0)), of: of() }));
}

/// Nothing has happened in that second.
fn tick(meter: &mut Meter, size: u64) {
    let mut world = World::new(size);
    world.tick();
    meter.count(TIMES, || (0..TIMES).for_each(|_| world.tick()));
}
