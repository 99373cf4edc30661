use bytes::BytesMut;
use postgres_types::{Field, Format, IsNull, Kind, Type};

use super::{custom, hex, type_named};
use crate::codec::Param::{self, Array, BigInt, BigIntText, Bool, Bytes, Date, Int, Json, Null, Number};
use crate::codec::encode::param::ObjectMembers;
use crate::codec::encode::view::{View, ViewKind};
use crate::codec::{Catalog, ParamError, Target, read_params};

/// 2024-01-01T00:01:00.123Z.
const DATE: Param<'_> = Date(1_704_067_260_123.0);

pub(super) fn string(text: &str) -> Param<'_> {
    Param::String(text)
}

pub(super) fn object<'a>(members: &[(&'a str, Param<'a>)]) -> Param<'a> {
    Param::Object(Box::new(ObjectMembers { name: "object", json: None, members: members.to_vec() }))
}

/// As JavaScript writes them.
pub(super) fn put(out: &mut Vec<u8>, param: &Param<'_>) {
    let mut item = |tag: u32, len: usize, payload: &[u8]| {
        out.extend(tag.to_le_bytes());
        out.extend((len as u32).to_le_bytes());
        out.extend(payload);
        // Whatever was in the buffer before.
        out.resize(out.len().next_multiple_of(8), 0xAA);
    };
    match param {
        Null => item(0, 0, b""),
        Bool(value) => item(1 + u32::from(*value), 0, b""),
        Number(value) => item(3, 77, &value.to_le_bytes()),
        Int(value) => item(4, *value as u32 as usize, b""),
        BigInt(value) => item(5, 0, &value.to_le_bytes()),
        BigIntText(text) => item(6, text.len(), text.as_bytes()),
        Param::String(text) => item(7, text.len(), text.as_bytes()),
        Bytes(bytes) => item(8, bytes.len(), bytes),
        Date(ms) => item(9, 0, &ms.to_le_bytes()),
        Json(text) => item(10, text.len(), text.as_bytes()),
        Param::View(view) => item(view.kind as u32, view.bytes.len(), view.bytes),
        Array(items) | Param::Set(items) => {
            item(if matches!(param, Array(_)) { 11 } else { 14 }, items.len(), b"");
            for inner in items {
                put(out, inner);
            }
        }
        Param::Object(object) => {
            item(if object.name == "Map" { 13 } else { 12 }, object.members.len(), b"");
            put(out, &object.json.map_or(Null, Json));
            for (key, value) in &object.members {
                put(out, &string(key));
                put(out, value);
            }
        }
    }
}

fn every_kind() -> Vec<Param<'static>> {
    vec![
        Null,
        Bool(false),
        Bool(true),
        Number(-1.5),
        Int(-7),
        BigInt(i64::MIN),
        BigIntText("-99999999999999999999".into()),
        string("é😀 and some more"),
        string(""),
        Bytes(b"\0\xFF12345678"),
        DATE,
        Json("{\"a\":1}"),
        Array(vec![Int(1), Array(vec![string("x"), Null]), Array(vec![])]),
        Param::Set(vec![Int(1)]),
        Param::View(View { bytes: b"\x01\x02\x03", kind: ViewKind::DataView }),
        object(&[("", Null), ("é", object(&[]))]),
        Param::Object(Box::new(ObjectMembers { name: "Map", json: Some("{}"), members: Vec::new() })),
        Int(8),
    ]
}

#[test]
fn what_javascript_wrote_is_read() {
    let params = every_kind();
    let mut bytes = Vec::new();
    for param in &params {
        put(&mut bytes, param);
    }
    assert_eq!(read_params(&bytes, params.len()), Ok(params));
    assert_eq!(read_params(b"", 0), Ok(Vec::new()));
}

