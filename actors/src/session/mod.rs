//! The session core that all doors share: from a client's packet to a command of the engine, and what can be answered
//! on the spot. A transport only turns bytes into packets, and packets into bytes.

pub mod admit;
pub mod identity;
pub mod outbox;
mod queue;
pub mod speech;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use chappe_proto::code::CloseCode;
use chappe_proto::commands::{Answer, PAGE_WEIGHT};
use chappe_proto::frame::{ClientFrame, Refused};
use chappe_proto::limits::Limits;
use chappe_proto::packet::{Ack, Packet, Pong};
use chappe_proto::request::Request;
use chappe_proto::{ClientId, Code, Reject, UserId};

use self::admit::admit;
use self::identity::Identity;
use self::outbox::Outbox;
use crate::command::Command;
use crate::hub::{self, Door};
use crate::metrics::metrics;
use crate::origin::{Origin, SessionId};
use crate::principal::Principal;
use crate::rate::{self, Bucket};

/// So many packets are taken before what they ask is sent on its way, and others have their turn.
const AT_ONCE: u32 = 256;
/// Why a page is refused as `busy`.
pub(crate) const TOO_MUCH_WAITS: &str = "take what you asked for before: too much waits to be sent to slow clients";

/// One client's connection, whatever its transport.
#[derive(Debug)]
pub struct Session {
    id: SessionId,
    identity: Identity,
    outbox: Rc<Outbox>,
    limits: Rc<Cell<Limits>>,
    /// How fast it may ask; made with its first packet.
    bucket: Option<Bucket>,
    /// When the packets read since the last flush came. They came together: the clock is read once for all of them.
    arrived: Option<Duration>,
    /// How many those are.
    taken: u32,
    /// Commands of the packets read since the last flush.
    commands: Vec<(Origin, Command)>,
    /// Who came, by a token that was shown before the first packet; or why it is not believed.
    came_with: Option<Box<Result<Principal, Reject>>>,
}

impl Session {
    /// Registers a connection with the hub of this thread.
    ///
    /// # Errors
    /// `busy` where the thread has no hub: the server is starting or stopping; or where there are too many connections.
    pub fn open(door: Door, outbox: Rc<Outbox>) -> Result<Self, Reject> {
        let id = hub::open(door, Rc::clone(&outbox))?;
        Ok(Self {
            id,
            identity: stranger(),
            outbox,
            limits: hub::shared_limits(),
            bucket: None,
            arrived: None,
            taken: 0,
            commands: Vec::new(),
            came_with: None,
        })
    }

    /// Names the connection in logs.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Where its answers wait.
    pub fn outbox(&self) -> &Rc<Outbox> {
        &self.outbox
    }

    /// Tells who came, by a token that stood in the handshake. A Hello without a token is theirs. Why one is not
    /// believed is told there as well: browsers show nobody why a handshake failed.
    pub fn came_with(&mut self, shown: Result<Principal, Reject>) {
        self.came_with = Some(Box::new(shown));
    }

    /// Whether it takes another packet before the next flush.
    pub fn takes_more(&self) -> bool {
        self.taken < AT_ONCE && self.outbox.has_room()
    }

    /// Takes what is no packet and costs as much as one: a control frame of the transport. It is answered however fast it
    /// comes, and counts all the same.
    pub fn take_control(&mut self) {
        let _ = self.take_token();
    }

    /// Takes one packet, or what could not be read as one.
    pub fn take(&mut self, frame: Result<ClientFrame, Refused>) {
        self.outbox.speech().took_packet();
        let in_time = self.take_token();
        match frame {
            Ok(ClientFrame { request_id, request }) => self.request(request_id, request, in_time),
            Err(mut refused) => {
                if let Err(too_fast) = in_time {
                    refused.reject = too_fast;
                }
                let ticket = self.admit_refused(&refused);
                metrics().refuse(refused.reject.code);
                let request_id = refused.request_id;
                self.put(refused.packet(), ticket, request_id, 1);
            }
        }
    }

    /// Takes one packet that came by itself, and is not answered. `sender` is whose it is if that is proven; else the
    /// packet says so itself.
    ///
    /// # Errors
    /// Why it is refused; nobody is told.
    pub fn take_datagram(&mut self, frame: ClientFrame, sender: Option<UserId>) -> Result<(), Reject> {
        let rule = frame.request.rule();
        if let Some(counter) = metrics().packets.get(frame.request.kind()) {
            counter.inc();
        }
        let mut identity = stranger();
        if let Some(sender) = sender {
            identity = Identity::proven(sender);
        }
        let command = admit(&mut identity, &self.limits.get(), frame.request, None)?;
        self.outbox.admit(rule.weight, false);
        self.send(None, None, rule.weight, command);
        Ok(())
    }

    /// Sends the commands on their way. To be called when no more packets are at hand.
    pub fn flush(&mut self) {
        let arrived = self.arrived.take();
        self.taken = 0;
        if self.commands.is_empty() {
            return;
        }
        let mut commands = std::mem::take(&mut self.commands);
        let arrived = arrived.unwrap_or_else(|| hub::now().mono);
        for (origin, _) in &mut commands {
            origin.arrived = arrived;
        }
        hub::submit(commands);
    }

    /// Ends the connection after what is in its outbox.
    pub fn close(&self, code: CloseCode, reason: &str) {
        hub::with_encoder(|encoder| self.outbox.close(encoder, code, reason, None));
    }

