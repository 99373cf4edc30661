//! Writes each parameter as its type on the server needs it.

use crate::codec::encode::date::{date_ms, put_iso, put_json_date, put_server_date_time};
use crate::codec::registry::SendAs;
use crate::codec::types::base;
use bytes::{BufMut, BytesMut};
use postgres_types::{Format, IsNull, Kind, Type};

use crate::codec::decode::datetime::{DAY_US, EPOCH_DAYS};
use crate::codec::encode::param::{Param, Target};
use crate::codec::encode::structure::is_hstore;
use crate::codec::encode::view::View;
use crate::codec::encode::{array, json, structure};
use crate::codec::error::ParamError;
use crate::codec::float::{put_i64, put_js_number};
use crate::codec::text::datetime_text::expanded;

/// A checked value on its way into a type of fixed length.
enum FixedLength {
    Bool(bool),
    Int2(i16),
    Int4(i32),
    Int8(i64),
    Oid(u32),
    Float4(f32),
    Float8(f64),
}

impl Param<'_> {
    /// Whether it is sent in binary; anything else is sent as text, which the server reads as it reads a literal.
    pub(in crate::codec) fn is_binary(&self, send_as: SendAs) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(_) => send_as == SendAs::Bool,
            Self::Number(_) | Self::Int(_) => send_as.is_integer() || send_as.is_float(),
            Self::BigInt(_) => send_as.is_integer(),
            Self::Bytes(_) | Self::View(_) => send_as == SendAs::Bytea,
            Self::Date(_) => send_as == SendAs::Timestamptz,
            _ => false,
        }
    }

    /// The value as an integer type, checked.
    fn integer(&self, ty: &Type, send_as: SendAs) -> Result<FixedLength, ParamError> {
        let value = match *self {
            Self::Int(value) => i64::from(value),
            Self::BigInt(value) => value,
            Self::Number(value) if !value.is_finite() => return Err(self.is_no(ty)),
            // -2^63 and 2^63 are exact; the range excludes the latter.
            Self::Number(value) if value.fract() == 0.0 && (-TWO_63..TWO_63).contains(&value) => value as i64,
            _ => return Err(self.does_not_fit(ty)),
        };
        let fitted = match send_as {
            SendAs::Int2 => i16::try_from(value).map(FixedLength::Int2),
            SendAs::Int4 => i32::try_from(value).map(FixedLength::Int4),
            SendAs::Oid => u32::try_from(value).map(FixedLength::Oid),
            _ => Ok(FixedLength::Int8(value)),
        };
        fitted.map_err(|_| self.does_not_fit(ty))
    }

    /// The value as float4. One that becomes an infinity or zero does not fit, as for the server.
    fn float4(&self, ty: &Type, value: f64) -> Result<f32, ParamError> {
        let narrow = value as f32;
        let overflows = narrow.is_infinite() && value.is_finite();
        let underflows = narrow == 0.0 && value != 0.0;
        if overflows || underflows { Err(self.does_not_fit(ty)) } else { Ok(narrow) }
    }

    pub(in crate::codec) fn write_binary(
        &self,
        ty: &Type,
        send_as: SendAs,
        out: &mut BytesMut,
    ) -> Result<(), ParamError> {
        let value = match (self, send_as) {
            (Self::Bytes(bytes) | Self::View(View { bytes, .. }), _) => {
                out.put_slice(bytes);
                return Ok(());
            }
            (&Self::Date(ms), _) => FixedLength::Int8(self.timestamptz(ty, ms)?),
            (&Self::Bool(value), _) => FixedLength::Bool(value),
            (&Self::Number(value), SendAs::Float8) => FixedLength::Float8(value),
            (&Self::Int(value), SendAs::Float8) => FixedLength::Float8(value.into()),
            (&Self::Number(value), SendAs::Float4) => FixedLength::Float4(self.float4(ty, value)?),
            (&Self::Int(value), SendAs::Float4) => FixedLength::Float4(value as f32),
            _ => self.integer(ty, send_as)?,
        };
        match value {
            FixedLength::Bool(value) => out.put_u8(value.into()),
            FixedLength::Int2(value) => out.put_i16(value),
            FixedLength::Int4(value) => out.put_i32(value),
            FixedLength::Int8(value) => out.put_i64(value),
            FixedLength::Oid(value) => out.put_u32(value),
            FixedLength::Float4(value) => out.put_f32(value),
            FixedLength::Float8(value) => out.put_f64(value),
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

    /// Writes the value as text, which is how array elements and all that is not binary are sent.
    pub(in crate::codec) fn write_text(&self, to: Target<'_>, out: &mut BytesMut) -> Result<(), ParamError> {
        let ty = to.ty;
        let base = base(ty);
        let send_as = SendAs::of(base);
        match self {
            Self::Null => {}
            Self::String(text) if send_as.has_date() => {
                put_text(expanded(text).as_deref().unwrap_or(text), out)?;
            }
            Self::String(text) => put_text(text, out)?,
            Self::Bool(value) => {
                if !(send_as == SendAs::Bool || send_as.is_text() || send_as.is_json()) {
                    return Err(self.cannot_send(ty));
                }
                out.put_slice(if *value { b"true" } else { b"false" });
            }
            Self::Int(_) | Self::Number(_) | Self::BigInt(_) | Self::BigIntText(_) => {
                self.write_number(ty, send_as, out)?;
            }
            Self::Bytes(bytes) | Self::View(View { bytes, .. }) if send_as == SendAs::Bytea => {
                array::put_hex(bytes, out);
            }
            Self::Date(ms) => self.write_date(ty, send_as, *ms, out)?,
            Self::Json(text) if send_as.is_json() || send_as.is_text() => put_text(text, out)?,
            Self::Object(object) => match base.kind() {
                _ if send_as.is_json() || send_as.is_text() => json::put_object(object, ty, out)?,
                Kind::Composite(fields) => structure::put_composite(&object.members, fields, to, out)?,
                Kind::Range(subtype) => structure::put_range(&object.members, subtype, to, out)?,
                _ if is_hstore(base) => structure::put_hstore(&object.members, to, out)?,
                _ => return Err(self.cannot_send(ty)),
            },
            Self::Array(_) | Self::Set(_) | Self::View(_) => self.write_list(to, out)?,
            Self::Bytes(_) | Self::Json(_) => return Err(self.cannot_send(ty)),
        }
        Ok(())
    }

    /// Writes the elements as an array, a vector, a multirange or JSON.
    fn write_list(&self, to: Target<'_>, out: &mut BytesMut) -> Result<(), ParamError> {
        let base = base(to.ty);
        let send_as = SendAs::of(base);
        let Some(items) = self.elements() else { return Err(self.cannot_send(to.ty)) };
        match base.kind() {
            _ if send_as.is_json() => json::put_array(&items, to.ty, out),
            _ if send_as == SendAs::Vector => array::put_vector(&items, to, base, out),
            Kind::Array(member) => array::put_array(&items, to, member, out),
            Kind::Multirange(subtype) => structure::put_multirange(&items, subtype, to, out),
            _ => match to.catalog.range_of(base).map(Type::kind) {
                Some(Kind::Range(subtype)) => structure::put_multirange(&items, subtype, to, out),
                _ => Err(self.cannot_send(to.ty)),
            },
        }
    }

    fn write_number(&self, ty: &Type, send_as: SendAs, out: &mut BytesMut) -> Result<(), ParamError> {
        if !send_as.takes_numbers() {
            return Err(self.cannot_send(ty));
        }
        if send_as.is_integer() {
            self.integer(ty, send_as)?;
        }
        match *self {
            Self::Number(value) if send_as.is_json() && !value.is_finite() => {
                return Err(self.is_no(ty));
            }
            Self::Number(value) => {
                if send_as == SendAs::Float4 {
                    self.float4(ty, value)?;
                }
                // String(-0) is '0', but a float has the sign.
                if send_as.is_float() && value == 0.0 && value.is_sign_negative() {
                    out.put_u8(b'-');
                }
                put_js_number(out, value);
            }
            Self::Int(value) => put_i64(out, value.into()),
            Self::BigInt(value) => put_i64(out, value),
            Self::BigIntText(ref digits) => out.put_slice(digits.as_bytes()),
            _ => {}
        }
        Ok(())
    }

    fn write_date(&self, ty: &Type, send_as: SendAs, ms: f64, out: &mut BytesMut) -> Result<(), ParamError> {
        let ms = date_ms(ms)?;
        match send_as {
            _ if send_as.takes_dates() => put_server_date_time(ms, out),
            _ if send_as.is_json() => put_json_date(ms, out),
            _ if send_as.is_text() => put_iso(ms, out),
            _ => return Err(self.cannot_send(ty)),
        }
        Ok(())
    }
}

const TWO_63: f64 = 9_223_372_036_854_775_808.0;

fn put_text(text: &str, out: &mut BytesMut) -> Result<(), ParamError> {
    if text.as_bytes().contains(&0) {
        return Err(ParamError::Nul);
    }
    out.put_slice(text.as_bytes());
    Ok(())
}

impl Param<'_> {
    /// Writes the value in the format that [`Self::format`] says.
    pub(crate) fn write(&self, to: Target<'_>, out: &mut BytesMut) -> Result<IsNull, ParamError> {
        if matches!(self, Self::Null) {
            return Ok(IsNull::Yes);
        }
        let send_as = SendAs::of(base(to.ty));
        if self.is_binary(send_as) {
            self.write_binary(to.ty, send_as, out)?;
        } else {
            self.write_text(to, out)?;
        }
        Ok(IsNull::No)
    }

    /// The format in which the value goes to the server.
    pub(crate) fn format(&self, ty: &Type) -> Format {
        if self.is_binary(SendAs::of(base(ty))) { Format::Binary } else { Format::Text }
    }
}
