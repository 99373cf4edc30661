//! One statement on one connection: prepare it if need be, send it, read its rows.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use futures_util::{StreamExt, future};
use serde_json::Value;
use tokio_postgres::RowStream;

use crate::cluster::consistency::ConsistencyToken;
use crate::cluster::fence;
use crate::cluster::replay::LogPlace;
use crate::codec::describe_type;
use crate::connection::connection::Sequence;
use crate::engine::clock;
use crate::error::{ClientError, Outcome};
use crate::pool::prepared::Prepared;
use crate::pool::schema_changes;
use crate::pool::session::Session;
use crate::pool::statement_text::StatementText;
use crate::protocol::Naming;
use crate::query::Context;
use crate::query::collect::{CollectError, collect};
use crate::query::direct::{self, Answered, Begun, may_go_direct};
use crate::query::failure::{Failure, failure};
use crate::query::opening::Opening;
use crate::query::prepare::prepare;
use crate::query::promise::{Company, Finished, Promise};
use crate::query::retry_policy::{Cause, PLANS, Phase, needs_new_plan};
use crate::query::statement::{Numbered, Statement, bind};

/// Where a statement runs, and what travels ahead of it in the same flight.
#[derive(Debug)]
pub(super) enum Ahead<'a, 'b> {
    /// Outside of any transaction, or in a flight that ends its transaction: nothing.
    Nothing,
    /// Outside of any transaction: `SHOW transaction_read_only`, because the last report of the server about a fence may
    /// be out of date.
    Show,
    /// Outside of any transaction: the server's place in the log, because the statement must see this position.
    Place(ConsistencyToken),
    /// BEGIN of the transaction of the statement.
    Begin(&'a mut Opening<'b>),
    /// In an open transaction: a savepoint, if the plan may be out of date.
    Savepoint,
}

impl Ahead<'_, '_> {
    fn is_in_transaction(&self) -> bool {
        matches!(self, Self::Begin(_) | Self::Savepoint)
    }
}

/// Runs a statement to its end. A statement whose plan is out of date (DDL, another search_path) runs again with a new
/// plan: nothing of it has run. As the first statement of a transaction it runs in a new transaction; later it was
/// bound behind a savepoint (see `pool::plans`).
pub(super) async fn execute(
    context: &Context,
    session: &Arc<Session>,
    statement: &Statement,
    promise: &mut Promise,
    ahead: Ahead<'_, '_>,
) -> Result<Finished, Failure> {
    let text = &statement.text;
    schema_changes::announce_statement(&text.facts);
    let now = clock();
    let known = match promise.company {
        // The batch has just prepared it, and its other statements are sent behind it.
        Company::OfItsBatch => session.known_plan_of(text, now),
        Company::OfOthers | Company::Alone => session.plan_of(text, now),
    };
    if known.is_some() && promise.company != Company::OfItsBatch {
        context.cluster.statistics.prepared_hits.add(1);
    }
    execute_with(context, session, statement, promise, ahead, (known, None)).await
}

/// Like [`execute`], for a statement that was sent with this plan, and answered.
pub(super) async fn execute_begun(
    context: &Context,
    session: &Arc<Session>,
    statement: &Statement,
    promise: &mut Promise,
    Begun { plan, answered }: Begun,
) -> Result<Finished, Failure> {
    execute_with(context, session, statement, promise, Ahead::Nothing, (Some(plan), Some(answered))).await
}

