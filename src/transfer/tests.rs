//! What goes out comes in again, byte for byte, wherever it was cut off; and what does not fit is named.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use chappe_actors::folder::Folder;
use chappe_actors::log::EventLog;
use chappe_actors::log::compact::{Compaction, Step};
use chappe_actors::log::record::{Draft, Fact, Place, Position};
use chappe_actors::log::sqlite::SqliteLog;
use chappe_proto::event::{ChatKind, Role};
use chappe_proto::limits::Limits;
use chappe_proto::message::MessageType;
use chappe_proto::signature::{Bytes, Signed, SigningKey};
use chappe_proto::{ChatId, ClientId, MessageId, Millis, Seq, UserId};

use super::export::{Exported, Wanted, to_file, to_stream};
use super::import::{Imported, Target, import};
use super::*;

fn user(id: u64) -> UserId {
    UserId::parse(id).unwrap()
}

fn chat(id: u64) -> ChatId {
    ChatId::parse(id).unwrap()
}

fn message(id: u64) -> MessageId {
    MessageId::parse(id).unwrap()
}

fn posted(content: &str) -> Fact {
    let (message_type, client_id) = (MessageType::Data, Some(ClientId::parse("ann-1").unwrap()));
    Fact::MessagePosted { sender: user(1), content: content.into(), message_type, client_id, reply_to: None }
}

/// Every kind of fact, whole and as far as it can be reduced, in an order that can be.
fn drafts() -> Vec<Draft> {
    let (one, two) = (Place::Chat(chat(1)), Place::Chat(chat(2)));
    let members = vec![user(1), user(2)];
    let made = |id: u64, nickname: &str| Fact::UserCreated { user: user(id), nickname: nickname.into() };
    let key = SigningKey::from_seed(&[7; 32]).unwrap();
    let client_id = ClientId::parse("bob-1").unwrap();
    let signature = key.sign(&Signed { chat: chat(1), sender: user(2), client_id: &client_id, content: "signed" });
    let signed = Fact::SignedMessagePosted {
        sender: user(2),
        content: "signed".into(),
        message_type: MessageType::Text,
        client_id: Some(client_id),
        reply_to: Some(message(5)),
        signature: Box::new(signature),
    };
    let edited = |id: u64, seq: u64, content: &str| Fact::MessageEdited {
        message: message(id),
        message_seq: Seq(seq),
        content: content.into(),
        by: user(1),
    };
    let reacted = |id: u64, seq: u64, emoji: &str, removed: bool| {
        let (message, message_seq) = (message(id), Seq(seq));
        Fact::Reacted { message, message_seq, user: user(2), emoji: emoji.into(), removed }
    };
    let read = |by: u64, seq: u64, count: u64| Fact::ReadMarked { chat: chat(1), user: user(by), seq: Seq(seq), count };
    let with_key = |of: u64, key| Fact::KeyRegistered { user: user(of), key };
    let facts = vec![
        (Place::Nowhere, made(1, "Änn \"the\" first")),
        (Place::Nowhere, made(2, "bob")),
        (Place::NewChat, Fact::ChatCreated { title: "ops".into(), kind: ChatKind::Group, by: Some(user(1)), members }),
        (Place::NewChat, Fact::ChatCreated { title: "all".into(), kind: ChatKind::Open, by: None, members: vec![] }),
        (one, posted("hello\n\u{1}\u{2028}\u{1f41d} \\ \"quoted\"")),
        (Place::Nowhere, with_key(2, Some(key.public()))),
        (one, signed),
        (one, edited(5, 2, "better")),
        (one, reacted(5, 2, "👍", false)),
        (one, reacted(5, 2, "👍", true)),
        (one, Fact::MessageDeleted { message: message(5), message_seq: Seq(2), by: user(1) }),
        (Place::Nowhere, read(2, 3, 2)),
        (Place::Nowhere, made(3, "cat")),
        (two, Fact::MemberJoined { user: user(3), role: Role::Owner }),
        (two, Fact::MemberLeft { user: user(3) }),
        (two, Fact::ChatUpdated { title: "gone".into(), deleted: true, by: None }),
        (one, Fact::ChatUpdated { title: "renamed".into(), deleted: false, by: Some(user(1)) }),
        (Place::Nowhere, with_key(1, Some(Bytes([3; 32])))),
        (Place::Nowhere, with_key(1, None)),
        (one, Fact::MessageErased { sender: user(1) }),
        (one, edited(20, 9, "")),
        (one, reacted(20, 9, "", true)),
        (Place::Nowhere, read(1, 0, 0)),
        (Place::Nowhere, Fact::Trimmed { chat: chat(1), up_to: Seq(2), messages: 1 }),
        (Place::Nowhere, Fact::Trimmed { chat: chat(2), up_to: Seq(4), messages: 0 }),
        (one, Fact::MemberLeft { user: user(2) }),
        (Place::Nowhere, Fact::UserErased { user: user(2) }),
    ];
    let at = |nth: u64| Millis(1_700_000_000_000 + nth);
    facts.into_iter().zip(1..).map(|((place, fact), nth)| Draft { at: at(nth), place, fact }).collect()
}

