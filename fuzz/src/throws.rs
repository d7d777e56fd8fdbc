//! Choices that follow from the input: the same bytes are always cut and steered the same way, so that a failing input
//! is all there is to keep.

/// Numbers from a seed (splitmix64).
#[derive(Debug, Clone)]
pub(crate) struct Throws(u64);

impl Throws {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Those that belong to these bytes (FNV-1a).
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        Self(bytes.iter().fold(0xcbf2_9ce4_8422_2325, step))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 if that is 0.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % bound).unwrap_or_default()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// The ways in which bytes may come: at once, one by one, and in pieces of any size.
pub(crate) fn arrivals(bytes: &[u8]) -> [Vec<&[u8]>; 3] {
    let mut throws = Throws::of(bytes);
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(1 + throws.below(rest.len().min(40)));
        pieces.push(piece);
        rest = behind;
    }
    [vec![bytes], bytes.chunks(1).collect(), pieces]
}
