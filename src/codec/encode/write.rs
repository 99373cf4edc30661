//! Sending each parameter as its type on the server wants it.

use bytes::{BufMut, BytesMut};
use postgres_types::{Format, IsNull, Kind, Type};

use crate::codec::decode::datetime::{
    DAY_US, EPOCH_DAYS, civil, is_bc, put_iso_date, put_server_date, put_server_time,
};
use crate::codec::encode::param::{Param, ParamError, Target};
use crate::codec::encode::structure::is_hstore;
use crate::codec::encode::{array, json, structure};
use crate::codec::float::{put_i64, put_js_number};
use crate::codec::text::datetime_text::expanded;

/// The type a value is read as: a domain's base, however many domains deep.
pub(in crate::codec) fn base(ty: &Type) -> &Type {
    let mut ty = ty;
    while let Kind::Domain(inner) = ty.kind() {
        ty = inner;
    }
    ty
}

/// Types that take any scalar as JavaScript's `String(value)`.
pub(in crate::codec) fn is_text(ty: &Type) -> bool {
    matches!(*ty, Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::CSTRING)
        || (ty.name() == "citext" && *ty.kind() == Kind::Simple)
}

fn is_json(ty: &Type) -> bool {
    matches!(*ty, Type::JSON | Type::JSONB)
}

/// Types for which a number makes no sense; every other type is for the server to judge.
fn refuses_numbers(ty: &Type) -> bool {
    matches!(
        *ty,
        Type::BOOL
            | Type::DATE
            | Type::TIME
            | Type::TIMETZ
            | Type::TIMESTAMP
            | Type::TIMESTAMPTZ
            | Type::UUID
            | Type::BYTEA
            | Type::INET
            | Type::CIDR
            | Type::MACADDR
            | Type::MACADDR8
            | Type::POINT
            | Type::LSEG
            | Type::BOX
            | Type::PATH
            | Type::POLYGON
            | Type::LINE
            | Type::CIRCLE
            | Type::RECORD
    ) || matches!(ty.kind(), Kind::Array(_) | Kind::Range(_) | Kind::Multirange(_) | Kind::Composite(_))
}

/// A checked value on its way into a type of fixed length.
enum Binary {
    Bool(bool),
    Int2(i16),
    Int4(i32),
    Int8(i64),
    Oid(u32),
    Float4(f32),
    Float8(f64),
}

