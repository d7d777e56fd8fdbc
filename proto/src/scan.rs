//! Finds the end of a JSON object as its bytes drip in, and the first byte that cannot stand where it stands.
//!
//! Each byte is looked at once, and nothing is kept of it. Brackets, strings and the order of tokens are judged here,
//! so that a packet that breaks off does not swallow those behind it; how numbers, words and escapes are spelt is the
//! decoder's question.

/// How many levels are told apart, object or array. Deeper ones are only counted: the decoder refuses them by depth.
const LEVELS: u32 = 64;

/// What a byte means for the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The object goes on.
    Inside,
    /// This byte ends the object.
    End,
    /// This byte cannot stand here.
    Broken,
    /// The object breaks off: this `{` cannot stand in it, and is the first byte of a line.
    Restart,
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expect {
    KeyOrEnd,
    Key,
    Colon,
    Value,
    ValueOrEnd,
    /// More of a number or word, or what follows a value.
    Scalar,
    CommaOrEnd,
    /// Too deep to tell.
    Anything,
}

/// Where in a string the scan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quote {
    Outside,
    Inside,
    Escaped,
}

/// Where in an object the scan stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scan {
    depth: u32,
    /// A bit a level, the innermost lowest: 1 is an object, 0 an array.
    objects: u64,
    expect: Expect,
    quote: Quote,
    line_start: bool,
}

impl Scan {
    /// Behind the `{` that starts an object.
    pub(crate) fn opened() -> Self {
        Self { depth: 1, objects: 1, expect: Expect::KeyOrEnd, quote: Quote::Outside, line_start: false }
    }

    /// Looks at the next byte.
    pub(crate) fn step(&mut self, byte: u8) -> Step {
        match (self.quote, byte) {
            (Quote::Outside, _) => return self.token(byte),
            (_, 0..0x20) => return Step::Broken,
            (Quote::Escaped, _) => self.quote = Quote::Inside,
            (Quote::Inside, b'\\') => self.quote = Quote::Escaped,
            (Quote::Inside, b'"') => self.quote = Quote::Outside,
            (Quote::Inside, _) => {}
        }
        Step::Inside
    }

    fn token(&mut self, byte: u8) -> Step {
        use Expect::{Anything, Colon, CommaOrEnd, Key, KeyOrEnd, Scalar, Value, ValueOrEnd};
        let first_of_line = std::mem::replace(&mut self.line_start, byte == b'\n');
        let in_object = self.objects & 1 == 1;
        match (self.expect, byte) {
            (Scalar, b' ' | b'\t' | b'\r' | b'\n') => self.expect = CommaOrEnd,
            (_, b' ' | b'\t' | b'\r' | b'\n') => {}
            (Anything, b'"') => self.quote = Quote::Inside,
            (KeyOrEnd | Key, b'"') => self.string(Colon),
            (Value | ValueOrEnd, b'"') => self.string(CommaOrEnd),
            (Colon, b':') => self.expect = Value,
            (Value | ValueOrEnd | Anything, b'{') => self.open(true),
            (Value | ValueOrEnd | Anything, b'[') => self.open(false),
            (Scalar | CommaOrEnd, b',') => self.expect = if in_object { Key } else { Value },
            (Scalar | CommaOrEnd | KeyOrEnd, b'}') if in_object => return self.close(),
            (Scalar | CommaOrEnd | ValueOrEnd, b']') if !in_object => return self.close(),
            (Anything, b'}' | b']') => return self.close(),
            (Anything, _) => {}
            (Value | ValueOrEnd | Scalar, b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'+' | b'-' | b'.') => {
                self.expect = Scalar;
            }
            (_, b'{') if first_of_line => return Step::Restart,
            _ => return Step::Broken,
        }
        Step::Inside
    }

    fn string(&mut self, then: Expect) {
        self.quote = Quote::Inside;
        self.expect = then;
    }

    fn open(&mut self, object: bool) {
        self.depth = self.depth.saturating_add(1);
        if self.depth > LEVELS {
            self.expect = Expect::Anything;
            return;
        }
        self.objects = self.objects << 1 | u64::from(object);
        self.expect = if object { Expect::KeyOrEnd } else { Expect::ValueOrEnd };
    }

    fn close(&mut self) -> Step {
        self.depth = self.depth.saturating_sub(1);
        if self.depth == 0 {
            return Step::End;
        }
        if self.expect != Expect::Anything {
            self.objects >>= 1;
            self.expect = Expect::CommaOrEnd;
        }
        Step::Inside
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The step of the first byte that is not inside, and where it stands.
    fn outcome(text: &str) -> Option<(usize, Step)> {
        let mut scan = Scan::opened();
        let steps = text.bytes().enumerate().skip(1).map(|(at, byte)| (at, scan.step(byte)));
        steps.into_iter().find(|(_, step)| *step != Step::Inside)
    }

    #[test]
    fn an_object_ends_where_its_last_bracket_stands() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100), "]".repeat(100));
        for text in [
            "{}",
            "{ \r\n\t}",
            r#"{"a":1}"#,
            r#"{"a":{"b":[{},[],-1.5e+3,true,null,"}\"]\\"]},"c":""}"#,
            "{\n  \"a\" : [\n{}\n,\n1 , 2 ]\n}",
            "{\"a\":\n{\"b\":1}}",
            &deep,
        ] {
            assert_eq!(outcome(text), Some((text.len() - 1, Step::End)), "{text}");
        }
    }

    #[test]
    fn an_object_that_breaks_off_is_seen_at_the_first_byte_that_cannot_stand_there() {
        for (text, at) in [
            ("{bad", 1),
            ("{]", 1),
            ("{,", 1),
            (r#"{"a" 1"#, 5),
            (r#"{"a":1]"#, 6),
            (r#"{"a":[1}"#, 7),
            (r#"{"a":1 2"#, 7),
            (r#"{"a":1,}"#, 7),
            (r#"{"a":[1,]"#, 8),
            (r#"{"a":1 {"#, 7),
            ("{\"a\":\"x\ny\"", 7),
            ("{\"a\":\"x\\\ny\"", 8),
            ("{\"a\":\0", 5),
        ] {
            assert_eq!(outcome(text), Some((at, Step::Broken)), "{text:?}");
        }
    }

    #[test]
    fn a_brace_that_begins_a_line_restarts_only_where_no_value_can_stand() {
        assert_eq!(outcome("{\"a\":1\n{"), Some((7, Step::Restart)));
        assert_eq!(outcome("{\"a\":1,\n{"), Some((8, Step::Restart)));
        assert_eq!(outcome("{\n{"), Some((2, Step::Restart)));
        assert_eq!(outcome("{\"a\":1\n {"), Some((8, Step::Broken)));
        assert_eq!(outcome("{\"a\":\n{}"), None);
    }
}
