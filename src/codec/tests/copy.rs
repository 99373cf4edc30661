//! Rows for COPY: what is written in binary reads back as its text, and what is not surely the same is left to the server.

use std::sync::Arc;

use bytes::BytesMut;
use postgres_types::{Kind, Type};

use super::params::{put, string};
use super::{custom, decode, type_named};
use crate::codec::Param::{self, Array, BigInt, BigIntText, Bool, Bytes, Date, Int, Json, Null, Number};
use crate::codec::{CopyColumn, CopyForm, CopyRow, ParamError, ParamReader};

fn row(form: CopyForm, types: &[Type], params: &[Param<'_>]) -> Result<(CopyRow, Vec<u8>), (usize, ParamError)> {
    let columns: Vec<_> = types.iter().map(|ty| CopyColumn::new("c", ty, &Arc::default())).collect();
    let mut given = Vec::new();
    for param in params {
        put(&mut given, param);
    }
    let mut out = BytesMut::from(&b"before"[..]);
    let written = form.put(&columns, &mut ParamReader::new(&given), &mut out)?;
    Ok((written, out[6..].to_vec()))
}

/// The binary form of one value; None: it needs text.
fn binary(ty: &Type, param: Param<'_>) -> Option<Vec<u8>> {
    let (written, out) = row(CopyForm::Binary, std::slice::from_ref(ty), &[param]).expect("a value that fits");
    if written == CopyRow::NeedsText {
        assert!(out.is_empty(), "nothing is left behind");
        return None;
    }
    let (head, value) = out.split_at(6);
    assert_eq!(head[..2], [0, 1], "one column");
    assert_eq!(head[2..], (value.len() as i32).to_be_bytes(), "the value's length");
    Some(value.to_vec())
}

#[test]
fn what_is_binary_reads_back() {
    let mood = type_named("mood");
    let table: &[(&Type, Param<'_>, &str)] = &[
        (&Type::INT8, string("-9223372036854775808"), "-9223372036854775808"),
        (&Type::INT8, BigInt(7), "7"),
        (&Type::TEXT, string("é\t\\N\n"), "é\t\\N\n"),
        (&Type::TEXT, Int(5), "5"),
        (&Type::VARCHAR, Bool(true), "true"),
        (&Type::JSON, Json("{\"a\": 1}"), "{\"a\": 1}"),
        (&Type::JSONB, Array(vec![Int(1), Null]), "[1,null]"),
        (&mood, string("sad"), "sad"),
        (&Type::UUID, string("0123ABCD-4567-89ab-cdef-000000000001"), "0123abcd-4567-89ab-cdef-000000000001"),
        (&Type::NUMERIC, Int(0), "0"),
        (&Type::NUMERIC, string("-0.00"), "0.00"),
        (&Type::NUMERIC, string("+00012345.678900"), "12345.678900"),
        (&Type::NUMERIC, string("0.000000012"), "0.000000012"),
        (&Type::NUMERIC, string("100000000"), "100000000"),
        (&Type::NUMERIC, string("-1.5e10"), "-15000000000"),
        (&Type::NUMERIC, string("12.345e+1"), "123.45"),
        (&Type::NUMERIC, Number(1e-7), "0.0000001"),
        (&Type::NUMERIC, Number(1e21), "1000000000000000000000"),
        (&Type::NUMERIC, Number(f64::NAN), "NaN"),
        (&Type::NUMERIC, BigIntText("-99999999999999999999".into()), "-99999999999999999999"),
        (&Type::TIMESTAMPTZ, string("2024-02-29T12:34:56.7Z"), "2024-02-29T12:34:56.700Z"),
        (&Type::TIMESTAMPTZ, string("2024-01-01 00:00:00+05:30"), "2023-12-31T18:30:00.000Z"),
        (&Type::TIMESTAMPTZ, string("1969-12-31T23:59:59.999999-01"), "1970-01-01T00:59:59.999999Z"),
        (&Type::TIMESTAMPTZ, Date(-1.0), "1969-12-31T23:59:59.999Z"),
        (&Type::TIMESTAMP, string("0001-01-01T00:00:00"), "0001-01-01T00:00:00.000"),
        (&Type::TIMESTAMP, Date(86_400_000.0), "1970-01-02T00:00:00.000"),
        (&Type::DATE, string("9999-12-31"), "9999-12-31"),
        (&Type::DATE, string("2000-02-29"), "2000-02-29"),
        (&Type::DATE, Date(-1.0), "1969-12-31"),
        (&Type::TIME, string("23:59:59.000001"), "23:59:59.000001"),
    ];
    for (ty, param, expected) in table {
        let raw = binary(ty, param.clone()).unwrap_or_else(|| panic!("{ty} {expected} needs text"));
        assert_eq!(decode(ty, &raw).as_deref(), Ok(*expected), "{ty}");
    }
    assert_eq!(binary(&Type::BOOL, string("t")), Some(vec![1]));
    assert_eq!(binary(&Type::INT2, string("-2")), Some(vec![0xFF, 0xFE]));
    assert_eq!(binary(&Type::OID, string("4294967295")), Some(vec![0xFF; 4]));
    assert_eq!(binary(&Type::BYTEA, string("\\x00fF")), Some(vec![0, 255]));
    assert_eq!(binary(&Type::BYTEA, Bytes(b"\\x")), Some(b"\\x".to_vec()));
    assert_eq!(binary(&Type::FLOAT8, string("-0")), Some((-0.0_f64).to_be_bytes().to_vec()));
    assert_eq!(binary(&Type::FLOAT8, string("1.5e-3")), Some(1.5e-3_f64.to_be_bytes().to_vec()));
    assert_eq!(binary(&Type::FLOAT4, string("0.1")), Some(0.1_f32.to_be_bytes().to_vec()));
}

#[test]
fn what_only_the_server_can_read_needs_text() {
    let table: &[(&Type, &[&str])] = &[
        (&Type::BOOL, &["yes", "TRUE", " t", "", "1"]),
        (&Type::INT4, &["", "-", "+1", " 1", "1.0", "0x1F", "1_000", "2147483648", "99999999999999999999", "١"]),
        (&Type::FLOAT8, &["", "NaN", "inf", "1e400", "1e-400", "0x1p3", " 1", ".5", "5.", "1e", "--1", "+1"]),
        (&Type::FLOAT4, &["1e39", "1e-46"]),
        (&Type::NUMERIC, &["", ".5", "5.", "1_0", "Infinity", "nan", " 1", "1e", "0x10", "1e5000", "--1", "-"]),
        (&Type::UUID, &["", "{0123abcd-4567-89ab-cdef-000000000001}", "0123abcd456789abcdef000000000001"]),
        (&Type::UUID, &["0123abcd-4567-89ab-cdef-00000000000g", "0123abcd-4567-89ab-cdef-0000000-0001"]),
        (&Type::BYTEA, &["", "abc", "\\x0", "\\x0g", "\\000"]),
        (
            &Type::TIMESTAMPTZ,
            &["now", "2024-01-01", "2024-01-01T00:00:00", "2024-02-30T00:00:00Z", "0000-01-01T00:00:00Z"],
        ),
        (&Type::TIMESTAMPTZ, &["2024-01-01T24:00:00Z", "2024-01-01T23:59:60Z", "2024-01-01T00:00:00.1234567Z"]),
        (&Type::TIMESTAMPTZ, &["2024-01-01T00:00:00+16", "2024-01-01T00:00:00Zx", "12024-01-01T00:00:00Z", "infinity"]),
        (&Type::TIMESTAMP, &["2024-01-01T00:00:00Z", "2024-01-01", "2024-13-01T00:00:00"]),
        (&Type::DATE, &["1.2.2024", "2023-02-29", "24-01-01", "2024-01-01T00:00:00", "1900-02-29", "today"]),
        (&Type::TIME, &["24:00:00", "12:00", "12:00:00 PM"]),
    ];
    for (ty, values) in table {
        for value in *values {
            assert_eq!(binary(ty, string(value)), None, "{ty} {value:?}");
        }
    }
    for ty in [Type::NAME, Type::INTERVAL, Type::INT4_ARRAY, Type::XML, Type::TIMETZ] {
        assert!(!CopyColumn::new("c", &ty, &Arc::default()).has_binary(), "{ty}");
    }
    let domain = custom("positive", Kind::Domain(Type::INT4));
    assert_eq!(binary(&domain, Int(1)), Some(vec![0, 0, 0, 1]));
}

#[test]
fn rows_as_text() {
    let types = [Type::TEXT, Type::INT4_ARRAY, Type::BYTEA, Type::INT4];
    let values = [string("\\.\t\r\n\\N é"), Array(vec![Int(1), Null]), Bytes(b"\x01"), Null];
    let expected = b"\\\\.\\t\\r\\n\\\\N \xC3\xA9\t{1,NULL}\t\\\\x01\t\\N\n".to_vec();
    assert_eq!(row(CopyForm::Text, &types, &values), Ok((CopyRow::Written, expected)));
}

#[test]
fn what_does_not_fit_names_its_column() {
    for form in [CopyForm::Binary, CopyForm::Text] {
        for (ty, value) in [
            (Type::INT4, Number(3.5)),
            (Type::INT2, Int(40_000)),
            (Type::TEXT, string("\0")),
            (Type::DATE, Int(1)),
            (Type::TIMESTAMPTZ, Date(f64::NAN)),
            (Type::INT4, Bytes(b"x")),
            (Type::BOOL, Int(1)),
        ] {
            let failed = row(form, &[Type::INT4, ty.clone()], &[Null, value]);
            assert!(matches!(failed, Err((1, _))), "{ty}: {failed:?}");
        }
        assert!(row(form, &[Type::INT4], &[]).is_err(), "too few values");
    }
}
