//! Floating point numbers as JavaScript prints them, as PostgreSQL prints them, and float4 as a JavaScript number.

use std::fmt::{self, Write};
use std::str::FromStr;

use bytes::BufMut;

/// Powers of ten that an f64 holds exactly.
pub(super) const POW10: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// The numbers below 100 with two digits.
pub(super) const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [*b"00"; 100];
    let mut value = 0;
    while value < 100 {
        pairs[value] = [b'0' + (value / 10) as u8, b'0' + (value % 10) as u8];
        value += 1;
    }
    pairs
};

/// A small string on the stack.
#[derive(Default)]
struct Small {
    bytes: [u8; 32],
    len: usize,
}

impl Small {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl Write for Small {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// The decimal digits of a finite, positive number and the exponent of the first one: 12.5 is `125` and 1.
struct ShortestDigits {
    digits: [u8; 20],
    len: usize,
    exponent: i32,
}

impl ShortestDigits {
    /// Reads the output of `{:e}`; 20 digits are more than any caller asks for.
    fn parse(scientific: &str) -> Self {
        let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
        let mut decimal = Self { digits: [b'0'; 20], len: 0, exponent: exponent.parse().unwrap_or(0) };
        for digit in mantissa.bytes().filter(u8::is_ascii_digit).take(20) {
            decimal.digits[decimal.len] = digit;
            decimal.len += 1;
        }
        while decimal.len > 1 && decimal.digits[decimal.len - 1] == b'0' {
            decimal.len -= 1;
        }
        decimal
    }

    fn digits(&self) -> &[u8] {
        &self.digits[..self.len]
    }

    fn last(&self) -> u8 {
        self.digits().last().copied().unwrap_or(b'0')
    }

    /// The number of bits of the exact value in binary, without zeros at its end; None if the value has no end in binary, or
    /// more than 100 bits.
    fn exact_bits(&self) -> Option<u32> {
        let mut odd = self.digits().iter().fold(0_u128, |n, d| n * 10 + u128::from(d - b'0'));
        let fives = self.exponent + 1 - self.len as i32;
        for _ in 0..fives.unsigned_abs() {
            if fives > 0 {
                odd *= 5;
            } else if odd.is_multiple_of(5) {
                odd /= 5;
            } else {
                return None;
            }
            if odd >> 100 != 0 {
                return None;
            }
        }
        (odd != 0).then(|| (odd >> odd.trailing_zeros()).ilog2() + 1)
    }

    /// Digits without an exponent; the exponent must be small.
    fn put_plain(&self, out: &mut impl BufMut) {
        let digits = self.digits();
        if self.exponent < 0 {
            out.put_slice(b"0.");
            out.put_bytes(b'0', (-self.exponent - 1).unsigned_abs() as usize);
            out.put_slice(digits);
            return;
        }
        let whole = self.exponent as usize + 1;
        if digits.len() <= whole {
            out.put_slice(digits);
            out.put_bytes(b'0', whole - digits.len());
        } else {
            out.put_slice(&digits[..whole]);
            out.put_u8(b'.');
            out.put_slice(&digits[whole..]);
        }
    }

    /// `d.ddde+x` with at least `width` digits of exponent.
    fn put_scientific(&self, out: &mut impl BufMut, width: usize) {
        let (first, rest) = self.digits().split_at(1);
        out.put_slice(first);
        if !rest.is_empty() {
            out.put_u8(b'.');
            out.put_slice(rest);
        }
        out.put_slice(if self.exponent < 0 { b"e-" } else { b"e+" });
        let exponent = self.exponent.unsigned_abs();
        if width > 1 && exponent < 10 {
            out.put_u8(b'0');
        }
        put_u64(out, u64::from(exponent));
    }
}

/// The decimal digits of an integer.
pub(super) fn put_u64(out: &mut impl BufMut, mut value: u64) {
    let mut buffer = [0_u8; 20];
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.put_slice(&buffer[at..]);
}

/// The decimal digits of a signed integer.
pub(super) fn put_i64(out: &mut impl BufMut, value: i64) {
    if value < 0 {
        out.put_u8(b'-');
    }
    put_u64(out, value.unsigned_abs());
}

/// A binary format: how its numbers are read, and what follows from the width of its mantissa.
trait Float: fmt::LowerExp + Copy + PartialEq + FromStr {
    const MANTISSA_BITS: u32;
    /// This many decimal digits are always the same after a conversion to binary and back (`DBL_DIG`, `FLT_DIG`).
    const EXACT_DIGITS: usize;

    /// The value rounded to this many significant digits.
    fn rounded(self, digits: usize) -> ShortestDigits {
        let mut text = Small::default();
        // A sign, twenty digits, a point and an exponent always fit.
        let _ = write!(text, "{self:.*e}", digits.saturating_sub(1));
        ShortestDigits::parse(text.as_str())
    }

    /// Whether the decimal is read as this value.
    fn is_read_from(self, decimal: &ShortestDigits) -> bool {
        let mut text = [0_u8; 48];
        let capacity = text.len();
        let mut rest = &mut text[..];
        decimal.put_scientific(&mut rest, 1);
        let len = capacity - rest.len();
        std::str::from_utf8(&text[..len]).ok().and_then(|text| text.parse().ok()) == Some(self)
    }

