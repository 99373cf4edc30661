//! Memory and Sets: bytes where the type is bytea, else the list of the numbers or elements.

use postgres_types::Type;

use super::params::{object, sent, string};
use super::{custom, type_named};
use crate::codec::Param::{self, Array, Bytes, Int, Null, Set};
use crate::codec::encode::param::ObjectMembers;
use crate::codec::encode::view::{View, ViewKind};

fn view(kind: ViewKind, bytes: &[u8]) -> Param<'_> {
    Param::View(View { bytes, kind })
}

#[test]
fn each_typed_array_is_bytes_and_a_list() {
    use ViewKind as K;
    let two = |value: f64| [value.to_le_bytes(), value.to_le_bytes()].concat();
    for (kind, bytes, ty, list) in [
        (K::Int8Array, vec![0xFF, 1], "_int2", "{-1,1}"),
        (K::Uint8ClampedArray, vec![0xFF, 1], "_int2", "{255,1}"),
        (K::Int16Array, vec![0xFE, 0xFF, 1, 0], "_int4", "{-2,1}"),
        (K::Uint16Array, vec![0xFE, 0xFF, 1, 0], "_int4", "{65534,1}"),
        (K::Int32Array, vec![0xFF, 0xFF, 0xFF, 0xFF], "_int4", "{-1}"),
        (K::Uint32Array, vec![0xFF, 0xFF, 0xFF, 0xFF], "_int8", "{4294967295}"),
        (K::Float16Array, vec![0x00, 0x3E, 0x01, 0x00, 0x00, 0xFC], "_float8", "{1.5,5.960464477539063e-8,-Infinity}"),
        (K::Float16Array, vec![0x01, 0x7C, 0xFF, 0x7B, 0x00, 0x80], "_float8", "{NaN,65504,-0}"),
        (K::Float32Array, 0.5_f32.to_le_bytes().to_vec(), "_float4", "{0.5}"),
        (K::Float64Array, two(-0.0), "_float8", "{-0,-0}"),
        (K::BigInt64Array, vec![0xFF; 8], "_int8", "{-1}"),
        (K::BigUint64Array, vec![0xFF; 8], "_numeric", "{18446744073709551615}"),
        (K::BigUint64Array, vec![0xFF; 8], "_int8", "!BigInt does not fit int8"),
        (K::BigUint64Array, vec![], "_int8", "{}"),
    ] {
        assert_eq!(sent(&view(kind, &bytes), &type_named(ty)), list, "{kind:?}");
        assert_eq!(sent(&view(kind, &bytes), &Type::BYTEA), super::hex(&bytes), "{kind:?}");
    }
}

#[test]
fn memory_and_sets_within_others() {
    let shorts = || view(ViewKind::Int16Array, &[1, 0, 2, 0]);
    let buffer = || view(ViewKind::ArrayBuffer, b"\0\xFF");
    let blobs = custom("_blob", postgres_types::Kind::Array(custom("blob", postgres_types::Kind::Domain(Type::BYTEA))));
    for (param, ty, expected) in [
        (Array(vec![shorts(), buffer(), Null]), type_named("_bytea"), r#"{"\\x01000200","\\x00ff",NULL}"#),
        (Set(vec![shorts(), Bytes(b"a")]), blobs, r#"{"\\x01000200","\\x61"}"#),
        (Array(vec![view(ViewKind::DataView, b"")]), type_named("_bytea"), r#"{"\\x"}"#),
        (Array(vec![shorts(), Set(vec![Int(3), Null])]), type_named("_int4"), "{{1,2},{3,NULL}}"),
        (Set(vec![Set(vec![]), view(ViewKind::Int8Array, b"")]), type_named("_int4"), "{}"),
        (
            Array(vec![shorts(), Int(1)]),
            type_named("_int4"),
            "!array is ragged: int4[] needs sub-arrays of the same length",
        ),
        (Set(vec![Int(1), Int(2)]), type_named("int2vector"), "1 2"),
        (Set(vec![string("[1,2)")]), type_named("int4multirange"), "{[1,2)}"),
        (Set(vec![Int(1), shorts()]), Type::JSONB, "[1,[1,2]]"),
        (object(&[("a", Set(vec![]))]), Type::JSON, "{\"a\":[]}"),
        (buffer(), Type::JSONB, "!ArrayBuffer cannot be sent as jsonb"),
        (object(&[("a", view(ViewKind::DataView, b""))]), Type::JSONB, "!DataView cannot be sent as jsonb"),
        (buffer(), type_named("_int4"), "!ArrayBuffer cannot be sent as int4[]"),
        (shorts(), Type::INT4, "!Int16Array cannot be sent as int4"),
        (shorts(), type_named("_bytea"), "!number cannot be sent as bytea"),
        (Set(vec![]), Type::TEXT, "!Set cannot be sent as text"),
        (object(&[("a", Set(vec![]))]), type_named("hstore"), "!Set cannot be sent as hstore"),
        (object(&[("a", shorts())]), type_named("hstore"), "!Int16Array cannot be sent as hstore"),
    ] {
        assert_eq!(sent(&param, &ty), expected, "{param:?} as {ty}");
    }
    let map = ObjectMembers { name: "Map", json: Some("{}"), members: Vec::new() };
    assert_eq!(sent(&Param::Object(Box::new(map)), &Type::INT4), "!Map cannot be sent as int4");
}
