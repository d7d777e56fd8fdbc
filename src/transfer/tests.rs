//! What goes out comes in again, byte for byte, wherever it was cut off; and what does not fit is named.

use std::fs;
use std::path::{Path, PathBuf};

use chappe_actors::folder::Folder;
use chappe_actors::log::EventLog;
use chappe_actors::log::record::{Draft, Fact, Place, Position};
use chappe_actors::log::sqlite::SqliteLog;
use chappe_proto::event::{ChatKind, Role};
use chappe_proto::message::MessageType;
use chappe_proto::signature::{Bytes, Signature};
use chappe_proto::{ChatId, ClientId, MessageId, Millis, Seq, UserId};

use super::export::{Exported, Wanted, to_file, to_stream};
use super::import::{Imported, import};
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

/// Every kind of fact, in an order that can be.
fn drafts() -> Vec<Draft> {
    let signature = Box::new(Signature { key: Bytes([3; 32]), value: Bytes([9; 64]) });
    let (one, two) = (Place::Chat(chat(1)), Place::Chat(chat(2)));
    let members = vec![user(1), user(2)];
    let facts = vec![
        (Place::Nowhere, Fact::UserCreated { user: user(1), nickname: "Änn \"the\" first".into() }),
        (Place::NewChat, Fact::ChatCreated { title: "ops".into(), kind: ChatKind::Group, by: Some(user(1)), members }),
        (Place::NewChat, Fact::ChatCreated { title: "".into(), kind: ChatKind::Open, by: None, members: vec![] }),
        (one, posted("hello\n\u{1}\u{2028}\u{1f41d} \\ \"quoted\"")),
        (
            one,
            Fact::SignedMessagePosted {
                sender: user(2),
                content: "signed".into(),
                message_type: MessageType::Text,
                client_id: None,
                reply_to: Some(message(4)),
                signature,
            },
        ),
        (one, Fact::MessageEdited { message: message(4), message_seq: Seq(2), content: "better".into(), by: user(1) }),
        (
            one,
            Fact::Reacted {
                message: message(4),
                message_seq: Seq(2),
                user: user(2),
                emoji: "👍".into(),
                removed: false,
            },
        ),
        (
            one,
            Fact::Reacted {
                message: message(4),
                message_seq: Seq(2),
                user: user(2),
                emoji: "👍".into(),
                removed: true,
            },
        ),
        (one, Fact::MessageDeleted { message: message(4), message_seq: Seq(2), by: user(1) }),
        (Place::Nowhere, Fact::ReadMarked { chat: chat(1), user: user(2), seq: Seq(3), count: 2 }),
        (two, Fact::MemberJoined { user: user(3), role: Role::Owner }),
        (two, Fact::MemberLeft { user: user(3) }),
        (two, Fact::ChatUpdated { title: "gone".into(), deleted: true, by: None }),
        (one, Fact::ChatUpdated { title: "renamed".into(), deleted: false, by: Some(user(1)) }),
        (Place::Nowhere, Fact::KeyRegistered { user: user(1), key: Some(Bytes([3; 32])) }),
        (Place::Nowhere, Fact::KeyRegistered { user: user(1), key: None }),
        (one, Fact::MessageErased { sender: user(1) }),
        (Place::Nowhere, Fact::Trimmed { chat: chat(1), up_to: Seq(2), messages: 1 }),
        (Place::Nowhere, Fact::UserErased { user: user(2) }),
    ];
    let at = |nth: u64| Millis(1_700_000_000_000 + nth);
    facts.into_iter().zip(1..).map(|((place, fact), nth)| Draft { at: at(nth), place, fact }).collect()
}

/// A data folder with every kind of record in its log, twenty times over.
struct World {
    place: tempfile::TempDir,
    records: u64,
}

