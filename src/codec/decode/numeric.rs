//! numeric: base 10000 digits to text or to an f64 (layout: `numeric_send` in src/backend/utils/adt/numeric.c).

use bytes::{BufMut, BytesMut};

use crate::codec::error::DecodeError;
use crate::codec::float::{PAIRS, POW10};
use crate::codec::reader::Reader;

const NEGATIVE: u16 = 0x4000;
const NAN: u16 = 0xC000;
const INFINITY: u16 = 0xD000;
const NEGATIVE_INFINITY: u16 = 0xF000;

/// Digits after the point: `NUMERIC_DSCALE_MASK`.
const MAX_SCALE: u16 = 0x3FFF;

struct Numeric<'a> {
    /// Big-endian u16 each, below 10000.
    digits: &'a [u8],
    /// The power of 10000 of the first digit.
    weight: i32,
    sign: u16,
    /// Decimal digits to print after the point.
    scale: usize,
}

impl<'a> Numeric<'a> {
    fn read(raw: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(raw);
        let count = usize::from(reader.u16()?);
        let weight = i32::from(reader.u16()? as i16);
        let sign = reader.u16()?;
        let scale = reader.u16()?;
        let digits = reader.take(count * 2)?;
        reader.end()?;
        if !matches!(sign, 0 | NEGATIVE | NAN | INFINITY | NEGATIVE_INFINITY) {
            return Err(DecodeError::Invalid("an unknown sign of a numeric"));
        }
        if scale > MAX_SCALE {
            return Err(DecodeError::Invalid("the scale of a numeric is too large"));
        }
        let numeric = Self { digits, weight, sign, scale: usize::from(scale) };
        if numeric.groups().any(|group| group > 9999) {
            return Err(DecodeError::Invalid("a digit of a numeric is too large"));
        }
        Ok(numeric)
    }

    fn groups(&self) -> impl Iterator<Item = u16> + '_ {
        self.digits.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
    }

    /// The digit that counts 10000^-index times the first one, 0 where none was sent.
    fn group(&self, index: i32) -> u16 {
        usize::try_from(index)
            .ok()
            .and_then(|index| self.digits.get(index * 2..index * 2 + 2))
            .map_or(0, |pair| u16::from_be_bytes([pair[0], pair[1]]))
    }

    fn special(&self) -> Option<(&'static str, f64)> {
        match self.sign {
            NAN => Some(("NaN", f64::NAN)),
            INFINITY => Some(("Infinity", f64::INFINITY)),
            NEGATIVE_INFINITY => Some(("-Infinity", f64::NEG_INFINITY)),
            _ => None,
        }
    }

    /// As `get_str_from_var` in numeric.c.
    fn write(&self, out: &mut Vec<u8>) {
        if let Some((word, _)) = self.special() {
            out.extend_from_slice(word.as_bytes());
            return;
        }
        if self.sign == NEGATIVE {
            out.push(b'-');
        }
        if self.weight < 0 {
            out.push(b'0');
        } else {
            let first = self.group(0);
            let zeros = usize::from(first < 10) + usize::from(first < 100) + usize::from(first < 1000);
            // Four bytes are appended, and those behind the digits cut off.
            let digits = u32::from_be_bytes(decimal_digits(first)) << (8 * zeros);
            out.extend_from_slice(&digits.to_be_bytes());
            out.truncate(out.len() - zeros);
            for index in 1..=self.weight {
                out.extend_from_slice(&decimal_digits(self.group(index)));
            }
        }
        if self.scale > 0 {
            out.push(b'.');
            let end = out.len() + self.scale;
            let mut index = self.weight + 1;
            while out.len() < end {
                out.extend_from_slice(&decimal_digits(self.group(index)));
                index += 1;
            }
            out.truncate(end);
        }
    }

    /// The value when up to three groups and an exact power of ten give it with one rounding.
    fn small(&self) -> Option<f64> {
        if self.digits.len() > 6 {
            return None;
        }
        let whole = self.groups().fold(0_u64, |n, group| n * 10_000 + u64::from(group)) as f64;
        let exponent = (self.weight + 1 - self.digits.len() as i32 / 2) * 4;
        let power = POW10.get(exponent.unsigned_abs() as usize)?;
        let value = if exponent < 0 { whole / power } else { whole * power };
        Some(if self.sign == NEGATIVE { -value } else { value })
    }
}

