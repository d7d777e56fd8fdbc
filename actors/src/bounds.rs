//! What a text, a list or a page may be, checked once for every door: before a [`Command`](crate::command::Command) is
//! made. Pure; what a chat or a user may do is the state's question.

use chappe_proto::ids::MAX_ID;
use chappe_proto::limits::{
    DEFAULT_PAGE, Limits, MAX_EMOJI_BYTES, MAX_LIST, MAX_NICKNAME_BYTES, MAX_PAGE, MAX_PAGE_DEPTH, MAX_STATUS_BYTES,
    MAX_TITLE_BYTES,
};
use chappe_proto::request::GetMessages;
use chappe_proto::signature::{Signature, Signed};
use chappe_proto::{ChatId, ClientId, Code, Reject, Seq, UserId};

use crate::command::Page;
use crate::log::record::{Fact, Record};

/// A message's content: 1 to `limits.content_bytes` bytes.
///
/// # Errors
/// `invalid_field` if it is empty, `too_large` if it is longer.
pub fn content(text: &str, limits: &Limits) -> Result<(), Reject> {
    filled("content", text)?;
    at_most("content", text, usize::try_from(limits.content_bytes).unwrap_or(usize::MAX))
}

/// A chat's title: 1 to 256 bytes.
///
/// # Errors
/// As for [`content`].
pub fn title(text: &str) -> Result<(), Reject> {
    filled("title", text)?;
    at_most("title", text, MAX_TITLE_BYTES)
}

/// A user's nickname: 1 to 64 bytes.
///
/// # Errors
/// As for [`content`].
pub fn nickname(text: &str) -> Result<(), Reject> {
    filled("nickname", text)?;
    at_most("nickname", text, MAX_NICKNAME_BYTES)
}

/// A reaction: 1 to 64 bytes.
///
/// # Errors
/// As for [`content`].
pub fn emoji(text: &str) -> Result<(), Reject> {
    filled("emoji", text)?;
    at_most("emoji", text, MAX_EMOJI_BYTES)
}

/// A status: 1 to 64 bytes.
///
/// # Errors
/// As for [`content`].
pub fn status(text: &str) -> Result<(), Reject> {
    filled("status_data", text)?;
    at_most("status_data", text, MAX_STATUS_BYTES)
}

/// How many things the list called `name` may hold: 1,000.
///
/// # Errors
/// `too_large` if it holds more.
pub fn list_len(name: &str, len: usize) -> Result<(), Reject> {
    if len > MAX_LIST {
        return Err(Reject::new(Code::TooLarge, format!("{name} has {len} entries; {MAX_LIST} are allowed")));
    }
    Ok(())
}

/// A place in a chat, called `name`: any number that JSON holds exactly.
///
/// # Errors
/// `invalid_field` if it is larger.
pub fn seq(name: &str, seq: Seq) -> Result<(), Reject> {
    if seq.0 > MAX_ID {
        return Err(Reject::new(Code::InvalidField, format!("{name} is a number from 0 to {MAX_ID}, not {seq}")));
    }
    Ok(())
}

/// How many things a page holds: 50 unless asked for, and at most 500 however many were asked for.
///
/// # Errors
/// `invalid_field` for 0: there would be no next page to go on with.
pub fn page_limit(asked: Option<u32>) -> Result<u32, Reject> {
    match asked.unwrap_or(DEFAULT_PAGE) {
        0 => Err(Reject::new(Code::InvalidField, "limit, or per_page, is at least 1")),
        asked => Ok(asked.min(MAX_PAGE)),
    }
}

