//! One statement on one connection: prepare it if need be, send it, pack its rows.

use std::error::Error as _;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use bytes::BytesMut;
use futures_util::{StreamExt, future};
use serde_json::{Value, json};
use tokio_postgres::types::{Format, IsNull, ToSql, Type};
use tokio_postgres::{Column, RowStream, SimpleQueryMessage, Statement as PgStatement};

use crate::cluster::role::{Fit, fit};
use crate::codec::{Catalog, Param, ParamError, Target, describe_type, is_built_in, read_params};
use crate::connection::connection::Sequence;
use crate::connection::failure::describe;
use crate::connection::probe::cell;
use crate::engine::lock;
use crate::error::{ClientError, Outcome, ServerError, is_sqlstate};
use crate::pool::prepared::{Prepared, StatementText};
use crate::pool::session::Session;
use crate::query::Context;
use crate::query::begin::Opening;
use crate::query::collect::{Collect, collect};
use crate::query::promise::{Finished, Promise};
use crate::query::retry_policy::{Cause, Phase, plan_is_outdated};
use crate::query::type_lookup::catalog_with;

/// What helps where a pooler has lost a statement, or given it another's.
const NAMES: &str = "A connection pooler stands between the client and the server, and does not know its prepared \
    statements: prepare: false in the options of the pool sends statements without names.";

/// How many plans a statement may wear out when DDL goes on beside it.
const PLANS: usize = 5;

/// A statement with its parameters, as JavaScript wrote them.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) text: Arc<StatementText>,
    pub(crate) params: Vec<u8>,
    pub(crate) count: usize,
    /// The caller promised that it changes nothing.
    pub(crate) read_only: bool,
    /// Not to be run: the caller wants to know the types of its parameters.
    pub(crate) describe: bool,
}

/// Why a statement did not finish.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The caller's mistake or ours; trying again cannot help.
    Client(ClientError),
    /// The server or the network; see `outcome`.
    Run { cause: Cause, phase: Phase, sequence: Option<Sequence> },
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

/// What travels ahead of a statement in the same flight.
#[derive(Debug)]
pub(super) enum Ahead<'a, 'b> {
    Nothing,
    /// `SHOW transaction_read_only`: what the server last reported of the fence may be out of date.
    Show,
    /// The BEGIN of the statement's transaction.
    Begin(&'a mut Opening<'b>),
}

