//! What holds for every value: the two formats of the wire say the same, and what is written reads back.

use bytes::BytesMut;
use postgres_types::{Field, Kind, Type};
use proptest::prelude::*;

use super::params::{object, string};
use super::{custom, decode_with, type_named};
use crate::codec::float::{put_js_number, put_pg_float4, put_pg_float8};
use crate::codec::text::array_text::write_value;
use crate::codec::text::datetime_text::{expanded, read_date, read_timestamp};
use crate::codec::{Catalog, Decoder, Param, Target, Types};

/// A type with one of its values in the wire's binary form.
type Wire = (Type, Vec<u8>);

fn numeric() -> impl Strategy<Value = Vec<u8>> {
    let group = prop_oneof![Just(0_u16), Just(9999), 0..10_000_u16];
    (prop::collection::vec(group, 0..8), -6..8_i16, any::<bool>(), 0..40_u16).prop_map(
        |(groups, weight, minus, scale)| {
            // As the server has it: no zero groups at either end, and no more digits after the point than the scale.
            let first = groups.iter().position(|&group| group != 0).unwrap_or(groups.len());
            let mut groups = groups[first..].to_vec();
            let weight = weight - first as i16;
            let after = (groups.len() as i32 - 1 - i32::from(weight)).max(0);
            while groups.last() == Some(&0) {
                groups.pop();
            }
            let scale = scale.max(after as u16 * 4);
            let sign = if minus && !groups.is_empty() { 0x4000 } else { 0 };
            let weight = if groups.is_empty() { 0 } else { weight };
            let head = [groups.len() as u16, weight as u16, sign, scale];
            head.iter().chain(&groups).flat_map(|word| word.to_be_bytes()).collect()
        },
    )
}

/// Between `MIN_TIMESTAMP` and `END_TIMESTAMP`, and the infinities.
fn micros() -> impl Strategy<Value = i64> {
    prop_oneof![
        8 => -211_813_488_000_000_000..9_223_371_331_200_000_000_i64,
        4 => -86_400_000_000_i64..86_400_000_000,
        1 => Just(i64::MAX),
        1 => Just(i64::MIN),
    ]
}

fn days() -> impl Strategy<Value = i32> {
    prop_oneof![8 => -2_451_545..2_145_031_948_i32, 4 => -800_000..800_000_i32, 1 => Just(i32::MAX), 1 => Just(i32::MIN)]
}

/// Text with what matters to literals.
fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z\"\\\\{}(),;:\\[\\]=> \t\n'é😀]{0,12}", "NULL|null|", any::<String>()]
        .prop_map(|text| text.replace('\0', ""))
}

fn scalar() -> impl Strategy<Value = Wire> {
    let of = |ty: Type| move |bytes: Vec<u8>| (ty.clone(), bytes);
    prop_oneof![
        any::<bool>().prop_map(|value| (Type::BOOL, vec![value.into()])),
        any::<i16>().prop_map(|value| (Type::INT2, value.to_be_bytes().to_vec())),
        any::<i32>().prop_map(|value| (Type::INT4, value.to_be_bytes().to_vec())),
        any::<i64>().prop_map(|value| (Type::INT8, value.to_be_bytes().to_vec())),
        any::<u32>().prop_map(|value| (Type::OID, value.to_be_bytes().to_vec())),
        // Any bits: NaNs with payloads, denormals.
        any::<u32>().prop_map(|bits| (Type::FLOAT4, bits.to_be_bytes().to_vec())),
        any::<u64>().prop_map(|bits| (Type::FLOAT8, bits.to_be_bytes().to_vec())),
        numeric().prop_map(of(Type::NUMERIC)),
        text().prop_map(|value| (Type::TEXT, value.into_bytes())),
        any::<Vec<u8>>().prop_map(of(Type::BYTEA)),
        any::<[u8; 16]>().prop_map(|value| (Type::UUID, value.to_vec())),
        micros().prop_map(|value| (Type::TIMESTAMPTZ, value.to_be_bytes().to_vec())),
        micros().prop_map(|value| (Type::TIMESTAMP, value.to_be_bytes().to_vec())),
        days().prop_map(|value| (Type::DATE, value.to_be_bytes().to_vec())),
        (0..=86_400_000_000_i64).prop_map(|value| (Type::TIME, value.to_be_bytes().to_vec())),
        any::<(i64, i32, i32)>().prop_map(|(time, days, months)| {
            let time = time / 4;
            (Type::INTERVAL, [&time.to_be_bytes()[..], &days.to_be_bytes(), &months.to_be_bytes()].concat())
        }),
        prop::collection::vec((text(), prop::option::of(text())), 0..4).prop_map(|pairs| {
            let mut pairs = pairs;
            pairs.sort();
            pairs.dedup_by(|a, b| a.0 == b.0);
            let mut raw = (pairs.len() as u32).to_be_bytes().to_vec();
            for (key, value) in &pairs {
                put(&mut raw, Some(key.as_bytes()));
                put(&mut raw, value.as_ref().map(String::as_bytes));
            }
            (type_named("hstore"), raw)
        }),
    ]
}

