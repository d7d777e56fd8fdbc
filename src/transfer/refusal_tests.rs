//! What an import refuses: every line that no server would have written where it stands.

use std::fs;
use std::io::Read;
use std::path::PathBuf;

use chappe_actors::folder::{Folder, FolderError};
use chappe_actors::log::record::Position;
use chappe_actors::log::sqlite::{self, SqliteLog};
use chappe_proto::limits::Limits;

use super::TransferError;
use super::export::Wanted;
use super::tests::World;

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
    let long = |length: usize| "x".repeat(length);
    let content = |length| format!("\"content\":\"{}\"", long(length));
    let largest = u64::MAX.to_string();
    for (nth, from, to, code) in [
        (1, "Export", "Exportt", "bad_header"),
        (1, "\"version\":1", "\"version\":2", "bad_header"),
        (2, "{", "", "not_json"),
        (2, "{", "[{", "not_json"),
        (2, "\"position\":1", "\"position\":\"1\"", "bad_event"),
        (4, "ChatCreated", "ChatMade", "bad_event"),
        (4, "ChatCreated", "ExportEnd", "bad_event"),
        (4, "\"chat_id\":1", "\"chat_id\":2", "wrong_number"),
        (5, "\"position\":4", "\"position\":5", "out_of_order"),
        (6, "\"seq\":2", "\"seq\":3", "wrong_number"),
        (6, "\"seq\":2,\"message\":{", "\"seq\":2,\"colour\":\"red\",\"message\":{", "left_over"),
        (6, "\"id\":5", "\"id\":6", "wrong_number"),
        (6, "\"chat_id\":1", "\"chat_id\":7", "unknown"),
        (6, "\"created_at\"", "\"deleted\":true,\"created_at\"", "bad_event"),
        (6, "\"sender_id\":1", "\"sender_id\":0", "bad_event"),
        (6, "\"sender_id\":1", "\"sender_id\":3", "disagrees"),
        (8, "\"reply_to\":5", "\"reply_to\":7", "unknown"),
        (8, "\"reply_to\":5", "\"reply_to\":4", "unknown"),
        (9, "\"message_id\":5", "\"message_id\":400", "unknown"),
        (13, "\"seq\":3", "\"seq\":300", "unknown"),
        // Texts as for packets.
        (2, "Änn", &*"\\u001b".repeat(65), "bad_event"),
        (2, "Änn \\\"the\\\" first", "", "bad_event"),
        (4, "\"title\":\"ops\"", &*format!("\"title\":\"{}\"", long(100_000)), "bad_event"),
        (30, &*content(1), &*content(0), "bad_event"),
        (30, &*content(1), &*content(2_000_000), "bad_event"),
        (30, &*content(1), &*content(20_000_000), "bad_event"),
        (9, "better", &*long(32 * 1024 + 1), "bad_event"),
        (10, "👍", &*long(65), "bad_event"),
        (8, "signed", "forged", "bad_event"),
        (2, "1700000000001", &*largest, "bad_event"),
        // Numbers that agree with what was said before.
        (13, "\"count\":2", "\"count\":999999999", "disagrees"),
        (25, "\"messages\":1", &*format!("\"messages\":{largest}"), "disagrees"),
        (9, "\"message_seq\":2", "\"message_seq\":3", "disagrees"),
        (9, "\"message_id\":5", "\"message_id\":3", "unknown"),
        (9, "\"user_id\":1", "\"user_id\":2", "disagrees"),
        (15, "\"user_id\":3", "\"user_id\":4", "unknown"),
    ] {
        let told = told(&world, nth, from, to);
        assert!(told.starts_with(&format!("in:{nth}: {code}: ")), "{from}: {told}");
        assert!(told.len() < 1000, "{} bytes", told.len());
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
    assert!(differs.starts_with("in:10: differs: "), "{differs}");
    let end = format!(
        "{}\n{{\"packet_type\":\"ExportEnd\",\"position\":3}}\n",
        text.lines().take(4).collect::<Vec<_>>().join("\n")
    );
    let shorter = world.import(end.as_bytes(), "other").unwrap_err().to_string();
    assert!(shorter.starts_with("in:5: differs: "), "{shorter}");
}

#[test]
fn messages_are_as_long_as_the_settings_let_them_be() {
    let world = World::new();
    let text = String::from_utf8(world.all()).unwrap();
    let longer = text.replacen("\"content\":\"x\"", &format!("\"content\":\"{}\"", "x".repeat(2_000_000)), 1);
    let told = world.import(longer.as_bytes(), "other").unwrap_err().to_string();
    let sentence = "in:29: bad_event: content has 2000000 bytes; 32768 are allowed (limits.content_bytes";
    assert!(told.starts_with(sentence), "{told}");
    let limits = Limits { content_bytes: 2_000_000, ..Limits::default() };
    world.import_with(longer.as_bytes(), "other", &limits).unwrap();
    assert!(world.export("other", Wanted::default()) == longer.as_bytes());
}

/// A file during whose last read a row of the new log changes.
struct Damaging<'a> {
    lines: &'a [u8],
    log: PathBuf,
}

impl Read for Damaging<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.lines.is_empty() {
            let log = rusqlite::Connection::open(&self.log).unwrap();
            let changed = log.execute("UPDATE batch SET body = zeroblob(length(body)) WHERE first = 1", ()).unwrap();
            assert_eq!(changed, 1);
        }
        self.lines.read(buffer)
    }
}

#[test]
fn what_came_in_counts_once_it_was_read_back() {
    let world = World::new();
    let all = world.all();
    let last = all.iter().rposition(|byte| *byte == b'{').unwrap();
    world.import(&all[..last], "other").unwrap_err();
    let damaging = Damaging { lines: &all, log: world.path("other").join(sqlite::FILE) };
    let error = world.import_with(damaging, "other", &Limits::default()).unwrap_err();
    assert!(matches!(error, TransferError::Folder(FolderError::Log { .. })), "{error}");
    let no_server = Folder::lock(&world.path("other")).unwrap().open_log(1);
    assert!(matches!(no_server, Err(FolderError::Unfinished { .. })));
}
