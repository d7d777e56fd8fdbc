//! Reads tokens: plain, with the time passed in.

use aws_lc_rs::digest;
use chappe_actors::principal::{Authenticate, Principal, TokenId};
use chappe_proto::{Code, Millis, Reject};

use super::secret::Secret;

/// Reads tokens with the keys of the configuration and the data folder's secret.
#[derive(Debug)]
pub struct Verifier {}

impl Verifier {
    /// One that knows the data folder's secret only.
    pub fn new(_secret: &Secret) -> Self {
        Self {}
    }
}

impl Authenticate for Verifier {
    fn authenticate(&self, _token: &str, _now: Millis) -> Result<Principal, Reject> {
        Err(Reject::plain(Code::NotAuthenticated))
    }
}

/// Names a token: by its `jti` and who gave it, or by what was signed. Not by the signature, of which there can be two.
pub(crate) fn token_id(jti: Option<&str>, issuer: &str, signed: &str) -> TokenId {
    let mut hash = digest::Context::new(&digest::SHA256);
    match jti {
        Some(jti) => {
            hash.update(&u64::try_from(jti.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(jti.as_bytes());
            hash.update(issuer.as_bytes());
        }
        None => hash.update(signed.as_bytes()),
    }
    let mut id = [0; 16];
    id.iter_mut().zip(hash.finish().as_ref()).for_each(|(to, from)| *to = *from);
    TokenId(id)
}
