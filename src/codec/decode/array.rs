//! Arrays: the binary form (`array_send` in src/backend/utils/adt/arrayfuncs.c) to an array block.

use crate::codec::decode::decoder::Decoder;
use crate::codec::error::DecodeError;
use crate::codec::float::put_i64;
use crate::codec::pack::{Packer, mask_words};
use crate::codec::reader::Reader;

/// `MAXDIM` in utils/array.h.
pub(in crate::codec) const MAX_DIMENSIONS: usize = 6;

/// How to decode an array: its elements, and the type that they must have in the value.
#[derive(Debug, Clone)]
pub(crate) struct ArrayDecoder {
    pub(in crate::codec) element: Decoder,
    pub(in crate::codec) element_oid: u32,
    /// The letter between the elements in text.
    pub(in crate::codec) delimiter: u8,
}

/// The head of an array in binary form.
pub(in crate::codec) struct Header {
    element_oid: u32,
    dimensions: [usize; MAX_DIMENSIONS],
    lower_bounds: [i32; MAX_DIMENSIONS],
    ndim: usize,
    /// The number of elements; no more than the bytes that follow can hold.
    pub(in crate::codec) total: usize,
}

impl Header {
    pub(in crate::codec) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let ndim = reader.count()?;
        let _has_nulls = reader.i32()?;
        let element_oid = reader.u32()?;
        if ndim > MAX_DIMENSIONS {
            return Err(DecodeError::Invalid("an array of too many dimensions"));
        }
        let mut dimensions = [0; MAX_DIMENSIONS];
        let mut lower_bounds = [1; MAX_DIMENSIONS];
        let mut total = usize::from(ndim > 0);
        for (len, lower_bound) in dimensions.iter_mut().zip(&mut lower_bounds).take(ndim) {
            *len = reader.count()?;
            *lower_bound = reader.i32()?;
            total = total.saturating_mul(*len);
        }
        // Each element has at least its length word.
        if total > reader.remaining() / 4 {
            return Err(DecodeError::Truncated);
        }
        let ndim = if total == 0 { 0 } else { ndim };
        Ok(Self { element_oid, dimensions, lower_bounds, ndim, total })
    }

    pub(in crate::codec) fn dimensions(&self) -> &[usize] {
        &self.dimensions[..self.ndim]
    }

    /// `[0:2][1:3]=` when not all lower bounds are 1, as `array_out` has it.
    pub(in crate::codec) fn put_bounds(&self, out: &mut Vec<u8>) {
        if self.lower_bounds[..self.ndim].iter().all(|&bound| bound == 1) {
            return;
        }
        for (&len, &bound) in self.dimensions().iter().zip(&self.lower_bounds) {
            out.push(b'[');
            put_i64(out, bound.into());
            out.push(b':');
            put_i64(out, i64::from(bound) + len as i64 - 1);
            out.push(b']');
        }
        out.push(b'=');
    }
}

impl ArrayDecoder {
    pub(in crate::codec) fn check(&self, header: &Header) -> Result<(), DecodeError> {
        if header.element_oid == self.element_oid {
            Ok(())
        } else {
            Err(DecodeError::ElementType { expected: self.element_oid, got: header.element_oid })
        }
    }

    pub(in crate::codec) fn decode(&self, raw: &[u8], out: &mut Packer) -> Result<u64, DecodeError> {
        let block = out.aux.len();
        let result = self.decode_block(raw, out);
        if result.is_err() {
            out.aux.truncate(block);
        }
        result.map(|()| block as u64)
    }

    fn decode_block(&self, raw: &[u8], out: &mut Packer) -> Result<(), DecodeError> {
        let mut reader = Reader::new(raw);
        let header = Header::read(&mut reader)?;
        self.check(&header)?;
        out.aux.push(header.dimensions().len() as u64);
        out.aux.extend(header.dimensions().iter().map(|&len| len as u64));
        let mask = out.aux.len();
        let slots = mask + mask_words(header.total);
        out.aux.resize(slots + header.total, 0);
        for index in 0..header.total {
            match reader.value()? {
                Some(value) => out.aux[slots + index] = self.element.decode(value, out)?,
                None => out.aux[mask + index / 64] |= 1 << (index % 64),
            }
        }
        reader.end()
    }
}
