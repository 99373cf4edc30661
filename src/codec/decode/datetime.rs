//! Dates and times: ISO 8601 for JavaScript, the server's own style where a value is shown as text.

use bytes::BufMut;

use crate::codec::error::DecodeError;
use crate::codec::float::{PAIRS, put_u64};
use crate::codec::reader::{Reader, fixed};

/// Days from 1970-01-01 to 2000-01-01, PostgreSQL's epoch.
pub(in crate::codec) const EPOCH_DAYS: i64 = 10_957;
pub(in crate::codec) const DAY_US: i64 = 86_400_000_000;
const DAY_MS: i64 = 86_400_000;

/// A day of the proleptic Gregorian calendar; year 0 is 1 BC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::codec) struct Civil {
    pub(in crate::codec) year: i64,
    pub(in crate::codec) month: u8,
    pub(in crate::codec) day: u8,
}

/// Cycles of 400 years, and their days, by which [`civil`] moves its day so that it is never negative: more than 2^31 days.
const CYCLES: i64 = 15_000;
const CYCLE_DAYS: i64 = 146_097;

/// The day that is `days` after 1970-01-01, at most some 2^31 (Cassio Neri and Lorenz Schneider, "Euclidean affine functions
/// and their application to calendar algorithms").
pub(in crate::codec) fn civil(days: i64) -> Civil {
    // Counted from the first of March, so that a leap day is the last one of its year.
    let quarters = ((days + 719_468 + CYCLES * CYCLE_DAYS) as u64) * 4 + 3;
    let century = quarters / 146_097;
    let day_of_century = (quarters % 146_097) as u32 / 4;
    let year = u64::from(4 * day_of_century + 3) * 2_939_745;
    let day_of_year = year as u32 / 2_939_745 / 4;
    let month = 2141 * day_of_year + 197_913;
    let is_next_year = day_of_year >= 306;
    Civil {
        year: (100 * century + (year >> 32)) as i64 - CYCLES * 400 + i64::from(is_next_year),
        month: (month >> 16) as u8 - if is_next_year { 12 } else { 0 },
        day: ((month & 0xFFFF) / 2141 + 1) as u8,
    }
}

/// The inverse of [`civil`].
pub(in crate::codec) fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn put2(out: &mut impl BufMut, value: u8) {
    out.put_slice(&[b'0' + value / 10 % 10, b'0' + value % 10]);
}

fn put_month_and_day(out: &mut impl BufMut, date: Civil) {
    let Civil { month, day, .. } = date;
    out.put_slice(&[b'-', b'0' + month / 10, b'0' + month % 10, b'-', b'0' + day / 10, b'0' + day % 10]);
}

/// At least `width` digits.
fn put_padded(out: &mut impl BufMut, value: u64, width: u32) {
    let mut bound = 10_u64.pow(width.saturating_sub(1));
    while bound > 1 && value < bound {
        out.put_u8(b'0');
        bound /= 10;
    }
    put_u64(out, value);
}

/// The year as JavaScript's toISOString writes it: a sign and six digits outside 0..=9999.
fn put_iso_year(out: &mut impl BufMut, year: i64) {
    let digits = year.unsigned_abs();
    if (0..=9999).contains(&year) {
        let [a, b, c, d] = [digits / 1000, digits / 100 % 10, digits / 10 % 10, digits % 10];
        out.put_slice(&[a, b, c, d].map(|digit| b'0' + digit as u8));
    } else {
        out.put_u8(if year < 0 { b'-' } else { b'+' });
        put_padded(out, digits, 6);
    }
}

/// `YYYY-MM-DD` with the year as in [`put_iso_year`].
pub(in crate::codec) fn put_iso_date(out: &mut impl BufMut, date: Civil) {
    put_iso_year(out, date.year);
    put_month_and_day(out, date);
}

/// `YYYY-MM-DD`; the caller adds ` BC` at the very end for years below 1 (see [`is_bc`]).
pub(in crate::codec) fn put_server_date(out: &mut impl BufMut, date: Civil) {
    let year = if is_bc(date) { 1 - date.year } else { date.year };
    put_padded(out, year.unsigned_abs(), 4);
    put_month_and_day(out, date);
}

pub(in crate::codec) fn is_bc(date: Civil) -> bool {
    date.year <= 0
}

/// `HH:MM:SS` of a time of day that is no more than 24 hours.
fn put_clock(out: &mut impl BufMut, seconds: u64) {
    let mut text = *b"00:00:00";
    for (at, value) in [(0, seconds / 3600), (3, seconds / 60 % 60), (6, seconds % 60)] {
        text[at] += (value / 10) as u8;
        text[at + 1] += (value % 10) as u8;
    }
    out.put_slice(&text);
}

