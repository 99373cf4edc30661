//! Bounds the look-ups of types that tokio-postgres makes by itself.
//!
//! It looks up the element of an array, the fields of a composite and so on by recursion, and a malicious server may
//! answer that a type's element is the type itself. So this file computes from the answers how deep each type is
//! nested, and ends the connection of a server whose types are nested too deep: in a real database no type contains
//! itself. The size of an answer is bounded, too, because tokio-postgres keeps it in memory.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::protocol::limits::LONG;

/// How deep types may be nested.
const DEPTH: u16 = 64;
/// How many types one connection may look up.
const TYPES: usize = 100_000;

/// How the queries of tokio-postgres begin (its prepare.rs).
const TYPE: &[u8] = b"SELECT t.typname, t.typtype, t.typelem, ";
const FIELDS: &[u8] = b"SELECT attname, atttypid\nFROM pg_catalog.pg_attribute\n";
const LABELS: &[u8] = b"SELECT enumlabel\nFROM pg_catalog.pg_enum\n";

/// A look-up that is not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lookup {
    /// The type with this oid.
    Type(u32),
    /// The fields of the relation with this oid.
    Fields(u32),
    /// A look-up whose answer names no types.
    Other,
}

#[derive(Debug, Default)]
pub(crate) struct TypeDepth {
    /// The names of the statements that look up types, fields and labels.
    types: HashSet<String>,
    fields: HashSet<String>,
    labels: HashSet<String>,
    asked: VecDeque<Lookup>,
    /// Bytes of the current answer so far.
    bytes: usize,
    of_types: HashMap<u32, u16>,
    of_relations: HashMap<u32, u16>,
}

/// The values of a DataRow, up to the first that is malformed.
fn cells(body: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = body.get(2..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (length, after) = rest.split_first_chunk()?;
        let length = i32::from_be_bytes(*length);
        let Ok(length) = usize::try_from(length) else {
            rest = after;
            return Some(None);
        };
        let cell = after.get(..length)?;
        rest = &after[length..];
        Some(Some(cell))
    })
}

fn oid(cell: Option<&[u8]>) -> u32 {
    cell.and_then(|cell| cell.try_into().ok()).map_or(0, u32::from_be_bytes)
}

impl TypeDepth {
    /// A statement is parsed; `behind` is the part of the message behind its name.
    pub(crate) fn parse_sent(&mut self, name: &str, behind: &[u8]) {
        let of = [(TYPE, &mut self.types), (FIELDS, &mut self.fields), (LABELS, &mut self.labels)];
        for (query, statements) in of {
            if behind.starts_with(query) && !name.is_empty() {
                statements.insert(name.to_owned());
            }
        }
    }

    pub(crate) fn close_sent(&mut self, name: &str) {
        for statements in [&mut self.types, &mut self.fields, &mut self.labels] {
            statements.remove(name);
        }
    }

    /// Whether look-ups were prepared, so that each Bind must be passed to [`Self::bind_sent`].
    pub(crate) fn is_busy(&self) -> bool {
        !self.types.is_empty()
    }

    /// A statement runs. Returns whether it is a look-up: those without a name are this client's own.
    pub(crate) fn bind_sent(&mut self, name: &str, message: &[u8]) -> bool {
        // One parameter of four bytes, and one format for all columns.
        let argument = || oid(message.len().checked_sub(8).and_then(|at| message.get(at..at + 4)));
        let lookup = match name {
            "" => Lookup::Other,
            name if self.types.contains(name) => Lookup::Type(argument()),
            name if self.fields.contains(name) => Lookup::Fields(argument()),
            name if self.labels.contains(name) => Lookup::Other,
            _ => return false,
        };
        self.asked.push_back(lookup);
        true
    }

    /// An error came in place of the answers to so many look-ups.
    pub(crate) fn lookups_failed(&mut self, lookups: usize) {
        for _ in 0..lookups {
            self.lookup_answered();
        }
    }

    /// A look-up was answered.
    pub(crate) fn lookup_answered(&mut self) {
        self.asked.pop_front();
        self.bytes = 0;
    }

