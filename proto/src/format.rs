//! The binary body format, and the only file that names bincode.
//!
//! bincode 2.0.1, `config::legacy()`: fixed-width little-endian integers, `u32` enum tags in the order of declaration,
//! `u64` lengths before strings and lists, one byte before an optional field. The bytes are specified in `PROTOCOL.md`
//! and pinned by `vectors/`, so that another language, or another crate here, can read them.
//!
//! The `compact` functions are for what stays on this server's disk: `config::standard()`, where an integer takes one
//! byte below 251, and else a byte that says how many follow. Tags, lengths and numbers are mostly small.
//!
//! Decoding is always limited. The types on the wire are neither recursive nor lists of zero-sized elements: with
//! those a limit would not help.

pub use bincode::de::{BorrowDecoder, Decoder};
pub use bincode::enc::Encoder;
pub use bincode::error::{DecodeError, EncodeError};
pub use bincode::{BorrowDecode, Decode, Encode};
/// What the derives of other crates refer to, as `#[bincode(crate = "chappe_proto::format")]`.
pub use bincode::{de, enc, error};

/// No body is ever larger than this, before or after decompression: 16 MiB, just above what a frame's length can say.
/// Doors set lower limits of their own before a body gets here.
pub const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// What is wrong with bytes, without the names of types in this program.
fn in_words(error: &DecodeError) -> &'static str {
    match error {
        DecodeError::UnexpectedEnd { .. } => "the bytes end before the value does",
        DecodeError::LimitExceeded => "a length claims more than there is",
        DecodeError::UnexpectedVariant { .. } => "a tag names nothing that is known",
        DecodeError::Utf8 { .. } => "a text is not UTF-8",
        DecodeError::InvalidBooleanValue(_) => "a yes or no is neither 0 nor 1",
        DecodeError::Other(what) => what,
        _ => "the bytes do not follow the layout",
    }
}

/// Why bytes are not a value.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// The bytes do not follow the layout, or claim more than the limit.
    #[error("{}", in_words(.0))]
    Layout(#[from] DecodeError),
    /// A value was read, and bytes were left over.
    #[error("{0} bytes follow the end of the value")]
    Trailing(usize),
}

fn config() -> impl bincode::config::Config {
    bincode::config::legacy().with_limit::<MAX_BODY_BYTES>()
}

fn compact() -> impl bincode::config::Config {
    bincode::config::standard().with_limit::<MAX_BODY_BYTES>()
}

/// Appends the bytes of `value` to `out`.
pub fn encode_into<T: Encode>(value: &T, out: &mut Vec<u8>) {
    // Writing to a `Vec` cannot fail, and none of our types refuses to be encoded. Were it ever to happen the receiver
    // would find a short body and say so.
    let _ = bincode::encode_into_std_write(value, out, config());
}

/// Reads exactly one value from all of `bytes`, which come from our own log or from a server we chose. A length that
/// lies may reserve up to [`MAX_BODY_BYTES`]; for bytes that anybody may send there is [`decode_untrusted_prefix`].
///
/// # Errors
/// [`FormatError`] if the bytes are not such a value, claim too much, or go on after it.
pub fn decode<T: Decode<()>>(bytes: &[u8]) -> Result<T, FormatError> {
    let (value, used) = bincode::decode_from_slice(bytes, config())?;
    if used == bytes.len() { Ok(value) } else { Err(FormatError::Trailing(bytes.len() - used)) }
}

/// Reads one value from the start of `bytes`, and says how many bytes it took. Trusts them as [`decode`] does.
///
/// # Errors
/// [`FormatError`] if the bytes do not start with such a value.
pub fn decode_prefix<T: Decode<()>>(bytes: &[u8]) -> Result<(T, usize), FormatError> {
    Ok(bincode::decode_from_slice(bytes, config())?)
}

/// Appends the compact bytes of `value` to `out`.
pub fn encode_compact_into<T: Encode>(value: &T, out: &mut Vec<u8>) {
    // As for `encode_into`.
    let _ = bincode::encode_into_std_write(value, out, compact());
}

/// Reads exactly one value from all of `bytes`, which were made by [`encode_compact_into`]. Trusts them as [`decode`] does.
///
/// # Errors
/// As for [`decode`].
pub fn decode_compact<T: Decode<()>>(bytes: &[u8]) -> Result<T, FormatError> {
    let (value, used) = decode_compact_prefix(bytes)?;
    if used == bytes.len() { Ok(value) } else { Err(FormatError::Trailing(bytes.len() - used)) }
}

/// Reads one value from the start of `bytes`, which were made by [`encode_compact_into`], and says how many bytes it
/// took.
///
/// # Errors
/// [`FormatError`] if the bytes do not start with such a value.
pub fn decode_compact_prefix<T: Decode<()>>(bytes: &[u8]) -> Result<(T, usize), FormatError> {
    Ok(bincode::decode_from_slice(bytes, compact())?)
}

/// Reads one value from the start of `bytes`, which anybody may have sent, and says how many bytes it took.
///
/// A length that lies reserves at most 16 times what was sent, or 256 bytes; and no more than 64 KiB if so much was
/// sent at most. Only for types whose list elements are no larger in memory than on the wire, as in a request: the
/// limit counts both.
///
/// # Errors
/// [`FormatError`] if the bytes do not start with such a value, or claim too much.
pub fn decode_untrusted_prefix<T: Decode<()>>(bytes: &[u8]) -> Result<(T, usize), FormatError> {
    // bincode takes its limit as a constant, so there are a few of them. It reserves what a length claims before it
    // looks whether so much is there.
    fn within<T: Decode<()>, const LIMIT: usize>(bytes: &[u8]) -> Result<(T, usize), FormatError> {
        Ok(bincode::decode_from_slice(bytes, bincode::config::legacy().with_limit::<LIMIT>())?)
    }
    match bytes.len() {
        0..=0x100 => within::<T, 0x100>(bytes),
        0x101..=0x1000 => within::<T, 0x1000>(bytes),
        0x1001..=0x1_0000 => within::<T, 0x1_0000>(bytes),
        0x1_0001..=0x10_0000 => within::<T, 0x10_0000>(bytes),
        _ => within::<T, MAX_BODY_BYTES>(bytes),
    }
}

impl FormatError {
    /// Whether the layout was kept and a value was outside its bounds: an id of 0, an unknown enum tag.
    pub fn is_bad_value(&self) -> bool {
        matches!(self, Self::Layout(DecodeError::Other(_) | DecodeError::UnexpectedVariant { .. }))
    }
}

/// The error for a number or text outside its bounds.
pub(crate) fn out_of_range() -> DecodeError {
    DecodeError::Other("a value is out of its range")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_that_lies_is_an_error_and_not_an_allocation() {
        for claimed in [1u64 << 20, 1 << 40, u64::MAX] {
            assert!(decode::<String>(&claimed.to_le_bytes()).is_err());
            assert!(decode::<Vec<u64>>(&claimed.to_le_bytes()).is_err());
            assert!(decode_untrusted_prefix::<Vec<u64>>(&claimed.to_le_bytes()).is_err());
            let mut compact = Vec::new();
            encode_compact_into(&claimed, &mut compact);
            assert!(decode_compact::<String>(&compact).is_err());
            assert!(decode_compact::<Vec<u64>>(&compact).is_err());
        }
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = Vec::new();
        encode_into(&7u32, &mut bytes);
        bytes.push(0);
        assert!(matches!(decode::<u32>(&bytes), Err(FormatError::Trailing(1))));
    }
}
