//! The types that JavaScript gets as the text the server itself prints under default settings.

use postgres_types::{Kind, Type};

use crate::codec::catalog::Catalog;
use crate::codec::decode::decoder::{DecodeError, Decoder, Types, versioned};
use crate::codec::decode::net::Network;
use crate::codec::decode::{datetime, geometry, net, range, tsearch};
use crate::codec::float::{put_i64, put_u64};
use crate::codec::pack::MAX_TEXT;
use crate::codec::reader::{Reader, fixed};
use crate::codec::text::array_text;

/// A type that is shown as the server shows it.
#[derive(Debug, Clone)]
#[allow(missing_docs)] // the variants are the types
pub(crate) enum Shown {
    Timetz,
    Interval,
    Money,
    Inet,
    Cidr,
    Macaddr,
    Macaddr8,
    Bit,
    Char,
    /// Text after a version byte: jsonpath, ltree, lquery, ltxtquery.
    Versioned,
    /// Four unsigned bytes: xid, cid.
    Unsigned4,
    Xid8,
    Tid,
    PgLsn,
    Snapshot,
    Point,
    Lseg,
    Box,
    Path,
    Polygon,
    Line,
    Circle,
    Tsvector,
    Tsquery,
    /// int2vector, oidvector, with the decoder of their elements.
    Vector(Box<Decoder>),
    Range(Box<Decoder>),
    Multirange(Box<Decoder>),
}

impl Shown {
    /// None for other types, and for ranges of what only the server can print.
    pub(in crate::codec) fn for_type(ty: &Type, catalog: &Catalog) -> Option<Self> {
        Some(match *ty {
            Type::TIMETZ => Self::Timetz,
            Type::INTERVAL => Self::Interval,
            Type::MONEY => Self::Money,
            Type::INET => Self::Inet,
            Type::CIDR => Self::Cidr,
            Type::MACADDR => Self::Macaddr,
            Type::MACADDR8 => Self::Macaddr8,
            Type::BIT | Type::VARBIT => Self::Bit,
            Type::CHAR => Self::Char,
            Type::JSONPATH => Self::Versioned,
            Type::XID | Type::CID => Self::Unsigned4,
            Type::XID8 => Self::Xid8,
            Type::TID => Self::Tid,
            Type::PG_LSN => Self::PgLsn,
            Type::TXID_SNAPSHOT | Type::PG_SNAPSHOT => Self::Snapshot,
            Type::POINT => Self::Point,
            Type::LSEG => Self::Lseg,
            Type::BOX => Self::Box,
            Type::PATH => Self::Path,
            Type::POLYGON => Self::Polygon,
            Type::LINE => Self::Line,
            Type::CIRCLE => Self::Circle,
            Type::TS_VECTOR => Self::Tsvector,
            Type::TSQUERY => Self::Tsquery,
            Type::INT2_VECTOR => Self::Vector(Box::new(Decoder::Int2)),
            Type::OID_VECTOR => Self::Vector(Box::new(Decoder::Oid)),
            _ => match (ty.kind(), ty.name()) {
                (Kind::Range(member), _) => Self::Range(member_decoder(member, catalog)?),
                (Kind::Multirange(member), _) => Self::Multirange(member_decoder(member, catalog)?),
                (Kind::Simple, "ltree" | "lquery" | "ltxtquery") => Self::Versioned,
                _ => match catalog.range_of(ty)?.kind() {
                    Kind::Range(member) => Self::Multirange(member_decoder(member, catalog)?),
                    _ => return None,
                },
            },
        })
    }

    /// Writes the value as the server's output function does.
    pub(in crate::codec) fn write(&self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        match self {
            Self::Timetz => datetime::write_timetz(raw, out),
            Self::Interval => datetime::write_interval(raw, out),
            Self::Money => write_money(raw, out),
            Self::Inet => net::write_network(raw, Network::Inet, out),
            Self::Cidr => net::write_network(raw, Network::Cidr, out),
            Self::Macaddr => net::write_macaddr::<6>(raw, out),
            Self::Macaddr8 => net::write_macaddr::<8>(raw, out),
            Self::Bit => write_bits(raw, out),
            Self::Char => write_char(raw, out),
            Self::Versioned => put_utf8(versioned(raw)?, out),
            Self::Unsigned4 => {
                put_u64(out, u32::from_be_bytes(fixed(raw)?).into());
                Ok(())
            }
            Self::Xid8 => {
                put_u64(out, u64::from_be_bytes(fixed(raw)?));
                Ok(())
            }
            Self::Tid => write_tid(raw, out),
            Self::PgLsn => write_lsn(raw, out),
            Self::Snapshot => write_snapshot(raw, out),
            Self::Point => geometry::write_point(raw, out),
            Self::Lseg => geometry::write_lseg(raw, out),
            Self::Box => geometry::write_box(raw, out),
            Self::Path => geometry::write_path(raw, out),
            Self::Polygon => geometry::write_polygon(raw, out),
            Self::Line => geometry::write_line(raw, out),
            Self::Circle => geometry::write_circle(raw, out),
            Self::Tsvector => tsearch::write_tsvector(raw, out),
            Self::Tsquery => tsearch::write_tsquery(raw, out),
            Self::Vector(element) => array_text::write_vector(element, raw, out),
            Self::Range(element) => range::write_range(element, raw, out),
            Self::Multirange(element) => range::write_multirange(element, raw, out),
        }
    }
}

