//! Counting addresses: exact removal, overestimates only.

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
