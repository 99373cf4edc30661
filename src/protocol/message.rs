//! Reads and writes single messages (PostgreSQL docs, 54.7 "Message Formats").

use bytes::{BufMut, BytesMut};

/// The first message in `bytes`, its type included; None if it is not complete.
pub(super) fn first_message(bytes: &[u8]) -> Option<&[u8]> {
    let length = bytes.get(1..5)?.try_into().map(u32::from_be_bytes).ok()?;
    bytes.get(..1 + length as usize)
}

/// A text that ends with a NUL, and the bytes after the NUL.
pub(super) fn c_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// Appends a message whose body is made of `parts`.
pub(super) fn put(out: &mut BytesMut, kind: u8, parts: &[&[u8]]) {
    out.put_u8(kind);
    out.put_u32(4 + parts.iter().map(|part| part.len() as u32).sum::<u32>());
    for part in parts {
        out.put_slice(part);
    }
}

/// An ErrorResponse that this client makes itself.
pub(super) fn error_response(code: &str, message: &str) -> Vec<u8> {
    let fields = format!("SERROR\0VERROR\0C{code}\0M{message}\0\0");
    let mut bytes = vec![b'E'];
    bytes.put_u32(fields.len() as u32 + 4);
    bytes.extend_from_slice(fields.as_bytes());
    bytes
}
