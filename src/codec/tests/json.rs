//! Documents taken apart, put together again as lib/values/json.js does it.

use super::Packer;
use super::fuzz::Random;
use crate::codec::{DecodeError, JsonShapes, pack_document};

/// The shapes, and the keys JavaScript would know of them.
#[derive(Default)]
pub(super) struct Reader {
    shapes: JsonShapes,
    keys: Vec<Vec<String>>,
}

impl Reader {
    fn pack(&mut self, document: &[u8], out: &mut Packer) -> Result<u64, DecodeError> {
        let slot = pack_document(document, &mut self.shapes, out);
        for shape in self.shapes.take_new() {
            assert_eq!(shape.id as usize, self.keys.len());
            let description: serde_json::Value = serde_json::from_str(&shape.description).unwrap();
            self.keys.push(serde_json::from_value(description["keys"].clone()).unwrap());
            assert_eq!(description["members"].as_str().unwrap().len(), self.keys.last().unwrap().len());
        }
        slot
    }

    /// What JavaScript sees; `raw(...)` for what it parses.
    pub(super) fn read(&mut self, document: &[u8]) -> Result<String, DecodeError> {
        let mut out = Packer::default();
        out.push_text("é😀");
        out.aux.push(7);
        let slot = self.pack(document, &mut out)?;
        let text: Vec<u16> = std::str::from_utf8(&out.text).unwrap().encode_utf16().collect();
        assert_eq!(text.len(), out.utf16 as usize);
        if (slot as i64) < 0 {
            return Ok(self.value(slot, &out.aux, &text));
        }
        assert_eq!(out.aux.len(), 1, "nothing is left of an attempt");
        let (start, end) = (slot as u32 as usize, (slot >> 32) as usize);
        assert_eq!((start, end), (3, text.len()));
        Ok(format!("raw({})", String::from_utf16(&text[start..]).unwrap()))
    }

    /// The same when JavaScript knows all shapes.
    pub(super) fn read_known(&mut self, document: &str) -> String {
        // Enough even when only a sample is tried.
        for _ in 0..300 {
            self.read(document.as_bytes()).unwrap();
        }
        self.read(document.as_bytes()).unwrap()
    }

    fn value(&self, value: u64, aux: &[u64], text: &[u16]) -> String {
        let (low, high) = (value as u32 as usize, (value >> 32) as u32);
        let cut = || String::from_utf16(&text[low..low + (high & 0xFFFF) as usize]).unwrap();
        match high {
            0xFFF8_0000..=0xFFF8_FFFF => serde_json::Value::String(cut()).to_string(),
            0xFFF9_0000..=0xFFF9_FFFF => {
                let keys = &self.keys[(high & 0xFFFF) as usize];
                let values = keys.iter().zip(&aux[low..low + keys.len()]);
                let members = values.map(|(key, value)| {
                    format!("{}:{}", serde_json::Value::String(key.clone()), self.value(*value, aux, text))
                });
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }
            0xFFFA_0000..=0xFFFA_FFFF => format!("raw({})", cut()),
            0xFFFB_0000 => (low as i32).to_string(),
            0xFFFB_0001 => {
                let values = &aux[low + 1..=low + aux[low] as usize];
                let values: Vec<String> = values.iter().map(|value| self.value(*value, aux, text)).collect();
                format!("[{}]", values.join(","))
            }
            0xFFFB_0002 => "null".to_owned(),
            0xFFFB_0003 => "false".to_owned(),
            0xFFFB_0004 => "true".to_owned(),
            _ => {
                let number = f64::from_bits(value);
                assert!(!number.is_nan());
                format!("{number:?}")
            }
        }
    }
}

