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

use crate::codec::decode::json_paths::{Beginning, KEY_END};
use crate::codec::decode::json_scalars::{Number, read_number, read_string};
use crate::codec::decode::json_shapes::{JsonShapes, Member, Scratch};
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
    let is_ascii = raw.is_ascii();
    if !is_ascii && std::str::from_utf8(raw).is_err() {
        return Err(DecodeError::NotUtf8);
    }
    out.room_for(raw.len())?;
    let mut scratch = std::mem::take(&mut shapes.scratch);
    scratch.clear();
    let mut scan = Scan { source: raw, is_ascii, at: 0, depth: 0, raws: 0, shapes, scratch, out };
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
    is_ascii: bool,
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

    #[inline]
    fn skip_space(&mut self) {
        // One comparison is mostly all.
        while self.source.get(self.at).is_some_and(|byte| *byte <= b' ' && is_space(*byte)) {
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

    #[inline]
    fn value(&mut self) -> Option<u64> {
        let first = *self.source.get(self.at)?;
        match first {
            b'"' => {
                self.at += 1;
                self.text()
            }
            b'{' => self.deeper(Self::object),
            b'[' => self.deeper(Self::array),
            b'n' => self.word(b"null", tag::NULL),
            b'f' => self.word(b"false", tag::FALSE),
            b't' => self.word(b"true", tag::TRUE),
            _ => self.number(),
        }
    }

    fn deeper(&mut self, read: fn(&mut Self) -> Option<u64>) -> Option<u64> {
        if self.depth == MAX_DEPTH {
            return None;
        }
        self.depth += 1;
        let value = read(self);
        self.depth -= 1;
        value
    }

    fn word(&mut self, word: &[u8], tag: u32) -> Option<u64> {
        self.source[self.at..].starts_with(word).then(|| {
            self.at += word.len();
            tagged(tag, 0)
        })
    }

    fn number(&mut self) -> Option<u64> {
        let (value, len) = match read_number(&self.source[self.at..])? {
            Number::Int(int, len) => (tagged(tag::INT, int as u32), len),
            Number::Double(number, len) => (number.to_bits(), len),
        };
        self.at += len;
        Some(value)
    }

    fn text(&mut self) -> Option<u64> {
        let from = self.out.text.len();
        let has_escape = read_string(self.source, &mut self.at, &mut self.out.text)?;
        // An escape may stand for a character that is not ASCII.
        Some(self.took_text(tag::TEXT, from, self.is_ascii && !has_escape))
    }

    /// The value for what was appended to the packer's text since it had `from` bytes.
    #[inline]
    fn took_text(&mut self, tag: u32, from: usize, is_ascii: bool) -> u64 {
        let start = self.out.utf16;
        let units = if is_ascii { (self.out.text.len() - from) as u32 } else { utf16_len(&self.out.text[from..]) };
        self.out.utf16 = start.wrapping_add(units);
        tagged(tag + units, start)
    }

    fn array(&mut self) -> Option<u64> {
        let first = self.scratch.values.len();
        if !self.opens_and_closes(b']') {
            loop {
                self.element()?;
                if !self.goes_on(b']')? {
                    break;
                }
            }
        }
        let values = &self.scratch.values[first..];
        let block = self.out.aux.len();
        self.out.aux.push(values.len() as u64);
        self.out.aux.extend_from_slice(values);
        self.scratch.values.truncate(first);
        Some(tagged(tag::ARRAY, block as u32))
    }

    fn object(&mut self) -> Option<u64> {
        let before = self.mark();
        // The keys so far, until one comes that was not met there; from then on they are collected.
        let mut beginning = Some(Beginning::default());
        if !self.opens_and_closes(b'}') {
            loop {
                self.key(&mut beginning)?;
                self.skip_space();
                self.element()?;
                if !self.goes_on(b'}')? {
                    break;
                }
            }
        }
        let shape = match beginning {
            Some(beginning) => self.shapes.paths.shape(beginning).or_else(|| {
                self.collect_keys(beginning);
                self.shape_of_keys(&before)
            }),
            None => self.shape_of_keys(&before),
        };
        let Some(shape) = shape else {
            return self.raw_since(&before);
        };
        let Scratch { keys, values } = &mut self.scratch;
        let block = self.out.aux.len();
        self.out.aux.extend_from_slice(&values[before.values..]);
        keys.truncate(before.keys);
        values.truncate(before.values);
        Some(tagged(tag::OBJECT + u32::from(shape), block as u32))
    }

    /// The shape of the keys that were collected since a mark.
    fn shape_of_keys(&mut self, mark: &Mark) -> Option<u16> {
        let Scratch { keys, values } = &self.scratch;
        self.shapes.find(&keys[mark.keys..], values[mark.values..].iter().map(|value| member(*value)))
    }

    /// Reads a key and its colon. None instead of the beginning: the keys of the object are being collected.
    #[inline]
    fn key(&mut self, beginning: &mut Option<Beginning>) -> Option<()> {
        if let Some(so_far) = *beginning {
            if let Some((next, len)) = self.shapes.paths.follow(so_far, &self.source[self.at..]) {
                self.at += len;
                *beginning = Some(next);
                return Some(());
            }
            self.collect_keys(so_far);
            *beginning = None;
        }
        if self.next()? != b'"' {
            return None;
        }
        read_string(self.source, &mut self.at, &mut self.scratch.keys)?;
        self.scratch.keys.push(KEY_END);
        (self.next_token()? == b':').then_some(())
    }

    fn collect_keys(&mut self, beginning: Beginning) {
        self.scratch.keys.extend_from_slice(self.shapes.paths.keys(beginning));
    }

    /// Gives what was read since a mark to `JSON.parse`.
    fn raw_since(&mut self, mark: &Mark) -> Option<u64> {
        self.back_to(mark);
        self.raws += 1;
        if self.raws > MAX_RAW {
            return None;
        }
        self.out.text.extend_from_slice(&self.source[mark.at..self.at]);
        Some(self.took_text(tag::RAW, mark.text, self.is_ascii))
    }

    /// Whether nothing stands between the bracket at the position and the closing one.
    #[inline]
    fn opens_and_closes(&mut self, close: u8) -> bool {
        self.at += 1;
        self.skip_space();
        let closes = self.source.get(self.at) == Some(&close);
        self.at += usize::from(closes);
        closes
    }

    /// Reads what stands behind a member: true for a comma, false for the closing bracket.
    #[inline]
    fn goes_on(&mut self, close: u8) -> Option<bool> {
        match self.next_token()? {
            b',' => {
                self.skip_space();
                Some(true)
            }
            byte if byte == close => Some(false),
            _ => None,
        }
    }

    #[inline]
    fn element(&mut self) -> Option<()> {
        let value = self.value()?;
        self.scratch.values.push(value);
        Some(())
    }
}
