//! One flight of statements on a pinned session: sends it, packs the rows of its results as they come, and says with each
//! answer what the server's command tag and the status of the session's transaction are.
//!
//! A result that is not the last one of its flight ends with a grant of [`RESULT`]. The last one comes with the end of
//! the call; its tag is granted ahead of that ([`TAG`]) only when it differs from the one that the same text had before.
//! A count at the end of a tag is left out: it is the row count of the message. The "node" of an end or an error is the
//! status of the transaction.

use std::borrow::Cow;
use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use crate::codec::{DecodeError, Decoder, Packer, Param, Types, columns_of, read_params};
use crate::connection::connection::Sequence;
use crate::error::{ClientError, Outcome};
use crate::pool::prepared::{Field, Shapes};
use crate::pool::schema_changes;
use crate::pool::statement_text::StatementText;
use crate::protocol::flight::{Flight, FlightParam, MARKER};
use crate::protocol::response_observer::{ResponseListener, StatementAnswer};
use crate::query::cancellation::{Ended, cancel_until_ended, with_cancellation};
use crate::query::collect::{fills_piece, is_too_large, outcome_of};
use crate::query::failure::{Failure, cancelled_error, failure, may_run_again, run_error};
use crate::query::pinned::command::{FlightCall, FlightKind};
use crate::query::pinned::{Columns, KEPT_COLUMNS, Pinned};
use crate::query::promise::{Finished, Promise};
use crate::query::retry_policy::{Cause, Phase, Progress, Verdict, Work, verdict};

/// The grants that are ends of results, the tag of the last one, and the news that a portal has more rows.
const RESULT: u32 = 1;
const TAG: u32 = 2;
const SUSPENDED: u32 = 3;

/// A result whose end has come.
struct ResultEnd {
    answer: StatementAnswer,
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
    pub(super) async fn run(&mut self, mut call: FlightCall) {
        let session = self.session.clone();
        if let Some(given_up) = call.cancellation.reached_limit(std::time::Instant::now()) {
            return call.promise.reject(&given_up.error(Outcome::NotApplied), 0, Some(self.status as usize));
        }
        let (flight, name) = match call.is_binary.then_some((None, None)).map_or_else(|| self.flight(&call), Ok) {
            Ok(flight) => flight,
            Err(error) => return call.promise.reject(&error, 0, Some(self.status as usize)),
        };
        let is_portal = matches!(call.kind, FlightKind::Open(_) | FlightKind::Fetch(_));
        self.has_portal = is_portal;
        schema_changes::announce_statement(&call.text.facts);
        let responses = session.conn.responses.listen_to_script();
        if let Some(flight) = flight {
            session.conn.session_state.set_flight(flight);
        }
        let sequence = session.conn.sending();
        let cancellation = call.cancellation.clone();
        let work = async {
            if call.is_binary {
                Box::pin(self.binary_results(&mut call, &responses)).await
            } else {
                self.results(&call.text, &mut call.promise, &responses).await
            }
        };
        let ended = with_cancellation(&session.conn, &cancellation, pin!(work)).await;
        session.conn.answered();
        let answers = responses.answers();
        drop(responses);
        if !is_portal {
            self.status = answers.transaction_status;
        }
        if let Some(name) = name
            && answers.has_parsed
        {
            self.names.insert(name);
        }
        if session.conn.session_state.take_deallocated() {
            self.names.clear();
        }
        // Simple queries have no BindComplete.
        let phase = if answers.has_begun || call.kind == FlightKind::Simple { Phase::Begun } else { Phase::Sent };
        let mut progress = Progress::of(&answers);
        progress.committed |= progress.completed == 0 && call.text.facts.may_commit;
        let status = self.status as usize;
        let work = Work::Script { progress, reads: session.route.only_reads() };
        let error = match ended {
            Ended::Itself(Ok(finished)) if session.conn.is_unreplicated(sequence) => {
                drop(finished);
                ClientError::Unreplicated { node: session.conn.endpoint.label() }
            }
            Ended::Itself(Ok(finished)) => return call.promise.resolve(finished, status),
            Ended::GivenUp(given_up, last_answer) => {
                let last_answer = match last_answer {
                    Some(Err(FlightFailure::Postgres(error))) => {
                        Some(Err(failure(&session, error, phase, sequence).await))
                    }
                    Some(Err(FlightFailure::Client(error))) => Some(Err(Failure::Client(error))),
                    Some(Ok(finished)) => Some(Ok(finished)),
                    None => None,
                };
                cancelled_error(given_up, last_answer, work)
            }
            Ended::Itself(Err(FlightFailure::Client(error))) => error,
            Ended::Itself(Err(FlightFailure::Postgres(error))) => {
                match failure(&session, error, phase, sequence).await {
                    Failure::Client(error) => error,
                    Failure::Run { cause, phase, sequence } => self.refused(cause, phase, sequence, work).await,
                }
            }
        };
        call.promise.reject(&error, 1, Some(status));
    }

