//! How users are. Presence is a lease: a connection or a beacon renews it, all of a user's devices share it, and
//! someone back within the grace time was never away.

use std::collections::VecDeque;
use std::time::Duration;

use chappe_proto::packet::StatusNow;
use chappe_proto::{Millis, UserId};

use crate::clock::Now;
use crate::map::Map;

/// How long a beacon lasts.
pub const TTL: Duration = Duration::from_secs(30);
/// How long after the last connection closed a user still counts as there.
pub const GRACE: Duration = Duration::from_secs(10);
/// So many users can be there at once; beacons of more are dropped. And of so many it is known when they were seen.
const MAX_LEASES: usize = 1_000_000;
/// And so many of them of users that the server does not know: in open mode anybody can invent them.
const MAX_STRANGERS: usize = 10_000;

/// One user's presence.
#[derive(Debug)]
struct Lease {
    /// What they say: `online`, `away`, `busy`, `invisible`, or free text.
    text: Box<str>,
    /// Open connections; while there are any the lease does not end.
    connections: u32,
    /// When it ends, with no connection open.
    ends: Duration,
    /// When there was a sign of life last.
    last_seen: Millis,
    /// What others were told last.
    shown: Box<str>,
    /// Whether others may have to be told.
    dirty: bool,
    /// Whether `endings` has an entry.
    queued: bool,
}

impl Lease {
    fn new(now: Now) -> Self {
        Self {
            text: "online".into(),
            connections: 0,
            ends: now.mono,
            last_seen: now.wall,
            shown: "offline".into(),
            dirty: false,
            queued: false,
        }
    }

    fn visible(&self, now: Now) -> &str {
        let there = self.connections > 0 || self.ends > now.mono;
        if there && &*self.text != "invisible" { &self.text } else { "offline" }
    }
}

/// Everybody's presence.
#[derive(Debug, Default)]
pub struct Presence {
    leases: Map<UserId, Lease>,
    /// Who may have ended, in the order of when to look: one entry a user.
    endings: VecDeque<(Duration, UserId)>,
    /// Who changed since the last flush.
    dirty: Vec<UserId>,
    /// When those were there last whom others see as offline: as far as others may know.
    seen: Map<UserId, Millis>,
    /// Who of those with a lease was not known when it began.
    strangers: Map<UserId, ()>,
}

impl Presence {
    /// How many leases there are.
    pub fn len(&self) -> usize {
        self.leases.len()
    }

    /// Whether nobody is there.
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    fn touch(&mut self, user: UserId, now: Now, change: impl FnOnce(&mut Lease)) {
        if self.leases.len() >= MAX_LEASES && !self.leases.contains_key(&user) {
            return;
        }
        let lease = self.leases.entry(user).or_insert_with(|| Lease::new(now));
        lease.last_seen = now.wall;
        change(lease);
        if lease.visible(now) != &*lease.shown && !lease.dirty {
            lease.dirty = true;
            self.dirty.push(user);
        }
        if lease.connections == 0 && !lease.queued {
            lease.queued = true;
            self.endings.push_back((lease.ends, user));
        }
    }

    /// A connection of the user's opened.
    pub fn connected(&mut self, user: UserId, now: Now) {
        self.strangers.remove(&user);
        self.touch(user, now, |lease| lease.connections += 1);
    }

    /// A connection of the user's closed.
    pub fn disconnected(&mut self, user: UserId, now: Now) {
        self.touch(user, now, |lease| {
            lease.connections = lease.connections.saturating_sub(1);
            lease.ends = lease.ends.max(now.mono + GRACE);
        });
    }

    /// Somebody whom the server does not know says how they are. Whether there was a place.
    pub fn renew_stranger(&mut self, user: UserId, text: &str, now: Now) -> bool {
        if !self.leases.contains_key(&user) {
            if self.strangers.len() >= MAX_STRANGERS || self.leases.len() >= MAX_LEASES {
                return false;
            }
            self.strangers.insert(user, ());
        }
        self.renew(user, text, now);
        true
    }

