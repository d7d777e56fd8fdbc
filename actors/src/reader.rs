//! Answers what memory cannot, on threads of their own: a small pool, each with connections of its own.

use std::path::{Path, PathBuf};

use actix::prelude::*;
use chappe_proto::event::Event;
use chappe_proto::packet::{ChatSummary, Events, Messages};
use chappe_proto::{ChatId, Code, Reject};

use crate::command::Page;
use crate::history::{History, tables};
use crate::log::LogError;
use crate::origin::Origin;
use crate::page::{PAGE_BYTES, fit};
use crate::reply::Reply;
use crate::state::holds::Key;
use crate::state::step::{Answer, Ask, Question};
use crate::vital::vitally;

/// Something to look up.
///
/// From: the cache actor, which bounds how many wait.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Look(pub Ask);

/// What was found.
///
/// To: the cache actor. One for each [`Look`].
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub enum Looked {
    /// The state asked.
    Answered(Question, Key, Answer),
    /// A chat's newest events.
    Warmed(ChatId, Vec<Event>),
    /// A client asked.
    Reply(Origin, Reply),
}

/// One of the pool.
#[derive(Debug)]
pub struct Reader {
    folder: PathBuf,
    /// How many events warm a chat.
    warm: usize,
    to: Recipient<Looked>,
    history: Option<History>,
}

impl Reader {
    /// A reader of the files in `folder`, which are opened as it starts; or when first needed, if they cannot be opened then.
    pub fn new(folder: &Path, warm: usize, to: Recipient<Looked>) -> Self {
        Self { folder: folder.to_owned(), warm, to, history: None }
    }

    fn history(&mut self) -> Result<&mut History, LogError> {
        if self.history.as_ref().is_some_and(History::is_replaced) {
            self.history = None;
        }
        match &mut self.history {
            Some(history) => Ok(history),
            empty => Ok(empty.insert(History::open(&self.folder)?)),
        }
    }

    fn look(&mut self, ask: &Ask) -> Result<Looked, LogError> {
        let warm = self.warm;
        let history = self.history()?;
        let as_size = |limit: u32| usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(match *ask {
            Ask::Question { question, key } => {
                let answer = match question {
                    Question::Locate(id) => Answer::Located(history.locate(id)?),
                    Question::Count(chat, seq) => Answer::Counted(history.count(chat, seq)?),
                    Question::Original(id) => Answer::Original(history.original(id)?),
                };
                Looked::Answered(question, key, answer)
            }
            Ask::Warm(chat) => Looked::Warmed(chat, history.newest(chat, warm)?),
            Ask::Messages { to, chat, page, limit, head } => {
                let (messages, has_more) = history.messages_until(head, chat, page, as_size(limit))?;
                Looked::Reply(to, Reply::Messages(Messages { chat_id: chat, messages, has_more }.into()))
            }
            Ask::Chats { to, ref chats } => {
                let mut chats = chats.clone();
                let mut bytes = 0;
                for chat in &mut chats.chats {
                    if bytes > PAGE_BYTES {
                        // What `fit` cuts off need not be read.
                        break;
                    }
                    tell_newest(history, chat)?;
                    bytes += chat.last_message.as_ref().map_or(0, |message| message.content.len());
                }
                fit(&mut chats);
                Looked::Reply(to, Reply::Chats(chats))
            }
            Ask::Chat { to, ref chat } => {
                let mut chat = chat.clone();
                tell_newest(history, &mut chat)?;
                Looked::Reply(to, Reply::Chat(chat))
            }
            Ask::Events { to, chat, after, limit, head } => {
                let until_head = usize::try_from(head.0.saturating_sub(after.0)).unwrap_or(usize::MAX);
                let events = history.events(chat, after, as_size(limit).min(until_head))?;
                Looked::Reply(to, Reply::Events(Events { chat_id: chat, events, head }.into()))
            }
        })
    }
}

/// Adds the newest message that `chat` knows of, if it lacks one.
fn tell_newest(history: &mut History, chat: &mut ChatSummary) -> Result<(), LogError> {
    if chat.last_message.is_none() {
        let (mut newest, _) = history.messages(chat.chat_id, Page::Before(chat.seq.next()), 1)?;
        chat.last_message = newest.pop();
    }
    Ok(())
}

/// What is answered when the disk could not be read.
pub fn failed(ask: &Ask) -> Looked {
    let reject = || {
        Reply::from(Reject::new(Code::StorageUnavailable, "history that is not in memory cannot be read at the moment"))
    };
    match *ask {
        Ask::Question { question, key } => Looked::Answered(question, key, Answer::Failed),
        Ask::Warm(chat) => Looked::Warmed(chat, Vec::new()),
        Ask::Messages { to, .. } | Ask::Events { to, .. } => Looked::Reply(to, reject()),
        // All else is true without the newest messages.
        Ask::Chats { to, ref chats } => Looked::Reply(to, Reply::Chats(chats.clone())),
        Ask::Chat { to, ref chat } => Looked::Reply(to, Reply::Chat(chat.clone())),
    }
}

impl Actor for Reader {
    type Context = SyncContext<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        // Now, while files can be opened: later, connections may have taken all there are.
        if let Err(error) = self.history() {
            tracing::debug!(%error, "open the history");
        }
    }
}

impl Handler<Look> for Reader {
    type Result = ();

    fn handle(&mut self, Look(ask): Look, _: &mut Self::Context) {
        // A question that is lost is never answered: better the process ends.
        let looked = vitally(|| self.look(&ask)).unwrap_or_else(|error| {
            if let LogError::Behind(_) = error {
                tracing::debug!(%error, ?ask, "read the history");
                return failed(&ask);
            }
            tracing::error!(%error, ?ask, "read the history");
            if error.is_corrupt() {
                tracing::error!("the query tables are damaged: they are built again from the log");
                tables::damaged(&self.folder);
            }
            // The next one opens the files anew.
            self.history = None;
            failed(&ask)
        });
        // The cache actor bounds how many questions are open, so its mailbox is bounded too.
        self.to.do_send(looked);
    }
}
