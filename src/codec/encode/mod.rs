//! Writes parameters and rows of JavaScript for the server.
//!
//! - `param`: what JavaScript wrote
//! - `write`: writes a parameter as its type on the server needs it
//! - `array`, `json`, `structure`: parameters that are made of others
//! - `view`: memory, as bytes or as numbers
//! - `date`: Dates as text
//! - `copy`: the rows of a load

pub(in crate::codec) mod array;
pub(in crate::codec) mod copy;
pub(in crate::codec) mod date;
pub(in crate::codec) mod json;
pub(in crate::codec) mod param;
pub(in crate::codec) mod structure;
pub(in crate::codec) mod view;
pub(in crate::codec) mod write;
