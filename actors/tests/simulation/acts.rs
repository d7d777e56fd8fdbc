//! What a client does of itself: it asks for what it lacks, repeats what was not acknowledged, and else does what the dice
//! say.

use chappe_proto::request::{
    DeleteMessage, EditMessage, GetChats, GetEvents, GetMessages, GetPresence, MarkRead, Ping, React, Request, Status,
    Subscribe, Typing,
};
use chappe_proto::{ChatId, MessageId, Seq};

use crate::client::{Asked, Client, Edge};
use crate::dice::Dice;
use crate::disk::with_ledger;

/// So many requests a client leaves unanswered before it waits.
const PATIENCE: usize = 24;

/// The most events of a page.
pub(crate) const PAGE: u32 = 6;
/// The longest content, in bytes.
pub(crate) const CONTENT: u64 = 600;

impl Client {
    /// Does one thing; `false` if there is none. `is_finishing` says that nothing new is to begin.
    pub(crate) fn act(&mut self, dice: &mut Dice, is_finishing: bool) -> bool {
        let Some(link) = &self.link else { return false };
        let waits = link.acks.len() + link.answers.len();
        if !link.is_welcome || waits >= PATIENCE {
            return false;
        }
        if (is_finishing || dice.once_in(3)) && (self.recover(dice) || self.repeat(dice)) {
            return true;
        }
        !is_finishing && self.something(dice)
    }

    /// Asks for events that it knows to be missing.
    fn recover(&mut self, dice: &mut Dice) -> bool {
        let Some(link) = &self.link else { return false };
        let is_asked = |chat: &ChatId| {
            link.answers.values().any(|open| matches!(open.asked, Asked::Events(asked, _) if asked == *chat))
        };
        let Some(chat) = self.behind.keys().copied().find(|chat| !is_asked(chat)) else { return false };
        let after = Seq(self.has.get(&chat).copied().unwrap_or_default());
        let limit = 1 + u32::try_from(dice.below(PAGE.into())).unwrap_or_default();
        let request = Request::GetEvents(GetEvents { chat_id: chat, after, limit: Some(limit) });
        self.ask(request, Asked::Events(chat, after), dice);
        true
    }

    /// Asks again for what was not acknowledged.
    fn repeat(&mut self, dice: &mut Dice) -> bool {
        let Some(link) = &self.link else { return false };
        let is_asked = |name: &chappe_proto::ClientId| {
            link.acks.iter().any(|open| matches!(&open.asked, Asked::Post(wish) if wish.name == *name))
        };
        let Some(wish) = self.wishes.iter().find(|wish| !is_asked(&wish.name)).cloned() else { return false };
        self.post(&wish, dice);
        true
    }

    fn something(&mut self, dice: &mut Dice) -> bool {
        let chats: Vec<ChatId> = self.chats.iter().copied().collect();
        // One of its own most often; now and then any that there is.
        let all = with_ledger(|ledger| ledger.chats.keys().copied().collect::<Vec<_>>());
        let Some(chat) = (if dice.once_in(12) { None } else { dice.pick(&chats) }).or_else(|| dice.pick(&all)) else {
            return false;
        };
        let head = with_ledger(|ledger| ledger.seq(chat));
        let limit = Some(1 + u32::try_from(dice.below(PAGE.into())).unwrap_or_default());
        let messages: Vec<_> = self.messages.iter().copied().collect();
        let message = dice.pick(&messages);
        let (request, asked) = match (dice.below(40), message) {
            (0..14, _) => {
                let content = text(dice);
                let is_here = |id: &MessageId| with_ledger(|l| l.messages.get(id).is_some_and(|it| it.chat == chat));
                let reply_to = message.filter(|id| dice.once_in(4) && is_here(id));
                let wish = self.wish(chat, content, reply_to);
                self.post(&wish, dice);
                // Some say everything twice.
                if dice.once_in(10) {
                    self.post(&wish, dice);
                }
                return true;
            }
            (14, _) => {
                // The ack of this one may have come long ago.
                let granted: Vec<_> = self.granted.iter().map(|(wish, ..)| wish.clone()).collect();
                let Some(wish) = dice.pick(&granted) else { return false };
                self.post(&wish, dice);
                return true;
            }
            (15..18, Some(message_id)) => {
                let content = text(dice).into();
                (Request::EditMessage(EditMessage { message_id, content }), Asked::Edit(message_id))
            }
            (18, Some(message_id)) => (Request::DeleteMessage(DeleteMessage { message_id }), Asked::Delete(message_id)),
            (19..22, Some(message_id)) => {
                let remove = dice.once_in(3);
                (Request::React(React { message_id, emoji: "+1".into(), remove }), Asked::React(message_id))
            }
            (22..25, _) => {
                let seq = Seq(dice.below(head + 2));
                (Request::MarkRead(MarkRead { chat_id: chat, seq }), Asked::MarkRead(chat, seq))
            }
            (25..28, _) => {
                let stop = dice.once_in(3).then(|| "stop".into());
                (Request::Typing(Typing { chat_id: chat, user_id: None, status_data: stop }), Asked::Other)
            }
            (28, _) => {
                let status_data = dice.pick(&["online", "away", "invisible", "offline"]).unwrap_or("busy").into();
                (Request::Status(Status { user_id: None, status_data }), Asked::Other)
            }
            (29, _) => {
                let request = GetPresence { user_ids: None, chat_id: Some(chat) };
                (Request::GetPresence(request), Asked::Other)
            }
            (30..32, _) => (Request::GetChats(GetChats { after: None, limit: None }), Asked::Other),
            (32..34, _) => {
                let at = Seq(dice.below(head + 2));
                let (before, after, edge) = match dice.below(3) {
                    0 => (Some(at), None, Edge::Elsewhere),
                    1 => (None, Some(at), Edge::After(at.0)),
                    _ => (None, None, Edge::Newest),
                };
                let request = GetMessages { chat_id: chat, page: None, per_page: None, before, after, limit };
                (Request::GetMessages(request), Asked::Messages(chat, edge))
            }
            (34, _) => {
                let has = self.has.get(&chat).copied().unwrap_or_default();
                let after = Seq(dice.below(has + 1));
                (Request::GetEvents(GetEvents { chat_id: chat, after, limit }), Asked::Events(chat, after))
            }
            (35, _) => (Request::Subscribe(Subscribe { chat_ids: vec![chat] }), Asked::Subscribe(vec![chat])),
            (36, _) if dice.once_in(4) => {
                let chat_ids = vec![chat];
                let request = Request::Unsubscribe(chappe_proto::request::Unsubscribe { chat_ids });
                (request, Asked::Unsubscribe(vec![chat]))
            }
            (37, _) => (Request::Ping(Ping { nonce: Some(dice.next() >> 12) }), Asked::Other),
            _ => return false,
        };
        self.ask(request, asked, dice);
        true
    }
}

fn text(dice: &mut Dice) -> String {
    let most = if dice.once_in(6) { CONTENT } else { 40 };
    let length = 1 + dice.below(most);
    let letters = dice.next();
    (0..length).map(|at| char::from(b'a' + u8::try_from((letters >> (at % 60)) % 26).unwrap_or_default())).collect()
}
