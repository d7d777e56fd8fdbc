//! A record among others: its body's length, a checksum over its position and its body, the body.

use chappe_proto::format::{self, MAX_BODY_BYTES};

use super::{Entry, Position, Record, decode};

/// Bytes of a checksum.
const SUM: usize = 4;
/// A body that is no larger can be read again, whatever is in it: what counts is at most eight times as large in memory.
const SURELY_READ: usize = MAX_BODY_BYTES / 16;

/// A record that could not be read again: doors let nothing in that is as large.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the record at position {position} has {bytes} bytes: too many to be read again")]
pub struct TooLarge {
    /// Where it would stand.
    pub position: u64,
    /// How large it is.
    pub bytes: usize,
}

/// Why bytes are not the record that should stand at a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The bytes end inside the record.
    #[error("the record at position {0} is cut short")]
    Short(u64),
    /// The checksum does not fit.
    #[error("the record at position {0} does not match its checksum")]
    Checksum(u64),
    /// Bytes stand in a row behind the records that it says it has.
    #[error("from position {0} on there is more in the row than it says")]
    Uncounted(u64),
    /// The checksum fits, but the body is not one this version knows.
    #[error("the record at position {0} cannot be read: {1}")]
    Unreadable(u64, String),
}

fn checksum(position: Position, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&position.0.to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

/// Appends the bytes of one record; `body` is room to work in.
///
/// # Errors
/// [`TooLarge`]: nothing was appended.
pub fn encode_into(position: Position, entry: &Entry, body: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<(), TooLarge> {
    body.clear();
    format::encode_compact_into(entry, body);
    // What is never read back is worse than what is refused. Only the few that are large are tried.
    if body.len() > SURELY_READ && decode(position, body).is_err() {
        return Err(TooLarge { position: position.0, bytes: body.len() });
    }
    format::encode_compact_into(&body.len(), out);
    out.extend_from_slice(&checksum(position, body).to_le_bytes());
    out.extend_from_slice(body);
    Ok(())
}

/// Takes the record of `position` from the front of `bytes`, checking it.
///
/// # Errors
/// [`Damage`] if it is not whole.
pub fn decode_from(position: Position, bytes: &mut &[u8]) -> Result<Record, Damage> {
    decode(position, take_body(position, bytes)?)
}

/// Takes the body of the record of `position` from the front of `bytes`, checking it, without reading it.
///
/// # Errors
/// [`Damage`] if it is not whole.
pub fn take_body<'a>(position: Position, bytes: &mut &'a [u8]) -> Result<&'a [u8], Damage> {
    let short = || Damage::Short(position.0);
    let (length, used) = format::decode_compact_prefix::<usize>(bytes).map_err(|_| short())?;
    let rest = bytes.get(used..).unwrap_or_default();
    let (sum, rest) = rest.split_first_chunk::<SUM>().ok_or_else(short)?;
    let (body, rest) = rest.split_at_checked(length).ok_or_else(short)?;
    if checksum(position, body) != u32::from_le_bytes(*sum) {
        return Err(Damage::Checksum(position.0));
    }
    *bytes = rest;
    Ok(body)
}
