//! Changes to inputs, from a seed: what a run without libFuzzer tries.

use crate::throws::Throws;

/// No input grows beyond this.
const MOST_BYTES: usize = 4096;
/// What decoders look for.
const WORDS: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"\"",
    b"\\u0000",
    b"\\",
    b":",
    b",",
    b"\n",
    b"null",
    b"-1",
    b"1e400",
    b"9007199254740992",
    b"18446744073709551616",
    b"\"packet_type\":",
    b"\"request_id\":7,",
    b"\"chat_id\":1,",
    b"\xff",
    b"\xc3\x28",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\0",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\0\0\x01\0",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"\x28\xb5\x2f\xfd",
    b"%",
    b"&",
    b"\r\n",
];

/// Mutations of a corpus, without end and always the same.
#[derive(Debug)]
pub struct Mutator<'a> {
    corpus: &'a [Vec<u8>],
    throws: Throws,
}

impl<'a> Mutator<'a> {
    /// Those of `seed`.
    pub fn new(corpus: &'a [Vec<u8>], seed: u64) -> Self {
        Self { corpus, throws: Throws::new(seed) }
    }

    fn any(&mut self) -> &'a [u8] {
        self.corpus.get(self.throws.below(self.corpus.len())).map_or(&[], Vec::as_slice)
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.throws.below(bytes.len() + 1);
        let up_to = at + self.throws.below((bytes.len() - at).min(64) + 1);
        match self.throws.below(9) {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.throws.below(8);
                }
            }
            1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = self.throws.byte();
                }
            }
            2 => drop(bytes.drain(at..up_to)),
            3 => bytes.insert(at, self.throws.byte()),
            4 => {
                let copy = bytes[at..up_to].to_vec();
                let times = 1 + self.throws.below(3);
                bytes.splice(at..at, copy.repeat(times));
            }
            5 => {
                let word = WORDS.get(self.throws.below(WORDS.len())).copied().unwrap_or_default();
                let end = if self.throws.below(2) == 0 { at } else { (at + word.len()).min(bytes.len()) };
                bytes.splice(at..end, word.iter().copied());
            }
            6 => {
                let other = self.any();
                let from = self.throws.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            7 => {
                let other = self.any();
                bytes.splice(at..at, other.iter().copied());
            }
            _ => bytes.truncate(at),
        }
        bytes.truncate(MOST_BYTES);
    }
}

impl Iterator for Mutator<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut bytes = self.any().to_vec();
        for _ in 0..=self.throws.below(4) {
            self.change(&mut bytes);
        }
        Some(bytes)
    }
}
