//! `chappe verify`: asks the engine whether the query tables follow from the log, and tells the answer.

use std::fmt::Write;
use std::process::ExitCode;

use chappe_actors::engine::{AHEAD_OF_THE_LOG, OF_ANOTHER_LOG, SNAPSHOT, SNAPSHOT_AHEAD, UNREADABLE, Verified};

use crate::app;
use crate::cli::folder::IdleFolderArgs;
use crate::cli::{fail, print};
use crate::exit::Exit;

/// Verifies the data folder.
pub(super) fn run(folder: &IdleFolderArgs) -> ExitCode {
    let config = match folder.begin() {
        Ok(config) => config,
        Err(end) => return end,
    };
    match app::verify(&config) {
        Ok(report) => {
            let printed = print(&in_words(&report));
            if report.differences.is_empty() { printed } else { Exit::Differences.into() }
        }
        Err(error) => fail(&error, error.exit_code()),
    }
}

fn in_words(found: &Verified) -> String {
    let Verified { records, projected, chats, differences } = found;
    let behind = if projected < records {
        format!(" (the tables had taken over {projected} of them; a server takes over the rest)")
    } else {
        String::new()
    };
    let (snapshot, tables): (Vec<_>, Vec<_>) =
        differences.iter().partition(|(name, _)| [SNAPSHOT, SNAPSHOT_AHEAD].contains(name));
    let is_ahead = differences.iter().any(|(name, _)| [AHEAD_OF_THE_LOG, SNAPSHOT_AHEAD].contains(name));
    let verdict = if tables.is_empty() { "agree with" } else { "differ from" };
    let mut text =
        format!("{records} records in {chats} chats are whole: the query tables {verdict} the log{behind}\n");
    for (table, rows) in &tables {
        // Writing to a string cannot fail.
        let _ = match *table {
            UNREADABLE => writeln!(text, "  they cannot be read"),
            OF_ANOTHER_LOG => writeln!(text, "  they were made from another log"),
            AHEAD_OF_THE_LOG => writeln!(text, "  they hold {rows} records that the log does not"),
            table => writeln!(text, "  {table}: {rows} rows"),
        };
    }
    for (name, records) in &snapshot {
        let _ = match *name {
            SNAPSHOT_AHEAD => writeln!(text, "The snapshot knows of {records} records that the log does not hold."),
            _ => writeln!(text, "The snapshot leads to something else than the log, or cannot be used."),
        };
    }
    if is_ahead {
        // Deleted, nobody would know: numbers that clients have seen would be given out anew.
        text.push_str(
            "The log has lost its end. Delete nothing: the next start sees by these files that it has to begin a new epoch. \
             What was lost may be in a backup.\n",
        );
        return text;
    }
    if !tables.is_empty() {
        text.push_str("The log is right. Delete query.db and a server builds them again.\n");
    }
    if !snapshot.is_empty() {
        text.push_str("The log is right. Delete snapshot and names, and a server makes them again.\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_listed_and_their_absence_is_said() {
        let mut found = Verified { records: 12, projected: 12, chats: 3, differences: Vec::new() };
        assert_eq!(in_words(&found), "12 records in 3 chats are whole: the query tables agree with the log\n");
        found.differences.push(("messages", 4));
        assert!(in_words(&found).contains("differ from the log\n  messages: 4 rows\n"));
    }

    #[test]
    fn what_is_to_be_deleted_is_what_differs() {
        let told = |names: &[&'static str]| {
            let differences = names.iter().map(|name| (*name, 1)).collect();
            in_words(&Verified { records: 12, projected: 12, chats: 3, differences })
        };
        let advice = [("messages", "Delete query.db "), (SNAPSHOT, "Delete snapshot and names,")];
        for names in [&["messages"][..], &[SNAPSHOT], &["messages", SNAPSHOT]] {
            for (name, advice) in advice {
                assert_eq!(told(names).contains(advice), names.contains(&name), "{}", told(names));
            }
        }
        assert!(told(&[SNAPSHOT]).contains("the query tables agree with the log"));
    }

    #[test]
    fn what_shows_that_the_log_lost_its_end_is_not_to_be_deleted() {
        for names in
            [&[AHEAD_OF_THE_LOG][..], &[SNAPSHOT_AHEAD], &[AHEAD_OF_THE_LOG, SNAPSHOT], &["messages", SNAPSHOT_AHEAD]]
        {
            let differences = names.iter().map(|name| (*name, 3)).collect();
            let told = in_words(&Verified { records: 12, projected: 12, chats: 3, differences });
            assert!(told.contains("3 records that the log does not"), "{told}");
            assert!(told.contains("has lost its end. Delete nothing") && told.matches("elete").count() == 1, "{told}");
            assert!(!told.contains("The log is right"), "{told}");
        }
    }
}
