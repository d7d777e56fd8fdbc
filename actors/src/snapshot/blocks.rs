//! Blocks of a file: `u32` length, `u32` CRC-32 of (number of the block, bytes), bytes; all little-endian. The number is
//! in the checksum, so that a block that moved is found as well.

use std::io::{self, ErrorKind, Read, Write};

const HEAD: usize = 8;

/// Not the block that was written there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("block {0} is damaged")]
pub struct Damaged(pub u32);

/// Appends block `number`.
///
/// # Errors
/// If it cannot be written.
pub fn write(number: u32, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::Error::other("a block of 4 GiB"))?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(&checksum(number, bytes).to_le_bytes())?;
    out.write_all(bytes)
}

/// The blocks in `file`, from number 0 on. It ends with the first that is damaged.
pub fn read(file: &[u8]) -> impl Iterator<Item = Result<&[u8], Damaged>> {
    let mut rest = Some(file);
    (0..).map_while(move |number| {
        let bytes = rest.take().filter(|bytes| !bytes.is_empty())?;
        let Some((block, behind)) = split(number, bytes) else { return Some(Err(Damaged(number))) };
        rest = Some(behind);
        Some(Ok(block))
    })
}

/// Reads block `number` from `file` into `room`; `false` at the file's end. Nothing above `most` bytes is read.
///
/// # Errors
/// If the file cannot be read; [`ErrorKind::InvalidData`] with [`Damaged`] inside if the block is not whole.
pub fn next(number: u32, file: &mut impl Read, room: &mut Vec<u8>, most: usize) -> io::Result<bool> {
    let damaged = || io::Error::new(ErrorKind::InvalidData, Damaged(number));
    let mut head = Vec::new();
    file.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
    if head.is_empty() {
        return Ok(false);
    }
    let &[a, b, c, d, e, f, g, h] = head.as_slice() else { return Err(damaged()) };
    let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if length > most {
        return Err(damaged());
    }
    room.clear();
    file.by_ref().take(length as u64).read_to_end(room)?;
    let whole = room.len() == length && checksum(number, room) == u32::from_le_bytes([e, f, g, h]);
    if whole { Ok(true) } else { Err(damaged()) }
}

fn split(number: u32, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<HEAD>()?;
    let &[a, b, c, d, e, f, g, h] = head;
    let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?;
    let (block, rest) = rest.split_at_checked(length)?;
    (checksum(number, block) == u32::from_le_bytes([e, f, g, h])).then_some((block, rest))
}

fn checksum(number: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_and_every_cut_and_swap_is_found() {
        let blocks = [&b"one"[..], b"", b"three"];
        let mut file = Vec::new();
        for (block, number) in blocks.iter().zip(0..) {
            write(number, block, &mut file).unwrap();
        }
        assert_eq!(read(&file).collect::<Result<Vec<_>, _>>().unwrap(), blocks);
        for bit in 0..file.len() * 8 {
            let mut bad = file.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&bad).any(|block| block.is_err()), "bit {bit}");
        }
        for cut in 1..file.len() {
            let whole: Vec<_> = read(&file[..cut]).collect();
            assert!(whole.len() < 3 || whole.contains(&Err(Damaged(2))), "cut at {cut}");
        }
        let mut room = Vec::new();
        let mut stream = |bytes: &[u8]| -> io::Result<u32> {
            let mut rest = bytes;
            let mut number = 0;
            while next(number, &mut rest, &mut room, 5)? {
                number += 1;
            }
            Ok(number)
        };
        assert_eq!(stream(&file).unwrap(), 3);
        for bit in 0..file.len() * 8 {
            let mut bad = file.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(stream(&bad).is_err(), "bit {bit}");
        }
        let swapped = [&file[HEAD + 3..2 * HEAD + 3], &file[..HEAD + 3], &file[2 * HEAD + 3..]].concat();
        assert_eq!(read(&swapped).next(), Some(Err(Damaged(0))));
    }
}
