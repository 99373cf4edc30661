//! The parameters that JavaScript wrote, and how they are read.

use crate::codec::error::ParamError;
use crate::codec::types::type_name;
use std::borrow::Cow;
use std::fmt;

use postgres_types::Type;

use crate::codec::catalog::Catalog;
use crate::codec::encode::view::{Element, View, ViewKind};

/// How deep arrays may nest: more than the six dimensions of PostgreSQL, because they may be JSON, and not too deep for the
/// stack.
const MAX_DEPTH: usize = 64;

/// One parameter of a statement, borrowed from the bytes JavaScript wrote.
#[derive(Clone, PartialEq)]
pub(crate) enum Param<'a> {
    /// null or undefined.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A number that JavaScript found to be an i32.
    Int(i32),
    /// A BigInt.
    BigInt(i64),
    /// The digits of a BigInt that no i64 holds.
    BigIntText(Cow<'a, str>),
    /// A string.
    String(&'a str),
    /// A Buffer or `Uint8Array`.
    Bytes(&'a [u8]),
    /// Other memory: bytes, or a list of numbers.
    View(View<'a>),
    /// The time value of a Date: milliseconds since 1970, NaN when invalid.
    Date(f64),
    /// An object, as JSON text.
    Json(&'a str),
    /// An object by its members, for a type that may take them.
    Object(Box<ObjectMembers<'a>>),
    /// An array.
    Array(Vec<Param<'a>>),
    /// A Set: the array of its elements, but an error calls it by its name.
    Set(Vec<Param<'a>>),
}

impl From<Element> for Param<'_> {
    fn from(element: Element) -> Self {
        match element {
            Element::Int(value) => Self::Int(value),
            Element::Number(value) => Self::Number(value),
            Element::BigInt(value) => Self::BigInt(value),
            Element::BigUint(value) => match i64::try_from(value) {
                Ok(value) => Self::BigInt(value),
                Err(_) => Self::BigIntText(value.to_string().into()),
            },
        }
    }
}

/// An object or a Map by its members.
#[derive(Clone, PartialEq)]
pub(crate) struct ObjectMembers<'a> {
    /// What JavaScript calls it.
    pub(crate) name: &'static str,
    /// The object as JSON text; None: it is made from the members.
    pub(crate) json: Option<&'a str>,
    pub(crate) members: Vec<(&'a str, Param<'a>)>,
}

/// What a parameter is written for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'a> {
    pub(in crate::codec) ty: &'a Type,
    pub(in crate::codec) catalog: &'a Catalog,
}

impl<'a> Target<'a> {
    pub(crate) fn new(ty: &'a Type, catalog: &'a Catalog) -> Self {
        Self { ty, catalog }
    }

    /// The same database's type `ty`.
    pub(in crate::codec) fn with<'b>(self, ty: &'b Type) -> Target<'b>
    where
        'a: 'b,
    {
        Target { ty, catalog: self.catalog }
    }
}

/// Reads what JavaScript wrote, one parameter after another.
#[derive(Debug)]
pub(crate) struct ParamReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> ParamReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next parameter.
    pub(crate) fn next(&mut self) -> Result<Param<'a>, ParamError> {
        self.item(0)
    }

    /// Where the next one begins.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Goes back to a [position](Self::position).
    pub(crate) fn rewind(&mut self, position: usize) {
        self.at = position;
    }

    /// The next `len` bytes; the place after them is 8-byte aligned.
    fn take(&mut self, len: usize) -> Result<&'a [u8], ParamError> {
        let end = self.at.checked_add(len);
        let taken = end.and_then(|end| self.bytes.get(self.at..end)).ok_or(ParamError::Malformed("they end early"))?;
        self.at = (self.at + len).next_multiple_of(8).min(self.bytes.len());
        Ok(taken)
    }

    fn word(&mut self) -> Result<[u8; 8], ParamError> {
        let word = self.take(8)?;
        word.try_into().map_err(|_| ParamError::Malformed("they end early"))
    }

    fn text(&mut self, len: usize) -> Result<&'a str, ParamError> {
        std::str::from_utf8(self.take(len)?).map_err(|_| ParamError::Malformed("text that is not UTF-8"))
    }

    fn list(&mut self, count: usize, depth: usize) -> Result<Vec<Param<'a>>, ParamError> {
        // Each item has at least its header, so this bounds the memory by the input.
        if count > (self.bytes.len() - self.at) / 8 {
            return Err(ParamError::Malformed("they end early"));
        }
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(self.item(depth)?);
        }
        Ok(list)
    }

    /// Its JSON text or nothing, then the members: a key and a value each.
    fn object(&mut self, name: &'static str, count: usize, depth: usize) -> Result<Param<'a>, ParamError> {
        let json = match self.item(depth)? {
            Param::Json(text) => Some(text),
            Param::Null => None,
            _ => return Err(ParamError::Malformed("an object without a head")),
        };
        if count > (self.bytes.len() - self.at) / 16 {
            return Err(ParamError::Malformed("they end early"));
        }
        let mut members = Vec::with_capacity(count);
        for _ in 0..count {
            let Param::String(key) = self.item(depth)? else {
                return Err(ParamError::Malformed("a key that is no text"));
            };
            members.push((key, self.item(depth)?));
        }
        Ok(Param::Object(Box::new(ObjectMembers { name, json, members })))
    }

    fn item(&mut self, depth: usize) -> Result<Param<'a>, ParamError> {
        let [t0, t1, t2, t3, l0, l1, l2, l3] = self.word()?;
        let len = u32::from_le_bytes([l0, l1, l2, l3]);
        let size = len as usize;
        Ok(match u32::from_le_bytes([t0, t1, t2, t3]) {
            0 => Param::Null,
            1 => Param::Bool(false),
            2 => Param::Bool(true),
            3 => Param::Number(f64::from_le_bytes(self.word()?)),
            4 => Param::Int(len as i32),
            5 => Param::BigInt(i64::from_le_bytes(self.word()?)),
            6 => {
                let text = self.text(size)?;
                let digits = text.strip_prefix('-').unwrap_or(text);
                if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                    return Err(ParamError::Malformed("a BigInt that is no number"));
                }
                Param::BigIntText(text.into())
            }
            7 => Param::String(self.text(size)?),
            8 => Param::Bytes(self.take(size)?),
            9 => Param::Date(f64::from_le_bytes(self.word()?)),
            10 => Param::Json(self.text(size)?),
            11..=14 if depth == MAX_DEPTH => {
                return Err(ParamError::Malformed("arrays or objects nested too deep"));
            }
            11 => Param::Array(self.list(size, depth + 1)?),
            12 => self.object("object", size, depth + 1)?,
            13 => self.object("Map", size, depth + 1)?,
            14 => Param::Set(self.list(size, depth + 1)?),
            tag => match ViewKind::from_tag(tag) {
                Some(kind) => Param::View(View { bytes: self.take(size)?, kind }),
                None => return Err(ParamError::Malformed("an unknown tag")),
            },
        })
    }
}