impl Param<'_> {
    /// Whether this goes in binary; everything else is text that the server reads as it would any literal.
    pub(in crate::codec) fn is_binary(&self, base: &Type) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(_) => *base == Type::BOOL,
            Self::Number(_) | Self::Int(_) => is_integer(base) || *base == Type::FLOAT4 || *base == Type::FLOAT8,
            Self::BigInt(_) => is_integer(base),
            Self::Bytes(_) => *base == Type::BYTEA,
            Self::Date(_) => *base == Type::TIMESTAMPTZ,
            _ => false,
        }
    }

    /// The value as the integer type `base`, checked.
    fn integer(&self, ty: &Type, base: &Type) -> Result<Binary, ParamError> {
        let value = match *self {
            Self::Int(value) => i64::from(value),
            Self::BigInt(value) => value,
            Self::Number(value) if !value.is_finite() => return Err(self.is_no(ty)),
            // -2^63 and 2^63 are exact; the range excludes the latter.
            Self::Number(value) if value.fract() == 0.0 && (-TWO_63..TWO_63).contains(&value) => value as i64,
            _ => return Err(self.does_not_fit(ty)),
        };
        let fitted = match *base {
            Type::INT2 => i16::try_from(value).map(Binary::Int2),
            Type::INT4 => i32::try_from(value).map(Binary::Int4),
            Type::OID => u32::try_from(value).map(Binary::Oid),
            _ => Ok(Binary::Int8(value)),
        };
        fitted.map_err(|_| self.does_not_fit(ty))
    }

    /// The value as float4: one that becomes an infinity or zero does not fit, as the server has it.
    fn float4(&self, ty: &Type, value: f64) -> Result<f32, ParamError> {
        let narrow = value as f32;
        let overflows = narrow.is_infinite() && value.is_finite();
        let underflows = narrow == 0.0 && value != 0.0;
        if overflows || underflows { Err(self.does_not_fit(ty)) } else { Ok(narrow) }
    }

    pub(in crate::codec) fn write_binary(&self, ty: &Type, base: &Type, out: &mut BytesMut) -> Result<(), ParamError> {
        let value = match (self, base) {
            (Self::Bytes(bytes), _) => {
                out.put_slice(bytes);
                return Ok(());
            }
            (&Self::Date(ms), _) => Binary::Int8(self.timestamptz(ty, ms)?),
            (&Self::Bool(value), _) => Binary::Bool(value),
            (&Self::Number(value), &Type::FLOAT8) => Binary::Float8(value),
            (&Self::Int(value), &Type::FLOAT8) => Binary::Float8(value.into()),
            (&Self::Number(value), &Type::FLOAT4) => Binary::Float4(self.float4(ty, value)?),
            (&Self::Int(value), &Type::FLOAT4) => Binary::Float4(value as f32),
            _ => self.integer(ty, base)?,
        };
        match value {
            Binary::Bool(value) => out.put_u8(value.into()),
            Binary::Int2(value) => out.put_i16(value),
            Binary::Int4(value) => out.put_i32(value),
            Binary::Int8(value) => out.put_i64(value),
            Binary::Oid(value) => out.put_u32(value),
            Binary::Float4(value) => out.put_f32(value),
            Binary::Float8(value) => out.put_f64(value),
        }
        Ok(())
    }

    /// Microseconds since 2000, checked against `MIN_TIMESTAMP` and `END_TIMESTAMP` (datatype/timestamp.h).
    fn timestamptz(&self, ty: &Type, ms: f64) -> Result<i64, ParamError> {
        let micros = (date_ms(ms)? - EPOCH_DAYS * (DAY_US / 1000)) * 1000;
        if (-211_813_488_000_000_000..9_223_371_331_200_000_000).contains(&micros) {
            Ok(micros)
        } else {
            Err(self.does_not_fit(ty))
        }
    }

    /// The value as the server reads it from text; what array elements and everything not binary are sent as.
    pub(in crate::codec) fn write_text(&self, to: Target<'_>, out: &mut BytesMut) -> Result<(), ParamError> {
        let ty = to.ty;
        let base = base(ty);
        match self {
            Self::Null => {}
            Self::String(text) if matches!(*base, Type::TIMESTAMPTZ | Type::TIMESTAMP | Type::DATE) => {
                put_text(expanded(text).as_deref().unwrap_or(text), out)?;
            }
            Self::String(text) => put_text(text, out)?,
            Self::Bool(value) => {
                if !(*base == Type::BOOL || is_text(base) || is_json(base)) {
                    return Err(self.cannot_send(ty));
                }
                out.put_slice(if *value { b"true" } else { b"false" });
            }
            Self::Int(_) | Self::Number(_) | Self::BigInt(_) | Self::BigIntText(_) => {
                self.write_number(ty, base, out)?;
            }
            Self::Bytes(bytes) if *base == Type::BYTEA => array::put_hex(bytes, out),
            Self::Date(ms) => self.write_date(ty, base, *ms, out)?,
            Self::Json(text) if is_json(base) || is_text(base) => put_text(text, out)?,
            Self::Object(object) => match base.kind() {
                _ if is_json(base) || is_text(base) => json::put_object(object, ty, out)?,
                Kind::Composite(fields) => structure::put_composite(&object.members, fields, to, out)?,
                Kind::Range(subtype) => structure::put_range(&object.members, subtype, to, out)?,
                _ if is_hstore(base) => structure::put_hstore(&object.members, to, out)?,
                _ => return Err(self.cannot_send(ty)),
            },
            Self::Array(items) => match base.kind() {
                _ if is_json(base) => json::put_array(items, ty, out)?,
                _ if matches!(*base, Type::INT2_VECTOR | Type::OID_VECTOR) => {
                    array::put_vector(items, to, base, out)?;
                }
                Kind::Array(member) => array::put_array(items, to, member, out)?,
                Kind::Multirange(subtype) => structure::put_multirange(items, subtype, to, out)?,
                _ => match to.catalog.range_of(base).map(Type::kind) {
                    Some(Kind::Range(subtype)) => structure::put_multirange(items, subtype, to, out)?,
                    _ => return Err(self.cannot_send(ty)),
                },
            },
            Self::Bytes(_) | Self::Json(_) => return Err(self.cannot_send(ty)),
        }
        Ok(())
    }

    fn write_number(&self, ty: &Type, base: &Type, out: &mut BytesMut) -> Result<(), ParamError> {
        if refuses_numbers(base) {
            return Err(self.cannot_send(ty));
        }
        if is_integer(base) {
            self.integer(ty, base)?;
        }
        match *self {
            Self::Number(value) if is_json(base) && !value.is_finite() => {
                return Err(self.is_no(ty));
            }
            Self::Number(value) => {
                if *base == Type::FLOAT4 {
                    self.float4(ty, value)?;
                }
                // String(-0) is '0', but a float has the sign.
                if matches!(*base, Type::FLOAT4 | Type::FLOAT8) && value == 0.0 && value.is_sign_negative() {
                    out.put_u8(b'-');
                }
                put_js_number(out, value);
            }
            Self::Int(value) => put_i64(out, value.into()),
            Self::BigInt(value) => put_i64(out, value),
            Self::BigIntText(digits) => out.put_slice(digits.as_bytes()),
            _ => {}
        }
        Ok(())
    }

    fn write_date(&self, ty: &Type, base: &Type, ms: f64, out: &mut BytesMut) -> Result<(), ParamError> {
        let ms = date_ms(ms)?;
        match *base {
            Type::TIMESTAMPTZ | Type::TIMESTAMP | Type::DATE | Type::TIME | Type::TIMETZ => {
                put_server_date_time(ms, out);
            }
            Type::JSON | Type::JSONB => put_json_date(ms, out),
            _ if is_text(base) => put_iso(ms, out),
            _ => return Err(self.cannot_send(ty)),
        }
        Ok(())
    }
}

