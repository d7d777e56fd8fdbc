//! Who a token speaks for, and what is no longer believed. Plain data; how a token is read is the program's affair.

use std::fmt;
use std::sync::Arc;

use chappe_proto::{Millis, Reject, UserId};

/// What a user may do beyond what chats say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Standing {
    /// What chats let them.
    #[default]
    User,
    /// Also makes accounts, where registration is off.
    Admin,
}

/// Names a token without being it: what is kept of those that were revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenId(pub [u8; 16]);

/// Who somebody is who showed a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The user.
    pub user: UserId,
    /// What the token says people call them.
    pub nickname: Option<Box<str>>,
    /// What they may do.
    pub standing: Standing,
    /// Names the token.
    pub token: TokenId,
    /// When the token was made; 0 if it does not say.
    pub issued_at: Millis,
    /// When it runs out.
    pub expires_at: Millis,
}

/// Reads tokens. Immutable: new keys are a new one.
pub trait Authenticate: fmt::Debug + Send + Sync {
    /// Who shows `token`.
    ///
    /// # Errors
    /// `not_authenticated` if it is none of ours, `token_expired` if it was. The sentence never repeats the token.
    fn authenticate(&self, token: &str, now: Millis) -> Result<Principal, Reject>;
}

/// Whom the server believes.
#[derive(Debug, Clone, Default)]
pub enum Auth {
    /// Everybody, whoever they say they are.
    #[default]
    Open,
    /// Who shows a token.
    Token(Arc<dyn Authenticate>),
}

/// Something that is no longer believed, or again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denial {
    /// This token, which runs out then anyway.
    Token {
        /// Which.
        token: TokenId,
        /// When it need not be remembered any more.
        until: Millis,
    },
    /// This user's tokens that were made before: the password changed, or all sessions were ended.
    IssuedBefore {
        /// Whose.
        user: UserId,
        /// Exclusive.
        time: Millis,
    },
    /// Whatever this user shows.
    User(UserId),
    /// This user is believed again.
    Lifted(UserId),
}
