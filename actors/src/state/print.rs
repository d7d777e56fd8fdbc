//! A name's fingerprint: SipHash-1-3 (Aumasson and Bernstein) of chat, sender and name, under the data folder's key. Who
//! does not know the key cannot make two names of one fingerprint. It is kept on disk, so it never changes.

use chappe_proto::{ChatId, ClientId, UserId};

/// A name's fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Print(pub u64);

/// What fingerprints are made with: other bytes for every data folder.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct PrintKey(pub [u64; 2]);

impl std::fmt::Debug for PrintKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PrintKey(…)")
    }
}

impl PrintKey {
    /// The fingerprint of a name.
    pub fn print(self, chat: ChatId, sender: UserId, name: &ClientId) -> Print {
        let name = name.as_str().as_bytes();
        let mut hash = Sip::new(self.0);
        hash.take(chat.get());
        hash.take(sender.get());
        let (words, rest) = name.as_chunks::<8>();
        words.iter().for_each(|word| hash.take(u64::from_le_bytes(*word)));
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        // The last byte is the length of all, modulo 256.
        last[7] = (name.len() + 16).to_le_bytes()[0];
        hash.take(u64::from_le_bytes(last));
        Print(hash.end())
    }
}

struct Sip([u64; 4]);

impl Sip {
    fn new([k0, k1]: [u64; 2]) -> Self {
        let constants: [&[u8; 8]; 4] = [b"somepseu", b"dorandom", b"lygenera", b"tedbytes"];
        let [a, b, c, d] = constants.map(|text| u64::from_be_bytes(*text));
        Self([k0 ^ a, k1 ^ b, k0 ^ c, k1 ^ d])
    }

    fn take(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.0[0] ^= word;
    }

    fn end(mut self) -> u64 {
        self.0[2] ^= 0xff;
        (0..3).for_each(|_| self.round());
        self.0.iter().fold(0, |sum, word| sum ^ word)
    }

    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.0;
        a = a.wrapping_add(b);
        c = c.wrapping_add(d);
        b = b.rotate_left(13) ^ a;
        d = d.rotate_left(16) ^ c;
        a = a.rotate_left(32).wrapping_add(d);
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        d = d.rotate_left(21) ^ a;
        c = c.rotate_left(32);
        self.0 = [a, b, c, d];
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{DefaultHasher, Hasher};

    use super::*;

    /// The standard library's hasher is SipHash-1-3 with a key of zeros.
    #[test]
    fn it_is_siphash_of_all_the_bytes_whatever_their_length() {
        let (chat, sender) = (ChatId::parse(77).unwrap(), UserId::parse(1_234_567).unwrap());
        for length in 1..=64 {
            let name = ClientId::parse("abcdefgh-".repeat(8)[..length].to_owned()).unwrap();
            let mut expected = DefaultHasher::new();
            expected.write(&chat.get().to_le_bytes());
            expected.write(&sender.get().to_le_bytes());
            expected.write(name.as_str().as_bytes());
            assert_eq!(PrintKey([0, 0]).print(chat, sender, &name).0, expected.finish(), "{length}");
        }
    }

    #[test]
    fn another_key_makes_another_fingerprint_and_it_stays_the_same() {
        let name = ClientId::parse("order-17").unwrap();
        let print = |key| PrintKey(key).print(ChatId::parse(1).unwrap(), UserId::parse(2).unwrap(), &name);
        assert_ne!(print([1, 2]), print([1, 3]));
        assert_eq!(print([1, 2]).0, PINNED);
    }

    /// Kept on disk: this number never changes.
    const PINNED: u64 = 16_316_928_606_033_348_101;
}
