//! The bytes of runs.

use super::*;

fn run() -> Run {
    let mut run = Run::new(Seq(7), 3);
    for nth in 0..200u64 {
        let fact = [u8::try_from(nth % 12).unwrap(); 40];
        // A clock may be set back.
        run.push(Position(1000 + nth * 3), Millis(5_000_000_000 - (nth % 5) * 1_000_000), &fact);
    }
    run
}

fn chat() -> ChatId {
    ChatId::parse(9).unwrap()
}

fn unpack(bytes: &[u8]) -> Result<Run, LogError> {
    Run::unpack(chat(), Seq(7), 3, bytes, &mut Expander::default())
}

fn same(one: &Run, other: &Run) -> bool {
    (one.first, one.before) == (other.first, other.before) && one.events().eq(other.events())
}

#[test]
fn a_run_reads_as_it_was_packed_compressed_or_not() {
    let run = run();
    let plain = run.pack(chat(), None);
    let small = run.pack(chat(), Some(&mut Compressor::default()));
    assert!(small.len() < plain.len() / 2, "{} {}", small.len(), plain.len());
    for bytes in [plain, small] {
        assert!(same(&unpack(&bytes).unwrap(), &run));
        assert!(Run::packed_size(&bytes) > 200 * 40);
    }
    let empty = Run::new(Seq(7), 3);
    assert!(same(&unpack(&empty.pack(chat(), None)).unwrap(), &empty));
}

#[test]
fn every_flipped_bit_and_every_cut_is_found_and_so_is_a_run_in_another_place() {
    let bytes = run().pack(chat(), Some(&mut Compressor::default()));
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert!(unpack(&bad).is_err_and(|error| error.is_corrupt()), "bit {bit}");
    }
    for cut in 0..bytes.len() {
        assert!(unpack(&bytes[..cut]).is_err(), "{cut}");
    }
    let mut expander = Expander::default();
    for (chat, first, before) in [(8, 7, 3), (9, 8, 3), (9, 7, 4)] {
        let moved = Run::unpack(ChatId::parse(chat).unwrap(), Seq(first), before, &bytes, &mut expander);
        assert!(moved.is_err(), "{chat} {first} {before}");
    }
}

#[test]
fn the_largest_event_stands_alone_and_is_read_back_with_what_is_around_it() {
    let mut run = Run::new(Seq(7), 3);
    let large = MAX_BODY_BYTES - 64;
    for (nth, size) in (0..).zip([100, 900, large, 100, large, large, 100]) {
        run.push(Position(nth), Millis(nth), &vec![7; size]);
    }
    let (pieces, rest) = run.cut(1000);
    let mut joined = Run::new(Seq(7), 3);
    let mut compressor = Compressor::default();
    for piece in pieces.iter().chain([&rest]) {
        let bytes = piece.pack(chat(), Some(&mut compressor));
        let read = Run::unpack(chat(), piece.first, piece.before, &bytes, &mut Expander::default()).unwrap();
        joined.extend(&read);
    }
    assert!(same(&joined, &run));
}

#[test]
fn what_is_cut_joins_to_what_it_was() {
    let (pieces, rest) = run().cut(1000);
    assert!(pieces.len() > 5 && pieces.iter().all(|piece| (1000..1100).contains(&piece.size())));
    assert!(rest.size() < 1000);
    let mut joined = Run::new(Seq(7), 3);
    for piece in pieces.iter().chain([&rest]) {
        assert_eq!((piece.first, piece.before), (joined.next(), joined.following().before));
        joined.extend(piece);
    }
    assert!(same(&joined, &run()));
}
