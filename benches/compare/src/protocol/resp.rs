//! RESP, the protocol of Redis: where a value ends, and what stands in the flat ones.

use super::text::{line, number};
use crate::trouble::Trouble;

/// A value, as far as anybody here looks into it. Places are counted from the beginning of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    Number(u64),
    /// A string: from, to.
    Text(usize, usize),
    /// A list of so many values, which follow.
    List(u64),
    Nothing,
}

/// The value that begins at `at`, without what follows of a list, and where it ends.
pub(super) fn value(bytes: &[u8], at: usize) -> Result<Option<(Value, usize)>, Trouble> {
    let Some((head, used)) = line(&bytes[at..]) else { return Ok(None) };
    let end = at + used;
    let (kind, rest) = head.split_first().ok_or_else(|| Trouble::answer(head))?;
    let count = || number(rest).map_or(0, |(count, _)| count);
    let value = match kind {
        b'$' => {
            let Ok(size) = usize::try_from(count()) else { return Err(Trouble::answer(head)) };
            if rest.starts_with(b"-") {
                return Ok(Some((Value::Nothing, end)));
            }
            let whole = bytes.len() >= end + size + 2;
            return Ok(whole.then_some((Value::Text(end, end + size), end + size + 2)));
        }
        b'*' | b'>' => Value::List(count()),
        b'%' => Value::List(count() * 2),
        b':' => Value::Number(count()),
        b'+' => Value::Text(at + 1, at + head.len()),
        b'_' => Value::Nothing,
        _ => return Err(Trouble::answer(head)),
    };
    Ok(Some((value, end)))
}

/// Appends a command.
pub(super) fn put_command(words: &[&[u8]], out: &mut Vec<u8>) {
    let put = |kind: u8, count: usize, out: &mut Vec<u8>| {
        out.push(kind);
        super::text::put_number(count.try_into().unwrap_or(u64::MAX), out);
        out.extend_from_slice(b"\r\n");
    };
    put(b'*', words.len(), out);
    for word in words {
        put(b'$', word.len(), out);
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_end_where_they_end() {
        for (bytes, expected) in [
            (&b":12\r\n"[..], Value::Number(12)),
            (b"$5\r\nhello\r\n", Value::Text(4, 9)),
            (b"+OK\r\n", Value::Text(1, 3)),
            (b"$-1\r\n", Value::Nothing),
            (b">3\r\n", Value::List(3)),
            (b"%2\r\n", Value::List(4)),
        ] {
            assert_eq!(value(bytes, 0).unwrap(), Some((expected, bytes.len())));
            for cut in 0..bytes.len() {
                assert_eq!(value(&bytes[..cut], 0).unwrap(), None);
            }
        }
        assert!(value(b"-ERR no\r\n", 0).is_err());
    }

    #[test]
    fn a_command_is_a_list_of_its_words() {
        let mut out = Vec::new();
        put_command(&[b"XADD", b"c.7"], &mut out);
        assert_eq!(out, b"*2\r\n$4\r\nXADD\r\n$3\r\nc.7\r\n");
    }
}
