//! The results of a flight: packs the rows as they come, and sends them to JavaScript with the server's command tags.
//!
//! A result that is not the last one of its flight ends with a grant of [`RESULT`]. The last one comes with the end of
//! the call; its tag is granted ahead of that ([`TAG`]) only when it differs from the one that the same text had before.
//! A count at the end of a tag is left out: it is the row count of the message.

use std::pin::{Pin, pin};
use std::sync::Arc;

use futures_util::StreamExt;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow, SimpleQueryStream};

use crate::codec::{DecodeError, Decoder, Described, Packer, Types, columns_of};
use crate::error::ClientError;
use crate::pool::prepared::Shapes;
use crate::pool::session::Session;
use crate::pool::statement_text::StatementText;
use crate::protocol::response_observer::{ResponseListener, ResultAnswer};
use crate::query::cancellation::cancel_until_ended;
use crate::query::collect::{fills_piece, is_too_large, outcome_of};
use crate::query::pinned::{Columns, KEPT_COLUMNS, Pinned};
use crate::query::promise::{Finished, Promise};
use crate::query::script::size_of_row;

/// The grants that are ends of results, the tag of the last one, and the news that a portal has more rows.
const RESULT: u32 = 1;
const TAG: u32 = 2;
const SUSPENDED: u32 = 3;

/// Where a flight stands among those that were sent together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) index: usize,
    /// Nothing was sent behind it.
    pub(super) is_alone: bool,
}

impl Place {
    pub(super) const ALONE: Self = Self { index: 0, is_alone: true };
}

/// A result whose end has come.
struct ResultEnd {
    answer: ResultAnswer,
    columns: Option<Arc<Columns>>,
    rows: u32,
    packer: Packer,
    count: u64,
}

/// A command tag without the count at its end.
fn without_count(tag: &str) -> &str {
    let word = tag.trim_end_matches(|c: char| c.is_ascii_digit());
    if word.len() < tag.len() && word.ends_with(' ') { word } else { tag }
}

impl Pinned {
    /// Sends the flight, and the rows of its results to JavaScript. `known`: the columns of the result, if the server is not
    /// asked for them. Returns the columns of the last result, too.
    pub(super) async fn results(
        &mut self,
        text: &StatementText,
        known: Option<Arc<Columns>>,
        promise: &mut Promise,
        (messages, responses, place): (SimpleQueryStream, &ResponseListener, Place),
    ) -> Result<(Finished, Option<Arc<Columns>>), FlightFailure> {
        let session = self.session.clone();
        let context = self.context.clone();
        let limit = context.result_limit();
        let most = if promise.is_streaming() { usize::MAX } else { limit };
        let mut messages = pin!(messages);
        let types = text.types.as_ref().unwrap_or(&context.types);
        let (mut columns, mut packer, mut rows): (Option<Arc<Columns>>, Packer, u32) = (None, Packer::default(), 0);
        let (mut index, mut bytes, mut seen) = (0, 0, 0);
        let mut last: Option<ResultEnd> = None;
        let mut refused = None;
        let mut unreadable = None;
        while let Some(message) = messages.next().await {
            match message {
                Ok(SimpleQueryMessage::RowDescription(_)) => {
                    end_result(last.take(), promise).await;
                    columns = match &known {
                        Some(known) => Some(known.clone()),
                        None => self.columns_of(text, types, responses.columns(place.index, index)),
                    };
                }
                Ok(SimpleQueryMessage::Row(row)) => {
                    let Some(columns) = &columns else { continue };
                    bytes += if most == usize::MAX { 0 } else { size_of_row(&row) };
                    if bytes > most {
                        return Err(too_large(limit, end_early(&session, messages, place).await));
                    }
                    if unreadable.is_some() || promise.reader_has_left() {
                        continue;
                    }
                    if let Err(error) = pack(&row, columns, &context.shapes, &mut packer) {
                        unreadable = Some(error);
                        continue;
                    }
                    rows += 1;
                    seen += 1;
                    if fills_piece(rows, &packer, promise) {
                        promise.send_rows(rows, columns.shape.id, &mut packer).await;
                        rows = 0;
                    }
                }
                Ok(SimpleQueryMessage::CommandComplete(count)) => {
                    end_result(last.take(), promise).await;
                    if let Some(answer) = responses.take_answer(place.index, index) {
                        let (columns, packer) = (columns.take(), std::mem::take(&mut packer));
                        last = Some(ResultEnd { answer, columns, rows: std::mem::take(&mut rows), packer, count });
                    }
                    index += 1;
                }
                Ok(_) => {}
                Err(error) if is_too_large(&error) => {
                    return Err(too_large(limit, end_early(&session, messages, place).await));
                }
                Err(error) => {
                    let is_answer = error.as_db_error().is_some();
                    refused.get_or_insert(error);
                    if !is_answer {
                        break;
                    }
                }
            }
        }
        if let Some(error) = refused {
            // Who reads the rows as they come has those ahead of the error.
            if let Some(columns) = columns.filter(|_| rows > 0) {
                promise.send_rows(rows, columns.shape.id, &mut packer).await;
            }
            return Err(FlightFailure::Postgres(error));
        }
        if let Some(error) = unreadable {
            return Err(FlightFailure::Client(error));
        }
        let Some(ResultEnd { answer, columns, rows, packer, count }) = last else {
            return Ok((Finished::default(), None));
        };
        if answer.suspended {
            promise.rows_before += seen;
        }
        tag_news(Some(answer), text, promise);
        let shape = columns.as_ref().map(|columns| columns.shape.clone());
        Ok((Finished { rows, shape, row_count: count, packer, ..Finished::default() }, columns))
    }

