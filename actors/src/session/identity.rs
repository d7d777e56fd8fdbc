//! Who a connection belongs to.

use chappe_proto::{Code, Reject, UserId};

/// A connection's identity, in open mode: the client's word is taken.
#[derive(Debug, Default, Clone, Copy)]
pub struct Identity {
    user: Option<UserId>,
}

impl Identity {
    /// Who said Hello.
    pub fn known(&self) -> Option<UserId> {
        self.user
    }

    /// Takes a Hello.
    ///
    /// # Errors
    /// `not_authenticated` if it names nobody, `identity_mismatch` if an earlier one named someone else.
    pub fn introduce(&mut self, claimed: Option<UserId>) -> Result<UserId, Reject> {
        match (self.user, claimed) {
            (None, None) => Err(Reject::new(Code::NotAuthenticated, "in open mode Hello names a user_id")),
            (Some(user), Some(claimed)) if user != claimed => Err(Reject::plain(Code::IdentityMismatch)),
            (Some(user), _) | (None, Some(user)) => {
                self.user = Some(user);
                Ok(user)
            }
        }
    }

    /// Whose a packet is that may name a user itself.
    ///
    /// # Errors
    /// `identity_mismatch` if it names another than the Hello, `not_authenticated` if neither names one.
    pub fn user(&self, claimed: Option<UserId>) -> Result<UserId, Reject> {
        match (self.user, claimed) {
            (Some(user), Some(claimed)) if user != claimed => Err(Reject::plain(Code::IdentityMismatch)),
            (Some(user), _) | (None, Some(user)) => Ok(user),
            (None, None) => Err(Reject::plain(Code::NotAuthenticated)),
        }
    }
}
