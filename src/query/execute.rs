//! One statement on one connection: prepare it if need be, send it, pack its rows.

use std::pin::pin;
use std::sync::Arc;

use futures_util::{StreamExt, future};
use serde_json::{Value, json};
use tokio_postgres::types::Type;
use tokio_postgres::{Column, RowStream, Statement as PgStatement};

use crate::codec::{Catalog, describe_type, is_built_in};
use crate::connection::connection::Sequence;
use crate::engine::lock;
use crate::error::{ClientError, Outcome};
use crate::pool::prepared::{Prepared, StatementText};
use crate::pool::session::Session;
use crate::query::Context;
use crate::query::collect::{CollectError, collect};
use crate::query::failure::{Failure, failure};
use crate::query::opening::{Opening, is_on};
use crate::query::promise::{Finished, Promise};
use crate::query::retry_policy::{Cause, Phase, plan_is_outdated};
use crate::query::statement::{Statement, bind};
use crate::query::type_lookup::catalog_with;

/// How often a statement is prepared at most while DDL makes its plan useless.
const PLANS: usize = 5;

/// What travels ahead of a statement in the same flight.
#[derive(Debug)]
pub(super) enum Ahead<'a, 'b> {
    Nothing,
    /// `SHOW transaction_read_only`: the last report of the server about a fence may be out of date.
    Show,
    /// BEGIN of the transaction of the statement.
    Begin(&'a mut Opening<'b>),
}

/// Runs a statement to its end. A plan that DDL has made useless is prepared again, but not in a transaction, which the
/// first error has aborted.
pub(super) async fn execute(
    context: &Context,
    session: &Session,
    statement: &Statement,
    promise: &mut Promise,
    mut ahead: Ahead<'_, '_>,
    in_transaction: bool,
) -> Result<Finished, Failure> {
    let mut prepared = session.prepared.get(statement.text.id);
    let mut fresh = prepared.is_none();
    let mut plans = 0;
    loop {
        plans += 1;
        let plan = match prepared.take() {
            Some(plan) => plan,
            None => {
                if let Ahead::Begin(opening) = &mut ahead {
                    Box::pin(opening.send_alone(context, session)).await?;
                }
                // Boxed, like everything rare here: the future of each statement is as large as all its parts.
                Box::pin(prepare(context, session, &statement.text)).await?
            }
        };
        if statement.describe {
            if let Ahead::Begin(opening) = &mut ahead {
                Box::pin(opening.send_alone(context, session)).await?;
            }
            promise.grant(0, 0, plan.statement.params().iter().map(describe_type).collect::<Value>().to_string());
            return Ok(Finished { takes_structure: plan.takes_structure, ..Finished::default() });
        }
        // The answer to Parse may have said that the node is read-only.
        if !in_transaction && session.refuses_writes() {
            let sequence = Some(session.conn.sending());
            return Err(Failure::Run { cause: Cause::ReadOnlyBefore, phase: Phase::NotSent, sequence });
        }
        // After an answer to Parse the reported role is up to date, if the server reports the role.
        if matches!(ahead, Ahead::Show) && !session.conn.is_stale() {
            ahead = Ahead::Nothing;
        }
        match run(context, session, &plan, statement, promise, &mut ahead).await {
            Err(Failure::Run { cause, phase, .. })
                if !in_transaction && plans < PLANS && plan_is_outdated(&cause, phase) => {}
            // The types of the parameters may have changed; if not, the second attempt fails in the same way.
            Err(Failure::Client(ClientError::InvalidParam(_))) if !fresh => {}
            Err(Failure::Client(error)) if error.is_outdated() => {
                // The statement has run; the next one looks the types up again.
                session.conn.client.clear_type_cache();
                session.prepared.clear();
                let may_run_again = matches!(error, ClientError::ColumnsChanged) && statement.read_only;
                if !may_run_again || in_transaction || plans >= PLANS {
                    return Err(Failure::Client(error));
                }
            }
            result => return result,
        }
        session.prepared.remove(statement.text.id);
        fresh = true;
    }
}

/// Prepares a statement and remembers it.
pub(super) async fn prepare(
    context: &Context,
    session: &Session,
    text: &StatementText,
) -> Result<Arc<Prepared>, Failure> {
    let sequence = session.conn.sending();
    let prepared = look_up(session, &text.sql).await;
    session.conn.answered();
    let (statement, catalog) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return Err(failure(session, error, Phase::NotSent, sequence).await),
    };
    let types = text.types.as_ref().unwrap_or(&context.types);
    let prepared = Prepared::new(statement, types, catalog, &context.shapes, &session.conn.result_formats);
    announce_unknown_types(context, &prepared);
    let prepared = Arc::new(prepared);
    session.prepared.insert(text.id, prepared.clone());
    Ok(prepared)
}

