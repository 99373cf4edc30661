//! JavaScript objects as composites, ranges, multiranges and hstores: the literals that the server reads.

use bytes::{BufMut, BytesMut};
use postgres_types::{Field, Kind, Type};

use crate::codec::catalog::Catalog;
use crate::codec::encode::array::escape;
use crate::codec::encode::param::{Param, Target};
use crate::codec::error::ParamError;
use crate::codec::types::type_name;

/// Whether a parameter of this type, or a value within it, takes an object by its members. Any other takes it as JSON.
pub(crate) fn takes_structure(ty: &Type, catalog: &Catalog) -> bool {
    match ty.kind() {
        Kind::Composite(_) | Kind::Range(_) | Kind::Multirange(_) => true,
        Kind::Array(inner) | Kind::Domain(inner) => takes_structure(inner, catalog),
        _ => is_hstore(ty) || catalog.range_of(ty).is_some(),
    }
}

pub(in crate::codec) fn is_hstore(ty: &Type) -> bool {
    ty.name() == "hstore" && *ty.kind() == Kind::Simple
}

type Members<'a> = [(&'a str, Param<'a>)];

fn member<'m, 'a>(members: &'m Members<'a>, name: &str) -> &'m Param<'a> {
    members.iter().find(|(key, _)| *key == name).map_or(&Param::Null, |(_, value)| value)
}

fn refuse_others(members: &Members<'_>, known: &[&str], to: Target<'_>) -> Result<(), ParamError> {
    match members.iter().find(|(key, _)| !known.contains(key)) {
        Some((key, _)) => Err(ParamError::UnknownMember { member: (*key).to_owned(), ty: type_name(to.ty) }),
        None => Ok(()),
    }
}

/// A value in double quotes.
fn put_quoted(value: &Param<'_>, to: Target<'_>, out: &mut BytesMut) -> Result<(), ParamError> {
    out.put_u8(b'"');
    let from = out.len();
    value.write_text(to, out)?;
    escape(out, from);
    out.put_u8(b'"');
    Ok(())
}

/// `("1","a",)`: attributes that the object does not have are NULL, members that are no attributes are refused.
pub(in crate::codec) fn put_composite(
    members: &Members<'_>,
    fields: &[Field],
    to: Target<'_>,
    out: &mut BytesMut,
) -> Result<(), ParamError> {
    let names: Vec<_> = fields.iter().map(Field::name).collect();
    refuse_others(members, &names, to)?;
    out.put_u8(b'(');
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            out.put_u8(b',');
        }
        match member(members, field.name()) {
            Param::Null => {}
            value => put_quoted(value, to.with(field.type_()), out)?,
        }
    }
    out.put_u8(b')');
    Ok(())
}

/// `["1","5")` from `{ lower, upper, bounds }`: a bound that is missing is infinite, `bounds` is `'[)'` by default.
pub(in crate::codec) fn put_range(
    members: &Members<'_>,
    subtype: &Type,
    to: Target<'_>,
    out: &mut BytesMut,
) -> Result<(), ParamError> {
    refuse_others(members, &["lower", "upper", "bounds"], to)?;
    let (open, close) = match member(members, "bounds") {
        Param::Null | Param::String("[)") => (b'[', b')'),
        Param::String("[]") => (b'[', b']'),
        Param::String("(]") => (b'(', b']'),
        Param::String("()") => (b'(', b')'),
        _ => return Err(ParamError::Bounds),
    };
    out.put_u8(open);
    for (name, end) in [("lower", b','), ("upper", close)] {
        match member(members, name) {
            Param::Null => {}
            value => put_quoted(value, to.with(subtype), out)?,
        }
        out.put_u8(end);
    }
    Ok(())
}

/// `{[1,5),[7,9)}`: each range an object or a text.
pub(in crate::codec) fn put_multirange(
    items: &[Param<'_>],
    subtype: &Type,
    to: Target<'_>,
    out: &mut BytesMut,
) -> Result<(), ParamError> {
    out.put_u8(b'{');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.put_u8(b',');
        }
        match item {
            Param::Object(object) => put_range(&object.members, subtype, to, out)?,
            Param::String(_) => item.write_text(to, out)?,
            _ => return Err(item.cannot_send(to.ty)),
        }
    }
    out.put_u8(b'}');
    Ok(())
}

/// `"key"=>"value", "key"=>NULL`.
pub(in crate::codec) fn put_hstore(
    members: &Members<'_>,
    to: Target<'_>,
    out: &mut BytesMut,
) -> Result<(), ParamError> {
    for (index, (key, value)) in members.iter().enumerate() {
        if index > 0 {
            out.put_u8(b',');
        }
        put_quoted(&Param::String(key), to.with(&Type::TEXT), out)?;
        out.put_slice(b"=>");
        match value {
            Param::Null => out.put_slice(b"NULL"),
            Param::Object(_) | Param::Array(_) | Param::Set(_) | Param::Bytes(_) | Param::View(_) => {
                return Err(value.cannot_send(to.ty));
            }
            value => put_quoted(value, to.with(&Type::TEXT), out)?,
        }
    }
    Ok(())
}
