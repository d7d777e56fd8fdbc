//! What an outbox promises.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Wake, Waker};

use chappe_proto::batch::StatusPart;
use chappe_proto::packet::{Ack, Pong, StatusNow};
use chappe_proto::{Code, Reject, UserId};

use super::*;

fn outbox(limit: usize) -> Outbox {
    Outbox::new(Wire::JsonLines, limit, 4)
}

fn chat() -> ChatId {
    ChatId::parse(1).unwrap()
}

fn typing(user: u64) -> Topic {
    Topic::Typing(chat(), UserId::parse(user).unwrap())
}

fn ack(message_id: u64) -> Packet {
    Packet::Ack(Ack { message_id, success: true, ..Ack::default() })
}

fn events(outbox: &Outbox, seq: u64, bytes: usize) {
    let mut line = vec![b'e'; bytes];
    line[bytes - 1] = b'\n';
    outbox.events(&mut Encoder::default(), chat(), Seq(seq), Seq(seq), Bytes::from(line));
}

/// All that leaves, `at_once` bytes a write.
fn drained(outbox: &Outbox, at_once: usize) -> String {
    String::from_utf8(taken(outbox, at_once)).unwrap()
}

fn taken(outbox: &Outbox, at_once: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut context = Context::from_waker(Waker::noop());
    let written: Result<(), ()> = outbox.drain(&mut Encoder::default(), &mut context, |_, pieces| {
        let all: Vec<u8> = pieces.iter().flat_map(|piece| piece.iter().copied()).take(at_once).collect();
        out.extend_from_slice(&all);
        Poll::Ready(Ok(all.len()))
    });
    written.unwrap();
    out
}

#[test]
fn acks_leave_in_the_order_of_their_requests() {
    let outbox = outbox(10_000);
    let tickets: Vec<_> = (0..3).map(|_| outbox.admit(1, true)).collect();
    for index in [2, 0, 1] {
        outbox.answer(&mut Encoder::default(), ack(index as u64), tickets[index], None, 1);
    }
    let ids: Vec<_> = drained(&outbox, usize::MAX).lines().map(serde_json_id).collect();
    assert_eq!(ids, [0, 1, 2]);
    assert!(outbox.is_settled());
}

fn serde_json_id(line: &str) -> u64 {
    line.split("\"message_id\":").nth(1).and_then(|rest| rest.split(',').next()).unwrap().parse().unwrap()
}

#[test]
fn the_window_opens_when_the_answer_has_left_and_not_before() {
    let outbox = outbox(10_000);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..4 {
        outbox.admit(1, false);
    }
    assert!(outbox.poll_room(&mut context).is_pending());
    outbox.answer(&mut Encoder::default(), Packet::Pong(Pong::default()), None, None, 1);
    assert!(outbox.poll_room(&mut context).is_pending(), "answered, not sent");
    drained(&outbox, 3);
    assert!(outbox.poll_room(&mut context).is_ready());
}

#[test]
fn a_full_outbox_drops_ephemera_first_then_events_and_tells_the_gap() {
    let outbox = outbox(1000);
    outbox.ephemeral(typing(1), Bytes::from(vec![b'x'; 400]));
    events(&outbox, 1, 500);
    events(&outbox, 2, 400);
    for seq in 3..=5 {
        events(&outbox, seq, 400);
    }
    let lines = drained(&outbox, usize::MAX);
    assert!(!lines.contains('x'), "what is not kept made room for event 2");
    assert!(lines.ends_with("{\"packet_type\":\"Gap\",\"chat_id\":1,\"from\":3,\"to\":5}\n"), "{lines}");
    events(&outbox, 6, 400);
    assert_eq!(drained(&outbox, usize::MAX).len(), 400, "after the word, events flow again");
}

#[test]
fn an_answer_is_never_dropped() {
    let outbox = outbox(100);
    events(&outbox, 1, 100);
    let reject = Reject::plain(Code::Busy);
    outbox.answer(&mut Encoder::default(), Packet::Error(reject.into()), None, None, 1);
    assert!(drained(&outbox, 7).contains("busy"));
}

#[test]
fn bytes_leave_in_order_however_they_are_taken() {
    for at_once in [1, 2, 3, 64, 1000] {
        let outbox = outbox(100_000);
        for seq in 1..=20 {
            outbox.answer(&mut Encoder::default(), ack(seq), None, None, 0);
            events(&outbox, seq, 50);
        }
        let text = drained(&outbox, at_once);
        assert_eq!(text.lines().count(), 40);
        assert_eq!(text.lines().step_by(2).map(serde_json_id).collect::<Vec<_>>(), (1..=20).collect::<Vec<_>>());
    }
}

#[test]
fn a_closed_outbox_sends_what_is_in_and_ends_with_the_last_words_of_its_wire() {
    for (wire, last) in [(Wire::JsonLines, None), (Wire::WsText, Some(b"\x88\x05\x0f\xa5bye"))] {
        let outbox = Outbox::new(wire, 1000, 4);
        events(&outbox, 1, 10);
        outbox.close(&mut Encoder::default(), CloseCode::TlsRequired, "bye", Some(7));
        let said = taken(&outbox, usize::MAX);
        assert!(String::from_utf8_lossy(&said).contains("\"reason\":\"bye\""), "{said:?}");
        assert_eq!(outbox.finish(), last.is_some());
        events(&outbox, 3, 10);
        outbox.answer(&mut Encoder::default(), ack(1), None, None, 0);
        assert_eq!(taken(&outbox, usize::MAX), last.map_or(Vec::new(), |last| last.to_vec()));
        assert!(!outbox.finish(), "once");
    }
}

