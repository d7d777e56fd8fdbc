//! What people do in the world, in short.

use chappe_proto::event::ChatKind;
use chappe_proto::message::MessageType;
use chappe_proto::signature::{Bytes, Signature};
use chappe_proto::{ChatId, ClientId, MessageId, Seq};

use super::words::{hello, user};
use super::world::{Seen, World};
use crate::command::{Command, Page, Post, PresenceOf};
use crate::log::record::Fact;

impl World {
    pub(crate) fn hello(&mut self, who: &str) -> Seen {
        self.ask(who, hello(user(who)))
    }

    pub(crate) fn bye(&mut self, who: &str) -> Seen {
        self.ask(who, Command::Bye)
    }

    pub(crate) fn create(&mut self, who: &str, title: &str, kind: ChatKind, members: &[&str]) -> Seen {
        let members = members.iter().map(|name| user(name)).collect();
        self.ask(who, Command::CreateChat { user: Some(user(who)), title: title.into(), kind, members })
    }

    fn new_post(&self, who: &str, chat: &str, content: &str) -> Post {
        Post {
            chat: self.chat(chat),
            sender: user(who),
            content: content.into(),
            message_type: MessageType::Text,
            client_id: None,
            reply_to: None,
            signature: None,
        }
    }

    /// Posts under a name, signed with a key.
    pub(crate) fn post_signed(&mut self, who: &str, chat: &str, name: &str, content: &str, key: u8) -> Seen {
        let signature = Some(Box::new(Signature { key: Bytes([key; 32]), value: Bytes([9; 64]) }));
        let post = Post { client_id: ClientId::parse(name).ok(), signature, ..self.new_post(who, chat, content) };
        self.ask(who, Command::Post(Box::new(post)))
    }

    pub(crate) fn set_key(&mut self, who: &str, key: Option<u8>) -> Seen {
        self.ask(who, Command::SetKey { user: user(who), key: key.map(|key| Bytes([key; 32])) })
    }

    /// Posts without a name.
    pub(crate) fn say(&mut self, who: &str, chat: &str, content: &str) -> Seen {
        let post = self.new_post(who, chat, content);
        self.ask(who, Command::Post(Box::new(post)))
    }

    /// Posts under a name.
    pub(crate) fn post(&mut self, who: &str, chat: &str, key: &str, content: &str) -> Seen {
        let post = Post { client_id: ClientId::parse(key).ok(), ..self.new_post(who, chat, content) };
        self.ask(who, Command::Post(Box::new(post)))
    }

    pub(crate) fn answer_to(&mut self, who: &str, chat: &str, content: &str, reply_to: MessageId) -> Seen {
        let post = Post { reply_to: Some(reply_to), ..self.new_post(who, chat, content) };
        self.ask(who, Command::Post(Box::new(post)))
    }

    pub(crate) fn edit(&mut self, who: &str, message: MessageId, content: &str) -> Seen {
        self.ask(who, Command::Edit { user: user(who), message, content: content.into() })
    }

    pub(crate) fn delete(&mut self, who: &str, message: MessageId) -> Seen {
        self.ask(who, Command::Delete { user: user(who), message })
    }

    pub(crate) fn react(&mut self, who: &str, message: MessageId, emoji: &str) -> Seen {
        self.ask(who, Command::React { user: user(who), message, emoji: emoji.into(), remove: false })
    }

    pub(crate) fn mark(&mut self, who: &str, chat: &str, seq: u64) -> Seen {
        let chat = self.chat(chat);
        self.ask(who, Command::MarkRead { user: user(who), chat, seq: Seq(seq) })
    }

    pub(crate) fn add(&mut self, who: &str, chat: &str, member: &str) -> Seen {
        let (chat, member) = (self.chat(chat), user(member));
        self.ask(who, Command::AddMember { user: Some(user(who)), chat, member })
    }

    pub(crate) fn remove(&mut self, who: &str, chat: &str, member: &str) -> Seen {
        let (chat, member) = (self.chat(chat), user(member));
        self.ask(who, Command::RemoveMember { user: Some(user(who)), chat, member })
    }

    pub(crate) fn rename(&mut self, who: &str, chat: &str, title: &str) -> Seen {
        let chat = self.chat(chat);
        self.ask(who, Command::RenameChat { user: Some(user(who)), chat, title: title.into() })
    }

    pub(crate) fn delete_chat(&mut self, who: &str, chat: &str) -> Seen {
        let chat = self.chat(chat);
        self.ask(who, Command::DeleteChat { user: Some(user(who)), chat })
    }

    pub(crate) fn chats(&mut self, who: &str) -> Seen {
        self.ask(who, Command::GetChats { user: Some(user(who)), after: None, limit: 500 })
    }

    /// The id of the message that says `content`.
    pub(crate) fn id_of(&mut self, content: &str) -> MessageId {
        let records = self.records();
        let posted = records.iter().find(
            |record| matches!(&record.entry.fact, Fact::MessagePosted { content: said, .. } | Fact::SignedMessagePosted { content: said, .. } if &**said == content),
        );
        posted.unwrap().position.message().unwrap()
    }

    pub(crate) fn newest(&mut self, who: &str, chat: &str, limit: u32) -> Seen {
        self.page(who, chat, Page::Newest { skip: 0 }, limit)
    }

    pub(crate) fn page(&mut self, who: &str, chat: &str, page: Page, limit: u32) -> Seen {
        let chat = self.chat(chat);
        self.ask(who, Command::GetMessages { user: Some(user(who)), chat, page, limit })
    }

    pub(crate) fn events(&mut self, who: &str, chat: &str, after: u64) -> Seen {
        let chat = self.chat(chat);
        self.ask(who, Command::GetEvents { user: Some(user(who)), chat, after: Seq(after), limit: 500 })
    }

    pub(crate) fn subscribe(&mut self, who: &str, chats: &[ChatId]) -> Seen {
        self.ask(who, Command::Subscribe { user: Some(user(who)), chats: chats.to_vec() })
    }

    pub(crate) fn unsubscribe(&mut self, who: &str, chats: &[ChatId]) -> Seen {
        self.ask(who, Command::Unsubscribe { user: Some(user(who)), chats: chats.to_vec() })
    }

    pub(crate) fn typing(&mut self, who: &str, chat: &str) -> Seen {
        let chat = self.chat(chat);
        self.ask(who, Command::Typing { user: user(who), chat, stop: false })
    }

    pub(crate) fn status(&mut self, who: &str, text: &str) -> Seen {
        self.ask(who, Command::Status { user: user(who), text: text.into() })
    }

    pub(crate) fn presence(&mut self, who: &str, of: &[&str]) -> Seen {
        let of = PresenceOf::Users(of.iter().map(|name| user(name)).collect());
        self.ask(who, Command::GetPresence { user: Some(user(who)), of })
    }

    /// Posts without a connection: there is no ticket then.
    pub(crate) fn post_over_http(&mut self, who: &str, chat: &str, content: &str) -> Seen {
        let post = self.new_post(who, chat, content);
        self.run_without_ticket(Self::session(who), Command::Post(Box::new(post)))
    }
}
