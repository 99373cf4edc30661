//! Objects whose keys were met before are followed through the source; the result is that of reading each key.

use std::sync::Arc;

use super::fuzz::Random;
use super::json::{Reader, alike};
use crate::codec::decode::json_paths::{Beginning, Paths};

/// They begin like one another, differ behind the eighth byte, and some are written with an escape.
const KEYS: [&str; 16] = [
    "a", "ab", "abcde", "abcdef", "abcdefg", "abcdefgh", "abcdefgi", "", "id", "i", "é", "😀é", "a\"b", "a\\", "a\nb",
    "a:",
];

/// Lists of keys, many with the same beginning, some with a key twice.
fn lists(random: &mut Random) -> Vec<Vec<&'static str>> {
    let mut lists: Vec<Vec<&str>> = vec![Vec::new()];
    while lists.len() < 100 {
        let mut list = lists[random.next(lists.len())].clone();
        if list.len() < 6 {
            list.push(KEYS[random.next(KEYS.len())]);
            lists.push(list);
        }
    }
    lists
}

/// How a document is written.
#[derive(Clone, Copy)]
enum Style {
    /// As jsonb is printed.
    Server,
    /// As `JSON.stringify` does it.
    Short,
    /// White space before the colon: no key is written as it is expected.
    Spaced,
    /// One after another at random, and escapes.
    Mixed,
}

