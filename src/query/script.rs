//! Several statements by the simple protocol: what migrations and dumps are made of.
//!
//! The server runs them as one transaction, unless the script says BEGIN and COMMIT itself. What a script leaves in the
//! session (SET, temporary tables, a search_path) is anybody's guess, so its connection is not used again; a transaction
//! that it leaves open is rolled back.
//!
//! Values come as text, and tokio-postgres keeps the columns' types and the command tags to itself: the connection's ear
//! hears them. The types are looked up when the script is over, so its results are held until then.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use futures_util::StreamExt;
use tokio_postgres::types::{Kind, Type};
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use super::Context;
use super::caller::{Caller, Finished};
use super::cancel::{Ended, with_patience};
use super::execute::{Failure, failure, says_on};
use super::job::{Call, Job, last_word_error, run_error, runs_again};
use super::lookup::{catalog_with, type_of};
use super::outcome::{Cause, Next, Phase, next};
use crate::cluster::ear::{Answer, Answers, Listening};
use crate::codec::{DecodeError, Decoder, Packer, Types};
use crate::error::{ClientError, Outcome};
use crate::pool::prepared::{Field, Shape};
use crate::pool::session::Session;
use crate::pool::task::After;

/// Packed bytes after which rows are handed over.
const PIECE: usize = 32 << 10;

/// A script.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) call: Call,
    pub(crate) sql: String,
    /// How its values are wanted, if not as the pool has it.
    pub(crate) types: Option<Types>,
}

/// What ran before a script failed.
#[derive(Debug, Default)]
struct Progress {
    /// Statements that were completed.
    completed: usize,
    /// A COMMIT was among them.
    committed: bool,
}

impl Progress {
    fn of(answers: &Answers) -> Self {
        let committed = answers.results.iter().any(|answer| answer.tag == "COMMIT");
        Self { completed: answers.results.iter().filter(|answer| !answer.tag.is_empty()).count(), committed }
    }

    /// What an error of the server means that does not end the session: the open transaction is undone.
    fn outcome(&self) -> Outcome {
        if self.committed { Outcome::Unknown } else { Outcome::NotApplied }
    }
}

/// Why a script failed, and what had run of it.
type Failed = (Failure, Progress);

fn early(failure: Failure) -> Failed {
    (failure, Progress::default())
}

impl Script {
    /// Outside a transaction.
    pub(crate) async fn run(mut self: Box<Self>, session: &Arc<Session>) -> After<Job> {
        let node = session.conn.node.index;
        if let Some(given_up) = self.call.patience.has_ended(Instant::now()) {
            return self.call.failed(given_up.error(Outcome::NotApplied), None);
        }
        self.call.attempts += 1;
        let context = self.call.context.clone();
        let work = alone(&context, session, &self.sql, self.types.as_ref(), &mut self.call.caller);
        let ended = with_patience(&session.conn, &self.call.patience, Box::pin(work).as_mut()).await;
        let (failure, progress) = match ended {
            Ended::Itself(Ok(finished)) => {
                return After::Settled(Box::new(move || self.call.caller.done(finished, node)));
            }
            Ended::GivenUp(given_up, last_word) => {
                let committed = matches!(&last_word, Some(Err((_, progress))) if progress.committed);
                let last_word = last_word.map(|word| word.map_err(|(failure, _)| failure));
                let error = last_word_error(last_word, |outcome| {
                    given_up.error(if committed { Outcome::Unknown } else { outcome })
                });
                return self.call.failed(error, Some(node));
            }
            Ended::Itself(Err(failed)) => failed,
        };
        let (cause, phase, sequence) = match failure {
            Failure::Client(error) => return self.call.failed(error, Some(node)),
            Failure::Run { cause, phase, sequence } => (cause, phase, sequence),
        };
        let nothing_ran = progress.completed == 0;
        if nothing_ran && runs_again(&context, session, next(&cause, phase, false), sequence).await {
            session.conn.retire();
            self.call.prepare_retry();
            return After::Again(Job::Script(self));
        }
        let outcome = match next(&cause, phase, false) {
            Next::Fail(Outcome::Unknown) => Outcome::Unknown,
            _ => progress.outcome(),
        };
        self.call.failed(refused(cause, &progress, session, outcome), Some(node))
    }

