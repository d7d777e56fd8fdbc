//! Who the connections of a hub belong to: whom it believes, for how long, and what happens when it no longer does.

use chappe_proto::code::CloseCode;
use chappe_proto::packet::{Expiring, Packet};
use chappe_proto::{Code, Millis, Reject};

use super::bearers::{Bearer, Due, Place};
use super::core::Core;
use super::slots::Slot;
use crate::accounts::denials::before;
use crate::clock::Now;
use crate::origin::SessionId;
use crate::principal::{Auth, Denial, Principal};
use crate::udp_session::Given;

/// Why somebody is refused who was believed once. Which of the three it is concerns only the one who did it.
const DENIED: &str = "the token was revoked, its session was ended, or the account is disabled";
impl Core {
    pub(super) fn asks_for_tokens(&self) -> bool {
        matches!(*self.auth.borrow(), Auth::Token(_))
    }

    /// Other keys, for tokens that are shown from now on.
    pub(super) fn replace_auth(&self, auth: Auth) {
        let mut current = self.auth.borrow_mut();
        // Connections and handlers have taken the mode for settled.
        if matches!((&*current, &auth), (Auth::Token(_), Auth::Token(_))) {
            *current = auth;
        }
    }

    /// Who shows `token`, if they are believed.
    pub(super) fn authenticate(&self, token: &str) -> Result<Principal, Reject> {
        let now = self.settings.clock.now().wall;
        let principal = match &*self.auth.borrow() {
            Auth::Token(tokens) => tokens.authenticate(token, now)?,
            Auth::Open => return Err(Reject::new(Code::NotAuthenticated, "in open mode there are no tokens")),
        };
        if self.denials.borrow().concern(&principal) {
            return Err(Reject::new(Code::NotAuthenticated, DENIED));
        }
        Ok(principal)
    }

    /// Whether somebody who was believed still is.
    pub(super) fn believes(&self, principal: &Principal) -> Result<(), Reject> {
        if principal.expires_at <= self.settings.clock.now().wall {
            return Err(Reject::plain(Code::TokenExpired));
        }
        if self.denials.borrow().concern(principal) {
            return Err(Reject::new(Code::NotAuthenticated, DENIED));
        }
        Ok(())
    }

    /// Whether a session of UDP is not believed any more.
    pub(super) fn is_denied(&self, given: Given) -> bool {
        self.denials.borrow().concern_given(given)
    }

    /// Whom a connection belongs to.
    pub(super) fn holder(&self, SessionId { slot, generation, .. }: SessionId) -> Option<Principal> {
        match self.slots.borrow_mut().get_mut(slot, generation)? {
            Slot::Connection { bearer, .. } => bearer.as_ref().map(|bearer| bearer.principal.clone()),
            Slot::Waiting(_) => None,
        }
    }

    /// A connection belongs to `principal` from now on, or goes on belonging to them.
    pub(super) fn introduce(&self, SessionId { slot, generation, .. }: SessionId, principal: Principal) {
        let mut slots = self.slots.borrow_mut();
        let Some(Slot::Connection { bearer, .. }) = slots.get_mut(slot, generation) else { return };
        let mut expiries = self.expiries.borrow_mut();
        let new = Box::new(Bearer::new(principal, self.settings.clock.now().wall));
        expiries.watch((slot, generation), &new);
        if let Some(old) = bearer.replace(new) {
            expiries.forget((slot, generation), &old);
        }
    }

    /// Believes these no longer, or again; ends the connections that came with them.
    pub(super) fn deny(&self, denied: Vec<Denial>) {
        let mut denials = self.denials.borrow_mut();
        denied.into_iter().for_each(|denial| denials.add(denial));
        let mut expiries = self.expiries.borrow_mut();
        for (place, slot) in self.slots.borrow_mut().places_mut() {
            if let Slot::Connection { bearer: Some(bearer), .. } = slot
                && denials.concern(&bearer.principal)
            {
                expiries.forget(place, bearer);
                self.end(place, slot, CloseCode::Revoked, DENIED);
            }
        }
    }

    /// Forgets the denials of tokens that have run out anyway, whatever the clock says.
    pub(super) fn forget_denials(&self, now: Now) {
        let mut passed = self.passed.get();
        let surely = passed.look(now);
        self.passed.set(passed);
        if let Some(now) = surely {
            self.denials.borrow_mut().prune(before(now));
        }
    }

    /// Warns of tokens that run out, and ends the connections whose token has.
    pub(super) fn expire(&self, now: Millis) {
        let mut slots = self.slots.borrow_mut();
        let mut expiries = self.expiries.borrow_mut();
        while let Some(place) = expiries.pop(now) {
            let Some(slot) = slots.get_mut(place.0, place.1) else { continue };
            let Slot::Connection { outbox, bearer: Some(bearer), .. } = slot else { continue };
            match expiries.due(place, bearer) {
                Due::Warning(expires_at) => {
                    let packet = Packet::Expiring(Expiring { expires_at });
                    outbox.answer(&mut self.encoder.borrow_mut(), packet, None, None, 0);
                }
                Due::End => self.end(place, slot, CloseCode::TokenExpired, "the token has run out"),
            }
        }
    }

    /// Whether a connection may be told more than how its own changes went: where tokens are asked for, only while
    /// somebody is believed behind it.
    pub(super) fn may_hear(&self, bearer: Option<&Bearer>) -> bool {
        bearer.is_some() || !self.asks_for_tokens()
    }

    /// Ends a connection that may hear nothing more: not even while it takes its time to read the goodbye.
    fn end(&self, place: Place, slot: &mut Slot, code: CloseCode, reason: &str) {
        let Slot::Connection { outbox, hears, bearer, .. } = slot else { return };
        *bearer = None;
        self.listeners.borrow_mut().remove(place.0, &std::mem::take(hears));
        outbox.close(&mut self.encoder.borrow_mut(), code, reason, None);
    }
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
