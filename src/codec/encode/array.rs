//! JavaScript arrays as PostgreSQL's array literals (docs, 8.15.6 Array Input and Output Syntax).

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};
use postgres_types::{Kind, Type};

use crate::codec::decode::array::MAX_DIMENSIONS;
use crate::codec::decode::net::hex;
use crate::codec::encode::param::{Param, Target};
use crate::codec::error::ParamError;
use crate::codec::text::quote::insert_backslashes;
use crate::codec::types::{base, type_name};

/// bytea in hex format.
pub(in crate::codec) fn put_hex(bytes: &[u8], out: &mut BytesMut) {
    out.reserve(2 + bytes.len() * 2);
    out.put_slice(b"\\x");
    for &byte in bytes {
        out.put_slice(&hex(byte));
    }
}

/// int2vector and oidvector: `1 2 3`.
pub(in crate::codec) fn put_vector(
    items: &[Param<'_>],
    to: Target<'_>,
    vector: &Type,
    out: &mut BytesMut,
) -> Result<(), ParamError> {
    let member = if *vector == Type::INT2_VECTOR { Type::INT2 } else { Type::OID };
    for (index, item) in items.iter().enumerate() {
        if !matches!(item, Param::Int(_) | Param::Number(_) | Param::BigInt(_) | Param::BigIntText(_)) {
            return Err(item.cannot_send(to.ty));
        }
        if index > 0 {
            out.put_u8(b' ');
        }
        item.write_text(to.with(&member), out)?;
    }
    Ok(())
}

/// An array literal; `member` is the type of its elements.
pub(in crate::codec) fn put_array(
    items: &[Param<'_>],
    to: Target<'_>,
    member: &Type,
    out: &mut BytesMut,
) -> Result<(), ParamError> {
    let element = base(member);
    let is_vector = matches!(*element, Type::INT2_VECTOR | Type::OID_VECTOR);
    let literal = Literal {
        ty: to.ty,
        member: to.with(member),
        delimiter: to.catalog.delimiter(member),
        of_arrays: matches!(element.kind(), Kind::Array(_)) && !is_vector,
        of_bytes: *element == Type::BYTEA,
    };
    if items.iter().all(|item| literal.is_hollow(item)) {
        out.put_slice(b"{}");
        return Ok(());
    }
    let mut dimensions = Vec::new();
    literal.measure(items, &mut dimensions)?;
    literal.put(items, &dimensions, out)
}

struct Literal<'a> {
    ty: &'a Type,
    member: Target<'a>,
    delimiter: u8,
    /// The elements are domains over arrays: an inner array is a value, not a dimension.
    of_arrays: bool,
    /// The elements are bytea: memory is a value, not a dimension.
    of_bytes: bool,
}

impl Literal<'_> {
    /// The elements of an item that is a dimension of the array; None: it is a value.
    fn nested<'p, 'a>(&self, item: &'p Param<'a>) -> Option<Cow<'p, [Param<'a>]>> {
        if self.of_arrays || (self.of_bytes && matches!(item, Param::View(_))) { None } else { item.elements() }
    }

    /// Whether the item is a dimension with no element at any depth.
    fn is_hollow(&self, item: &Param<'_>) -> bool {
        self.nested(item).is_some_and(|items| items.iter().all(|item| self.is_hollow(item)))
    }

    /// Finds the lengths of the dimensions, by the first item of each.
    fn measure(&self, items: &[Param<'_>], dimensions: &mut Vec<usize>) -> Result<(), ParamError> {
        if dimensions.len() == MAX_DIMENSIONS {
            return Err(ParamError::TooDeep { ty: type_name(self.ty) });
        }
        dimensions.push(items.len());
        match items.first().and_then(|item| self.nested(item)) {
            Some(items) => self.measure(&items, dimensions),
            None => Ok(()),
        }
    }

    fn put(&self, items: &[Param<'_>], dimensions: &[usize], out: &mut BytesMut) -> Result<(), ParamError> {
        let Some((&len, inner)) = dimensions.split_first() else {
            return Err(self.ragged());
        };
        if items.len() != len {
            return Err(self.ragged());
        }
        out.put_u8(b'{');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                out.put_u8(self.delimiter);
            }
            match self.nested(item) {
                Some(items) => self.put(&items, inner, out)?,
                None if !inner.is_empty() => return Err(self.ragged()),
                None if matches!(item, Param::Null) => out.put_slice(b"NULL"),
                None => self.put_element(item, out)?,
            }
        }
        out.put_u8(b'}');
        Ok(())
    }

    fn put_element(&self, item: &Param<'_>, out: &mut BytesMut) -> Result<(), ParamError> {
        if matches!(item, Param::Bool(_) | Param::Int(_) | Param::Number(_) | Param::BigInt(_) | Param::BigIntText(_)) {
            return item.write_text(self.member, out);
        }
        let from = out.len() + 1;
        out.put_u8(b'"');
        item.write_text(self.member, out)?;
        escape(out, from);
        out.put_u8(b'"');
        Ok(())
    }

    fn ragged(&self) -> ParamError {
        ParamError::Ragged { ty: type_name(self.ty) }
    }
}

/// Puts a backslash before each quote and backslash in what was written since `from`.
pub(in crate::codec) fn escape(out: &mut BytesMut, from: usize) {
    insert_backslashes(out, from, |byte| matches!(byte, b'"' | b'\\').then_some(byte));
}
