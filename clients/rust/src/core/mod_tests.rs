//! Single rules of the core, that the properties do not show.

use std::sync::Arc;

use chappe_proto::event::{Event, MemberLeft};
use chappe_proto::limits::Limits;
use chappe_proto::packet::{Ack, Events, Expiring, Gap, Messages, Reset, Udp};
use chappe_proto::request::{DeleteMessage, EditMessage, Ping, React};
use chappe_proto::{MessageId, Millis, Reject};

use super::model::{message, welcome};
use super::*;

fn chat(id: u64) -> ChatId {
    ChatId::parse(id).unwrap()
}

fn event(seq: u64) -> Event {
    let user_id = UserId::parse(1).unwrap();
    Event::MemberLeft(MemberLeft { chat_id: chat(1), seq: Seq(seq), user_id, at: Millis(0) })
}

fn live(seq: u64) -> Packet {
    Packet::Event(Arc::new(event(seq)))
}

fn head(seq: u64) -> Vec<Head> {
    vec![Head { chat_id: chat(1), seq: Seq(seq) }]
}

fn seqs(step: &Step) -> Vec<u64> {
    let seq = |update: &Update| if let Update::Event(event) = update { Some(event.seq().0) } else { None };
    step.updates.iter().filter_map(seq).collect()
}

fn connected(start: Start, heads: Vec<Head>) -> (Core, Step) {
    let mut core = Core::new(Profile { start, ..Profile::default() }, Positions::default(), 10);
    core.hello(None);
    let step = core.take(Some(HELLO), welcome(9, heads));
    (core, step)
}

fn keys(step: Step) -> Vec<u64> {
    step.send.into_iter().filter_map(|frame| frame.request_id).collect()
}

fn names(step: &Step) -> Vec<&'static str> {
    step.send.iter().map(|frame| frame.request.rule().name).collect()
}

#[test]
fn the_newest_is_where_the_first_welcome_found_it_and_later_chats_are_read_from_their_beginning() {
    let (mut core, step) = connected(Start::Newest, head(40));
    assert!(step.send.is_empty() && step.updates.contains(&Update::CaughtUp));
    assert_eq!(seqs(&core.take(None, live(41))), [41]);
    core.lost();
    core.hello(None);
    let mut heads = head(41);
    heads.push(Head { chat_id: chat(2), seq: Seq(3) });
    let step = core.take(Some(HELLO), welcome(9, heads));
    let [frame] = &step.send[..] else { panic!("{step:?}") };
    assert!(matches!(&frame.request, Request::GetEvents(get) if get.chat_id == chat(2) && get.after == Seq::ZERO));
}

#[test]
fn where_a_quiet_chat_began_is_known_in_the_next_life() {
    let heads = |first, second| {
        let head = |id, seq| Head { chat_id: chat(id), seq: Seq(seq) };
        vec![head(1, first), head(2, second)]
    };
    let (mut core, step) = connected(Start::Newest, heads(40, 7));
    let mut positions = Positions::default();
    step.updates.iter().for_each(|update| positions.take(update));
    core.subscribe(chat(3), Start::Newest);
    let page = Events { chat_id: chat(3), events: vec![event(1)], head: Seq(20) };
    let mut updates = core.take(Some(PULL | 3), Packet::Events(page)).updates;
    updates.extend(core.take(None, live(41)).updates);
    core.subscribe(chat(4), Start::Newest);
    updates.extend(core.take(None, Packet::Gap(Gap { chat_id: chat(4), from: Seq(9), to: Seq(9) })).updates);
    updates.iter().for_each(|update| positions.take(update));

    let mut core = Core::new(Profile::default(), positions, 10);
    core.subscribe(chat(3), Start::Newest);
    core.subscribe(chat(4), Start::Newest);
    core.hello(None);
    let step = core.take(Some(HELLO), welcome(9, heads(41, 8)));
    let after = |frame: &ClientFrame| match &frame.request {
        Request::GetEvents(get) => Some((get.chat_id.get(), get.after.0)),
        _ => None,
    };
    let asked: Vec<_> = step.send.iter().filter_map(after).collect();
    assert_eq!(asked, [(3, 20), (4, 8), (2, 7)]);
}

#[test]
fn a_chat_that_is_heard_of_for_the_first_time_begins_there() {
    let (mut core, _) = connected(Start::Newest, Vec::new());
    let step = core.take(None, live(7));
    assert_eq!((seqs(&step), names(&step)), (vec![7], vec![]));
}

