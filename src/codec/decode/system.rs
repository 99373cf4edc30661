//! Small types that arrive as text: money, bits, and those of the server itself.

use crate::codec::error::DecodeError;
use crate::codec::float::{put_i64, put_u64};
use crate::codec::pack::MAX_TEXT;
use crate::codec::reader::{Reader, fixed, versioned};
use crate::codec::text::quote::put_utf8;

/// money as `cash_out` (cash.c) prints it with `lc_monetary = C`.
pub(in crate::codec) fn write_money(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let cents = i64::from_be_bytes(fixed(raw)?);
    if cents < 0 {
        out.push(b'-');
    }
    out.push(b'$');
    let cents = cents.unsigned_abs();
    let from = out.len();
    put_u64(out, cents / 100);
    let mut comma = out.len();
    while comma > from + 3 {
        comma -= 3;
        out.insert(comma, b',');
    }
    let rest = (cents % 100) as u8;
    out.extend_from_slice(&[b'.', b'0' + rest / 10, b'0' + rest % 10]);
    Ok(())
}

/// bit and varbit: a count of bits, then the bits from the left (`varbit_send`).
pub(in crate::codec) fn write_bits(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(raw);
    let count = reader.count()?;
    let bytes = reader.take(count.div_ceil(8))?;
    reader.end()?;
    // Eight characters a byte: refused before the memory is taken.
    if count > MAX_TEXT {
        return Err(DecodeError::TooLarge);
    }
    out.extend((0..count).map(|bit| b'0' + (bytes[bit / 8] >> (7 - bit % 8) & 1)));
    Ok(())
}

/// "char" (`charout`): one byte, beyond ASCII in octal.
pub(in crate::codec) fn write_char(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    match fixed::<1>(raw)? {
        [0] => {}
        [byte] if byte.is_ascii() => out.push(byte),
        [byte] => out.extend_from_slice(&[b'\\', b'0' + (byte >> 6), b'0' + (byte >> 3 & 7), b'0' + (byte & 7)]),
    }
    Ok(())
}

/// tid: block and offset.
pub(in crate::codec) fn write_tid(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(raw);
    let (block, offset) = (reader.u32()?, reader.u16()?);
    reader.end()?;
    out.push(b'(');
    put_u64(out, block.into());
    out.push(b',');
    put_u64(out, offset.into());
    out.push(b')');
    Ok(())
}

/// pg_lsn: two halves in hexadecimal.
pub(in crate::codec) fn write_lsn(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let lsn = u64::from_be_bytes(fixed(raw)?);
    put_hex_u32((lsn >> 32) as u32, out);
    out.push(b'/');
    put_hex_u32(lsn as u32, out);
    Ok(())
}

/// `%X`.
fn put_hex_u32(value: u32, out: &mut Vec<u8>) {
    let digits = 8 - value.leading_zeros() / 4;
    for place in (0..digits.max(1)).rev() {
        out.push(b"0123456789ABCDEF"[(value >> (place * 4) & 15) as usize]);
    }
}

/// pg_snapshot: `xmin:xmax:xip,xip` (`pg_snapshot_send` in xid8funcs.c).
pub(in crate::codec) fn write_snapshot(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(raw);
    let count = reader.count()?;
    put_i64(out, reader.i64()?);
    out.push(b':');
    put_i64(out, reader.i64()?);
    out.push(b':');
    for index in 0..count {
        if index > 0 {
            out.push(b',');
        }
        put_i64(out, reader.i64()?);
    }
    reader.end()
}

/// Text after a version byte: jsonpath, ltree, lquery, ltxtquery.
pub(in crate::codec) fn write_versioned(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    put_utf8(versioned(raw)?, out)
}

/// Four unsigned bytes: xid, cid.
pub(in crate::codec) fn write_unsigned4(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    put_u64(out, u32::from_be_bytes(fixed(raw)?).into());
    Ok(())
}

/// Eight unsigned bytes: xid8.
pub(in crate::codec) fn write_unsigned8(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    put_u64(out, u64::from_be_bytes(fixed(raw)?));
    Ok(())
}