    /// Whether the connection may ask something now.
    fn take_token(&mut self) -> Result<(), Reject> {
        self.taken += 1;
        let rate = self.limits.get().connection_rate;
        if rate.per_sec == 0 {
            return Ok(());
        }
        let arrived = &mut self.arrived;
        rate::with_clock(|clock| {
            if arrived.is_none() {
                clock.step(*arrived.insert(hub::now().mono));
            }
            let bucket = match &mut self.bucket {
                Some(bucket) if bucket.rate() == rate => bucket,
                other => other.insert(Bucket::new(rate, clock)),
            };
            bucket.take(clock)
        })
        .map_err(|too_fast| {
            metrics().rate_limited.connection.inc();
            self.outbox.speech().was_too_fast();
            too_fast.reject("requests of this connection")
        })
    }

    /// Whether another answer as large as a page would be too much: for all, or for one that has not taken the last.
    fn is_too_much(&self) -> bool {
        outbox::is_promised_away() || (queue::is_crowded() && !self.outbox.is_empty())
    }

    fn request(&mut self, request_id: Option<u64>, mut request: Request, in_time: Result<(), Reject>) {
        let rule = request.rule();
        if let Some(counter) = metrics().packets.get(request.kind()) {
            counter.inc();
        }
        let weight = request.weight();
        let refused_for_good = matches!(request, Request::Hello(_)) && self.identity.known().is_none();
        // Nobody is turned away at the door for what others do not take: that is one answer for each connection.
        let is_too_much = weight >= PAGE_WEIGHT && !refused_for_good && self.is_too_much();
        let ticket = self.outbox.admit(weight, rule.answer == Answer::Ack);
        if let Err(reject) = in_time {
            metrics().refuse(reject.code);
            let packet = match rule.answer {
                Answer::Ack => Packet::Ack(Ack::refused(reject, client_id(&request))),
                Answer::Data => Packet::Error(reject.into()),
                // Typing and presence are lost without a word.
                Answer::None => return self.outbox.release(weight),
            };
            return self.put(packet, ticket, request_id, weight);
        }
        if let Request::Ping(ping) = &request {
            let pong = Pong { nonce: ping.nonce, server_time: Some(hub::now().wall) };
            return self.put(Packet::Pong(pong), None, request_id, weight);
        }
        if matches!(&request, Request::Hello(hello) if hello.zstd) {
            self.outbox.offer_zstd();
        }
        let client_id = client_id(&request);
        let admitted = if is_too_much {
            Err(Reject::new(Code::Busy, TOO_MUCH_WAITS))
        } else {
            self.shown(&mut request).and_then(|shown| {
                let command = admit(&mut self.identity, &self.limits.get(), request, shown.as_ref())?;
                if let Some(principal) = shown {
                    hub::introduce(self.id, principal);
                }
                Ok(command)
            })
        };
        match admitted {
            Ok(command) => self.send(ticket, request_id, weight, command),
            Err(reject) => {
                metrics().refuse(reject.code);
                let code = reject.code;
                let packet = match rule.answer {
                    Answer::Ack => Packet::Ack(Ack::refused(reject, client_id)),
                    Answer::Data | Answer::None => Packet::Error(reject.into()),
                };
                self.put(packet, ticket, request_id, weight);
                match code {
                    Code::UnsupportedVersion => {
                        self.close(CloseCode::UnsupportedVersion, "the server speaks another protocol version");
                    }
                    // A renewal that fails leaves the connection what it has: the earlier token.
                    Code::NotAuthenticated if refused_for_good => {
                        self.close(CloseCode::NotAuthenticated, "Hello was refused");
                    }
                    Code::TokenExpired if refused_for_good => {
                        self.close(CloseCode::TokenExpired, "the token has run out");
                    }
                    _ => {}
                }
            }
        }
    }

    /// Who the token of a Hello speaks for, in token mode; the token itself is forgotten here.
    fn shown(&mut self, request: &mut Request) -> Result<Option<Principal>, Reject> {
        let Request::Hello(hello) = request else { return Ok(None) };
        let token = hello.token.take();
        if !hub::asks_for_tokens() {
            return Ok(None);
        }
        match (token, self.came_with.take()) {
            (Some(token), _) => hub::authenticate(&token).map(Some),
            (None, Some(came)) => {
                let principal = (*came)?;
                // Some time may have passed since the handshake.
                hub::believes(&principal)?;
                Ok(Some(principal))
            }
            // A later Hello that only asks for something: who it is from is known.
            (None, None) => hub::holder(self.id).map(|holder| hub::believes(&holder).map(|()| holder)).transpose(),
        }
    }

    fn send(&mut self, ticket: Option<u64>, request_id: Option<u64>, weight: u32, command: Command) {
        let origin = Origin { session: self.id, ticket, request_id, weight, arrived: Duration::ZERO };
        self.commands.push((origin, command));
    }

    fn admit_refused(&self, refused: &Refused) -> Option<u64> {
        self.outbox.admit(1, refused.rule.is_some_and(|rule| rule.answer == Answer::Ack))
    }

    fn put(&self, packet: Packet, ticket: Option<u64>, request_id: Option<u64>, weight: u32) {
        hub::with_encoder(|encoder| self.outbox.answer(encoder, packet, ticket, request_id, weight));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.outbox.kill();
        hub::close(self.id);
    }
}

/// Who has said nothing yet.
fn stranger() -> Identity {
    if hub::asks_for_tokens() { Identity::by_token() } else { Identity::default() }
}

fn client_id(request: &Request) -> Option<ClientId> {
    match request {
        Request::SendMessage(send) => send.message.client_id.clone(),
        _ => None,
    }
}
