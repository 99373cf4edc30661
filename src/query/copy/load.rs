//! A load: COPY FROM STDIN of rows, or of data that is sent as it is.
//!
//! Rows go in binary while each value has a binary form that means the same as its text: the server has nothing to
//! parse, and the load is about a third faster. Only the server can read some types and values (an interval, 'now', a
//! timestamptz without a zone, which depends on the session). From the first row with such a value on, the load goes on
//! as text, in a second COPY of the same transaction. So the server reads each value as it would read a literal, and
//! this client guesses nothing.

use std::pin::Pin;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::SinkExt;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio_postgres::{CopyInSink, SimpleQueryMessage, Statement};

use crate::codec::{CopyColumn, CopyForm, CopyRow, ParamReader, describe_type};
use crate::connection::connection::Sequence;
use crate::connection::probe::cell;
use crate::error::{ClientError, ServerError};
use crate::pool::prepared::name_of;
use crate::pool::session::Session;
use crate::protocol::response_observer::ResponseListener;
use crate::protocol::result_formats::Asked;
use crate::query::failure::{Failure, failure};
use crate::query::flow_control::FlowControl;
use crate::query::prepare::look_up;
use crate::query::promise::{Finished, Promise};
use crate::query::retry_policy::{Cause, Phase};

/// Pieces that JavaScript may send ahead of the server. Each is about 64 KiB.
pub(super) const PIECES: u32 = 8;
/// The most bytes of one CopyData message.
const MESSAGE: usize = 256 << 10;

/// The target of a load.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoadTarget {
    /// The whole `COPY ... FROM STDIN`: the data is sent as it is.
    sql: Option<String>,
    /// The quoted name of a table, for rows.
    #[serde(default)]
    table: String,
    /// The names of its columns. None: all columns that are not generated.
    columns: Option<Vec<String>>,
}

/// What JavaScript sends for a load.
#[derive(Debug)]
pub(crate) enum Piece {
    Data(Bytes, usize),
    /// The data is complete.
    End,
    /// The source has failed: what was sent is undone.
    Failed,
}

/// How a load or an unload has ended that met no error of the server.
#[derive(Debug)]
pub(super) enum Transfer {
    Complete(Finished),
    /// The source has failed or the caller has cancelled: the copy is undone.
    Undone,
}

/// A load that is running.
pub(super) struct Load<'a> {
    session: &'a Session,
    /// None: the data is sent as it is.
    rows: Option<Rows>,
    sink: Option<Sink>,
    /// Bytes sent to the server.
    bytes: u64,
    /// Rows that the server has loaded in COPYs that are finished.
    loaded: u64,
}

/// A COPY that is running.
struct Sink {
    inner: Pin<Box<CopyInSink<Bytes>>>,
    _asked: Asked,
    /// Dropped after the COPY, because its drop sends a message.
    _statement: Statement,
    sequence: Sequence,
}

/// How rows are written.
struct Rows {
    table: String,
    columns: Vec<CopyColumn>,
    form: CopyForm,
    /// Rows written, and how many of them by earlier COPYs of the load.
    written: u64,
    before: u64,
}

impl<'a> Load<'a> {
    pub(super) async fn open(session: &'a Session, target: &LoadTarget) -> Result<Self, Failure> {
        let mut load = Load { session, rows: None, sink: None, bytes: 0, loaded: 0 };
        if let Some(sql) = &target.sql {
            load.start(sql).await?;
        } else {
            load.rows = Some(describe(session, target).await?);
            load.start_rows().await?;
        }
        Ok(load)
    }

    async fn start(&mut self, sql: &str) -> Result<(), Failure> {
        let conn = &self.session.conn;
        let sequence = conn.sending();
        let statement = match conn.client.prepare(sql).await {
            Ok(statement) => statement,
            Err(error) => return Err(failure(self.session, error, Phase::NotSent, sequence).await),
        };
        let asked = conn.result_formats.ask_for_load(name_of(&statement));
        match conn.client.copy_in(&statement).await {
            Ok(inner) => {
                self.sink = Some(Sink { inner: Box::pin(inner), _asked: asked, _statement: statement, sequence });
                Ok(())
            }
            Err(error) => Err(failure(self.session, error, Phase::Sent, sequence).await),
        }
    }

    /// Starts a COPY of rows in the form that [`Rows`] says.
    async fn start_rows(&mut self) -> Result<(), Failure> {
        let Some(rows) = &mut self.rows else { return Ok(()) };
        rows.before = rows.written;
        let form = rows.form;
        let sql = rows.sql();
        self.start(&sql).await?;
        self.send(form.header()).await
    }

    /// The columns as JSON: of each its name, its type, and whether it takes an object by its members.
    pub(super) fn columns(&self) -> String {
        let columns = self.rows.iter().flat_map(|rows| &rows.columns).map(|column| {
            json!({ "name": column.name, "type": describe_type(column.ty()), "structure": column.takes_structure() })
        });
        columns.collect::<serde_json::Value>().to_string()
    }

