//! A client of chappe that survives: connections, servers and tokens come and go, and every event comes once and in order.
//!
//! ```no_run
//! use chappe_client::{Options, Start, Update};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let options = Options::new("tcp://127.0.0.1:8081")?.user(7.try_into()?).start(Start::Newest);
//! let (client, mut updates) = options.start_client()?;
//!
//! // Sends: resolves once the message is on disk, whatever happens to the connection until then.
//! let sender = client.clone();
//! tokio::spawn(async move { sender.send(1.try_into()?, "hello").await.map_err(Box::<dyn std::error::Error + Send + Sync>::from) });
//!
//! // Hears: every event of the user's chats, once and in order.
//! while let Some(update) = updates.next().await {
//!     match update {
//!         Update::Event(event) => println!("{} of chat {}: {event:?}", event.seq(), event.chat_id()),
//!         Update::Disconnected { reason, retry_in: None } => return Err(reason.into()),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # What it does by itself
//!
//! - **Reconnects** with full jitter, as the server's close codes ask: [`Disconnect::next`].
//! - **Sends again** what was not answered, unchanged and in order, under the same `client_id`: a message is stored once. What
//!   the server refuses for now (`rate_limited`, `busy`, …) is sent again when it says; [`Update::Delayed`] tells.
//! - **Repairs gaps**: after a reconnect it compares the heads of all chats, which come with the `Welcome`, and asks for what it
//!   missed in all of them at once: three round trips, however many chats there are, and one more for each 500 events of a chat.
//!   [`Update::CaughtUp`] tells when all is there. What the server does not keep any more is passed over, and
//!   [`Update::Skipped`] says so.
//! - **Renews its token** on the connection that stands: [`Options::token_source`]. A source that fails is asked again.
//! - **Waits**: while the program does not read its [`Updates`], the socket is not read, and the server queues or drops with a
//!   `Gap`, which is repaired later. Acks come through the same socket: so wait for [`Client::send`] beside the reading, in another
//!   task or a `select!`, and not between two updates.
//!
//! A program that goes on after its own restart keeps [`Positions`]. One with thousands of clients, or none of tokio's tasks,
//! drives [`core`] and [`Connection`] itself.

mod address;
mod backoff;
mod client;
mod connect;
mod connection;
pub mod core;
mod disconnect;
mod driver;
mod options;
mod tls;

pub use chappe_proto as proto;

pub use self::address::{Address, BadAddress};
pub use self::backoff::{Backoff, random};
pub use self::client::{Client, Pending, SendError, Updates};
pub use self::connection::{Connection, Io};
pub use self::core::{Positions, Refusal, Start, Update};
pub use self::disconnect::{Disconnect, Next};
pub use self::options::{BadOptions, Options};
pub use self::tls::{Identity, TlsError, Trust};
