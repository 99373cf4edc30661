//! How values arrive: the choices of the option `types`.

use std::collections::{HashMap, HashSet};

use postgres_types::Type;

use crate::codec::types::type_name;

/// How int8 arrives in JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Int8As {
    /// As a BigInt.
    #[default]
    BigInt,
    /// As a number; beyond 2^53 it is rounded.
    Number,
    /// As a string of digits.
    Text,
}

/// How numeric arrives in JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum NumericAs {
    /// As a string with every digit the server prints.
    #[default]
    Text,
    /// As the nearest number.
    Number,
}

/// How timestamptz, timestamp and date arrive in JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum DateAs {
    /// As an ISO 8601 string.
    #[default]
    Text,
    /// As a Date; values without a zone are taken as UTC.
    Date,
}

/// How json and jsonb arrive in JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum JsonAs {
    /// Parsed.
    #[default]
    Parse,
    /// As the document's text.
    Text,
}

/// How the types arrive that have a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct TypeChoices {
    /// For int8.
    pub(crate) int8: Int8As,
    /// For numeric.
    pub(crate) numeric: NumericAs,
    /// For timestamptz, timestamp and date.
    pub(crate) date: DateAs,
    /// For json and jsonb.
    pub(crate) json: JsonAs,
}

/// The option `types` of a pool or of one statement.
#[derive(Debug, Default)]
pub(crate) struct Types {
    /// The choices of types that have one.
    pub(crate) choices: TypeChoices,
    /// JavaScript's own parsers by the name of the type or the digits of its oid, each by the number under which
    /// JavaScript knows it.
    pub(crate) parsers: HashMap<String, u32>,
    /// Of a pinned session: the oids of the types whose values arrive as `choices` say. Values of other types arrive as
    /// the server's text.
    pub(crate) native: HashSet<u32>,
}

impl Types {
    /// The parser that JavaScript has for a type, by its number.
    pub(in crate::codec) fn parser(&self, ty: &Type) -> Option<u32> {
        if self.parsers.is_empty() {
            return None;
        }
        let find = |name: &str| self.parsers.get(name).copied();
        find(&ty.oid().to_string())
            .or_else(|| find(ty.name()))
            .or_else(|| find(&type_name(ty)))
            .or_else(|| find(&format!("{}.{}", ty.schema(), ty.name())))
    }
}
