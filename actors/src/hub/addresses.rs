//! How many connections an address has, and how fast it connects and asks: over all threads together, without a lock.
//!
//! The counts are a count-min sketch: three rows of counters, and each address has one counter in each. Its count is the
//! least of the three, so it is never less than the truth; it is more only where all three are shared. Which counters an
//! address has follows from a secret of this process: nobody can choose addresses that share theirs.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use chappe_proto::limits::Rate;
use governor::clock::Clock as GovernorClock;

use crate::clock::Clock;
use crate::rate::{Buckets, TooFast};

/// Counters of a row: 2 to the power of this.
const BITS: u32 = 14;
const ROW: usize = 1 << BITS;
const ROWS: usize = 3;

/// What counts as one address: an IPv4 address, or the /64 of an IPv6 one, which is what one subscriber gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Network([u8; 8]);

impl Network {
    pub(super) fn of(address: IpAddr) -> Self {
        let mut network = [0; 8];
        match address.to_canonical() {
            // No IPv6 address in use begins like this.
            IpAddr::V4(v4) => network[4..].copy_from_slice(&v4.octets()),
            IpAddr::V6(v6) => network.copy_from_slice(&v6.octets()[..8]),
        }
        Self(network)
    }
}

/// How many connections each address has.
#[derive(Debug)]
pub(super) struct Counts {
    cells: Box<[AtomicU32]>,
    secret: RandomState,
}

impl Default for Counts {
    fn default() -> Self {
        Self { cells: (0..ROWS * ROW).map(|_| AtomicU32::new(0)).collect(), secret: RandomState::new() }
    }
}

impl Counts {
    fn cells(&self, hash: u64) -> impl Iterator<Item = &AtomicU32> {
        let at = move |row: usize| {
            let bits = hash >> (BITS * u32::try_from(row).unwrap_or(0));
            // Less than the length of a row, whatever the hash.
            row * ROW + usize::try_from(bits & (ROW as u64 - 1)).unwrap_or(0)
        };
        (0..ROWS).filter_map(move |row| self.cells.get(at(row)))
    }

    fn enter(&self, hash: u64) -> u32 {
        self.cells(hash).map(|cell| cell.fetch_add(1, Ordering::Relaxed).saturating_add(1)).min().unwrap_or(0)
    }

    fn leave(&self, hash: u64) {
        self.cells(hash).for_each(|cell| {
            cell.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

/// A connection's place among those of its address, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    counts: Arc<Counts>,
    hash: u64,
}

impl Place {
    /// A place for another connection, unless the address has `most` already.
    pub(super) fn take(counts: &Arc<Counts>, network: Network, most: u32) -> Option<Self> {
        let hash = counts.secret.hash_one(network);
        let count = counts.enter(hash);
        // From here on it is given back, also if it was one too many.
        let place = Self { counts: Arc::clone(counts), hash };
        (count <= most).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.counts.leave(self.hash);
    }
}

/// The clock of all actors, for buckets that all threads share.
#[derive(Debug, Clone, Copy)]
struct Shared(Clock);

impl GovernorClock for Shared {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.now().mono
    }
}

/// How fast each address connects, and asks over HTTP. Shared by all threads; other rates are another one.
#[derive(Debug)]
pub struct AddressRates {
    connections: Buckets<Network, Shared>,
    requests: Buckets<Network, Shared>,
}

impl AddressRates {
    /// Full buckets.
    pub fn new(connections: Rate, requests: Rate, clock: Clock) -> Self {
        let clock = Shared(clock);
        Self { connections: Buckets::new(connections, clock), requests: Buckets::new(requests, clock) }
    }

    pub(super) fn connect(&self, network: Network) -> Result<(), TooFast> {
        self.connections.take(&network)
    }

    pub(super) fn request(&self, network: Network) -> Result<(), TooFast> {
        self.requests.take(&network)
    }

    pub(super) fn tidy(&self) {
        self.connections.tidy();
        self.requests.tidy();
    }
}

#[cfg(test)]
#[path = "addresses_tests.rs"]
mod tests;