    pub(super) async fn run(
        &mut self,
        promise: &mut Promise,
        pieces: &mut UnboundedReceiver<Piece>,
        flow: &FlowControl,
        responses: &ResponseListener,
    ) -> Result<Transfer, Failure> {
        loop {
            let piece = tokio::select! {
                biased;
                () = flow.closed() => Piece::Failed,
                () = self.session.conn.ended() => return Err(lost()),
                () = responses.signalled() => return Err(self.refused().await),
                piece = pieces.recv() => piece.unwrap_or(Piece::Failed),
            };
            match piece {
                Piece::Failed => return Ok(Transfer::Undone),
                Piece::End => break,
                Piece::Data(data, rows) => {
                    let taken = async {
                        // Flushed: the next piece may come late, and the server may refuse this one.
                        if self.rows.is_some() {
                            self.write_rows(&data, rows).await?;
                        } else {
                            self.send(data).await?;
                        }
                        self.flush().await
                    };
                    tokio::select! {
                        biased;
                        taken = taken => taken?,
                        () = flow.closed() => return Ok(Transfer::Undone),
                    }
                    promise.grant(1, self.bytes, String::new());
                }
            }
        }
        if let Some(rows) = &self.rows {
            self.send(rows.form.trailer()).await?;
        }
        self.finish().await?;
        promise.grant(0, self.bytes, String::new());
        Ok(Transfer::Complete(Finished { row_count: self.loaded, ..Finished::default() }))
    }

    /// Writes rows as JavaScript encoded them.
    async fn write_rows(&mut self, data: &[u8], count: usize) -> Result<(), Failure> {
        let mut reader = ParamReader::new(data);
        let mut out = BytesMut::with_capacity(data.len());
        for _ in 0..count {
            let Some(rows) = &mut self.rows else { return Ok(()) };
            let at = reader.position();
            match rows.put(&mut reader, &mut out)? {
                CopyRow::Written => rows.written += 1,
                CopyRow::NeedsText => {
                    out.put_slice(&rows.form.trailer());
                    self.send(out.split().freeze()).await?;
                    self.finish().await?;
                    if let Some(rows) = &mut self.rows {
                        rows.form = CopyForm::Text;
                    }
                    self.start_rows().await?;
                    reader.rewind(at);
                    let Some(rows) = &mut self.rows else { return Ok(()) };
                    rows.put(&mut reader, &mut out)?;
                    rows.written += 1;
                }
            }
        }
        self.send(out.freeze()).await
    }

