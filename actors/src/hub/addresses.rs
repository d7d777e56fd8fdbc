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
mod tests {
    use super::*;

    fn network(address: &str) -> Network {
        Network::of(address.parse().unwrap())
    }

    #[test]
    fn an_address_has_as_many_places_as_it_may_and_gets_them_back() {
        let counts = Arc::new(Counts::default());
        let (ann, bob) = (network("192.0.2.1"), network("192.0.2.2"));
        let mut places: Vec<_> = (0..3).map(|_| Place::take(&counts, ann, 3).unwrap()).collect();
        assert!(Place::take(&counts, ann, 3).is_none());
        assert!(Place::take(&counts, ann, 3).is_none(), "to be refused takes no place");
        assert!(Place::take(&counts, bob, 3).is_some());
        places.pop();
        places.push(Place::take(&counts, ann, 3).unwrap());
        drop(places);
        assert!(counts.cells.iter().all(|cell| cell.load(Ordering::Relaxed) == 0), "nothing is left over");
    }

    #[test]
    fn an_ipv6_subscriber_is_one_address_and_an_embedded_ipv4_is_what_it_is() {
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }

    #[test]
    fn a_crowd_of_others_does_not_fill_an_address() {
        let counts = Arc::new(Counts::default());
        let others: Vec<_> = (0..10_000u32)
            .map(|n| Place::take(&counts, Network::of(IpAddr::from(n.to_be_bytes())), u32::MAX).unwrap())
            .collect();
        // 10,000 in rows of 16,384: to be counted 10 too many, somebody would have to share all three counters with 10.
        let mine = network("2001:db8::1");
        assert!(Place::take(&counts, mine, 10).is_some());
        drop(others);
    }

    #[test]
    fn threads_count_together() {
        let counts = Arc::new(Counts::default());
        let mine = network("192.0.2.1");
        let taken: Vec<Place> = std::thread::scope(|scope| {
            let take = || (0..1000).filter_map(|_| Place::take(&counts, mine, 500)).collect::<Vec<_>>();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert!(taken.len() <= 500, "{}", taken.len());
        drop(taken);
        assert!(Place::take(&counts, mine, 1).is_some());
    }
}
