//! Parses json and jsonb documents, so that JavaScript does not have to.
//!
//! A document becomes a tree of 64-bit values. An object is the number of its shape (the list of its keys, see
//! `json_shapes`) and a block in `aux` with one value for each key; an array is a block with its length and one value for
//! each element. The types of the values are not part of the shape: a member may be null in one object and an object in
//! another one, and an array may have any length, without a new shape.
//!
//! A value is a number's bits or, in the space of the NaNs that no JSON number has, one of the tags below in its high half.
//! `JSON.parse` gets what is rare: documents that are long, deep or neither object nor array, half surrogates (which UTF-8
//! cannot hold), and objects of shapes that JavaScript does not know (such an object within a document of known shapes goes
//! there by itself). It also gets what is not JSON, and says what is wrong with it.

use crate::codec::decode::json_shapes::{JsonShapes, KEY_END, Member, Scratch};
use crate::codec::error::DecodeError;
use crate::codec::pack::{Packer, utf16_len};

/// Longer documents go to `JSON.parse`: packed they can be four times as large, and a text must have fewer than 2^16 units.
const MAX_BYTES: usize = 16 << 10;
/// Deeper documents go to `JSON.parse`: both sides recurse.
const MAX_DEPTH: usize = 16;
/// The most objects within one document that go to `JSON.parse` by themselves; each costs a call.
const MAX_RAW: usize = 1;

/// High halves of values that are no plain numbers; a contract with lib/values/json.js.
mod tag {
    /// Plus the length in UTF-16 code units (below 2^16); the low half is the start.
    pub(in crate::codec) const TEXT: u32 = 0xFFF8_0000;
    /// Plus the number of the shape; the low half is the index of the block in `aux`.
    pub(in crate::codec) const OBJECT: u32 = 0xFFF9_0000;
    /// Like `TEXT`; JavaScript parses it.
    pub(in crate::codec) const RAW: u32 = 0xFFFA_0000;
    /// An i32 in the low half.
    pub(in crate::codec) const INT: u32 = 0xFFFB_0000;
    /// The low half is the index of the block in `aux`.
    pub(in crate::codec) const ARRAY: u32 = 0xFFFB_0001;
    pub(in crate::codec) const NULL: u32 = 0xFFFB_0002;
    pub(in crate::codec) const FALSE: u32 = 0xFFFB_0003;
    pub(in crate::codec) const TRUE: u32 = 0xFFFB_0004;
}

fn tagged(tag: u32, low: u32) -> u64 {
    u64::from(tag) << 32 | u64::from(low)
}

/// The type of a value, which the code that JavaScript compiles checks first.
fn member(value: u64) -> Member {
    match (value >> 32) as u32 {
        tag::TEXT..tag::OBJECT => Member::Text,
        tag::OBJECT..tag::RAW => Member::Object,
        tag::INT => Member::Int,
        tag::ARRAY => Member::Array,
        tag::RAW.. => Member::Other,
        _ => Member::Number,
    }
}

/// Packs a document and returns its slot: a tagged value or, as of text, its start and end for JavaScript to parse. The
/// high half of the second is never negative, that of the first always.
///
/// # Errors
/// When the text is not UTF-8, or the batch would outgrow what JavaScript can hold.
pub(crate) fn pack_document(raw: &[u8], shapes: &mut JsonShapes, out: &mut Packer) -> Result<u64, DecodeError> {
    let begins_well = raw.iter().find(|byte| !is_space(**byte)).is_some_and(|byte| matches!(byte, b'{' | b'['));
    if !begins_well || raw.len() > MAX_BYTES || !shapes.is_worth_trying() {
        return out.push_utf8(raw);
    }
    if !raw.is_ascii() && std::str::from_utf8(raw).is_err() {
        return Err(DecodeError::NotUtf8);
    }
    out.room_for(raw.len())?;
    let mut scratch = std::mem::take(&mut shapes.scratch);
    scratch.clear();
    let mut scan = Scan { source: raw, at: 0, depth: 0, raws: 0, shapes, scratch, out };
    let before = scan.mark();
    let root = scan.root();
    if root.is_none() {
        scan.back_to(&before);
    }
    shapes.scratch = scan.scratch;
    shapes.tried(root.is_some());
    root.map_or_else(|| out.push_utf8(raw), Ok)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\n' | b'\r' | b'\t')
}

