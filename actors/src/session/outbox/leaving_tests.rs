//! Who sends what is in an outbox: the hub where it can, the connection's task where it must.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Wake, Waker};

use bytes::Bytes;
use chappe_proto::code::CloseCode;
use chappe_proto::{ChatId, Seq};

use super::*;

/// A socket with so much room, and the pieces of each write.
#[derive(Default)]
struct Socket {
    room: Cell<usize>,
    writes: RefCell<Vec<usize>>,
    text: RefCell<Vec<u8>>,
}

impl Sink for Socket {
    fn try_write(&self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).take(self.room.get()).collect();
        if bytes.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.room.set(self.room.get() - bytes.len());
        self.writes.borrow_mut().push(pieces.len());
        self.text.borrow_mut().extend_from_slice(&bytes);
        Ok(bytes.len())
    }
}

/// Counts how often the connection's task is woken.
#[derive(Default)]
struct Task(AtomicU32);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

struct World {
    outbox: Outbox,
    socket: Rc<Socket>,
    task: Arc<Task>,
}

impl World {
    /// A connection whose task waits, and whose socket has room for so many bytes.
    fn new(room: usize) -> Self {
        let outbox = Outbox::new(Wire::JsonLines, 10_000, 4);
        let socket = Rc::new(Socket { room: Cell::new(room), ..Socket::default() });
        outbox.connect(Some(Rc::clone(&socket) as _));
        let world = Self { outbox, socket, task: Arc::default() };
        world.drain();
        world
    }

    /// What the task does when it is polled.
    fn drain(&self) {
        let waker = Waker::from(Arc::clone(&self.task));
        let drained = self.outbox.drain(&mut Encoder::default(), &mut Context::from_waker(&waker), |_, pieces| {
            self.socket.try_write(pieces).map_or(Poll::Pending, |taken| Poll::Ready(Ok::<_, ()>(taken)))
        });
        drained.unwrap();
    }

    fn put(&self, text: &'static str) {
        let chat = ChatId::parse(1).unwrap();
        self.outbox.events(&mut Encoder::default(), chat, Seq(1), Seq(1), Bytes::from_static(text.as_bytes()));
    }

    fn send(&self) {
        self.outbox.send(&mut Encoder::default());
    }

    fn sent(&self) -> String {
        String::from_utf8(self.socket.text.borrow().clone()).unwrap()
    }

    fn woken(&self) -> u32 {
        self.task.0.load(Ordering::Relaxed)
    }
}

#[test]
fn what_came_in_one_batch_leaves_in_one_write_and_wakes_nobody() {
    let world = World::new(1000);
    assert!(world.outbox.hold());
    for text in ["one", "two", "three"] {
        world.put(text);
        assert!(!world.outbox.hold(), "it is held already");
    }
    assert_eq!(world.sent(), "");
    world.send();
    assert_eq!((world.sent().as_str(), world.woken()), ("onetwothree", 0));
    assert_eq!(*world.socket.writes.borrow(), [3]);
    world.put("four");
    assert_eq!(world.woken(), 1, "who does not hold it back wakes the task");
}

#[test]
fn what_the_socket_does_not_take_is_left_to_the_task_which_is_woken_once() {
    let world = World::new(4);
    for text in ["first", "second"] {
        world.outbox.hold();
        world.put(text);
        world.send();
    }
    assert_eq!((world.sent().as_str(), world.woken()), ("firs", 1));
    world.drain();
    world.socket.room.set(1000);
    world.outbox.hold();
    world.put("third");
    world.send();
    assert_eq!(
        (world.sent().as_str(), world.woken()),
        ("firs", 1),
        "the task waits for the socket, and so do the bytes"
    );
    world.drain();
    assert_eq!(world.sent(), "firstsecondthird");
}

#[test]
fn the_task_learns_of_an_end_and_of_all_that_leaves_where_it_wants_to() {
    type End = fn(&Outbox);
    let ends: [End; 3] = [
        |outbox| outbox.close(&mut Encoder::default(), CloseCode::Silent, "", None),
        Outbox::kill,
        |outbox| outbox.connect(None),
    ];
    for end in ends {
        let world = World::new(1000);
        world.outbox.hold();
        world.put("last");
        end(&world.outbox);
        assert_eq!(world.woken(), 0);
        world.send();
        assert_eq!((world.sent().as_str(), world.woken()), ("", 1));
    }
}
