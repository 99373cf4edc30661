//! Reads the rows of a statement, packs them and sends them to JavaScript; drops them when they are too many.

use std::pin::{Pin, pin};

use futures_util::StreamExt;
use tokio_postgres::{Row, RowStream};

use crate::codec::Packer;
use crate::error::{ClientError, Outcome, ServerError};
use crate::pool::prepared::{Prepared, Shapes};
use crate::pool::session::Session;
use crate::pool::statement_text::StatementText;
use crate::protocol::{COLUMNS_CHANGED, TOO_LARGE};
use crate::query::Context;
use crate::query::cancellation::end_early;
use crate::query::failure::Failure;
use crate::query::prepare::prepare;
use crate::query::promise::{Company, Finished, Promise};
use crate::query::rows::{RawRow, RowCells, pack};

/// Packed bytes after which rows are sent to JavaScript although more will come. 32 KiB was best: 8 KiB cost 20 % on
/// large results, 512 KiB doubled the stall of the event loop.
pub(super) const PIECE: usize = 32 << 10;

/// Why a statement has no result.
pub(super) enum CollectError {
    Postgres(tokio_postgres::Error),
    /// The client refuses the rows, or no new plan could be made to read them with.
    Failure(Failure),
}

fn client(error: ClientError) -> CollectError {
    CollectError::Failure(Failure::Client(error))
}

/// Whether the protocol layer sent this error in place of a row that is larger than a result may be.
pub(super) fn is_too_large(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| code.code() == TOO_LARGE)
}

/// Reads the rest of a result that is too large, and drops it. The last answer of the server says what the statement has
/// done.
async fn drop_rest(mut rows: Pin<&mut RowStream>, session: &Session, promise: &Promise, limit: usize) -> ClientError {
    let rest = async {
        let mut last_answer = Ok(());
        while let Some(row) = rows.next().await {
            match row {
                Err(error) if error.as_db_error().is_none() => return Err(error),
                Err(error) if !is_too_large(&error) => last_answer = Err(error),
                _ => {}
            }
        }
        last_answer
    };
    let last_answer = end_early(session, promise.company != Company::OfItsBatch, pin!(rest)).await;
    ClientError::TooLarge { limit, outcome: outcome_of(last_answer) }
}

/// What a statement whose result was too large has done.
pub(super) fn outcome_of(last_answer: Option<Result<(), tokio_postgres::Error>>) -> Outcome {
    match last_answer {
        Some(Ok(())) => Outcome::Applied,
        Some(Err(error)) if error.as_db_error().is_some_and(|error| !ServerError::from(error).ends_session) => {
            Outcome::NotApplied
        }
        _ => Outcome::Unknown,
    }
}

/// Whether rows are to be sent, although more will come.
pub(super) fn fills_piece(rows: u32, packer: &Packer, promise: &Promise) -> bool {
    packer.byte_len() > PIECE || rows >= promise.piece_rows()
}

