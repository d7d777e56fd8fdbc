//! Error codes and close codes: one list for every door, for `chappe explain`, and for the documentation.
//!
//! A code never changes its meaning.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::format::{self, BorrowDecode, Decode, DecodeError, Decoder, Encode, EncodeError, Encoder};

/// What a code means, and what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// The code as it stands on the wire.
    pub name: &'static str,
    /// What happened.
    pub meaning: &'static str,
    /// What the client does next.
    pub client: &'static str,
    /// What the operator can do.
    pub operator: &'static str,
}

macro_rules! codes {
    ($( $variant:ident $name:literal $http:literal $retryable:literal
        $meaning:literal, client: $client:literal, operator: $operator:literal; )*) => {
        /// Why a request was refused. The same codes on every door.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Encode, Decode)]
        pub enum Code {
            $( #[doc = $meaning] #[serde(rename = $name)] $variant, )*
        }

        impl Code {
            /// Every code, in the order of the binary tags.
            pub const ALL: &'static [Self] = &[$( Self::$variant ),*];

            /// The code as it stands on the wire: stable, snake_case.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }

            /// The HTTP status that carries it.
            pub const fn http_status(self) -> u16 {
                match self { $( Self::$variant => $http, )* }
            }

            /// Whether the same request may succeed later.
            pub const fn retryable(self) -> bool {
                match self { $( Self::$variant => $retryable, )* }
            }

            /// What it means and what to do.
            pub const fn explain(self) -> Explanation {
                match self {
                    $( Self::$variant => Explanation {
                        name: $name, meaning: $meaning, client: $client, operator: $operator,
                    }, )*
                }
            }
        }
    };
}

codes! {
    Malformed "malformed" 400 false
        "The bytes are not a packet: broken JSON, broken UTF-8, or a binary body that does not follow the layout.",
        client: "Mend the encoder. On TCP the connection goes on with the next packet where its start can be found.",
        operator: "Nothing; a client is broken or probing.";
    UnknownPacket "unknown_packet" 400 false
        "The packet_type is not one this server knows, or not one this door takes.",
        client: "Check the spelling and the protocol version. The connection goes on.",
        operator: "Upgrade the server if the client speaks a newer version.";
    InvalidField "invalid_field" 422 false
        "A field is missing, has the wrong type, or is out of its bounds; the text says which, or where it stands.",
        client: "Mend the request.",
        operator: "Nothing.";
    TooLarge "too_large" 413 false
        "A packet, a field or a list is larger than the limit; the text says which and how large it may be.",
        client: "Send less; the limits stand in Welcome.",
        operator: "Nothing.";
    TooDeep "too_deep" 400 false
        "The JSON is nested deeper than any packet needs.",
        client: "Mend the encoder.",
        operator: "Nothing; a client is broken or probing.";
    UnsupportedVersion "unsupported_version" 400 false
        "The client speaks a protocol version this server does not.",
        client: "Speak the version that the text names.",
        operator: "Upgrade the server if the client is newer.";
    NotAuthenticated "not_authenticated" 401 false
        "The server does not know who is asking.",
        client: "Say Hello first, or name the user in the request (open mode).",
        operator: "Nothing.";
    IdentityMismatch "identity_mismatch" 403 false
        "The request names another user than the one the connection belongs to.",
        client: "Leave sender_id and user_id out, or let them agree with Hello.",
        operator: "Nothing.";
    Forbidden "forbidden" 403 false
        "The user is known but may not do this.",
        client: "Ask an owner of the chat.",
        operator: "Nothing.";
    NotAMember "not_a_member" 403 false
        "The user is not a member of the chat.",
        client: "Ask to be added.",
        operator: "Nothing.";
    UnknownChat "unknown_chat" 404 false
        "There is no chat of this id, or it was deleted.",
        client: "Refresh the list of chats.",
        operator: "Nothing.";
    UnknownMessage "unknown_message" 404 false
        "There is no message of this id, or it was deleted.",
        client: "Drop it from the view.",
        operator: "Nothing.";
    UnknownUser "unknown_user" 404 false
        "There is no user of this id.",
        client: "Check the id.",
        operator: "Nothing.";
    NotFound "not_found" 404 false
        "There is nothing at this path.",
        client: "Check the path; the API is described at /docs.",
        operator: "Nothing.";
    MethodNotAllowed "method_not_allowed" 405 false
        "The path exists, but does not take this method.",
        client: "Check the method; the API is described at /docs.",
        operator: "Nothing.";
    UnsupportedMediaType "unsupported_media_type" 415 false
        "The body's Content-Type or Content-Encoding is not one the server reads.",
        client: "Send application/json, uncompressed.",
        operator: "Nothing.";
    Conflict "conflict" 409 false
        "The client_id was used before for a message with other content, or the id is taken.",
        client: "Use a fresh client_id for a fresh message.",
        operator: "Nothing.";
    RateLimited "rate_limited" 429 true
        "Too many requests in too short a time.",
        client: "Wait retry_after_ms, then send again with the same client_id.",
        operator: "Raise the limit if the client is in its right.";
    Busy "busy" 503 true
        "The server has as much work waiting as it allows itself.",
        client: "Wait retry_after_ms, then send again with the same client_id.",
        operator: "Look at the commit latency and the queue depths in /metrics.";
    StorageUnavailable "storage_unavailable" 503 true
        "The disk does not take writes: it is full, read-only, or failing. Reads go on.",
        client: "Wait retry_after_ms, then send again with the same client_id.",
        operator: "Free or mend the disk; /health says what is wrong. Writes resume by themselves.";
    UnknownOutcome "unknown" 503 true
        "The server cannot tell whether the change was kept.",
        client: "Send again with the same client_id: it is stored once either way.",
        operator: "Look at the log around that time.";
    ShuttingDown "shutting_down" 503 true
        "The server is about to stop.",
        client: "Connect again after the time Closing names, and send again with the same client_id.",
        operator: "Nothing; a stop was asked for.";
    Internal "internal" 500 true
        "A fault in the server.",
        client: "Try again later with the same client_id.",
        operator: "Report the log lines around that time.";
    TokenExpired "token_expired" 401 false
        "The token has run out.",
        client: "Get a fresh token, and say Hello with it.",
        operator: "Nothing; if it happens at once, compare the clocks of the machines.";
    BadSignature "bad_signature" 422 false
        "The signature does not fit the message, or its key is not the one registered for the user.",
        client: "Sign chat, sender, client_id and content as the protocol says; register the key first.",
        operator: "Nothing.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

macro_rules! close_codes {
    ($( $variant:ident $name:literal $number:literal
        $meaning:literal, client: $client:literal, operator: $operator:literal; )*) => {
        /// Why a connection was ended. The range says what to do: 4000–4099 do not reconnect, 4100–4199 back off
        /// first, 4200–4299 reconnect at once.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "u16", into = "u16")]
        pub enum CloseCode {
            $( #[doc = $meaning] $variant, )*
        }

        impl CloseCode {
            /// Every close code, ascending.
            pub const ALL: &'static [Self] = &[$( Self::$variant ),*];

            /// The number on the wire.
            pub const fn number(self) -> u16 {
                match self { $( Self::$variant => $number, )* }
            }

            /// The name, stable and snake_case.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $name, )* }
            }

            /// What it means and what to do.
            pub const fn explain(self) -> Explanation {
                match self {
                    $( Self::$variant => Explanation {
                        name: $name, meaning: $meaning, client: $client, operator: $operator,
                    }, )*
                }
            }
        }
    };
}

close_codes! {
    ProtocolError "protocol_error" 4000
        "The bytes cannot be split into packets any more.",
        client: "Mend the framing; do not reconnect with the same bytes.",
        operator: "Nothing; a client is broken or probing.";
    UnsupportedVersion "unsupported_version" 4001
        "The client speaks a protocol version this server does not.",
        client: "Upgrade the client.",
        operator: "Nothing.";
    NotAuthenticated "not_authenticated" 4002
        "Hello was refused.",
        client: "Get a valid identity first.",
        operator: "Nothing.";
    OriginRefused "origin_refused" 4003
        "The page that opened the connection is of a foreign origin.",
        client: "Serve the page from the same host.",
        operator: "Allow the origin if it is yours.";
    Revoked "revoked" 4004
        "The token or the account was revoked, or the session ended.",
        client: "Log in again.",
        operator: "Nothing; somebody asked for it.";
    TlsRequired "tls_required" 4005
        "The server takes connections of other machines with TLS only.",
        client: "Speak TLS.",
        operator: "Nothing.";
    Overloaded "overloaded" 4100
        "The server has no room for the connection.",
        client: "Back off, then reconnect.",
        operator: "Look at the connection counts and limits.";
    Internal "internal" 4101
        "A fault in the server ended the connection.",
        client: "Back off, then reconnect.",
        operator: "Report the log lines around that time.";
    TooManyConnections "too_many_connections" 4102
        "The address or the user has as many connections as one may have, or opens them too fast.",
        client: "Back off, then reconnect; close connections that are not needed.",
        operator: "Raise limits.connections_per_ip or limits.connections_per_user; name a proxy in trusted_proxies.";
    TooSlow "too_slow" 4103
        "Hello, or the rest of a packet that had begun, did not come in time.",
        client: "Say Hello as soon as the connection stands, then send whole packets.",
        operator: "Nothing; a client is broken or probing.";
    Silent "silent" 4200
        "Nothing was heard from the client for two heartbeats.",
        client: "Reconnect.",
        operator: "Nothing; the network broke.";
    ShuttingDown "shutting_down" 4201
        "The server stops.",
        client: "Reconnect after reconnect_after_ms.",
        operator: "Nothing; a stop was asked for.";
    TokenExpired "token_expired" 4202
        "The token has run out, and no Hello with a fresh one came.",
        client: "Get a fresh token, then reconnect.",
        operator: "Nothing.";
}

/// A number that is no close code of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a close code")]
pub struct UnknownCloseCode(u16);

impl TryFrom<u16> for CloseCode {
    type Error = UnknownCloseCode;

    fn try_from(number: u16) -> Result<Self, UnknownCloseCode> {
        Self::ALL.iter().copied().find(|code| code.number() == number).ok_or(UnknownCloseCode(number))
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> u16 {
        code.number()
    }
}

impl Encode for CloseCode {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.number().encode(encoder)
    }
}

impl<C> Decode<C> for CloseCode {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::try_from(u16::decode(decoder)?).map_err(|_| format::out_of_range())
    }
}

impl<'de, C> BorrowDecode<'de, C> for CloseCode {
    fn borrow_decode<D: format::BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        <Self as Decode<C>>::decode(decoder)
    }
}