    /// In its caller's transaction. `aborted`: whether only ROLLBACK is possible there.
    pub(crate) async fn run_within(mut self: Box<Self>, session: &Arc<Session>, aborted: &mut bool) {
        let node = session.conn.node.index;
        self.call.attempts += 1;
        if let Some(given_up) = self.call.patience.has_ended(Instant::now()) {
            return self.call.fail(&given_up.error(Outcome::NotApplied), None);
        }
        let context = self.call.context.clone();
        let work = within(&context, session, &self.sql, self.types.as_ref(), &mut self.call.caller);
        let ended = with_patience(&session.conn, &self.call.patience, Box::pin(work).as_mut()).await;
        *aborted = !matches!(ended, Ended::Itself(Ok(_)) | Ended::GivenUp(_, Some(Ok(_))));
        let error = match ended {
            Ended::Itself(Ok(finished)) => return self.call.caller.done(finished, node),
            // Nothing in a transaction is applied before COMMIT.
            Ended::GivenUp(given_up, last_word) => {
                let last_word = last_word.map(|word| word.map_err(|(failure, _)| failure));
                last_word_error(last_word, |_| given_up.error(Outcome::NotApplied))
            }
            Ended::Itself(Err((Failure::Client(error), _))) => error,
            Ended::Itself(Err((Failure::Run { cause, .. }, progress))) => {
                refused(cause, &progress, session, progress.outcome())
            }
        };
        self.call.fail(&error, Some(node));
    }
}

/// The error for a script that failed on the wire; the server's own says which statement it was.
fn refused(cause: Cause, progress: &Progress, session: &Session, outcome: Outcome) -> ClientError {
    match cause {
        Cause::Server(mut error) if !error.ends_session => {
            error.fields.push(("statementIndex", progress.completed.into()));
            ClientError::Database { error, outcome }
        }
        other => run_error(other, session, outcome),
    }
}

async fn alone(
    context: &Context,
    session: &Session,
    sql: &str,
    types: Option<&Types>,
    caller: &mut Caller,
) -> Result<Finished, Failed> {
    // What was sent before has been answered when this is, too: the ear begins at the beginning of a message.
    let sequence = session.conn.sending();
    let shown = match session.conn.client.simple_query("SHOW transaction_read_only").await {
        Ok(shown) => shown,
        Err(error) => return Err(early(failure(session, error, Phase::NotSent, sequence).await)),
    };
    session.conn.answered();
    if context.cluster.mode.must_write() && says_on(&shown) {
        let (cause, phase) = (Cause::ReadOnlyBefore, Phase::NotSent);
        return Err(early(Failure::Run { cause, phase, sequence: Some(sequence) }));
    }
    let (answers, rows) = converse(session, sql).await?;
    if answers.in_transaction {
        let progress = Progress::of(&answers);
        // Also undone when this fails: the connection is not used again.
        let undone = session.conn.client.batch_execute("ROLLBACK").await;
        if undone.is_err() {
            session.conn.cut();
        }
        let reason = "the script left a transaction open, which was rolled back".to_owned();
        let outcome = progress.outcome();
        return Err((ClientError::Script { code: "ERR_TRANSACTION_OPEN", reason, outcome }.into(), progress));
    }
    deliver(context, session, &answers, rows, types, caller).await.map_err(early)
}

async fn within(
    context: &Context,
    session: &Session,
    sql: &str,
    types: Option<&Types>,
    caller: &mut Caller,
) -> Result<Finished, Failed> {
    let sequence = session.conn.sending();
    if let Err(error) = session.conn.client.batch_execute("").await {
        return Err(early(failure(session, error, Phase::NotSent, sequence).await));
    }
    let (answers, rows) = converse(session, sql).await?;
    if !answers.in_transaction {
        let progress = Progress::of(&answers);
        let reason = "the script ended the transaction that it was run in".to_owned();
        // What it did before is committed or rolled back, as it said.
        let outcome = Outcome::Unknown;
        return Err((ClientError::Script { code: "ERR_TRANSACTION_ENDED", reason, outcome }.into(), progress));
    }
    deliver(context, session, &answers, rows, types, caller).await.map_err(early)
}