fn write(value: &Value, style: Style, random: &mut Random, out: &mut String) {
    let now = |random: &mut Random| match (style, random.next(8)) {
        (Style::Mixed, 0) => Style::Spaced,
        (Style::Mixed, 1 | 2) => Style::Short,
        (Style::Mixed, _) => Style::Server,
        _ => style,
    };
    let comma = |style: Style| match style {
        Style::Short => ",",
        Style::Spaced => " \n,\t",
        _ => ", ",
    };
    match value {
        Value::Leaf(text) => out.push_str(text),
        Value::Array(items) => {
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                out.push_str(if at > 0 { comma(now(random)) } else { "" });
                write(item, style, random, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (at, (key, item)) in members.iter().enumerate() {
                out.push_str(if at > 0 { comma(now(random)) } else { "" });
                let plain = serde_json::Value::from(key.as_str()).to_string();
                if matches!(style, Style::Mixed) && random.next(10) == 0 {
                    out.push_str(&plain.replace('a', "\\u0061").replace('é', "\\u00E9"));
                } else {
                    out.push_str(&plain);
                }
                out.push_str(match now(random) {
                    Style::Short => ":",
                    Style::Spaced => " : ",
                    _ => ": ",
                });
                write(item, style, random, out);
            }
            out.push('}');
        }
    }
}

enum Value {
    Leaf(&'static str),
    Array(Vec<Value>),
    Object(Vec<(String, Value)>),
}

fn value(lists: &[Vec<&str>], unknown: &mut u32, depth: usize, random: &mut Random) -> Value {
    const LEAVES: [&str; 10] =
        ["1", "-0", "1.5", "null", "true", "\"\"", "\"seven b\"", "\"eight by\"", "\"é\\n\\u20ac😀\"", "\"a\": 1,\""];
    match random.next(if depth == 0 { 1 } else { 4 }) {
        // The last leaf is damaged, and rare.
        0 => {
            let damaged = random.next(20) == 0;
            Value::Leaf(LEAVES[random.next(LEAVES.len() - usize::from(!damaged))])
        }
        1 => Value::Array((0..random.next(4)).map(|_| value(lists, unknown, depth - 1, random)).collect()),
        _ => {
            let mut keys: Vec<String> = lists[random.next(lists.len())].iter().map(|key| (*key).to_owned()).collect();
            if random.next(30) == 0 {
                *unknown += 1;
                keys.insert(random.next(keys.len() + 1), format!("unknown {unknown}"));
            }
            Value::Object(keys.into_iter().map(|key| (key, value(lists, unknown, depth - 1, random))).collect())
        }
    }
}

#[test]
fn followed_keys_and_collected_keys_give_the_same() {
    let mut random = Random(11);
    let lists = lists(&mut random);
    let mut reader = Reader::default();
    let mut unknown = 0;
    let (mut whole, mut parsed, mut damaged) = (0, 0, 0);
    for list in &lists {
        let members = list.iter().map(|key| ((*key).to_owned(), Value::Leaf("0"))).collect();
        let mut document = String::new();
        write(&Value::Object(members), Style::Server, &mut random, &mut document);
        assert!(!reader.read_known(&document).contains("raw("));
    }
    for _ in 0..10_000 {
        let document = Value::Array(vec![value(&lists, &mut unknown, 4, &mut random)]);
        let mut read = [Style::Spaced, Style::Server, Style::Short, Style::Mixed, Style::Mixed].map(|style| {
            let mut text = String::new();
            write(&document, style, &mut random, &mut text);
            let read = reader.read(text.as_bytes()).unwrap();
            (text, read)
        });
        let (text, spaced) = std::mem::take(&mut read[0]);
        let is_raw = spaced.contains("raw(");
        for (text, read) in &read[1..] {
            assert_eq!(read.contains("raw("), is_raw, "{text}");
            assert!(is_raw || *read == spaced, "{text}: {read}");
        }
        match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(_) if is_raw => parsed += 1,
            Ok(expected) => {
                assert!(alike(&expected, &serde_json::from_str(&spaced).unwrap()), "{text}: {spaced}");
                whole += 1;
            }
            Err(_) => {
                assert!(is_raw, "{text}: {spaced}");
                damaged += 1;
            }
        }
    }
    assert!(whole > 3000 && parsed > 100 && damaged > 100, "{whole} {parsed} {damaged}");
}

#[test]
fn what_an_escape_stands_for_is_no_key_by_itself() {
    let mut reader = Reader::default();
    for (good, bad) in [
        (r#"{"x":1,"a\"b":1}"#, r#"{"x":1,"a"b":1}"#),
        (r#"{"x":1,"a\\":1}"#, r#"{"x":1,"a\":1}"#),
        (r#"{"x":1,"a\\\"":1}"#, r#"{"x":1,"a\"":1,"":1}"#),
        (r#"{"x":1,"a\n":1}"#, "{\"x\":1,\"a\n\":1}"),
    ] {
        assert!(!reader.read_known(good).contains("raw("), "{good}");
        assert_eq!(reader.read(bad.as_bytes()).unwrap(), format!("raw({bad})"));
        assert!(!reader.read(good.as_bytes()).unwrap().contains("raw("), "{good}");
    }
}

#[test]
fn more_shapes_than_are_kept_begin_alike() {
    let mut reader = Reader::default();
    let document = |last: usize, colon: &str| format!(r#"{{"id"{colon}{last},"tag {last}"{colon}[]}}"#);
    for last in 0..300 {
        reader.read_known(&document(last, ":"));
    }
    let mut random = Random(12);
    for _ in 0..20_000 {
        let last = random.next(300);
        let read = reader.read(document(last, [":", " :", ": "][random.next(3)]).as_bytes()).unwrap();
        assert_eq!(read.contains("raw("), last >= 256, "{last}: {read}");
        assert!(last >= 256 || read == document(last, ":"), "{last}: {read}");
    }
    // The beginning of a shape is none, and neither is one that goes on.
    for other in [r#"{"id":1}"#, r#"{"id":1,"tag 7":[],"more":1}"#, "{}"] {
        assert_eq!(reader.read(other.as_bytes()).unwrap(), format!("raw({other})"));
    }
}

#[test]
fn a_key_that_comes_often_is_compared() {
    let mut paths = Paths::default();
    let list =
        |keys: &[&str]| -> Arc<[u8]> { keys.iter().flat_map(|key| [key.as_bytes(), b"\xFF"].concat()).collect() };
    for key in 0..40 {
        paths.add(list(&["id", &format!("{key}"), "end"]));
    }
    let (beginning, len) = paths.follow(Beginning::default(), b"\"id\": 1, \"39\":2}").unwrap();
    assert_eq!((len, paths.shape(beginning), paths.keys(beginning)), (5, None, &b"id\xFF"[..]));
    for key in [39, 0, 17] {
        let source = format!("\"{key}\":2,\"end\":true}}");
        // One of those that are not compared yet gets its turn each time.
        let tries = (0..100).find(|_| paths.follow(beginning, source.as_bytes()).is_some());
        assert!(tries.is_some(), "{key}");
        for _ in 0..100 {
            assert!(paths.follow(beginning, b"\"40\":1").is_none());
            let (next, len) = paths.follow(beginning, source.as_bytes()).unwrap();
            let (end, _) = paths.follow(next, &source.as_bytes()[len + 2..]).unwrap();
            assert_eq!((paths.shape(next), paths.shape(end)), (None, Some(key)));
            assert_eq!(paths.keys(end), &*list(&["id", &format!("{key}"), "end"]));
        }
    }
    for other in ["", "\"", "\"id", "\"id\" :", "\"ie\":", "\"i\":", "\"id2\":", "\"tags and so on\":"] {
        assert!(paths.follow(Beginning::default(), other.as_bytes()).is_none(), "{other}");
    }
}
