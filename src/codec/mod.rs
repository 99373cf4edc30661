//! PostgreSQL's binary values to our packed form, and JavaScript's parameters to PostgreSQL's.
//!
//! Pure functions: no I/O, no `unsafe`, and no input, however broken, may panic. Work and memory are bounded by the
//! input's size times a small factor; only a numeric may be 131,072 digits in ten bytes, and all text of a batch together
//! is bounded by JavaScript's longest string.
//!
//! [`Decoder`] turns one column value, binary or text, into one 64-bit slot of a [`Packer`]; [`read_params`] turns the bytes that
//! JavaScript wrote into [`Param`]s, which implement `ToSql`. [`pack_document`] takes json and jsonb apart.

// PostgreSQL, BigInt, toISOString: the field's names are prose here.
#![allow(clippy::doc_markdown)]

mod array;
mod array_text;
mod catalog;
mod clock;
mod copy;
mod datetime;
mod decode;
mod described;
mod float;
mod from_text;
mod geometry;
mod hstore;
mod json;
mod json_shapes;
mod net;
mod numeric;
mod pack;
mod param;
mod param_array;
mod param_json;
mod param_sql;
mod param_structure;
mod range;
mod read;
mod record;
mod shown;
mod tsearch;

pub(crate) use catalog::{Catalog, Foreign};
pub(crate) use copy::{CopyColumn, CopyForm, CopyRow};
pub(crate) use decode::{DateAs, DecodeError, Decoder, Int8As, JsonAs, NumericAs, TypeChoices, Types};
pub(crate) use described::{Described, columns_of};
pub(crate) use json::pack_document;
pub(crate) use json_shapes::JsonShapes;
pub(crate) use pack::Packer;
pub(crate) use param::{Items as ParamReader, Param, ParamError, Target, describe_type, is_built_in, read_params};
pub(crate) use param_structure::takes_structure;

#[cfg(test)]
mod tests;
