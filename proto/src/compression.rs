//! zstd, one frame at a time: each is compressed on its own, so that one may be shared by many listeners, or left out.
//!
//! Expanding never takes more memory than the limit it is given, whatever the bytes claim.

use std::fmt;

use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd::zstd_safe::{self, CCtx, CParameter, DCtx};

use crate::code::{Code, Reject};

/// The fastest of zstd's usual levels: what is sent has to leave soon.
const LEVEL: i32 = 1;
/// How many places a quick compressor remembers, as a power of two.
const QUICK_HASH_LOG: u32 = 8;
/// The shortest repetition that a quick compressor looks for, in bytes.
const QUICK_MIN_MATCH: u32 = 7;
/// A buffer that had to hold more than this is not kept.
const KEPT_BYTES: usize = 1 << 20;

/// Makes bytes smaller. Keeps its tables and its buffer; made when first used.
#[derive(Default)]
pub struct Compressor {
    context: Option<CCtx<'static>>,
    buffer: Vec<u8>,
    quick: bool,
}

impl Compressor {
    /// One for text that is written once and seldom read: it looks for long repetitions only, and else gives frequent
    /// letters shorter codes. That takes half the time, and 10 to 15 % more room.
    pub fn quick() -> Self {
        Self { quick: true, ..Self::default() }
    }

    /// `bytes` as one zstd frame; `None` where that would not be smaller.
    pub fn compress(&mut self, bytes: &[u8]) -> Option<&[u8]> {
        if self.context.is_none() {
            let mut context = CCtx::try_create()?;
            context.set_parameter(CParameter::CompressionLevel(LEVEL)).ok()?;
            if self.quick {
                context.set_parameter(CParameter::HashLog(QUICK_HASH_LOG)).ok()?;
                context.set_parameter(CParameter::MinMatch(QUICK_MIN_MATCH)).ok()?;
            }
            self.context = Some(context);
        }
        make_room(&mut self.buffer, zstd_safe::compress_bound(bytes.len()));
        // With so much room it can only fail for want of memory; then the bytes go as they are.
        self.context.as_mut()?.compress2(&mut self.buffer, bytes).ok()?;
        (self.buffer.len() < bytes.len()).then_some(&self.buffer)
    }
}

impl fmt::Debug for Compressor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

/// Expands what a [`Compressor`] made, or anything that claims to be that. Keeps its tables and its buffer; made when
/// first used.
#[derive(Default)]
pub struct Expander {
    context: Option<DCtx<'static>>,
    buffer: Vec<u8>,
}

impl Expander {
    /// What is inside the one zstd frame that `bytes` are: at most `limit` bytes.
    ///
    /// # Errors
    /// `malformed` if they are not exactly one whole frame, `too_large` if more than `limit` bytes are inside.
    pub fn expand(&mut self, bytes: &[u8], limit: usize) -> Result<&[u8], Reject> {
        let broken = || Reject::new(Code::Malformed, "what follows the flags is not one zstd frame");
        let too_large =
            || Reject::new(Code::TooLarge, format!("a packet has at most {} bytes", limit.saturating_add(1)));
        // Several frames would be read one behind the other; where the borders lie is found without expanding any.
        if zstd_safe::find_frame_compressed_size(bytes) != Ok(bytes.len()) {
            return Err(broken());
        }
        let claimed = zstd_safe::get_frame_content_size(bytes).map_err(|_| broken())?;
        let room = match claimed.map(usize::try_from) {
            Some(Ok(size)) if size <= limit => size,
            Some(_) => return Err(too_large()),
            None => limit,
        };
        make_room(&mut self.buffer, room);
        if self.context.is_none() {
            self.context = DCtx::try_create();
        }
        let context = self.context.as_mut().ok_or_else(|| Reject::plain(Code::Internal))?;
        match context.decompress(&mut self.buffer, bytes) {
            Ok(_) if self.buffer.len() > limit => Err(too_large()),
            Ok(_) => Ok(&self.buffer),
            // A frame that does not say how large it is shows it only by filling the buffer.
            Err(code) if claimed.is_none() && is_too_small(code) => Err(too_large()),
            Err(_) => Err(broken()),
        }
    }
}

impl fmt::Debug for Expander {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Expander").finish_non_exhaustive()
    }
}

/// Empties `buffer`, and makes sure that `bytes` have room.
fn make_room(buffer: &mut Vec<u8>, bytes: usize) {
    if buffer.capacity() > KEPT_BYTES {
        *buffer = Vec::new();
    }
    buffer.clear();
    // Not `reserve`, which would round up: the room is the limit.
    buffer.reserve_exact(bytes);
}

/// Whether zstd's `code` says that the buffer was too small. Its functions return negative codes in unsigned numbers.
fn is_too_small(code: usize) -> bool {
    code.wrapping_neg() == ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall as usize
}

#[cfg(test)]
#[path = "compression_tests.rs"]
mod tests;
