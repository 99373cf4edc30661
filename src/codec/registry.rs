//! The table of types: how the values of each type arrive and how they are sent. A new type needs its functions, its row
//! here, and its sample in test/server/oracle/values.js.
//!
//! Types that are not built in have no row: what is known of them follows from their kind (array, composite, range, enum,
//! domain) or their name (the types of contrib).

use postgres_types::{Field, Kind, Type};

use crate::codec::catalog::Catalog;
use crate::codec::choices::{TypeChoices, Types};
use crate::codec::decode::array::ArrayDecoder;
use crate::codec::decode::decoder::Decoder;
use crate::codec::decode::record::{Attribute, RecordDecoder};
use crate::codec::decode::{datetime, geometry, net, system, tsearch};
use crate::codec::text::text_output::{Output, TextOutput};
use crate::codec::types::is_foreign;

/// What JavaScript may send as a type. What is not sent in binary is text, which the server reads as it reads a literal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::codec) enum SendAs {
    Bool,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    /// A number, or its digits in a string.
    Numeric,
    /// Any scalar, as JavaScript's `String(value)`.
    Text,
    /// The same, but a load sends it as text: its binary input refuses a long name, which its text input cuts off.
    Name,
    Json,
    Jsonb,
    Bytea,
    Uuid,
    Timestamptz,
    Timestamp,
    Date,
    Time,
    Timetz,
    /// An array of int2 (int2vector) or oid (oidvector).
    Vector,
    /// The name of a value of an enum.
    Enum,
    /// Values that no number can stand for, such as arrays and points: a number is refused.
    Literal,
    /// Anything: the server refuses what does not suit.
    Other,
}

macro_rules! registry {
    (|$choices:ident| $($($ty:ident)|+ => $decoder:expr, $send:ident;)+) => {
        /// The decoder of a built-in type; None: the type has no row.
        fn built_in_decoder(ty: &Type, $choices: &TypeChoices) -> Option<Decoder> {
            Some(match *ty {
                $($(Type::$ty)|+ => $decoder,)+
                _ => return None,
            })
        }

        impl SendAs {
            /// What JavaScript may send as `base`, which is no domain.
            pub(in crate::codec) fn of(base: &Type) -> Self {
                match *base {
                    $($(Type::$ty)|+ => Self::$send,)+
                    _ => Self::of_kind(base),
                }
            }
        }
    };
}

registry! { |choices|
    // type => how it arrives, how it is sent
    BOOL => Decoder::Bool, Bool;
    INT2 => Decoder::Int2, Int2;
    INT4 => Decoder::Int4, Int4;
    INT8 => Decoder::Int8(choices.int8), Int8;
    OID => Decoder::Oid, Oid;
    FLOAT4 => Decoder::Float4, Float4;
    FLOAT8 => Decoder::Float8, Float8;
    NUMERIC => Decoder::Numeric(choices.numeric), Numeric;
    MONEY => printed(system::write_money), Other;

    TEXT | VARCHAR | BPCHAR | UNKNOWN | CSTRING => Decoder::Text, Text;
    NAME => Decoder::Text, Name;
    XML | REFCURSOR | PG_NODE_TREE => Decoder::Text, Other;
    CHAR => printed(system::write_char), Other;
    BYTEA => Decoder::Bytea, Bytea;
    UUID => Decoder::Uuid, Uuid;
    BIT | VARBIT => printed(system::write_bits), Other;

    JSON => Decoder::Json(choices.json), Json;
    JSONB => Decoder::Jsonb(choices.json), Jsonb;
    JSONPATH => printed(system::write_versioned), Other;

    TIMESTAMPTZ => Decoder::Timestamptz(choices.date), Timestamptz;
    TIMESTAMP => Decoder::Timestamp(choices.date), Timestamp;
    DATE => Decoder::Date(choices.date), Date;
    TIME => Decoder::Time, Time;
    TIMETZ => printed(datetime::write_timetz), Timetz;
    INTERVAL => printed(datetime::write_interval), Other;

    INET => printed(net::write_inet), Literal;
    CIDR => printed(net::write_cidr), Literal;
    MACADDR => printed(net::write_macaddr::<6>), Literal;
    MACADDR8 => printed(net::write_macaddr::<8>), Literal;

    POINT => printed(geometry::write_point), Literal;
    LSEG => printed(geometry::write_lseg), Literal;
    BOX => printed(geometry::write_box), Literal;
    PATH => printed(geometry::write_path), Literal;
    POLYGON => printed(geometry::write_polygon), Literal;
    LINE => printed(geometry::write_line), Literal;
    CIRCLE => printed(geometry::write_circle), Literal;

    TS_VECTOR => printed(tsearch::write_tsvector), Other;
    TSQUERY => printed(tsearch::write_tsquery), Other;

    XID | CID => printed(system::write_unsigned4), Other;
    XID8 => printed(system::write_unsigned8), Other;
    TID => printed(system::write_tid), Other;
    PG_LSN => printed(system::write_lsn), Other;
    TXID_SNAPSHOT | PG_SNAPSHOT => printed(system::write_snapshot), Other;
    INT2_VECTOR => vector(Decoder::Int2), Vector;
    OID_VECTOR => vector(Decoder::Oid), Vector;

    VOID => Decoder::Void, Other;
    // The types of their elements stand in the values, if anywhere.
    ANYARRAY => Decoder::Printed, Other;
    RECORD | RECORD_ARRAY => Decoder::Printed, Literal;
}

