//! The settings of what is not kept for ever; rows of the one table in `settings`.

use std::time::Duration;

use crate::config::settings::{Setting, quoted};
use crate::config::takes::{Takes, in_time};

const DAY: u64 = 24 * 60 * 60;
/// Times are looked at once a second.
const OFTEN: Takes = Takes::Time(Duration::from_secs(1)..=Duration::from_secs(366 * DAY));

pub(super) const MAX_AGE: Setting = Setting {
    name: "retention.max_age",
    takes: Takes::TimeOrOff(Duration::from_secs(1)..=Duration::from_secs(36_500 * DAY)),
    about: "How old messages become; older ones go for good. An hour is `1h`, a month `720h`.",
    has_flag: false,
    reload: false,
    set: |config, value, takes| takes.time_or_off(value).map(|time| config.retention.max_age = time),
    show: |config| quoted(&config.retention.max_age.map_or_else(|| "off".to_owned(), in_time)),
};

pub(super) const MAX_MESSAGES_PER_CHAT: Setting = Setting {
    name: "retention.max_messages_per_chat",
    takes: Takes::CountOrOff(1..=1_000_000_000),
    about: "How many messages of a chat are kept, the newest; older ones go for good.",
    has_flag: false,
    reload: false,
    set: |config, value, takes| takes.number_or_off(value).map(|count| config.retention.max_messages_per_chat = count),
    show: |config| config.retention.max_messages_per_chat.map_or_else(|| quoted("off"), |count| count.to_string()),
};

pub(super) const EVERY: Setting = Setting {
    name: "retention.every",
    takes: OFTEN,
    about: "How often it is looked which messages go.",
    has_flag: false,
    reload: false,
    set: |config, value, takes| takes.time(value).map(|time| config.retention.every = time),
    show: |config| quoted(&in_time(config.retention.every)),
};

pub(super) const COMPACT_EVERY: Setting = Setting {
    name: "retention.compact_every",
    takes: OFTEN,
    about: "How often the log is rewritten without what has gone; after `chappe user erase` it is at once.",
    has_flag: false,
    reload: false,
    set: |config, value, takes| takes.time(value).map(|time| config.retention.compact_every = time),
    show: |config| quoted(&in_time(config.retention.compact_every)),
};