const TWO_63: f64 = 9_223_372_036_854_775_808.0;

fn is_integer(ty: &Type) -> bool {
    matches!(*ty, Type::INT2 | Type::INT4 | Type::INT8 | Type::OID)
}

fn put_text(text: &str, out: &mut BytesMut) -> Result<(), ParamError> {
    if text.as_bytes().contains(&0) {
        return Err(ParamError::Nul);
    }
    out.put_slice(text.as_bytes());
    Ok(())
}

/// A Date's time value: an integer of at most 8.64e15 (ECMA-262, `TimeClip`).
pub(in crate::codec) fn date_ms(ms: f64) -> Result<i64, ParamError> {
    if ms.abs() <= 8.64e15 { Ok(ms.floor() as i64) } else { Err(ParamError::InvalidDate) }
}

fn split_ms(ms: i64) -> (i64, u64) {
    let day = DAY_US / 1000;
    (ms.div_euclid(day), ms.rem_euclid(day).unsigned_abs())
}

/// As JavaScript's toISOString.
fn put_iso(ms: i64, out: &mut BytesMut) {
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
fn put_server_date_time(ms: i64, out: &mut BytesMut) {
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

impl Param<'_> {
    /// Writes the value in the format that [`Self::format`] says.
    pub(crate) fn write(&self, to: Target<'_>, out: &mut BytesMut) -> Result<IsNull, ParamError> {
        if matches!(self, Self::Null) {
            return Ok(IsNull::Yes);
        }
        let base = base(to.ty);
        if self.is_binary(base) {
            self.write_binary(to.ty, base, out)?;
        } else {
            self.write_text(to, out)?;
        }
        Ok(IsNull::No)
    }

    /// The format in which the value goes to the server.
    pub(crate) fn format(&self, ty: &Type) -> Format {
        if self.is_binary(base(ty)) { Format::Binary } else { Format::Text }
    }
}