/// Sends the script and holds the rows of each of its results.
async fn converse(session: &Session, sql: &str) -> Result<(Answers, Vec<Vec<SimpleQueryRow>>), Failed> {
    let ear = session.conn.ear.listen_to_script();
    // Whatever it does to the session, nobody else gets it.
    session.conn.retire();
    let sequence = session.conn.sending();
    let ended = tokio::select! {
        biased;
        ended = read(session, sql) => ended,
        () = ear.heard() => Err(None),
    };
    session.conn.answered();
    let answers = ear.answers();
    let progress = Progress::of(&answers);
    match ended {
        Ok(_) if session.conn.is_unreplicated(sequence) => {
            Err((ClientError::Unreplicated { node: session.conn.node.label() }.into(), progress))
        }
        Ok(results) => Ok((answers, results)),
        Err(Some(error)) if !copies(&ear) => Err((failure(session, error, Phase::Begun, sequence).await, progress)),
        Err(_) => {
            // It would wait for data for ever; without its client the server undoes the transaction.
            session.conn.cut();
            let reason = "COPY FROM STDIN and COPY TO STDOUT are not possible in a script: use copyFrom() or copyTo()";
            let outcome = progress.outcome();
            Err((
                ClientError::Script { code: "ERR_COPY_IN_SCRIPT", reason: reason.to_owned(), outcome }.into(),
                progress,
            ))
        }
    }
}

fn copies(ear: &Listening) -> bool {
    ear.answers().copies
}

async fn read(session: &Session, sql: &str) -> Result<Vec<Vec<SimpleQueryRow>>, Option<tokio_postgres::Error>> {
    let mut messages = std::pin::pin!(session.conn.client.simple_query_raw(sql).await?);
    let (mut results, mut rows) = (Vec::new(), Vec::new());
    while let Some(message) = messages.next().await {
        match message? {
            SimpleQueryMessage::Row(row) => rows.push(row),
            SimpleQueryMessage::CommandComplete(_) => results.push(std::mem::take(&mut rows)),
            _ => {}
        }
    }
    Ok(results)
}

/// A column as RowDescription has it.
struct Described {
    name: String,
    table_oid: u32,
    column_number: i16,
    type_oid: u32,
    type_modifier: i32,
}

/// The columns in the body of a RowDescription; None if it is none.
fn columns_of(body: &[u8]) -> Option<Vec<Described>> {
    let (count, mut rest) = body.split_first_chunk::<2>()?;
    let mut columns = Vec::new();
    for _ in 0..u16::from_be_bytes(*count) {
        let end = rest.iter().position(|&byte| byte == 0)?;
        let name = String::from_utf8_lossy(&rest[..end]).into_owned();
        let (fixed, after) = rest[end + 1..].split_first_chunk::<18>()?;
        let [t0, t1, t2, t3, c0, c1, o0, o1, o2, o3, _, _, m0, m1, m2, m3, _, _] = *fixed;
        columns.push(Described {
            name,
            table_oid: u32::from_be_bytes([t0, t1, t2, t3]),
            column_number: i16::from_be_bytes([c0, c1]),
            type_oid: u32::from_be_bytes([o0, o1, o2, o3]),
            type_modifier: i32::from_be_bytes([m0, m1, m2, m3]),
        });
        rest = after;
    }
    rest.is_empty().then_some(columns)
}

const EXISTING: &str = "SELECT oid FROM pg_catalog.pg_type WHERE oid = ANY ($1)";

/// The types with these oids, as far as they still exist: a script may have dropped them.
async fn types_of(
    session: &Session,
    oids: impl Iterator<Item = u32>,
) -> Result<HashMap<u32, Type>, tokio_postgres::Error> {
    let (mut types, mut foreign) = (HashMap::new(), Vec::new());
    for oid in oids {
        match Type::from_oid(oid) {
            Some(ty) => drop(types.insert(oid, ty)),
            None => foreign.push(oid),
        }
    }
    if foreign.is_empty() {
        return Ok(types);
    }
    let client = &session.conn.client;
    for row in client.query_typed(EXISTING, &[(&foreign, Type::OID_ARRAY)]).await? {
        let oid = row.try_get(0)?;
        types.insert(oid, type_of(client, oid).await?);
    }
    Ok(types)
}