/// The digits of a group, which is below 10000.
fn decimal_digits(group: u16) -> [u8; 4] {
    let [a, b] = PAIRS[usize::from(group / 100) % 100];
    let [c, d] = PAIRS[usize::from(group % 100)];
    [a, b, c, d]
}

/// Every digit as the server prints it.
pub(in crate::codec) fn write(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    Numeric::read(raw)?.write(out);
    Ok(())
}

/// The nearest f64; `scratch` is text space that is left as it was.
pub(in crate::codec) fn to_f64(raw: &[u8], scratch: &mut Vec<u8>) -> Result<f64, DecodeError> {
    let numeric = Numeric::read(raw)?;
    if let Some((_, value)) = numeric.special() {
        return Ok(value);
    }
    if let Some(value) = numeric.small() {
        return Ok(value);
    }
    let from = scratch.len();
    numeric.write(scratch);
    let value = std::str::from_utf8(&scratch[from..]).ok().and_then(|text| text.parse().ok());
    scratch.truncate(from);
    value.ok_or(DecodeError::Invalid("a numeric that is no number"))
}

/// Digits of a number that is written in binary at most; the server reads what is longer.
const MAX_DIGITS: usize = 1000;

/// Decimal text (`-12.50`, `1.5e-7`, `NaN`) as `numeric_in` would read it. False: it is not of that form, or too long, and
/// nothing was written.
pub(in crate::codec) fn put(text: &[u8], out: &mut BytesMut) -> bool {
    if text == b"NaN" {
        // No digits, weight 0, NaN, scale 0.
        out.put_slice(&[0, 0, 0, 0, 0xC0, 0, 0, 0]);
        return true;
    }
    let Some(Decimal { negative, digits, scale }) = Decimal::read(text) else { return false };
    // Groups of four digits, counted from the point: zeros are put before and behind to fill the outer ones.
    let point = digits.len() as i64 - scale;
    let before = (-point).rem_euclid(4) as usize;
    let mut padded = vec![0; before];
    padded.extend_from_slice(&digits);
    padded.resize(padded.len().next_multiple_of(4), 0);
    let groups: Vec<u16> =
        padded.chunks_exact(4).map(|four| four.iter().fold(0, |n, &digit| n * 10 + u16::from(digit))).collect();
    let weight = (point + before as i64) / 4 - 1;
    let first = groups.iter().position(|&group| group != 0).unwrap_or(groups.len());
    let last = groups.iter().rposition(|&group| group != 0).map_or(first, |at| at + 1);
    let kept = &groups[first..last];
    out.put_u16(kept.len() as u16);
    out.put_i16(if kept.is_empty() { 0 } else { (weight - first as i64) as i16 });
    out.put_u16(if negative && !kept.is_empty() { NEGATIVE } else { 0 });
    out.put_u16(scale.max(0) as u16);
    for &group in kept {
        out.put_u16(group);
    }
    true
}

/// A decimal number: its digits, and how many of them stand behind the point (negative: so many zeros follow).
struct Decimal {
    negative: bool,
    digits: Vec<u8>,
    scale: i64,
}

impl Decimal {
    fn read(text: &[u8]) -> Option<Self> {
        let (negative, text) = match text {
            [b'-', rest @ ..] => (true, rest),
            [b'+', rest @ ..] => (false, rest),
            _ => (false, text),
        };
        let (mantissa, exponent) = match text.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(at) => (&text[..at], std::str::from_utf8(&text[at + 1..]).ok()?.parse::<i16>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = match mantissa.iter().position(|&byte| byte == b'.') {
            Some(at) => (&mantissa[..at], &mantissa[at + 1..]),
            None => (mantissa, &mantissa[..0]),
        };
        let too_long = mantissa.len() > MAX_DIGITS || usize::from(exponent.unsigned_abs()) > MAX_DIGITS;
        let lacks_digits = whole.is_empty() || (fraction.is_empty() && whole.len() != mantissa.len());
        if too_long || lacks_digits || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
            return None;
        }
        let digits = whole.iter().chain(fraction).map(|digit| digit - b'0').collect();
        Some(Self { negative, digits, scale: fraction.len() as i64 - i64::from(exponent) })
    }
}
