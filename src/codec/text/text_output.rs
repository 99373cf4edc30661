//! The types that arrive as the text that the server prints under default settings.

use crate::codec::decode::decoder::Decoder;
use crate::codec::decode::range;
use crate::codec::error::DecodeError;
use crate::codec::text::array_text;

/// Writes a binary value as the server's output function does.
pub(in crate::codec) type Output = fn(&[u8], &mut Vec<u8>) -> Result<(), DecodeError>;

/// How a type is printed.
#[derive(Debug, Clone)]
pub(crate) enum TextOutput {
    /// By a function of its own.
    Plain(Output),
    /// int2vector, oidvector, with the decoder of their elements.
    Vector(Box<Decoder>),
    Range(Box<Decoder>),
    Multirange(Box<Decoder>),
}

impl TextOutput {
    /// Writes the value as the server's output function does.
    pub(in crate::codec) fn write(&self, raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
        match self {
            Self::Plain(write) => write(raw, out),
            Self::Vector(element) => array_text::write_vector(element, raw, out),
            Self::Range(element) => range::write_range(element, raw, out),
            Self::Multirange(element) => range::write_multirange(element, raw, out),
        }
    }
}
