//! Decodes cells in text format: those of the simple protocol, and columns with a type that has no binary form, or none
//! that says enough (the name of a regclass).
//!
//! A simple value becomes what its binary form would become; arrays, records and hstores are parsed here. The server prints
//! values as the settings of the session say: times can be read in `DateStyle = ISO` only, and the text of other types is
//! left as it is.

use crate::codec::text::quote::unquote;
use std::borrow::Cow;

use crate::codec::choices::{Int8As, NumericAs};
use crate::codec::decode::array::{ArrayDecoder, MAX_DIMENSIONS};
use crate::codec::decode::decoder::Decoder;
use crate::codec::decode::hstore;
use crate::codec::error::DecodeError;
use crate::codec::float::float4_to_f64;
use crate::codec::pack::{Packer, mask_words};
use crate::codec::text::datetime_text;

/// Decodes one cell that is not NULL.
///
/// # Errors
/// When it is not a value of the type, or is printed in another style.
pub(in crate::codec) fn decode(decoder: &Decoder, raw: &[u8], out: &mut Packer) -> Result<u64, DecodeError> {
    match decoder {
        Decoder::Bool => match raw {
            b"t" | b"true" => Ok(1),
            b"f" | b"false" => Ok(0),
            _ => Err(DecodeError::Invalid("a boolean that is neither t nor f")),
        },
        Decoder::Int2 | Decoder::Int4 => Ok(u64::from(number::<i32>(raw)? as u32)),
        Decoder::Oid => Ok(f64::from(number::<u32>(raw)?).to_bits()),
        Decoder::Float4 => Ok(float4_to_f64(number(raw)?).to_bits()),
        Decoder::Float8 | Decoder::Numeric(NumericAs::Number) => Ok(number::<f64>(raw)?.to_bits()),
        Decoder::Int8(Int8As::BigInt) => Ok(number::<i64>(raw)? as u64),
        Decoder::Int8(Int8As::Number) => Ok((number::<i64>(raw)? as f64).to_bits()),
        Decoder::Bytea => out.push_bytea(&bytea(raw)?),
        Decoder::Timestamptz(_) | Decoder::Timestamp(_) => {
            decoder.decode(&datetime_text::read_timestamp(raw)?.to_be_bytes(), out)
        }
        Decoder::Date(_) => decoder.decode(&datetime_text::read_date(raw)?.to_be_bytes(), out),
        Decoder::Void => Ok(0),
        Decoder::Hstore => out.text_with(|text| hstore::write_json_of_text(raw, text)),
        Decoder::Array(array) => decode_array(array, raw, out),
        Decoder::Record(record) => record.decode_text(raw, out),
        Decoder::FromText(inner) => decode(inner, raw, out),
        _ => out.push_utf8(raw),
    }
}

/// A number in the server's digits: those of Rust, with `NaN` and `Infinity`.
fn number<T: std::str::FromStr>(raw: &[u8]) -> Result<T, DecodeError> {
    let text = std::str::from_utf8(raw).map_err(|_| DecodeError::NotUtf8)?;
    text.parse().map_err(|_| DecodeError::Invalid("a number that is none"))
}

/// bytea in its hex format, or in the older escape format.
fn bytea(raw: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let broken = DecodeError::Invalid("a bytea in an unknown format");
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    if let Some(digits) = raw.strip_prefix(b"\\x") {
        if digits.len() % 2 != 0 {
            return Err(broken);
        }
        let pairs = digits.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?));
        return pairs.collect::<Option<_>>().ok_or(broken);
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        bytes.push(match (byte, after) {
            (b'\\', [b'\\', after @ ..]) => {
                rest = after;
                b'\\'
            }
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..]) => {
                rest = after;
                (a - b'0') << 6 | (b - b'0') << 3 | (c - b'0')
            }
            (b'\\', _) => return Err(broken),
            _ => byte,
        });
    }
    Ok(bytes)
}

