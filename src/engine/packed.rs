//! Packed values on their way to JavaScript. The fuzz target (fuzz/) includes this file by itself.

/// The packed contents of one or more messages. `codec::pack` fills the buffers, and describes what they hold.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    pub(crate) slots: Vec<u64>,
    pub(crate) aux: Vec<u64>,
    pub(crate) bin: Vec<u8>,
    pub(crate) text: Vec<u8>,
    /// Length of `text` in UTF-16 code units, as JavaScript counts.
    pub(crate) utf16: u32,
}

impl Packed {
    pub(crate) fn byte_len(&self) -> usize {
        (self.slots.len() + self.aux.len()) * 8 + self.bin.len() + self.text.len()
    }

    /// Bytes of its buffers.
    pub(super) fn capacity(&self) -> usize {
        (self.slots.capacity() + self.aux.capacity()) * 8 + self.bin.capacity() + self.text.capacity()
    }

    pub(crate) fn clear(&mut self) {
        self.slots.clear();
        self.aux.clear();
        self.bin.clear();
        self.text.clear();
        self.utf16 = 0;
    }

    pub(super) fn append(&mut self, other: &Self) {
        self.slots.extend_from_slice(&other.slots);
        self.aux.extend_from_slice(&other.aux);
        self.bin.extend_from_slice(&other.bin);
        self.text.extend_from_slice(&other.text);
        self.utf16 += other.utf16;
    }
}