/// Within text that imitates the server's, the user's choices of types have no say.
fn member_decoder(member: &Type, catalog: &Catalog) -> Option<Box<Decoder>> {
    let decoder = Decoder::for_type(member, &Types::default(), catalog);
    (!decoder.is_printed() && !decoder.has_unknown()).then(|| Box::new(decoder))
}

pub(in crate::codec) fn put_utf8(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    if !raw.is_ascii() && std::str::from_utf8(raw).is_err() {
        return Err(DecodeError::NotUtf8);
    }
    out.extend_from_slice(raw);
    Ok(())
}

/// money as `cash_out` (cash.c) prints it with `lc_monetary = C`.
fn write_money(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let cents = i64::from_be_bytes(fixed(raw)?);
    if cents < 0 {
        out.push(b'-');
    }
    out.push(b'$');
    let cents = cents.unsigned_abs();
    let from = out.len();
    put_u64(out, cents / 100);
    let mut comma = out.len();
    while comma > from + 3 {
        comma -= 3;
        out.insert(comma, b',');
    }
    let rest = (cents % 100) as u8;
    out.extend_from_slice(&[b'.', b'0' + rest / 10, b'0' + rest % 10]);
    Ok(())
}

/// bit and varbit: a count of bits, then the bits from the left (`varbit_send`).
fn write_bits(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(raw);
    let count = reader.count()?;
    let bytes = reader.take(count.div_ceil(8))?;
    reader.end()?;
    // Eight characters a byte: refused before the memory is taken.
    if count > MAX_TEXT {
        return Err(DecodeError::TooLarge);
    }
    out.extend((0..count).map(|bit| b'0' + (bytes[bit / 8] >> (7 - bit % 8) & 1)));
    Ok(())
}

/// "char" (`charout`): one byte, beyond ASCII in octal.
fn write_char(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    match fixed::<1>(raw)? {
        [0] => {}
        [byte] if byte.is_ascii() => out.push(byte),
        [byte] => out.extend_from_slice(&[b'\\', b'0' + (byte >> 6), b'0' + (byte >> 3 & 7), b'0' + (byte & 7)]),
    }
    Ok(())
}

/// tid: block and offset.
fn write_tid(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(raw);
    let (block, offset) = (reader.u32()?, reader.u16()?);
    reader.end()?;
    out.push(b'(');
    put_u64(out, block.into());
    out.push(b',');
    put_u64(out, offset.into());
    out.push(b')');
    Ok(())
}

/// pg_lsn: two halves in hexadecimal.
fn write_lsn(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let lsn = u64::from_be_bytes(fixed(raw)?);
    put_hex_u32((lsn >> 32) as u32, out);
    out.push(b'/');
    put_hex_u32(lsn as u32, out);
    Ok(())
}

/// `%X`.
fn put_hex_u32(value: u32, out: &mut Vec<u8>) {
    let digits = 8 - value.leading_zeros() / 4;
    for place in (0..digits.max(1)).rev() {
        out.push(b"0123456789ABCDEF"[(value >> (place * 4) & 15) as usize]);
    }
}

/// pg_snapshot: `xmin:xmax:xip,xip` (`pg_snapshot_send` in xid8funcs.c).
fn write_snapshot(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(raw);
    let count = reader.count()?;
    put_i64(out, reader.i64()?);
    out.push(b':');
    put_i64(out, reader.i64()?);
    out.push(b':');
    for index in 0..count {
        if index > 0 {
            out.push(b',');
        }
        put_i64(out, reader.i64()?);
    }
    reader.end()
}

/// Text in double quotes, a backslash before quotes and backslashes.
pub(in crate::codec) fn put_quoted(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    std::str::from_utf8(raw).map_err(|_| DecodeError::NotUtf8)?;
    out.push(b'"');
    for &byte in raw {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
    Ok(())
}

/// Text in double quotes, quotes and backslashes doubled, as ranges and records have it.
pub(in crate::codec) fn put_doubled(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in text {
        if matches!(byte, b'"' | b'\\') {
            out.push(byte);
        }
        out.push(byte);
    }
    out.push(b'"');
}
