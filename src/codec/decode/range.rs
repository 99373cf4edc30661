//! Ranges and multiranges, as src/backend/utils/adt/rangetypes.c and multirangetypes.c send and print them.

use crate::codec::decode::decoder::Decoder;
use crate::codec::error::DecodeError;
use crate::codec::reader::Reader;
use crate::codec::text::array_text::write_value;
use crate::codec::text::quote::put_doubled;

// utils/rangetypes.h.
const EMPTY: u8 = 0x01;
const LOWER_INCLUSIVE: u8 = 0x02;
const UPPER_INCLUSIVE: u8 = 0x04;
const LOWER_ABSENT: u8 = 0x08 | 0x20;
const UPPER_ABSENT: u8 = 0x10 | 0x40;

pub(in crate::codec) fn write_range(element: &Decoder, raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(raw);
    let flags = reader.u8()?;
    if flags & EMPTY != 0 {
        out.extend_from_slice(b"empty");
        return reader.end();
    }
    out.push(if flags & LOWER_INCLUSIVE == 0 { b'(' } else { b'[' });
    if flags & LOWER_ABSENT == 0 {
        write_bound(element, &mut reader, out)?;
    }
    out.push(b',');
    if flags & UPPER_ABSENT == 0 {
        write_bound(element, &mut reader, out)?;
    }
    out.push(if flags & UPPER_INCLUSIVE == 0 { b')' } else { b']' });
    reader.end()
}

pub(in crate::codec) fn write_multirange(element: &Decoder, raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(raw);
    out.push(b'{');
    for index in 0..reader.count()? {
        if index > 0 {
            out.push(b',');
        }
        let range = reader.value()?.ok_or(DecodeError::Invalid("a range that is NULL"))?;
        write_range(element, range, out)?;
    }
    out.push(b'}');
    reader.end()
}

/// A bound, quoted as `range_bound_escape` does.
fn write_bound(element: &Decoder, reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let value = reader.value()?.ok_or(DecodeError::Invalid("a bound that is NULL"))?;
    let from = out.len();
    write_value(element, value, out)?;
    let text = &out[from..];
    let special = |byte: &u8| {
        matches!(byte, b'"' | b'\\' | b'(' | b')' | b'[' | b']' | b',' | b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C)
    };
    if text.is_empty() || text.iter().any(special) {
        let text = out.split_off(from);
        put_doubled(&text, out);
    }
    Ok(())
}