/// The position of the reader in the text of an array.
struct Nesting {
    depth: usize,
    /// The elements so far in the open array of each dimension.
    counts: [usize; MAX_DIMENSIONS],
    /// How deep the elements are, once there was one.
    bottom: Option<usize>,
    /// The length of each dimension, once one of its arrays has been closed.
    lengths: [Option<usize>; MAX_DIMENSIONS],
}

fn ragged() -> DecodeError {
    DecodeError::Invalid("an array that is not written as one")
}

impl Nesting {
    fn open(&mut self) -> Result<(), DecodeError> {
        if self.depth == MAX_DIMENSIONS {
            return Err(DecodeError::Invalid("an array of too many dimensions"));
        }
        self.counts[self.depth] = 0;
        self.depth += 1;
        Ok(())
    }

    fn close(&mut self) -> Result<(), DecodeError> {
        self.depth = self.depth.checked_sub(1).ok_or_else(ragged)?;
        let count = self.counts[self.depth];
        if *self.lengths[self.depth].get_or_insert(count) != count {
            return Err(ragged());
        }
        self.count();
        Ok(())
    }

    fn count(&mut self) {
        if self.depth > 0 {
            self.counts[self.depth - 1] += 1;
        }
    }

    fn element(&mut self) -> Result<(), DecodeError> {
        if *self.bottom.get_or_insert(self.depth) != self.depth {
            return Err(ragged());
        }
        self.count();
        Ok(())
    }
}

/// As `array_out` prints it: `{{1,NULL},{"a b","\""}}`, with `[0:1]=` ahead where it does not begin at 1.
fn decode_array(array: &ArrayDecoder, raw: &[u8], out: &mut Packer) -> Result<u64, DecodeError> {
    let mut rest = raw;
    if raw.first() == Some(&b'[') {
        let at = raw.iter().position(|&byte| byte == b'=').ok_or_else(ragged)?;
        rest = &raw[at + 1..];
    }
    let mut nesting = Nesting { depth: 0, bottom: None, counts: [0; MAX_DIMENSIONS], lengths: [None; MAX_DIMENSIONS] };
    let mut elements = Vec::new();
    loop {
        match rest {
            [b'{', after @ ..] => {
                nesting.open()?;
                rest = after;
                if !matches!(rest, [b'}', ..]) {
                    continue;
                }
            }
            [b'}', ..] | [] => return Err(ragged()),
            [b'"', quoted @ ..] => {
                let (value, after) = unquote(quoted)?;
                elements.push(Some(value));
                nesting.element()?;
                rest = after;
            }
            _ => {
                let end = rest.iter().position(|&byte| byte == array.delimiter || byte == b'}').ok_or_else(ragged)?;
                let (value, after) = rest.split_at(end);
                elements.push((!value.eq_ignore_ascii_case(b"NULL")).then_some(Cow::Borrowed(value)));
                nesting.element()?;
                rest = after;
            }
        }
        // Behind an element come closing braces, then a delimiter or the end.
        while let [b'}', after @ ..] = rest {
            nesting.close()?;
            rest = after;
        }
        match rest {
            [] if nesting.depth == 0 => break,
            [byte, after @ ..] if *byte == array.delimiter && nesting.depth > 0 => rest = after,
            _ => return Err(ragged()),
        }
    }
    let lengths: Vec<usize> = nesting.lengths.iter().map_while(|length| *length).collect();
    let dimensions = if elements.is_empty() { &[][..] } else { &lengths[..] };
    if !elements.is_empty() && dimensions.iter().product::<usize>() != elements.len() {
        return Err(ragged());
    }
    let block = out.aux.len();
    out.aux.push(dimensions.len() as u64);
    out.aux.extend(dimensions.iter().map(|&len| len as u64));
    let mask = out.aux.len();
    let slots = mask + mask_words(elements.len());
    out.aux.resize(slots + elements.len(), 0);
    for (index, element) in elements.iter().enumerate() {
        match element {
            Some(element) => out.aux[slots + index] = decode(&array.element, element, out)?,
            None => out.aux[mask + index / 64] |= 1 << (index % 64),
        }
    }
    Ok(block as u64)
}
