//! What the server has said of types that are not built in, beyond what postgres-types knows of them.
//!
//! postgres-types treats a multirange as any other type. It knows neither which letter separates the elements of a type's
//! arrays, nor whether the server can send a type in binary at all (it cannot for seg and isn of contrib).

use crate::codec::types::{base, is_foreign};
use std::collections::HashMap;

use postgres_types::{Kind, Type};

/// What the server says of one type.
#[derive(Debug, Clone)]
pub(crate) struct Foreign {
    /// It has a binary form.
    pub(crate) sends: bool,
    /// What stands between the elements of its arrays (`typdelim`).
    pub(crate) delimiter: u8,
    /// The ranges it consists of, if it is a multirange.
    pub(crate) range: Option<Type>,
}

/// What is known of the types of one database. A type that is missing was not asked for, or was dropped.
#[derive(Clone, Debug, Default)]
pub(crate) struct Catalog(HashMap<u32, Foreign>);

impl Catalog {
    /// Adds to `missing` the oids within `ty` that the server must be asked about.
    pub(crate) fn ask_for(&self, ty: &Type, missing: &mut Vec<u32>) {
        match ty.kind() {
            Kind::Array(inner) | Kind::Domain(inner) | Kind::Range(inner) | Kind::Multirange(inner) => {
                self.ask_for(inner, missing);
            }
            Kind::Composite(fields) => fields.iter().for_each(|field| self.ask_for(field.type_(), missing)),
            Kind::Simple if is_foreign(ty) && !self.0.contains_key(&ty.oid()) && !missing.contains(&ty.oid()) => {
                missing.push(ty.oid());
            }
            _ => {}
        }
    }

    pub(crate) fn add(&mut self, oid: u32, foreign: Foreign) {
        self.0.insert(oid, foreign);
    }

    pub(super) fn sends(&self, ty: &Type) -> bool {
        self.0.get(&ty.oid()).is_none_or(|foreign| foreign.sends)
    }

    /// The type of the ranges in a multirange.
    pub(super) fn range_of<'a>(&'a self, ty: &'a Type) -> Option<&'a Type> {
        self.0.get(&ty.oid())?.range.as_ref()
    }

    /// The letter between the elements of an array of this type. Of the built-in types only box has a semicolon
    /// (pg_type.dat).
    pub(super) fn delimiter(&self, member: &Type) -> u8 {
        let base = base(member);
        match self.0.get(&base.oid()) {
            Some(foreign) => foreign.delimiter,
            None if *base == Type::BOX => b';',
            None => b',',
        }
    }
}
