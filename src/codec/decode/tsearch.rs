//! Text search: tsvector and tsquery, as src/backend/utils/adt/tsvector.c and tsquery.c send and print them.

use crate::codec::error::DecodeError;
use crate::codec::float::put_u64;
use crate::codec::reader::Reader;

/// A lexeme in single quotes; quotes and backslashes doubled.
fn put_lexeme(lexeme: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    std::str::from_utf8(lexeme).map_err(|_| DecodeError::NotUtf8)?;
    out.push(b'\'');
    for &byte in lexeme {
        if matches!(byte, b'\'' | b'\\') {
            out.push(byte);
        }
        out.push(byte);
    }
    out.push(b'\'');
    Ok(())
}

pub(in crate::codec) fn write_tsvector(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(raw);
    for index in 0..reader.count()? {
        if index > 0 {
            out.push(b' ');
        }
        put_lexeme(reader.c_string()?, out)?;
        for position in 0..reader.u16()? {
            out.push(if position == 0 { b':' } else { b',' });
            // WordEntryPos in tsearch/ts_type.h: two bits of weight, fourteen of position.
            let entry = reader.u16()?;
            put_u64(out, u64::from(entry & 0x3FFF));
            out.extend_from_slice([b"".as_slice(), b"C", b"B", b"A"][usize::from(entry >> 14)]);
        }
    }
    reader.end()
}

enum QueryItem<'a> {
    Value { weight: u8, prefix: bool, lexeme: &'a [u8] },
    Not,
    And,
    Or,
    Phrase(u16),
}

impl<'a> QueryItem<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        // QI_VAL and QI_OPR, OP_* in tsearch/ts_type.h.
        Ok(match reader.u8()? {
            1 => Self::Value { weight: reader.u8()?, prefix: reader.u8()? != 0, lexeme: reader.c_string()? },
            2 => match reader.u8()? {
                1 => Self::Not,
                2 => Self::And,
                3 => Self::Or,
                4 => Self::Phrase(reader.u16()?),
                _ => return Err(DecodeError::Invalid("an unknown operator of a tsquery")),
            },
            _ => return Err(DecodeError::Invalid("an unknown item of a tsquery")),
        })
    }

    /// `tsearch_op_priority`.
    fn priority(&self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And => 2,
            Self::Phrase(_) => 3,
            Self::Not | Self::Value { .. } => 4,
        }
    }
}

/// What is still to be printed.
enum PrintStep {
    Node { index: usize, parent: u8, right_of_phrase: bool },
    Text(&'static [u8]),
    Distance(u16),
}

/// As `infix` in tsquery.c, but with a stack of its own: a query of ten thousand terms is ten thousand levels deep.
pub(in crate::codec) fn write_tsquery(raw: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    let mut reader = Reader::new(raw);
    let count = reader.count()?;
    // An item has at least two bytes.
    if count > reader.remaining() / 2 {
        return Err(DecodeError::Truncated);
    }
    let items = (0..count).map(|_| QueryItem::read(&mut reader)).collect::<Result<Vec<_>, _>>()?;
    reader.end()?;
    if items.is_empty() {
        return Ok(());
    }
    let ends = subtree_ends(&items)?;
    let mut steps = vec![PrintStep::Node { index: 0, parent: 0, right_of_phrase: false }];
    while let Some(step) = steps.pop() {
        match step {
            PrintStep::Text(text) => out.extend_from_slice(text),
            PrintStep::Distance(distance) => {
                out.extend_from_slice(b" <");
                put_u64(out, distance.into());
                out.extend_from_slice(b"> ");
            }
            PrintStep::Node { index, parent, right_of_phrase } => {
                let item = &items[index];
                let priority = item.priority();
                let is_phrase = matches!(item, QueryItem::Phrase(_));
                // Only a phrase's result depends on the order of its operators.
                if priority < parent || (is_phrase && right_of_phrase) {
                    out.extend_from_slice(b"( ");
                    steps.push(PrintStep::Text(b" )"));
                }
                let operator = match item {
                    QueryItem::Value { weight, prefix, lexeme } => {
                        put_operand(*weight, *prefix, lexeme, out)?;
                        continue;
                    }
                    QueryItem::Not => {
                        out.push(b'!');
                        steps.push(PrintStep::Node { index: index + 1, parent: priority, right_of_phrase: false });
                        continue;
                    }
                    QueryItem::And => PrintStep::Text(b" & "),
                    QueryItem::Or => PrintStep::Text(b" | "),
                    QueryItem::Phrase(1) => PrintStep::Text(b" <-> "),
                    QueryItem::Phrase(distance) => PrintStep::Distance(*distance),
                };
                // The right operand comes first in memory.
                steps.push(PrintStep::Node { index: index + 1, parent: priority, right_of_phrase: is_phrase });
                steps.push(operator);
                steps.push(PrintStep::Node { index: ends[index + 1], parent: priority, right_of_phrase: false });
            }
        }
    }
    Ok(())
}

/// Where the subtree of each item of the prefix notation ends; an error unless the items form one tree.
fn subtree_ends(items: &[QueryItem<'_>]) -> Result<Vec<usize>, DecodeError> {
    let broken = DecodeError::Invalid("a tsquery that is no tree");
    let mut ends = vec![0; items.len()];
    for (index, item) in items.iter().enumerate().rev() {
        let end = match item {
            QueryItem::Value { .. } => Some(index + 1),
            QueryItem::Not => ends.get(index + 1).copied(),
            _ => ends.get(index + 1).and_then(|&left| ends.get(left)).copied(),
        };
        ends[index] = end.ok_or_else(|| broken.clone())?;
    }
    if ends.first() == Some(&items.len()) { Ok(ends) } else { Err(broken) }
}

fn put_operand(weight: u8, prefix: bool, lexeme: &[u8], out: &mut Vec<u8>) -> Result<(), DecodeError> {
    put_lexeme(lexeme, out)?;
    if weight != 0 || prefix {
        out.push(b':');
    }
    if prefix {
        out.push(b'*');
    }
    for (bit, letter) in [(8, b'A'), (4, b'B'), (2, b'C'), (1, b'D')] {
        if weight & bit != 0 {
            out.push(letter);
        }
    }
    Ok(())
}
