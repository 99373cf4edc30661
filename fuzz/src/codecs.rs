//! Rubbish into the codecs; see README.md.
#![no_main]
// The codecs are there whole; the target uses the doors.
#![allow(dead_code, unused_imports)]

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use postgres_types::{Field, Kind, Type};
use serde_json::Value;

#[path = "../../src/codec/mod.rs"]
mod codec;
#[path = "../../src/engine/packed.rs"]
mod packed;
mod engine {
    pub(crate) use super::packed::Packed;
}

use codec::{
    Catalog, CopyColumn, CopyForm, DateAs, Decoder, Foreign, Int8As, JsonAs, JsonShapes, NumericAs, Packer, ParamReader,
    Target, TypeChoices, Types, pack_document, read_params,
};

struct World {
    types: Vec<Type>,
    catalog: Arc<Catalog>,
    wanted: Vec<Types>,
}

impl World {
    /// Two bytes are the oid of a built-in type, or choose any.
    fn type_of(&self, high: u8, low: u8) -> &Type {
        let number = u16::from_be_bytes([high, low]);
        let built_in = self.types.iter().find(|ty| ty.oid() == u32::from(number));
        built_in.unwrap_or_else(|| &self.types[usize::from(number) % self.types.len()])
    }
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let mut oid = 90_000;
    let mut custom = |name: &str, kind: Kind| {
        oid += 1;
        Type::new(name.to_owned(), oid, kind, "public".to_owned())
    };
    let field = |name: &str, ty: &Type| Field::new(name.to_owned(), ty.clone());
    let mood = custom("mood", Kind::Enum(vec!["sad".to_owned()]));
    let hstore = custom("hstore", Kind::Simple);
    let list = custom("list", Kind::Domain(Type::INT4_ARRAY));
    let lists = custom("_list", Kind::Array(list.clone()));
    let float_range = custom("frange", Kind::Range(Type::FLOAT8));
    let fields =
        vec![field("a", &Type::INT4), field("__proto__", &Type::TEXT_ARRAY), field("h", &hstore), field("j", &Type::JSONB)];
    let pair = custom("pair", Kind::Composite(fields));
    let pairs = custom("_pair", Kind::Array(pair.clone()));
    let wide = (0..70).map(|index| field(&format!("c{index}"), &Type::BOOL)).collect();
    let nested = vec![field("p", &pair), field("ps", &pairs), field("t", &Type::TIMESTAMPTZ), field("l", &lists)];
    let named = vec![field("r", &Type::REGCLASS), field("p", &pair), field("ts", &Type::TIMESTAMPTZ_ARRAY)];
    let geometry = custom("geometry", Kind::Simple);
    let silent = custom("seg", Kind::Simple);
    let multirange = custom("fmulti", Kind::Simple);
    let mut catalog = Catalog::default();
    catalog.add(geometry.oid(), Foreign { sends: true, delimiter: b':', range: None });
    catalog.add(silent.oid(), Foreign { sends: false, delimiter: b',', range: None });
    catalog.add(multirange.oid(), Foreign { sends: true, delimiter: b',', range: Some(float_range.clone()) });
    let customs = vec![
        custom("citext", Kind::Simple),
        custom("ltree", Kind::Simple),
        custom("cube", Kind::Simple),
        custom("textrange", Kind::Range(Type::TEXT)),
        custom("prange", Kind::Range(pair.clone())),
        custom("_geometry", Kind::Array(geometry.clone())),
        custom("wide", Kind::Composite(wide)),
        custom("nested", Kind::Composite(nested)),
        custom("named", Kind::Composite(named)),
        custom("nothing", Kind::Composite(Vec::new())),
        custom("pdomain", Kind::Domain(pair.clone())),
    ];
    let own = [mood, hstore, list, lists, float_range, pair, pairs, geometry, silent, multirange];
    let other =
        TypeChoices { int8: Int8As::Number, numeric: NumericAs::Number, date: DateAs::Date, json: JsonAs::Text };
    let text = TypeChoices { int8: Int8As::Text, ..TypeChoices::default() };
    let names = ["int4", "timestamptz", "pair", "geometry", "hstore", "numeric", "text[]", "regclass"];
    let parsers = names.iter().zip(1..).map(|(name, number)| ((*name).to_owned(), number)).collect();
    World {
        types: (1..10_000).filter_map(Type::from_oid).chain(own).chain(customs).collect(),
        catalog: Arc::new(catalog),
        wanted: vec![
            Types::default(),
            Types { choices: other, parsers: HashMap::new() },
            Types { choices: text, parsers },
        ],
    }
});