    /// A row of the answer to a look-up.
    pub(crate) fn row_received(&mut self, body: &[u8]) -> Result<(), String> {
        self.bytes += body.len() + 4;
        if self.bytes > LONG {
            return Err("the server does not come to an end with what it tells of a type".to_owned());
        }
        match self.asked.front() {
            Some(&Lookup::Type(of)) => {
                let depth = self.of_types.get(&of).copied().unwrap_or(0) + 1;
                let cells: Vec<_> = cells(body).collect();
                let at = |index: usize| oid(cells.get(index).copied().flatten());
                // Element, a range's subtype, a domain's base.
                [at(2), at(3), at(4)].into_iter().try_for_each(|oid| record_depth(&mut self.of_types, oid, depth))?;
                record_depth(&mut self.of_relations, at(6), depth)
            }
            Some(Lookup::Fields(of)) => {
                let depth = self.of_relations.get(of).copied().unwrap_or(0) + 1;
                record_depth(&mut self.of_types, oid(cells(body).nth(1).flatten()), depth)
            }
            _ => Ok(()),
        }
    }
}

/// A type was found at this depth.
fn record_depth(depths: &mut HashMap<u32, u16>, oid: u32, depth: u16) -> Result<(), String> {
    if oid == 0 {
        return Ok(());
    }
    if depth > DEPTH {
        return Err(format!("the server has types that are nested more than {DEPTH} deep"));
    }
    let known = depths.entry(oid).or_default();
    *known = depth.max(*known);
    if depths.len() > TYPES { Err(format!("the server told of more than {TYPES} types")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[Option<&[u8]>]) -> Vec<u8> {
        let mut body = (cells.len() as u16).to_be_bytes().to_vec();
        for cell in cells {
            body.extend(cell.map_or(-1, |cell| cell.len() as i32).to_be_bytes());
            body.extend(cell.unwrap_or_default());
        }
        body
    }

    fn bind(oid: u32) -> Vec<u8> {
        [&b"B\0\0\0\x1c\0s1\0\0\x01\0\x01\0\x01\0\0\0\x04"[..], &oid.to_be_bytes(), &[0, 1, 0, 1]].concat()
    }

    /// With the look-ups of tokio-postgres prepared.
    fn type_depth() -> TypeDepth {
        let mut type_depth = TypeDepth::default();
        type_depth.parse_sent("s1", b"SELECT t.typname, t.typtype, t.typelem, r.rngsubtype, ...\0\0\0");
        type_depth.parse_sent("s2", b"SELECT attname, atttypid\nFROM pg_catalog.pg_attribute\nWHERE ...\0\0\0");
        type_depth
    }

    /// Looks up a type and gets this element and relation as the answer.
    fn look_up(type_depth: &mut TypeDepth, of: u32, element: u32, relation: u32) -> Result<(), String> {
        assert!(type_depth.bind_sent("s1", &bind(of)));
        let (element, relation) = (element.to_be_bytes(), relation.to_be_bytes());
        let none = Some(&[0; 4][..]);
        let answer = row(&[Some(b"t"), Some(b"b"), Some(&element), None, none, Some(b"public"), Some(&relation)]);
        type_depth.row_received(&answer)?;
        type_depth.lookup_answered();
        Ok(())
    }

    #[test]
    fn an_array_of_itself_is_an_error() {
        let mut type_depth = type_depth();
        let rounds = (0..1000).take_while(|_| look_up(&mut type_depth, 70_000, 70_000, 0).is_ok()).count();
        assert_eq!(rounds, usize::from(DEPTH));
    }

    #[test]
    fn a_composite_that_contains_itself_is_an_error() {
        let mut type_depth = type_depth();
        let mut rounds = 0;
        let ended = loop {
            if let Err(reason) = look_up(&mut type_depth, 70_000, 0, 70_001) {
                break reason;
            }
            assert!(type_depth.bind_sent("s2", &bind(70_001)));
            if let Err(reason) = type_depth.row_received(&row(&[Some(b"self"), Some(&70_000_u32.to_be_bytes())])) {
                break reason;
            }
            type_depth.lookup_answered();
            rounds += 1;
            assert!(rounds < 1000);
        };
        assert!(ended.contains("nested"), "{ended}");
    }

    #[test]
    fn a_chain_of_new_types_is_an_error_and_a_repeated_look_up_is_none() {
        let mut type_depth = type_depth();
        let rounds = (0..1000).take_while(|&at| look_up(&mut type_depth, 70_000 + at, 70_001 + at, 0).is_ok()).count();
        assert_eq!(rounds, usize::from(DEPTH));
        let mut type_depth = super::tests::type_depth();
        assert!((0..1000).all(|_| look_up(&mut type_depth, 70_000, 70_001, 0).is_ok()));
    }

    #[test]
    fn an_endless_answer_is_an_error() {
        let mut type_depth = type_depth();
        assert!(type_depth.bind_sent("", &[]));
        let label = vec![b'x'; 1 << 20];
        assert!((0..1000).any(|_| type_depth.row_received(&row(&[Some(&label)])).is_err()));
    }
}
