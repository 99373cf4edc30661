use postgres_types::{Field, Kind, Type};

use super::{Packer, TypeChoices, custom, decode, decode_with, unhex};
use crate::codec::decode::DecodeError;
use crate::codec::pack::SlotKind;
use crate::codec::{DateAs, Decoder, Int8As, JsonAs, NumericAs};

fn numeric(groups: &[u16], weight: i16, sign: u16, scale: u16) -> Vec<u8> {
    let head = [groups.len() as u16, weight as u16, sign, scale];
    head.iter().chain(groups).flat_map(|word| word.to_be_bytes()).collect()
}

#[test]
fn numerics_at_both_ends() {
    let largest = numeric(&vec![9999; 32_768 + 4096], 32_767, 0x4000, 16_383);
    let expected = format!("-{}.{}", "9".repeat(131_072), "9".repeat(16_383));
    assert_eq!(decode(&Type::NUMERIC, &largest), Ok(expected));
    let power = numeric(&[1000], 32_767, 0, 0);
    assert_eq!(decode(&Type::NUMERIC, &power), Ok(format!("1{}", "0".repeat(131_071))));
    let smallest = numeric(&[10], -4096, 0, 16_383);
    assert_eq!(decode(&Type::NUMERIC, &smallest), Ok(format!("0.{}1", "0".repeat(16_382))));
    for (raw, expected) in [
        (numeric(&[], 0, 0, 0), "0"),
        (numeric(&[], 0, 0, 3), "0.000"),
        (numeric(&[1, 0, 5], 2, 0, 0), "100000005"),
        (numeric(&[1], 2, 0, 2), "100000000.00"),
        (numeric(&[5000], -1, 0x4000, 1), "-0.5"),
        (numeric(&[5], -3, 0, 12), "0.000000000005"),
    ] {
        assert_eq!(decode(&Type::NUMERIC, &raw).as_deref(), Ok(expected));
    }
}

#[test]
fn broken_numerics() {
    for raw in [
        numeric(&[10_000], 0, 0, 0),
        numeric(&[1], 0, 0x1000, 0),
        numeric(&[1], 0, 0, 0x4000),
        numeric(&[1, 2], 0, 0, 0)[..10].to_vec(),
        [numeric(&[1], 0, 0, 0), vec![0]].concat(),
    ] {
        assert!(decode(&Type::NUMERIC, &raw).is_err(), "{raw:02x?}");
    }
}

#[test]
fn types_the_user_may_choose() {
    let choices =
        TypeChoices { int8: Int8As::Number, numeric: NumericAs::Number, date: DateAs::Date, json: JsonAs::Text };
    let micros = |value: i64| value.to_be_bytes().to_vec();
    let days = |value: i32| value.to_be_bytes().to_vec();
    for (ty, raw, kind, expected) in [
        (Type::INT8, micros(1 << 53), SlotKind::Float, "9.007199254740992e15"),
        (Type::NUMERIC, numeric(&[1, 5000], 0, 0, 1), SlotKind::Float, "1.5e0"),
        (Type::NUMERIC, numeric(&[1], 100, 0x4000, 0), SlotKind::Float, "-Infinity"),
        (Type::NUMERIC, numeric(&[1], 25, 0, 0), SlotKind::Float, "1e100"),
        (Type::NUMERIC, numeric(&[1234, 5678, 9012, 3456], 1, 0, 8), SlotKind::Float, "1.234567890123456e7"),
        (Type::NUMERIC, numeric(&[], 0, 0, 0), SlotKind::Float, "0e0"),
        (Type::NUMERIC, numeric(&[1000], -1, 0, 1), SlotKind::Float, "1e-1"),
        (Type::NUMERIC, numeric(&[], 0, 0xC000, 0), SlotKind::Float, "NaN"),
        (Type::NUMERIC, numeric(&[], 0, 0xF000, 0), SlotKind::Float, "-Infinity"),
        (Type::TIMESTAMPTZ, micros(0), SlotKind::Date, "946684800000"),
        (Type::TIMESTAMP, micros(-1), SlotKind::Date, "946684799999"),
        (Type::TIMESTAMP, micros(1999), SlotKind::Date, "946684800001"),
        (Type::TIMESTAMPTZ, micros(i64::MAX), SlotKind::Date, "inf"),
        (Type::TIMESTAMPTZ, micros(i64::MIN), SlotKind::Date, "-inf"),
        (Type::DATE, days(-10_957), SlotKind::Date, "0"),
        (Type::DATE, days(i32::MIN), SlotKind::Date, "-inf"),
        (Type::JSON, b"{}".to_vec(), SlotKind::Text, "{}"),
        (Type::JSONB, b"\x01[1]".to_vec(), SlotKind::Text, "[1]"),
    ] {
        let decoder = Decoder::for_type(&ty, &choices).unwrap();
        assert_eq!(decoder.kind(), kind, "{ty}");
        assert_eq!(decode_with(&decoder, &raw).as_deref(), Ok(expected), "{ty}");
    }
    let text = TypeChoices { int8: Int8As::Text, ..choices };
    let decoder = Decoder::for_type(&Type::INT8, &text).unwrap();
    assert_eq!(decode_with(&decoder, &micros(i64::MIN)).as_deref(), Ok("-9223372036854775808"));
    assert_eq!(decoder.kind(), SlotKind::Text);
}

