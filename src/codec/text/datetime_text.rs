//! Reading dates and times as text.

use crate::codec::decode::datetime::{DAY_US, EPOCH_DAYS, days};
use crate::codec::error::DecodeError;

/// Dates and times in the one form of ISO 8601 that no setting of the server touches.
pub(in crate::codec) struct Clock;

impl Clock {
    /// `width` digits.
    fn number(bytes: &[u8], width: usize) -> Option<(i64, &[u8])> {
        let (digits, rest) = bytes.split_at_checked(width)?;
        let mut value = 0;
        for digit in digits {
            value = value * 10 + i64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
        }
        Some((value, rest))
    }

    /// `YYYY-MM-DD` as days since 1970.
    pub(in crate::codec) fn date(bytes: &[u8]) -> Option<(i64, &[u8])> {
        let (year, rest) = Self::number(bytes, 4)?;
        if year == 0 { None } else { Self::month_and_day(year, rest) }
    }

    /// The same behind the year, which is 0 for 1 BC.
    fn month_and_day(year: i64, rest: &[u8]) -> Option<(i64, &[u8])> {
        let (month, rest) = Self::number(rest.strip_prefix(b"-")?, 2)?;
        let (day, rest) = Self::number(rest.strip_prefix(b"-")?, 2)?;
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let last = match month {
            2 if is_leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        (1..=last).contains(&day).then(|| (days(year, month, day), rest))
    }

    /// `HH:MM:SS` with up to six more digits, as microseconds.
    pub(in crate::codec) fn time(bytes: &[u8]) -> Option<(i64, &[u8])> {
        let (hours, rest) = Self::number(bytes, 2)?;
        let (minutes, rest) = Self::number(rest.strip_prefix(b":")?, 2)?;
        let (seconds, mut rest) = Self::number(rest.strip_prefix(b":")?, 2)?;
        if hours > 23 || minutes > 59 || seconds > 59 {
            return None;
        }
        let mut fraction = 0;
        if let Some(digits) = rest.strip_prefix(b".") {
            let width = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=6).contains(&width) {
                return None;
            }
            (fraction, rest) = Self::number(digits, width)?;
            fraction *= 10_i64.pow(6 - width as u32);
        }
        Some((((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + fraction, rest))
    }

    /// `Z`, `+HH`, `+HH:MM` or `+HH:MM:SS`, as microseconds to the east.
    pub(in crate::codec) fn zone(bytes: &[u8]) -> Option<i64> {
        let (sign, rest) = match bytes {
            b"Z" => return Some(0),
            [b'+', rest @ ..] => (1, rest),
            [b'-', rest @ ..] => (-1, rest),
            _ => return None,
        };
        let (hours, rest) = Self::number(rest, 2)?;
        // Minutes, and the seconds of local mean times.
        let mut parts = [0; 2];
        let mut rest = rest;
        for part in &mut parts {
            if let Some(digits) = rest.strip_prefix(b":") {
                (*part, rest) = Self::number(digits, 2)?;
            }
        }
        Self::nothing(rest)?;
        let [minutes, seconds] = parts;
        // MAX_TZDISP_HOUR in timestamp.h.
        let is_zone = hours <= 15 && minutes <= 59 && seconds <= 59;
        is_zone.then_some(sign * ((hours * 60 + minutes) * 60 + seconds) * 1_000_000)
    }

    pub(in crate::codec) fn nothing(bytes: &[u8]) -> Option<i64> {
        bytes.is_empty().then_some(0)
    }
}

/// What the server prints with `DateStyle = ISO`, without the ` BC` at its end.
struct Printed<'a> {
    text: &'a [u8],
    is_bc: bool,
}

impl<'a> Printed<'a> {
    fn new(raw: &'a [u8]) -> Self {
        match raw.strip_suffix(b" BC") {
            Some(text) => Self { text, is_bc: true },
            None => Self { text: raw, is_bc: false },
        }
    }

    /// The date at its beginning as days since 1970: a year of four digits or more.
    fn date(&self) -> Option<(i64, &'a [u8])> {
        let width = self.text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if !(4..=7).contains(&width) {
            return None;
        }
        let (year, rest) = Clock::number(self.text, width)?;
        Clock::month_and_day(if self.is_bc { 1 - year } else { year }, rest)
    }

    /// Microseconds since 2000.
    fn timestamp(&self) -> Option<i64> {
        let (date, rest) = self.date()?;
        let (time, zone) = Clock::time(rest.strip_prefix(b" ")?)?;
        let east = if zone.is_empty() { 0 } else { Clock::zone(zone)? };
        (date - EPOCH_DAYS).checked_mul(DAY_US)?.checked_add(time)?.checked_sub(east)
    }
}

fn unknown_style() -> DecodeError {
    DecodeError::Invalid("a date that is not in the style ISO (see the server's setting DateStyle)")
}

/// A timestamp, with or without a zone, as the server prints it: microseconds since 2000.
pub(in crate::codec) fn read_timestamp(raw: &[u8]) -> Result<i64, DecodeError> {
    match raw {
        b"infinity" => Ok(i64::MAX),
        b"-infinity" => Ok(i64::MIN),
        _ => Printed::new(raw).timestamp().ok_or_else(unknown_style),
    }
}

/// A date as the server prints it: days since 2000.
pub(in crate::codec) fn read_date(raw: &[u8]) -> Result<i32, DecodeError> {
    match raw {
        b"infinity" => return Ok(i32::MAX),
        b"-infinity" => return Ok(i32::MIN),
        _ => {}
    }
    let (days, rest) = Printed::new(raw).date().ok_or_else(unknown_style)?;
    if !rest.is_empty() {
        return Err(unknown_style());
    }
    i32::try_from(days - EPOCH_DAYS).map_err(|_| unknown_style())
}

/// A date or timestamp in ISO 8601's expanded form (`+012345-06-07`, `-000043-03-15T12:00:00Z`, `0000-12-31`), which is
/// how JavaScript gets those before the year 1 and after 9999, as the server writes it. None for any other text: the
/// server refuses every text that is rewritten here, so no value can change its meaning.
pub(in crate::codec) fn expanded(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let (sign, digits) = match bytes {
        [sign @ (b'+' | b'-'), rest @ ..] => {
            // Dates reach the year 5,874,897.
            let width = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (*sign, rest.get(..width).filter(|_| (6..=7).contains(&width))?)
        }
        _ => (b'0', bytes.get(..4)?),
    };
    let rest = bytes.get(digits.len() + usize::from(sign != b'0')..)?;
    let (year, _) = Clock::number(digits, digits.len())?;
    let (_, after) = Clock::month_and_day(2000, rest)?;
    if !(after.is_empty() || after[0] == b'T') {
        return None;
    }
    let rest = std::str::from_utf8(rest).ok()?;
    match (sign, year) {
        (b'+', 10_000..) => Some(format!("{year}{rest}")),
        (b'-', 1..) => Some(format!("{:04}{rest} BC", year + 1)),
        (b'0', 0) => Some(format!("0001{rest} BC")),
        _ => None,
    }
}
