//! One binary value to one slot: the table of types.

use postgres_types::{Kind, Type};

use super::array::ArrayDecoder;
use super::datetime::{self, Zone};
use super::float::{float4_to_f64, put_i64};
use super::pack::{Packer, SlotKind};
use super::read::fixed;
use super::shown::Shown;
use super::{net, numeric};

/// How int8 arrives in JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Int8As {
    /// As a BigInt.
    #[default]
    BigInt,
    /// As a number; beyond 2^53 it is rounded.
    Number,
    /// As a string of digits.
    Text,
}

/// How numeric arrives in JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum NumericAs {
    /// As a string with every digit the server prints.
    #[default]
    Text,
    /// As the nearest number.
    Number,
}

/// How timestamptz, timestamp and date arrive in JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum DateAs {
    /// As an ISO 8601 string.
    #[default]
    Text,
    /// As a Date; values without a zone are taken as UTC.
    Date,
}

/// How json and jsonb arrive in JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum JsonAs {
    /// Parsed.
    #[default]
    Parse,
    /// As the document's text.
    Text,
}

/// How those types arrive for which the user may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TypeChoices {
    /// For int8.
    pub(crate) int8: Int8As,
    /// For numeric.
    pub(crate) numeric: NumericAs,
    /// For timestamptz, timestamp and date.
    pub(crate) date: DateAs,
    /// For json and jsonb.
    pub(crate) json: JsonAs,
}

/// What was wrong with a binary value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    /// The type has one length, and this is not it.
    #[error("{got} bytes where the type has {expected}")]
    Length {
        /// The type's length in bytes.
        expected: usize,
        /// The value's length in bytes.
        got: usize,
    },
    /// The value ends before it is complete.
    #[error("the value ends too early")]
    Truncated,
    /// Something follows the value.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
    /// Text is not UTF-8.
    #[error("the text is not valid UTF-8")]
    NotUtf8,
    /// An array has elements of another type than announced.
    #[error("an array of elements of type {got} where type {expected} was announced")]
    ElementType {
        /// The oid of the announced element type.
        expected: u32,
        /// The oid in the value.
        got: u32,
    },
    /// The value, or the batch it is in, is larger than JavaScript can hold.
    #[error("the value is too large for a JavaScript string or Buffer")]
    TooLarge,
    /// A field holds something impossible.
    #[error("the value holds {0}")]
    Invalid(&'static str),
}

/// Decodes the values of one type.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // the variants are the types
pub(crate) enum Decoder {
    Bool,
    Int2,
    Int4,
    Oid,
    Float4,
    Float8,
    Int8(Int8As),
    Numeric(NumericAs),
    Text,
    Bytea,
    Json(JsonAs),
    Jsonb(JsonAs),
    Uuid,
    Timestamptz(DateAs),
    Timestamp(DateAs),
    Date(DateAs),
    Time,
    Void,
    Array(Box<ArrayDecoder>),
    /// Everything that arrives as the server prints it.
    Shown(Shown),
}

impl Decoder {
    /// The decoder of a type, or None where we have none.
    #[allow(clippy::trivially_copy_pass_by_ref)] // it stands beside a type by reference, and may grow
    pub(crate) fn for_type(ty: &Type, choices: &TypeChoices) -> Option<Self> {
        Some(match *ty {
            Type::BOOL => Self::Bool,
            Type::INT2 => Self::Int2,
            Type::INT4 => Self::Int4,
            Type::INT8 => Self::Int8(choices.int8),
            Type::OID => Self::Oid,
            Type::FLOAT4 => Self::Float4,
            Type::FLOAT8 => Self::Float8,
            Type::NUMERIC => Self::Numeric(choices.numeric),
            Type::TEXT
            | Type::VARCHAR
            | Type::BPCHAR
            | Type::NAME
            | Type::UNKNOWN
            | Type::XML
            | Type::CSTRING
            | Type::REFCURSOR
            | Type::PG_NODE_TREE => Self::Text,
            Type::BYTEA => Self::Bytea,
            Type::JSON => Self::Json(choices.json),
            Type::JSONB => Self::Jsonb(choices.json),
            Type::UUID => Self::Uuid,
            Type::TIMESTAMPTZ => Self::Timestamptz(choices.date),
            Type::TIMESTAMP => Self::Timestamp(choices.date),
            Type::DATE => Self::Date(choices.date),
            Type::TIME => Self::Time,
            Type::VOID => Self::Void,
            _ => match Shown::for_type(ty) {
                Some(shown) => Self::Shown(shown),
                None => return Self::for_kind(ty, *choices),
            },
        })
    }

    fn for_kind(ty: &Type, choices: TypeChoices) -> Option<Self> {
        match ty.kind() {
            Kind::Enum(_) => Some(Self::Text),
            Kind::Domain(base) => Self::for_type(base, &choices),
            Kind::Array(member) => {
                let element = Self::for_type(member, &choices)?;
                // An array of a domain over an array: a slot cannot say what its elements hold.
                if matches!(element, Self::Array(_)) {
                    return None;
                }
                Some(Self::Array(Box::new(ArrayDecoder { element, element_oid: member.oid() })))
            }
            Kind::Simple if ty.name() == "citext" => Some(Self::Text),
            _ => None,
        }
    }