#[test]
fn what_is_cut_short_is_refused() {
    let params = every_kind();
    let mut bytes = Vec::new();
    for param in &params {
        put(&mut bytes, param);
    }
    for len in 0..bytes.len() {
        assert!(read_params(&bytes[..len], params.len()).is_err(), "{len}");
    }
}

#[test]
fn what_is_malformed_is_refused() {
    let item = |tag: u32, len: u32, payload: &[u8]| [&tag.to_le_bytes()[..], &len.to_le_bytes(), payload].concat();
    let deep = |levels: usize| {
        let mut bytes = item(11, 1, b"").repeat(levels);
        bytes.extend(item(0, 0, b""));
        bytes
    };
    assert!(read_params(&deep(64), 1).is_ok());
    for bytes in [
        item(15, 0, b""),
        item(30, 0, b""),
        item(18, 1, b""),
        item(14, 1, b""),
        [item(12, 0, b""), item(4, 0, b"")].concat(),
        [item(12, 1, b""), item(0, 0, b""), item(4, 0, b""), item(4, 0, b"")].concat(),
        [item(12, u32::MAX, b""), item(0, 0, b"")].concat(),
        item(7, 1, b"\xFF"),
        item(6, 1, b"x"),
        item(6, 1, b"-"),
        item(6, 0, b""),
        item(7, u32::MAX, b"abc"),
        item(11, u32::MAX, b""),
        deep(65),
        deep(100_000),
    ] {
        assert!(matches!(read_params(&bytes, 1), Err(ParamError::Malformed(_))));
    }
}

/// What would be sent: text as it is, binary in hexadecimal, an error's message after a `!`.
pub(super) fn sent(param: &Param<'_>, ty: &Type) -> String {
    let mut out = BytesMut::new();
    match (param.write(Target::new(ty, &Catalog::default()), &mut out), param.format(ty)) {
        (Err(error), _) => format!("!{error}"),
        (Ok(IsNull::Yes), _) => "NULL".to_owned(),
        (Ok(IsNull::No), Format::Text) => String::from_utf8(out.to_vec()).unwrap(),
        (Ok(IsNull::No), Format::Binary) => hex(&out),
    }
}

#[test]
fn scalars() {
    for (ty, param, expected) in [
        ("int4", Null, "NULL"),
        ("bool", Bool(true), "01"),
        ("text", Bool(false), "false"),
        ("jsonb", Bool(true), "true"),
        ("int4", Bool(true), "!boolean cannot be sent as int4"),
        ("int2", Int(-2), "fffe"),
        ("int2", Int(32_768), "!number does not fit int2"),
        ("int4", Number(3.5), "!number does not fit int4"),
        ("int4", Number(-0.0), "00000000"),
        ("int4", Number(2_147_483_648.0), "!number does not fit int4"),
        ("int8", Number(f64::NAN), "!NaN is no int8"),
        ("int8", Number(f64::NEG_INFINITY), "!Infinity is no int8"),
        ("int8", Number(9_223_372_036_854_775_808.0), "!number does not fit int8"),
        ("int8", Number(-9_223_372_036_854_775_808.0), "8000000000000000"),
        ("int8", BigIntText("9223372036854775808".into()), "!BigInt does not fit int8"),
        ("oid", Number(4_294_967_295.0), "ffffffff"),
        ("oid", Int(-1), "!number does not fit oid"),
        ("float4", Number(0.1), "3dcccccd"),
        ("float4", Number(1e39), "!number does not fit float4"),
        ("float4", Number(1e-60), "!number does not fit float4"),
        ("float4", Number(f64::INFINITY), "7f800000"),
        ("float8", Int(1), "3ff0000000000000"),
        ("float8", Number(-0.0), "8000000000000000"),
        ("float8", BigInt(5), "5"),
        ("numeric", Number(0.1), "0.1"),
        ("numeric", Number(f64::NAN), "NaN"),
        ("numeric", BigIntText("-99999999999999999999".into()), "-99999999999999999999"),
        ("text", Number(1e21), "1e+21"),
        ("text", Int(5), "5"),
        ("json", Number(1e-7), "1e-7"),
        ("json", Number(f64::NAN), "!NaN is no json"),
        ("bool", Int(1), "!number cannot be sent as bool"),
        ("timestamptz", BigInt(1), "!BigInt cannot be sent as timestamptz"),
        ("_int4", Int(1), "!number cannot be sent as int4[]"),
        ("money", Number(12.5), "12.5"),
        ("int4", string("12"), "12"),
        ("_int4", string("{1}"), "{1}"),
        ("text", string("a\0b"), "!string contains a NUL character, which PostgreSQL text cannot hold"),
        ("bytea", Bytes(b"\0\xFF"), "00ff"),
        ("timestamptz", Bytes(b"x"), "!Buffer cannot be sent as timestamptz"),
        ("jsonb", Json("{\"a\":1}"), "{\"a\":1}"),
        ("text", Json("{}"), "{}"),
        ("int4", Json("{}"), "!object cannot be sent as int4"),
        ("text", Array(vec![]), "!array cannot be sent as text"),
    ] {
        assert_eq!(sent(&param, &type_named(ty)), expected, "{param:?} as {ty}");
    }
}

