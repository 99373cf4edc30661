//! JavaScript arrays as JSON text, as `JSON.stringify` would write them.

use bytes::{BufMut, BytesMut};
use postgres_types::Type;

use crate::codec::encode::date::{date_ms, put_json_date};
use crate::codec::encode::param::{ObjectMembers, Param};
use crate::codec::error::ParamError;
use crate::codec::float::{put_i64, put_js_number};
use crate::codec::text::quote::put_string;

/// The JSON text of an array.
pub(in crate::codec) fn put_array(items: &[Param<'_>], ty: &Type, out: &mut BytesMut) -> Result<(), ParamError> {
    out.put_u8(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.put_u8(b',');
        }
        put_value(item, ty, out)?;
    }
    out.put_u8(b']');
    Ok(())
}

fn put_value(item: &Param<'_>, ty: &Type, out: &mut BytesMut) -> Result<(), ParamError> {
    match item {
        Param::Null => out.put_slice(b"null"),
        Param::Bool(value) => out.put_slice(if *value { b"true" } else { b"false" }),
        Param::Number(value) if !value.is_finite() => out.put_slice(b"null"),
        Param::Number(value) => put_js_number(out, *value),
        Param::Int(value) => put_i64(out, i64::from(*value)),
        Param::BigInt(value) => put_i64(out, *value),
        Param::BigIntText(digits) => out.put_slice(digits.as_bytes()),
        Param::String(text) => put_string(text, out),
        Param::Date(ms) => match date_ms(*ms) {
            Ok(ms) => put_json_date(ms, out),
            Err(_) => out.put_slice(b"null"),
        },
        Param::Json(text) => out.put_slice(text.as_bytes()),
        Param::Object(object) => put_object(object, ty, out)?,
        Param::Array(_) | Param::Set(_) | Param::View(_) | Param::Bytes(_) => match item.elements() {
            Some(items) => put_array(&items, ty, out)?,
            None => return Err(item.cannot_send(ty)),
        },
    }
    Ok(())
}

/// The JSON text of an object.
pub(in crate::codec) fn put_object(
    object: &ObjectMembers<'_>,
    ty: &Type,
    out: &mut BytesMut,
) -> Result<(), ParamError> {
    if let Some(json) = object.json {
        out.put_slice(json.as_bytes());
        return Ok(());
    }
    out.put_u8(b'{');
    for (index, (key, value)) in object.members.iter().enumerate() {
        if index > 0 {
            out.put_u8(b',');
        }
        put_string(key, out);
        out.put_u8(b':');
        put_value(value, ty, out)?;
    }
    out.put_u8(b'}');
    Ok(())
}
