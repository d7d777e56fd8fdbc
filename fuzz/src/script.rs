//! An input as a script: numbers and pieces of bytes, one after another, until it ends.

/// What is left of it.
#[derive(Debug)]
pub(crate) struct Script<'a>(pub(crate) &'a [u8]);

impl<'a> Script<'a> {
    /// The next byte.
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    /// The next byte, as a place among so many.
    pub(crate) fn place(&mut self, among: usize) -> Option<usize> {
        self.byte().map(|byte| usize::from(byte) % among.max(1))
    }

    /// As many bytes as two bytes say, low first; or as there are.
    pub(crate) fn piece(&mut self) -> Option<&'a [u8]> {
        let (low, high) = (self.byte()?, self.byte()?);
        let length = usize::from(u16::from_le_bytes([low, high])).min(self.0.len());
        let (piece, rest) = self.0.split_at(length);
        self.0 = rest;
        Some(piece)
    }
}