async fn execute_with(
    context: &Context,
    session: &Arc<Session>,
    statement: &Statement,
    promise: &mut Promise,
    mut ahead: Ahead<'_, '_>,
    (mut known, mut answered): (Option<Arc<Prepared>>, Option<Answered>),
) -> Result<Finished, Failure> {
    let text = &statement.text;
    let in_transaction = ahead.is_in_transaction();
    if matches!(ahead, Ahead::Savepoint) && session.conn.session_state.naming() == Naming::None {
        // A statement without a name is parsed with each run: the client learns too late that its columns have changed.
        known = known.filter(|plan| !plan.has_columns() || !session.needs_savepoint(text, plan));
    }
    // The plan that may have been out of date.
    let mut old: Option<Arc<Prepared>> = None;
    let mut attempt = 0;
    loop {
        attempt += 1;
        let was_known = known.is_some();
        let plan = match known.take() {
            Some(plan) => plan,
            None => {
                match &mut ahead {
                    Ahead::Begin(opening) => Box::pin(opening.send_alone(context, session)).await?,
                    // What the statement names may not be there before that position.
                    Ahead::Place(token) => {
                        Box::pin(check_place(session, token)).await?;
                        ahead = Ahead::Nothing;
                    }
                    Ahead::Nothing | Ahead::Show | Ahead::Savepoint => {}
                }
                // Boxed, like everything rare here: the future of each statement is as large as all its parts.
                let plan = Box::pin(prepare(context, session, text)).await?;
                if let Some(old) = &old {
                    session.note_new_plan(text, old, &plan);
                }
                plan
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
        if !in_transaction && answered.is_none() && session.refuses_writes() {
            let sequence = Some(session.conn.sending());
            return Err(Failure::Run { cause: Cause::ReadOnlyBefore, phase: Phase::NotSent, sequence });
        }
        // After an answer to Parse the reported role is up to date, if the server reports the role.
        if matches!(ahead, Ahead::Show) && !session.conn.is_stale() {
            ahead = Ahead::Nothing;
        }
        // Types that are not built in are kept apart from plans, and may be older.
        let fresh = !was_known && (attempt > 1 || plan.has_built_in_types());
        let has_savepoint = matches!(ahead, Ahead::Savepoint) && session.needs_savepoint(text, &plan);
        let result = match answered.take() {
            Some(answered) => direct::finish(context, session, statement, promise, answered).await,
            None => run(context, session, &plan, statement, promise, &mut ahead, has_savepoint).await,
        };
        let failure = match result {
            Ok(finished) if was_known => return Ok(finished),
            Ok(finished) => return Ok(Finished { busy_us: 0, ..finished }),
            Err(failure) => failure,
        };
        let runs_again = match &failure {
            Failure::Run { cause, phase, .. } => {
                needs_new_plan(cause, *phase, fresh, attempt)
                    && !promise.has_streamed()
                    && Box::pin(undo_bind(context, session, &mut ahead, has_savepoint)).await
            }
            // The types of the parameters may have changed; if not, the second attempt fails in the same way.
            Failure::Client(ClientError::InvalidParam(_)) => !fresh,
            // The statement has run.
            Failure::Client(ClientError::ColumnsChanged) if attempt < PLANS => {
                session.prepared.clear();
                match &mut ahead {
                    Ahead::Begin(opening) => Box::pin(opening.begin_again(context, session)).await,
                    Ahead::Savepoint => false,
                    Ahead::Nothing | Ahead::Show | Ahead::Place(_) => statement.read_only,
                }
            }
            Failure::Client(_) => false,
        };
        if !runs_again {
            return Err(failure);
        }
        match failure {
            Failure::Client(ClientError::InvalidParam(_)) => session.forget_types(),
            _ => forget_failed_plan(session, text),
        }
        promise.start_again();
        old = Some(plan);
    }
}

/// Whether the session's server has the position that a statement must see.
async fn check_place(session: &Session, token: &ConsistencyToken) -> Result<(), Failure> {
    let sequence = session.conn.sending();
    let place = LogPlace::ask(&session.conn.client).await;
    session.conn.answered();
    match place {
        Ok(Some(place)) if session.has_reached(token, place) => Ok(()),
        Ok(_) => Err(not_replayed(sequence)),
        Err(error) => Err(failure(session, error, Phase::NotSent, sequence).await),
    }
}

fn not_replayed(sequence: Sequence) -> Failure {
    Failure::Run { cause: Cause::NotReplayed, phase: Phase::NotSent, sequence: Some(sequence) }
}

/// Undoes what a statement that could not be bound has done to its transaction. False: that is impossible.
async fn undo_bind(context: &Context, session: &Session, ahead: &mut Ahead<'_, '_>, has_savepoint: bool) -> bool {
    match ahead {
        Ahead::Nothing | Ahead::Show | Ahead::Place(_) => true,
        Ahead::Savepoint if !has_savepoint => false,
        Ahead::Savepoint => undo_savepoint(session).await,
        Ahead::Begin(opening) => opening.begin_again(context, session).await,
    }
}

/// Undoes the savepoint that `protocol::frontend` puts ahead of a Bind.
pub(super) async fn undo_savepoint(session: &Session) -> bool {
    session.conn.client.batch_execute("ROLLBACK TO hyperiondb_plan; RELEASE hyperiondb_plan").await.is_ok()
}

/// Forgets the plan of a statement that could not be bound, before the statement runs again.
pub(super) fn forget_failed_plan(session: &Session, text: &StatementText) {
    session.names.doubt();
    session.forget_plan(text);
    session.forget_types();
}

/// Runs a statement that is prepared. It is sent when the future is first polled.
pub(super) async fn run(
    context: &Context,
    session: &Arc<Session>,
    prepared: &Arc<Prepared>,
    statement: &Statement,
    promise: &mut Promise,
    ahead: &mut Ahead<'_, '_>,
    has_savepoint: bool,
) -> Result<Finished, Failure> {
    let params = bind(statement, prepared)?;
    promise.was_sent = true;
    let may_leave_settings = session.may_leave_settings(&context.cluster, &statement.text.facts);
    let resets = may_leave_settings && promise.company == Company::OfOthers && !ahead.is_in_transaction();
    if may_leave_settings && !resets {
        session.note_settings();
    }
    let is_plain = !has_savepoint && !resets && !statement.token && !matches!(ahead, Ahead::Show | Ahead::Place(_));
    // What cannot be written fails in the same way by tokio-postgres, behind a BEGIN that is sent.
    if is_plain
        && may_go_direct(session, promise)
        && let Ok(sent) = direct::send(context, session, prepared, &params, promise)
    {
        drop(params);
        let opening = match ahead {
            Ahead::Begin(opening) if opening.is_unsent() => Some(&mut **opening),
            _ => None,
        };
        return direct::wait(context, session, statement, promise, opening, sent).await;
    }
    // Boxed: it is the rarer way, and needs more memory.
    Box::pin(run_by_tokio(context, session, prepared, statement, params, promise, ahead, (has_savepoint, resets))).await
}

/// Runs a statement by tokio-postgres, for all that a direct statement cannot do.
#[allow(clippy::too_many_arguments, reason = "the parts of a statement that is under way")]
async fn run_by_tokio(
    context: &Context,
    session: &Arc<Session>,
    prepared: &Prepared,
    statement: &Statement,
    params: Vec<Numbered<'_>>,
    promise: &mut Promise,
    ahead: &mut Ahead<'_, '_>,
    (has_savepoint, resets): (bool, bool),
) -> Result<Finished, Failure> {
    let conn = &session.conn;
    // No other statement is sent on the connection of an open transaction before this one.
    conn.session_state.set_savepoint(has_savepoint);
    let start = pin!(conn.client.query_raw(&prepared.statement, params));
    let mut token = statement.token.then(|| {
        let system = context.cluster.system().unwrap_or_default();
        Box::pin(ConsistencyToken::ask(&conn.client, system))
    });
    let start = async {
        match &mut token {
            Some(token) if resets => {
                let mut start = Box::pin(send_ahead_of_reset(start, context, session));
                Box::pin(send_ahead_of(start.as_mut(), token.as_mut())).await
            }
            Some(token) => Box::pin(send_ahead_of(start, token.as_mut())).await,
            None if resets => Box::pin(send_ahead_of_reset(start, context, session)).await,
            None => start.await,
        }
    };
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
        Ahead::Nothing | Ahead::Begin(_) | Ahead::Savepoint => (conn.sending(), None, start.await),
        Ahead::Show => {
            let sequence = conn.sending();
            let show = conn.client.simple_query("SHOW transaction_read_only");
            let (shown, started) = Box::pin(future::join(show, start)).await;
            (sequence, shown.ok(), started)
        }
        Ahead::Place(token) => {
            let sequence = conn.sending();
            let (place, started) = Box::pin(future::join(LogPlace::ask(&conn.client), start)).await;
            if let Ok(place) = place
                && !place.is_some_and(|place| session.has_reached(token, place))
            {
                // An error may come from what is not there yet.
                if let Ok(rows) = started {
                    drop_rows(rows).await;
                }
                session.conn.answered();
                return Err(not_replayed(sequence));
            }
            (sequence, None, started)
        }
    };
    let rows = match started {
        Ok(rows) => rows,
        Err(error) => {
            conn.failed(sequence, &error);
            conn.session_state.set_savepoint(false);
            return Err(Box::pin(failure(session, error, Phase::Sent, sequence)).await);
        }
    };
    if shown.is_some_and(|messages| fence::is_on(&messages)) {
        return Box::pin(fail_as_read_only(session, rows, sequence)).await;
    }
    let finished = collect(rows, prepared, &statement.text, context, session, promise).await;
    let busy_us = session.conn.answered_in(sequence);
    session.confirm_plan(prepared);
    session.note_statement(&statement.text, &statement.params);
    match finished {
        // A statement that only reads has nothing to replicate.
        Ok(_) if session.conn.is_unreplicated(sequence) && !statement.read_only => {
            Err(Failure::Client(ClientError::Unreplicated { node: session.conn.endpoint.label() }))
        }
        Ok(mut finished) => {
            statement.text.record_run(busy_us);
            finished.busy_us = busy_us;
            if let Some(token) = token {
                match token.await {
                    Ok(Some(token)) => promise.grant(0, 0, token.to_string()),
                    Err(error) if statement.read_only => {
                        return Err(Box::pin(without_token(session, error, sequence)).await);
                    }
                    // The caller has to learn that its write is done; another session can say a later position.
                    Ok(None) | Err(_) => {}
                }
            }
            Ok(finished)
        }
        Err(CollectError::Failure(failure)) => Err(failure),
        Err(CollectError::Postgres(error)) => Err(failure(session, error, Phase::Begun, sequence).await),
    }
}

/// The session has answered a statement that only reads, and not the request for its position behind it.
async fn without_token(session: &Session, error: tokio_postgres::Error, sequence: Sequence) -> Failure {
    if ConsistencyToken::is_of_standby(&error) {
        return Failure::Run { cause: Cause::ReadOnlyBefore, phase: Phase::Begun, sequence: Some(sequence) };
    }
    failure(session, error, Phase::Begun, sequence).await
}

/// Runs a future whose request is sent when it is first polled, and sends the request of another one right behind that.
async fn send_ahead_of<F: Future>(mut first: Pin<&mut F>, mut second: Pin<&mut impl Future>) -> F::Output {
    let polled = poll_fn(|cx| {
        let polled = first.as_mut().poll(cx);
        // Its answer comes after that of the first, so it is not ready.
        let _ = second.as_mut().poll(cx);
        Poll::Ready(polled)
    })
    .await;
    match polled {
        Poll::Ready(output) => output,
        Poll::Pending => first.await,
    }
}

/// Runs a future whose request is sent when it is first polled, and sends a reset right behind that.
async fn send_ahead_of_reset<F: Future>(
    mut future: Pin<&mut F>,
    context: &Context,
    session: &Arc<Session>,
) -> F::Output {
    let first = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
    session.send_reset(&context.cluster);
    match first {
        Poll::Ready(output) => output,
        Poll::Pending => future.await,
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
