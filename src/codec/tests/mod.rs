//! Tests of the codec; tables where they can be, and the truth of server.tsv from a real server.

mod arrays;
mod copy;
mod decode;
mod floats;
mod fuzz;
mod json;
mod json_paths;
mod oracles;
mod pack;
mod params;
mod properties;
mod server;
mod text;
mod views;

use postgres_types::{Kind, Type};

use crate::codec::decode::record::{Attribute, RecordDecoder};
use crate::codec::error::DecodeError;
use crate::codec::pack::SlotKind;
use crate::codec::{Catalog, Decoder, Packer, TypeChoices, Types};

/// All types postgres-types knows by number.
fn builtin_types() -> impl Iterator<Item = Type> {
    (1..10_000).filter_map(Type::from_oid)
}

fn custom(name: &str, kind: Kind) -> Type {
    Type::new(name.to_owned(), 90_001, kind, "public".to_owned())
}

fn type_named(name: &str) -> Type {
    match name {
        "mood" => custom(name, Kind::Enum(vec!["sad".to_owned()])),
        "citext" | "hstore" | "cube" | "ltree" | "lquery" | "ltxtquery" => custom(name, Kind::Simple),
        "frange" => custom(name, Kind::Range(Type::FLOAT8)),
        "textrange" => custom(name, Kind::Range(Type::TEXT)),
        _ => builtin_types().find(|ty| ty.name() == name).expect(name),
    }
}

fn decoder(ty: &Type) -> Decoder {
    Decoder::for_column(ty, &Types::default(), &Catalog::default())
}

fn unhex(text: &str) -> Vec<u8> {
    let text: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    text.chunks(2).map(digits).collect()
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

/// What JavaScript would make of a slot, checking on the way that it points at something.
fn show(decoder: &Decoder, slot: u64, out: &Packer) -> String {
    let (start, end) = (slot as u32 as usize, (slot >> 32) as usize);
    if let Decoder::FromText(inner) = decoder {
        return show(inner, slot, out);
    }
    match decoder.kind() {
        SlotKind::Bool => if slot == 1 { "t" } else { "f" }.to_owned(),
        SlotKind::Int => (slot as i32).to_string(),
        SlotKind::Float => match f64::from_bits(slot) {
            value if value.is_finite() => format!("{value:e}"),
            value if value.is_nan() => "NaN".to_owned(),
            value => format!("{}Infinity", if value < 0.0 { "-" } else { "" }),
        },
        SlotKind::BigInt => (slot as i64).to_string(),
        SlotKind::Text | SlotKind::Json => {
            let units: Vec<u16> = std::str::from_utf8(&out.text).unwrap().encode_utf16().collect();
            assert_eq!(units.len(), out.utf16 as usize);
            String::from_utf16(&units[start..end]).unwrap()
        }
        SlotKind::Bytes => {
            format!("\\x{}", hex(&out.bin[start..end]))
        }
        SlotKind::Date => f64::from_bits(slot).to_string(),
        SlotKind::Void => "null".to_owned(),
        SlotKind::Array => match decoder {
            Decoder::Array(array) => show_array(&array.element, &out.aux[slot as usize..], out),
            other => panic!("{other:?} is no array"),
        },
        SlotKind::Record => match decoder {
            Decoder::Record(record) => show_record(record, &out.aux[slot as usize..], out),
            other => panic!("{other:?} is no record"),
        },
    }
}

fn show_record(record: &RecordDecoder, block: &[u64], out: &Packer) -> String {
    let (mask, slots) = block.split_at(record.0.len().div_ceil(64));
    let show = |(index, attribute): (usize, &Attribute)| match mask[index / 64] >> (index % 64) & 1 {
        1 => format!("{}:NULL", attribute.name),
        _ => format!("{}:{}", attribute.name, show(&attribute.decoder, slots[index], out)),
    };
    format!("({})", record.0.iter().enumerate().map(show).collect::<Vec<_>>().join(","))
}

fn show_array(element: &Decoder, block: &[u64], out: &Packer) -> String {
    let (ndim, block) = (block[0] as usize, &block[1..]);
    let (dimensions, block) = block.split_at(ndim);
    let total = if ndim == 0 { 0 } else { dimensions.iter().product::<u64>() as usize };
    let (mask, slots) = block.split_at(total.div_ceil(64));
    let mut text: Vec<String> = (0..total)
        .map(|index| match mask[index / 64] >> (index % 64) & 1 {
            1 => "NULL".to_owned(),
            _ => show(element, slots[index], out),
        })
        .collect();
    for &len in dimensions.iter().rev() {
        text = text.chunks(len as usize).map(|row| format!("{{{}}}", row.join(","))).collect();
    }
    if ndim == 0 { "{}".to_owned() } else { text.concat() }
}

fn decode_with(decoder: &Decoder, raw: &[u8]) -> Result<String, DecodeError> {
    // Something stands before, so that offsets matter.
    let mut out = Packer::default();
    out.push_text("é😀");
    out.push_bytes(b"before");
    let slot = decoder.decode(raw, &mut out)?;
    Ok(show(decoder, slot, &out))
}

fn decode(ty: &Type, raw: &[u8]) -> Result<String, DecodeError> {
    decode_with(&decoder(ty), raw)
}
