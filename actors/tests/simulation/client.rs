//! A simulated client: one device of a user, which asks at random, remembers what it was promised, and recovers as the
//! protocol says.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use chappe_proto::commands::Answer;
use chappe_proto::frame::ClientFrame;
use chappe_proto::request::{Hello, NewMessage, Request, SendMessage};
use chappe_proto::{ChatId, ClientId, MessageId, Seq, UserId};

use crate::dice::Dice;
use crate::disk::with_ledger;
use crate::ear::Ear;
use crate::socket::Line;
use crate::verdict::tell;
use crate::wire::{Inbox, Speech};

/// A message that a client wants posted: until it is acknowledged, or refused for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) chat: ChatId,
    pub(crate) name: ClientId,
    pub(crate) content: Box<str>,
    pub(crate) reply_to: Option<MessageId>,
}

/// What was asked.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    Hello,
    Post(Wish),
    Edit(MessageId),
    Delete(MessageId),
    React(MessageId),
    /// Up to which number.
    MarkRead(ChatId, Seq),
    Subscribe(Vec<ChatId>),
    Unsubscribe(Vec<ChatId>),
    /// After which number.
    Events(ChatId, Seq),
    Messages(ChatId, Edge),
    Other,
}

impl Asked {
    /// Whether it becomes an event of a chat.
    pub(crate) fn is_change(&self) -> bool {
        matches!(self, Self::Post(_) | Self::Edit(_) | Self::Delete(_) | Self::React(_))
    }
}

/// From where on a page of messages goes up to the newest.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Edge {
    /// It need not.
    Elsewhere,
    /// It ends with the newest.
    Newest,
    /// It begins after this number, and has the newest unless it says that there is more.
    After(u64),
}

/// How far a client knows each chat to have come, because it was told: whatever it asks later, the answer knows as much.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told {
    events: BTreeMap<ChatId, u64>,
    messages: BTreeMap<ChatId, u64>,
    read: BTreeMap<ChatId, u64>,
}

impl Told {
    /// The last event that there is at least.
    pub(crate) fn event(&self, chat: ChatId) -> u64 {
        self.events.get(&chat).copied().unwrap_or_default()
    }

    /// The last message that there is at least.
    pub(crate) fn message(&self, chat: ChatId) -> u64 {
        self.messages.get(&chat).copied().unwrap_or_default()
    }

    /// How far its user has read at least.
    pub(crate) fn read(&self, chat: ChatId) -> u64 {
        self.read.get(&chat).copied().unwrap_or_default()
    }

    /// There is this event.
    pub(crate) fn of_event(&mut self, chat: ChatId, seq: u64) {
        raise(&mut self.events, chat, seq);
    }

    /// There is this message.
    pub(crate) fn of_message(&mut self, chat: ChatId, seq: u64) {
        raise(&mut self.messages, chat, seq);
    }

    /// Its user has read so far.
    pub(crate) fn of_read(&mut self, chat: ChatId, seq: u64) {
        raise(&mut self.read, chat, seq);
    }
}

fn raise(all: &mut BTreeMap<ChatId, u64>, chat: ChatId, seq: u64) {
    let known = all.entry(chat).or_default();
    *known = seq.max(*known);
}

/// A request that is not answered yet; where the log stood when it was made, and what the client had been told.
#[derive(Debug)]
pub(crate) struct Open {
    pub(crate) id: u64,
    pub(crate) asked: Asked,
    pub(crate) since: u64,
    pub(crate) told: Told,
}

/// The client's end of a connection.
pub(crate) struct Link {
    pub(crate) line: Rc<RefCell<Line>>,
    pub(crate) speech: Speech,
    /// Sent, and not arrived.
    pub(crate) out: VecDeque<u8>,
    pub(crate) inbox: Inbox,
    pub(crate) ear: Ear,
    pub(crate) is_welcome: bool,
    /// To be answered by acks, in this order.
    pub(crate) acks: VecDeque<Open>,
    pub(crate) answers: BTreeMap<u64, Open>,
    /// Where the last change stands in the log that it asked for and that was acknowledged.
    pub(crate) changed: u64,
    /// How far it was acknowledged here that its user has read, of each chat.
    pub(crate) read: BTreeMap<ChatId, u64>,
    next_id: u64,
    /// It takes nothing up to this step.
    pub(crate) reads_from: u64,
}

impl Link {
    /// Whether the client has asked to hear a chat, or not to, and was not answered yet.
    pub(crate) fn is_changing(&self, chat: ChatId) -> bool {
        self.acks.iter().any(|open| match &open.asked {
            Asked::Subscribe(chats) | Asked::Unsubscribe(chats) => chats.contains(&chat),
            _ => false,
        })
    }
}

