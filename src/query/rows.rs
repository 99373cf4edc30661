//! The cells of a row, and how they are packed for JavaScript.

use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, Type};

use crate::codec::{DecodeError, Packer};
use crate::error::ClientError;
use crate::pool::prepared::{Prepared, Shapes};

/// A cell as it came over the wire.
pub(super) struct Raw<'a>(pub(super) &'a [u8]);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Raw(raw))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// The cells of a row, one after another.
pub(super) trait Cells<'a> {
    /// The next cell; None: NULL. An error: there is no whole one.
    fn next(&mut self) -> Result<Option<&'a [u8]>, DecodeError>;
}

/// The cells of a row of tokio-postgres.
pub(super) struct RowCells<'a> {
    row: &'a Row,
    at: usize,
}

impl<'a> RowCells<'a> {
    pub(super) fn of(row: &'a Row) -> Self {
        Self { row, at: 0 }
    }
}

impl<'a> Cells<'a> for RowCells<'a> {
    fn next(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        let cell = self.row.try_get::<_, Option<Raw<'_>>>(self.at).map_err(|_| DecodeError::Truncated)?;
        self.at += 1;
        Ok(cell.map(|Raw(raw)| raw))
    }
}

/// Packs a row, or leaves nothing of it.
pub(super) fn pack<'a>(
    row: &mut impl Cells<'a>,
    prepared: &Prepared,
    shapes: &Shapes,
    packer: &mut Packer,
) -> Result<(), ClientError> {
    let columns = prepared.decoders.len();
    let start = packer.begin_row(columns);
    pack_columns(row, prepared, shapes, packer, start).inspect_err(|_| packer.slots.truncate(start))
}

fn pack_columns<'a>(
    row: &mut impl Cells<'a>,
    prepared: &Prepared,
    shapes: &Shapes,
    packer: &mut Packer,
    start: usize,
) -> Result<(), ClientError> {
    let columns = prepared.decoders.len();
    for (column, decoder) in prepared.decoders.iter().enumerate() {
        let unreadable = |error: DecodeError| {
            let column = prepared.statement.columns()[column].name().to_owned();
            let outdated = error == DecodeError::Changed;
            ClientError::Decode { column, reason: error.to_string(), outdated }
        };
        match row.next().map_err(unreadable)? {
            None => packer.set_null(start, column),
            Some(raw) => {
                let slot = match decoder.document(raw) {
                    Some(document) => document.and_then(|document| shapes.pack_document(document, packer)),
                    None => decoder.decode(raw, packer),
                };
                let slot = slot.map_err(unreadable)?;
                packer.set(start, columns, column, slot);
            }
        }
    }
    Ok(())
}

/// The body of a DataRow.
pub(super) struct RawRow<'a> {
    pub(super) count: usize,
    pub(super) cells: &'a [u8],
}

impl<'a> RawRow<'a> {
    /// None: it is none.
    pub(super) fn new(body: &'a [u8]) -> Option<Self> {
        let (count, cells) = body.split_first_chunk()?;
        let count = usize::from(u16::from_be_bytes(*count));
        let mut rest = cells;
        for _ in 0..count {
            next_cell(&mut rest).ok()?;
        }
        rest.is_empty().then_some(Self { count, cells })
    }

    pub(super) fn cells(&self) -> RawCells<'a> {
        RawCells(self.cells)
    }
}

/// The next cell; None: NULL. An error: there is no whole one.
fn next_cell<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, DecodeError> {
    let (length, after) = rest.split_first_chunk().ok_or(DecodeError::Truncated)?;
    let Ok(length) = usize::try_from(i32::from_be_bytes(*length)) else {
        *rest = after;
        return Ok(None);
    };
    let (cell, after) = after.split_at_checked(length).ok_or(DecodeError::Truncated)?;
    *rest = after;
    Ok(Some(cell))
}

/// The cells of a row, one after another.
pub(super) struct RawCells<'a>(&'a [u8]);

impl<'a> Cells<'a> for RawCells<'a> {
    fn next(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        next_cell(&mut self.0)
    }
}