#[test]
fn dates() {
    for (ty, ms, expected) in [
        ("timestamptz", 946_684_800_001.0, "00000000000003e8"),
        ("timestamptz", 946_684_799_999.0, "fffffffffffffc18"),
        ("timestamptz", f64::NAN, "!invalid Date"),
        ("timestamptz", f64::INFINITY, "!invalid Date"),
        ("timestamptz", -8.64e15, "!Date does not fit timestamptz"),
        ("timestamp", 1_704_067_260_123.0, "2024-01-01 00:01:00.123Z"),
        ("date", -1.0, "1969-12-31 23:59:59.999Z"),
        ("timestamp", -62_135_596_800_001.0, "0001-12-31 23:59:59.999Z BC"),
        ("time", 8.64e15, "275760-09-13 00:00:00Z"),
        ("text", 1_704_067_260_120.0, "2024-01-01T00:01:00.120Z"),
        ("text", -62_198_755_200_000.0, "-000001-01-01T00:00:00.000Z"),
        ("text", -62_167_219_200_000.0, "0000-01-01T00:00:00.000Z"),
        ("text", 253_402_300_800_000.0, "+010000-01-01T00:00:00.000Z"),
        ("text", -8.64e15, "-271821-04-20T00:00:00.000Z"),
        ("jsonb", 0.0, "\"1970-01-01T00:00:00.000Z\""),
        ("int4", 0.0, "!Date cannot be sent as int4"),
        ("interval", 0.0, "!Date cannot be sent as interval"),
    ] {
        assert_eq!(sent(&Date(ms), &type_named(ty)), expected, "{ms} as {ty}");
    }
}

