//! What holds of compressing and expanding.

use zstd::bulk;
use zstd::zstd_safe::{CCtx, CParameter};

use super::*;

const LIMIT: usize = 64 * 1024;

fn without_its_size(bytes: &[u8]) -> Vec<u8> {
    let mut context = CCtx::create();
    context.set_parameter(CParameter::ContentSizeFlag(false)).unwrap();
    let mut out = Vec::with_capacity(zstd_safe::compress_bound(bytes.len()));
    context.compress2(&mut out, bytes).unwrap();
    assert!(matches!(zstd_safe::get_frame_content_size(&out), Ok(None)));
    out
}

fn code(bytes: &[u8], limit: usize) -> Option<Code> {
    Expander::default().expand(bytes, limit).err().map(|reject| reject.code)
}

#[test]
fn what_gets_smaller_comes_back_whole_and_what_does_not_is_left_as_it_is() {
    let (mut compressor, mut expander) = (Compressor::default(), Expander::default());
    for size in [512, 5000, LIMIT, 3 << 20, 600] {
        let bytes = b"It was the best of times. ".repeat(size / 26 + 1);
        let small = compressor.compress(&bytes).unwrap();
        assert!(small.len() < bytes.len() / 2);
        assert_eq!(expander.expand(small, bytes.len()).unwrap(), bytes);
    }
    let mut x = 1u64;
    let noise = std::iter::repeat_with(|| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x.to_le_bytes()
    });
    let noise: Vec<u8> = noise.take(250).flatten().collect();
    assert!(compressor.compress(&noise).is_none());
    assert!(compressor.compress(b"").is_none());
}

#[test]
fn more_than_the_limit_is_too_large_whether_it_says_so_or_not() {
    let bytes = vec![7; LIMIT + 1];
    for packed in [bulk::compress(&bytes, 1).unwrap(), without_its_size(&bytes)] {
        assert_eq!(code(&packed, LIMIT), Some(Code::TooLarge));
        assert_eq!(code(&packed, LIMIT + 1), None);
    }
    // A buffer that is larger for what came before holds to the limit all the same.
    let mut expander = Expander::default();
    assert!(expander.expand(&without_its_size(&bytes), LIMIT + 1).is_ok());
    assert_eq!(expander.expand(&without_its_size(&vec![7; 2000]), 1000).unwrap_err().code, Code::TooLarge);
}

#[test]
fn a_bomb_is_refused_by_what_it_claims() {
    let bomb = bulk::compress(&vec![0; 64 << 20], 19).unwrap();
    assert!(bomb.len() < 10_000, "{}", bomb.len());
    let mut expander = Expander::default();
    assert_eq!(expander.expand(&bomb, LIMIT).unwrap_err().code, Code::TooLarge);
    assert_eq!(expander.buffer.capacity(), 0);
}

#[test]
fn what_is_not_exactly_one_whole_frame_is_malformed() {
    let whole = bulk::compress(&b"to be or not to be ".repeat(50), 1).unwrap();
    for cut in 0..whole.len() {
        assert_eq!(code(&whole[..cut], LIMIT), Some(Code::Malformed), "cut at {cut}");
    }
    assert_eq!(code(&[&whole[..], b"x"].concat(), LIMIT), Some(Code::Malformed));
    assert_eq!(code(&[&whole[..], &whole[..]].concat(), LIMIT), Some(Code::Malformed), "two frames");
    assert_eq!(code(b"{\"packet_type\":\"Ping\"}", LIMIT), Some(Code::Malformed));
}

#[test]
fn a_frame_that_lies_about_its_size_is_malformed() {
    let mut lies = bulk::compress(&vec![7; 1000], 1).unwrap();
    // RFC 8878, section 3.1.1: the descriptor 0x60 has two bytes of size less 256, behind it.
    assert_eq!(lies[4..7], [0x60, 232, 2]);
    lies[5] = 0;
    assert_eq!(code(&lies, LIMIT), Some(Code::Malformed));
    assert_eq!(code(&bulk::compress(&vec![7; 1000], 1).unwrap(), LIMIT), None);
}
