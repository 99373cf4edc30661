//! Prepares statements, and asks about the types in them.

use std::sync::Arc;

use serde_json::json;
use tokio_postgres::types::Type;
use tokio_postgres::{Column, Statement as PgStatement};

use crate::codec::{Catalog, is_built_in};
use crate::engine::lock;
use crate::pool::prepared::Prepared;
use crate::pool::session::Session;
use crate::pool::statement_text::StatementText;
use crate::query::Context;
use crate::query::failure::{Failure, failure};
use crate::query::retry_policy::Phase;
use crate::query::type_lookup::catalog_with;

/// Prepares a statement and remembers it.
pub(super) async fn prepare(
    context: &Context,
    session: &Session,
    text: &StatementText,
) -> Result<Arc<Prepared>, Failure> {
    session.forget_changed_types();
    context.cluster.statistics.prepared_misses.add(1);
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
