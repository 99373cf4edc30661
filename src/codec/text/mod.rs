//! The text forms of values.
//!
//! - `text_output`: types that arrive as the text that the server prints, made from their binary form
//! - `array_text`: values within such text
//! - `text_format`: cells that the server has sent as text
//! - `datetime_text`: times as users and servers write them
//! - `quote`: quotes around text
//! - `row_description`: the columns of a result

pub(in crate::codec) mod array_text;
pub(in crate::codec) mod datetime_text;
pub(in crate::codec) mod quote;
pub(in crate::codec) mod row_description;
pub(in crate::codec) mod text_format;
pub(in crate::codec) mod text_output;
