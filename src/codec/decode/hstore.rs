//! hstore: as JSON for JavaScript, which makes an object of it, and as the server prints it (contrib/hstore/hstore_io.c).

use crate::codec::error::DecodeError;
use crate::codec::reader::Reader;
use crate::codec::text::quote::{put_quoted, put_string, unquote};

/// The pairs of the binary form (`hstore_send`).
fn pairs(raw: &[u8], mut each: impl FnMut(&[u8], Option<&[u8]>) -> Result<(), DecodeError>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(raw);
    for _ in 0..reader.count()? {
        let key = reader.value()?.ok_or(DecodeError::Invalid("a key that is NULL"))?;
        each(key, reader.value()?)?;
    }
    reader.end()
}

/// `"key"=>"value", "key"=>NULL` (`hstore_out`).
pub(in crate::codec) fn write(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let from = out.len();
    pairs(raw, |key, value| {
        if out.len() > from {
            out.extend_from_slice(b", ");
        }
        put_quoted(key, out)?;
        out.extend_from_slice(b"=>");
        match value {
            Some(value) => put_quoted(value, out),
            None => {
                out.extend_from_slice(b"NULL");
                Ok(())
            }
        }
    })
}

fn put_member(key: &[u8], value: Option<&[u8]>, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let text = |raw| std::str::from_utf8(raw).map_err(|_| DecodeError::NotUtf8);
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    put_string(text(key)?, out);
    out.push(b':');
    match value {
        Some(value) => put_string(text(value)?, out),
        None => out.extend_from_slice(b"null"),
    }
    Ok(())
}

/// A JSON object of strings and nulls.
pub(in crate::codec) fn write_json(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    out.push(b'{');
    pairs(raw, |key, value| put_member(key, value, out))?;
    out.push(b'}');
    Ok(())
}

/// The same from the text that the server prints.
pub(in crate::codec) fn write_json_of_text(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let broken = || DecodeError::Invalid("an hstore that is not written as one");
    out.push(b'{');
    let mut rest = raw;
    while !rest.is_empty() {
        let (key, after) = unquote(rest.strip_prefix(b"\"").ok_or_else(broken)?)?;
        let after = after.strip_prefix(b"=>").ok_or_else(broken)?;
        let after = if let Some(after) = after.strip_prefix(b"NULL") {
            put_member(&key, None, out)?;
            after
        } else {
            let (value, after) = unquote(after.strip_prefix(b"\"").ok_or_else(broken)?)?;
            put_member(&key, Some(&value), out)?;
            after
        };
        rest = match after {
            [] => after,
            _ => after.strip_prefix(b", ").filter(|rest| !rest.is_empty()).ok_or_else(broken)?,
        };
    }
    out.push(b'}');
    Ok(())
}
