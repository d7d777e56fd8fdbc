//! What a message carries, so that whoever hears it can tell which it is: its line, its number, when it was due, a check
//! of these, and filler that looks like text.
//!
//! Letters only, so that it stands in JSON as it is. Written and read without loops over its digits: the generator may
//! cost no more than it must.

/// The digits: line, number, due time, check.
pub(crate) const DIGITS: usize = 40;

const SENTENCES: &str = "The third arm of the tower stands upright and the clerk writes it down, then looks for the next \
                         signal through the glass; rain over the hills makes him ask for it once more. ";

/// One message, as its listeners see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Payload {
    /// Whose message in which channel.
    pub(crate) line: u32,
    /// Its place in the line, from 0.
    pub(crate) number: u32,
    /// When it was due, in nanoseconds from the start of the load.
    pub(crate) due_ns: u64,
}

/// Writes and reads payloads of one size.
#[derive(Debug)]
pub(crate) struct Pen {
    seed: u32,
    filler: Vec<u8>,
    size: usize,
}

/// How many beginnings the filler has, so that not all messages read the same.
const BEGINNINGS: usize = 64;

impl Pen {
    /// `seed` tells this run's messages from another's. A payload is no shorter than its digits.
    pub(crate) fn new(seed: u32, size: usize) -> Self {
        let size = size.max(DIGITS);
        let filler = SENTENCES.bytes().cycle().take(size - DIGITS + BEGINNINGS).collect();
        Self { seed, filler, size }
    }

    fn filler(&self, number: u32) -> &[u8] {
        let from = usize::try_from(number).unwrap_or_default() % BEGINNINGS;
        &self.filler[from..from + self.size - DIGITS]
    }

    fn check(&self, payload: Payload) -> u32 {
        let named = (u64::from(payload.line) << 32 | u64::from(payload.number)) ^ u64::from(self.seed) << 17;
        let mixed = (named.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ payload.due_ns).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        high(mixed)
    }

    /// Replaces `out` by the text of a message.
    pub(crate) fn write(&self, payload: Payload, out: &mut Vec<u8>) {
        out.clear();
        for word in [payload.line, payload.number, high(payload.due_ns), low(payload.due_ns), self.check(payload)] {
            out.extend_from_slice(&digits(word));
        }
        out.extend_from_slice(self.filler(payload.number));
    }

    /// What a text says, if it is whole and one of this run's.
    pub(crate) fn read(&self, text: &[u8]) -> Option<Payload> {
        if text.len() != self.size {
            return None;
        }
        let (head, filler) = text.split_at(DIGITS);
        let mut words = [0; 5];
        for (word, digits) in words.iter_mut().zip(head.chunks_exact(8)) {
            *word = number(digits.try_into().ok()?)?;
        }
        let [line, number, late, early, check] = words;
        let payload = Payload { line, number, due_ns: u64::from(late) << 32 | u64::from(early) };
        (check == self.check(payload) && filler == self.filler(number)).then_some(payload)
    }
}

fn high(word: u64) -> u32 {
    u32::try_from(word >> 32).unwrap_or_default()
}

fn low(word: u64) -> u32 {
    u32::try_from(word & 0xFFFF_FFFF).unwrap_or_default()
}

/// Eight letters from `a` to `p`, four bits each: spread over the bytes in three steps.
fn digits(word: u32) -> [u8; 8] {
    let mut spread = u64::from(word);
    spread = (spread | spread << 16) & 0x0000_FFFF_0000_FFFF;
    spread = (spread | spread << 8) & 0x00FF_00FF_00FF_00FF;
    spread = (spread | spread << 4) & 0x0F0F_0F0F_0F0F_0F0F;
    (spread + 0x6161_6161_6161_6161).to_le_bytes()
}

fn number(digits: [u8; 8]) -> Option<u32> {
    let spread = u64::from_le_bytes(digits).wrapping_sub(0x6161_6161_6161_6161);
    if spread & 0xF0F0_F0F0_F0F0_F0F0 != 0 {
        return None;
    }
    let pairs = (spread | spread >> 4) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs | pairs >> 8) & 0x0000_FFFF_0000_FFFF;
    Some(low((fours | fours >> 16) & 0xFFFF_FFFF))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(pen: &Pen, payload: Payload) -> Vec<u8> {
        let mut text = Vec::new();
        pen.write(payload, &mut text);
        text
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_and_looks_like_text(line: u32, number: u32, due_ns: u64, size in 0_usize..500) {
            let pen = Pen::new(7, size);
            let payload = Payload { line, number, due_ns };
            let text = written(&pen, payload);
            prop_assert_eq!(text.len(), size.max(DIGITS));
            prop_assert!(text.iter().all(|byte| matches!(byte, b' '..=b'~') && !b"\"\\".contains(byte)));
            prop_assert_eq!(pen.read(&text), Some(payload));
        }

        #[test]
        fn one_changed_byte_is_noticed_wherever_it_is(number: u32, at in 0_usize..128, by in 1_u8..=255) {
            let pen = Pen::new(7, 128);
            let mut text = written(&pen, Payload { line: 3, number, due_ns: 99 });
            text[at] = text[at].wrapping_add(by);
            prop_assert_eq!(pen.read(&text), None);
        }
    }

    #[test]
    fn the_messages_of_another_run_and_those_cut_short_are_strange() {
        let text = written(&Pen::new(7, 128), Payload { line: 0, number: 0, due_ns: 0 });
        assert_eq!(Pen::new(8, 128).read(&text), None);
        assert_eq!(Pen::new(7, 128).read(&text[..127]), None);
    }
}
