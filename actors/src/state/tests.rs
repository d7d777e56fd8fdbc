//! What the state promises, told with a small world of named users. See `world` for how it is moved.

mod changes;
mod chats;
mod facts;
mod failures;
mod limits;
mod lookup;
mod order;
mod people;
mod posts;
mod presence;
pub(crate) mod properties;
mod reading;
mod retention;
mod signatures;
mod typing;
mod waiting;
mod words;
pub(crate) mod world;
