//! Memory by connections: more and more of them, which said who they are and do nothing.

use std::thread;
use std::time::Duration;

use crate::peers::Peer;
use crate::protocol::Seat;
use crate::tally::Outcome;
use crate::trouble::Trouble;
use crate::usage::Watched;

/// After so many connections memory is read.
pub(crate) const STEPS: [u32; 4] = [10, 100, 1_000, 10_000];
/// How long a server may settle.
const REST: Duration = Duration::from_millis(1500);

/// Opens the connections and reads the memory of the server after each step.
pub(crate) fn run(peer: Peer, port: u16, server: Watched) -> Result<Outcome, Trouble> {
    let mut outcome = Outcome::default();
    let mut doors = Vec::new();
    // Users who were there before, so that nobody is told of a new one: what is measured is connections. A list of members
    // names at most a thousand.
    let users: Vec<u64> = (1..=STEPS.iter().copied().max().unwrap_or_default().into()).collect();
    let groups: Vec<Vec<u64>> = users.chunks(1000).map(<[u64]>::to_vec).collect();
    peer.prepare(port, &groups)?;
    thread::sleep(REST);
    let empty = server.resident();
    outcome.values.insert("server_resident_bytes".to_owned(), empty);
    for step in STEPS {
        for user in u32::try_from(doors.len()).unwrap_or(u32::MAX)..step {
            let seat = Seat { user: u64::from(user) + 1, idle: true, ..Seat::default() };
            // The protocol has nothing to do any more: nothing is read until the end, which comes before a heartbeat.
            doors.push(peer.connect(port, seat)?.0);
        }
        thread::sleep(REST);
        let resident = server.resident();
        outcome.values.insert(format!("resident_{step}_bytes"), resident);
        outcome.values.insert(format!("each_of_{step}_bytes"), (resident - empty) / f64::from(step));
    }
    Ok(outcome)
}