/// A document that is being packed. None from any of the methods: it goes to `JSON.parse`.
struct Scan<'a> {
    /// Valid UTF-8.
    source: &'a [u8],
    at: usize,
    depth: usize,
    /// How many more objects may go to `JSON.parse` by themselves.
    raws: usize,
    shapes: &'a mut JsonShapes,
    scratch: Scratch,
    out: &'a mut Packer,
}

/// A state of a scan and its packer, to return to.
struct Mark {
    at: usize,
    raws: usize,
    keys: usize,
    values: usize,
    aux: usize,
    text: usize,
    utf16: u32,
}

impl Scan<'_> {
    fn mark(&self) -> Mark {
        Mark {
            at: self.at,
            raws: self.raws,
            keys: self.scratch.keys.len(),
            values: self.scratch.values.len(),
            aux: self.out.aux.len(),
            text: self.out.text.len(),
            utf16: self.out.utf16,
        }
    }

    /// Drops what was collected and packed since a mark; the position in the source stays.
    fn back_to(&mut self, mark: &Mark) {
        self.raws = mark.raws;
        self.scratch.keys.truncate(mark.keys);
        self.scratch.values.truncate(mark.values);
        self.out.aux.truncate(mark.aux);
        self.out.text.truncate(mark.text);
        self.out.utf16 = mark.utf16;
    }

    fn root(&mut self) -> Option<u64> {
        self.skip_space();
        let value = self.value()?;
        self.skip_space();
        (self.at == self.source.len()).then_some(value)
    }

    fn skip_space(&mut self) {
        while self.source.get(self.at).is_some_and(|byte| is_space(*byte)) {
            self.at += 1;
        }
    }

    fn next(&mut self) -> Option<u8> {
        let byte = *self.source.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// The next byte that is not white space.
    fn next_token(&mut self) -> Option<u8> {
        self.skip_space();
        self.next()
    }

    fn value(&mut self) -> Option<u64> {
        let first = *self.source.get(self.at)?;
        match first {
            b'"' => {
                self.at += 1;
                self.text()
            }
            b'{' | b'[' if self.depth == MAX_DEPTH => None,
            b'{' | b'[' => {
                self.depth += 1;
                let value = if first == b'{' { self.object() } else { self.array() };
                self.depth -= 1;
                value
            }
            b'n' => self.word(b"null", tag::NULL),
            b'f' => self.word(b"false", tag::FALSE),
            b't' => self.word(b"true", tag::TRUE),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &[u8], tag: u32) -> Option<u64> {
        self.source[self.at..].starts_with(word).then(|| {
            self.at += word.len();
            tagged(tag, 0)
        })
    }

    fn number(&mut self) -> Option<u64> {
        let source = &self.source[self.at..];
        let (number, len) = read_number(source)?;
        self.at += len;
        let int = number as i32;
        // -0 is not 0 in JavaScript: the bits are compared.
        let is_int = f64::from(int).to_bits() == number.to_bits();
        Some(if is_int { tagged(tag::INT, int as u32) } else { number.to_bits() })
    }

    fn text(&mut self) -> Option<u64> {
        let from = self.out.text.len();
        read_string(self.source, &mut self.at, &mut self.out.text)?;
        Some(self.took_text(tag::TEXT, from))
    }

    /// The value for what was appended to the packer's text since it had `from` bytes.
    fn took_text(&mut self, tag: u32, from: usize) -> u64 {
        let start = self.out.utf16;
        let units = utf16_len(&self.out.text[from..]);
        self.out.utf16 = start.wrapping_add(units);
        tagged(tag + units, start)
    }

    fn array(&mut self) -> Option<u64> {
        let first = self.scratch.values.len();
        self.members(b']', Self::element)?;
        let values = self.scratch.values.drain(first..);
        let block = self.out.aux.len();
        self.out.aux.push(values.len() as u64);
        self.out.aux.extend(values);
        Some(tagged(tag::ARRAY, block as u32))
    }

    fn object(&mut self) -> Option<u64> {
        let before = self.mark();
        self.members(b'}', Self::keyed)?;
        let Scratch { keys, values } = &mut self.scratch;
        let members = &values[before.values..];
        let Some(shape) = self.shapes.find(&keys[before.keys..], members.iter().map(|value| member(*value))) else {
            return self.raw_since(&before);
        };
        let block = self.out.aux.len();
        self.out.aux.extend_from_slice(members);
        keys.truncate(before.keys);
        values.truncate(before.values);
        Some(tagged(tag::OBJECT + u32::from(shape), block as u32))
    }

    /// Gives what was read since a mark to `JSON.parse`.
    fn raw_since(&mut self, mark: &Mark) -> Option<u64> {
        self.back_to(mark);
        self.raws += 1;
        if self.raws > MAX_RAW {
            return None;
        }
        self.out.text.extend_from_slice(&self.source[mark.at..self.at]);
        Some(self.took_text(tag::RAW, mark.text))
    }

    /// Reads to the closing bracket.
    fn members(&mut self, close: u8, member: fn(&mut Self) -> Option<()>) -> Option<()> {
        self.at += 1;
        self.skip_space();
        if self.source.get(self.at) == Some(&close) {
            self.at += 1;
            return Some(());
        }
        loop {
            self.skip_space();
            member(self)?;
            match self.next_token()? {
                b',' => {}
                byte if byte == close => return Some(()),
                _ => return None,
            }
        }
    }

    fn element(&mut self) -> Option<()> {
        let value = self.value()?;
        self.scratch.values.push(value);
        Some(())
    }

    fn keyed(&mut self) -> Option<()> {
        if self.next()? != b'"' {
            return None;
        }
        read_string(self.source, &mut self.at, &mut self.scratch.keys)?;
        self.scratch.keys.push(KEY_END);
        if self.next_token()? != b':' {
            return None;
        }
        self.skip_space();
        self.element()
    }
}

/// Reads a string from behind its opening quote to behind its closing one, and appends what it says.
fn read_string(source: &[u8], at: &mut usize, out: &mut Vec<u8>) -> Option<()> {
    loop {
        let rest = source.get(*at..)?;
        let plain = rest.iter().position(|&byte| matches!(byte, b'"' | b'\\' | 0..0x20))?;
        out.extend_from_slice(&rest[..plain]);
        *at += plain + 1;
        match rest[plain] {
            b'"' => return Some(()),
            b'\\' => read_escape(source, at, out)?,
            _ => return None,
        }
    }
}

fn read_escape(source: &[u8], at: &mut usize, out: &mut Vec<u8>) -> Option<()> {
    let escape = *source.get(*at)?;
    *at += 1;
    out.push(match escape {
        b'"' | b'\\' | b'/' => escape,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => {
            let unit = read_unit(source, at)?;
            let char = if (0xD800..0xDC00).contains(&unit) { read_low_half(unit, source, at)? } else { unit };
            out.extend_from_slice(char::from_u32(char)?.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(());
        }
        _ => return None,
    });
    Some(())
}

/// The four digits of a `\u`.
fn read_unit(source: &[u8], at: &mut usize) -> Option<u32> {
    let digits = source.get(*at..*at + 4)?;
    *at += 4;
    digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
}

/// The code point of a high surrogate and the low one that must follow it.
fn read_low_half(high: u32, source: &[u8], at: &mut usize) -> Option<u32> {
    if !source.get(*at..)?.starts_with(b"\\u") {
        return None;
    }
    *at += 2;
    let low = read_unit(source, at)?;
    (0xDC00..0xE000).contains(&low).then(|| 0x1_0000 + ((high - 0xD800) << 10) + (low - 0xDC00))
}

/// The number at the beginning of `source` as JavaScript rounds it, and its length.
fn read_number(source: &[u8]) -> Option<(f64, usize)> {
    let digits_from = |from: usize| source[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let negative = source.first() == Some(&b'-');
    let first = usize::from(negative);
    let whole = digits_from(first);
    if whole == 0 || (whole > 1 && source[first] == b'0') {
        return None;
    }
    let mut end = first + whole;
    if !matches!(source.get(end), Some(b'.' | b'e' | b'E')) && whole <= 15 {
        // Below 2^53: exact.
        let magnitude = source[first..end].iter().fold(0_u64, |n, digit| n * 10 + u64::from(digit - b'0')) as f64;
        return Some((if negative { -magnitude } else { magnitude }, end));
    }
    if source.get(end) == Some(&b'.') {
        let fraction = digits_from(end + 1);
        if fraction == 0 {
            return None;
        }
        end += 1 + fraction;
    }
    if matches!(source.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(source.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits_from(end + 1 + sign);
        if exponent == 0 {
            return None;
        }
        end += 1 + sign + exponent;
    }
    // Rounds to nearest, ties to even, and overflows to infinity, as ECMAScript wants it.
    let number = std::str::from_utf8(&source[..end]).ok()?.parse().ok()?;
    Some((number, end))
}
