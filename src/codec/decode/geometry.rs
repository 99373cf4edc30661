//! Geometric types, as src/backend/utils/adt/geo_ops.c sends and prints them.

use crate::codec::error::DecodeError;
use crate::codec::float::put_pg_float8;
use crate::codec::reader::Reader;

/// `x,y`.
fn put_pair(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    put_pg_float8(out, reader.f64()?);
    out.push(b',');
    put_pg_float8(out, reader.f64()?);
    Ok(())
}

/// `(x,y)`.
fn put_point(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    out.push(b'(');
    put_pair(reader, out)?;
    out.push(b')');
    Ok(())
}

/// `(x,y),(x,y)`.
fn put_points(reader: &mut Reader<'_>, count: usize, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    for index in 0..count {
        if index > 0 {
            out.push(b',');
        }
        put_point(reader, out)?;
    }
    Ok(())
}

pub(in crate::codec) fn write_point(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(raw);
    put_point(&mut reader, out)?;
    reader.end()
}

pub(in crate::codec) fn write_box(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(raw);
    put_points(&mut reader, 2, out)?;
    reader.end()
}

pub(in crate::codec) fn write_lseg(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    out.push(b'[');
    write_box(raw, out)?;
    out.push(b']');
    Ok(())
}

pub(in crate::codec) fn write_path(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(raw);
    let (open, close) = if reader.u8()? == 0 { (b'[', b']') } else { (b'(', b')') };
    let count = reader.count()?;
    out.push(open);
    put_points(&mut reader, count, out)?;
    out.push(close);
    reader.end()
}

pub(in crate::codec) fn write_polygon(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(raw);
    let count = reader.count()?;
    out.push(b'(');
    put_points(&mut reader, count, out)?;
    out.push(b')');
    reader.end()
}

/// `{A,B,C}`.
pub(in crate::codec) fn write_line(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(raw);
    out.push(b'{');
    put_pair(&mut reader, out)?;
    out.push(b',');
    put_pg_float8(out, reader.f64()?);
    out.push(b'}');
    reader.end()
}

/// `<(x,y),r>`.
pub(in crate::codec) fn write_circle(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(raw);
    out.push(b'<');
    put_point(&mut reader, out)?;
    out.push(b',');
    put_pg_float8(out, reader.f64()?);
    out.push(b'>');
    reader.end()
}