/// Reads `count` parameters from the bytes JavaScript wrote; what follows them is ignored.
///
/// # Errors
/// When the bytes end early or hold something unknown.
pub(crate) fn read_params(bytes: &[u8], count: usize) -> Result<Vec<Param<'_>>, ParamError> {
    ParamReader::new(bytes).list(count, 0)
}

impl<'a> Param<'a> {
    /// The elements of a list; None: it is none.
    pub(in crate::codec) fn elements(&self) -> Option<Cow<'_, [Param<'a>]>> {
        match self {
            Self::Array(items) | Self::Set(items) => Some(Cow::Borrowed(items)),
            Self::View(view) => view.elements().map(|list| list.into_iter().map(Param::from).collect()),
            _ => None,
        }
    }

    /// What JavaScript calls it.
    pub(in crate::codec) fn js_type(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Number(value) if value.is_nan() => "NaN",
            Self::Number(value) if value.is_infinite() => "Infinity",
            Self::Number(_) | Self::Int(_) => "number",
            Self::BigInt(_) | Self::BigIntText(_) => "BigInt",
            Self::String(_) => "string",
            Self::Bytes(_) => "Buffer",
            Self::Date(_) => "Date",
            Self::View(view) => view.kind.name(),
            Self::Json(_) => "object",
            Self::Object(object) => object.name,
            Self::Array(_) => "array",
            Self::Set(_) => "Set",
        }
    }

    pub(in crate::codec) fn cannot_send(&self, ty: &Type) -> ParamError {
        ParamError::CannotSend { value: self.js_type(), ty: type_name(ty) }
    }

    pub(in crate::codec) fn does_not_fit(&self, ty: &Type) -> ParamError {
        ParamError::DoesNotFit { value: self.js_type(), ty: type_name(ty) }
    }

    pub(in crate::codec) fn is_no(&self, ty: &Type) -> ParamError {
        ParamError::IsNo { value: self.js_type(), ty: type_name(ty) }
    }
}

impl fmt::Debug for Param<'_> {
    /// Names the type only: tokio-postgres logs parameters, and values must not appear in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.js_type())
    }
}
