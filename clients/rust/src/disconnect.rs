//! Why a connection is over, and what to do next.

use std::time::Duration;

use chappe_proto::packet::Closing;

use crate::core::{End, Refusal};

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Disconnect {
    /// No connection came about.
    #[error("cannot reach the server at {address}: {reason}")]
    Unreachable {
        /// Where it was looked for.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// The server's certificate is not to be trusted, or it does not speak TLS.
    #[error("no TLS with {address}: {reason}")]
    Tls {
        /// Where.
        address: String,
        /// What is wrong.
        reason: String,
    },
    /// The program has no token to show.
    #[error("no token: {0}")]
    NoToken(String),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Lost(String),
    /// The server ended the connection without a word.
    #[error("the server ended the connection")]
    Ended,
    /// Nothing was heard in time.
    #[error("nothing was heard of the server for {} s", .0.as_secs())]
    Silent(Duration),
    /// The server said why it ends the connection.
    #[error("the server ended the connection: {} ({})", .0.reason, .0.code.as_str())]
    Closing(Closing),
    /// `Hello` was refused.
    #[error("{0}")]
    Refused(Refusal),
    /// The server said something that is not the protocol. A client ends by it only where there was no `Welcome` yet.
    #[error("unexpected answer: {0}")]
    Unexpected(String),
}

/// What to do after a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It would end the same way.
    Stop,
    /// Wait a while, longer each time.
    BackOff,
    /// Connect again at once; if that goes wrong, back off.
    AtOnce,
    /// Connect again after so long: the server spreads its clients out.
    In(Duration),
}

impl Disconnect {
    /// What to do next.
    pub fn next(&self) -> Next {
        match self {
            Self::Closing(closing) => after_closing(closing),
            // A token that ran out on the way is fetched anew.
            Self::Refused(refusal) if refusal.code == chappe_proto::Code::TokenExpired => Next::BackOff,
            Self::Refused(refusal) if !refusal.code.retryable() => Next::Stop,
            Self::Unexpected(_) => Next::Stop,
            _ => Next::BackOff,
        }
    }
}

/// The code's range says what to do, also for codes that are new.
fn after_closing(closing: &Closing) -> Next {
    match (closing.code.number(), closing.reconnect_after_ms) {
        (..4100, _) => Next::Stop,
        (_, Some(ms)) => Next::In(Duration::from_millis(ms.into())),
        (4100..4200, None) => Next::BackOff,
        (_, None) => Next::AtOnce,
    }
}

impl From<End> for Disconnect {
    fn from(end: End) -> Self {
        match end {
            End::Closing(closing) => Self::Closing(closing),
            End::Refused(refusal) => Self::Refused(refusal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chappe_proto::{CloseCode, Code};

    #[test]
    fn the_range_of_a_close_code_says_what_to_do() {
        for code in CloseCode::ALL {
            let closing = |reconnect_after_ms| {
                Disconnect::Closing(Closing { code: *code, reason: "".into(), reconnect_after_ms }).next()
            };
            let expected = match code.number() {
                ..4100 => [Next::Stop, Next::Stop],
                4100..4200 => [Next::BackOff, Next::In(Duration::from_secs(2))],
                _ => [Next::AtOnce, Next::In(Duration::from_secs(2))],
            };
            assert_eq!([closing(None), closing(Some(2000))], expected, "{code:?}");
        }
    }

    #[test]
    fn a_refused_hello_is_tried_again_only_where_that_can_help() {
        for (code, next) in [
            (Code::NotAuthenticated, Next::Stop),
            (Code::UnsupportedVersion, Next::Stop),
            (Code::Busy, Next::BackOff),
            (Code::TokenExpired, Next::BackOff),
        ] {
            let refused = Disconnect::Refused(Refusal { code, message: "".into() });
            assert_eq!(refused.next(), next, "{code}");
        }
    }
}