/// See the module.
pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) user: UserId,
    pub(crate) link: Option<Link>,
    /// Up to which number it has each chat's events, without a gap.
    pub(crate) has: BTreeMap<ChatId, u64>,
    /// What it knows to be missing.
    pub(crate) behind: BTreeMap<ChatId, u64>,
    pub(crate) wishes: Vec<Wish>,
    pub(crate) granted: Vec<(Wish, Seq, u64)>,
    /// Messages it has heard of.
    pub(crate) messages: VecDeque<MessageId>,
    pub(crate) told: Told,
    pub(crate) chats: BTreeSet<ChatId>,
    names: u64,
}

impl Client {
    pub(crate) fn new(number: usize, user: UserId) -> Self {
        Self {
            number,
            user,
            link: None,
            has: BTreeMap::new(),
            behind: BTreeMap::new(),
            wishes: Vec::new(),
            granted: Vec::new(),
            messages: VecDeque::new(),
            told: Told::default(),
            chats: BTreeSet::new(),
            names: 0,
        }
    }

    /// A connection is open: it says who it is.
    pub(crate) fn connected(&mut self, line: Rc<RefCell<Line>>, speech: Speech, dice: &mut Dice) {
        self.link = Some(Link {
            line,
            speech,
            out: VecDeque::new(),
            inbox: Inbox::default(),
            ear: Ear::new(self.user),
            is_welcome: false,
            acks: VecDeque::new(),
            answers: BTreeMap::new(),
            changed: 0,
            read: BTreeMap::new(),
            next_id: 1,
            reads_from: 0,
        });
        let zstd = speech == Speech::Zstd;
        let hello = Hello { user_id: Some(self.user), heads: true, zstd, ..Hello::default() };
        self.ask(Request::Hello(hello), Asked::Hello, dice);
    }

    /// Sends a request.
    pub(crate) fn ask(&mut self, request: Request, asked: Asked, dice: &mut Dice) {
        let Some(link) = &mut self.link else { return };
        let id = link.next_id;
        link.next_id += 1;
        let answer = request.rule().answer;
        tell(|| format!("client {} asks {id}: {request:?}", self.number));
        let mask = u32::try_from(dice.below(1 << 32)).unwrap_or_default();
        link.out.extend(link.speech.encode(&ClientFrame { request_id: Some(id), request }, mask));
        let open = Open { id, asked, since: with_ledger(|ledger| ledger.applied()), told: self.told.clone() };
        match answer {
            Answer::Ack => link.acks.push_back(open),
            Answer::Data => drop(link.answers.insert(id, open)),
            Answer::None => {}
        }
    }

    /// A new message, to be posted until it is acknowledged.
    pub(crate) fn wish(&mut self, chat: ChatId, content: String, reply_to: Option<MessageId>) -> Wish {
        self.names += 1;
        let name = ClientId::parse(format!("{}-{}", self.number, self.names)).expect("a short name");
        let wish = Wish { chat, name, content: content.into(), reply_to };
        self.wishes.push(wish.clone());
        wish
    }

    /// Asks for a message to be posted.
    pub(crate) fn post(&mut self, wish: &Wish, dice: &mut Dice) {
        let message = NewMessage {
            chat_id: wish.chat,
            sender_id: None,
            content: wish.content.clone(),
            message_type: chappe_proto::message::MessageType::Text,
            client_id: Some(wish.name.clone()),
            reply_to: wish.reply_to,
            signature: None,
        };
        self.ask(Request::SendMessage(SendMessage { message }), Asked::Post(wish.clone()), dice);
    }

    /// Whether it says nothing, waits for nothing and lacks nothing that it knows of.
    pub(crate) fn is_content(&self) -> bool {
        let Some(link) = &self.link else { return false };
        link.is_welcome
            && !link.ear.has_muted()
            && link.out.is_empty()
            && link.acks.is_empty()
            && link.answers.is_empty()
            && link.line.borrow().written.is_empty()
            && self.behind.is_empty()
            && self.wishes.is_empty()
    }

    /// It knows that a chat has come so far.
    pub(crate) fn told_of(&mut self, chat: ChatId, head: u64) {
        if self.has.get(&chat).copied().unwrap_or_default() < head {
            let behind = self.behind.entry(chat).or_default();
            *behind = head.max(*behind);
        }
    }

    /// It has events up to `to`, all after those up to `after`.
    pub(crate) fn got(&mut self, chat: ChatId, after: u64, to: u64) {
        let has = self.has.entry(chat).or_default();
        if *has >= after {
            *has = to.max(*has);
        } else {
            self.told_of(chat, to);
        }
        let has = self.has.get(&chat).copied().unwrap_or_default();
        if self.behind.get(&chat).is_some_and(|behind| *behind <= has) {
            self.behind.remove(&chat);
        }
    }

    /// It is not in this chat any more.
    pub(crate) fn gives_up(&mut self, chat: ChatId) {
        self.behind.remove(&chat);
        self.chats.remove(&chat);
    }

    /// Remembers a message.
    pub(crate) fn heard_of(&mut self, message: MessageId) {
        self.messages.push_back(message);
        if self.messages.len() > 12 {
            self.messages.pop_front();
        }
    }
}