/// Rewrites a log without what is not kept any more.
fn compact(log: &mut SqliteLog) {
    let until = log.last().unwrap();
    let mut compaction = Compaction::begin(log, until).unwrap();
    loop {
        match compaction.next(log).unwrap() {
            Step::Looked => {}
            Step::Rewrite(rewrite) => assert!(log.replace(&rewrite).unwrap()),
            Step::End => return,
        }
    }
}

/// Forgets what was said: chat 1 up to where it stands in `from`, and user 1, who leaves it.
fn forget(log: &mut SqliteLog, from: &[u8]) {
    let lines = String::from_utf8(from.to_vec()).unwrap();
    let of_one = |line: &&str| line.contains("\"chat_id\":1,\"seq\"");
    let (events, messages) = (
        lines.lines().filter(of_one).count() as u64,
        lines.lines().filter(|line| line.contains("\"packet_type\":\"Message\"")).count() as u64,
    );
    let draft = |place, fact| Draft { at: Millis(7), place, fact };
    log.append(vec![
        draft(Place::Nowhere, Fact::Trimmed { chat: chat(1), up_to: Seq(events), messages }),
        draft(Place::Chat(chat(1)), Fact::MemberLeft { user: user(1) }),
        draft(Place::Nowhere, Fact::UserErased { user: user(1) }),
    ])
    .unwrap();
    compact(log);
}

/// A data folder with every kind of record in its log, twenty times over.
pub(super) struct World {
    place: tempfile::TempDir,
    records: u64,
}

impl World {
    pub(super) fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("data");
        fs::create_dir(&data).unwrap();
        let (mut log, _) = SqliteLog::open(&data, 7, |_| {}).unwrap();
        let mut records = log.append(drafts()).unwrap().len();
        for nth in 0..20 {
            let more = (0..30).map(|length| posted(&"x".repeat(length * nth * 3 + 1)));
            let place = Place::Chat(chat(1));
            let more = more.map(|fact| Draft { at: Millis(5), place, fact }).collect();
            records += log.append(more).unwrap().len();
        }
        Self { place, records: records as u64 }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    pub(super) fn export(&self, data: &str, wanted: Wanted) -> Vec<u8> {
        let mut out = Vec::new();
        to_stream(&self.path(data), wanted, &mut out, &mut |_, _| {}).unwrap();
        out
    }

    pub(super) fn all(&self) -> Vec<u8> {
        self.export("data", Wanted::default())
    }

    fn to_file(&self, wanted: Wanted) -> Result<Exported, TransferError> {
        to_file(&self.path("data"), wanted, &self.path("out"), &mut |_, _| {})
    }

    pub(super) fn import(&self, lines: &[u8], data: &str) -> Result<Imported, TransferError> {
        self.import_with(lines, data, &Limits::default())
    }

    pub(super) fn import_with(&self, from: impl Read, data: &str, limits: &Limits) -> Result<Imported, TransferError> {
        let target = Target { folder: &self.path(data), epoch: 9, limits };
        import(from, Path::new("in"), target, &mut |_| {})
    }

    fn log(&self) -> SqliteLog {
        SqliteLog::open(&self.path("data"), 7, |_| {}).unwrap().0
    }
}

#[test]
fn what_is_imported_is_exported_again_byte_for_byte() {
    let world = World::new();
    let all = world.all();
    let lines = all.split(|byte| *byte == b'\n').count() as u64;
    assert_eq!(lines, world.records + 3, "a line a record, the first, the last, and nothing behind it");
    assert_eq!(world.import(&all, "other").unwrap(), Imported { records: world.records, before: 0 });
    assert!(world.export("other", Wanted::default()) == all, "another export");
    let (mut log, _) = SqliteLog::open(&world.path("other"), 1, |_| {}).unwrap();
    assert_eq!(log.epoch(), 9);
    assert_eq!(
        log.record(Position(7)).unwrap(),
        SqliteLog::reader(&world.path("data")).unwrap().record(Position(7)).unwrap()
    );
    drop(log);
    let again = world.import(&all, "other");
    assert!(matches!(again, Err(TransferError::Folder(FolderError::NotEmpty { .. }))), "{again:?}");
}

