//! Who a connection belongs to: in open mode whoever it says, in token mode whoever its token shows.

use chappe_proto::{Code, Reject, UserId};

use crate::principal::Principal;

/// A connection's identity.
#[derive(Debug, Default, Clone, Copy)]
pub struct Identity {
    /// Whether a client's word is not enough.
    strict: bool,
    user: Option<UserId>,
}

impl Identity {
    /// One that only a token gives.
    pub fn by_token() -> Self {
        Self { strict: true, user: None }
    }

    /// Somebody whose packet proves by itself who it is from.
    pub fn proven(user: UserId) -> Self {
        Self { strict: true, user: Some(user) }
    }

    /// Who said Hello.
    pub fn known(&self) -> Option<UserId> {
        self.user
    }

    /// Whether a packet other than Hello and Ping may be looked at at all.
    ///
    /// # Errors
    /// `not_authenticated` in token mode before Hello.
    pub fn admits(&self) -> Result<(), Reject> {
        if self.strict && self.user.is_none() {
            return Err(Reject::new(Code::NotAuthenticated, "say Hello with a token first"));
        }
        Ok(())
    }

    /// Takes a Hello: whom it names, and in token mode whose token came with it.
    ///
    /// # Errors
    /// `not_authenticated` if that is nobody, `identity_mismatch` if the two differ, or an earlier Hello was someone
    /// else's.
    pub fn introduce(&mut self, claimed: Option<UserId>, shown: Option<&Principal>) -> Result<UserId, Reject> {
        let user = match (self.strict, shown, claimed.or(self.user)) {
            (true, Some(principal), _) => principal.user,
            (true, None, _) => return Err(Reject::new(Code::NotAuthenticated, "in token mode Hello carries a token")),
            (false, _, Some(user)) => user,
            (false, _, None) => return Err(Reject::new(Code::NotAuthenticated, "in open mode Hello names a user_id")),
        };
        if claimed.is_some_and(|claimed| claimed != user) || self.user.is_some_and(|before| before != user) {
            return Err(Reject::plain(Code::IdentityMismatch));
        }
        self.user = Some(user);
        Ok(user)
    }

    /// Whose a packet is that may name a user itself.
    ///
    /// # Errors
    /// `identity_mismatch` if it names another than the Hello, `not_authenticated` if neither names one, or in token
    /// mode the Hello does not.
    pub fn user(&self, claimed: Option<UserId>) -> Result<UserId, Reject> {
        self.admits()?;
        match (self.user, claimed) {
            (Some(user), Some(claimed)) if user != claimed => Err(Reject::plain(Code::IdentityMismatch)),
            (Some(user), _) | (None, Some(user)) => Ok(user),
            (None, None) => Err(Reject::plain(Code::NotAuthenticated)),
        }
    }
}