#[test]
fn a_chat_that_was_subscribed_to_begins_at_its_head_and_is_pulled_on_the_next_connection() {
    let (mut core, _) = connected(Start::Newest, Vec::new());
    let step = core.subscribe(chat(1), Start::Newest);
    assert_eq!(names(&step), ["Subscribe", "GetEvents"]);
    let page = Events { chat_id: chat(1), events: vec![event(1)], head: Seq(20) };
    assert_eq!(seqs(&core.take(Some(PULL | 1), Packet::Events(page))), [0u64; 0]);
    assert_eq!(seqs(&core.take(None, live(21))), [21]);
    core.lost();
    core.hello(None);
    let step = core.take(Some(HELLO), welcome(9, Vec::new()));
    assert_eq!(names(&step), ["Subscribe", "GetEvents"]);
    assert!(matches!(&step.send[1].request, Request::GetEvents(get) if get.after == Seq(21)));
    assert!(!step.updates.contains(&Update::CaughtUp));
}

#[test]
fn events_that_come_before_their_time_are_kept_until_the_page() {
    let (mut core, step) = connected(Start::After(Seq(2)), head(5));
    assert_eq!(names(&step), ["GetEvents"]);
    assert_eq!(seqs(&core.take(None, live(6))), [0u64; 0]);
    let page = Events { chat_id: chat(1), events: (3..=5).map(event).collect(), head: Seq(5) };
    let step = core.take(Some(PULL | 1), Packet::Events(page));
    assert_eq!((seqs(&step), names(&step)), (vec![3, 4, 5, 6], vec![]));
    assert!(step.updates.contains(&Update::CaughtUp));
}

#[test]
fn a_page_that_brings_nothing_is_not_asked_for_again_until_something_happens() {
    let (mut core, _) = connected(Start::Beginning, head(5));
    let page = Events { chat_id: chat(1), events: Vec::new(), head: Seq(5) };
    assert!(core.take(Some(PULL | 1), Packet::Events(page)).send.is_empty());
    assert_eq!(names(&core.take(None, live(6))), ["GetEvents"]);
}

#[test]
fn a_log_that_is_shorter_than_was_known_is_gone_on_with_from_its_head() {
    let positions = Positions { epoch: Some(9), chats: [(chat(1), Seq(50))].into() };
    let mut core = Core::new(Profile::default(), positions, 10);
    core.subscribe(chat(1), Start::Newest);
    core.hello(None);
    core.take(Some(HELLO), welcome(9, head(20)));
    let reset = Reset { chat_id: chat(1), head: Seq(20), reason: "".into() };
    let step = core.take(Some(PULL | 1), Packet::Reset(reset));
    assert!(step.updates.contains(&Update::Skipped { chat_id: chat(1), after: Seq(50), to: Seq(20) }));
    assert_eq!(seqs(&core.take(None, live(21))), [21]);
}

#[test]
fn behind_what_is_not_kept_it_goes_on_with_the_oldest_message_that_is() {
    let (mut core, _) = connected(Start::Beginning, head(9));
    let reset = || Packet::Reset(Reset { chat_id: chat(1), head: Seq(9), reason: "".into() });
    let oldest = |messages| Packet::Messages(Messages { chat_id: chat(1), messages, has_more: false });
    let skipped = |after, to| Update::Skipped { chat_id: chat(1), after: Seq(after), to: Seq(to) };
    let step = core.take(Some(PULL | 1), reset());
    assert_eq!((names(&step), step.updates.len()), (vec!["GetMessages"], 0));
    // It is not caught up, and hears what happens meanwhile.
    assert_eq!(names(&core.take(None, live(10))), [""; 0]);
    // Refused for now: asked for again from the beginning.
    core.take(Some(PULL | 1), Packet::Error(Reject::plain(Code::Busy).into()));
    assert_eq!(names(&core.resume()), ["GetEvents"]);
    core.take(Some(PULL | 1), reset());
    let step = core.take(Some(PULL | 1), oldest(vec![Arc::new(message(1, 7))]));
    assert_eq!((names(&step), &step.updates[..]), (vec!["GetEvents"], &[skipped(0, 6)][..]));
    // The log was trimmed once more, and says the same again: that has an end.
    assert_eq!(names(&core.take(Some(PULL | 1), reset())), ["GetMessages"]);
    let step = core.take(Some(PULL | 1), oldest(vec![Arc::new(message(1, 7))]));
    assert_eq!((names(&step), &step.updates[0], seqs(&step)), (vec![], &skipped(6, 9), vec![10]));
    assert!(step.updates.contains(&Update::CaughtUp));
}