    /// What this decoder's slots hold.
    pub(crate) fn kind(&self) -> SlotKind {
        match self {
            Self::Bool => SlotKind::Bool,
            Self::Int2 | Self::Int4 => SlotKind::Int,
            Self::Oid | Self::Float4 | Self::Float8 | Self::Int8(Int8As::Number) | Self::Numeric(NumericAs::Number) => {
                SlotKind::Float
            }
            Self::Int8(Int8As::BigInt) => SlotKind::BigInt,
            Self::Bytea => SlotKind::Bytes,
            Self::Json(JsonAs::Parse) | Self::Jsonb(JsonAs::Parse) => SlotKind::Json,
            Self::Timestamptz(DateAs::Date) | Self::Timestamp(DateAs::Date) | Self::Date(DateAs::Date) => {
                SlotKind::Date
            }
            Self::Void => SlotKind::Void,
            Self::Array(_) => SlotKind::Array,
            _ => SlotKind::Text,
        }
    }

    /// What the elements of an array hold; of any other type the same as [`Decoder::kind`].
    pub(crate) fn element_kind(&self) -> SlotKind {
        match self {
            Self::Array(array) => array.element.kind(),
            other => other.kind(),
        }
    }

    /// The document in a value of json or jsonb that is to arrive parsed; None for any other type.
    pub(crate) fn document<'a>(&self, raw: &'a [u8]) -> Option<Result<&'a [u8], DecodeError>> {
        match self {
            Self::Json(JsonAs::Parse) => Some(Ok(raw)),
            Self::Jsonb(JsonAs::Parse) => Some(versioned(raw)),
            _ => None,
        }
    }

    /// Decodes one value that is not NULL: its text and bytes go to `out`, its slot is returned.
    ///
    /// # Errors
    /// When `raw` is no value of the type; what was appended to `out` for it then belongs to nothing.
    #[inline]
    pub(crate) fn decode(&self, raw: &[u8], out: &mut Packer) -> Result<u64, DecodeError> {
        match self {
            Self::Bool => Ok(u64::from(fixed::<1>(raw)? != [0])),
            Self::Int2 => Ok(int_slot(i16::from_be_bytes(fixed(raw)?).into())),
            Self::Int4 => Ok(int_slot(i32::from_be_bytes(fixed(raw)?))),
            Self::Oid => Ok(f64::from(u32::from_be_bytes(fixed(raw)?)).to_bits()),
            Self::Float4 => Ok(float4_to_f64(f32::from_be_bytes(fixed(raw)?)).to_bits()),
            // The wire's bits are the slot's bits.
            Self::Float8 | Self::Int8(Int8As::BigInt) => Ok(u64::from_be_bytes(fixed(raw)?)),
            Self::Int8(Int8As::Number) => Ok((i64::from_be_bytes(fixed(raw)?) as f64).to_bits()),
            Self::Text | Self::Json(_) => out.push_utf8(raw),
            Self::Jsonb(_) => out.push_utf8(versioned(raw)?),
            Self::Bytea => out.push_bytea(raw),
            Self::Uuid => out.push_ascii(&net::uuid(raw)?),
            Self::Numeric(NumericAs::Number) => Ok(numeric::to_f64(raw, &mut out.text)?.to_bits()),
            Self::Timestamptz(DateAs::Date) | Self::Timestamp(DateAs::Date) => {
                Ok(datetime::timestamp_ms(raw)?.to_bits())
            }
            Self::Date(DateAs::Date) => Ok(datetime::date_ms(raw)?.to_bits()),
            Self::Void => Ok(0),
            Self::Array(array) => array.decode(raw, out),
            _ => out.text_with(|text| self.write_text(raw, text)),
        }
    }

    /// Those types that arrive as text but are not text on the wire.
    pub(super) fn write_text(&self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        match self {
            Self::Int8(_) => put_i64(out, i64::from_be_bytes(fixed(raw)?)),
            Self::Numeric(_) => numeric::write(raw, out)?,
            Self::Timestamptz(_) => datetime::write_timestamp(raw, Zone::Utc, out)?,
            Self::Timestamp(_) => datetime::write_timestamp(raw, Zone::None, out)?,
            Self::Date(_) => datetime::write_date(raw, out)?,
            Self::Time => datetime::write_time(raw, out)?,
            Self::Shown(shown) => shown.write(raw, out)?,
            _ => return Err(DecodeError::Invalid("a type that is not text")),
        }
        Ok(())
    }
}

#[inline]
fn int_slot(value: i32) -> u64 {
    u64::from(value as u32)
}

/// The text after the version byte of jsonb (`jsonb_send`) and jsonpath.
pub(super) fn versioned(raw: &[u8]) -> Result<&[u8], DecodeError> {
    match raw {
        [1, text @ ..] => Ok(text),
        [] => Err(DecodeError::Truncated),
        _ => Err(DecodeError::Invalid("an unknown version of its format")),
    }
}