/// Reads all rows of a statement, and sends them to JavaScript in pieces. From the first row on for which the plan is
/// out of date they are kept, and read with a new plan when all have come.
pub(super) async fn collect(
    rows: RowStream,
    prepared: &Prepared,
    text: &StatementText,
    context: &Context,
    session: &Session,
    promise: &mut Promise,
) -> Result<Finished, CollectError> {
    let mut stream = pin!(rows);
    let shapes = &context.shapes;
    let limit = context.result_limit();
    // A stream holds one piece at a time.
    let most = if promise.is_streaming() { usize::MAX } else { limit };
    let mut bytes = 0_usize;
    let mut packer = Packer::default();
    let (mut rows, mut total) = (0, 0_u64);
    let mut unreadable = None;
    let mut unread = Vec::new();
    while let Some(row) = stream.next().await {
        let row = match row {
            Ok(row) => row,
            Err(error) if is_too_large(&error) => {
                return Err(client(Box::pin(drop_rest(stream, session, promise, limit)).await));
            }
            Err(error) if error.code().is_some_and(|code| code.code() == COLUMNS_CHANGED) => {
                unreadable = Some(ClientError::ColumnsChanged);
                continue;
            }
            Err(error) => return Err(CollectError::Postgres(error)),
        };
        bytes += row.raw_size_bytes();
        if bytes > most {
            return Err(client(Box::pin(drop_rest(stream, session, promise, limit)).await));
        }
        // After a row that cannot be read, or when the reader has left, the rest is read and dropped.
        if unreadable.is_some() || promise.reader_has_left() {
            continue;
        }
        total += 1;
        if !unread.is_empty() {
            unread.push(row);
            continue;
        }
        match pack(&mut RowCells::of(&row), prepared, shapes, &mut packer) {
            Ok(()) => {}
            Err(error) if error.is_outdated() => {
                unread.push(row);
                continue;
            }
            Err(error) => {
                unreadable = Some(error);
                continue;
            }
        }
        rows += 1;
        if fills_piece(rows, &packer, promise) {
            promise.send_rows(rows, prepared.shape.id, &mut packer).await;
            rows = 0;
        }
    }
    if let Some(error) = unreadable {
        return Err(client(error));
    }
    let has_rows = !prepared.decoders.is_empty() || total > 0;
    let row_count = stream.rows_affected().unwrap_or(0).max(total);
    let takes_structure = prepared.takes_structure;
    let shape = has_rows.then(|| prepared.shape.clone());
    let finished = Finished { rows, shape, row_count, packer, takes_structure, ..Finished::default() };
    if unread.is_empty() {
        return Ok(finished);
    }
    Box::pin(read_with_new_plan(finished, Unread::Rows(unread), prepared, text, context, session, promise))
        .await
        .map_err(CollectError::Failure)
}

/// Reads rows for which the plan of their statement is out of date: an attribute was added to a composite type, which
/// the server does not count as a change of the plan. `read`: what was read of the result before.
pub(super) async fn read_with_new_plan(
    read: Finished,
    unread: Unread,
    old: &Prepared,
    text: &StatementText,
    context: &Context,
    session: &Session,
    promise: &mut Promise,
) -> Result<Finished, Failure> {
    let Finished { rows, row_count, mut packer, .. } = read;
    if rows > 0 {
        promise.send_rows(rows, old.shape.id, &mut packer).await;
    }
    session.forget_types();
    session.prepared.clear();
    let plan = prepare(context, session, text).await?;
    let types =
        |plan: &Prepared| plan.statement.columns().iter().map(|column| column.type_().oid()).collect::<Vec<_>>();
    if types(&plan) != types(old) {
        return Err(Failure::Client(ClientError::ColumnsChanged));
    }
    session.note_new_plan(text, old, &plan);
    let mut rows = 0;
    for at in 0..unread.len() {
        unread.pack(at, &plan, &context.shapes, &mut packer).map_err(Failure::Client)?;
        rows += 1;
        if fills_piece(rows, &packer, promise) {
            promise.send_rows(rows, plan.shape.id, &mut packer).await;
            rows = 0;
        }
    }
    let (shape, takes_structure) = (Some(plan.shape.clone()), plan.takes_structure);
    Ok(Finished { rows, shape, row_count, packer, takes_structure, ..Finished::default() })
}

/// Rows that wait for a new plan.
pub(super) enum Unread {
    Rows(Vec<Row>),
    /// The bodies of their DataRow.
    Bodies(Vec<Box<[u8]>>),
}

impl Unread {
    fn len(&self) -> usize {
        match self {
            Self::Rows(rows) => rows.len(),
            Self::Bodies(bodies) => bodies.len(),
        }
    }

    fn pack(&self, at: usize, plan: &Prepared, shapes: &Shapes, packer: &mut Packer) -> Result<(), ClientError> {
        match self {
            Self::Rows(rows) => pack(&mut RowCells::of(&rows[at]), plan, shapes, packer),
            Self::Bodies(bodies) => match RawRow::new(&bodies[at]) {
                Some(row) => pack(&mut row.cells(), plan, shapes, packer),
                None => Err(ClientError::ColumnsChanged),
            },
        }
    }
}
