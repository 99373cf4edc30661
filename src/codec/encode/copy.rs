//! Rows for COPY FROM, in its binary and its text format (PostgreSQL docs, COPY, "File Formats").
//!
//! A value is written in binary only if that is exactly what the server would read from its text. Any other value
//! [needs text](CopyRow::NeedsText), which the server reads.

use crate::codec::registry::SendAs;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use postgres_types::Type;

use crate::codec::catalog::Catalog;
use crate::codec::decode::datetime::{DAY_US, EPOCH_DAYS};
use crate::codec::decode::numeric;
use crate::codec::encode::date::date_ms;
use crate::codec::encode::param::{Param, ParamReader, Target};
use crate::codec::encode::structure::takes_structure;
use crate::codec::error::ParamError;
use crate::codec::text::datetime_text::Clock;
use crate::codec::text::quote::insert_backslashes;
use crate::codec::types::base;

/// How the rows of one COPY are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CopyForm {
    /// `FORMAT binary`.
    Binary,
    /// `FORMAT text`.
    Text,
}

/// Whether a row was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CopyRow {
    /// It was written.
    Written,
    /// One of its values needs text; nothing was written.
    NeedsText,
}

/// A column that is loaded.
#[derive(Debug, Clone)]
pub(crate) struct CopyColumn {
    pub(crate) name: String,
    ty: Type,
    catalog: Arc<Catalog>,
    send_as: SendAs,
}

impl CopyColumn {
    pub(crate) fn new(name: &str, ty: &Type, catalog: &Arc<Catalog>) -> Self {
        Self { name: name.to_owned(), ty: ty.clone(), catalog: catalog.clone(), send_as: SendAs::of(base(ty)) }
    }

    pub(crate) fn ty(&self) -> &Type {
        &self.ty
    }

    /// Whether it takes an object by its members, not as JSON.
    pub(crate) fn takes_structure(&self) -> bool {
        takes_structure(&self.ty, &self.catalog)
    }

    fn target(&self) -> Target<'_> {
        Target::new(&self.ty, &self.catalog)
    }

    pub(crate) fn has_binary(&self) -> bool {
        self.send_as.has_load_form()
    }

    /// Writes length and value. False: the value needs text, and the caller drops what was written.
    fn put_binary(&self, param: &Param<'_>, out: &mut BytesMut) -> Result<bool, ParamError> {
        if matches!(param, Param::Null) {
            out.put_i32(-1);
            return Ok(true);
        }
        let from = out.len();
        out.put_i32(0);
        let is_sure = self.has_binary() && put_value(self.send_as, param, self.target(), out)?;
        // The server refuses more than a gigabyte; the length of 2 GiB would be negative.
        let Ok(length) = i32::try_from(out.len() - from - 4) else { return Err(param.does_not_fit(&self.ty)) };
        out[from..from + 4].copy_from_slice(&length.to_be_bytes());
        Ok(is_sure)
    }

    fn put_text(&self, param: &Param<'_>, out: &mut BytesMut) -> Result<(), ParamError> {
        if matches!(param, Param::Null) {
            out.put_slice(b"\\N");
            return Ok(());
        }
        let from = out.len();
        param.write_text(self.target(), out)?;
        escape(out, from);
        Ok(())
    }
}

impl CopyForm {
    /// What comes before the first row.
    pub(crate) fn header(self) -> Bytes {
        match self {
            // The signature, no flags, no extension.
            Self::Binary => Bytes::from_static(b"PGCOPY\n\xFF\r\n\0\0\0\0\0\0\0\0\0"),
            Self::Text => Bytes::new(),
        }
    }

    /// What comes after the last.
    pub(crate) fn trailer(self) -> Bytes {
        match self {
            Self::Binary => Bytes::from_static(b"\xFF\xFF"),
            Self::Text => Bytes::new(),
        }
    }

    /// Reads one row's values and writes them; an error comes with the index of its column.
    pub(crate) fn put(
        self,
        columns: &[CopyColumn],
        values: &mut ParamReader<'_>,
        out: &mut BytesMut,
    ) -> Result<CopyRow, (usize, ParamError)> {
        let from = out.len();
        if self == Self::Binary {
            out.put_i16(columns.len() as i16);
        }
        for (index, column) in columns.iter().enumerate() {
            let at = |error| (index, error);
            let value = values.next().map_err(at)?;
            match self {
                Self::Binary => {
                    if !column.put_binary(&value, out).map_err(at)? {
                        out.truncate(from);
                        return Ok(CopyRow::NeedsText);
                    }
                }
                Self::Text => {
                    if index > 0 {
                        out.put_u8(b'\t');
                    }
                    column.put_text(&value, out).map_err(at)?;
                }
            }
        }
        if self == Self::Text {
            out.put_u8(b'\n');
        }
        Ok(CopyRow::Written)
    }
}

/// Escapes what was written since `from` as the text format wants it.
fn escape(out: &mut BytesMut, from: usize) {
    insert_backslashes(out, from, |byte| match byte {
        b'\\' => Some(b'\\'),
        b'\t' => Some(b't'),
        b'\n' => Some(b'n'),
        b'\r' => Some(b'r'),
        _ => None,
    });
}

