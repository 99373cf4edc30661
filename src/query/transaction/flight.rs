//! Statements of a transaction that travel together, because their caller has not awaited one before the next.
//!
//! A flight ends ahead of a statement that is not prepared, or that may be cancelled: a cancel request hits whatever its
//! backend is running. It ends behind a statement that may change what the names in later ones mean. If a statement fails,
//! the server refuses those behind it (25P02). If it could not be bound because its plan was out of date, nothing of it
//! and of those behind it has run: its savepoint is undone, and they run again one by one.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use futures_util::future::{OptionFuture, join};
use futures_util::poll;
use futures_util::stream::{FuturesOrdered, StreamExt};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;

use crate::engine::clock;
use crate::pool::prepared::Prepared;
use crate::pool::schema_changes;
use crate::pool::session::Session;
use crate::pool::sql_facts::{Command, SettingsChange};
use crate::query::Context;
use crate::query::cancellation::Ended;
use crate::query::execute::{Ahead, forget_failed_plan, run, undo_savepoint};
use crate::query::failure::Failure;
use crate::query::promise::Finished;
use crate::query::retry_policy::{Work, needs_new_plan};
use crate::query::statement::check_params;
use crate::query::transaction::block::{Block, End, result_in_transaction, run_query, settle};
use crate::query::transaction::command::{TransactionCommand, TransactionQuery};
use crate::query::transaction::last::{Behind, may_have_savepoint, run_last};

/// The most statements of a flight: their results may have to wait in memory for each other.
const MOST: usize = 64;

/// What has become of a statement and of those that waited behind it.
pub(super) enum Flown {
    /// The statement cannot be sent together with others. Nothing was sent.
    Alone(TransactionQuery),
    /// They were answered.
    Landed,
    /// They were answered, and the last one has ended the transaction.
    Ended(End),
}

/// A statement that was sent.
type Running<'a> = Pin<Box<dyn Future<Output = (TransactionQuery, Result<Finished, Failure>)> + Send + 'a>>;

/// A statement that can be sent together with others, and its plan.
struct Passenger {
    query: TransactionQuery,
    plan: Arc<Prepared>,
}

/// Sends a statement, and those that wait behind it as far as they can be sent at once. `next`: the commands that come
/// ahead of those in `commands`.
pub(super) async fn fly(
    context: &Context,
    session: &Arc<Session>,
    first: TransactionQuery,
    next: &mut VecDeque<TransactionCommand>,
    commands: &mut UnboundedReceiver<TransactionCommand>,
    block: &mut Block,
) -> Flown {
    let Some(plan) = plan_for_flight(session, &first) else { return Flown::Alone(first) };
    let (mut members, with_savepoints) = gather(session, Passenger { query: first, plan }, next, commands);
    if members.len() == 1 {
        return Flown::Alone(members.remove(0).query);
    }
    let mut wrote = block.wrote;
    let mut flight = FuturesOrdered::new();
    let mut last = None;
    let (say, runs_again) = oneshot::channel();
    let mut runs_again = Some(runs_again);
    let mut members = members.into_iter();
    while let Some(Passenger { query, plan }) = members.next() {
        wrote |= query.statement.text.facts.writes;
        if query.commits {
            let behind = runs_again.take().map(|runs_again| Behind { with_savepoints, runs_again });
            last = Some(Box::pin(run_last(context, session, query, wrote, behind)));
            continue;
        }
        match send(context, session, query, plan, with_savepoints).await {
            Ok(running) => flight.push_back(running),
            Err(query) => {
                give_back(next, members);
                if flight.is_empty() {
                    return Flown::Alone(query);
                }
                next.push_front(TransactionCommand::Query(query));
                break;
            }
        }
    }
    // The connection may be lost when COMMIT was carried out, and before the first statement of its flight was answered.
    let work = if last.is_some() { Work::BeforeCommit } else { Work::InTransaction };
    let answers = async {
        // From the first one on whose plan was out of date.
        let mut failed: Vec<(TransactionQuery, Result<Finished, Failure>)> = Vec::new();
        while let Some((query, result)) = flight.next().await {
            if !failed.is_empty() || with_savepoints && is_outdated(&result) {
                failed.push((query, result));
                continue;
            }
            let answer = result_in_transaction(session, Ended::Itself(result), work);
            settle(session, query.promise, &query.statement, answer, block);
        }
        // Nothing of them has run.
        if !failed.is_empty() {
            // It must not go behind what runs again.
            session.conn.session_state.set_commit(false);
        }
        let run_again = !failed.is_empty() && undo_savepoint(session).await;
        if run_again {
            forget_failed_plan(session, &failed[0].0.statement.text);
        }
        for (mut query, result) in failed {
            let TransactionQuery { promise, statement, cancellation, .. } = &mut query;
            let answer = if run_again {
                promise.start_again();
                Box::pin(run_query(context, session, promise, statement, cancellation)).await
            } else {
                result_in_transaction(session, Ended::Itself(result), work)
            };
            settle(session, query.promise, &query.statement, answer, block);
        }
        let _ = say.send(run_again);
    };
    // A last statement is sent now: nothing was written since the others were.
    match join(answers, OptionFuture::from(last)).await {
        ((), Some(end)) => Flown::Ended(end),
        ((), None) => Flown::Landed,
    }
}

