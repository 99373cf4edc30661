use std::collections::HashMap;

use postgres_types::{Field, Kind, Type};
use serde_json::json;

use super::{Packer, TypeChoices, custom, decode, decode_with, type_named, unhex};
use crate::codec::error::DecodeError;
use crate::codec::pack::SlotKind;
use crate::codec::{Catalog, DateAs, Decoder, Foreign, Int8As, JsonAs, NumericAs, Types};

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
        let decoder = chosen(&ty, choices);
        assert_eq!(decoder.kind(), kind, "{ty}");
        assert_eq!(decode_with(&decoder, &raw).as_deref(), Ok(expected), "{ty}");
    }
    let text = TypeChoices { int8: Int8As::Text, ..choices };
    let decoder = chosen(&Type::INT8, text);
    assert_eq!(decode_with(&decoder, &micros(i64::MIN)).as_deref(), Ok("-9223372036854775808"));
    assert_eq!(decoder.kind(), SlotKind::Text);
}

fn chosen(ty: &Type, choices: TypeChoices) -> Decoder {
    Decoder::for_column(ty, &Types { choices, ..Types::default() }, &Catalog::default())
}

/// What JavaScript is told of how to read a type.
#[test]
fn descriptions() {
    let text = json!({ "kind": 4 });
    let point = || custom("point3", Kind::Composite(vec![Field::new("x".to_owned(), Type::INT4)]));
    let list = custom("list", Kind::Domain(Type::INT4_ARRAY));
    let with_name = Kind::Composite(vec![Field::new("r".to_owned(), Type::REGCLASS)]);
    for (ty, described, reads_text) in [
        (Type::INT8, json!({ "kind": 3 }), false),
        (Type::OID, json!({ "kind": 2 }), false),
        (Type::JSONB, json!({ "kind": 6 }), false),
        (Type::VOID, json!({ "kind": 8 }), false),
        (Type::BYTEA, json!({ "kind": 5 }), false),
        (Type::TIMESTAMPTZ, text.clone(), false),
        (Type::INT2_VECTOR, text.clone(), false),
        (Type::JSONB_ARRAY, json!({ "kind": 9, "of": { "kind": 6 } }), false),
        (custom("_list", Kind::Array(list)), json!({ "kind": 9, "of": { "kind": 9, "of": { "kind": 1 } } }), false),
        (point(), json!({ "kind": 10, "fields": [{ "name": "x", "kind": 1 }] }), false),
        (type_named("hstore"), json!({ "kind": 6 }), false),
        // What nobody knows is bytes.
        (custom("geometry", Kind::Simple), json!({ "kind": 5 }), false),
        // What only the server can print, and whatever has it in it.
        (Type::REGCLASS, text.clone(), true),
        (Type::REGPROC_ARRAY, json!({ "kind": 9, "of": { "kind": 4 } }), true),
        (custom("named", with_name), json!({ "kind": 10, "fields": [{ "name": "r", "kind": 4 }] }), true),
        (Type::RECORD, text.clone(), true),
        (Type::RECORD_ARRAY, text.clone(), true),
        (Type::ANYARRAY, text.clone(), true),
        (Type::ACLITEM, text.clone(), true),
        (Type::GTS_VECTOR, text.clone(), true),
        (Type::PG_NDISTINCT, text.clone(), true),
        (type_named("cube"), text.clone(), true),
        (custom("strange", Kind::Pseudo), text.clone(), true),
        (custom("reg_range", Kind::Range(Type::REGTYPE)), text, true),
        // Named like text, but something else.
        (custom("citext", Kind::Composite(Vec::new())), json!({ "kind": 10, "fields": [] }), false),
    ] {
        let decoder = chosen(&ty, TypeChoices::default());
        assert_eq!((decoder.describe(), decoder.reads_text()), (described, reads_text), "{ty}");
    }
}

#[test]
fn what_the_server_says_of_foreign_types() {
    let geometry = custom("geometry", Kind::Simple);
    let mut catalog = Catalog::default();
    let mut missing = Vec::new();
    catalog.ask_for(&custom("_d", Kind::Array(custom("d", Kind::Domain(geometry.clone())))), &mut missing);
    catalog.ask_for(&Type::INT4_ARRAY, &mut missing);
    assert_eq!(missing, [90_001]);
    let range = Some(type_named("frange"));
    for (foreign, kind, reads_text) in [
        (Foreign { sends: true, delimiter: b':', range: None }, SlotKind::Bytes, false),
        (Foreign { sends: false, delimiter: b':', range: None }, SlotKind::Text, true),
        (Foreign { sends: true, delimiter: b',', range }, SlotKind::Text, false),
    ] {
        catalog.add(90_001, foreign);
        let decoder = Decoder::for_column(&geometry, &Types::default(), &catalog);
        assert_eq!((decoder.kind(), decoder.reads_text()), (kind, reads_text));
    }
    let mut missing = Vec::new();
    catalog.ask_for(&geometry, &mut missing);
    assert!(missing.is_empty());
}

#[test]
fn parsers_get_the_text() {
    let types = |name: &str| Types { parsers: HashMap::from([(name.to_owned(), 7)]), ..Types::default() };
    let parsed = json!({ "kind": 4, "parser": 7 });
    for (name, ty, described) in [
        ("int8", Type::INT8, parsed.clone()),
        ("20", Type::INT8, parsed.clone()),
        ("pg_catalog.int8", Type::INT8, parsed.clone()),
        ("int8[]", Type::INT8_ARRAY, parsed.clone()),
        ("_int8", Type::INT8_ARRAY, parsed.clone()),
        ("int8", Type::INT8_ARRAY, json!({ "kind": 9, "of": parsed })),
        ("int4", Type::INT8, json!({ "kind": 3 })),
    ] {
        let decoder = Decoder::for_column(&ty, &types(name), &Catalog::default());
        assert_eq!(decoder.describe(), described, "{name} {ty}");
    }
    let decoder = Decoder::for_column(&Type::TIMESTAMPTZ, &types("timestamptz"), &Catalog::default());
    assert_eq!(decode_with(&decoder, &0_i64.to_be_bytes()).as_deref(), Ok("2000-01-01 00:00:00+00"));
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
