//! How the engine is, as values: what `/health` tells and what decides whether the server is ready.

use chappe_proto::{Code, Reject};

/// How the engine is at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Where the server stands between its start and its end.
    pub phase: Phase,
    /// Whether the log takes writes.
    pub storage: Storage,
    /// What is damaged of the log, if something is that the start did not read. The server goes on.
    pub damage: Option<Box<str>>,
    /// Whether damage was found in the query tables, and they are not built again yet: some history cannot be read.
    pub are_tables_damaged: bool,
    /// The position of the newest event on disk; 0 in an empty log.
    pub log_position: u64,
    /// Up to which position the query tables are built; never beyond `log_position`.
    pub projected_position: u64,
    /// Who is connected.
    pub connections: Connections,
}

/// Where the server stands between its start and its end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Phase {
    /// The state is being read from the log.
    #[default]
    Starting,
    /// Requests are served.
    Serving,
    /// A stop was asked for: what was accepted is finished, nothing new is taken.
    Draining,
}

/// Whether the log takes writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Storage {
    /// It does.
    #[default]
    Writable,
    /// It does not: the disk is full, read-only or failing. Reads go on.
    Unavailable {
        /// What the disk said, for the operator.
        reason: Box<str>,
    },
}

/// Open connections, by door.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Connections {
    /// WebSocket.
    pub websocket: u64,
    /// TCP.
    pub tcp: u64,
}

impl Health {
    /// How many events are on disk and not in the query tables yet.
    pub const fn projector_lag(&self) -> u64 {
        self.log_position.saturating_sub(self.projected_position)
    }

    /// Whether writes are taken.
    ///
    /// # Errors
    /// `busy` while starting, `shutting_down` while draining, `storage_unavailable` if the disk does not take writes.
    pub fn ready(&self) -> Result<(), Reject> {
        match (self.phase, &self.storage) {
            (Phase::Starting, _) => Err(Reject::new(Code::Busy, "the server is starting")),
            (Phase::Draining, _) => Err(Reject::plain(Code::ShuttingDown)),
            (Phase::Serving, Storage::Unavailable { .. }) => Err(Reject::plain(Code::StorageUnavailable)),
            (Phase::Serving, Storage::Writable) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_is_ready_only_while_it_takes_writes() {
        let code = |phase, storage| Health { phase, storage, ..Health::default() }.ready().err().map(|r| r.code);
        let broken = || Storage::Unavailable { reason: "no space left".into() };
        assert_eq!(code(Phase::Serving, Storage::Writable), None);
        assert_eq!(code(Phase::Serving, broken()), Some(Code::StorageUnavailable));
        assert_eq!(code(Phase::Starting, Storage::Writable), Some(Code::Busy));
        assert_eq!(code(Phase::Draining, Storage::Writable), Some(Code::ShuttingDown));
        assert_eq!(code(Phase::Draining, broken()), Some(Code::ShuttingDown));
    }

    #[test]
    fn the_lag_is_never_negative() {
        let lag = |log_position, projected_position| {
            Health { log_position, projected_position, ..Health::default() }.projector_lag()
        };
        assert_eq!(lag(7, 5), 2);
        assert_eq!(lag(5, 7), 0);
    }
}