/// Prepares a statement and asks about the types in it.
pub(super) async fn look_up(
    session: &Session,
    sql: &str,
) -> Result<(PgStatement, Arc<Catalog>), tokio_postgres::Error> {
    let statement = session.conn.client.prepare(sql).await?;
    let columns = statement.columns().iter().map(Column::type_);
    let types: Vec<Type> = columns.chain(statement.params()).filter(|ty| !is_built_in(ty)).cloned().collect();
    let catalog = if types.is_empty() { lock(&session.catalog).clone() } else { catalog_with(session, &types).await? };
    Ok((statement, catalog))
}

/// Announces each type once whose values arrive as bytes because no decoder knows it.
fn announce_unknown_types(context: &Context, prepared: &Prepared) {
    for (column, decoder) in prepared.statement.columns().iter().zip(&prepared.decoders) {
        let ty = column.type_();
        if decoder.has_unknown() && lock(&context.announced_types).insert(ty.oid()) {
            let name = ty.name();
            let message =
                format!("values of the type {name} (oid {}) arrive as a Buffer of their binary form", ty.oid());
            let hint = format!("A parser by the name '{name}' in the option types.parsers gets them as text.");
            context.cluster.announce(json!({
                "event": "notice", "severity": "WARNING", "code": "01000", "message": message, "hint": hint,
                "dataType": name,
            }));
        }
    }
}

/// Runs a statement that is prepared. It is sent when the future is first polled.
pub(super) async fn run(
    context: &Context,
    session: &Session,
    prepared: &Prepared,
    statement: &Statement,
    promise: &mut Promise,
    ahead: &mut Ahead<'_, '_>,
) -> Result<Finished, Failure> {
    let params = bind(statement, prepared)?;
    let conn = &session.conn;
    promise.was_sent = true;
    let start = conn.client.query_raw(&prepared.statement, params);
    // Both futures are polled before the task of the connection runs, in this order, so both messages go in one flight.
    let (sequence, shown, started) = match ahead {
        Ahead::Begin(opening) if opening.is_unsent() => {
            let begin = opening.send_with_statement(session);
            let sequence = conn.sending();
            let (begun, started) = Box::pin(future::join(begin, start)).await;
            if let Err(failure) = begun {
                if let Ok(rows) = started {
                    drop_rows(rows).await;
                    opening.was_bypassed();
                }
                return Err(failure);
            }
            (sequence, None, started)
        }
        Ahead::Nothing | Ahead::Begin(_) => (conn.sending(), None, start.await),
        Ahead::Show => {
            let sequence = conn.sending();
            let show = conn.client.simple_query("SHOW transaction_read_only");
            let (shown, started) = Box::pin(future::join(show, start)).await;
            (sequence, shown.ok(), started)
        }
    };
    let rows = match started {
        Ok(rows) => rows,
        Err(error) => {
            session.conn.answered();
            return Err(Box::pin(failure(session, error, Phase::Sent, sequence)).await);
        }
    };
    if shown.is_some_and(|messages| is_on(&messages)) {
        return Box::pin(fail_as_read_only(session, rows, sequence)).await;
    }
    let finished = collect(rows, prepared, context, session, promise).await;
    let busy_us = session.conn.answered_in(sequence);
    match finished {
        // A statement that only reads has nothing to replicate.
        Ok(_) if session.conn.is_unreplicated(sequence) && !statement.read_only => {
            Err(Failure::Client(ClientError::Unreplicated { node: session.conn.endpoint.label() }))
        }
        Ok(finished) => {
            statement.text.record_run(busy_us);
            Ok(finished)
        }
        Err(CollectError::Client(error)) => Err(Failure::Client(error)),
        Err(CollectError::Postgres(error)) => Err(failure(session, error, Phase::Begun, sequence).await),
    }
}

/// The statement began on a node that was read-only. It wrote nothing, and its rows, which may be old, are dropped.
async fn fail_as_read_only(session: &Session, rows: RowStream, sequence: Sequence) -> Result<Finished, Failure> {
    drop_rows(rows).await;
    session.conn.answered();
    let role = session.conn.role();
    let lifted = session.conn.role_changed_since(sequence) && !role.read_only && !role.in_recovery;
    if lifted {
        // The fence was lifted between SHOW and the end of the statement, so the statement may have written.
        let reason = "the node became writable under the statement".into();
        let node = session.conn.endpoint.label();
        return Err(Failure::Client(ClientError::ConnectionLost { node, reason, outcome: Outcome::Unknown }));
    }
    Err(Failure::Run { cause: Cause::ReadOnlyBefore, phase: Phase::Begun, sequence: Some(sequence) })
}

async fn drop_rows(rows: RowStream) {
    let mut rows = pin!(rows);
    while rows.next().await.is_some_and(|row| row.is_ok()) {}
}
