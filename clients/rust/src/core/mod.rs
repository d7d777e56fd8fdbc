//! What the client knows, and what follows from a packet: plain, without sockets, clocks or chance.
//!
//! A connection's life: [`Core::hello`] gives its first packet, [`Core::take`] takes what the server says, [`Core::due`]
//! gives what is to be sent, [`Core::lost`] ends it. [`crate::Client`] is a shell around this; a program with many
//! thousand clients may drive it itself.

mod answers;
mod outbox;
mod places;
mod update;

use chappe_proto::frame::ClientFrame;
use chappe_proto::limits::MAX_PAGE;
use chappe_proto::packet::{Chats, Closing, Head, Packet, Welcome};
use chappe_proto::request::{GetChats, GetEvents, GetMessages, Hello, Request, Status, Subscribe, Unsubscribe};
use chappe_proto::{ChatId, Code, Seq, UserId};

use self::outbox::Outbox;
pub use self::outbox::{Failure, Refusal};
use self::places::Places;
pub use self::update::{Positions, Start, Update};

/// The request ids of the core's own requests; what a program sends has smaller ones.
const HELLO: u64 = 1 << 60;
const LISTING: u64 = 1 << 61;
const SUBSCRIBE: u64 = 1 << 62;
const PULL: u64 = 1 << 63;
/// When a refusal that asks for patience does not say how much, in milliseconds.
const PATIENCE_MS: u32 = 1000;

/// Who the client is, and what it wants.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// In open mode.
    pub user_id: Option<UserId>,
    /// The program's name and version, for the operator.
    pub agent: Option<String>,
    /// Where chats begin that the client has no position in.
    pub start: Start,
    /// Takes frames that are compressed with zstd.
    pub zstd: bool,
}

/// What follows from a packet.
#[derive(Debug, Default)]
pub struct Step {
    /// To be sent, in this order.
    pub send: Vec<ClientFrame>,
    /// For the program, in this order.
    pub updates: Vec<Update>,
    /// Requests that are done with: the key that [`Core::put`] gave, and the answer.
    pub settled: Vec<(u64, Result<Packet, Failure>)>,
    /// The server asks for patience: call [`Core::resume`] after so many milliseconds.
    pub pause_ms: Option<u32>,
    /// The token runs out: send a [`Core::hello`] with a fresh one on this connection.
    pub renew: bool,
    /// The connection is over.
    pub end: Option<End>,
}

/// Why a connection is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The server said so; [`Closing::code`] tells what to do next.
    Closing(Closing),
    /// `Hello` was refused.
    Refused(Refusal),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No connection.
    Down,
    /// `Hello` is on its way.
    Greeting,
    /// `Welcome` has come.
    Live,
}

/// A client's knowledge, across its connections.
#[derive(Debug)]
pub struct Core {
    profile: Profile,
    phase: Phase,
    user: Option<UserId>,
    epoch: Option<u64>,
    places: Places,
    outbox: Outbox,
    /// The user's own words about how they are; said again on every connection.
    status: Option<Box<str>>,
    /// Heads beyond those in `Welcome` are being asked for.
    listing: bool,
    /// `CaughtUp` was said on this connection.
    caught_up: bool,
}

impl Core {
    /// A client that knows nothing yet but `positions`, and keeps at most `outbox` requests.
    pub fn new(profile: Profile, positions: Positions, outbox: usize) -> Self {
        Self {
            profile,
            phase: Phase::Down,
            user: None,
            epoch: positions.epoch,
            places: Places::at(&positions),
            outbox: Outbox::new(outbox),
            status: None,
            listing: false,
            caught_up: false,
        }
    }

    /// The first packet of a connection; or, on one that stands, its renewal.
    pub fn hello(&mut self, token: Option<String>) -> ClientFrame {
        let renews = self.phase == Phase::Live;
        if !renews {
            self.phase = Phase::Greeting;
        }
        let Profile { user_id, agent, zstd, .. } = &self.profile;
        let hello =
            Hello { token, user_id: *user_id, agent: agent.clone(), heads: !renews, zstd: *zstd, ..Hello::default() };
        ClientFrame { request_id: Some(HELLO), request: Request::Hello(hello) }
    }

    /// The connection is gone: what was not answered will be sent again.
    pub fn lost(&mut self) {
        self.phase = Phase::Down;
        self.listing = false;
        self.places.cut();
        self.outbox.cut();
    }

    /// Whether there is room for a request.
    pub fn has_room(&self) -> bool {
        self.outbox.has_room()
    }

