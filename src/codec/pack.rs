//! The packed form in which results cross to JavaScript: 64-bit slots, one text blob, one byte blob.

use crate::codec::error::DecodeError;

/// What a slot holds; the numbers are a contract with lib/ on the JavaScript side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum SlotKind {
    /// 0 or 1.
    Bool = 0,
    /// An i32 in the low four bytes.
    Int = 1,
    /// The bits of an f64.
    Float = 2,
    /// An i64.
    BigInt = 3,
    /// Start (low half) and end (high half) in UTF-16 code units from the start of the packer's text.
    Text = 4,
    /// Start (low half) and end (high half) in bytes from the start of the packer's `bin`.
    Bytes = 5,
    /// Like `Text`, for JavaScript to parse; with a negative high half, a value of `codec::json`.
    Json = 6,
    /// The bits of an f64: milliseconds since 1970, or an infinity, which stays a number.
    Date = 7,
    /// Always 0; JavaScript's null.
    Void = 8,
    /// The index in `aux` of an array block.
    Array = 9,
    /// The index in `aux` of a record block.
    Record = 10,
}

/// Collects the rows of one batch.
///
/// A row is `ceil(ncols / 64)` words of null mask followed by `ncols` slots (0 where null). An array block in `aux` is the
/// number of dimensions (0 for an empty array), the length of each, `ceil(total / 64)` words of null mask, and `total`
/// element slots in row-major order. A record block is `ceil(attributes / 64)` words of null mask and a slot for each.
///
/// Offsets are 32 bits wide: decoding fails rather than let a batch outgrow them, or its text the longest JavaScript string.
/// Only a row that is enormous by itself can do that, since batches are flushed at a fraction of a megabyte.
pub(crate) use crate::engine::Packed as Packer;

/// The longest string V8 makes (2^29 - 24 code units on 64-bit platforms); a batch's text becomes one.
pub(super) const MAX_TEXT: usize = (1 << 29) - 24;

/// How many 64-bit words hold one bit for each of `bits`.
pub(super) const fn mask_words(bits: usize) -> usize {
    bits.div_ceil(64)
}

fn span(start: u32, end: u32) -> u64 {
    u64::from(start) | u64::from(end) << 32
}

/// The number of UTF-16 code units of valid UTF-8: one for each lead byte, one more for each four-byte sequence.
pub(super) fn utf16_len(utf8: &[u8]) -> u32 {
    let mut units = 0_u32;
    for &byte in utf8 {
        // 0b10xxxxxx is a continuation byte; as a signed number it is below -64.
        units = units.wrapping_add(u32::from(byte as i8 >= -64) + u32::from(byte >= 0xF0));
    }
    units
}

impl Packer {
    /// Starts a row of `ncols` columns, all of them 0 and not null, and returns where it starts in `slots`.
    pub(crate) fn begin_row(&mut self, ncols: usize) -> usize {
        let row = self.slots.len();
        self.slots.resize(row + mask_words(ncols) + ncols, 0);
        row
    }

    /// Writes the slot of column `col` of the row that starts at `row` and has `ncols` columns.
    #[inline]
    pub(crate) fn set(&mut self, row: usize, ncols: usize, col: usize, slot: u64) {
        debug_assert!(col < ncols, "column {col} of {ncols}");
        if let Some(place) = self.slots.get_mut(row + mask_words(ncols) + col) {
            *place = slot;
        }
    }

    /// Marks column `col` of the row that starts at `row` as NULL.
    #[inline]
    pub(crate) fn set_null(&mut self, row: usize, col: usize) {
        if let Some(word) = self.slots.get_mut(row + col / 64) {
            *word |= 1 << (col % 64);
        }
    }

    /// Appends text and returns its slot.
    pub(crate) fn push_text(&mut self, text: &str) -> u64 {
        let start = self.utf16;
        let units = if text.is_ascii() { text.len() as u32 } else { utf16_len(text.as_bytes()) };
        self.text.extend_from_slice(text.as_bytes());
        self.utf16 = start.wrapping_add(units);
        span(start, self.utf16)
    }

    /// Appends bytes that must be UTF-8 and returns their slot.
    #[inline]
    pub(super) fn push_utf8(&mut self, raw: &[u8]) -> Result<u64, DecodeError> {
        if raw.is_ascii() {
            return self.push_ascii(raw);
        }
        let text = std::str::from_utf8(raw).map_err(|_| DecodeError::NotUtf8)?;
        self.room_for(text.len())?;
        Ok(self.push_text(text))
    }

    /// Appends bytes that are known to be ASCII and returns their slot.
    #[inline]
    pub(super) fn push_ascii(&mut self, ascii: &[u8]) -> Result<u64, DecodeError> {
        debug_assert!(ascii.is_ascii());
        self.room_for(ascii.len())?;
        let start = self.utf16;
        self.text.extend_from_slice(ascii);
        self.utf16 = start.wrapping_add(ascii.len() as u32);
        Ok(span(start, self.utf16))
    }

    /// Lets `write` append UTF-8 straight to the text and returns its slot; nothing stays when it fails.
    #[inline]
    pub(super) fn text_with(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), DecodeError>,
    ) -> Result<u64, DecodeError> {
        self.written_by(write, utf16_len)
    }

    /// The same for what is ASCII.
    #[inline]
    pub(super) fn ascii_with(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), DecodeError>,
    ) -> Result<u64, DecodeError> {
        self.written_by(write, |text| {
            debug_assert!(text.is_ascii());
            text.len() as u32
        })
    }

    #[inline]
    fn written_by(
        &mut self,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), DecodeError>,
        units: impl FnOnce(&[u8]) -> u32,
    ) -> Result<u64, DecodeError> {
        let from = self.text.len();
        if let Err(error) = write(&mut self.text).and_then(|()| self.room_for(0)) {
            self.text.truncate(from);
            return Err(error);
        }
        let start = self.utf16;
        self.utf16 = start.wrapping_add(units(&self.text[from..]));
        Ok(span(start, self.utf16))
    }

    /// Fails when the text would outgrow what JavaScript can hold (counted in bytes, so that it is cheap).
    pub(super) fn room_for(&self, len: usize) -> Result<(), DecodeError> {
        if self.text.len().saturating_add(len) > MAX_TEXT {
            return Err(DecodeError::TooLarge);
        }
        Ok(())
    }

    /// Appends bytes, and fails if their end does not fit a slot.
    pub(super) fn push_bytea(&mut self, raw: &[u8]) -> Result<u64, DecodeError> {
        if u32::try_from(self.bin.len().saturating_add(raw.len())).is_err() {
            return Err(DecodeError::TooLarge);
        }
        Ok(self.push_bytes(raw))
    }

    /// Appends bytes and returns their slot.
    pub(crate) fn push_bytes(&mut self, bytes: &[u8]) -> u64 {
        let start = self.bin.len() as u32;
        self.bin.extend_from_slice(bytes);
        span(start, self.bin.len() as u32)
    }
}