/// The statements that can be sent at once, and whether they are bound behind savepoints: all of them or none, because
/// `protocol` counts the savepoints and not the statements.
fn gather(
    session: &Session,
    first: Passenger,
    next: &mut VecDeque<TransactionCommand>,
    commands: &mut UnboundedReceiver<TransactionCommand>,
) -> (Vec<Passenger>, bool) {
    let mut with_savepoints = session.needs_savepoint(&first.query.statement.text, &first.plan);
    let mut members = Vec::new();
    let mut member = first;
    loop {
        let TransactionQuery { statement, commits, .. } = &member.query;
        let is_end = *commits || statement.text.facts.may_change_names(&statement.params);
        members.push(member);
        if is_end || members.len() == MOST {
            break;
        }
        let query = match next.pop_front().or_else(|| commands.try_recv().ok()) {
            Some(TransactionCommand::Query(query)) => query,
            Some(other) => {
                next.push_front(other);
                break;
            }
            None => break,
        };
        let Some(plan) = plan_for_flight(session, &query) else {
            next.push_front(TransactionCommand::Query(query));
            break;
        };
        with_savepoints |= session.needs_savepoint(&query.statement.text, &plan);
        member = Passenger { query, plan };
    }
    if with_savepoints {
        // One that cannot be sent must not be counted.
        let fit = members.iter().take_while(|Passenger { query, plan }| check_params(&query.statement, plan).is_ok());
        let fit = fit.count().max(1);
        give_back(next, members.drain(fit..));
    }
    (members, with_savepoints)
}

/// Puts statements back in their place.
fn give_back(next: &mut VecDeque<TransactionCommand>, members: impl DoubleEndedIterator<Item = Passenger>) {
    for Passenger { query, .. } in members.rev() {
        next.push_front(TransactionCommand::Query(query));
    }
}

/// Whether a statement was not bound because its plan is out of date.
fn is_outdated(result: &Result<Finished, Failure>) -> bool {
    matches!(result, Err(Failure::Run { cause, phase, .. }) if needs_new_plan(cause, *phase, false, 1))
}

/// The plan of a statement that can be sent together with others.
fn plan_for_flight(session: &Session, query: &TransactionQuery) -> Option<Arc<Prepared>> {
    let TransactionQuery { promise, statement, cancellation, .. } = query;
    let text = &statement.text;
    let is_simple = text.facts.command == Command::Planned && text.facts.settings_change == SettingsChange::None;
    if !is_simple || cancellation.is_limited() || promise.is_streaming() || statement.describe {
        return None;
    }
    session.plan_of(text, clock()).filter(|plan| may_have_savepoint(session, plan))
}

/// Sends a statement. Gives it back if it could not be sent: the types of its parameters may be others than when it was
/// prepared.
async fn send<'a>(
    context: &'a Context,
    session: &'a Arc<Session>,
    mut query: TransactionQuery,
    plan: Arc<Prepared>,
    has_savepoint: bool,
) -> Result<Running<'a>, TransactionQuery> {
    schema_changes::announce_statement(&query.statement.text.facts);
    let mut running: Running<'a> = Box::pin(async move {
        let TransactionQuery { promise, statement, .. } = &mut query;
        let result = run(context, session, &plan, statement, promise, &mut Ahead::Savepoint, has_savepoint).await;
        (query, result)
    });
    match poll!(running.as_mut()) {
        Poll::Pending => {
            context.cluster.statistics.prepared_hits.add(1);
            Ok(running)
        }
        Poll::Ready((query, _)) => Err(query),
    }
}
