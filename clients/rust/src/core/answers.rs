//! Answers to requests: the program's, and the core's own. What is settled, what is sent again, and what is given up.

use chappe_proto::packet::{Ack, ErrorPacket, Packet};
use chappe_proto::{ChatId, Code};

use crate::disconnect::Disconnect;

use super::{Core, End, HELLO, LISTING, PATIENCE_MS, PULL, Refusal, SUBSCRIBE, Step, Update};

impl Core {
    pub(super) fn answered(&mut self, key: u64, packet: Packet, step: &mut Step) {
        let (code, message, retry_after_ms) = match &packet {
            Packet::Ack(ack) if !ack.success => (ack.code, ack.error.clone(), ack.retry_after_ms),
            Packet::Error(error) => (Some(error.code), Some(error.error.clone()), error.retry_after_ms),
            _ => {
                self.outbox.settle(key);
                step.settled.push((key, Ok(packet)));
                return;
            }
        };
        let refusal = Refusal { code: code.unwrap_or(Code::Internal), message: message.unwrap_or_default() };
        // A code that this crate is too old to know is judged by the time that comes with it.
        if refusal.code.retryable() || retry_after_ms.is_some() {
            self.outbox.again(key);
            self.be_patient(refusal, retry_after_ms, step);
        } else if refusal.code == Code::TokenExpired {
            self.outbox.again(key);
            self.outbox.pause();
            (step.renew, step.pause_ms) = (true, Some(PATIENCE_MS));
        } else {
            self.outbox.settle(key);
            step.settled.push((key, Err(refusal.into())));
        }
    }

    pub(super) fn own_ack(&mut self, request_id: Option<u64>, ack: &Ack, step: &mut Step) {
        if let (false, Some(chat_id)) = (ack.success, chat_of(request_id, SUBSCRIBE)) {
            let refusal =
                Refusal { code: ack.code.unwrap_or(Code::Internal), message: ack.error.clone().unwrap_or_default() };
            self.places.not_heard(chat_id);
            self.unheard(chat_id, refusal, ack.retry_after_ms, step);
        }
    }

    pub(super) fn refused(&mut self, request_id: Option<u64>, error: &ErrorPacket, step: &mut Step) {
        let refusal = Refusal { code: error.code, message: error.error.clone() };
        if let Some(chat_id) = chat_of(request_id, PULL) {
            self.places.defer(chat_id);
            self.unheard(chat_id, refusal, error.retry_after_ms, step);
        } else if request_id == Some(HELLO) && self.is_live() {
            // The connection goes on with the token that it has.
            step.updates.push(Update::NotRenewed { reason: Disconnect::Refused(refusal) });
        } else if request_id == Some(HELLO) {
            step.end = Some(End::Refused(refusal));
        } else if request_id == Some(LISTING) {
            // Without its heads the connection is worth nothing; the next one asks again.
            step.end = Some(End::Refused(refusal));
        }
    }

    /// A chat cannot be heard or pulled: later, or never.
    fn unheard(&mut self, chat_id: ChatId, refusal: Refusal, retry_after_ms: Option<u32>, step: &mut Step) {
        if refusal.code.retryable() {
            return self.be_patient(refusal, retry_after_ms, step);
        }
        if self.places.give_up(chat_id) {
            step.updates.push(Update::Gone { chat_id, code: refusal.code, reason: refusal.message });
        }
    }

    fn be_patient(&mut self, refusal: Refusal, retry_after_ms: Option<u32>, step: &mut Step) {
        let retry_after_ms = retry_after_ms.unwrap_or(PATIENCE_MS);
        self.outbox.pause();
        step.pause_ms = Some(retry_after_ms);
        step.updates.push(Update::Delayed { code: refusal.code, reason: refusal.message, retry_after_ms });
    }
}

/// The chat that a request of the core's own was about.
pub(super) fn chat_of(request_id: Option<u64>, kind: u64) -> Option<ChatId> {
    let id = request_id.filter(|id| id & kind != 0)?;
    ChatId::parse(id & !kind).ok()
}