impl World {
    fn new() -> Self {
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

    fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn export(&self, data: &str, wanted: Wanted) -> Vec<u8> {
        let mut out = Vec::new();
        to_stream(&self.path(data), wanted, &mut out, &mut |_, _| {}).unwrap();
        out
    }

    fn all(&self) -> Vec<u8> {
        self.export("data", Wanted::default())
    }

    fn to_file(&self, wanted: Wanted) -> Result<Exported, TransferError> {
        to_file(&self.path("data"), wanted, &self.path("out"), &mut |_, _| {})
    }

    fn import(&self, lines: &[u8], data: &str) -> Result<Imported, TransferError> {
        import(lines, Path::new("in"), &self.path(data), 9, &mut |_| {})
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
        log.record(Position(6)).unwrap(),
        SqliteLog::reader(&world.path("data")).unwrap().record(Position(6)).unwrap()
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
        lines[7],
        r#"{"position":7,"packet_type":"Reaction","chat_id":1,"seq":5,"message_id":4,"message_seq":2,"user_id":2,"emoji":"👍","at":1700000000007}"#
    );
    assert_eq!(
        lines[10],
        r#"{"position":10,"packet_type":"Read","chat_id":1,"user_id":2,"seq":3,"count":2,"at":1700000000010}"#
    );
    assert_eq!(lines.last(), Some(&&*format!(r#"{{"packet_type":"ExportEnd","position":{}}}"#, world.records)));
}

#[test]
fn a_chat_and_an_end_can_be_exported_alone() {
    let world = World::new();
    let of_two = String::from_utf8(world.export("data", Wanted { chat: Some(chat(2)), ..Wanted::default() })).unwrap();
    let positions: Vec<u64> =
        of_two.lines().filter_map(|line| line::read(line.as_bytes()).ok()).map(|r| r.position.0).collect();
    assert_eq!(positions, [3, 11, 12, 13]);
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
    let (mut log, _) = SqliteLog::open(&world.path("data"), 7, |_| {}).unwrap();
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
    let other = text.lines().take(8).map(|line| line.replace("👍", "👎") + "\n").collect::<String>();
    fs::write(world.path("out"), other).unwrap();
    let told = refused(&world, Wanted::default());
    assert!(told.contains("the log has another record at position 7"), "{told}");
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

/// Changes a line, and says what an import tells of it.
fn told(world: &World, nth: usize, from: &str, to: &str) -> String {
    let text = String::from_utf8(world.all()).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert!(lines[nth - 1].contains(from), "{from} is not in {}", lines[nth - 1]);
    lines[nth - 1] = lines[nth - 1].replace(from, to);
    let changed = lines.join("\n") + "\n";
    let data = world.path("other");
    let error = world.import(changed.as_bytes(), "other").unwrap_err();
    assert!(matches!(&error, TransferError::Line { number, .. } if *number == nth as u64), "{error}");
    if nth > 1 {
        // All before it is kept, and the mended file goes on behind it.
        assert_eq!(SqliteLog::reader(&data).unwrap().last().unwrap(), Position(nth as u64 - 2));
        let all = world.all();
        assert_eq!(world.import(&all, "other").unwrap().before, nth as u64 - 2);
        assert!(world.export("other", Wanted::default()) == all);
        fs::remove_dir_all(&data).unwrap();
    }
    error.to_string()
}

#[test]
fn a_bad_line_is_named_with_a_code_and_loses_nothing() {
    let world = World::new();
    for (nth, from, to, code) in [
        (1, "Export", "Exportt", "bad_header"),
        (1, "\"version\":1", "\"version\":2", "bad_header"),
        (2, "{", "", "not_json"),
        (2, "{", "[{", "not_json"),
        (2, "\"position\":1", "\"position\":\"1\"", "bad_event"),
        (3, "ChatCreated", "ChatMade", "bad_event"),
        (3, "ChatCreated", "ExportEnd", "bad_event"),
        (3, "\"chat_id\":1", "\"chat_id\":2", "wrong_number"),
        (4, "\"position\":3", "\"position\":4", "out_of_order"),
        (5, "\"seq\":2", "\"seq\":3", "wrong_number"),
        (5, "\"seq\":2,\"message\":{", "\"seq\":2,\"colour\":\"red\",\"message\":{", "left_over"),
        (5, "\"id\":4", "\"id\":5", "wrong_number"),
        (5, "\"chat_id\":1", "\"chat_id\":7", "unknown"),
        (5, "\"created_at\"", "\"deleted\":true,\"created_at\"", "bad_event"),
        (5, "\"sender_id\":1", "\"sender_id\":0", "bad_event"),
        (6, "\"reply_to\":4", "\"reply_to\":5", "unknown"),
        (7, "\"message_id\":4", "\"message_id\":400", "unknown"),
        (11, "\"seq\":3", "\"seq\":300", "unknown"),
    ] {
        let told = told(&world, nth, from, to);
        assert!(told.starts_with(&format!("in:{nth}: {code}: ")), "{from} -> {to}: {told}");
    }
}

#[test]
fn what_follows_the_end_and_another_file_behind_a_cut_are_refused() {
    let world = World::new();
    let all = world.all();
    let behind = world.import(&[&all[..], b"{}\n"].concat(), "other").unwrap_err().to_string();
    assert!(behind.contains(": behind_the_end: "), "{behind}");
    let text = String::from_utf8(all).unwrap();
    let another = text.replace("\"emoji\":\"👍\",\"at\"", "\"emoji\":\"👎\",\"at\"");
    let differs = world.import(another.as_bytes(), "other").unwrap_err().to_string();
    assert!(differs.starts_with("in:8: differs: "), "{differs}");
    let end = format!(
        "{}\n{{\"packet_type\":\"ExportEnd\",\"position\":3}}\n",
        text.lines().take(4).collect::<Vec<_>>().join("\n")
    );
    let shorter = world.import(end.as_bytes(), "other").unwrap_err().to_string();
    assert!(shorter.starts_with("in:5: differs: "), "{shorter}");
}
