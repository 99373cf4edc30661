//! Decodes one value to one slot. `registry` says which decoder a type has.

use crate::codec::choices::{DateAs, Int8As, JsonAs, NumericAs};
use crate::codec::error::DecodeError;
use crate::codec::reader::versioned;
use crate::codec::text::text_output::TextOutput;

use serde_json::{Value, json};

use crate::codec::decode::array::ArrayDecoder;
use crate::codec::decode::datetime::Zone;
use crate::codec::decode::record::{Attribute, RecordDecoder};
use crate::codec::decode::{datetime, hstore, net, numeric};
use crate::codec::float::{float4_to_f64, put_i64};
use crate::codec::pack::{Packer, SlotKind};
use crate::codec::reader::fixed;
use crate::codec::text::{array_text, text_format};

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
    /// Types that arrive as the text that the server prints, made from the binary form.
    TextOutput(TextOutput),
    /// Types that only the server can print: a column with such a type in it is asked for as text.
    Printed,
    /// A type that no decoder knows: its binary form as it is.
    Unknown,
    /// Text for a parser in JavaScript.
    Parsed(u32, Box<Decoder>),
    /// A cell in text format.
    FromText(Box<Decoder>),
}

impl Decoder {
    /// The same decoder for text: the text of a type can be used even if no decoder knows its binary form.
    pub(in crate::codec) fn without_unknown(self) -> Self {
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

    /// Whether the value, or a value within it, must be asked for as text.
    pub(in crate::codec) fn is_printed(&self) -> bool {
        match self {
            Self::Printed => true,
            Self::Array(array) => array.element.is_printed(),
            Self::Record(record) => record.0.iter().any(|attribute| attribute.decoder.is_printed()),
            // A parser gets the text of the server for a type that no decoder knows.
            Self::Parsed(_, inner) => inner.is_printed() || inner.has_unknown(),
            _ => false,
        }
    }

    /// Whether no decoder knows the type of the value or of a value within it.
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
            Self::FromText(inner) if matches!(**inner, Self::Json(JsonAs::Parse) | Self::Jsonb(JsonAs::Parse)) => {
                Some(Ok(raw))
            }
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
            // The value has the bits of the slot.
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
            Self::Numeric(_) => out.ascii_with(|text| numeric::write(raw, text)),
            Self::Timestamptz(_) => out.ascii_with(|text| datetime::write_timestamp(raw, Zone::Utc, text)),
            Self::Timestamp(_) => out.ascii_with(|text| datetime::write_timestamp(raw, Zone::None, text)),
            Self::Void => Ok(0),
            Self::Array(array) => array.decode(raw, out),
            Self::Record(record) => record.decode(raw, out),
            Self::Hstore => out.text_with(|text| hstore::write_json(raw, text)),
            Self::Parsed(_, inner) => out.text_with(|text| array_text::write_value(inner, raw, text)),
            Self::FromText(inner) => text_format::decode(inner, raw, out),
            _ => out.text_with(|text| self.write_text(raw, text)),
        }
    }

    /// Writes the text of a type that arrives as text and has another binary form.
    pub(in crate::codec) fn write_text(&self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        match self {
            Self::Int8(_) => put_i64(out, i64::from_be_bytes(fixed(raw)?)),
            Self::Numeric(_) => numeric::write(raw, out)?,
            Self::Timestamptz(_) => datetime::write_timestamp(raw, Zone::Utc, out)?,
            Self::Timestamp(_) => datetime::write_timestamp(raw, Zone::None, out)?,
            Self::Date(_) => datetime::write_date(raw, out)?,
            Self::Time => datetime::write_time(raw, out)?,
            Self::TextOutput(output) => output.write(raw, out)?,
            _ => return Err(DecodeError::Invalid("a type that is not text")),
        }
        Ok(())
    }
}

#[inline]
fn int_slot(value: i32) -> u64 {
    u64::from(value as u32)
}
