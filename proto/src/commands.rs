//! One table: what each packet needs, and how it is answered.

use crate::request::{GetPresence, Request};

/// How a request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// By an `Ack`, also when it is refused. Acks of one connection keep the order of its requests.
    Ack,
    /// By a packet of its own, or an `Error`; as soon as it is ready.
    Data,
    /// Not at all, except by an `Error` when it is refused.
    None,
}

/// What a packet needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The packet's name: its `packet_type`.
    pub name: &'static str,
    /// How it is answered.
    pub answer: Answer,
    /// Whether it becomes an event in the log before it is answered.
    pub durable: bool,
    /// Whether a datagram may carry it.
    pub datagram: bool,
    /// How much of the window it takes until its answer has left.
    pub weight: u32,
}

/// What a page of history, or another request whose answer may be as large, takes of the window.
pub const PAGE_WEIGHT: u32 = 128;

const fn rule(name: &'static str, answer: Answer) -> Rule {
    Rule { name, answer, durable: false, datagram: false, weight: 1 }
}

const fn durable(name: &'static str) -> Rule {
    Rule { durable: true, ..rule(name, Answer::Ack) }
}

const fn page(name: &'static str) -> Rule {
    Rule { weight: PAGE_WEIGHT, ..rule(name, Answer::Data) }
}

const fn datagram(name: &'static str, answer: Answer) -> Rule {
    Rule { datagram: true, ..rule(name, answer) }
}

/// The rules, in the order of the packets' binary tags.
pub const RULES: &[Rule] = &[
    rule("Hello", Answer::Data),
    durable("SendMessage"),
    durable("EditMessage"),
    durable("DeleteMessage"),
    durable("React"),
    durable("MarkRead"),
    page("GetChats"),
    page("GetMessages"),
    page("GetEvents"),
    rule("Subscribe", Answer::Ack),
    rule("Unsubscribe", Answer::Ack),
    datagram("Typing", Answer::None),
    datagram("Status", Answer::None),
    page("GetPresence"),
    datagram("Ping", Answer::Data),
];

impl Rule {
    /// The rule of the packet called `name`.
    pub fn named(name: &str) -> Option<&'static Self> {
        RULES.iter().find(|rule| rule.name == name)
    }
}

impl Request {
    /// The packet's place in [`RULES`], which is its binary tag.
    pub const fn kind(&self) -> usize {
        match self {
            Self::Hello(_) => 0,
            Self::SendMessage(_) => 1,
            Self::EditMessage(_) => 2,
            Self::DeleteMessage(_) => 3,
            Self::React(_) => 4,
            Self::MarkRead(_) => 5,
            Self::GetChats(_) => 6,
            Self::GetMessages(_) => 7,
            Self::GetEvents(_) => 8,
            Self::Subscribe(_) => 9,
            Self::Unsubscribe(_) => 10,
            Self::Typing(_) => 11,
            Self::Status(_) => 12,
            Self::GetPresence(_) => 13,
            Self::Ping(_) => 14,
        }
    }

    /// The rule for this packet.
    pub const fn rule(&self) -> &'static Rule {
        &RULES[self.kind()]
    }

    /// How much of the window it takes until its answer has left: as its rule says, but for a `Hello` that asks for heads,
    /// and a `GetPresence` that names users: 1 for each, at most as much as a page.
    pub fn weight(&self) -> u32 {
        match self {
            Self::Hello(hello) if hello.heads => PAGE_WEIGHT,
            Self::GetPresence(GetPresence { user_ids: Some(users), .. }) => {
                u32::try_from(users.len()).unwrap_or(PAGE_WEIGHT).clamp(1, PAGE_WEIGHT)
            }
            _ => self.rule().weight,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_weighs_what_its_answer_may() {
        let asks = |users: u64| {
            let ids = (1..=users).filter_map(|id| crate::UserId::parse(id).ok()).collect();
            Request::GetPresence(GetPresence { user_ids: Some(ids), chat_id: None }).weight()
        };
        assert_eq!([0, 1, 50, 128, 1000].map(asks), [1, 1, 50, PAGE_WEIGHT, PAGE_WEIGHT]);
        assert_eq!(Request::GetPresence(GetPresence::default()).weight(), PAGE_WEIGHT, "of a chat");
    }
}
