//! Random bytes and damaged values: errors, never a panic, never more memory than the input warrants.

use postgres_types::{Kind, Type};

use super::server::table;
use super::{Packer, TypeChoices, builtin_types, custom, decode, show, type_named};
use crate::codec::{Catalog, DateAs, Decoder, Int8As, JsonAs, NumericAs, Types, read_params};

pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self, below: usize) -> usize {
        // Knuth's MMIX generator.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }

    /// Bytes among which small numbers, the likely counts and lengths, are frequent.
    fn bytes(&mut self, len: usize) -> Vec<u8> {
        let byte = |random: &mut Self| match random.next(4) {
            0 => random.next(256) as u8,
            1 => random.next(5) as u8,
            2 => 0xFF,
            _ => 0,
        };
        (0..len).map(|_| byte(self)).collect()
    }
}

fn types() -> Vec<Type> {
    let customs = ["mood", "citext", "hstore", "ltree", "frange", "textrange"].map(type_named);
    let domain = custom("posint", Kind::Domain(Type::INT4));
    builtin_types().chain(customs).chain([custom("_posint", Kind::Array(domain))]).collect()
}

fn check(decoder: &Decoder, raw: &[u8]) {
    let mut out = Packer::default();
    let result = decoder.decode(raw, &mut out);
    // A numeric of few bytes may have 131072 + 16383 digits.
    assert!(out.byte_len() <= 64 * raw.len() + 160_000 * (1 + raw.len() / 8), "{decoder:?} {raw:02x?}");
    if let Ok(slot) = result {
        show(decoder, slot, &out);
    }
}

#[test]
fn random_bytes_into_every_decoder() {
    let mut random = Random(1);
    let other =
        TypeChoices { int8: Int8As::Number, numeric: NumericAs::Number, date: DateAs::Date, json: JsonAs::Text };
    for ty in types() {
        for choices in [TypeChoices::default(), other] {
            let decoder = Decoder::for_column(&ty, &Types { choices, ..Types::default() }, &Catalog::default());
            check(&decoder, b"");
            for round in 0..300 {
                let len = random.next(if round % 10 == 0 { 200 } else { 40 });
                check(&decoder, &random.bytes(len));
            }
        }
    }
}

#[test]
fn damaged_values() {
    let mut random = Random(2);
    for (name, raw, _) in table() {
        let decoder = super::decoder(&type_named(name));
        for _ in 0..60 {
            let mut raw = raw.clone();
            for _ in 0..=random.next(3) {
                if !raw.is_empty() {
                    let at = random.next(raw.len());
                    raw[at] = random.bytes(1)[0];
                }
            }
            check(&decoder, &raw);
        }
    }
}

#[test]
fn damaged_arrays_of_every_type() {
    let mut random = Random(3);
    for ty in types() {
        let Kind::Array(member) = ty.kind() else {
            continue;
        };
        let decoder = super::decoder(&ty);
        for _ in 0..100 {
            let mut raw = vec![0, 0, 0, 1, 0, 0, 0, 0];
            raw.extend(member.oid().to_be_bytes());
            raw.extend([0, 0, 0, 2, 0, 0, 0, 1]);
            for _ in 0..2 {
                let len = random.next(20);
                raw.extend((len as u32).to_be_bytes());
                raw.extend(random.bytes(len));
            }
            check(&decoder, &raw);
        }
    }
}

#[test]
fn a_header_that_promises_too_much_takes_no_memory() {
    for raw in [
        // Six dimensions of 2^31 - 1 elements.
        [vec![0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 23], [0x7F, 0xFF, 0xFF, 0xFF, 0, 0, 0, 1].repeat(6)].concat(),
        // One of them zero: empty, as nothing follows.
        [vec![0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 23], [0, 0, 0, 1, 0, 0, 0, 1].repeat(7)].concat(),
    ] {
        assert!(decode(&Type::INT4_ARRAY, &raw).is_err());
    }
    for ty in [Type::TS_VECTOR, Type::TSQUERY, Type::PATH, Type::INT4MULTI_RANGE, Type::VARBIT, Type::PG_SNAPSHOT] {
        assert!(decode(&ty, &[0x7F; 24]).is_err(), "{ty}");
    }
}

#[test]
fn random_bytes_as_parameters() {
    let mut random = Random(4);
    for _ in 0..20_000 {
        let count = random.next(5);
        let len = random.next(80);
        let mut bytes = random.bytes(len);
        // Make tags and lengths likely.
        for word in bytes.chunks_exact_mut(8) {
            word[0] = random.next(14) as u8;
            word[1..4].fill(0);
            word[5..8].fill(0);
        }
        if let Ok(params) = read_params(&bytes, count) {
            assert_eq!(params.len(), count);
        }
    }
    assert!(read_params(&[0; 64], usize::MAX).is_err());
}