/// `.ffffff` without trailing zeros, nothing for zero, as the server does.
fn put_fraction(out: &mut impl BufMut, mut micros: u64) {
    if micros == 0 {
        return;
    }
    let mut width = 6;
    while micros.is_multiple_of(10) {
        micros /= 10;
        width -= 1;
    }
    out.put_u8(b'.');
    put_padded(out, micros, width);
}

/// `HH:MM:SS[.ffffff]` as the server prints a time.
pub(in crate::codec) fn put_server_time(out: &mut impl BufMut, micros: u64) {
    put_clock(out, micros / 1_000_000);
    put_fraction(out, micros % 1_000_000);
}

/// The text of the two infinities of a timestamp or date, which are its largest and smallest value.
pub(in crate::codec) fn infinity<T: PartialEq>(value: &T, min: &T, max: &T) -> Option<(&'static [u8], f64)> {
    if value == max {
        Some((b"infinity", f64::INFINITY))
    } else if value == min {
        Some((b"-infinity", f64::NEG_INFINITY))
    } else {
        None
    }
}

/// Day (counted from 1970) and microseconds of the day of microseconds since 2000.
pub(in crate::codec) fn split_timestamp(micros: i64) -> (i64, u64) {
    (micros.div_euclid(DAY_US) + EPOCH_DAYS, micros.rem_euclid(DAY_US).unsigned_abs())
}

/// Whether a timestamp is written with the `Z` of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::codec) enum Zone {
    Utc,
    None,
}

/// A timestamp as ISO 8601: three digits of a second, six where there are microseconds.
pub(in crate::codec) fn write_timestamp(raw: &[u8], zone: Zone, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let micros = i64::from_be_bytes(fixed(raw)?);
    if let Some((word, _)) = infinity(&micros, &i64::MIN, &i64::MAX) {
        out.extend_from_slice(word);
        return Ok(());
    }
    let (days, time) = split_timestamp(micros);
    let date = civil(days);
    let (seconds, fraction) = ((time / 1_000_000) as u32, (time % 1_000_000) as u32);
    // All of it is written, and cut where it ends: one copy of a length that the compiler knows.
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    let mut set = |at: usize, value: u32| text[at..at + 2].copy_from_slice(&PAIRS[value as usize % 100]);
    set(5, date.month.into());
    set(8, date.day.into());
    set(11, seconds / 3600);
    set(14, seconds / 60 % 60);
    set(17, seconds % 60);
    set(20, fraction / 10_000);
    set(22, fraction / 100);
    set(24, fraction);
    let end = if fraction.is_multiple_of(1000) { 23 } else { 26 };
    if let Ok(year @ 0..=9999) = u32::try_from(date.year) {
        set(0, year / 100);
        set(2, year);
        text[end] = b'Z';
        out.extend_from_slice(&text);
    } else {
        put_iso_year(out, date.year);
        text[end] = b'Z';
        out.extend_from_slice(&text[4..]);
    }
    out.truncate(out.len() - text.len() + end + usize::from(zone == Zone::Utc));
    Ok(())
}

/// A timestamp as the server prints it with `DateStyle = ISO`, `TimeZone = UTC`.
pub(in crate::codec) fn write_server_timestamp(raw: &[u8], zone: Zone, out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let micros = i64::from_be_bytes(fixed(raw)?);
    if let Some((word, _)) = infinity(&micros, &i64::MIN, &i64::MAX) {
        out.extend_from_slice(word);
        return Ok(());
    }
    let (days, time) = split_timestamp(micros);
    let date = civil(days);
    put_server_date(out, date);
    out.push(b' ');
    put_server_time(out, time);
    if zone == Zone::Utc {
        out.extend_from_slice(b"+00");
    }
    if is_bc(date) {
        out.extend_from_slice(b" BC");
    }
    Ok(())
}

/// A date as the server prints it with `DateStyle = ISO`.
pub(in crate::codec) fn write_server_date(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let days = i32::from_be_bytes(fixed(raw)?);
    if let Some((word, _)) = infinity(&days, &i32::MIN, &i32::MAX) {
        out.extend_from_slice(word);
        return Ok(());
    }
    let date = civil(i64::from(days) + EPOCH_DAYS);
    put_server_date(out, date);
    if is_bc(date) {
        out.extend_from_slice(b" BC");
    }
    Ok(())
}