#[test]
fn a_line_is_the_event_as_the_protocol_has_it_behind_its_position() {
    let world = World::new();
    let all = String::from_utf8(world.all()).unwrap();
    let lines: Vec<&str> = all.lines().collect();
    assert_eq!(lines[0], r#"{"packet_type":"Export","version":1,"after":0}"#);
    assert_eq!(
        lines[9],
        r#"{"position":9,"packet_type":"Reaction","chat_id":1,"seq":5,"message_id":5,"message_seq":2,"user_id":2,"emoji":"👍","at":1700000000009}"#
    );
    assert_eq!(
        lines[12],
        r#"{"position":12,"packet_type":"Read","chat_id":1,"user_id":2,"seq":3,"count":2,"at":1700000000012}"#
    );
    assert_eq!(lines.last(), Some(&&*format!(r#"{{"packet_type":"ExportEnd","position":{}}}"#, world.records)));
}

#[test]
fn the_example_of_the_documentation_can_be_imported() {
    let page = include_str!("../../docs/export.md");
    let example = page.split_once("```json\n").and_then(|(_, rest)| rest.split_once("```")).unwrap().0;
    let world = World::new();
    world.import(example.as_bytes(), "other").unwrap();
    assert_eq!(String::from_utf8(world.export("other", Wanted::default())).unwrap(), example);
}

#[test]
fn a_chat_and_an_end_can_be_exported_alone() {
    let world = World::new();
    let of_two = String::from_utf8(world.export("data", Wanted { chat: Some(chat(2)), ..Wanted::default() })).unwrap();
    let positions: Vec<u64> =
        of_two.lines().filter_map(|line| line::read(line.as_bytes()).ok()).map(|r| r.position.0).collect();
    assert_eq!(positions, [4, 14, 15, 16, 25]);
    let of_one = String::from_utf8(world.export("data", Wanted { chat: Some(chat(1)), ..Wanted::default() })).unwrap();
    assert!(of_one.contains(r#""packet_type":"Read""#), "a chat's read marks are the chat's");
    let end =
        String::from_utf8(world.export("data", Wanted { after: Position(world.records - 2), chat: None })).unwrap();
    assert_eq!(end.lines().count(), 4, "{end}");
    for part in [of_two, end] {
        let refused = world.import(part.as_bytes(), "other").unwrap_err().to_string();
        assert!(refused.starts_with("in:1: bad_header: the export has only a part of the log"), "{refused}");
    }
    assert!(!world.path("other").exists());
}

#[test]
fn an_export_that_was_cut_off_anywhere_goes_on_and_is_the_same() {
    let world = World::new();
    assert_eq!(world.to_file(Wanted::default()).unwrap().records, world.records);
    let all = fs::read(world.path("out")).unwrap();
    assert!(all == world.all());
    for cut in (0..all.len()).step_by(all.len() / 50).chain(0..60).chain(all.len() - 60..all.len()) {
        fs::write(world.path("out"), &all[..cut]).unwrap();
        world.to_file(Wanted::default()).unwrap();
        assert!(fs::read(world.path("out")).unwrap() == all, "cut at {cut}");
    }
    // What came since is behind it then.
    let mut log = world.log();
    log.append(vec![Draft { at: Millis(6), place: Place::Chat(chat(1)), fact: posted("later") }]).unwrap();
    let done = world.to_file(Wanted::default()).unwrap();
    assert_eq!((done.records, done.after.0, done.head.0), (1, world.records, world.records + 1));
    assert!(fs::read(world.path("out")).unwrap() == world.all());
}

#[test]
fn a_file_of_something_else_is_not_continued() {
    let world = World::new();
    world.to_file(Wanted::default()).unwrap();
    let all = fs::read(world.path("out")).unwrap();
    let refused = |world: &World, wanted| {
        let before = fs::read(world.path("out")).unwrap();
        let error = world.to_file(wanted).unwrap_err();
        assert!(matches!(error, TransferError::Another { .. }), "{error}");
        assert!(fs::read(world.path("out")).unwrap() == before, "it was changed");
        error.to_string()
    };
    refused(&world, Wanted { chat: Some(chat(1)), ..Wanted::default() });
    fs::write(world.path("out"), "my diary, which is longer than the first line of an export").unwrap();
    refused(&world, Wanted::default());
    let text = String::from_utf8(all).unwrap();
    let other = text.lines().take(10).map(|line| line.replace("👍", "👎") + "\n").collect::<String>();
    fs::write(world.path("out"), other).unwrap();
    let told = refused(&world, Wanted::default());
    assert!(told.contains("the log has another record at position 9"), "{told}");
}

#[test]
fn an_import_that_was_cut_off_goes_on_behind_what_is_there() {
    let world = World::new();
    let all = world.all();
    let mut folder = 0;
    for cut in (1..all.len()).step_by(all.len() / 23) {
        folder += 1;
        let data = format!("other{folder}");
        let error = world.import(&all[..cut], &data).unwrap_err();
        assert!(error.to_string().contains(": cut_short: "), "{error}");
        if !world.path(&data).exists() {
            assert!(cut < 60, "only the first line makes nothing");
            continue;
        }
        let no_server = Folder::lock(&world.path(&data)).unwrap().open_log(1);
        assert!(matches!(no_server, Err(FolderError::Unfinished { .. })));
        let whole = all[..cut].iter().filter(|byte| **byte == b'\n').count() as u64 - 1;
        let before = whole.min(world.records);
        assert_eq!(world.import(&all, &data).unwrap(), Imported { records: world.records, before });
        assert!(world.export(&data, Wanted::default()) == all, "cut at {cut}");
    }
}

#[test]
fn what_trims_and_erasures_left_is_imported_and_exported_again_byte_for_byte() {
    let world = World::new();
    let whole = world.all();
    forget(&mut world.log(), &whole);
    let left = world.all();
    let text = String::from_utf8(left.clone()).unwrap();
    assert!(text.contains("\"deleted\":true") && !text.contains("xxx") && !text.contains("better"), "{text}");
    world.import(&left, "other").unwrap();
    assert!(world.export("other", Wanted::default()) == left, "another export");
    // What was not rewritten yet, up to anywhere, goes the same way.
    let lines =
        |export: &[u8]| -> Vec<Vec<u8>> { export.split_inclusive(|byte| *byte == b'\n').map(Vec::from).collect() };
    let (left, whole) = (lines(&left), lines(&whole));
    for rewritten in (1..whole.len() - 1).step_by(whole.len() / 20).chain(2..12) {
        let some = [&left[..rewritten], &whole[rewritten..whole.len() - 1], &left[whole.len() - 1..]].concat().concat();
        let data = format!("up to {rewritten}");
        world.import(&some, &data).unwrap();
        assert!(world.export(&data, Wanted::default()) == some, "{data}");
    }
}

#[test]
fn an_export_goes_on_behind_a_line_of_which_less_is_kept_by_now() {
    let key = |key| Fact::KeyRegistered { user: user(1), key };
    let edit =
        Fact::MessageEdited { message: message(28), message_seq: Seq(13), content: "better".into(), by: user(1) };
    let (message, message_seq) = (message(28), Seq(13));
    let react = Fact::Reacted { message, message_seq, user: user(1), emoji: "+1".into(), removed: false };
    let read = Fact::ReadMarked { chat: chat(1), user: user(1), seq: Seq(1), count: 0 };
    let one = Place::Chat(chat(1));
    for (place, last) in [
        (one, posted("last words")),
        (one, edit),
        (one, react),
        (Place::Nowhere, key(Some(Bytes([3; 32])))),
        (Place::Nowhere, read),
    ] {
        let world = World::new();
        world.log().append(vec![Draft { at: Millis(6), place, fact: last }]).unwrap();
        world.to_file(Wanted::default()).unwrap();
        let before = fs::read(world.path("out")).unwrap();
        forget(&mut world.log(), &before);
        assert!(!world.all().starts_with(&before[..before.len() - 100]), "something is not kept any more");
        assert_eq!(world.to_file(Wanted::default()).unwrap().records, 3);
        // What stands in the file stays there.
        let after = fs::read(world.path("out")).unwrap();
        let end = before.iter().rposition(|byte| *byte == b'{').unwrap();
        assert!(after.starts_with(&before[..end]));
        world.import(&after, "other").unwrap();
    }
}

#[test]
fn an_export_is_for_its_owner_alone_and_goes_into_nothing_but_a_file() {
    let world = World::new();
    world.to_file(Wanted::default()).unwrap();
    let out = world.path("out");
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o600);
    let refused = |told: &str| {
        let (done, told_by) = mpsc::channel();
        let (data, out) = (world.path("data"), world.path("out"));
        std::thread::spawn(move || done.send(to_file(&data, Wanted::default(), &out, &mut |_, _| {})));
        let error = told_by.recv_timeout(Duration::from_secs(20)).expect("it waits for ever").unwrap_err();
        assert!(matches!(error, TransferError::Another { .. }) && error.to_string().contains(told), "{error}");
    };
    // Somebody else has prepared it.
    fs::write(&out, "").unwrap();
    for mode in [0o644, 0o660, 0o604] {
        fs::set_permissions(&out, fs::Permissions::from_mode(mode)).unwrap();
        refused("chmod 600");
        assert_eq!(fs::metadata(&out).unwrap().len(), 0);
    }
    fs::remove_file(&out).unwrap();
    assert!(Command::new("mkfifo").arg(&out).status().unwrap().success());
    refused("no regular file");
    fs::remove_file(&out).unwrap();
    std::os::unix::fs::symlink("/dev/null", &out).unwrap();
    refused("no regular file");
}
