//! Cells in text format, and composites in both.

use postgres_types::{Field, Kind, Type};

use super::{custom, decode, decode_with, type_named, unhex};
use crate::codec::error::DecodeError;
use crate::codec::{Catalog, Decoder, Types};

fn from_text(ty: &Type, text: &str) -> Result<String, DecodeError> {
    decode_with(&Decoder::for_text(ty, &Types::default(), &Catalog::default()), text.as_bytes())
}

fn pair() -> Type {
    let fields = [("a", Type::INT4), ("b c", Type::TEXT_ARRAY)];
    custom("pair", Kind::Composite(fields.map(|(name, ty)| Field::new(name.to_owned(), ty)).to_vec()))
}

#[test]
fn what_the_server_prints_is_read() {
    let pairs = Type::new("_pair".to_owned(), 90_002, Kind::Array(pair()), "public".to_owned());
    for (ty, text, expected) in [
        (Type::BOOL, "t", "t"),
        (Type::INT2, "-32768", "-32768"),
        (Type::OID, "4294967295", "4.294967295e9"),
        (Type::FLOAT4, "0.1", "1e-1"),
        (Type::FLOAT8, "-Infinity", "-Infinity"),
        (Type::FLOAT8, "NaN", "NaN"),
        (Type::INT8, "-9223372036854775808", "-9223372036854775808"),
        (Type::NUMERIC, "1.10", "1.10"),
        (Type::BYTEA, "\\x00fF", "\\x00ff"),
        (Type::BYTEA, "a\\\\\\000\\377", "\\x615c00ff"),
        (Type::TIMESTAMPTZ, "2024-02-29 12:00:00.123456+05:30", "2024-02-29T06:30:00.123456Z"),
        (Type::TIMESTAMPTZ, "1800-01-01 00:00:00-00:01:15", "1800-01-01T00:01:15.000Z"),
        (Type::TIMESTAMPTZ, "infinity", "infinity"),
        (Type::TIMESTAMP, "0044-03-15 12:00:00 BC", "-000043-03-15T12:00:00.000"),
        (Type::TIMESTAMP, "294276-12-31 23:59:59.999999", "+294276-12-31T23:59:59.999999"),
        (Type::DATE, "5874897-12-31", "+5874897-12-31"),
        (Type::DATE, "0001-02-29 BC", "0000-02-29"),
        (Type::DATE, "-infinity", "-infinity"),
        (Type::TIME, "24:00:00", "24:00:00"),
        (Type::JSONB, "{\"a\": 1}", "{\"a\": 1}"),
        (Type::REGCLASS, "pg_class", "pg_class"),
        (type_named("hstore"), r#""a"=>"1", "b\"c"=>NULL"#, r#"{"a":"1","b\"c":null}"#),
        (type_named("hstore"), "", "{}"),
        (Type::INT4_ARRAY, "{}", "{}"),
        (Type::INT4_ARRAY, "{1,NULL}", "{1,NULL}"),
        (Type::INT4_ARRAY, "[0:1][3:4]={{1,2},{3,4}}", "{{1,2},{3,4}}"),
        (Type::TEXT_ARRAY, r#"{a b,"","NULL",NULL,"q\"\\,{}"}"#, r#"{a b,,NULL,NULL,q"\,{}}"#),
        (Type::BOX_ARRAY, "{(1,1),(0,0);(2,2),(0,0)}", "{(1,1),(0,0),(2,2),(0,0)}"),
        (pair(), r#"(1,"{a,NULL,""b\\""""}")"#, "(a:1,b c:{a,NULL,b\"})"),
        (pair(), "(,)", "(a:NULL,b c:NULL)"),
        (pairs, r#"{"(1,)",NULL}"#, "{(a:1,b c:NULL),NULL}"),
        (custom("nothing", Kind::Composite(Vec::new())), "()", "()"),
    ] {
        assert_eq!(from_text(&ty, text).as_deref(), Ok(expected), "{ty} {text}");
    }
}

#[test]
fn what_the_server_does_not_print_is_refused() {
    for (ty, text) in [
        (Type::BOOL, "x"),
        (Type::INT4, "2147483648"),
        (Type::INT4, ""),
        (Type::BYTEA, "\\x0"),
        (Type::BYTEA, "\\9"),
        // Other styles than ISO.
        (Type::DATE, "15.03.2024"),
        (Type::DATE, "03/15/2024"),
        (Type::DATE, "2024-02-30"),
        (Type::TIMESTAMP, "2024-01-01"),
        (Type::TIMESTAMPTZ, "Thu Jan 01 00:00:00 1970 UTC"),
        (Type::INT4_ARRAY, ""),
        (Type::INT4_ARRAY, "1"),
        (Type::INT4_ARRAY, "{1"),
        (Type::INT4_ARRAY, "{1}}"),
        (Type::INT4_ARRAY, "{1},"),
        (Type::INT4_ARRAY, "{{1},{2,3}}"),
        (Type::INT4_ARRAY, "{1,{2}}"),
        (Type::INT4_ARRAY, "{{{{{{{1}}}}}}}"),
        (Type::TEXT_ARRAY, "{\"a}"),
        (type_named("hstore"), "a=>1"),
        (type_named("hstore"), r#""a"=>"1","b"=>"2""#),
        (pair(), "1,2"),
        (pair(), "(1)"),
        (pair(), "(1,{},3)"),
        (pair(), "(1,\"{}"),
    ] {
        assert!(from_text(&ty, text).is_err(), "{ty} {text}");
    }
}

#[test]
fn composites_in_binary() {
    let ty = pair();
    // Two values: int4 7, and a text[] of "x" and NULL.
    let raw = unhex(
        "00000002 00000017 00000004 00000007 000003f1 0000001d
         00000001 00000001 00000019 00000002 00000001 00000001 78 ffffffff",
    );
    assert_eq!(decode(&ty, &raw).as_deref(), Ok("(a:7,b c:{x,NULL})"));
    for len in 0..raw.len() {
        assert!(decode(&ty, &raw[..len]).is_err(), "{len}");
    }
    let range = custom("prange", Kind::Range(ty.clone()));
    let ranged = [&[0x02 | 0x10][..], &(raw.len() as u32).to_be_bytes(), &raw].concat();
    assert_eq!(decode(&range, &ranged).as_deref(), Ok(r#"["(7,""{x,NULL}"")",)"#));
    // Attributes that came, went or changed meanwhile.
    for changed in ["00000000", "00000001 00000017 ffffffff", "00000002 00000019 ffffffff 000003f1 ffffffff"] {
        assert_eq!(decode(&ty, &unhex(changed)), Err(DecodeError::Changed), "{changed}");
    }
}