/// Whether a slot points inside what came with it, as lib/shapes.js would follow it.
fn follow(read: &Value, slot: u64, out: &Packer) {
    let (start, end) = (slot as u32, (slot >> 32) as u32);
    let null = |mask: usize, index: usize| out.aux[mask + index / 64] >> (index % 64) & 1 == 1;
    match read["kind"].as_u64() {
        Some(0) => assert!(slot <= 1),
        // Text, and JSON that came as text.
        Some(4 | 6) => assert!(start <= end && end <= out.utf16, "text {start}..{end} of {}", out.utf16),
        Some(5) => assert!(start <= end && end as usize <= out.bin.len()),
        Some(9) => {
            let at = start as usize;
            let dimensions = &out.aux[at + 1..at + 1 + out.aux[at] as usize];
            assert!(dimensions.len() <= 6);
            let total = if dimensions.is_empty() { 0 } else { dimensions.iter().product::<u64>() as usize };
            let mask = at + 1 + dimensions.len();
            let first = mask + total.div_ceil(64);
            assert!(first + total <= out.aux.len());
            (0..total).filter(|&index| !null(mask, index)).for_each(|index| follow(&read["of"], out.aux[first + index], out));
        }
        Some(10) => {
            let fields = read["fields"].as_array().expect("a record has fields");
            let mask = start as usize;
            let first = mask + fields.len().div_ceil(64);
            assert!(first + fields.len() <= out.aux.len());
            for (index, field) in fields.iter().enumerate().filter(|(index, _)| !null(mask, *index)) {
                follow(field, out.aux[first + index], out);
            }
        }
        _ => {}
    }
}

/// The measure JavaScript cuts by is that of the text.
fn measure(out: &Packer) {
    let text = std::str::from_utf8(&out.text).expect("text is UTF-8");
    assert_eq!(text.encode_utf16().count(), out.utf16 as usize);
}

/// A decoder's cell: two bytes for the type, one for what is wanted of it.
fn column(in_text: bool, data: &[u8]) {
    let [a, b, c, raw @ ..] = data else { return };
    let world = &*WORLD;
    let ty = world.type_of(*a, *b);
    let types = &world.wanted[usize::from(*c) % world.wanted.len()];
    let decoder = if in_text {
        Decoder::for_text(ty, types, &world.catalog)
    } else {
        Decoder::for_column(ty, types, &world.catalog)
    };
    let mut out = Packer::default();
    out.push_text("é😀");
    let decoded = decoder.decode(raw, &mut out);
    // A numeric of ten bytes may have 131,072 + 16,383 digits.
    assert!(out.byte_len() <= 128 * raw.len() + 200_000 * (1 + raw.len() / 8), "{decoder:?}");
    if let Ok(slot) = decoded {
        measure(&out);
        follow(&decoder.describe(), slot, &out);
    }
}

/// JSON: what serde_json takes is never refused, and all is text that can be followed.
fn json(data: &[u8]) {
    let mut shapes = JsonShapes::default();
    let mut out = Packer::default();
    // A shape must have been seen a few times before it is used.
    for _ in 0..40 {
        out.clear();
        let packed = pack_document(data, &mut shapes, &mut out);
        shapes.take_new().for_each(drop);
        assert_eq!(packed.is_ok(), std::str::from_utf8(data).is_ok());
        measure(&out);
        assert!(out.byte_len() <= 64 * data.len() + 1024);
        if let Ok(slot) = packed
            && slot as i64 >= 0
        {
            let (start, end) = (slot as u32, (slot >> 32) as u32);
            assert!(start <= end && end <= out.utf16);
        }
    }
}

/// Parameters for every type.
fn params(data: &[u8]) {
    let [a, b, raw @ ..] = data else { return };
    let world = &*WORLD;
    let ty = world.type_of(*a, *b);
    let Ok(params) = read_params(raw, 1) else { return };
    for param in params {
        let mut out = BytesMut::new();
        // Each level of quoting may double what is in it; 64 of them are refused for their depth or their type.
        let written = param.write(Target::new(ty, &world.catalog), &mut out);
        if written.is_ok() && matches!(param.format(ty), postgres_types::Format::Text) {
            std::str::from_utf8(&out).expect("text is UTF-8");
        }
    }
}

/// A row of COPY with one column.
fn copy(data: &[u8]) {
    let [a, b, c, raw @ ..] = data else { return };
    let world = &*WORLD;
    let ty = world.type_of(*a, *b);
    let columns = [CopyColumn::new("c", ty, &world.catalog)];
    let form = if c & 1 == 0 { CopyForm::Binary } else { CopyForm::Text };
    let mut out = BytesMut::new();
    let _ = form.put(&columns, &mut ParamReader::new(raw), &mut out);
}

fuzz_target!(|data: &[u8]| {
    let [first, rest @ ..] = data else { return };
    match first % 6 {
        0 | 1 => column(first % 6 == 1, rest),
        2 => json(rest),
        3 | 4 => params(rest),
        _ => copy(rest),
    }
});
