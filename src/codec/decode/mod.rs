//! Values of the server to slots.
//!
//! - `decoder`: one decoder for each type, and which bytes make which slot
//! - `array`, `record`: values that are made of values
//! - `json`, `json_scalars`, `json_shapes`, `json_paths`: documents
//! - the others: the types after which they are named

pub(in crate::codec) mod array;
pub(in crate::codec) mod datetime;
pub(in crate::codec) mod decoder;
pub(in crate::codec) mod geometry;
pub(in crate::codec) mod hstore;
pub(in crate::codec) mod json;
pub(in crate::codec) mod json_paths;
mod json_scalars;
pub(in crate::codec) mod json_shapes;
pub(in crate::codec) mod net;
pub(in crate::codec) mod numeric;
pub(in crate::codec) mod range;
pub(in crate::codec) mod record;
pub(in crate::codec) mod system;
pub(in crate::codec) mod tsearch;