fn printed(output: Output) -> Decoder {
    Decoder::TextOutput(TextOutput::Plain(output))
}

fn vector(element: Decoder) -> Decoder {
    Decoder::TextOutput(TextOutput::Vector(Box::new(element)))
}

impl SendAs {
    fn of_kind(base: &Type) -> Self {
        match base.kind() {
            Kind::Array(_) | Kind::Range(_) | Kind::Multirange(_) | Kind::Composite(_) => Self::Literal,
            Kind::Enum(_) => Self::Enum,
            Kind::Simple if base.name() == "citext" => Self::Text,
            _ => Self::Other,
        }
    }

    /// Whether it takes any scalar as JavaScript's `String(value)`.
    pub(in crate::codec) fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Name)
    }

    pub(in crate::codec) fn is_json(self) -> bool {
        matches!(self, Self::Json | Self::Jsonb)
    }

    pub(in crate::codec) fn is_integer(self) -> bool {
        matches!(self, Self::Int2 | Self::Int4 | Self::Int8 | Self::Oid)
    }

    pub(in crate::codec) fn is_float(self) -> bool {
        matches!(self, Self::Float4 | Self::Float8)
    }

    /// Whether a string may be a date as toISOString writes it.
    pub(in crate::codec) fn has_date(self) -> bool {
        matches!(self, Self::Timestamptz | Self::Timestamp | Self::Date)
    }

    pub(in crate::codec) fn takes_dates(self) -> bool {
        self.has_date() || matches!(self, Self::Time | Self::Timetz)
    }

    pub(in crate::codec) fn takes_numbers(self) -> bool {
        !(self.takes_dates() || matches!(self, Self::Bool | Self::Bytea | Self::Uuid | Self::Vector | Self::Literal))
    }

    /// Whether a load can write its binary form.
    pub(in crate::codec) fn has_load_form(self) -> bool {
        !matches!(self, Self::Name | Self::Timetz | Self::Vector | Self::Literal | Self::Other)
    }
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

    /// The decoder of a column of a pinned session, where all columns are asked for as text: that of a type among
    /// `native`; else the text is left as the server has printed it.
    pub(crate) fn for_pinned(oid: u32, types: &Types) -> Self {
        let decoder = match types.parsers.get(&oid.to_string()) {
            Some(&parser) => Self::Parsed(parser, Box::new(Self::Text)),
            None if !types.native.contains(&oid) => Self::Text,
            None => Type::from_oid(oid)
                .map_or(Self::Text, |ty| Self::for_type(&ty, types, &Catalog::default()).without_unknown()),
        };
        Self::FromText(Box::new(decoder))
    }

    /// The decoder of a type.
    pub(in crate::codec) fn for_type(ty: &Type, types: &Types, catalog: &Catalog) -> Self {
        if let Some(parser) = types.parser(ty) {
            return Self::Parsed(parser, Box::new(Self::for_type(ty, &Types::default(), catalog)));
        }
        built_in_decoder(ty, &types.choices).unwrap_or_else(|| Self::for_kind(ty, types, catalog))
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
                let attribute = |field: &Field| Attribute {
                    name: field.name().to_owned(),
                    oid: field.type_().oid(),
                    decoder: Self::for_type(field.type_(), types, catalog),
                };
                Self::Record(Box::new(RecordDecoder(fields.iter().map(attribute).collect())))
            }
            Kind::Range(member) => Self::for_members(TextOutput::Range, member, catalog),
            Kind::Multirange(member) => Self::for_members(TextOutput::Multirange, member, catalog),
            Kind::Simple => match ty.name() {
                "ltree" | "lquery" | "ltxtquery" => printed(system::write_versioned),
                "citext" => Self::Text,
                "hstore" => Self::Hstore,
                "cube" => Self::Printed,
                _ => match catalog.range_of(ty).map(Type::kind) {
                    Some(Kind::Range(member)) => Self::for_members(TextOutput::Multirange, member, catalog),
                    None if is_foreign(ty) && catalog.sends(ty) => Self::Unknown,
                    _ => Self::Printed,
                },
            },
            _ => Self::Printed,
        }
    }

    /// The decoder of a range or multirange. If only the server can print its members, the column is asked for as text. The
    /// choices of the user do not apply within text that is to be equal to the text of the server.
    fn for_members(output: fn(Box<Self>) -> TextOutput, member: &Type, catalog: &Catalog) -> Self {
        let decoder = Self::for_type(member, &Types::default(), catalog);
        if decoder.is_printed() || decoder.has_unknown() {
            Self::Printed
        } else {
            Self::TextOutput(output(Box::new(decoder)))
        }
    }
}