fn line(text: &str) -> Bytes {
    Bytes::from(format!("{text}\n"))
}

#[test]
fn what_is_not_kept_leaves_behind_all_else_and_only_the_newest_of_it() {
    let outbox = outbox(10_000);
    outbox.ephemeral(typing(1), line("ann starts"));
    events(&outbox, 1, 50);
    outbox.ephemeral(typing(2), line("bob starts"));
    outbox.ephemeral(typing(1), line("ann stops"));
    outbox.answer(&mut Encoder::default(), ack(1), None, None, 0);
    outbox.ephemeral(Topic::Ping, line("ping"));
    outbox.ephemeral(Topic::Ping, line("ping"));
    let text = drained(&outbox, usize::MAX);
    let behind: Vec<_> = text.lines().skip(2).collect();
    assert_eq!(behind, ["ann stops", "bob starts", "ping"]);
    outbox.ephemeral(typing(1), line("ann starts"));
    outbox.forget(&[chat()]);
    assert_eq!(drained(&outbox, usize::MAX), "", "the client hears the chat no longer");
}

#[test]
fn so_many_ephemera_wait_and_no_more() {
    let outbox = outbox(100_000);
    events(&outbox, 1, 50);
    (1..=1000).for_each(|user| outbox.ephemeral(typing(user), line("typing")));
    outbox.ephemeral(Topic::Ping, line("ping"));
    let text = drained(&outbox, usize::MAX);
    assert_eq!(text.matches("typing").count(), 128);
    assert!(text.ends_with("ping\n"), "there is always room for that");
}

fn changes(users: &[(u64, &str)]) -> Rc<Changes> {
    let change = |(user, text): &(u64, &str)| {
        let user = UserId::parse(*user).unwrap();
        let status = StatusNow { user_id: user, status_data: (*text).into(), last_seen: None };
        Arc::new(Change { user, chats: [chat()].into(), part: StatusPart::encode(&status, true, true) })
    };
    Rc::new(Changes(users.iter().map(change).collect()))
}

/// Who is told to be how, a line for each packet.
fn statuses(text: &str) -> Vec<String> {
    let id = |part: &str| part.split([',', '}']).next().unwrap_or_default().to_owned();
    let text_of = |part: &str| {
        part.split("\"status_data\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned()
    };
    let user = |part: &str| format!("{} {}", id(part), text_of(part));
    text.lines().map(|line| line.split("\"user_id\":").skip(1).map(user).collect::<Vec<_>>().join(", ")).collect()
}

#[test]
fn one_change_of_presence_is_a_status_and_more_are_one_packet() {
    let outbox = outbox(10_000);
    outbox.presence(&changes(&[(1, "away")]));
    assert_eq!(drained(&outbox, usize::MAX), "{\"packet_type\":\"Status\",\"user_id\":1,\"status_data\":\"away\"}\n");
    outbox.presence(&changes(&[(1, "away"), (2, "busy")]));
    let text = drained(&outbox, usize::MAX);
    assert!(text.starts_with("{\"packet_type\":\"Presence\",\"users\":[{\"user_id\":1,"), "{text}");
    assert_eq!(statuses(&text), ["1 away, 2 busy"]);
}

#[test]
fn presence_that_waits_is_one_batch_with_the_latest_of_each_user() {
    let outbox = outbox(10_000);
    events(&outbox, 1, 50);
    outbox.presence(&changes(&[(2, "online"), (4, "online")]));
    outbox.presence(&changes(&[(1, "online"), (2, "away"), (3, "online")]));
    outbox.presence(&changes(&[(4, "offline")]));
    let text = drained(&outbox, usize::MAX);
    assert_eq!(statuses(&text)[1..], ["1 online, 2 away, 3 online, 4 offline"]);
}

#[test]
fn presence_that_is_more_than_an_outbox_holds_leaves_in_pieces() {
    let outbox = outbox(2048);
    let text = "x".repeat(64);
    let users: Vec<(u64, &str)> = (1..=100).map(|user| (user, text.as_str())).collect();
    outbox.presence(&changes(&users));
    let packets = statuses(&drained(&outbox, usize::MAX));
    assert!(packets.len() > 5 && packets.len() < 20, "{}", packets.len());
    assert_eq!(packets.iter().map(|packet| packet.split(", ").count()).sum::<usize>(), 100);
}

#[test]
fn a_closed_outbox_says_goodbye_and_nothing_that_is_not_kept() {
    let outbox = outbox(10_000);
    outbox.ephemeral(typing(1), line("ann starts"));
    outbox.close(&mut Encoder::default(), CloseCode::Silent, "bye", None);
    outbox.ephemeral(Topic::Ping, line("ping"));
    outbox.presence(&changes(&[(1, "away")]));
    let text = drained(&outbox, usize::MAX);
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains("\"Closing\""), "{text}");
}

#[test]
fn who_waits_for_the_last_answer_is_woken_also_by_a_request_without_one() {
    for closing in [false, true] {
        let outbox = outbox(10_000);
        outbox.admit(1, false);
        if closing {
            outbox.close(&mut Encoder::default(), CloseCode::TooSlow, "bye", None);
            drained(&outbox, usize::MAX);
        }
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        assert!(outbox.poll_settled(&mut Context::from_waker(&waker)).is_pending());
        outbox.release(1);
        assert!(woken.0.load(Ordering::Relaxed), "closing: {closing}");
        assert!(outbox.poll_settled(&mut Context::from_waker(&waker)).is_ready());
    }
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}
