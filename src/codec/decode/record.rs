//! Composite values: one slot for each attribute, and the text that the server prints (src/backend/utils/adt/rowtypes.c).

use crate::codec::text::quote::unquote;
use std::borrow::Cow;

use crate::codec::decode::decoder::Decoder;
use crate::codec::error::DecodeError;
use crate::codec::pack::{Packer, mask_words};
use crate::codec::reader::Reader;
use crate::codec::text::array_text::write_value;
use crate::codec::text::quote::put_doubled;
use crate::codec::text::text_format;

/// One attribute of a composite type.
#[derive(Debug, Clone)]
pub(crate) struct Attribute {
    pub(in crate::codec) name: String,
    pub(in crate::codec) oid: u32,
    pub(in crate::codec) decoder: Decoder,
}

/// How to decode a composite type: its attributes in their order, those that were dropped left out.
#[derive(Debug, Clone)]
pub(crate) struct RecordDecoder(pub(in crate::codec) Vec<Attribute>);

impl RecordDecoder {
    /// Appends an empty record block; returns where it starts, and where its slots do.
    fn begin(&self, out: &mut Packer) -> (usize, usize) {
        let block = out.aux.len();
        let slots = block + mask_words(self.0.len());
        out.aux.resize(slots + self.0.len(), 0);
        (block, slots)
    }

    fn set(&self, block: usize, index: usize, slot: Option<u64>, out: &mut Packer) {
        match slot {
            Some(slot) => out.aux[block + mask_words(self.0.len()) + index] = slot,
            None => out.aux[block + index / 64] |= 1 << (index % 64),
        }
    }

    /// The values of a record in its binary form (`record_send`).
    fn values<'a>(&self, raw: &'a [u8]) -> Result<Vec<Option<&'a [u8]>>, DecodeError> {
        let mut reader = Reader::new(raw);
        if reader.count()? != self.0.len() {
            return Err(DecodeError::Changed);
        }
        let mut values = Vec::with_capacity(self.0.len());
        for attribute in &self.0 {
            if reader.u32()? != attribute.oid {
                return Err(DecodeError::Changed);
            }
            values.push(reader.value()?);
        }
        reader.end()?;
        Ok(values)
    }

    pub(in crate::codec) fn decode(&self, raw: &[u8], out: &mut Packer) -> Result<u64, DecodeError> {
        let values = self.values(raw)?;
        let (block, _) = self.begin(out);
        for (index, (attribute, value)) in self.0.iter().zip(values).enumerate() {
            let slot = value.map(|value| attribute.decoder.decode(value, out)).transpose()?;
            self.set(block, index, slot, out);
        }
        Ok(block as u64)
    }

    /// The same from the text that the server prints.
    pub(in crate::codec) fn decode_text(&self, raw: &[u8], out: &mut Packer) -> Result<u64, DecodeError> {
        let mut values = split(raw)?;
        // `()` is a record of one NULL, or of no attribute.
        if self.0.is_empty() && matches!(values[..], [None]) {
            values.clear();
        }
        if values.len() != self.0.len() {
            return Err(DecodeError::Changed);
        }
        let (block, _) = self.begin(out);
        for (index, (attribute, value)) in self.0.iter().zip(values).enumerate() {
            let slot = value.map(|value| text_format::decode(&attribute.decoder, &value, out)).transpose()?;
            self.set(block, index, slot, out);
        }
        Ok(block as u64)
    }

    /// As `record_out` prints it.
    pub(in crate::codec) fn write(&self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        out.push(b'(');
        for (index, (attribute, value)) in self.0.iter().zip(self.values(raw)?).enumerate() {
            if index > 0 {
                out.push(b',');
            }
            let Some(value) = value else { continue };
            let from = out.len();
            write_value(&attribute.decoder, value, out)?;
            let text = &out[from..];
            if text.is_empty() || text.iter().any(|&byte| is_special(byte)) {
                let text = out.split_off(from);
                put_doubled(&text, out);
            }
        }
        out.push(b')');
        Ok(())
    }
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | b'(' | b')' | b',' | b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C)
}

/// The values in `(1,"a ""b""",)`.
fn split(raw: &[u8]) -> Result<Vec<Option<Cow<'_, [u8]>>>, DecodeError> {
    let broken = || DecodeError::Invalid("a record that is not written as one");
    let inner = raw.strip_prefix(b"(").and_then(|rest| rest.strip_suffix(b")")).ok_or_else(broken)?;
    let mut values = Vec::new();
    let mut rest = inner;
    loop {
        let (value, after) = if let Some(quoted) = rest.strip_prefix(b"\"") {
            let (value, after) = unquote(quoted)?;
            (Some(value), after)
        } else {
            let end = rest.iter().position(|&byte| byte == b',').unwrap_or(rest.len());
            let (value, after) = rest.split_at(end);
            ((!value.is_empty()).then_some(Cow::Borrowed(value)), after)
        };
        values.push(value);
        match after.split_first() {
            None => return Ok(values),
            Some((b',', after)) => rest = after,
            Some(_) => return Err(broken()),
        }
    }
}
