//! Prepares statements, and asks about the types in them.

use std::sync::Arc;

use serde_json::json;
use tokio_postgres::types::Type;
use tokio_postgres::{Column, Row, Statement as PgStatement};

use crate::codec::{Catalog, is_built_in};
use crate::engine::lock;
use crate::error::ClientError;
use crate::pool::prepared::Prepared;
use crate::pool::session::Session;
use crate::pool::statement_text::StatementText;
use crate::query::Context;
use crate::query::collect::{PIECE, pack};
use crate::query::failure::{Failure, failure};
use crate::query::promise::{Finished, Promise};
use crate::query::retry_policy::Phase;
use crate::query::statement::Statement;
use crate::query::type_lookup::catalog_with;

/// Prepares a statement and remembers it.
pub(super) async fn prepare(
    context: &Context,
    session: &Session,
    text: &StatementText,
) -> Result<Arc<Prepared>, Failure> {
    session.forget_changed_types();
    let sequence = session.conn.sending();
    let generation = text.generation();
    let prepared = look_up(session, &text.sql).await;
    session.conn.answered();
    let (statement, catalog) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return Err(failure(session, error, Phase::NotSent, sequence).await),
    };
    let types = text.types.as_ref().unwrap_or(&context.types);
    let formats = &session.conn.result_formats;
    let prepared = Prepared::new(statement, types, catalog, &context.shapes, formats, generation);
    announce_unknown_types(context, &prepared);
    let prepared = Arc::new(prepared);
    session.keep_plan(text, prepared.clone());
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

/// Reads rows for which the plan of their statement is out of date: an attribute was added to a composite type, which
/// the server does not count as a change of the plan. `read`: what was read of the result before.
pub(super) async fn read_with_new_plan(
    context: &Context,
    session: &Session,
    statement: &Statement,
    old: &Prepared,
    promise: &mut Promise,
    read: Finished,
    unread: Vec<Row>,
) -> Result<Finished, Failure> {
    let Finished { rows, row_count, mut packer, .. } = read;
    if rows > 0 {
        promise.send_rows(rows, old.shape.id, &mut packer).await;
    }
    session.forget_types();
    session.prepared.clear();
    let plan = prepare(context, session, &statement.text).await?;
    let types =
        |plan: &Prepared| plan.statement.columns().iter().map(|column| column.type_().oid()).collect::<Vec<_>>();
    if types(&plan) != types(old) {
        return Err(ClientError::ColumnsChanged.into());
    }
    session.note_new_plan(&statement.text, old, &plan);
    let mut rows = 0;
    for row in unread {
        pack(&row, &plan, &context.shapes, &mut packer)?;
        rows += 1;
        if packer.byte_len() > PIECE || rows >= promise.piece_rows() {
            promise.send_rows(rows, plan.shape.id, &mut packer).await;
            rows = 0;
        }
    }
    let (shape, takes_structure) = (Some(plan.shape.clone()), plan.takes_structure);
    Ok(Finished { rows, shape, row_count, packer, takes_structure, ..Finished::default() })
}