#[test]
fn a_chat_that_may_not_be_read_is_gone_and_told_once() {
    let (mut core, _) = connected(Start::Beginning, head(5));
    let error = || Packet::Error(Reject::plain(Code::NotAMember).into());
    let step = core.take(Some(PULL | 1), error());
    assert!(matches!(step.updates[..], [Update::Gone { code: Code::NotAMember, .. }, Update::CaughtUp]), "{step:?}");
    core.lost();
    core.hello(None);
    let step = core.take(Some(HELLO), welcome(9, Vec::new()));
    assert!(!step.updates.iter().any(|update| matches!(update, Update::Gone { .. })), "{step:?}");
}

#[test]
fn a_chat_that_the_program_left_itself_is_not_told_to_be_gone_and_one_that_lost_it_is() {
    let gone = |step: &Step| step.updates.iter().any(|update| matches!(update, Update::Gone { .. }));
    let (mut core, _) = connected(Start::Newest, Vec::new());
    core.subscribe(chat(1), Start::Newest);
    core.take(Some(PULL | 1), Packet::Events(Events { chat_id: chat(1), events: Vec::new(), head: Seq(20) }));
    core.unsubscribe(chat(1));
    // It was on its way.
    core.take(None, live(21));
    for (heads, is_gone) in [(Vec::new(), false), (head(21), false), (Vec::new(), true), (Vec::new(), false)] {
        core.lost();
        core.hello(None);
        let step = core.take(Some(HELLO), welcome(9, heads));
        assert_eq!(gone(&step), is_gone, "{step:?}");
        core.unsubscribe(chat(1));
    }
}

#[test]
fn a_pull_and_a_subscription_that_were_refused_for_now_are_asked_for_again() {
    let (mut core, _) = connected(Start::Beginning, head(5));
    core.subscribe(chat(2), Start::Beginning);
    let step = core.take(Some(PULL | 1), Packet::Error(Reject::plain(Code::Busy).into()));
    assert_eq!((names(&step), step.pause_ms), (vec![], Some(1000)));
    assert!(!step.updates.contains(&Update::CaughtUp));
    core.take(Some(SUBSCRIBE | 2), Packet::Ack(Ack::refused(Reject::plain(Code::Busy), None)));
    core.take(Some(PULL | 2), Packet::Error(Reject::plain(Code::Busy).into()));
    assert_eq!(names(&core.resume()), ["Subscribe", "GetEvents", "GetEvents"]);
}

#[test]
fn requests_stay_within_the_window_and_in_order_and_what_is_refused_for_good_is_settled() {
    let mut core = Core::new(Profile::default(), Positions::default(), 2);
    let react = || {
        let message_id = MessageId::parse(1).unwrap();
        Request::React(React { message_id, emoji: "x".into(), remove: false })
    };
    assert_eq!(
        (core.put(react()), core.put(react()), core.put(Request::Ping(Ping::default()))),
        (Some(1), Some(2), None)
    );
    assert!(core.due(9).send.is_empty(), "nothing is sent before the Welcome");
    core.hello(None);
    core.take(Some(HELLO), welcome(9, Vec::new()));
    assert_eq!(keys(core.due(9)), [1, 2]);
    let step = core.take(Some(1), Packet::Ack(Ack::refused(Reject::plain(Code::RateLimited), None)));
    assert_eq!((step.settled.len(), step.pause_ms), (0, Some(1000)));
    assert!(core.due(9).send.is_empty());
    core.resume();
    assert_eq!(keys(core.due(9)), [1]);
    let step = core.take(Some(2), Packet::Ack(Ack::refused(Reject::plain(Code::UnknownMessage), None)));
    assert!(matches!(&step.settled[..], [(2, Err(Failure::Refused(refusal)))] if refusal.code == Code::UnknownMessage));
    core.lost();
    core.hello(None);
    core.take(Some(HELLO), welcome(9, Vec::new()));
    assert_eq!(keys(core.due(9)), [1]);
}

