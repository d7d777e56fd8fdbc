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
/// How often it is looked whether a server has settled.
const LOOK: Duration = Duration::from_millis(500);
/// It has, when so many looks in a row find the same memory, within a part in [`ALIKE`].
const LOOKS: u32 = 4;
const ALIKE: f64 = 200.0;
/// It may take so many looks to.
const MOST_LOOKS: u32 = 40;

/// Opens the connections and reads the memory of the server after each step.
pub(crate) fn run(peer: Peer, port: u16, server: Watched) -> Result<Outcome, Trouble> {
    let mut outcome = Outcome::default();
    let mut doors = Vec::new();
    // Users who were there before, so that nobody is told of a new one: what is measured is connections. A list of members
    // names at most a thousand.
    let users: Vec<u64> = (1..=STEPS.iter().copied().max().unwrap_or_default().into()).collect();
    let groups: Vec<Vec<u64>> = users.chunks(1000).map(<[u64]>::to_vec).collect();
    peer.prepare(port, &groups)?;
    let empty = settled(&server);
    outcome.values.insert("server_resident_bytes".to_owned(), empty);
    for step in STEPS {
        for user in u32::try_from(doors.len()).unwrap_or(u32::MAX)..step {
            let seat = Seat { user: u64::from(user) + 1, idle: true, ..Seat::default() };
            // The protocol has nothing to do any more: nothing is read until the end, which comes before a heartbeat.
            doors.push(peer.connect(port, seat)?.0);
        }
        let resident = settled(&server);
        outcome.values.insert(format!("resident_{step}_bytes"), resident);
        outcome.values.insert(format!("each_of_{step}_bytes"), (resident - empty) / f64::from(step));
    }
    Ok(outcome)
}

/// The server's memory once it changes no more: what a start or many new connections took for a moment is given back later.
fn settled(server: &Watched) -> f64 {
    let (mut resident, mut alike) = (server.resident(), 0);
    for _ in 0..MOST_LOOKS {
        thread::sleep(LOOK);
        let now = server.resident();
        alike = if (now - resident).abs() < resident / ALIKE { alike + 1 } else { 0 };
        if alike == LOOKS {
            return now;
        }
        if alike == 0 {
            resident = now;
        }
    }
    server.resident()
}