    /// The error for a flight that the server has refused, or that the connection was lost under.
    async fn refused(&self, cause: Cause, phase: Phase, sequence: Option<Sequence>, work: Work) -> ClientError {
        use crate::protocol::response_observer::TransactionStatus::Idle;
        let verdict = verdict(&cause, phase, work);
        let may_ask = self.status == Idle && !self.has_portal && verdict == Verdict::AgainIfFenced;
        let is_of_fence = may_ask && may_run_again(&self.context, &self.session, verdict, sequence).await;
        match cause {
            Cause::Server(mut error) => {
                error.is_of_fence = is_of_fence;
                ClientError::Database { error, outcome: verdict.outcome() }
            }
            cause => run_error(cause, &self.session, verdict.outcome()),
        }
    }

    /// The messages of a call, and the name that they prepare.
    fn flight(&self, call: &FlightCall) -> Result<(Option<Flight>, Option<String>), ClientError> {
        let invalid = |reason: String| ClientError::InvalidParam(reason);
        let text = &call.text.sql;
        let params = read_params(&call.params, call.count).map_err(|error| invalid(format!("parameters: {error}")))?;
        let mut values = params.iter();
        let mut new_name = None;
        let bind = |flight: &mut Flight, name: &str, values: std::slice::Iter<'_, Param<'_>>| {
            let values: Option<Vec<FlightParam<'_>>> = values
                .map(|value| match value {
                    Param::Null => Some(None),
                    Param::String(text) => Some(Some((false, text.as_bytes()))),
                    Param::Bytes(bytes) => Some(Some((true, *bytes))),
                    _ => None,
                })
                .collect();
            let values = values.ok_or_else(|| invalid("a parameter that is no text, no Buffer and not null".into()))?;
            let count = values.len();
            if flight.bind(name, &values) {
                Ok(())
            } else {
                Err(invalid(format!("a statement takes at most 65535 parameters, {count} were given")))
            }
        };
        let flight = match call.kind {
            FlightKind::Simple => Flight::simple(text),
            FlightKind::Statement { named } => {
                let name: Cow<'_, str> = match named.then(|| values.next()).flatten() {
                    Some(Param::String(name)) => (*name).into(),
                    _ => "".into(),
                };
                let mut flight = Flight::run();
                if name.is_empty() || !self.names.contains(&*name) {
                    flight.parse(&name, text);
                    new_name = Some(name.to_string()).filter(|name| !name.is_empty());
                }
                bind(&mut flight, &name, values)?;
                flight.describe();
                flight.execute(0);
                flight
            }
            FlightKind::Open(rows) => {
                let mut flight = Flight::portal();
                flight.parse("", text);
                bind(&mut flight, "", values)?;
                flight.describe();
                flight.execute(rows);
                flight
            }
            FlightKind::Fetch(rows) => {
                let mut flight = Flight::portal();
                flight.describe();
                flight.execute(rows);
                flight
            }
            FlightKind::Close => {
                let mut flight = Flight::run();
                flight.close_portal();
                flight
            }
        };
        Ok((Some(flight), new_name))
    }

    /// Sends the flight, and the rows of its results to JavaScript.
    async fn results(
        &mut self,
        text: &StatementText,
        promise: &mut Promise,
        responses: &ResponseListener,
    ) -> Result<Finished, FlightFailure> {
        let session = self.session.clone();
        let context = self.context.clone();
        let limit = context.cluster.policy.result_limit.unwrap_or(usize::MAX);
        let most = if promise.is_streaming() { usize::MAX } else { limit };
        let mut messages = pin!(session.conn.client.simple_query_raw(MARKER).await.map_err(FlightFailure::Postgres)?);
        let types = text.types.as_ref().unwrap_or(&context.types);
        let (mut columns, mut packer, mut rows): (Option<Arc<Columns>>, Packer, u32) = (None, Packer::default(), 0);
        let (mut index, mut bytes) = (0, 0);
        let mut last: Option<ResultEnd> = None;
        let mut refused = None;
        let mut unreadable = None;
        while let Some(message) = messages.next().await {
            match message {
                Ok(SimpleQueryMessage::RowDescription(_)) => {
                    end_result(last.take(), promise).await;
                    columns = self.columns_of(text, types, responses.columns(index));
                }
                Ok(SimpleQueryMessage::Row(row)) => {
                    let Some(columns) = &columns else { continue };
                    bytes += if most == usize::MAX { 0 } else { size_of_row(&row) };
                    if bytes > most {
                        let rest = async { drop_rest(messages.as_mut()).await };
                        let last_answer = cancel_until_ended(&session.conn, pin!(rest)).await;
                        return Err(too_large(limit, last_answer));
                    }
                    if unreadable.is_some() || promise.reader_has_left() {
                        continue;
                    }
                    if let Err(error) = pack(&row, columns, &context.shapes, &mut packer) {
                        unreadable = Some(error);
                        continue;
                    }
                    rows += 1;
                    if fills_piece(rows, &packer, promise) {
                        promise.send_rows(rows, columns.shape.id, &mut packer).await;
                        rows = 0;
                    }
                }
                Ok(SimpleQueryMessage::CommandComplete(count)) => {
                    end_result(last.take(), promise).await;
                    if let Some(answer) = responses.answer(index) {
                        let (columns, packer) = (columns.take(), std::mem::take(&mut packer));
                        last = Some(ResultEnd { answer, columns, rows: std::mem::take(&mut rows), packer, count });
                    }
                    index += 1;
                }
                Ok(_) => {}
                Err(error) if is_too_large(&error) => {
                    let rest = async { drop_rest(messages.as_mut()).await };
                    let last_answer = cancel_until_ended(&session.conn, pin!(rest)).await;
                    return Err(too_large(limit, last_answer));
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
        let Some(ResultEnd { answer, columns, rows, packer, count }) = last else { return Ok(Finished::default()) };
        tag_news(Some(answer), text, promise);
        let shape = columns.map(|columns| columns.shape.clone());
        Ok(Finished { rows, shape, row_count: count, packer, ..Finished::default() })
    }

    /// How the rows of a RowDescription are read.
    fn columns_of(&mut self, text: &StatementText, types: &Types, body: Option<Vec<u8>>) -> Option<Arc<Columns>> {
        let key = (text.id, body?);
        if let Some(columns) = self.columns.get(&key) {
            return Some(columns.clone());
        }
        let described = columns_of(&key.1)?;
        let decoders: Vec<Decoder> =
            described.iter().map(|column| Decoder::for_pinned(column.type_oid, types)).collect();
        let fields = described.iter().map(|column| Field {
            name: &column.name,
            type_oid: column.type_oid,
            type_name: "",
            type_modifier: column.type_modifier,
            table_oid: Some(column.table_oid),
            column_number: Some(column.column_number),
            type_size: Some(column.type_size),
        });
        let shape = self.context.shapes.shape_of(fields, &decoders);
        let columns = Arc::new(Columns { shape, decoders });
        if self.columns.len() >= KEPT_COLUMNS {
            self.columns.clear();
        }
        self.columns.insert(key, columns.clone());
        Some(columns)
    }
}

/// Tells JavaScript the tag of a text's last result, if it has another one.
pub(super) fn tag_news(answer: Option<StatementAnswer>, text: &StatementText, promise: &Promise) {
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
    promise.grant(RESULT, count, without_count(&answer.tag).to_owned());
}

fn too_large(limit: usize, last_answer: Option<Result<(), tokio_postgres::Error>>) -> FlightFailure {
    FlightFailure::Client(ClientError::TooLarge { limit, outcome: outcome_of(last_answer) })
}

/// Reads what is left of the answer. The last error of the server is that of the flight.
async fn drop_rest(
    mut messages: std::pin::Pin<&mut tokio_postgres::SimpleQueryStream>,
) -> Result<(), tokio_postgres::Error> {
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

/// The size of a row as the server has sent it.
fn size_of_row(row: &SimpleQueryRow) -> usize {
    (0..row.len()).map(|column| 4 + row.try_get(column).ok().flatten().map_or(0, str::len)).sum()
}

/// Packs a row, or leaves nothing of it.
fn pack(row: &SimpleQueryRow, columns: &Columns, shapes: &Shapes, packer: &mut Packer) -> Result<(), ClientError> {
    let Columns { decoders, .. } = columns;
    let start = packer.begin_row(decoders.len());
    for (index, decoder) in decoders.iter().enumerate() {
        let unreadable = |error: DecodeError| {
            let column = row.columns()[index].name().to_owned();
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