    async fn send(&mut self, mut bytes: Bytes) -> Result<(), Failure> {
        self.bytes += bytes.len() as u64;
        let Some(sink) = &mut self.sink else { return Err(lost()) };
        while !bytes.is_empty() {
            let message = bytes.split_to(bytes.len().min(MESSAGE));
            if let Err(error) = sink.inner.feed(message).await {
                return Err(failure(self.session, error, Phase::Begun, sink.sequence).await);
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        let Some(sink) = &mut self.sink else { return Err(lost()) };
        match sink.inner.flush().await {
            Ok(()) => Ok(()),
            Err(error) => Err(failure(self.session, error, Phase::Begun, sink.sequence).await),
        }
    }

    /// Ends the COPY that is running, and waits for the answer of the server.
    async fn finish(&mut self) -> Result<(), Failure> {
        let Some(mut sink) = self.sink.take() else { return Err(lost()) };
        let mut finished = sink.inner.as_mut().finish().await;
        // Outside of a block the server commits behind the command tag, which may fail: a constraint is deferred. Else
        // ReadyForQuery comes, which the sink does not expect.
        if finished.is_ok()
            && let Err(error) = sink.inner.as_mut().finish().await
            && (error.as_db_error().is_some() || error.is_closed())
        {
            finished = Err(error);
        }
        self.session.conn.answered_work(sink.sequence);
        match finished {
            Ok(rows) => {
                self.loaded = self.loaded.saturating_add(rows);
                Ok(())
            }
            Err(error) => Err(failure(self.session, error, Phase::Begun, sink.sequence).await),
        }
    }

    /// Why the server has refused the COPY that is running.
    async fn refused(&mut self) -> Failure {
        match self.finish().await {
            Err(failure) => failure,
            Ok(()) => ClientError::Internal("the server sent an error, and then accepted the data".into()).into(),
        }
    }

    /// Fails the COPY that is running, if there is one, and waits until the server has ended it.
    pub(super) async fn undo(&mut self) {
        if self.sink.take().is_some() {
            let _ = self.session.conn.client.batch_execute("").await;
            self.session.conn.answered();
        }
    }

    /// Adds the number of the row among all rows of the load to an error of the server.
    pub(super) fn located(&self, failure: Failure) -> Failure {
        let Failure::Run { cause: Cause::Server(mut error), phase, sequence } = failure else { return failure };
        let before = self.rows.as_ref().map_or(0, |rows| rows.before);
        locate(&mut error, before);
        Failure::Run { cause: Cause::Server(error), phase, sequence }
    }
}

fn lost() -> Failure {
    Failure::Run { cause: Cause::Lost, phase: Phase::Begun, sequence: None }
}

impl Rows {
    fn sql(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|column| quoted(&column.name)).collect();
        let format = match self.form {
            CopyForm::Binary => "binary",
            CopyForm::Text => "text",
        };
        format!("COPY {} ({}) FROM STDIN (FORMAT {format})", self.table, names.join(", "))
    }

    /// Writes one row; an error names its number and its column.
    fn put(&self, reader: &mut ParamReader<'_>, out: &mut BytesMut) -> Result<CopyRow, ClientError> {
        self.form.put(&self.columns, reader, out).map_err(|(column, error)| {
            let column = self.columns.get(column).map(|column| column.name.clone()).unwrap_or_default();
            ClientError::InvalidRow { row: self.written + 1, column, reason: error.to_string() }
        })
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The columns of a table that are loaded. Preparing a SELECT reads no row and needs no right to read the table.
async fn describe(session: &Session, target: &LoadTarget) -> Result<Rows, Failure> {
    let list =
        target.columns.as_ref().map(|names| names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", "));
    let table = &target.table;
    let sequence = session.conn.sending();
    let sql = format!("SELECT {} FROM {table}", list.as_deref().unwrap_or("*"));
    let (statement, catalog) = match look_up(session, &sql).await {
        Ok(known) => known,
        Err(error) => return Err(failure(session, error, Phase::NotSent, sequence).await),
    };
    let generated = match statement.columns().first().and_then(tokio_postgres::Column::table_oid) {
        Some(oid) if list.is_none() => generated(session, oid).await?,
        _ => Vec::new(),
    };
    let is_loaded =
        |column: &&tokio_postgres::Column| !column.column_id().is_some_and(|number| generated.contains(&number));
    let columns: Vec<_> = statement
        .columns()
        .iter()
        .filter(is_loaded)
        .map(|column| CopyColumn::new(column.name(), column.type_(), &catalog))
        .collect();
    if columns.is_empty() {
        return Err(ClientError::InvalidParam("target: the table has no columns to load".into()).into());
    }
    let form = if columns.iter().all(CopyColumn::has_binary) { CopyForm::Binary } else { CopyForm::Text };
    Ok(Rows { table: table.clone(), columns, form, written: 0, before: 0 })
}

/// The numbers of the generated columns of a table.
async fn generated(session: &Session, table: u32) -> Result<Vec<i16>, Failure> {
    let sequence = session.conn.sending();
    let sql = format!(
        "SELECT attnum FROM pg_catalog.pg_attribute WHERE attrelid = {table} AND attnum > 0 AND attgenerated <> ''"
    );
    match session.conn.client.simple_query(&sql).await {
        Ok(messages) => {
            let number = |message: &SimpleQueryMessage| match message {
                SimpleQueryMessage::Row(row) => cell(row, 0)?.parse().ok(),
                _ => None,
            };
            Ok(messages.iter().filter_map(number).collect())
        }
        Err(error) => Err(failure(session, error, Phase::NotSent, sequence).await),
    }
}

/// Adds the number of the row, and the name of the column, to an error whose context says where it happened
/// (`CopyFromErrorCallback` in copyfrom.c): `COPY t, line 2, column a: "x"`. The server may translate the words.
fn locate(error: &mut ServerError, before: u64) {
    let context = error.fields.iter().find(|(key, _)| *key == "where").and_then(|(_, value)| value.as_str());
    let Some(line) = context.and_then(|context| context.lines().find(|line| line.starts_with("COPY "))) else { return };
    let mut parts = line.split(", ").skip(1);
    let number = parts.find_map(|part| {
        let digits =
            part.split([':', ' ']).find(|word| word.bytes().all(|byte| byte.is_ascii_digit()) && !word.is_empty());
        digits.and_then(|digits| digits.parse::<u64>().ok())
    });
    let column = parts
        .next()
        .and_then(|part| part.strip_prefix("column "))
        .map(|part| part.split_once(": ").map_or(part, |(name, _)| name).to_owned());
    if let Some(number) = number {
        error.fields.push(("row", (before + number).into()));
    }
    if let Some(column) = column
        && !error.fields.iter().any(|(key, _)| *key == "column")
    {
        error.fields.push(("column", column.into()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_located() {
        let table = [
            ("COPY t, line 2, column a: \"x\"", Some(12), Some("a")),
            ("COPY t, line 2", Some(12), None),
            ("COPY t2, line 7, column a b", Some(17), Some("a b")),
            ("COPY t, Zeile 2, Spalte a: »x«", Some(12), None),
            ("SQL function \"f\" statement 1\nCOPY t, line 3, column c: null input", Some(13), Some("c")),
            ("JSON data, line 1: {bad\nCOPY t, line 4, column j: \"{bad, 5\"", Some(14), Some("j")),
            ("PL/pgSQL function f() line 3 at RAISE", None, None),
        ];
        for (context, row, column) in table {
            let mut error = ServerError { fields: vec![("where", context.into())], ..ServerError::default() };
            locate(&mut error, 10);
            let field = |name: &str| error.fields.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone());
            assert_eq!(field("row"), row.map(serde_json::Value::from), "{context}");
            assert_eq!(field("column"), column.map(serde_json::Value::from), "{context}");
        }
    }
}