/// A length and a value.
fn put(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(value) => {
            out.extend((value.len() as u32).to_be_bytes());
            out.extend(value);
        }
        None => out.extend([0xFF; 4]),
    }
}

fn array_of(member: &Type, dimensions: &[u32], values: &[Option<Vec<u8>>]) -> Wire {
    let mut raw = [dimensions.len() as u32, 1, member.oid()].map(u32::to_be_bytes).concat();
    for &len in dimensions {
        raw.extend([len, 1].map(u32::to_be_bytes).concat());
    }
    for value in values {
        put(&mut raw, value.as_deref());
    }
    let ty = Type::new(format!("_{}", member.name()), 90_100, Kind::Array(member.clone()), "public".to_owned());
    (ty, raw)
}

/// Up to three dimensions of one value and NULLs.
fn array(element: impl Strategy<Value = Wire>) -> impl Strategy<Value = Wire> {
    (element, prop::collection::vec(1..4_u32, 0..4), any::<u64>()).prop_map(|((member, value), dimensions, nulls)| {
        let total = if dimensions.is_empty() { 0 } else { dimensions.iter().product() };
        let values: Vec<_> = (0..total).map(|at| (nulls >> (at % 64) & 3 != 0).then(|| value.clone())).collect();
        array_of(&member, &dimensions, &values)
    })
}

fn record(attribute: impl Strategy<Value = Wire>) -> impl Strategy<Value = Wire> {
    prop::collection::vec((attribute, any::<bool>()), 0..5).prop_map(|attributes| {
        let mut raw = (attributes.len() as u32).to_be_bytes().to_vec();
        let mut fields = Vec::new();
        for (index, ((ty, value), is_null)) in attributes.iter().enumerate() {
            raw.extend(ty.oid().to_be_bytes());
            put(&mut raw, (!is_null).then_some(&value[..]));
            fields.push(Field::new(format!("a{index}"), ty.clone()));
        }
        (custom("rec", Kind::Composite(fields)), raw)
    })
}

fn anything() -> impl Strategy<Value = Wire> {
    prop_oneof![scalar(), array(scalar()), record(scalar()), record(array(scalar())), array(record(scalar()))]
}

fn decoder(ty: &Type, in_text: bool) -> Decoder {
    let (types, catalog) = (Types::default(), Catalog::default());
    if in_text { Decoder::for_text(ty, &types, &catalog) } else { Decoder::for_column(ty, &types, &catalog) }
}

fn sent(param: &Param<'_>, ty: &Type) -> Vec<u8> {
    let mut out = BytesMut::new();
    param.write(Target::new(ty, &Catalog::default()), &mut out).expect("a value that fits");
    out.to_vec()
}

fn texts(items: &[Option<String>]) -> Vec<Param<'_>> {
    items.iter().map(|item| item.as_deref().map_or(Param::Null, string)).collect()
}

