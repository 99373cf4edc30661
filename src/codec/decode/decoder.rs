//! One value to one slot: the table of types.

use std::collections::HashMap;

use postgres_types::{Kind, Type};
use serde_json::{Value, json};

use crate::codec::catalog::{Catalog, is_foreign};
use crate::codec::decode::array::ArrayDecoder;
use crate::codec::decode::datetime::Zone;
use crate::codec::decode::record::{Attribute, RecordDecoder};
use crate::codec::decode::{datetime, hstore, net, numeric};
use crate::codec::encode::param::type_name;
use crate::codec::float::{float4_to_f64, put_i64};
use crate::codec::pack::{Packer, SlotKind};
use crate::codec::reader::fixed;
use crate::codec::text::text_output::Shown;
use crate::codec::text::{array_text, text_format};

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

/// How a pool, or one statement, wants its values.
#[derive(Debug, Default)]
pub(crate) struct Types {
    /// For those types that have a choice.
    pub(crate) choices: TypeChoices,
    /// JavaScript's own parsers by the name of the type or the digits of its oid, each by the number under which
    /// JavaScript knows it.
    pub(crate) parsers: HashMap<String, u32>,
}

impl Types {
    fn parser(&self, ty: &Type) -> Option<u32> {
        if self.parsers.is_empty() {
            return None;
        }
        let find = |name: &str| self.parsers.get(name).copied();
        find(&ty.oid().to_string())
            .or_else(|| find(ty.name()))
            .or_else(|| find(&type_name(ty)))
            .or_else(|| find(&format!("{}.{}", ty.schema(), ty.name())))
    }
}

/// What was wrong with a value.
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
    /// A composite type has other attributes than it had.
    #[error("the composite type has changed since the server was asked about it")]
    Changed,
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
    Record(Box<RecordDecoder>),
    Hstore,
    /// Everything that arrives as the server prints it, from its binary form.
    Shown(Shown),
    /// Only the server can print it: a column with such a type in it is asked for as text.
    Printed,
    /// A type that nobody knows: its binary form as it is.
    Unknown,
    /// Text for a parser in JavaScript.
    Parsed(u32, Box<Decoder>),
    /// A cell in text format.
    FromText(Box<Decoder>),
}

impl Decoder {
    /// The decoder of a column: one of text where the column must be asked for as text.
    pub(crate) fn for_column(ty: &Type, types: &Types, catalog: &Catalog) -> Self {
        match Self::for_type(ty, types, catalog) {
            decoder if decoder.is_printed() => Self::FromText(Box::new(decoder.without_unknown())),
            decoder => decoder,
        }
    }

    /// The decoder of a column in text format.
    pub(crate) fn for_text(ty: &Type, types: &Types, catalog: &Catalog) -> Self {
        Self::FromText(Box::new(Self::for_type(ty, types, catalog).without_unknown()))
    }

    /// The same for text, which says what it is even where nobody knows the binary form.
    fn without_unknown(self) -> Self {
        match self {
            Self::Unknown => Self::Printed,
            Self::Array(mut array) => {
                array.element = array.element.without_unknown();
                Self::Array(array)
            }
            Self::Record(mut record) => {
                let attribute =
                    |attribute: Attribute| Attribute { decoder: attribute.decoder.without_unknown(), ..attribute };
                record.0 = record.0.into_iter().map(attribute).collect();
                Self::Record(record)
            }
            other => other,
        }
    }

    /// The decoder of a type.
    pub(in crate::codec) fn for_type(ty: &Type, types: &Types, catalog: &Catalog) -> Self {
        if let Some(parser) = types.parser(ty) {
            return Self::Parsed(parser, Box::new(Self::for_type(ty, &Types::default(), catalog)));
        }
        let choices = &types.choices;
        match *ty {
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
            // The elements of both say their type only on the wire, if at all.
            Type::ANYARRAY | Type::RECORD_ARRAY => Self::Printed,
            _ => match Shown::for_type(ty, catalog) {
                Some(shown) => Self::Shown(shown),
                None => Self::for_kind(ty, types, catalog),
            },
        }
    }