/// Which messages are asked for, and how many: a `page` of `per_page`, or `limit` of them `before` or `after` a number.
///
/// # Errors
/// `invalid_field` if the two ways are mixed, for page 0 and pages of 0, and for a page that lies too deep.
pub fn page(asked: &GetMessages) -> Result<(Page, u32), Reject> {
    let &GetMessages { chat_id: _, page, per_page, before, after, limit } = asked;
    let refuse = |message: &'static str| Err(Reject::new(Code::InvalidField, message));
    if let Some(before) = before {
        seq("before", before)?;
    }
    if let Some(after) = after {
        seq("after", after)?;
    }
    if (page.is_some() || per_page.is_some()) && (before.is_some() || after.is_some()) {
        return refuse("page and per_page do not go with before or after");
    }
    if per_page.is_some() && limit.is_some() {
        return refuse("per_page and limit mean the same: give one of them");
    }
    let size = page_limit(per_page.or(limit))?;
    let page = match (before, after) {
        (Some(_), Some(_)) => return refuse("before and after do not go together"),
        (Some(before), None) => Page::Before(before),
        (None, Some(after)) => Page::After(after),
        (None, None) => {
            let Some(newer) = page.unwrap_or(1).checked_sub(1) else {
                return refuse("page counts from 1, the newest");
            };
            let skip = u64::from(newer) * u64::from(size);
            if skip + u64::from(size) > MAX_PAGE_DEPTH {
                let message = format!(
                    "pages reach {MAX_PAGE_DEPTH} messages deep; from there go on with before or after, which are as fast at any depth"
                );
                return Err(Reject::new(Code::InvalidField, message));
            }
            Page::Newest { skip }
        }
    };
    Ok((page, size))
}

fn filled(name: &str, text: &str) -> Result<(), Reject> {
    if text.is_empty() { Err(Reject::new(Code::InvalidField, format!("{name} is empty"))) } else { Ok(()) }
}

fn at_most(name: &str, text: &str, max: usize) -> Result<(), Reject> {
    if text.len() > max {
        let message = format!("{name} has {} bytes; {max} are allowed", text.len());
        return Err(Reject::new(Code::TooLarge, message));
    }
    Ok(())
}

/// That a signature, where there is one, fits what is posted.
///
/// # Errors
/// `invalid_field` without a `client_id`, `bad_signature` if it does not fit. Whether the key is the sender's the state
/// knows.
pub fn signature(
    signature: Option<&Signature>,
    chat: ChatId,
    sender: UserId,
    client_id: Option<&ClientId>,
    content: &str,
) -> Result<(), Reject> {
    let Some(signature) = signature else { return Ok(()) };
    let Some(client_id) = client_id else {
        return Err(Reject::new(Code::InvalidField, "a signed message needs a client_id, which is signed too"));
    };
    let fits = Signed { chat, sender, client_id, content }.is_signed_by(signature);
    if fits { Ok(()) } else { Err(Reject::plain(Code::BadSignature)) }
}

/// What a record says that comes from another log: as every door would have taken it, or what is left of it where it was
/// reduced ([`crate::retention`]).
///
/// # Errors
/// As for its parts.
pub fn record(record: &Record, limits: &Limits) -> Result<(), Reject> {
    if record.entry.at.0 > MAX_ID {
        return Err(Reject::new(Code::InvalidField, format!("a time is a number from 0 to {MAX_ID}")));
    }
    match &record.entry.fact {
        Fact::UserCreated { nickname: name, .. } => nickname(name),
        Fact::ChatCreated { title: text, by, members, .. } => {
            title(text)?;
            list_len("members", members.iter().filter(|member| Some(**member) != *by).count())
        }
        Fact::ChatUpdated { title: text, .. } => title(text),
        Fact::MessagePosted { content: text, .. } => content(text, limits),
        Fact::SignedMessagePosted { sender, content: text, client_id, signature: signed, .. } => {
            content(text, limits)?;
            let Some((chat, _)) = record.entry.numbered else { return Err(Reject::plain(Code::BadSignature)) };
            signature(Some(signed.as_ref()), chat, *sender, client_id.as_ref(), text)
        }
        Fact::MessageEdited { content: text, .. } if !text.is_empty() => content(text, limits),
        Fact::Reacted { emoji: text, removed, .. } if !(text.is_empty() && *removed) => emoji(text),
        Fact::KeyRegistered { key: Some(key), .. } if !key.is_sound() => {
            Err(Reject::new(Code::InvalidField, "key fits every message"))
        }
        Fact::MessageEdited { .. }
        | Fact::Reacted { .. }
        | Fact::KeyRegistered { .. }
        | Fact::MemberJoined { .. }
        | Fact::MemberLeft { .. }
        | Fact::MessageDeleted { .. }
        | Fact::MessageErased { .. }
        | Fact::ReadMarked { .. }
        | Fact::Trimmed { .. }
        | Fact::UserErased { .. } => Ok(()),
    }
}

#[cfg(test)]
#[path = "bounds_tests.rs"]
mod tests;
