//! What a program holds of its client: a handle that sends, and the stream of what happens.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use chappe_proto::commands::Answer;
use chappe_proto::limits::MAX_STATUS_BYTES;
use chappe_proto::message::MessageType;
use chappe_proto::packet::{Ack, Packet};
use chappe_proto::request::{DeleteMessage, EditMessage, MarkRead, NewMessage, React, Request, SendMessage, Typing};
use chappe_proto::{ChatId, ClientId, Code, MessageId, Seq};
use futures_util::Stream;
use tokio::sync::{mpsc, oneshot};

use crate::core::{Failure, Refusal, Start, Update};
use crate::disconnect::Disconnect;

/// Orders on their way to the driver. What waits for an answer is bounded by the outbox.
const ORDERS: usize = 16;

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The server refused it, and would again.
    #[error("{0}")]
    Refused(Refusal),
    /// The server's log was replaced before there was an answer. Ids count anew there: what the request named may be something
    /// else by now, so look ([`Update::Afresh`]), and decide anew.
    #[error("{}", Failure::Afresh)]
    Afresh,
    /// The client has ended. Whether the request was done before is not known.
    #[error("{0}")]
    Stopped(Disconnect),
    /// The client was closed.
    #[error("the client was closed")]
    Closed,
    /// This request has no answer to wait for.
    #[error("{0} is not answered")]
    NotAnswered(&'static str),
    /// Too long, or empty.
    #[error("a client_id has 1 to 128 bytes")]
    ClientId,
}

impl From<Failure> for SendError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => Self::Refused(refusal),
            Failure::Afresh => Self::Afresh,
        }
    }
}

/// What comes of a request.
pub(crate) type Outcome = Result<Packet, SendError>;

/// What the driver is told.
#[derive(Debug)]
pub(crate) enum Order {
    Ask(Request, oneshot::Sender<Outcome>),
    Tell(Request),
    Status(Box<str>),
    Subscribe(ChatId, Start),
    Unsubscribe(ChatId),
}

/// A client: sends. Cloned, it is the same client. It ends when all clones and the [`Updates`] are dropped.
///
/// Requests wait while there is no connection, and are sent again, unchanged and in order, on each new one, until
/// they are answered, or the server's log is another one. A future that is dropped takes nothing back.
#[derive(Debug, Clone)]
pub struct Client {
    orders: mpsc::Sender<Order>,
    names: Arc<Names>,
}

/// Gives messages names that no other client gives.
#[derive(Debug)]
struct Names {
    random: [u64; 2],
    next: AtomicU64,
}

/// The answer to a request that is on its way.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Outcome>);

impl Future for Pending {
    type Output = Result<Packet, SendError>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(task).map(|outcome| outcome.unwrap_or(Err(SendError::Closed)))
    }
}

impl Client {
    pub(crate) fn new(random: fn() -> u64) -> (Self, mpsc::Receiver<Order>) {
        let (orders, taken) = mpsc::channel(ORDERS);
        let names = Names { random: [random(), random()], next: AtomicU64::new(1) };
        (Self { orders, names: Arc::new(names) }, taken)
    }

    /// Posts a text; resolves once it is on disk. It is stored once, however often it had to be sent.
    ///
    /// # Errors
    /// [`SendError`]. What is larger than the server takes (`limits.frame_bytes`) is refused without being sent. Lost connections and refusals that ask for patience are no errors: it goes on.
    pub async fn send(&self, chat_id: ChatId, content: &str) -> Result<Ack, SendError> {
        let message_type = MessageType::Text;
        let (content, sender_id, client_id, reply_to, signature) = (content.into(), None, None, None, None);
        self.send_message(NewMessage { chat_id, sender_id, content, message_type, client_id, reply_to, signature })
            .await
    }

