//! Reading numbers and lines in bytes, and writing numbers, for protocols made of text.

use memchr::memchr;

/// The decimal number at the beginning of `bytes`, and how many digits it has.
pub(super) fn number(bytes: &[u8]) -> Option<(u64, usize)> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut value = 0_u64;
    for digit in &bytes[..digits] {
        value = value.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
    }
    (digits > 0).then_some((value, digits))
}

/// The line at the beginning of `bytes` without its CR LF, and how many bytes it takes with them.
pub(super) fn line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let end = memchr(b'\n', bytes)?;
    Some((bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]), end + 1))
}

/// Appends a number in digits.
pub(super) fn put_number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The number behind `name` in `bytes`, as in `"seq":17`.
pub(super) fn number_behind(bytes: &[u8], name: &[u8]) -> Option<u64> {
    let at = memchr::memmem::find(bytes, name)?;
    number(&bytes[at + name.len()..]).map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_and_read() {
        for value in [0, 7, 10, 4_294_967_296, u64::MAX] {
            let mut out = b"x".to_vec();
            put_number(value, &mut out);
            assert_eq!(out[1..], *value.to_string().as_bytes());
            assert_eq!(number(&out[1..]), Some((value, out.len() - 1)));
        }
        assert_eq!(number(b"99999999999999999999"), None);
        assert_eq!(number(b"x"), None);
        assert_eq!(number_behind(br#"{"stream":"S","seq":17}"#, b"\"seq\":"), Some(17));
    }

    #[test]
    fn a_line_ends_at_its_line_feed() {
        assert_eq!(line(b"PING\r\nx"), Some((&b"PING"[..], 6)));
        assert_eq!(line(b"PING\r"), None);
    }
}