    /// The user says how they are; `offline` ends the lease.
    pub fn renew(&mut self, user: UserId, text: &str, now: Now) {
        self.touch(user, now, |lease| {
            if text == "offline" {
                lease.ends = now.mono;
                lease.text = if lease.connections > 0 { "offline".into() } else { "online".into() };
            } else {
                lease.ends = now.mono + TTL;
                if &*lease.text != text {
                    lease.text = text.into();
                }
            }
        });
    }

    /// How a user is, as others see it.
    pub fn of(&self, user: UserId, now: Now) -> StatusNow {
        let lease = self.leases.get(&user);
        let text = lease.map_or("offline", |lease| lease.visible(now));
        // Signs of life of somebody who is shown as offline are nobody's business.
        let shown = lease.filter(|lease| text != "offline" || &*lease.shown != "offline");
        let last_seen = shown.map(|lease| lease.last_seen).or_else(|| self.seen.get(&user).copied());
        StatusNow { user_id: user, status_data: text.into(), last_seen }
    }

    /// Whether others see a user as being there.
    pub fn is_there(&self, user: UserId, now: Now) -> bool {
        self.leases.get(&user).is_some_and(|lease| lease.visible(now) != "offline")
    }

    /// Whether a user wants nobody to see that they are there.
    pub fn is_hidden(&self, user: UserId) -> bool {
        self.leases.get(&user).is_some_and(|lease| &*lease.text == "invisible")
    }

    /// Up to `limit` users who are there.
    pub fn online(&self, limit: usize, now: Now) -> Vec<StatusNow> {
        let there = self.leases.iter().filter(|(_, lease)| lease.visible(now) != "offline");
        let mut found: Vec<_> = there.take(limit).map(|(user, _)| self.of(*user, now)).collect();
        found.sort_by_key(|status| status.user_id);
        found
    }

    /// Ends the leases that are over, and answers what others have to be told since the last call; by user.
    pub fn flush(&mut self, now: Now) -> Vec<StatusNow> {
        // A queue in the order of entry is not quite the order of ending (the grace time is shorter than a beacon's
        // lease): one who left while a beacon's entry waits ahead is looked at some seconds late, and never early.
        for _ in 0..self.endings.len() {
            let Some((look_at, user)) = self.endings.front().copied() else { break };
            if look_at > now.mono {
                break;
            }
            self.endings.pop_front();
            let Some(lease) = self.leases.get_mut(&user) else { continue };
            if lease.connections > 0 {
                lease.queued = false;
            } else if lease.ends > now.mono {
                self.endings.push_back((lease.ends, user));
            } else {
                lease.queued = false;
                if !lease.dirty {
                    lease.dirty = true;
                    self.dirty.push(user);
                }
            }
        }
        let mut told = Vec::new();
        for user in std::mem::take(&mut self.dirty) {
            let Some(lease) = self.leases.get_mut(&user) else { continue };
            lease.dirty = false;
            let visible: Box<str> = lease.visible(now).into();
            let over = lease.connections == 0 && lease.ends <= now.mono;
            let changed = visible != lease.shown;
            if changed {
                let is_kept = self.seen.len() < MAX_LEASES || self.seen.contains_key(&user);
                if &*visible == "offline" && is_kept && !self.strangers.contains_key(&user) {
                    self.seen.insert(user, lease.last_seen);
                }
                lease.shown = visible;
            }
            if over {
                self.leases.remove(&user);
                self.strangers.remove(&user);
            }
            if changed {
                told.push(self.of(user, now));
            }
        }
        told.sort_unstable_by_key(|status| status.user_id);
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        Now { wall: Millis(seconds * 1000), mono: Duration::from_secs(seconds) }
    }

    fn texts(told: Vec<StatusNow>) -> Vec<String> {
        told.into_iter().map(|status| status.status_data.into()).collect()
    }