#[test]
fn documents_are_taken_apart() {
    let table = [
        ("{}", "{}"),
        ("[ ]", "[]"),
        (" \t\r\n{ \"a\" : 1 ,\n\"b\":[ true , false,null ] } ", r#"{"a":1,"b":[true,false,null]}"#),
        (r#"{"a":{"b":{"c":[{"d":1},{"d":null}]}}}"#, r#"{"a":{"b":{"c":[{"d":1},{"d":null}]}}}"#),
        (r#"{"2":1,"1":2,"2":3,"__proto__":4,"":5}"#, r#"{"2":1,"1":2,"2":3,"__proto__":4,"":5}"#),
        ("[0,-0,1.0,1.5,-7,1e2,1E+2,1e-2]", "[0,-0.0,1,1.5,-7,100,100,0.01]"),
        ("[2147483647,2147483648,-2147483648,-2147483649]", "[2147483647,2147483648.0,-2147483648,-2147483649.0]"),
        (
            "[999999999999999,9007199254740993,9007199254740995]",
            "[999999999999999.0,9007199254740992.0,9007199254740996.0]",
        ),
        ("[1e400,-1e400,5e-324,1e-400,-1e-400]", "[inf,-inf,5e-324,0,-0.0]"),
        ("[0.1,123456789012345678901234567890]", "[0.1,1.2345678901234568e29]"),
        (r#"["\"\\\/\b\f\n\r\t\u0041\u00e9\u20AC\ud83d\ude00é😀",""]"#, "[\"\\\"\\\\/\\b\\f\\n\\r\\tAé€😀é😀\",\"\"]"),
        (r#"["\u20ac\ud83d\ude00","x","\u0041"]"#, r#"["€😀","x","A"]"#),
        (r#"{"k\u0041\n":"\u0000","é😀":"é"}"#, "{\"kA\\n\":\"\\u0000\",\"é😀\":\"é\"}"),
    ];
    let mut reader = Reader::default();
    for (document, expected) in table {
        assert_eq!(reader.read_known(document), expected, "{document}");
    }
}

#[test]
fn the_rest_is_left_to_json_parse() {
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let long = |len: usize| format!("[\"{}\"]", "x".repeat(len - 4));
    let wide = |keys: usize| format!("{{{}}}", (0..keys).map(|i| format!("\"{i}\":0")).collect::<Vec<_>>().join(","));
    let mut reader = Reader::default();
    for good in [deep(16), long(16 << 10), wide(128)] {
        assert!(!reader.read_known(&good).contains("raw"), "{good}");
    }
    let odd = [
        "1",
        "\"a\"",
        "null",
        " true ",
        "",
        " ",
        "x",
        "{",
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[,]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "[01]",
        "[-]",
        "[+1]",
        "[1.]",
        "[.5]",
        "[1e]",
        "[1e+]",
        "[nul]",
        "[nulll]",
        "[1]x",
        "[1}",
        "[\"a]",
        "[\"\\x\"]",
        "[\"\\",
        "[\"\\u12\"]",
        "[\"\\u+123\"]",
        "[\"\\ud800\"]",
        "[\"\\udc00\"]",
        "[\"\\ud800\\u0041\"]",
        "{\"\\ud800\":1}",
        "[\"\n\"]",
        "[NaN]",
        "[\u{a0}1]",
    ];
    for document in odd.map(str::to_owned).into_iter().chain([deep(17), long((16 << 10) + 1), wide(129)]) {
        let kind = if document.len() > 100 { "long, deep or wide" } else { &document };
        assert_eq!(reader.read_known(&document), format!("raw({document})"), "{kind}");
    }
    assert_eq!(reader.read(b"[\"\xFF\"]"), Err(DecodeError::NotUtf8));
}

#[test]
fn one_unknown_object_in_a_known_one_is_parsed_by_itself() {
    let mut reader = Reader::default();
    let document = |key: u32| format!(r#"{{"id":1,"data":{{"é{key}":[{{"x":"y"}}]}},"end":"é"}}"#);
    for key in 0..100 {
        reader.read(document(key).as_bytes()).unwrap();
    }
    let expected = r#"{"id":1,"data":raw({"é200":[{"x":"y"}]}),"end":"é"}"#;
    assert_eq!(reader.read(document(200).as_bytes()).unwrap(), expected);
    let two = r#"{"id":{"p":1},"data":{"q":1},"end":1}"#;
    assert_eq!(reader.read(two.as_bytes()).unwrap(), format!("raw({two})"));
}

#[test]
fn keys_that_are_data_make_no_shapes_and_shapes_are_bounded() {
    let mut reader = Reader::default();
    for key in 0..50_000 {
        reader.read(format!(r#"{{"key{key}":1}}"#).as_bytes()).unwrap();
    }
    assert_eq!(reader.keys.len(), 0);
    for key in 0..300 {
        reader.read_known(&format!(r#"{{"key{key}":1}}"#));
    }
    assert_eq!(reader.keys.len(), 256);
    assert_eq!(reader.read(br#"{"key7":"x"}"#).unwrap(), r#"{"key7":"x"}"#);
    assert_eq!(reader.read(br#"{"key299":"x"}"#).unwrap(), r#"raw({"key299":"x"})"#);
}

#[test]
fn damaged_documents() {
    let documents = [
        r#"{"k": -12.5e3, "name": "a\u00e9\ud83d\ude00\n", "tags": ["x", "é😀"], "sub": {"a": null, "b": [true, {}]}}"#,
        r#"[{"a": 1}, {"a": 1e400, "b": 12345678901234567890}, [[["deep"]]], ""]"#,
    ];
    let mut reader = Reader::default();
    let mut random = Random(3);
    for round in 0..60_000 {
        let mut bytes = documents[round % 2].as_bytes().to_vec();
        for _ in 0..random.next(4) {
            let at = random.next(bytes.len().max(1));
            match random.next(3) {
                0 => bytes[at] = b"{}[]\",:\\u0d8-+eE.tfn \t\xC3\xA9"[random.next(24)],
                1 if bytes.len() > 1 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        let result = reader.read(&bytes);
        let parsed = serde_json::from_slice::<serde_json::Value>(&bytes);
        match result {
            // serde_json refuses numbers beyond a double.
            Ok(text) if !text.contains("raw(") && !text.contains("inf") => {
                let Ok(parsed) = parsed else { panic!("{} was taken for {text}", String::from_utf8_lossy(&bytes)) };
                let again: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert!(alike(&parsed, &again), "{parsed} {text}");
            }
            Ok(_) => {}
            Err(_) => assert!(std::str::from_utf8(&bytes).is_err()),
        }
    }
    assert!(reader.keys.len() > 3);
}

/// Equal but for 1 and 1.0, and the last bit of a number, with which serde_json is not exact.
pub(super) fn alike(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Number, Object};
    match (a, b) {
        (Number(a), Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= a.abs() * 1e-15
        }
        (Array(a), Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Object(a), Object(b)) => a.len() == b.len() && a.iter().zip(b).all(|((k, a), (l, b))| k == l && alike(a, b)),
        _ => a == b,
    }
}
