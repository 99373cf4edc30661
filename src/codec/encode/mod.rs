//! Parameters and rows of JavaScript to what the server reads.
//!
//! - `param`: what JavaScript wrote
//! - `write`: a parameter as its type on the server wants it
//! - `array`, `json`, `structure`: parameters that are made of others
//! - `date`: Dates as text
//! - `copy`: the rows of a load

pub(in crate::codec) mod array;
pub(in crate::codec) mod copy;
pub(in crate::codec) mod date;
pub(in crate::codec) mod json;
pub(in crate::codec) mod param;
pub(in crate::codec) mod structure;
pub(in crate::codec) mod write;
