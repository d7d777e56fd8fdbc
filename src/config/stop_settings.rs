//! The settings of how a server stops; rows of the one table in `settings`.

use std::time::Duration;

use crate::config::settings::{Setting, quoted};
use crate::config::takes::{Takes, in_time};

pub(super) const DELAY: Setting = Setting {
    name: "shutdown.delay",
    takes: Takes::Time(Duration::ZERO..=Duration::from_secs(600)),
    about: "How long a server that is to stop goes on serving while `/health/ready` says 503, for load balancers to notice.",
    has_flag: false,
    reload: true,
    set: |config, value, takes| takes.time(value).map(|time| config.shutdown.delay = time),
    show: |config| quoted(&in_time(config.shutdown.delay)),
};

pub(super) const RECONNECT_WITHIN: Setting = Setting {
    name: "shutdown.reconnect_within",
    takes: Takes::Time(Duration::ZERO..=Duration::from_secs(3600)),
    about: "Over how long the clients of a server that stops are told to come back.",
    has_flag: false,
    reload: true,
    set: |config, value, takes| takes.time(value).map(|time| config.shutdown.reconnect_within = time),
    show: |config| quoted(&in_time(config.shutdown.reconnect_within)),
};
