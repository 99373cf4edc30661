//! The strings and numbers of JSON documents.

/// One in each byte of a word.
const ONES: u64 = u64::MAX / 0xFF;
/// The highest bit of each byte of a word.
const HIGH: u64 = ONES << 7;

/// A bit in each byte that ends a run of plain characters: a quote, a backslash, a control character. Only the lowest bit
/// is exact: the subtractions borrow from the bytes above it ("Bit Twiddling Hacks", `hasless` and `haszero`).
fn ends_of_plain(word: u64) -> u64 {
    let is_below = |word: u64, bound: u8| word.wrapping_sub(ONES * u64::from(bound)) & !word;
    let is = |byte: u8| is_below(word ^ (ONES * u64::from(byte)), 1);
    (is_below(word, b' ') | is(b'"') | is(b'\\')) & HIGH
}

/// Reads a string from behind its opening quote to behind its closing one, and appends what it says. Whether it had an
/// escape.
pub(super) fn read_string(source: &[u8], at: &mut usize, out: &mut Vec<u8>) -> Option<bool> {
    let mut has_escape = false;
    loop {
        match copy_plain(source, at, out)? {
            b'"' => return Some(has_escape),
            b'\\' => read_escape(source, at, out)?,
            _ => return None,
        }
        has_escape = true;
    }
}

/// Appends plain characters, and returns the byte that ends them, behind which the position is then.
#[inline]
fn copy_plain(source: &[u8], at: &mut usize, out: &mut Vec<u8>) -> Option<u8> {
    loop {
        let rest = source.get(*at..)?;
        let Some(eight) = rest.first_chunk::<8>() else {
            let plain = rest.iter().position(|&byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
            out.extend_from_slice(&rest[..plain]);
            *at += plain + 1;
            return Some(rest[plain]);
        };
        // Most strings are short: to append eight bytes and cut some off is quicker than a copy of any length.
        out.extend_from_slice(eight);
        let ends = ends_of_plain(u64::from_le_bytes(*eight));
        if ends != 0 {
            let plain = ends.trailing_zeros() as usize / 8;
            out.truncate(out.len() - 8 + plain);
            *at += plain + 1;
            return Some(eight[plain]);
        }
        *at += 8;
    }
}

fn read_escape(source: &[u8], at: &mut usize, out: &mut Vec<u8>) -> Option<()> {
    let escape = *source.get(*at)?;
    *at += 1;
    out.push(match escape {
        b'"' | b'\\' | b'/' => escape,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => {
            let unit = read_unit(source, at)?;
            let char = if (0xD800..0xDC00).contains(&unit) { read_low_half(unit, source, at)? } else { unit };
            out.extend_from_slice(char::from_u32(char)?.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(());
        }
        _ => return None,
    });
    Some(())
}

/// The four digits of a `\u`.
fn read_unit(source: &[u8], at: &mut usize) -> Option<u32> {
    let digits = source.get(*at..*at + 4)?;
    *at += 4;
    digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
}

/// The code point of a high surrogate and the low one that must follow it.
fn read_low_half(high: u32, source: &[u8], at: &mut usize) -> Option<u32> {
    if !source.get(*at..)?.starts_with(b"\\u") {
        return None;
    }
    *at += 2;
    let low = read_unit(source, at)?;
    (0xDC00..0xE000).contains(&low).then(|| 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00))
}

/// A number, and how many bytes it has.
pub(super) enum Number {
    Int(i32, usize),
    Double(f64, usize),
}

/// The number at the beginning of `source` as JavaScript rounds it.
pub(super) fn read_number(source: &[u8]) -> Option<Number> {
    let negative = source.first() == Some(&b'-');
    let first = usize::from(negative);
    let mut magnitude = 0_u64;
    let mut end = first;
    while let Some(digit) = source.get(end).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
        magnitude = magnitude.wrapping_mul(10).wrapping_add(u64::from(digit));
        end += 1;
    }
    let whole = end - first;
    if whole == 0 || (whole > 1 && source[first] == b'0') {
        return None;
    }
    if whole > 15 || matches!(source.get(end), Some(b'.' | b'e' | b'E')) {
        return read_double(source, end);
    }
    // Below 2^53: exact.
    let number = if negative { -(magnitude as i64) } else { magnitude as i64 };
    Some(match i32::try_from(number) {
        // -0 is not 0 in JavaScript.
        Ok(int) if int != 0 || !negative => Number::Int(int, end),
        _ => Number::Double(if negative { -(magnitude as f64) } else { magnitude as f64 }, end),
    })
}

/// The same for a number that may go on behind its first digits, which end at `end`.
fn read_double(source: &[u8], mut end: usize) -> Option<Number> {
    let digits_from = |from: usize| source[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if source.get(end) == Some(&b'.') {
        let fraction = digits_from(end + 1);
        if fraction == 0 {
            return None;
        }
        end += 1 + fraction;
    }
    if matches!(source.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(source.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits_from(end + 1 + sign);
        if exponent == 0 {
            return None;
        }
        end += 1 + sign + exponent;
    }
    // Rounds to nearest, ties to even, and overflows to infinity, as ECMAScript wants it.
    let number: f64 = std::str::from_utf8(&source[..end]).ok()?.parse().ok()?;
    let int = number as i32;
    // The bits are compared, because of -0.
    let is_int = f64::from(int).to_bits() == number.to_bits();
    Some(if is_int { Number::Int(int, end) } else { Number::Double(number, end) })
}
