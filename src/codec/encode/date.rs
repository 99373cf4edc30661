//! The time value of a Date as text.

use bytes::{BufMut, BytesMut};

use crate::codec::decode::datetime::{DAY_US, civil, is_bc, put_iso_date, put_server_date, put_server_time};
use crate::codec::error::ParamError;

/// A Date's time value: an integer of at most 8.64e15 (ECMA-262, `TimeClip`).
pub(in crate::codec) fn date_ms(ms: f64) -> Result<i64, ParamError> {
    if ms.abs() <= 8.64e15 { Ok(ms.floor() as i64) } else { Err(ParamError::InvalidDate) }
}

fn split_ms(ms: i64) -> (i64, u64) {
    let day = DAY_US / 1000;
    (ms.div_euclid(day), ms.rem_euclid(day).unsigned_abs())
}

/// As JavaScript's toISOString.
pub(in crate::codec) fn put_iso(ms: i64, out: &mut BytesMut) {
    let (days, time) = split_ms(ms);
    put_iso_date(out, civil(days));
    out.put_u8(b'T');
    put_server_time(out, time / 1000 * 1_000_000);
    let [a, b, c] = [time / 100 % 10, time / 10 % 10, time % 10].map(|digit| b'0' + digit as u8);
    out.put_slice(&[b'.', a, b, c, b'Z']);
}

/// As toISOString within quotes.
pub(in crate::codec) fn put_json_date(ms: i64, out: &mut BytesMut) {
    out.put_u8(b'"');
    put_iso(ms, out);
    out.put_u8(b'"');
}

/// As the server reads it whatever its `DateStyle`: a type without a zone ignores the `Z` and keeps the UTC wall time.
pub(in crate::codec) fn put_server_date_time(ms: i64, out: &mut BytesMut) {
    let (days, time) = split_ms(ms);
    let date = civil(days);
    put_server_date(out, date);
    out.put_u8(b' ');
    put_server_time(out, time * 1000);
    out.put_u8(b'Z');
    if is_bc(date) {
        out.put_slice(b" BC");
    }
}