    /// Posts a message; resolves once it is on disk. Without a `client_id` it is given one.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn send_message(&self, message: NewMessage) -> Result<Ack, SendError> {
        ack(self.submit_message(message).await?.await?)
    }

    /// Puts a message into the outbox, as soon as there is room; its answer comes later. What one task submits is sent
    /// in that order.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn submit_message(&self, mut message: NewMessage) -> Result<Pending, SendError> {
        if message.client_id.is_none() {
            message.client_id = Some(self.names.next()?);
        }
        self.submit(Request::SendMessage(SendMessage { message })).await
    }

    /// Replaces a message's content.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn edit(&self, message_id: MessageId, content: &str) -> Result<Ack, SendError> {
        let edit = EditMessage { message_id, content: content.into() };
        ack(self.ask(Request::EditMessage(edit)).await?)
    }

    /// Deletes a message.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn delete(&self, message_id: MessageId) -> Result<Ack, SendError> {
        ack(self.ask(Request::DeleteMessage(DeleteMessage { message_id })).await?)
    }

    /// Adds a reaction, or takes it back.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn react(&self, message_id: MessageId, emoji: &str, remove: bool) -> Result<Ack, SendError> {
        ack(self.ask(Request::React(React { message_id, emoji: emoji.into(), remove })).await?)
    }

    /// Marks all up to `seq` as read.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn mark_read(&self, chat_id: ChatId, seq: Seq) -> Result<Ack, SendError> {
        ack(self.ask(Request::MarkRead(MarkRead { chat_id, seq })).await?)
    }

    /// Sends any request that is answered, and waits for the answer.
    ///
    /// # Errors
    /// As [`Client::send`], and [`SendError::NotAnswered`].
    pub async fn ask(&self, request: Request) -> Result<Packet, SendError> {
        self.submit(request).await?.await
    }

    /// Puts a request into the outbox, as soon as there is room.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub async fn submit(&self, request: Request) -> Result<Pending, SendError> {
        let rule = request.rule();
        if rule.answer == Answer::None || matches!(request, Request::Hello(_)) {
            return Err(SendError::NotAnswered(rule.name));
        }
        let (reply, answer) = oneshot::channel();
        self.order(Order::Ask(request, reply)).await?;
        Ok(Pending(answer))
    }

    /// Tells a chat that the user types, or no longer; where there is no connection, nobody hears it.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    pub async fn typing(&self, chat_id: ChatId, stop: bool) -> Result<(), SendError> {
        let status_data = stop.then(|| "stop".into());
        self.order(Order::Tell(Request::Typing(Typing { chat_id, user_id: None, status_data }))).await
    }

    /// Says how the user is (`online`, `away`, `busy`, `invisible`, or free text), on this connection and those to come.
    ///
    /// # Errors
    /// [`SendError::Closed`], or [`SendError::Refused`] if it is longer than [`MAX_STATUS_BYTES`]: no answer would tell.
    pub async fn status(&self, text: &str) -> Result<(), SendError> {
        if text.len() > MAX_STATUS_BYTES {
            let message = format!("a status has at most {MAX_STATUS_BYTES} bytes").into();
            return Err(SendError::Refused(Refusal { code: Code::TooLarge, message }));
        }
        self.order(Order::Status(text.into())).await
    }

    /// Hears a chat that the user is no member of but may read, on this connection and those to come. If it may not, an
    /// [`Update::Gone`] tells. One that is in the [`Positions`](crate::Positions) is subscribed to before the first connection
    /// stands, or it is taken for one that the user was a member of.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    pub async fn subscribe(&self, chat_id: ChatId, from: Start) -> Result<(), SendError> {
        self.order(Order::Subscribe(chat_id, from)).await
    }

    /// Hears a chat no longer.
    ///
    /// # Errors
    /// [`SendError::Closed`].
    pub async fn unsubscribe(&self, chat_id: ChatId) -> Result<(), SendError> {
        self.order(Order::Unsubscribe(chat_id)).await
    }

    async fn order(&self, order: Order) -> Result<(), SendError> {
        self.orders.send(order).await.map_err(|_| SendError::Closed)
    }
}

impl Names {
    fn next(&self) -> Result<ClientId, SendError> {
        let [a, b] = self.random;
        let nth = self.next.fetch_add(1, Ordering::Relaxed);
        ClientId::parse(format!("{a:016x}{b:016x}-{nth}")).map_err(|_| SendError::ClientId)
    }
}

fn ack(packet: Packet) -> Result<Ack, SendError> {
    match packet {
        Packet::Ack(ack) => Ok(ack),
        other => Err(SendError::Stopped(Disconnect::Unexpected(format!("{other:?}").chars().take(200).collect()))),
    }
}

/// What happens, in order. It has to be read: while nobody reads, the client reads nothing from the server, acks
/// included. A program that does not care drops it.
#[derive(Debug)]
pub struct Updates(mpsc::Receiver<Update>);

impl Updates {
    pub(crate) fn new(heard: mpsc::Receiver<Update>) -> Self {
        Self(heard)
    }

    /// The next update; `None` once the client has ended. May be given up.
    pub async fn next(&mut self) -> Option<Update> {
        self.0.recv().await
    }
}

impl Stream for Updates {
    type Item = Update;

    fn poll_next(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Update>> {
        self.0.poll_recv(task)
    }
}