    const ANN: fn() -> UserId = || UserId::parse(1).unwrap();

    #[test]
    fn a_beacon_lasts_its_ttl_and_is_told_once() {
        let mut presence = Presence::default();
        presence.renew(ANN(), "online", at(0));
        assert_eq!(texts(presence.flush(at(0))), ["online"]);
        presence.renew(ANN(), "online", at(20));
        assert!(presence.flush(at(31)).is_empty(), "renewed at 20");
        assert_eq!(texts(presence.flush(at(51))), ["offline"]);
        assert!(presence.is_empty());
    }

    #[test]
    fn someone_back_within_the_grace_time_was_never_away() {
        let mut presence = Presence::default();
        presence.connected(ANN(), at(0));
        assert_eq!(texts(presence.flush(at(1))), ["online"]);
        presence.disconnected(ANN(), at(2));
        assert!(presence.flush(at(11)).is_empty());
        presence.connected(ANN(), at(11));
        assert!(presence.flush(at(60)).is_empty());
        presence.disconnected(ANN(), at(61));
        assert_eq!(texts(presence.flush(at(72))), ["offline"]);
    }

    #[test]
    fn devices_share_a_presence() {
        let mut presence = Presence::default();
        presence.connected(ANN(), at(0));
        presence.connected(ANN(), at(0));
        presence.flush(at(0));
        presence.disconnected(ANN(), at(1));
        assert!(presence.flush(at(60)).is_empty());
    }

    #[test]
    fn the_invisible_look_offline() {
        let mut presence = Presence::default();
        presence.connected(ANN(), at(0));
        presence.renew(ANN(), "invisible", at(0));
        assert!(presence.flush(at(0)).is_empty());
        assert_eq!(&*presence.of(ANN(), at(1)).status_data, "offline");
        assert_eq!(presence.of(ANN(), at(1)).last_seen, None);
        assert!(presence.online(10, at(1)).is_empty());
    }

    #[test]
    fn when_somebody_was_there_last_is_known_after_they_left() {
        let mut presence = Presence::default();
        assert_eq!(presence.of(ANN(), at(0)).last_seen, None, "never");
        presence.connected(ANN(), at(1));
        presence.flush(at(1));
        presence.disconnected(ANN(), at(5));
        assert_eq!(presence.of(ANN(), at(6)).last_seen, Some(Millis(5000)));
        assert_eq!(presence.flush(at(20))[0].last_seen, Some(Millis(5000)));
        assert!(presence.is_empty());
        assert_eq!(presence.of(ANN(), at(99)).last_seen, Some(Millis(5000)));
    }

    #[test]
    fn signs_of_life_of_the_invisible_are_nobodys_business() {
        let mut presence = Presence::default();
        presence.connected(ANN(), at(1));
        presence.flush(at(1));
        presence.renew(ANN(), "invisible", at(2));
        let told = presence.flush(at(2));
        assert_eq!((&*told[0].status_data, told[0].last_seen), ("offline", Some(Millis(2000))));
        presence.renew(ANN(), "invisible", at(50));
        presence.disconnected(ANN(), at(60));
        assert!(presence.flush(at(61)).is_empty());
        assert_eq!(presence.of(ANN(), at(61)).last_seen, Some(Millis(2000)), "as if they had left then");
        assert!(presence.flush(at(200)).is_empty());
        assert_eq!(presence.of(ANN(), at(200)).last_seen, Some(Millis(2000)));
    }

    #[test]
    fn offline_said_over_udp_ends_the_lease_at_once() {
        let mut presence = Presence::default();
        presence.renew(ANN(), "busy", at(0));
        assert_eq!(texts(presence.flush(at(0))), ["busy"]);
        presence.renew(ANN(), "offline", at(1));
        assert_eq!(texts(presence.flush(at(1))), ["offline"]);
    }
}
