//! A cursor over one binary value. Everything on PostgreSQL's wire is big-endian.

use crate::codec::error::DecodeError;

/// The whole value as exactly `N` bytes.
#[inline]
pub(super) fn fixed<const N: usize>(raw: &[u8]) -> Result<[u8; N], DecodeError> {
    raw.try_into().map_err(|_| DecodeError::Length { expected: N, got: raw.len() })
}

/// What is left to read of a value.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(raw: &'a [u8]) -> Self {
        Self(raw)
    }

    pub(super) fn remaining(&self) -> usize {
        self.0.len()
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, tail) = self.0.split_first_chunk::<N>().ok_or(DecodeError::Truncated)?;
        self.0 = tail;
        Ok(*head)
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.0.split_at_checked(len).ok_or(DecodeError::Truncated)?;
        self.0 = tail;
        Ok(head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array().map(i64::from_be_bytes)
    }

    pub(super) fn f64(&mut self) -> Result<f64, DecodeError> {
        self.array().map(f64::from_be_bytes)
    }

    /// Bytes up to a zero byte, which is consumed.
    pub(super) fn c_string(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.0.iter().position(|&byte| byte == 0).ok_or(DecodeError::Truncated)?;
        let text = self.take(len)?;
        self.u8()?;
        Ok(text)
    }

    /// A count or length that may not be negative.
    pub(super) fn count(&mut self) -> Result<usize, DecodeError> {
        usize::try_from(self.i32()?).map_err(|_| DecodeError::Invalid("a negative count"))
    }

    /// A length-prefixed value; -1 is NULL.
    pub(super) fn value(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.i32()? {
            -1 => Ok(None),
            len => {
                let len = usize::try_from(len).map_err(|_| DecodeError::Invalid("a negative length"))?;
                self.take(len).map(Some)
            }
        }
    }

    /// Fails when something is left.
    pub(super) fn end(self) -> Result<(), DecodeError> {
        if self.0.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.0.len())) }
    }
}

/// The text after the version byte of jsonb (`jsonb_send`) and jsonpath.
pub(in crate::codec) fn versioned(raw: &[u8]) -> Result<&[u8], DecodeError> {
    match raw {
        [1, text @ ..] => Ok(text),
        [] => Err(DecodeError::Truncated),
        _ => Err(DecodeError::Invalid("an unknown version of its format")),
    }
}