/// Writes a value that is not NULL. False: it needs text.
fn put_value(send_as: SendAs, param: &Param<'_>, to: Target<'_>, out: &mut BytesMut) -> Result<bool, ParamError> {
    let ty = to.ty;
    if param.is_binary(send_as) {
        param.write_binary(ty, send_as, out)?;
        return Ok(true);
    }
    match (send_as, param) {
        // Their binary form is their text.
        (SendAs::Text | SendAs::Json | SendAs::Enum, _) => param.write_text(to, out)?,
        (SendAs::Jsonb, _) => {
            // The version of the format (jsonb_recv).
            out.put_u8(1);
            param.write_text(to, out)?;
        }
        (SendAs::Numeric, Param::String(text)) => return Ok(numeric::put(text.as_bytes(), out)),
        (SendAs::Numeric, _) => {
            let from = out.len();
            param.write_text(to, out)?;
            let text = out[from..].to_vec();
            out.truncate(from);
            return Ok(numeric::put(&text, out));
        }
        (SendAs::Timestamp, &Param::Date(ms)) => match micros(date_ms(ms)?) {
            Some(micros) => out.put_i64(micros),
            None => return Err(param.does_not_fit(ty)),
        },
        (SendAs::Date, &Param::Date(ms)) => {
            out.put_i32((date_ms(ms)?.div_euclid(DAY_US / 1000) - EPOCH_DAYS) as i32);
        }
        (_, Param::String(text)) => return Ok(put_string(send_as, text, out).is_some()),
        _ => {
            param.write_text(to, out)?;
            return Ok(false);
        }
    }
    Ok(true)
}

/// The time value of a Date as microseconds since 2000, where timestamps have it (datatype/timestamp.h).
fn micros(ms: i64) -> Option<i64> {
    let micros = (ms - EPOCH_DAYS * (DAY_US / 1000)) * 1000;
    (-211_813_488_000_000_000..9_223_371_331_200_000_000).contains(&micros).then_some(micros)
}

/// Writes a string that can be read in one way only. None: it needs text.
fn put_string(send_as: SendAs, text: &str, out: &mut BytesMut) -> Option<()> {
    let bytes = text.as_bytes();
    match send_as {
        SendAs::Bool => match text {
            "true" | "t" => out.put_u8(1),
            "false" | "f" => out.put_u8(0),
            _ => return None,
        },
        SendAs::Int2 | SendAs::Int4 | SendAs::Int8 | SendAs::Oid => {
            let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
            let is_plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
            let value: i64 = text.parse().ok().filter(|_| is_plain)?;
            match send_as {
                SendAs::Int2 => out.put_i16(value.try_into().ok()?),
                SendAs::Int4 => out.put_i32(value.try_into().ok()?),
                SendAs::Oid => out.put_u32(value.try_into().ok()?),
                _ => out.put_i64(value),
            }
        }
        // Rust and the server round to the nearest; numbers that are too large or too small need text.
        SendAs::Float8 => out.put_f64(text.parse().ok().filter(|value: &f64| is_exact(bytes, value.is_normal()))?),
        SendAs::Float4 => out.put_f32(text.parse().ok().filter(|value: &f32| is_exact(bytes, value.is_normal()))?),
        SendAs::Bytea => {
            let digits = bytes.strip_prefix(b"\\x")?;
            if digits.len() % 2 != 0 {
                return None;
            }
            for pair in digits.chunks_exact(2) {
                out.put_u8(nibble(pair[0])? << 4 | nibble(pair[1])?);
            }
        }
        SendAs::Uuid => {
            if bytes.len() != 36 || [8, 13, 18, 23].iter().any(|&at| bytes[at] != b'-') {
                return None;
            }
            let mut digits = bytes.iter().filter(|&&byte| byte != b'-');
            let mut value = [0; 16];
            for byte in &mut value {
                *byte = nibble(*digits.next()?)? << 4 | nibble(*digits.next()?)?;
            }
            // With one more hyphen there would be too few digits.
            out.put_slice(&value);
        }
        SendAs::Timestamptz | SendAs::Timestamp => {
            let (date, rest) = Clock::date(bytes)?;
            let rest = rest.strip_prefix(b"T").or_else(|| rest.strip_prefix(b" "))?;
            let (time, rest) = Clock::time(rest)?;
            // A text without a zone means the zone of the session; the server ignores a zone where the type has none.
            let east = if send_as == SendAs::Timestamptz { Clock::zone(rest)? } else { Clock::nothing(rest)? };
            out.put_i64((date - EPOCH_DAYS) * DAY_US + time - east);
        }
        SendAs::Date => {
            let (date, rest) = Clock::date(bytes)?;
            Clock::nothing(rest)?;
            out.put_i32((date - EPOCH_DAYS) as i32);
        }
        SendAs::Time => {
            let (time, rest) = Clock::time(bytes)?;
            Clock::nothing(rest)?;
            out.put_i64(time);
        }
        // Written as they are, or never in binary.
        SendAs::Text
        | SendAs::Json
        | SendAs::Jsonb
        | SendAs::Enum
        | SendAs::Numeric
        | SendAs::Name
        | SendAs::Timetz
        | SendAs::Vector
        | SendAs::Literal
        | SendAs::Other => return None,
    }
    Some(())
}

/// Whether a float was read from `-12.5e3`, with digits on both sides of a point, and is what the text says: not a zero
/// or an infinity that stands for something too small or too large.
fn is_exact(bytes: &[u8], is_normal: bool) -> bool {
    let all_digits = |bytes: &[u8]| !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
    let unsigned = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let mut parts = unsigned.splitn(2, |byte| matches!(byte, b'e' | b'E'));
    let mantissa = parts.next().unwrap_or_default();
    let exponent = parts.next().map(|signed| signed.strip_prefix(b"-").or(signed.strip_prefix(b"+")).unwrap_or(signed));
    let is_zero = !mantissa.iter().any(|byte| matches!(byte, b'1'..=b'9'));
    mantissa.splitn(2, |&byte| byte == b'.').all(all_digits)
        && exponent.is_none_or(all_digits)
        && (is_normal || is_zero)
}

fn nibble(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}