    /// Puts a request that is answered into the outbox; the key under which it will be settled. `None` if the outbox is
    /// full. It is kept until it is answered, and sent again on every new connection: name a message by a `client_id`. Only a
    /// server with another log does not get it ([`Failure::Afresh`]).
    pub fn put(&mut self, request: Request) -> Option<u64> {
        self.outbox.put(request)
    }

    /// The requests whose turn it is, up to `count`. Those that are larger than the server takes are settled instead.
    pub fn due(&mut self, count: usize) -> Step {
        let mut step = Step::default();
        if self.phase == Phase::Live {
            self.outbox.due(count, &mut step);
        }
        step
    }

    /// The patience that was asked for is over.
    pub fn resume(&mut self) -> Step {
        self.outbox.resume();
        let mut step = Step::default();
        if self.phase == Phase::Live {
            for (chat, place) in self.places.unheard() {
                self.listen(chat, place, &mut step);
            }
            for chat in self.places.deferred() {
                self.pull(chat, &mut step);
            }
        }
        step
    }

    /// Hears a chat, member or not, on every connection; `from` is where it begins if its place is not known yet.
    pub fn subscribe(&mut self, chat: ChatId, from: Start) -> Step {
        let place = self.places.ask(chat, from);
        let mut step = Step::default();
        if self.phase == Phase::Live {
            self.listen(chat, place, &mut step);
        }
        step
    }

    /// Hears a chat no longer, until the next connection if its user is a member.
    pub fn unsubscribe(&mut self, chat: ChatId) -> Step {
        self.places.unask(chat);
        let mut step = Step::default();
        if self.phase == Phase::Live {
            let unsubscribe = Request::Unsubscribe(Unsubscribe { chat_ids: vec![chat] });
            step.send.push(ClientFrame { request_id: None, request: unsubscribe });
        }
        step
    }

    /// Says how the user is, now and on every connection to come.
    pub fn status(&mut self, text: Box<str>) -> Step {
        let mut step = Step::default();
        if self.phase == Phase::Live {
            step.send.push(status(&text));
        }
        self.status = Some(text);
        step
    }