    /// The shortest digits that are read as this value; of two that are equally near, the even one, as JavaScript and
    /// PostgreSQL have it and Rust does not.
    fn shortest(self) -> ShortestDigits {
        let mut text = Small::default();
        let _ = write!(text, "{self:e}");
        let shortest = ShortestDigits::parse(text.as_str());
        // Only with at least this many digits two decimals can be equally near.
        if shortest.len < Self::EXACT_DIGITS || shortest.last().is_multiple_of(2) {
            return shortest;
        }
        let mut middle = self.rounded(shortest.len + 1);
        let is_exact =
            middle.exact_bits().is_some_and(|bits| bits <= Self::MANTISSA_BITS) && self.is_read_from(&middle);
        if middle.len == shortest.len + 1 && middle.last() == b'5' && is_exact {
            middle.len -= 1;
            if self.is_read_from(&middle) {
                return middle;
            }
        }
        shortest
    }

    /// The shortest digits as PostgreSQL's Ryu finds them (src/common/d2s.c, f2s.c without `STRICTLY_SHORTEST`): it does
    /// not accept a decimal that lies exactly between two neighbours.
    fn shortest_pg(self) -> ShortestDigits {
        let is_between = |decimal: &ShortestDigits| decimal.exact_bits() == Some(Self::MANTISSA_BITS + 1);
        let shortest = self.shortest();
        if !is_between(&shortest) {
            return shortest;
        }
        (shortest.len + 1..=Self::EXACT_DIGITS + 3)
            .map(|digits| self.rounded(digits))
            .find(|decimal| self.is_read_from(decimal) && !is_between(decimal))
            .unwrap_or(shortest)
    }
}

impl Float for f64 {
    const MANTISSA_BITS: u32 = 53;
    const EXACT_DIGITS: usize = 15;
}

impl Float for f32 {
    const MANTISSA_BITS: u32 = 24;
    const EXACT_DIGITS: usize = 6;
}

/// A number as JavaScript's `String(value)` gives it (ECMA-262, Number::toString).
pub(super) fn put_js_number(out: &mut impl BufMut, value: f64) {
    if value.is_nan() {
        return out.put_slice(b"NaN");
    }
    if value == 0.0 {
        return out.put_u8(b'0');
    }
    if value < 0.0 {
        out.put_u8(b'-');
    }
    let value = value.abs();
    if value.is_infinite() {
        return out.put_slice(b"Infinity");
    }
    if value < 9e15 && value.fract() == 0.0 {
        return put_u64(out, value as u64);
    }
    let decimal = value.shortest();
    if (-6..21).contains(&decimal.exponent) {
        decimal.put_plain(out);
    } else {
        decimal.put_scientific(out, 1);
    }
}

/// A float8 as the server prints it with its default `extra_float_digits`.
pub(super) fn put_pg_float8(out: &mut impl BufMut, value: f64) {
    put_pg(out, value, 15, f64::shortest_pg);
}

/// A float4 as the server prints it with its default `extra_float_digits`.
pub(super) fn put_pg_float4(out: &mut impl BufMut, value: f32) {
    put_pg(out, f64::from(value), 6, |_| value.abs().shortest_pg());
}

/// `plain_below`: from this exponent on the server prints an exponent.
fn put_pg(out: &mut impl BufMut, value: f64, plain_below: i32, digits: impl FnOnce(f64) -> ShortestDigits) {
    if value.is_nan() {
        return out.put_slice(b"NaN");
    }
    if value.is_sign_negative() {
        out.put_u8(b'-');
    }
    let value = value.abs();
    if value.is_infinite() {
        return out.put_slice(b"Infinity");
    }
    if value == 0.0 {
        return out.put_u8(b'0');
    }
    let decimal = digits(value);
    if (-4..plain_below).contains(&decimal.exponent) {
        decimal.put_plain(out);
    } else {
        decimal.put_scientific(out, 2);
    }
}

/// A float4 as the f64 that prints the same digits as the server does: 0.1, not 0.10000000149011612.
#[allow(clippy::float_cmp)] // exact equality is the question: does the decimal read back as this float4?
pub(super) fn float4_to_f64(value: f32) -> f64 {
    let wide = f64::from(value);
    if wide.abs() < 16_777_216.0 {
        // Below 2^24 the product with 10^k (k <= 10) is exact in an f64, and the first k whose rounded decimal reads back
        // is the shortest. Ties go to even, as in the server's Ryu.
        for power in &POW10[..=10] {
            let decimal = (wide * power).round_ties_even() / power;
            if decimal as f32 == value {
                // Keeps the sign of zero, and a tiny number that rounds to zero does not read back.
                return if decimal == 0.0 { wide } else { decimal };
            }
        }
    } else if !wide.is_finite() {
        return wide;
    }
    let mut text = [0_u8; 48];
    let capacity = text.len();
    let mut rest = &mut text[..];
    put_pg_float4(&mut rest, value);
    let len = capacity - rest.len();
    std::str::from_utf8(&text[..len]).ok().and_then(|text| text.parse().ok()).unwrap_or(wide)
}
