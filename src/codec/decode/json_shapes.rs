//! The shapes of JSON objects that JavaScript has compiled a constructor for.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::sync::Arc;

use rustc_hash::FxBuildHasher;
use serde_json::json;

use crate::codec::decode::json_paths::{KEY_END, Paths};

/// How many shapes an environment may have. The first ones stay; objects of later shapes go to `JSON.parse`.
const MAX_SHAPES: usize = 256;
/// Objects with more keys go to `JSON.parse`: V8 does not optimise huge functions.
const MAX_KEYS: usize = 128;
/// How often a shape must be met before it is worth a constructor, which costs as much as some fifty calls of
/// `JSON.parse`. Keys that are data (ids, dates) are met once.
const WORTH_COMPILING: u8 = 16;
/// How many shapes are counted at a time.
const CANDIDATES: usize = 1024;

/// After this many documents in a row that had to go to `JSON.parse`, only one of `SAMPLE` documents is tried until one
/// succeeds: where keys are data, documents would be read twice for nothing. A prime, so that each column gets its turn.
const MANY_IN_VAIN: u32 = 256;
const SAMPLE: u32 = 17;

/// The type of a member in the first object of its shape, which compiled code checks first. It is not part of the shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::codec) enum Member {
    Text,
    Int,
    Number,
    Object,
    Array,
    Other,
}

impl Member {
    /// As lib/values/json.js knows it.
    fn letter(self) -> char {
        match self {
            Self::Text => 't',
            Self::Int => 'i',
            Self::Number => 'n',
            Self::Object => 'o',
            Self::Array => 'a',
            Self::Other => '-',
        }
    }
}

/// A shape that JavaScript must learn before it gets a value of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NewJsonShape {
    pub(crate) id: u32,
    /// JSON: `keys`, and in `members` a letter for each of them.
    pub(crate) description: String,
}

/// Keys and values of the objects and arrays that are not complete yet, used again for each document.
#[derive(Debug, Default)]
pub(in crate::codec) struct Scratch {
    pub(in crate::codec) keys: Vec<u8>,
    pub(in crate::codec) values: Vec<u64>,
}

impl Scratch {
    pub(in crate::codec) fn clear(&mut self) {
        self.keys.clear();
        self.values.clear();
    }
}

/// The shapes of one environment. A shape is a list of keys in the document's order: duplicates and all, since an object
/// literal takes the last of them just as `JSON.parse` does.
#[derive(Debug, Default)]
pub(crate) struct JsonShapes {
    /// A quick hash is enough: keys that collide on purpose collide with 256 others at most.
    known: HashMap<Arc<[u8]>, u16, FxBuildHasher>,
    /// The same shapes, to follow while an object is read.
    pub(super) paths: Paths,
    /// By a part of their hash: the rest of the hash, and how often it was met. A shape replaces another one at its place.
    candidates: Vec<(u32, u8)>,
    new: Vec<NewJsonShape>,
    /// Documents in a row that had to go to `JSON.parse`.
    in_vain: u32,
    pub(in crate::codec) scratch: Scratch,
}

impl JsonShapes {
    /// Shapes that were found since the last call.
    pub(crate) fn take_new(&mut self) -> impl Iterator<Item = NewJsonShape> {
        self.new.drain(..)
    }

    /// Whether to try the next document.
    pub(in crate::codec) fn is_worth_trying(&mut self) -> bool {
        if self.in_vain < MANY_IN_VAIN || self.in_vain.is_multiple_of(SAMPLE) {
            return true;
        }
        self.in_vain = self.in_vain.checked_add(1).unwrap_or(MANY_IN_VAIN);
        false
    }

    /// Counts a document that was tried.
    pub(in crate::codec) fn tried(&mut self, success: bool) {
        self.in_vain = if success { 0 } else { self.in_vain.checked_add(1).unwrap_or(MANY_IN_VAIN) };
    }

    /// The number of the shape with these keys, each ended by [`KEY_END`]; None: the object goes to `JSON.parse`.
    pub(in crate::codec) fn find(
        &mut self,
        keys: &[u8],
        members: impl ExactSizeIterator<Item = Member>,
    ) -> Option<u16> {
        if let Some(id) = self.known.get(keys) {
            return Some(*id);
        }
        if self.known.len() >= MAX_SHAPES || members.len() > MAX_KEYS || !self.is_worth_compiling(keys) {
            return None;
        }
        let names: Option<Vec<&str>> = keys
            .split_inclusive(|byte| *byte == KEY_END)
            .map(|key| std::str::from_utf8(key.strip_suffix(&[KEY_END])?).ok())
            .collect();
        let id = self.known.len() as u16;
        let members: String = members.map(Member::letter).collect();
        let description = json!({ "keys": names?, "members": members }).to_string();
        let keys: Arc<[u8]> = keys.into();
        self.paths.add(keys.clone());
        self.known.insert(keys, id);
        self.new.push(NewJsonShape { id: id.into(), description });
        if self.known.len() == MAX_SHAPES {
            self.candidates = Vec::new();
        }
        Some(id)
    }

    /// Counts a shape that is not known.
    fn is_worth_compiling(&mut self, keys: &[u8]) -> bool {
        self.candidates.resize(CANDIDATES, (0, 0));
        let hash = self.known.hasher().hash_one(keys);
        let candidate = &mut self.candidates[hash as usize % CANDIDATES];
        let rest = (hash >> 32) as u32;
        if candidate.0 != rest {
            *candidate = (rest, 0);
        }
        candidate.1 = candidate.1.saturating_add(1);
        candidate.1 >= WORTH_COMPILING
    }
}
