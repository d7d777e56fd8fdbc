//! `chappe verify`: asks the engine whether the query tables follow from the log, and tells the answer.

use std::fmt::Write;
use std::process::ExitCode;

use chappe_actors::engine::{AHEAD_OF_THE_LOG, OF_ANOTHER_LOG, UNREADABLE, Verified};

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
    let read = format!("{records} records in {chats} chats are whole");
    let behind = if projected < records {
        format!(" (the tables had taken over {projected} of them; a server takes over the rest)")
    } else {
        String::new()
    };
    if differences.is_empty() {
        return format!("{read}: the query tables agree with the log{behind}\n");
    }
    let mut text = format!("{read}: the query tables differ from the log{behind}\n");
    for (table, rows) in differences {
        // Writing to a string cannot fail.
        let _ = match *table {
            UNREADABLE => writeln!(text, "  they cannot be read"),
            OF_ANOTHER_LOG => writeln!(text, "  they were made from another log"),
            AHEAD_OF_THE_LOG => writeln!(text, "  they hold {rows} records that the log does not"),
            table => writeln!(text, "  {table}: {rows} rows"),
        };
    }
    text.push_str("The log is right. Delete query.db and a server builds them again.\n");
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
}