/// A request refused: what the client is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Reject {
    /// For programs.
    pub code: Code,
    /// A sentence for people.
    pub message: Cow<'static, str>,
    /// When to try again, if that can help.
    pub retry_after_ms: Option<u32>,
}

impl Reject {
    /// A refusal with a sentence of its own.
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), retry_after_ms: if code.retryable() { Some(1000) } else { None } }
    }

    /// A refusal for which the code's own meaning says all.
    pub fn plain(code: Code) -> Self {
        Self::new(code, code.explain().meaning)
    }
}

/// Finds the explanation of an error code or close code by name or number.
pub fn explain(name: &str) -> Option<Explanation> {
    let close = |code: &&CloseCode| code.as_str() == name || code.number().to_string() == name;
    Code::ALL
        .iter()
        .find(|code| code.as_str() == name)
        .map(|code| code.explain())
        .or_else(|| CloseCode::ALL.iter().find(close).map(|code| code.explain()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_snake_case_unique_and_explained() {
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL {
            let name = code.as_str();
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
            assert!(seen.insert(name), "{name} stands twice");
            assert_eq!(serde_json::to_string(code).unwrap(), format!("\"{name}\""));
            assert_eq!(explain(name).map(|e| e.name), Some(name));
            assert_eq!(code.retryable(), matches!(code.http_status(), 429 | 500 | 503), "{name}");
        }
    }

    #[test]
    fn close_codes_lie_in_the_three_ranges() {
        for code in CloseCode::ALL {
            assert!((4000..4300).contains(&code.number()));
            assert_eq!(CloseCode::try_from(code.number()), Ok(*code));
            assert!(explain(&code.number().to_string()).is_some());
        }
    }
}
