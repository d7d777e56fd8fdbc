//! How many files the process may open: each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files besides those of the connections: the log and the tables with their readers, listeners, threads' own, and some
/// for those who are turned away.
const OTHER_FILES: u64 = 200;

/// Raises the limit as far as that goes: the usual one of 1,024 is for programs that have few. Says so where so many
/// `connections` do not fit even then; who is then in vain waits for a file to be closed, and hears nothing until.
pub(crate) fn allow(connections: u32) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    if let Err(error) = &raised {
        tracing::warn!(%error, "raise the limit of open files");
    }
    let files = if raised.is_ok() { maximum } else { current };
    let needed = needed(connections);
    if let Some(files) = files.filter(|files| *files < needed) {
        tracing::warn!(
            files,
            needed,
            connections,
            "not as many files may be open as limits.connections needs: when none is left, new clients wait unanswered; \
             raise the limit of open files (LimitNOFILE, ulimit -n), or lower limits.connections"
        );
    }
}

/// So many files a server needs that has so many connections.
pub(crate) fn needed(connections: u32) -> u64 {
    u64::from(connections).saturating_add(OTHER_FILES)
}