#[test]
fn arrays_as_literals() {
    let nested = |levels: usize| (0..levels).fold(Int(1), |inner, _| Array(vec![inner]));
    let ragged = "!array is ragged: int4[] needs sub-arrays of the same length";
    for (ty, param, expected) in [
        ("_int4", Array(vec![]), "{}"),
        ("_int4", Array(vec![Array(vec![]), Array(vec![Array(vec![])])]), "{}"),
        ("_int4", Array(vec![Int(1), Null, Number(3.0), BigInt(4), string("5")]), "{1,NULL,3,4,\"5\"}"),
        ("_int4", Array(vec![Array(vec![Int(1), Int(2)]), Array(vec![Int(3), Null])]), "{{1,2},{3,NULL}}"),
        ("_int4", Array(vec![Array(vec![Int(1), Int(2)]), Array(vec![Int(3)])]), ragged),
        ("_int4", Array(vec![Array(vec![Int(1)]), Int(2)]), ragged),
        ("_int4", Array(vec![Int(1), Array(vec![Int(2)])]), ragged),
        ("_int4", Array(vec![Array(vec![]), Array(vec![Int(1)])]), ragged),
        ("_int4", nested(6), "{{{{{{1}}}}}}"),
        ("_int4", nested(7), "!array has more than 6 dimensions, the most int4[] can have"),
        ("_int4", Array(vec![Number(1.5)]), "!number does not fit int4"),
        ("_text", Array(vec![string(""), string("NULL"), string("a\"b\\")]), r#"{"","NULL","a\"b\\"}"#),
        ("_text", Array(vec![string("\"\""), string("é"), Number(1e21)]), r#"{"\"\"","é",1e+21}"#),
        ("_bytea", Array(vec![Bytes(b"\0\xFF")]), r#"{"\\x00ff"}"#),
        ("_float8", Array(vec![Number(-0.0), Number(f64::NAN)]), "{-0,NaN}"),
        ("_box", Array(vec![string("(1,2),(3,4)"), Null]), "{\"(1,2),(3,4)\";NULL}"),
        ("_jsonb", Array(vec![Json("{\"a\":1}"), string("\"s\""), Bool(true)]), r#"{"{\"a\":1}","\"s\"",true}"#),
        ("_date", Array(vec![DATE]), "{\"2024-01-01 00:01:00.123Z\"}"),
        ("int2vector", Array(vec![Int(1), Number(2.0)]), "1 2"),
        ("oidvector", Array(vec![Null]), "!null cannot be sent as oidvector"),
        ("int2vector", Array(vec![Int(40_000)]), "!number does not fit int2"),
    ] {
        assert_eq!(sent(&param, &type_named(ty)), expected, "{ty}");
    }
}

#[test]
fn arrays_as_json() {
    let param = Array(vec![
        Null,
        Bool(true),
        Number(f64::NAN),
        Number(-0.0),
        BigIntText("99999999999999999999".into()),
        string("q\"\\\u{8}\t\n\u{c}\r\u{1}é/\u{2028}"),
        DATE,
        Date(f64::NAN),
        Json("{\"a\":[]}"),
        Array(vec![]),
    ]);
    let expected = concat!(
        r#"[null,true,null,0,99999999999999999999,"q\"\\\b\t\n\f\r\u0001é/"#,
        "\u{2028}",
        r#"","2024-01-01T00:01:00.123Z",null,{"a":[]},[]]"#
    );
    assert_eq!(sent(&param, &Type::JSON), expected);
    assert_eq!(sent(&Array(vec![Bytes(b"")]), &Type::JSONB), "!Buffer cannot be sent as jsonb");
}

#[test]
fn domains_count_as_their_base() {
    let posint = custom("posint", Kind::Domain(Type::INT4));
    let deeper = custom("deeper", Kind::Domain(posint.clone()));
    let tags = custom("tags", Kind::Domain(Type::TEXT_ARRAY));
    let posints = custom("_posint", Kind::Array(posint.clone()));
    assert_eq!(sent(&Int(1), &deeper), "00000001");
    assert_eq!(sent(&Number(1.5), &posint), "!number does not fit posint");
    assert_eq!(sent(&Array(vec![string("a")]), &tags), "{\"a\"}");
    assert_eq!(sent(&Array(vec![Int(1)]), &posints), "{1}");
    assert_eq!(sent(&Array(vec![Number(0.5)]), &posints), "!number does not fit posint");
}

#[test]
fn debug_and_errors_never_show_a_value() {
    let shown = format!("{:?}", [string("secret"), Json("{\"secret\":1}"), Array(vec![string("secret")]), Int(4711)]);
    assert_eq!(shown, "[string, object, array, number]");
    for param in [Number(4711.5), BigInt(4_711_471_147_114_711), Json("4711"), Bytes(b"4711")] {
        assert!(!sent(&param, &Type::INT4).contains("4711"));
    }
}

#[test]
fn objects() {
    let pair = custom(
        "pair",
        Kind::Composite(vec![Field::new("a".to_owned(), Type::INT4), Field::new("b c".to_owned(), Type::TEXT_ARRAY)]),
    );
    let pairs = Type::new("_pair".to_owned(), 90_002, Kind::Array(pair.clone()), "public".to_owned());
    let one = object(&[("a", Int(1)), ("b c", Array(vec![string("x\"\\"), Null]))]);
    for (ty, param, expected) in [
        (&pair, one.clone(), r#"("1","{\"x\\\"\\\\\",NULL}")"#),
        (&pair, object(&[]), "(,)"),
        (&pair, object(&[("a", Null)]), "(,)"),
        (&pair, object(&[("a", Int(1)), ("A", Int(1))]), "!\"A\" is no member of pair"),
        (&pair, object(&[("a", Number(1.5))]), "!number does not fit int4"),
        (&pairs, Array(vec![object(&[("a", Int(1))]), Null]), r#"{"(\"1\",)",NULL}"#),
        (&pairs, object(&[]), "!object cannot be sent as pair[]"),
        (&Type::INT4_RANGE, object(&[("lower", Int(1)), ("upper", Int(5))]), r#"["1","5")"#),
        (&Type::INT4_RANGE, object(&[("upper", Int(5)), ("bounds", string("(]"))]), r#"(,"5"]"#),
        (
            &Type::INT4_RANGE,
            object(&[("bounds", string("<"))]),
            "!bounds of a range must be one of '[)', '[]', '(]', '()'",
        ),
        (&Type::INT4_RANGE, object(&[("from", Int(1))]), "!\"from\" is no member of int4range"),
        (&Type::INT4_RANGE, object(&[("lower", Number(0.5))]), "!number does not fit int4"),
        (&Type::INT4MULTI_RANGE, Array(vec![object(&[("lower", Int(1))]), string("[3,4)")]), r#"{["1",),[3,4)}"#),
        (&Type::INT4MULTI_RANGE, Array(vec![Int(1)]), "!number cannot be sent as int4multirange"),
        (&type_named("hstore"), object(&[("k\"", Int(1)), ("", Null)]), r#""k\""=>"1",""=>NULL"#),
        (&type_named("hstore"), object(&[("k", object(&[]))]), "!object cannot be sent as hstore"),
        (
            &Type::JSONB,
            object(&[("a", BigIntText("123456789012345678901".into())), ("b\"", Array(vec![Null]))]),
            r#"{"a":123456789012345678901,"b\"":[null]}"#,
        ),
        (&Type::INT4, object(&[]), "!object cannot be sent as int4"),
    ] {
        assert_eq!(sent(&param, ty), expected);
    }
}

/// The forms in which JavaScript gets what the server writes in another way.
#[test]
fn expanded_years() {
    for (text, expected) in [
        ("+010000-01-01", "10000-01-01"),
        ("+294276-12-31T23:59:59.999999Z", "294276-12-31T23:59:59.999999Z"),
        ("+5874897-12-31", "5874897-12-31"),
        ("-000043-03-15T12:00:00.000", "0044-03-15T12:00:00.000 BC"),
        ("0000-12-31", "0001-12-31 BC"),
        // What the server reads, or refuses, by itself.
        ("-000000-01-01", "-000000-01-01"),
        ("+002024-01-01", "+002024-01-01"),
        ("2024-01-01", "2024-01-01"),
        ("+010000-13-01", "+010000-13-01"),
        ("0000-12-31 BC", "0000-12-31 BC"),
        ("infinity", "infinity"),
        ("-1", "-1"),
        ("", ""),
    ] {
        assert_eq!(sent(&string(text), &Type::TIMESTAMP), expected);
    }
    assert_eq!(sent(&string("0000-12-31"), &Type::TEXT), "0000-12-31");
}