#[test]
fn kinds_by_default() {
    for (ty, kind, element) in [
        (Type::INT8, SlotKind::BigInt, SlotKind::BigInt),
        (Type::OID, SlotKind::Float, SlotKind::Float),
        (Type::JSONB, SlotKind::Json, SlotKind::Json),
        (Type::VOID, SlotKind::Void, SlotKind::Void),
        (Type::BYTEA, SlotKind::Bytes, SlotKind::Bytes),
        (Type::TIMESTAMPTZ, SlotKind::Text, SlotKind::Text),
        (Type::INT2_VECTOR, SlotKind::Text, SlotKind::Text),
        (Type::JSONB_ARRAY, SlotKind::Array, SlotKind::Json),
        (Type::INTERVAL_ARRAY, SlotKind::Array, SlotKind::Text),
        (custom("d", Kind::Domain(Type::INT4_ARRAY)), SlotKind::Array, SlotKind::Int),
    ] {
        let decoder = Decoder::for_type(&ty, &TypeChoices::default()).unwrap();
        assert_eq!((decoder.kind(), decoder.element_kind()), (kind, element), "{ty}");
    }
}

#[test]
fn types_without_a_decoder() {
    let point = Field::new("x".to_owned(), Type::INT4);
    let list = custom("list", Kind::Domain(Type::INT4_ARRAY));
    for ty in [
        Type::REGCLASS,
        Type::REGPROC_ARRAY,
        Type::RECORD,
        Type::RECORD_ARRAY,
        Type::ACLITEM,
        Type::GTS_VECTOR,
        custom("point3", Kind::Composite(vec![point])),
        custom("geometry", Kind::Simple),
        custom("strange", Kind::Pseudo),
        custom("reg_range", Kind::Range(Type::REGTYPE)),
        // Named like text, but something else.
        custom("citext", Kind::Composite(Vec::new())),
        // Arrays within arrays: a slot could not tell.
        custom("_list", Kind::Array(list)),
    ] {
        assert!(Decoder::for_type(&ty, &TypeChoices::default()).is_none(), "{ty}");
    }
}

#[test]
fn scalars_of_the_wrong_length_or_content() {
    let truncated = Err(DecodeError::Truncated);
    let length = |expected, got| Err(DecodeError::Length { expected, got });
    for (ty, raw, expected) in [
        (Type::BOOL, "", length(1, 0)),
        (Type::INT4, "000001", length(4, 3)),
        (Type::INT8, "00000000", length(8, 4)),
        (Type::UUID, "00", length(16, 1)),
        (Type::DATE, "0000000000", length(4, 5)),
        (Type::TEXT, "ff", Err(DecodeError::NotUtf8)),
        (Type::TEXT, "eda080", Err(DecodeError::NotUtf8)),
        (Type::JSONB, "", truncated.clone()),
        (Type::JSONB, "027b7d", Err(DecodeError::Invalid("an unknown version of its format"))),
        (Type::JSONB, "01ff", Err(DecodeError::NotUtf8)),
        (Type::TIME, "000000141dd76001", Err(DecodeError::Invalid("a time outside 00:00 to 24:00"))),
        (Type::TIME, "ffffffffffffffff", Err(DecodeError::Invalid("a time outside 00:00 to 24:00"))),
        (Type::TIMETZ, "0000000000000000 0000e100", Err(DecodeError::Invalid("a time zone outside 16 hours"))),
        (Type::INET, "0220000301020304", Err(DecodeError::Trailing(1))),
        (Type::INET, "0520000401020304", Err(DecodeError::Invalid("an unknown address family"))),
        (Type::INET, "0221000401020304", Err(DecodeError::Invalid("a network mask that is too long"))),
        (Type::TSQUERY, "00000001 020100", Err(DecodeError::Trailing(1))),
        (Type::TSQUERY, "00000001 0201", Err(DecodeError::Invalid("a tsquery that is no tree"))),
        (Type::TSQUERY, "00000002 0101006100 0101006100", Err(DecodeError::Invalid("a tsquery that is no tree"))),
        (Type::INT4_RANGE, "02 00000004 00000001", truncated.clone()),
        (Type::VARBIT, "ffffffff", Err(DecodeError::Invalid("a negative count"))),
        (Type::CHAR, "e9", Ok("\\351".to_owned())),
        (Type::VOID, "", Ok("null".to_owned())),
        (Type::TEXT, "", Ok(String::new())),
    ] {
        assert_eq!(decode(&ty, &unhex(raw)), expected, "{ty} {raw}");
    }
}

#[test]
fn a_failed_value_leaves_the_text_whole() {
    let mut out = Packer::default();
    out.push_text("é");
    assert!(super::decoder(&Type::PATH).decode(&unhex("00 00000002 0000000000000000"), &mut out).is_err());
    assert_eq!(out.push_text("x"), 1 | 2 << 32);
    assert_eq!(out.text, "éx".as_bytes());
}

#[test]
fn messages_say_what_was_wrong() {
    for (error, expected) in [
        (DecodeError::Length { expected: 4, got: 3 }, "3 bytes where the type has 4"),
        (DecodeError::Invalid("a negative count"), "the value holds a negative count"),
        (
            DecodeError::ElementType { expected: 23, got: 20 },
            "an array of elements of type 20 where type 23 was announced",
        ),
    ] {
        assert_eq!(error.to_string(), expected);
    }
}
