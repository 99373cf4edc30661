//! Values within values, as the output functions of the server print them.

use crate::codec::decode::array::{ArrayDecoder, Header};
use crate::codec::decode::datetime::Zone;
use crate::codec::decode::decoder::Decoder;
use crate::codec::decode::net::{hex, uuid};
use crate::codec::decode::{datetime, hstore};
use crate::codec::error::DecodeError;
use crate::codec::float::{put_i64, put_pg_float4, put_pg_float8, put_u64};
use crate::codec::reader::{Reader, fixed, versioned};
use crate::codec::text::quote::{put_quoted, put_utf8};

/// Writes a value of any type as the server prints it with `DateStyle = ISO`, `TimeZone = UTC`, `bytea_output = hex`.
pub(in crate::codec) fn write_value(decoder: &Decoder, raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    match decoder {
        Decoder::Bool => out.push(if fixed::<1>(raw)? == [0] { b'f' } else { b't' }),
        Decoder::Int2 => put_i64(out, i16::from_be_bytes(fixed(raw)?).into()),
        Decoder::Int4 => put_i64(out, i32::from_be_bytes(fixed(raw)?).into()),
        Decoder::Oid => put_u64(out, u32::from_be_bytes(fixed(raw)?).into()),
        Decoder::Float4 => put_pg_float4(out, f32::from_be_bytes(fixed(raw)?)),
        Decoder::Float8 => put_pg_float8(out, f64::from_be_bytes(fixed(raw)?)),
        Decoder::Text | Decoder::Json(_) => put_utf8(raw, out)?,
        Decoder::Jsonb(_) => put_utf8(versioned(raw)?, out)?,
        Decoder::Bytea | Decoder::Unknown => {
            out.extend_from_slice(b"\\x");
            out.extend(raw.iter().flat_map(|&byte| hex(byte)));
        }
        Decoder::Uuid => out.extend_from_slice(&uuid(raw)?),
        Decoder::Timestamptz(_) => datetime::write_server_timestamp(raw, Zone::Utc, out)?,
        Decoder::Timestamp(_) => datetime::write_server_timestamp(raw, Zone::None, out)?,
        Decoder::Date(_) => datetime::write_server_date(raw, out)?,
        Decoder::Array(array) => write_array(array, raw, out)?,
        Decoder::Record(record) => record.write(raw, out)?,
        Decoder::Hstore => hstore::write(raw, out)?,
        Decoder::Void => {}
        Decoder::Printed | Decoder::Parsed(..) | Decoder::FromText(_) => {
            return Err(DecodeError::Invalid("a type that only the server can print"));
        }
        Decoder::Int8(_) | Decoder::Numeric(_) | Decoder::Time | Decoder::TextOutput(_) => {
            decoder.write_text(raw, out)?;
        }
    }
    Ok(())
}

/// int2vector, oidvector: `1 2 3`.
pub(in crate::codec) fn write_vector(element: &Decoder, raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(raw);
    let header = Header::read(&mut reader)?;
    for index in 0..header.total {
        if index > 0 {
            out.push(b' ');
        }
        let value = reader.value()?.ok_or(DecodeError::Invalid("a vector with a NULL"))?;
        write_value(element, value, out)?;
    }
    reader.end()
}

/// As `array_out` in arrayfuncs.c.
fn write_array(array: &ArrayDecoder, raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(raw);
    let header = Header::read(&mut reader)?;
    array.check(&header)?;
    let dimensions = header.dimensions();
    if dimensions.is_empty() {
        out.extend_from_slice(b"{}");
        return reader.end();
    }
    header.put_bounds(out);
    let delimiter = array.delimiter;
    for index in 0..header.total {
        if index > 0 && boundary(dimensions, index) == 0 {
            out.push(delimiter);
        } else {
            let depth = if index == 0 { dimensions.len() } else { boundary(dimensions, index) };
            if index > 0 {
                out.extend(std::iter::repeat_n(b'}', depth));
                out.push(delimiter);
            }
            out.extend(std::iter::repeat_n(b'{', depth));
        }
        match reader.value()? {
            None => out.extend_from_slice(b"NULL"),
            Some(value) => write_element(&array.element, value, delimiter, out)?,
        }
    }
    out.extend(std::iter::repeat_n(b'}', dimensions.len()));
    reader.end()
}

/// How many of the inner dimensions begin anew at element `index`.
fn boundary(dimensions: &[usize], mut index: usize) -> usize {
    let mut depth = 0;
    for len in dimensions.iter().skip(1).rev() {
        if !index.is_multiple_of(*len) {
            break;
        }
        index /= len;
        depth += 1;
    }
    depth
}

fn write_element(element: &Decoder, value: &[u8], delimiter: u8, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let from = out.len();
    write_value(element, value, out)?;
    let text = &out[from..];
    let special = |&byte: &u8| {
        byte == delimiter || matches!(byte, b'"' | b'\\' | b'{' | b'}' | b' ' | b'\t' | b'\n' | b'\r' | 0x0B | 0x0C)
    };
    if text.is_empty() || text.eq_ignore_ascii_case(b"NULL") || text.iter().any(special) {
        let text = out.split_off(from);
        put_quoted(&text, out)?;
    }
    Ok(())
}
