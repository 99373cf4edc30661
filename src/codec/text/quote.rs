//! Quotes around text, and text out of its quotes.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};

use crate::codec::decode::net::hex;
use crate::codec::error::DecodeError;

/// Appends text, if it is UTF-8.
pub(in crate::codec) fn put_utf8(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    if !raw.is_ascii() && std::str::from_utf8(raw).is_err() {
        return Err(DecodeError::NotUtf8);
    }
    out.extend_from_slice(raw);
    Ok(())
}

/// Text in double quotes, a backslash before quotes and backslashes.
pub(in crate::codec) fn put_quoted(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    std::str::from_utf8(raw).map_err(|_| DecodeError::NotUtf8)?;
    out.push(b'"');
    for &byte in raw {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
    Ok(())
}

/// Text in double quotes, quotes and backslashes doubled, as ranges and records have it.
pub(in crate::codec) fn put_doubled(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(byte);
        }
        out.push(byte);
    }
    out.push(b'"');
}

/// Reads up to the closing quote: a backslash, or a quote before a quote, stands for the letter behind it. Returns what
/// follows as well.
pub(in crate::codec) fn unquote(quoted: &[u8]) -> Result<(Cow<'_, [u8]>, &[u8]), DecodeError> {
    let unfinished = DecodeError::Truncated;
    let is_special = |&byte: &u8| matches!(byte, b'"' | b'\\');
    let first = quoted.iter().position(is_special).ok_or_else(|| unfinished.clone())?;
    if quoted[first] == b'"' && quoted.get(first + 1) != Some(&b'"') {
        return Ok((Cow::Borrowed(&quoted[..first]), &quoted[first + 1..]));
    }
    let mut value = quoted[..first].to_vec();
    let mut rest = &quoted[first..];
    loop {
        let (byte, after) = match rest {
            [b'\\', byte, after @ ..] | [b'"', byte @ b'"', after @ ..] => (*byte, after),
            [b'"', after @ ..] => return Ok((Cow::Owned(value), after)),
            [b'\\'] | [] => return Err(unfinished),
            [byte, after @ ..] => (*byte, after),
        };
        value.push(byte);
        rest = after;
    }
}

/// Replaces each byte that has a `letter`, in what was written since `from`, by a backslash and that letter.
#[inline]
pub(in crate::codec) fn insert_backslashes(out: &mut BytesMut, from: usize, letter: impl Fn(u8) -> Option<u8>) {
    let extra = out[from..].iter().filter(|&&byte| letter(byte).is_some()).count();
    if extra == 0 {
        return;
    }
    let mut read = out.len();
    out.put_bytes(0, extra);
    let mut write = out.len();
    // From the end, so that each byte moves once and no copy is needed.
    while read > from {
        read -= 1;
        write -= 1;
        let byte = out[read];
        out[write] = byte;
        if let Some(letter) = letter(byte) {
            out[write] = letter;
            write -= 1;
            out[write] = b'\\';
        }
    }
}

/// A JSON string (ECMA-262, `QuoteJSONString`).
pub(in crate::codec) fn put_string(text: &str, out: &mut impl BufMut) {
    out.put_u8(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        out.put_slice(&rest[..at]);
        out.put_u8(b'\\');
        match rest[at] {
            byte @ (b'"' | b'\\') => out.put_u8(byte),
            0x08 => out.put_u8(b'b'),
            b'\t' => out.put_u8(b't'),
            b'\n' => out.put_u8(b'n'),
            0x0C => out.put_u8(b'f'),
            b'\r' => out.put_u8(b'r'),
            byte => {
                out.put_slice(b"u00");
                out.put_slice(&hex(byte));
            }
        }
        rest = &rest[at + 1..];
    }
    out.put_slice(rest);
    out.put_u8(b'"');
}