/// Runs a statement to its end. A plan that DDL has made useless is prepared again, unless in a transaction, where the
/// first error has already spoilt everything.
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
                    Box::pin(opening.alone(context, session)).await?;
                }
                // Boxed, like all that is rare here: each statement carries the room for it.
                Box::pin(prepare(context, session, &statement.text)).await?
            }
        };
        if statement.describe {
            if let Ahead::Begin(opening) = &mut ahead {
                Box::pin(opening.alone(context, session)).await?;
            }
            promise.grant(0, 0, plan.statement.params().iter().map(describe_type).collect::<Value>().to_string());
            return Ok(Finished { takes_structure: plan.takes_structure, ..Finished::default() });
        }
        if !in_transaction && became_read_only(session) {
            let sequence = Some(session.conn.sending());
            return Err(Failure::Run { cause: Cause::ReadOnlyBefore, phase: Phase::NotSent, sequence });
        }
        // Preparing has brought news of the fence by the way, unless the server does not report it.
        if matches!(ahead, Ahead::Show) && !session.conn.is_stale() {
            ahead = Ahead::Nothing;
        }
        match run(context, session, &plan, statement, promise, &mut ahead).await {
            Err(Failure::Run { cause, phase, .. })
                if !in_transaction && plans < PLANS && plan_is_outdated(&cause, phase) => {}
            // The types of the parameters may have changed; if they have not, the second answer is the same.
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

/// Whether the server has said, with its answer to Parse, that the node does not accept writes any more.
fn became_read_only(session: &Session) -> bool {
    session.route.must_write() && fit(session.route, session.conn.role()) == Fit::No
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
    tell_of_strangers(context, &prepared);
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

/// Tells the pool once of each type whose values arrive as bytes because nobody knows them.
fn tell_of_strangers(context: &Context, prepared: &Prepared) {
    for (column, decoder) in prepared.statement.columns().iter().zip(&prepared.decoders) {
        let ty = column.type_();
        if decoder.has_unknown() && lock(&context.strange).insert(ty.oid()) {
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
    // Polled in this order, both are written before the connection's task runs: one flight.
    let (sequence, shown, started) = match ahead {
        Ahead::Begin(opening) if opening.is_unsent() => {
            let begin = opening.ahead(session);
            let sequence = conn.sending();
            let (begun, started) = Box::pin(future::join(begin, start)).await;
            if let Err(failure) = begun {
                if let Ok(rows) = started {
                    read_to_the_end(rows).await;
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
    if shown.is_some_and(|messages| says_on(&messages)) {
        return Box::pin(read_only_before(session, rows, sequence)).await;
    }
    let finished = collect(rows, prepared, context, session, promise).await;
    let busy_us = session.conn.answered_in(sequence);
    match finished {
        // What did not write has nothing to be replicated.
        Ok(_) if session.conn.is_unreplicated(sequence) && !statement.read_only => {
            Err(Failure::Client(ClientError::Unreplicated { node: session.conn.endpoint.label() }))
        }
        Ok(finished) => {
            statement.text.took(busy_us);
            Ok(finished)
        }
        Err(Collect::Ours(error)) => Err(Failure::Client(error)),
        Err(Collect::Lost(error)) => Err(failure(session, error, Phase::Begun, sequence).await),
    }
}

/// The statement began on a node that was read-only, so it wrote nothing, and its rows may be old: they are dropped.
async fn read_only_before(session: &Session, rows: RowStream, sequence: Sequence) -> Result<Finished, Failure> {
    read_to_the_end(rows).await;
    session.conn.answered();
    let role = session.conn.role();
    let lifted = session.conn.role_changed_since(sequence) && !role.read_only && !role.in_recovery;
    if lifted {
        // The fence was lifted between the SHOW and the statement's end: it may have written after all.
        let reason = "the node became writable under the statement".into();
        let node = session.conn.endpoint.label();
        return Err(Failure::Client(ClientError::ConnectionLost { node, reason, outcome: Outcome::Unknown }));
    }
    Err(Failure::Run { cause: Cause::ReadOnlyBefore, phase: Phase::Begun, sequence: Some(sequence) })
}

async fn read_to_the_end(rows: RowStream) {
    let mut rows = pin!(rows);
    while rows.next().await.is_some_and(|row| row.is_ok()) {}
}

pub(super) fn says_on(messages: &[SimpleQueryMessage]) -> bool {
    messages.iter().any(|message| matches!(message, SimpleQueryMessage::Row(row) if cell(row, 0) == Some("on")))
}

/// An error of tokio-postgres as one of ours.
pub(crate) async fn failure(
    session: &Session,
    error: tokio_postgres::Error,
    phase: Phase,
    sequence: Sequence,
) -> Failure {
    if let Some(error) = error.as_db_error().filter(|error| is_sqlstate(error.code().code())) {
        let mut error = Box::new(ServerError::from(error));
        if session.conn.is_pooled() && error.is_about_names() {
            error.hint(NAMES);
        }
        if error.ends_session {
            session.conn.session_ended_at(sequence);
        }
        return Failure::Run { cause: Cause::Server(error), phase, sequence: Some(sequence) };
    }
    if let Some(error) = error.source().and_then(|source| source.downcast_ref::<NumberedParamError>()) {
        return Failure::Client(ClientError::InvalidParam(error.to_string()));
    }
    // An answer that cannot be parsed has the same kind of error.
    let is_of_encoding = error.to_string().starts_with("error encoding");
    if let Some(error) = error.source().and_then(|source| source.downcast_ref::<io::Error>())
        && error.kind() == io::ErrorKind::InvalidInput
        && is_of_encoding
    {
        // The message could not be put together (larger than the protocol allows): nothing was sent.
        return Failure::Client(ClientError::InvalidParam(error.to_string()));
    }
    // The connection is broken, or so confused that it has to be.
    let is_closed = error.is_closed();
    if is_closed {
        session.conn.cut();
    } else {
        session.conn.break_off(describe(&error));
    }
    // Let the statement ahead of this one say first why the session ended.
    tokio::task::yield_now().await;
    // Another connection would hear the same.
    if phase == Phase::NotSent && (!is_closed || session.conn.is_confused()) {
        let (node, reason) = (session.conn.endpoint.label(), session.conn.loss_reason());
        return Failure::Client(ClientError::Protocol { node, reason });
    }
    let cause = if session.conn.was_never_looked_at(sequence) { Cause::NeverLookedAt } else { Cause::Lost };
    Failure::Run { cause, phase, sequence: Some(sequence) }
}

/// A parameter that knows its number, for the error.
#[derive(Debug)]
struct Numbered<'a> {
    number: usize,
    param: Param<'a>,
    catalog: &'a Catalog,
}

#[derive(Debug, thiserror::Error)]
#[error("parameter ${number}: {error}")]
struct NumberedParamError {
    number: usize,
    error: Box<dyn std::error::Error + Sync + Send>,
}

impl ToSql for Numbered<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let numbered = |error| NumberedParamError { number: self.number, error }.into();
        self.param.write(Target::new(ty, self.catalog), out).map_err(|error| numbered(error.into()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        self.to_sql(ty, out)
    }

    fn encode_format(&self, ty: &Type) -> Format {
        self.param.format(ty)
    }
}

/// Whether the parameters can be sent.
pub(super) fn check_params(statement: &Statement, prepared: &Prepared) -> Result<(), ClientError> {
    let mut out = BytesMut::new();
    for (param, ty) in bind(statement, prepared)?.iter().zip(prepared.statement.params()) {
        param.to_sql(ty, &mut out).map_err(|error| ClientError::InvalidParam(error.to_string()))?;
        out.clear();
    }
    Ok(())
}

fn bind<'a>(statement: &'a Statement, prepared: &'a Prepared) -> Result<Vec<Numbered<'a>>, ClientError> {
    let wanted = prepared.statement.params().len();
    if statement.count != wanted {
        let given = statement.count;
        return Err(ClientError::InvalidParam(format!("the statement takes {wanted} parameters, {given} were given")));
    }
    let params = read_params(&statement.params, wanted)
        .map_err(|error: ParamError| ClientError::InvalidParam(format!("parameters: {error}")))?;
    Ok(params
        .into_iter()
        .enumerate()
        .map(|(index, param)| Numbered { number: index + 1, param, catalog: &prepared.catalog })
        .collect())
}