    /// How the rows of a RowDescription are read.
    fn columns_of(&mut self, text: &StatementText, types: &Types, body: Option<Vec<u8>>) -> Option<Arc<Columns>> {
        let key = (text.id, body?);
        if let Some(columns) = self.columns.get(&key) {
            return Some(columns.clone());
        }
        let decoder = |column: &Described| Decoder::for_pinned(column.type_oid, types);
        let columns = Arc::new(Columns::new(columns_of(&key.1)?, decoder, &self.context.shapes));
        if self.columns.len() >= KEPT_COLUMNS {
            self.columns.clear();
        }
        self.columns.insert(key, columns.clone());
        Some(columns)
    }
}

/// Tells JavaScript the tag of a text's last result, if it has another one.
pub(super) fn tag_news(answer: Option<ResultAnswer>, text: &StatementText, promise: &Promise) {
    let Some(answer) = answer else { return };
    if answer.suspended {
        return promise.grant(SUSPENDED, 0, String::new());
    }
    let tag = without_count(&answer.tag);
    if text.note_tag(tag) {
        promise.grant(TAG, 0, tag.to_owned());
    }
}

/// Why a flight has no result.
pub(super) enum FlightFailure {
    Postgres(tokio_postgres::Error),
    Client(ClientError),
}

/// Sends the end of a result that is not the last one of its flight.
async fn end_result(ending: Option<ResultEnd>, promise: &mut Promise) {
    let Some(ResultEnd { answer, columns, rows, mut packer, count }) = ending else { return };
    if let Some(columns) = columns {
        promise.send_rows(rows, columns.shape.id, &mut packer).await;
    }
    promise.rows_before += count;
    promise.grant(RESULT, count, without_count(&answer.tag).to_owned());
}

fn too_large(limit: usize, last_answer: Option<Result<(), tokio_postgres::Error>>) -> FlightFailure {
    FlightFailure::Client(ClientError::TooLarge { limit, outcome: outcome_of(last_answer) })
}

/// Ends a result that is too large: cancels its flight, if it is alone on the connection.
async fn end_early(
    session: &Session,
    mut messages: Pin<&mut SimpleQueryStream>,
    place: Place,
) -> Option<Result<(), tokio_postgres::Error>> {
    let rest = async { drop_rest(messages.as_mut()).await };
    if place.is_alone { cancel_until_ended(&session.conn, pin!(rest)).await } else { Some(rest.await) }
}

/// Reads what is left of the answer. The last error of the server is that of the flight.
async fn drop_rest(mut messages: Pin<&mut SimpleQueryStream>) -> Result<(), tokio_postgres::Error> {
    let mut last_answer = Ok(());
    while let Some(message) = messages.next().await {
        match message {
            Err(error) if error.as_db_error().is_none() => return Err(error),
            Err(error) if !is_too_large(&error) => last_answer = Err(error),
            _ => {}
        }
    }
    last_answer
}

/// Packs a row, or leaves nothing of it.
fn pack(row: &SimpleQueryRow, columns: &Columns, shapes: &Shapes, packer: &mut Packer) -> Result<(), ClientError> {
    let Columns { decoders, .. } = columns;
    let start = packer.begin_row(decoders.len());
    for (index, decoder) in decoders.iter().enumerate() {
        let unreadable = |error: DecodeError| {
            let column = columns.names[index].clone();
            ClientError::Decode { column, reason: error.to_string(), outdated: false }
        };
        let slot = match row.try_get(index) {
            Err(_) => Err(DecodeError::NotUtf8),
            Ok(None) => {
                packer.set_null(start, index);
                continue;
            }
            Ok(Some(text)) => match decoder.document(text.as_bytes()) {
                Some(document) => document.and_then(|document| shapes.pack_document(document, packer)),
                None => decoder.decode(text.as_bytes(), packer),
            },
        };
        match slot {
            Ok(slot) => packer.set(start, decoders.len(), index, slot),
            Err(error) => {
                packer.slots.truncate(start);
                return Err(unreadable(error));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_at_the_end_of_a_tag_is_left_out() {
        let table = [
            ("INSERT 0 12", "INSERT 0 "),
            ("SELECT 5", "SELECT "),
            ("BEGIN", "BEGIN"),
            ("CREATE TABLE", "CREATE TABLE"),
            ("", ""),
            ("X1", "X1"),
        ];
        for (tag, expected) in table {
            assert_eq!(without_count(tag), expected);
        }
    }
}
