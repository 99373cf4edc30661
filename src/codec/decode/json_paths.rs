//! The known shapes of JSON objects as a tree, to follow while an object is read.
//!
//! The documents of a column have the same keys, one after another. What stands in the source is compared with the keys
//! that followed so far in other objects, and nothing needs to be copied, hashed or looked up.

use std::sync::Arc;

/// Ends a key in a list of keys; no byte of UTF-8.
pub(in crate::codec) const KEY_END: u8 = 0xFF;

/// How many keys are compared with the source at most: a look at more of them costs more than it saves.
const COMPARED: usize = 8;

/// A list of keys with which a known shape begins. The default is the empty list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::codec) struct Beginning(u32);

#[derive(Debug)]
pub(in crate::codec) struct Paths {
    forks: Vec<Fork>,
    /// The keys of each shape.
    lists: Vec<Arc<[u8]>>,
    /// Which key is compared next of those that were not.
    turn: usize,
}

#[derive(Debug, Default)]
struct Fork {
    /// The shape that has no more keys.
    shape: Option<u16>,
    /// The keys are the first so many bytes in the list of a shape.
    list: u16,
    len: u32,
    /// The keys that may follow; those that do are moved towards the front.
    edges: Vec<Edge>,
}

#[derive(Debug)]
struct Edge {
    /// The key in its quotes, and the colon.
    text: Box<[u8]>,
    /// The first eight bytes of the text, and which of them it has.
    head: u64,
    mask: u64,
    to: Beginning,
}

impl Edge {
    fn new(text: Vec<u8>, to: Beginning) -> Self {
        let len = text.len().min(8);
        let (mut head, mut mask) = ([0; 8], [0; 8]);
        head[..len].copy_from_slice(&text[..len]);
        mask[..len].fill(0xFF);
        Self { text: text.into(), head: u64::from_le_bytes(head), mask: u64::from_le_bytes(mask), to }
    }

    #[inline]
    fn begins(&self, source: &[u8]) -> bool {
        match source.first_chunk() {
            Some(eight) => {
                (u64::from_le_bytes(*eight) ^ self.head) & self.mask == 0
                    && (self.text.len() <= 8 || source[8..].starts_with(&self.text[8..]))
            }
            None => source.starts_with(&self.text),
        }
    }
}

impl Default for Paths {
    fn default() -> Self {
        Self { forks: vec![Fork::default()], lists: Vec::new(), turn: 0 }
    }
}

impl Paths {
    /// Adds the next shape.
    pub(in crate::codec) fn add(&mut self, keys: Arc<[u8]>) {
        let shape = self.lists.len() as u16;
        if let Some(beginning) = self.beginning_of(&keys, shape) {
            self.forks[beginning.0 as usize].shape = Some(shape);
        }
        self.lists.push(keys);
    }

    /// The beginning of these keys, made with what leads there. None: no object can be followed to it.
    fn beginning_of(&mut self, keys: &[u8], list: u16) -> Option<Beginning> {
        let mut beginning = Beginning::default();
        let mut len = 0;
        for key in keys.split_inclusive(|byte| *byte == KEY_END) {
            len += key.len() as u32;
            let key = &key[..key.len() - 1];
            if key.iter().any(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
                // JSON has an escape in it: these bytes in quotes would be something else.
                return None;
            }
            let text = [b"\"", key, b"\":"].concat();
            let next = Beginning(self.forks.len() as u32);
            let edges = &mut self.forks[beginning.0 as usize].edges;
            beginning = match edges.iter().find(|edge| *edge.text == *text) {
                Some(edge) => edge.to,
                None => {
                    edges.reserve_exact(1);
                    edges.push(Edge::new(text, next));
                    self.forks.push(Fork { list, len, ..Fork::default() });
                    next
                }
            };
        }
        Some(beginning)
    }

    /// The beginning behind the key and the colon with which `source` begins, and their length. None: it begins with something
    /// else, or with a key that is written in another way or was not compared.
    #[inline]
    pub(in crate::codec) fn follow(&mut self, beginning: Beginning, source: &[u8]) -> Option<(Beginning, usize)> {
        let edges = &mut self.forks[beginning.0 as usize].edges;
        let compared = edges.len().min(COMPARED);
        let Some(at) = edges[..compared].iter().position(|edge| edge.begins(source)) else {
            // The last of those that are compared gives way to each of the others in turn.
            if edges.len() > COMPARED {
                self.turn = (self.turn + 1) % (edges.len() - COMPARED);
                edges.swap(COMPARED - 1, COMPARED + self.turn);
            }
            return None;
        };
        let Edge { to, ref text, .. } = edges[at];
        let len = text.len();
        if at >= COMPARED / 2 {
            // It was rare so far; the first ones may take turns, as objects that are nested do.
            edges.swap(at, at / 2);
        }
        Some((to, len))
    }

    /// The shape whose keys are those of a beginning.
    #[inline]
    pub(in crate::codec) fn shape(&self, beginning: Beginning) -> Option<u16> {
        self.forks[beginning.0 as usize].shape
    }

    /// The keys of a beginning, each ended by `KEY_END`.
    pub(in crate::codec) fn keys(&self, beginning: Beginning) -> &[u8] {
        let Fork { list, len, .. } = &self.forks[beginning.0 as usize];
        self.lists.get(usize::from(*list)).map_or(&[], |list| &list[..*len as usize])
    }
}
