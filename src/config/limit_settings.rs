//! The settings of who may do how much, and how fast; rows of the one table in `settings`.

use std::time::Duration;

use chappe_proto::limits::Rate;

use crate::config::settings::{Setting, quoted};
use crate::config::takes::{Takes, in_time, in_words};

/// From two, for a direct chat has so many, to what one answer of all heads can still list.
const MEMBERS_RANGE: Takes = Takes::Count(2..=1_000_000);
const COUNT: Takes = Takes::Count(1..=1_000_000);
/// Times are looked at once a second.
const TIME: Takes = Takes::Time(Duration::from_secs(1)..=Duration::from_secs(24 * 60 * 60));

pub(super) const MEMBERS: Setting = Setting {
    name: "limits.members",
    takes: MEMBERS_RANGE,
    about: "Members of one chat.",
    has_flag: false,
    reload: true,
    set: |config, value, takes| takes.number(value).map(|count| config.limits.members = count),
    show: |config| config.limits.members.to_string(),
};

pub(super) const CHATS: Setting = Setting {
    name: "limits.chats",
    takes: COUNT,
    about: "Chats that one user makes, of those that there are; in open mode also those that nobody in particular makes.",
    has_flag: false,
    reload: true,
    set: |config, value, takes| takes.number(value).map(|count| config.limits.chats = count),
    show: |config| config.limits.chats.to_string(),
};

pub(super) const CONNECTION_RATE: Setting = Setting {
    name: "limits.connection_rate",
    takes: Takes::Rate,
    about: "Packets of one connection.",
    has_flag: false,
    reload: true,
    set: |config, value, takes| takes.rate(value).map(|rate| config.limits.connection_rate = rate),
    show: |config| shown(config.limits.connection_rate),
};

pub(super) const USER_RATE: Setting = Setting {
    name: "limits.user_rate",
    takes: Takes::Rate,
    about: "Requests of one user, over all connections and HTTP together.",
    has_flag: false,
    reload: true,
    set: |config, value, takes| takes.rate(value).map(|rate| config.limits.user_rate = rate),
    show: |config| shown(config.limits.user_rate),
};

pub(super) const CHAT_RATE: Setting = Setting {
    name: "limits.chat_rate",
    takes: Takes::Rate,
    about: "Changes of one chat, by all its members together; and as many typing and read marks besides.",
    has_flag: false,
    reload: true,
    set: |config, value, takes| takes.rate(value).map(|rate| config.limits.chat_rate = rate),
    show: |config| shown(config.limits.chat_rate),
};

pub(super) const IP_REQUEST_RATE: Setting = Setting {
    name: "limits.ip_request_rate",
    takes: Takes::Rate,
    about: "HTTP requests of one address.",
    has_flag: false,
    reload: true,
    set: |config, value, takes| takes.rate(value).map(|rate| config.connection_limits.ip_request_rate = rate),
    show: |config| shown(config.connection_limits.ip_request_rate),
};

pub(super) const IP_CONNECTION_RATE: Setting = Setting {
    name: "limits.ip_connection_rate",
    takes: Takes::Rate,
    about: "Connections that one address opens.",
    has_flag: false,
    reload: true,
    set: |config, value, takes| takes.rate(value).map(|rate| config.connection_limits.ip_connection_rate = rate),
    show: |config| shown(config.connection_limits.ip_connection_rate),
};

pub(super) const CONNECTIONS: Setting = Setting {
    name: "limits.connections",
    takes: COUNT,
    about: "Connections at a time: WebSocket, TCP and HTTP together.",
    has_flag: false,
    reload: false,
    set: |config, value, takes| takes.number(value).map(|count| config.connection_limits.all = count),
    show: |config| config.connection_limits.all.to_string(),
};

pub(super) const CONNECTIONS_PER_IP: Setting = Setting {
    name: "limits.connections_per_ip",
    takes: COUNT,
    about: "Connections of one address; an IPv6 network of 64 bits is one.",
    has_flag: false,
    reload: true,
    set: |config, value, takes| takes.number(value).map(|count| config.connection_limits.per_ip = count),
    show: |config| config.connection_limits.per_ip.to_string(),
};

pub(super) const CONNECTIONS_PER_USER: Setting = Setting {
    name: "limits.connections_per_user",
    takes: COUNT,
    about: "Connections of one user.",
    has_flag: false,
    reload: true,
    set: |config, value, takes| takes.number(value).map(|count| config.connection_limits.per_user = count),
    show: |config| config.connection_limits.per_user.to_string(),
};

pub(super) const HELLO_TIME: Setting = Setting {
    name: "limits.hello_time",
    takes: TIME,
    about: "How long a connection may take until it has said Hello, where the server asks for tokens.",
    has_flag: false,
    reload: true,
    set: |config, value, takes| takes.time(value).map(|time| config.connection_limits.hello_time = time),
    show: |config| quoted(&in_time(config.connection_limits.hello_time)),
};

pub(super) const PACKET_TIME: Setting = Setting {
    name: "limits.packet_time",
    takes: TIME,
    about: "How long a packet that has begun may take until it is whole.",
    has_flag: false,
    reload: true,
    set: |config, value, takes| takes.time(value).map(|time| config.connection_limits.packet_time = time),
    show: |config| quoted(&in_time(config.connection_limits.packet_time)),
};

pub(super) const IDLE_TIME: Setting = Setting {
    name: "limits.idle_time",
    takes: TIME,
    about: "How long a connection may say nothing at all, where it need not say Hello.",
    has_flag: false,
    reload: true,
    set: |config, value, takes| takes.time(value).map(|time| config.connection_limits.idle_time = time),
    show: |config| quoted(&in_time(config.connection_limits.idle_time)),
};

fn shown(rate: Rate) -> String {
    quoted(&in_words(rate))
}
