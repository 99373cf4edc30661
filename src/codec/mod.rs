//! Values of PostgreSQL to the packed form that JavaScript reads, and parameters of JavaScript to PostgreSQL.
//!
//! Pure functions: no I/O, no `unsafe`, and no input, however broken, may panic. Work and memory are bounded by the
//! input's size times a small factor; only a numeric may be 131,072 digits in ten bytes, and all text of a batch together
//! is bounded by JavaScript's longest string.
//!
//! [`Decoder`] turns one column value, binary or text, into one 64-bit slot of a [`Packer`]; [`read_params`] turns the bytes that
//! JavaScript wrote into [`Param`]s. [`pack_document`] parses json and jsonb. [`registry`] is the table of types.

// PostgreSQL, BigInt, toISOString: the field's names are prose here.
#![allow(clippy::doc_markdown)]

mod catalog;
mod choices;
mod decode;
mod encode;
mod error;
mod float;
mod pack;
mod reader;
mod registry;
mod text;
mod types;

pub(crate) use catalog::{Catalog, Foreign};
pub(crate) use choices::{DateAs, Int8As, JsonAs, NumericAs, TypeChoices, Types};
pub(crate) use decode::decoder::Decoder;
pub(crate) use decode::json::pack_document;
pub(crate) use decode::json_shapes::JsonShapes;
pub(crate) use encode::copy::{CopyColumn, CopyForm, CopyRow};
pub(crate) use encode::param::{Param, ParamReader, Target, read_params};
pub(crate) use encode::structure::takes_structure;
pub(crate) use error::{DecodeError, ParamError};
pub(crate) use pack::Packer;
pub(crate) use text::row_description::{Described, columns_of};
pub(crate) use types::{describe_type, is_built_in};

#[cfg(test)]
mod tests;