/// Milliseconds since 1970 of a timestamp, rounded down.
pub(in crate::codec) fn timestamp_ms(raw: &[u8]) -> Result<f64, DecodeError> {
    let micros = i64::from_be_bytes(fixed(raw)?);
    Ok(match infinity(&micros, &i64::MIN, &i64::MAX) {
        Some((_, value)) => value,
        None => (micros.div_euclid(1000) + EPOCH_DAYS * DAY_MS) as f64,
    })
}

/// A date as ISO 8601.
pub(in crate::codec) fn write_date(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let days = i32::from_be_bytes(fixed(raw)?);
    match infinity(&days, &i32::MIN, &i32::MAX) {
        Some((word, _)) => out.extend_from_slice(word),
        None => put_iso_date(out, civil(i64::from(days) + EPOCH_DAYS)),
    }
    Ok(())
}

/// Milliseconds since 1970 of the start of a date in UTC.
pub(in crate::codec) fn date_ms(raw: &[u8]) -> Result<f64, DecodeError> {
    let days = i32::from_be_bytes(fixed(raw)?);
    Ok(match infinity(&days, &i32::MIN, &i32::MAX) {
        Some((_, value)) => value,
        None => ((i64::from(days) + EPOCH_DAYS) * DAY_MS) as f64,
    })
}

fn time_of_day(micros: i64) -> Result<u64, DecodeError> {
    // 24:00:00 is a valid time.
    u64::try_from(micros)
        .ok()
        .filter(|&micros| micros <= DAY_US.unsigned_abs())
        .ok_or(DecodeError::Invalid("a time outside 00:00 to 24:00"))
}

/// A time as the server prints it.
pub(in crate::codec) fn write_time(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    put_server_time(out, time_of_day(i64::from_be_bytes(fixed(raw)?))?);
    Ok(())
}

/// A timetz as the server prints it (`EncodeTimezone` in datetime.c).
pub(in crate::codec) fn write_timetz(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(raw);
    let micros = time_of_day(reader.i64()?)?;
    let west = reader.i32()?;
    reader.end()?;
    let offset = west.unsigned_abs();
    // TZDISP_LIMIT in timestamp.h: less than 16 hours.
    if offset >= 16 * 3600 {
        return Err(DecodeError::Invalid("a time zone outside 16 hours"));
    }
    put_server_time(out, micros);
    out.push(if west > 0 { b'-' } else { b'+' });
    put2(out, (offset / 3600) as u8);
    if !offset.is_multiple_of(3600) {
        out.push(b':');
        put2(out, (offset / 60 % 60) as u8);
    }
    if !offset.is_multiple_of(60) {
        out.push(b':');
        put2(out, (offset % 60) as u8);
    }
    Ok(())
}

/// An interval in `IntervalStyle = postgres` (`EncodeInterval` in datetime.c).
pub(in crate::codec) fn write_interval(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(raw);
    let micros = reader.i64()?;
    let days = reader.i32()?;
    let months = reader.i32()?;
    reader.end()?;
    // Infinity since PostgreSQL 17: all three fields have their largest or smallest value.
    if (micros, days, months) == (i64::MAX, i32::MAX, i32::MAX) {
        out.extend_from_slice(b"infinity");
        return Ok(());
    }
    if (micros, days, months) == (i64::MIN, i32::MIN, i32::MIN) {
        out.extend_from_slice(b"-infinity");
        return Ok(());
    }
    let mut first = true;
    let mut after_negative = false;
    for (value, unit) in [(months / 12, "year"), (months % 12, "mon"), (days, "day")] {
        if value == 0 {
            continue;
        }
        if !first {
            out.push(b' ');
        }
        if value < 0 {
            out.push(b'-');
        } else if after_negative {
            out.push(b'+');
        }
        put_u64(out, u64::from(value.unsigned_abs()));
        out.push(b' ');
        out.extend_from_slice(unit.as_bytes());
        if value != 1 {
            out.push(b's');
        }
        first = false;
        after_negative = value < 0;
    }
    if first || micros != 0 {
        if !first {
            out.push(b' ');
        }
        if micros < 0 {
            out.push(b'-');
        } else if after_negative {
            out.push(b'+');
        }
        let seconds = micros.unsigned_abs() / 1_000_000;
        put_padded(out, seconds / 3600, 2);
        out.push(b':');
        put2(out, (seconds / 60 % 60) as u8);
        out.push(b':');
        put2(out, (seconds % 60) as u8);
        put_fraction(out, micros.unsigned_abs() % 1_000_000);
    }
    Ok(())
}