    /// Whether a connection stands and the server knows who we are.
    pub fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }

    /// Takes what the server said.
    pub fn take(&mut self, request_id: Option<u64>, packet: Packet) -> Step {
        let mut step = Step::default();
        if let Some(key) = request_id.filter(|key| self.outbox.has(*key)) {
            self.answered(key, packet, &mut step);
            return step;
        }
        match packet {
            Packet::Welcome(welcome) => self.welcome(welcome, &mut step),
            Packet::Event(event) => {
                let chat = event.chat_id();
                // Before the Welcome it is not known which log the numbers are of.
                if self.phase == Phase::Live {
                    self.places.live(event, self.profile.start, &mut step.updates);
                    self.pull(chat, &mut step);
                }
            }
            Packet::Events(page) => {
                let chat = page.chat_id;
                self.places.page(page, &mut step.updates);
                self.pull(chat, &mut step);
            }
            Packet::Reset(reset) => match self.places.reset(&reset, &mut step.updates) {
                Some(after) => step.send.push(oldest(reset.chat_id, after)),
                None => self.pull(reset.chat_id, &mut step),
            },
            Packet::Messages(page) if answers::chat_of(request_id, PULL).is_some() => {
                self.places.oldest(&page, &mut step.updates);
                self.pull(page.chat_id, &mut step);
            }
            Packet::Gap(gap) => {
                if self.phase == Phase::Live {
                    self.places.gap(&gap, self.profile.start, &mut step.updates);
                    self.pull(gap.chat_id, &mut step);
                }
            }
            Packet::Chats(chats) if request_id == Some(LISTING) => self.listed(&chats, &mut step),
            Packet::Ack(ack) => self.own_ack(request_id, &ack, &mut step),
            Packet::Error(error) => self.refused(request_id, &error, &mut step),
            Packet::Closing(closing) => step.end = Some(End::Closing(closing)),
            Packet::Expiring(_) => step.renew = true,
            Packet::Read(read) => step.updates.push(Update::Read(read)),
            Packet::Typing(typing) => step.updates.push(Update::Typing(typing)),
            Packet::Status(status) => step.updates.push(Update::Status(status)),
            Packet::Presence(presence) => step.updates.extend(presence.users.into_iter().map(Update::Status)),
            Packet::Pong(_) | Packet::Messages(_) | Packet::Chats(_) => {}
        }
        self.look_whether_caught_up(&mut step);
        step
    }

    fn welcome(&mut self, welcome: Box<Welcome>, step: &mut Step) {
        if self.phase == Phase::Live {
            // Everything else goes on.
            step.updates.push(Update::Renewed(welcome));
            return;
        }
        self.phase = Phase::Live;
        self.caught_up = false;
        self.user = Some(welcome.user_id);
        self.outbox.open(&welcome.limits);
        let is_first = self.epoch.is_none();
        if self.epoch.replace(welcome.epoch).is_some_and(|known| known != welcome.epoch) {
            self.places.forget();
            self.outbox.forget(step);
            step.updates.push(Update::Afresh { epoch: welcome.epoch });
        }
        // What appears later than the first time is new, and read from its beginning.
        self.places.settle(if is_first { self.profile.start } else { Start::Beginning });
        if let Some(text) = &self.status {
            step.send.push(status(text));
        }
        for (chat, place) in self.places.asked() {
            self.listen(chat, place, step);
        }
        // Before `Connected`: who notes that, and not where chats began, takes all of them for new in the next life.
        let heads = welcome.heads.as_deref().unwrap_or_default();
        self.compare(heads, step);
        let more = welcome.more_heads || welcome.heads.is_none();
        let last = heads.last().map(|head| head.chat_id);
        step.updates.push(Update::Connected(welcome));
        if more { self.list(last, step) } else { self.miss_the_unlisted(step) }
    }

    /// Asks for what lies between a place and its chat's head.
    fn compare(&mut self, heads: &[Head], step: &mut Step) {
        let mut chats = Vec::new();
        for head in heads {
            chats.extend(self.places.head(head));
            self.pull(head.chat_id, step);
        }
        if !chats.is_empty() {
            step.updates.push(Update::Begun { chats });
        }
    }

    fn list(&mut self, after: Option<ChatId>, step: &mut Step) {
        self.listing = true;
        let request = Request::GetChats(GetChats { after, limit: Some(MAX_PAGE) });
        step.send.push(ClientFrame { request_id: Some(LISTING), request });
    }

    fn listed(&mut self, chats: &Chats, step: &mut Step) {
        self.listing = false;
        let heads: Vec<Head> = chats.chats.iter().map(|chat| Head { chat_id: chat.chat_id, seq: chat.seq }).collect();
        self.compare(&heads, step);
        match heads.last() {
            Some(last) if chats.has_more => self.list(Some(last.chat_id), step),
            _ => self.miss_the_unlisted(step),
        }
    }

    /// All heads are known: chats that are not among them are none of ours any more.
    fn miss_the_unlisted(&mut self, step: &mut Step) {
        for chat_id in self.places.unlisted() {
            let reason = "no longer a member".into();
            step.updates.push(Update::Gone { chat_id, code: Code::NotAMember, reason });
        }
    }

    fn listen(&mut self, chat: ChatId, place: Option<Seq>, step: &mut Step) {
        let request = Request::Subscribe(Subscribe { chat_ids: vec![chat] });
        step.send.push(ClientFrame { request_id: Some(SUBSCRIBE | chat.get()), request });
        // Of a chat one is no member of, no head is told: ask for what is there, whether or not it is anything.
        if self.places.begin_pull(chat) {
            step.send.push(pull(chat, place));
        }
    }

    /// Asks for the next page of a chat, if the client is behind there and has not asked yet.
    fn pull(&mut self, chat: ChatId, step: &mut Step) {
        if let Some(after) = self.places.next_pull(chat) {
            step.send.push(pull(chat, after));
        }
    }

    fn look_whether_caught_up(&mut self, step: &mut Step) {
        if self.phase == Phase::Live && !self.caught_up && !self.listing && !self.places.is_behind() {
            self.caught_up = true;
            step.updates.push(Update::CaughtUp);
        }
    }
}

fn pull(chat: ChatId, after: Option<Seq>) -> ClientFrame {
    let request = match after {
        Some(after) => GetEvents { chat_id: chat, after, limit: Some(MAX_PAGE) },
        // Only the head is of interest.
        None => GetEvents { chat_id: chat, after: Seq::ZERO, limit: Some(1) },
    };
    ClientFrame { request_id: Some(PULL | chat.get()), request: Request::GetEvents(request) }
}

/// Asks for the oldest message after a number: what lies before it is not kept.
fn oldest(chat: ChatId, after: Seq) -> ClientFrame {
    let (page, per_page, before) = (None, None, None);
    let get = GetMessages { chat_id: chat, page, per_page, before, after: Some(after), limit: Some(1) };
    ClientFrame { request_id: Some(PULL | chat.get()), request: Request::GetMessages(get) }
}

fn status(text: &str) -> ClientFrame {
    let request = Request::Status(Status { user_id: None, status_data: text.into() });
    ClientFrame { request_id: None, request }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod properties;
#[cfg(test)]
#[path = "mod_tests.rs"]
mod tests;