    fn for_kind(ty: &Type, types: &Types, catalog: &Catalog) -> Self {
        match ty.kind() {
            Kind::Enum(_) => Self::Text,
            Kind::Domain(base) => Self::for_type(base, types, catalog),
            Kind::Array(member) => Self::Array(Box::new(ArrayDecoder {
                element: Self::for_type(member, types, catalog),
                element_oid: member.oid(),
                delimiter: catalog.delimiter(member),
            })),
            Kind::Composite(fields) => {
                let attribute = |field: &postgres_types::Field| Attribute {
                    name: field.name().to_owned(),
                    oid: field.type_().oid(),
                    decoder: Self::for_type(field.type_(), types, catalog),
                };
                Self::Record(Box::new(RecordDecoder(fields.iter().map(attribute).collect())))
            }
            Kind::Simple => match ty.name() {
                "citext" => Self::Text,
                "hstore" => Self::Hstore,
                "cube" => Self::Printed,
                _ if is_foreign(ty) && catalog.sends(ty) && catalog.range_of(ty).is_none() => Self::Unknown,
                _ => Self::Printed,
            },
            _ => Self::Printed,
        }
    }

    /// Whether the value, or one within it, can be had as text only.
    pub(in crate::codec) fn is_printed(&self) -> bool {
        match self {
            Self::Printed => true,
            Self::Array(array) => array.element.is_printed(),
            Self::Record(record) => record.0.iter().any(|attribute| attribute.decoder.is_printed()),
            // The text of what nobody knows is the server's.
            Self::Parsed(_, inner) => inner.is_printed() || inner.has_unknown(),
            _ => false,
        }
    }

    /// Whether there is a value within that nobody knows.
    pub(crate) fn has_unknown(&self) -> bool {
        match self {
            Self::Unknown => true,
            Self::Array(array) => array.element.has_unknown(),
            Self::Record(record) => record.0.iter().any(|attribute| attribute.decoder.has_unknown()),
            _ => false,
        }
    }

    /// Whether the column must be asked for as text.
    pub(crate) fn reads_text(&self) -> bool {
        matches!(self, Self::FromText(_))
    }

    /// What JavaScript must know to read the slots: `kind`; of an array `of`, of a record `fields`; a `parser`'s number.
    pub(crate) fn describe(&self) -> Value {
        let kind = self.kind() as u8;
        match self {
            Self::Array(array) => json!({ "kind": kind, "of": array.element.describe() }),
            Self::Record(record) => {
                let field = |attribute: &Attribute| {
                    let mut field = attribute.decoder.describe();
                    field["name"] = Value::from(attribute.name.as_str());
                    field
                };
                json!({ "kind": kind, "fields": record.0.iter().map(field).collect::<Vec<_>>() })
            }
            Self::Parsed(parser, _) => json!({ "kind": kind, "parser": parser }),
            Self::FromText(inner) => inner.describe(),
            _ => json!({ "kind": kind }),
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
            Self::Bytea | Self::Unknown => SlotKind::Bytes,
            Self::Json(JsonAs::Parse) | Self::Jsonb(JsonAs::Parse) | Self::Hstore => SlotKind::Json,
            Self::Timestamptz(DateAs::Date) | Self::Timestamp(DateAs::Date) | Self::Date(DateAs::Date) => {
                SlotKind::Date
            }
            Self::Void => SlotKind::Void,
            Self::Array(_) => SlotKind::Array,
            Self::Record(_) => SlotKind::Record,
            Self::FromText(inner) => inner.kind(),
            _ => SlotKind::Text,
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
            Self::Bytea | Self::Unknown => out.push_bytea(raw),
            Self::Uuid => out.push_ascii(&net::uuid(raw)?),
            Self::Numeric(NumericAs::Number) => Ok(numeric::to_f64(raw, &mut out.text)?.to_bits()),
            Self::Timestamptz(DateAs::Date) | Self::Timestamp(DateAs::Date) => {
                Ok(datetime::timestamp_ms(raw)?.to_bits())
            }
            Self::Date(DateAs::Date) => Ok(datetime::date_ms(raw)?.to_bits()),
            Self::Void => Ok(0),
            Self::Array(array) => array.decode(raw, out),
            Self::Record(record) => record.decode(raw, out),
            Self::Hstore => out.text_with(|text| hstore::write_json(raw, text)),
            Self::Parsed(_, inner) => out.text_with(|text| array_text::write_value(inner, raw, text)),
            Self::FromText(inner) => text_format::decode(inner, raw, out),
            _ => out.text_with(|text| self.write_text(raw, text)),
        }
    }

    /// Those types that arrive as text but are not text on the wire.
    pub(in crate::codec) fn write_text(&self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
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
pub(in crate::codec) fn versioned(raw: &[u8]) -> Result<&[u8], DecodeError> {
    match raw {
        [1, text @ ..] => Ok(text),
        [] => Err(DecodeError::Truncated),
        _ => Err(DecodeError::Invalid("an unknown version of its format")),
    }
}