proptest! {
    // Failures are told with their value; none is kept in a file.
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_two_formats_say_the_same((ty, raw) in anything()) {
        let binary = decoder(&ty, false);
        let mut text = Vec::new();
        write_value(&binary, &raw, &mut text).expect("a value of the type");
        let shown = decode_with(&binary, &raw);
        prop_assert!(shown.is_ok(), "{} {:?}", ty, shown);
        prop_assert_eq!(decode_with(&decoder(&ty, true), &text), shown, "{} {}", ty, String::from_utf8_lossy(&text));
    }

    #[test]
    fn shortest_floats_read_back(bits in any::<u64>(), single in any::<u32>()) {
        let (value, single) = (f64::from_bits(bits), f32::from_bits(single));
        prop_assume!(value.is_finite() && single.is_finite());
        let text = |write: &dyn Fn(&mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&mut out);
            String::from_utf8(out).unwrap()
        };
        prop_assert_eq!(text(&|out| put_pg_float8(out, value)).parse::<f64>().unwrap().to_bits(), bits);
        prop_assert_eq!(text(&|out| put_pg_float4(out, single)).parse::<f32>().unwrap().to_bits(), single.to_bits());
        // String(-0) is '0'.
        let read = text(&|out| put_js_number(out, value)).parse::<f64>().unwrap();
        prop_assert_eq!(read.to_bits(), (value + 0.0).to_bits());
    }

    #[test]
    fn what_javascript_gets_of_a_time_is_what_the_server_reads(micros in micros(), days in days()) {
        let iso = decode_with(&decoder(&Type::TIMESTAMP, false), &micros.to_be_bytes()).unwrap();
        let server = expanded(&iso).unwrap_or(iso).replacen('T', " ", 1);
        prop_assert_eq!(read_timestamp(server.as_bytes()), Ok(micros), "{}", server);
        let iso = decode_with(&decoder(&Type::DATE, false), &days.to_be_bytes()).unwrap();
        let server = expanded(&iso).unwrap_or(iso);
        prop_assert_eq!(read_date(server.as_bytes()), Ok(days), "{}", server);
    }

    #[test]
    fn array_literals_read_back(items in prop::collection::vec(prop::option::of(text()), 1..6)) {
        let raw = sent(&Param::Array(texts(&items)), &Type::TEXT_ARRAY);
        let values: Vec<_> = items.iter().map(|item| item.clone().map(String::into_bytes)).collect();
        let (ty, binary) = array_of(&Type::TEXT, &[items.len() as u32], &values);
        prop_assert_eq!(decode_with(&decoder(&Type::TEXT_ARRAY, true), &raw), decode_with(&decoder(&ty, false), &binary));
        let twice = Param::Array(vec![Param::Array(texts(&items)), Param::Array(texts(&items))]);
        let (ty, binary) = array_of(&Type::TEXT, &[2, items.len() as u32], &[&values[..], &values].concat());
        let raw = sent(&twice, &Type::TEXT_ARRAY);
        prop_assert_eq!(decode_with(&decoder(&Type::TEXT_ARRAY, true), &raw), decode_with(&decoder(&ty, false), &binary));
    }

    #[test]
    fn composite_literals_read_back(a in prop::option::of(text()), list in prop::collection::vec(text(), 1..4), inner in text()) {
        let small = custom("small", Kind::Composite(vec![Field::new("x".to_owned(), Type::TEXT)]));
        let fields = [("a", Type::TEXT), ("list", Type::TEXT_ARRAY), ("s", small)];
        let ty = custom("large", Kind::Composite(fields.map(|(name, ty)| Field::new(name.to_owned(), ty)).to_vec()));
        let items: Vec<_> = list.iter().map(|item| string(item)).collect();
        let nested = object(&[("x", string(&inner))]);
        let members = [("s", nested), ("list", Param::Array(items)), ("a", a.as_deref().map_or(Param::Null, string))];
        let raw = sent(&object(&members), &ty);
        let a = a.unwrap_or("NULL".to_owned());
        let expected = format!("(a:{a},list:{{{}}},s:(x:{inner}))", list.join(","));
        prop_assert_eq!(decode_with(&decoder(&ty, true), &raw), Ok(expected));
    }

    #[test]
    fn hstore_and_json_of_an_object_read_back(pairs in prop::collection::btree_map(text(), prop::option::of(text()), 0..5)) {
        let members: Vec<_> =
            pairs.iter().map(|(key, value)| (key.as_str(), value.as_deref().map_or(Param::Null, string))).collect();
        let expected = serde_json::to_value(&pairs).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&sent(&object(&members), &Type::JSON)).unwrap();
        prop_assert_eq!(&json, &expected);
        // The literal is as hstore_in reads it; hstore_out puts a blank behind each comma between pairs.
        let ty = type_named("hstore");
        for (key, value) in &members {
            let literal = sent(&object(&[(key, value.clone())]), &ty);
            let read: serde_json::Value = serde_json::from_str(&decode_with(&decoder(&ty, true), &literal).unwrap()).unwrap();
            prop_assert_eq!(read.get(key), expected.get(key));
        }
    }
}
