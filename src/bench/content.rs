//! What messages say: words, drawn as people draw them, or letters by chance. The same number gives the same text, so
//! that what was sent need not be kept to be recognised.
//!
//! Dots would compress to nothing, and chance not at all: neither shows what a disk or a wire has to carry.

use clap::ValueEnum;

/// Common words, the most common first: where a word stands says how often it is drawn.
const WORDS: &str = "the be to of and a in that have it for not on with you do at this but we from they say or an will my \
    one all would there what so up out if about who get which go me when make can like time no just know take people into \
    year your good some could them see other than then now look only come its over think also back after use two how our \
    work first well way even new want because any these give day most us is are was were been has had did said made went \
    got came took saw knew thought told asked felt left put kept let began seemed helped showed heard played ran moved \
    lived believed held brought happened wrote sat stood lost paid met set learned changed led understood watched followed \
    stopped created spoke read spent grew opened walked won offered remembered loved considered appeared bought waited \
    served died sent expected built stayed fell cut reached killed remained suggested raised passed sold required reported \
    decided pulled today tomorrow yesterday morning evening night week month hour minute monday friday weekend summer \
    winter lunch dinner coffee meeting call message chat photo link file page list plan team project office home house \
    street city train car bus road door room table window phone computer screen server network water food money price \
    ticket order shop market school class book story song game match test result report number question answer problem \
    idea reason part place thing case point hand head eye face side end line word name friend family mother father sister \
    brother child children man woman girl boy person group company world country state right wrong big small long short \
    high low old young early late great little different important next last few many much more less same own sure ready \
    free busy happy sorry thanks please hello maybe perhaps really very too still again never always often soon later here \
    where why while before until since under between through against during without around another each every both such \
    should might must may shall does doing done being having going getting making looking coming working thinking ";
/// Words are drawn by looking into a table of so many: the common ones stand there more often.
const TABLE: usize = 4096;
/// The law of Zipf and Mandelbrot: a word's weight is one by its rank and so much.
const FLAT: f64 = 2.7;

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// Room for what the last draws say too much.
const SPARE: usize = 64;

/// What content is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Kind {
    /// Common words, the most common most often: compresses as messages of people do.
    Words,
    /// Letters and digits by chance: compresses as little as text can.
    Random,
}

impl Kind {
    /// As printed in the report.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Words => "words",
            Self::Random => "random",
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Content {
    kind: Kind,
    /// Each word with a space behind it.
    table: Vec<&'static str>,
}

impl Content {
    pub(super) fn new(kind: Kind) -> Self {
        let words: Vec<&'static str> = WORDS.split_inclusive(' ').collect();
        let weight = |rank: usize| 1.0 / (float(rank) + FLAT);
        let whole: f64 = (0..words.len()).map(weight).sum();
        let (mut table, mut sum) = (Vec::with_capacity(TABLE), 0.0);
        for (rank, word) in words.into_iter().enumerate() {
            sum += weight(rank);
            while float(table.len()) + 0.5 < sum / whole * float(TABLE) {
                table.push(word);
            }
        }
        debug_assert_eq!(table.len(), TABLE);
        Self { kind, table }
    }

    /// `head`, and behind it what text `number` says: `size` bytes in all.
    pub(super) fn text(&self, head: &str, number: u64, size: usize) -> Box<str> {
        let mut text = String::with_capacity(size + SPARE);
        text.push_str(head);
        let mut state = number;
        while text.len() < size {
            let mut bits = next(&mut state);
            for _ in 0..5 {
                match self.kind {
                    Kind::Words => text.push_str(self.table[place(bits)]),
                    Kind::Random => text.push(char::from(LETTERS[place(bits) % LETTERS.len()])),
                }
                bits >>= 12;
            }
        }
        // All of it is ASCII.
        text.truncate(size);
        text.into()
    }
}

/// The next of a row of numbers without a pattern (splitmix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Twelve bits: a place in a table of so many.
fn place(bits: u64) -> usize {
    usize::try_from(bits & 0xfff).unwrap_or(0)
}

fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chappe_proto::compression::Compressor;
    use std::collections::HashSet;

    fn texts(kind: Kind, count: u64) -> Vec<Box<str>> {
        let content = Content::new(kind);
        (0..count).map(|n| content.text("", n, 128)).collect()
    }

    #[test]
    fn a_text_has_its_head_and_its_size_and_is_the_same_each_time() {
        for kind in [Kind::Words, Kind::Random] {
            let content = Content::new(kind);
            for size in [1, 2, 16, 128, 5000] {
                let text = content.text("00ff", 7, size);
                assert_eq!(text.len(), size, "{text}");
                assert_eq!(text[..size.min(4)], "00ff"[..size.min(4)]);
                assert_eq!(text, content.text("00ff", 7, size));
            }
            assert_eq!(texts(kind, 1000).into_iter().collect::<HashSet<_>>().len(), 1000, "each is another");
        }
    }

    #[test]
    fn common_words_are_common_and_all_are_there() {
        let content = Content::new(Kind::Words);
        let count = |word: &str| content.table.iter().filter(|drawn| drawn.trim() == word).count();
        // In English one word in twenty or so is "the".
        assert!((TABLE / 20..TABLE / 10).contains(&count("the")), "{} of {TABLE}", count("the"));
        assert!(count("the") > count("about") && count("about") > count("thinking"), "by rank");
        assert!(WORDS.split_whitespace().all(|word| count(word) > 0));
    }

    #[test]
    fn words_compress_as_people_s_messages_do_and_chance_does_not() {
        let packed = |kind| {
            let all = texts(kind, 1000).concat();
            let mut compressor = Compressor::default();
            compressor.compress(all.as_bytes()).map_or(all.len(), <[u8]>::len) * 100 / all.len()
        };
        let (words, chance) = (packed(Kind::Words), packed(Kind::Random));
        assert!((30..55).contains(&words), "{words} %");
        assert!(chance >= 75, "{chance} %");
    }
}