#[test]
fn what_is_larger_than_the_server_takes_is_refused_here_and_holds_nothing_up() {
    let mut core = Core::new(Profile::default(), Positions::default(), 10);
    let text = |bytes: usize| {
        let message_id = MessageId::parse(1).unwrap();
        Request::EditMessage(EditMessage { message_id, content: "x".repeat(bytes).into() })
    };
    // Flags, request_id, tag, message id and the text's length.
    let most = Limits::default().frame_bytes as usize - 1 - 9 - 4 - 8 - 8;
    for bytes in [20 << 20, most + 1, most] {
        core.put(text(bytes)).unwrap();
    }
    core.hello(None);
    core.take(Some(HELLO), welcome(9, Vec::new()));
    let step = core.due(9);
    for (key, outcome) in &step.settled {
        assert!(
            matches!(outcome, Err(Failure::Refused(refusal)) if refusal.code == Code::TooLarge),
            "{key}: {outcome:?}"
        );
    }
    assert_eq!((step.settled.len(), keys(step)), (2, vec![3]));
    // Three times as many as the window holds.
    for _ in 0..3 * Limits::default().window {
        core.put(text(most + 1)).unwrap();
        assert_eq!(core.due(9).settled.len(), 1);
    }
    let last = core.put(text(1)).unwrap();
    assert_eq!(keys(core.due(9)), [last]);
}

#[test]
fn what_was_asked_of_one_log_is_not_sent_to_another() {
    let (mut core, _) = connected(Start::Newest, Vec::new());
    let delete = |id| Request::DeleteMessage(DeleteMessage { message_id: MessageId::parse(id).unwrap() });
    let put: Vec<u64> = (1..=2).map(|id| core.put(delete(id)).unwrap()).collect();
    assert_eq!(keys(core.due(1)), [put[0]]);
    core.lost();
    core.hello(None);
    let step = core.take(Some(HELLO), welcome(10, Vec::new()));
    assert!(step.updates.contains(&Update::Afresh { epoch: 10 }));
    let expected: Vec<_> = put.iter().map(|key| (*key, Err(Failure::Afresh))).collect();
    assert_eq!(step.settled, expected);
    let new = core.put(delete(3)).unwrap();
    assert_eq!(keys(core.due(9)), [new]);
}

#[test]
fn a_token_that_runs_out_is_renewed_on_the_connection_and_nothing_else_is_done_anew() {
    let (mut core, _) = connected(Start::Beginning, Vec::new());
    assert!(core.take(None, Packet::Expiring(Expiring { expires_at: Millis(5) })).renew);
    let hello = core.hello(Some("fresh".to_owned()));
    assert!(matches!(&hello.request, Request::Hello(hello) if hello.token.as_deref() == Some("fresh") && !hello.heads));
    let mut renewed = welcome(9, head(7));
    if let Packet::Welcome(welcome) = &mut renewed {
        (welcome.heads, welcome.expires_at) = (None, Some(Millis(99)));
        welcome.udp = Some(Udp { session: "s".into(), key: "k".into() });
    }
    let step = core.take(Some(HELLO), renewed);
    assert!(step.send.is_empty(), "{step:?}");
    // What the program's datagrams are sealed with from now on.
    let [Update::Renewed(welcome)] = &step.updates[..] else { panic!("{step:?}") };
    assert!(welcome.udp.is_some() && welcome.expires_at == Some(Millis(99)));
}

#[test]
fn heads_that_do_not_fit_into_the_welcome_are_asked_for_page_by_page() {
    let summary = |id: u64, seq: u64| {
        let fields = format!(
            r#"{{"chat_id":{id},"title":"","kind":"group","created_at":0,"members":1,"seq":{seq},"read_seq":0,"unread":0}}"#
        );
        serde_json::from_str(&fields).unwrap()
    };
    let positions =
        Positions { epoch: Some(9), chats: [(chat(1), Seq(5)), (chat(2), Seq(5)), (chat(7), Seq(5))].into() };
    let mut core = Core::new(Profile::default(), positions, 10);
    core.hello(None);
    let mut first = welcome(9, head(6));
    if let Packet::Welcome(welcome) = &mut first {
        welcome.more_heads = true;
    }
    let step = core.take(Some(HELLO), first);
    assert_eq!(names(&step), ["GetEvents", "GetChats"]);
    assert!(matches!(&step.send[1].request, Request::GetChats(get) if get.after == Some(chat(1))));
    let page = Chats { chats: vec![summary(2, 5)], has_more: true };
    assert_eq!(names(&core.take(Some(LISTING), Packet::Chats(page))), ["GetChats"]);
    let page = Events { chat_id: chat(1), events: vec![event(6)], head: Seq(6) };
    assert!(!core.take(Some(PULL | 1), Packet::Events(page)).updates.contains(&Update::CaughtUp));
    let step = core.take(Some(LISTING), Packet::Chats(Chats { chats: vec![summary(3, 1)], has_more: false }));
    // Chat 7 is not among them; chat 3 is new.
    assert!(matches!(step.updates[..], [Update::Gone { chat_id, .. }] if chat_id == chat(7)), "{step:?}");
    assert_eq!(names(&step), ["GetEvents"]);
}