/// Tells the caller all results.
async fn deliver(
    context: &Context,
    session: &Session,
    answers: &Answers,
    results: Vec<Vec<SimpleQueryRow>>,
    types: Option<&Types>,
    caller: &mut Caller,
) -> Result<Finished, Failure> {
    let unreadable = || ClientError::Internal("an unreadable RowDescription".into());
    let described = |answer: &Answer| match &answer.columns {
        Some(body) => columns_of(body).map(Some).ok_or_else(unreadable),
        None => Ok(None),
    };
    let columns = answers.results.iter().map(described).collect::<Result<Vec<_>, _>>()?;
    let sequence = session.conn.sending();
    let looked_up = async {
        let known = types_of(session, columns.iter().flatten().flatten().map(|column| column.type_oid)).await?;
        let all: Vec<Type> = known.values().cloned().collect();
        Ok((catalog_with(session, &all).await?, known))
    };
    let (catalog, known) = match looked_up.await {
        Ok(looked_up) => looked_up,
        Err(error) => return Err(failure(session, error, Phase::Begun, sequence).await),
    };
    let types = types.unwrap_or(&context.types);
    let gone = Type::new("unknown".to_owned(), 0, Kind::Pseudo, String::new());
    let mut shapes = Vec::new();
    for ((answer, columns), rows) in answers.results.iter().zip(&columns).zip(results) {
        if answer.tag.is_empty() {
            continue;
        }
        let mut count = count_of(&answer.tag);
        if let Some(columns) = columns {
            let type_of = |column: &Described| known.get(&column.type_oid).unwrap_or(&gone);
            let decoders: Vec<_> =
                columns.iter().map(|column| Decoder::for_text(type_of(column), types, &catalog)).collect();
            let fields = columns.iter().map(|column| Field {
                name: &column.name,
                type_oid: column.type_oid,
                type_name: type_of(column).name(),
                type_modifier: column.type_modifier,
                table_oid: Some(column.table_oid).filter(|&oid| oid != 0),
                column_number: Some(column.column_number).filter(|&number| number != 0),
            });
            let shape = context.shapes.of(fields, &decoders);
            count = count.max(rows.len() as u64);
            tell_rows(&rows, columns, &decoders, &shape, caller).await?;
            shapes.push(shape);
        }
        caller.grant(0, count, answer.tag.clone());
    }
    Ok(Finished { held: shapes, ..Finished::default() })
}

async fn tell_rows(
    rows: &[SimpleQueryRow],
    columns: &[Described],
    decoders: &[Decoder],
    shape: &Arc<Shape>,
    caller: &mut Caller,
) -> Result<(), ClientError> {
    let mut packer = Packer::default();
    let mut packed = 0;
    for row in rows {
        let start = packer.begin_row(decoders.len());
        for (index, decoder) in decoders.iter().enumerate() {
            let unreadable = |error: DecodeError| {
                let (column, outdated) = (columns[index].name.clone(), error == DecodeError::Changed);
                ClientError::Decode { column, reason: error.to_string(), outdated }
            };
            match row.try_get(index).map_err(|_| unreadable(DecodeError::NotUtf8))? {
                None => packer.set_null(start, index),
                Some(text) => {
                    let slot = decoder.decode(text.as_bytes(), &mut packer).map_err(unreadable)?;
                    packer.set(start, decoders.len(), index, slot);
                }
            }
        }
        packed += 1;
        if packer.byte_len() > PIECE {
            caller.rows(packed, shape.id, &mut packer).await;
            packed = 0;
        }
    }
    caller.rows(packed, shape.id, &mut packer).await;
    Ok(())
}

/// The number at the end of a command tag: `INSERT 0 5`.
fn count_of(tag: &str) -> u64 {
    tag.rsplit(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_descriptions() {
        let one = [&b"id\0"[..], &[0, 0, 0x40, 0, 0, 1, 0, 0, 0, 23, 0, 4, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0]].concat();
        let body = [&[0, 2][..], &one, &one].concat();
        let columns = columns_of(&body).expect("two columns");
        assert_eq!(columns.len(), 2);
        let Described { name, table_oid, column_number, type_oid, type_modifier } = &columns[1];
        assert_eq!((name.as_str(), *table_oid, *column_number, *type_oid, *type_modifier), ("id", 16_384, 1, 23, -1));
        for len in 0..body.len() {
            assert!(columns_of(&body[..len]).is_none(), "{len}");
        }
    }

    #[test]
    fn counts_of_tags() {
        for (tag, count) in [("INSERT 0 5", 5), ("SELECT 12", 12), ("CREATE TABLE", 0), ("", 0)] {
            assert_eq!(count_of(tag), count, "{tag}");
        }
    }
}
