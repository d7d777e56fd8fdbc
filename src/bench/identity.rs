//! Who the clients of a benchmark are: in open mode whoever they say; where the server asks for tokens, whoever a token
//! of the server's own secret says, which is read from its data folder.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chappe_actors::principal::Standing;
use chappe_proto::request::Hello;
use chappe_proto::{Millis, UserId};

use super::BenchError;
use crate::auth::{Secret, SecretError, Ticket, random_id};

/// Longer than any benchmark.
const TTL: Duration = Duration::from_secs(24 * 3600);

/// See the module.
#[derive(Debug, Clone, Default)]
pub(super) struct Identities {
    secret: Option<Secret>,
}

impl Identities {
    /// Those of the server whose data folder this is, if one is given.
    pub(super) fn of(data: Option<&Path>) -> Result<Self, BenchError> {
        Ok(Self { secret: data.map(Secret::read).transpose().map_err(failed)? })
    }

    /// Whether a client has to say Hello before anything else.
    pub(super) fn are_shown(&self) -> bool {
        self.secret.is_some()
    }

    /// What shows that somebody is `user`, if anything has to.
    pub(super) fn token(&self, user: UserId) -> Result<Option<String>, BenchError> {
        self.token_of(user, Standing::User)
    }

    /// The same of an admin, who may name members that have not come yet.
    pub(super) fn admin(&self, user: UserId) -> Result<Option<String>, BenchError> {
        self.token_of(user, Standing::Admin)
    }

    fn token_of(&self, user: UserId, standing: Standing) -> Result<Option<String>, BenchError> {
        let Some(secret) = &self.secret else { return Ok(None) };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let now = Millis(u64::try_from(now).unwrap_or_default());
        let ticket = Ticket { user, name: None, standing, now, ttl: TTL, longest: None };
        Ok(Some(ticket.sign(secret, &random_id().map_err(failed)?).token))
    }

    /// The `Hello` of `user`.
    pub(super) fn hello(&self, user: UserId) -> Result<Hello, BenchError> {
        Ok(match self.token(user)? {
            Some(token) => Hello { token: Some(token), ..Hello::default() },
            None => Hello { user_id: Some(user), ..Hello::default() },
        })
    }
}

fn failed(error: SecretError) -> BenchError {
    BenchError::Worker(error.to_string())
}
