//! One event of the log is one line, whoever chose the words in it: what would end the line, move the cursor or turn the
//! text around is written as an escape.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};

/// Writes events to somewhere, a line each.
pub(super) struct OneLine<W>(pub(super) W);

impl<W: Write> Write for OneLine<W> {
    /// The library writes a whole event at a time, with the end of its line.
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        self.0.write_all(&one_line(event))?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The escapes are those of JSON, in which the event may be.
fn one_line(event: &[u8]) -> Cow<'_, [u8]> {
    let (text, end) = match event.strip_suffix(b"\n") {
        Some(text) => (text, "\n"),
        None => (event, ""),
    };
    if text.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\x1b')) {
        return Cow::Borrowed(event);
    }
    let mut line = String::with_capacity(event.len() + 16);
    // Writing to a string cannot fail. What is left of ESC is the library's own colours.
    let _ = put(&mut line, &String::from_utf8_lossy(text), |letter| letter == '\x1b');
    line.push_str(end);
    Cow::Owned(line.into_bytes())
}

/// Writes text with an escape for each letter that is not harmless; `spares` those besides.
pub(super) fn put(out: &mut impl fmt::Write, text: &str, spares: impl Fn(char) -> bool) -> fmt::Result {
    for letter in text.chars() {
        if is_harmless(letter) || spares(letter) {
            out.write_char(letter)?;
        } else {
            write!(out, "\\u{:04x}", u32::from(letter))?;
        }
    }
    Ok(())
}

fn is_harmless(letter: char) -> bool {
    match letter {
        // They end a line where a reader goes by Unicode.
        '\u{2028}' | '\u{2029}' => false,
        // They turn the direction of what follows.
        '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => false,
        letter => !letter.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_a_line_and_letters_stay_letters() {
        for (event, line) in [
            ("as it is\n", "as it is\n"),
            ("Zoë 🦊 日本\n", "Zoë 🦊 日本\n"),
            ("one\ntwo\r\nthree\n", "one\\u000atwo\\u000d\\u000athree\n"),
            ("\u{1b}[31mred\u{1b}[0m\n", "\u{1b}[31mred\u{1b}[0m\n"),
            ("bell \u{7} del \u{7f} csi \u{9b}31m nul \0\n", "bell \\u0007 del \\u007f csi \\u009b31m nul \\u0000\n"),
            ("gnp.\u{202e}exe\u{2028}", "gnp.\\u202eexe\\u2028"),
            ("", ""),
        ] {
            assert_eq!(String::from_utf8_lossy(&one_line(event.as_bytes())), line, "{event:?}");
        }
        assert_eq!(&*one_line(b"\xff\n"), "\u{fffd}\n".as_bytes());
    }
}
