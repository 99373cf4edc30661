//! Statements of a transaction that travel together, because their caller has not awaited one before the next.
//!
//! A flight ends ahead of a statement that may have to run again (its plan is not known, or is in doubt), or that may be
//! cancelled: a cancel request hits whatever its backend is running. It ends behind a statement that may change what the
//! names in later ones mean. If a statement fails, the server refuses those behind it (25P02).

use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use futures_util::future::{OptionFuture, join};
use futures_util::poll;
use futures_util::stream::{FuturesOrdered, StreamExt};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::engine::clock;
use crate::pool::prepared::Prepared;
use crate::pool::session::Session;
use crate::pool::sql_facts::{Command, SettingsChange};
use crate::query::Context;
use crate::query::cancellation::Ended;
use crate::query::execute::{Ahead, run};
use crate::query::failure::Failure;
use crate::query::promise::Finished;
use crate::query::retry_policy::Work;
use crate::query::transaction::block::{Block, End, result_in_transaction, settle};
use crate::query::transaction::command::{TransactionCommand, TransactionQuery};
use crate::query::transaction::last::run_last;

/// The most statements of a flight: their results may have to wait in memory for each other.
const MOST: usize = 64;

/// What has become of a statement and of those that waited behind it.
pub(super) enum Flown {
    /// The statement cannot be sent together with others. Nothing was sent.
    Alone(TransactionQuery),
    /// They were answered. With the command that comes next, if there is one already.
    Landed(Option<TransactionCommand>),
    /// They were answered, and the last one has ended the transaction.
    Ended(End),
}

/// A statement that was sent.
type Running<'a> = Pin<Box<dyn Future<Output = (TransactionQuery, Result<Finished, Failure>)> + Send + 'a>>;

/// Sends a statement, and those that wait behind it as far as they can be sent at once.
pub(super) async fn fly(
    context: &Context,
    session: &Arc<Session>,
    first: TransactionQuery,
    commands: &mut UnboundedReceiver<TransactionCommand>,
    block: &mut Block,
) -> Flown {
    let mut flight = Vec::new();
    let mut last = None;
    let mut wrote = block.wrote;
    let mut next = Some(TransactionCommand::Query(first));
    while flight.len() < MOST {
        let query = match next.take().or_else(|| commands.try_recv().ok()) {
            Some(TransactionCommand::Query(query)) => query,
            other => {
                next = other;
                break;
            }
        };
        let plan = plan_for_flight(session, &query).filter(|_| !query.commits || !flight.is_empty());
        let Some(plan) = plan else {
            next = Some(TransactionCommand::Query(query));
            break;
        };
        let text = &query.statement.text;
        wrote |= text.facts.writes;
        if query.commits {
            let mut running = Box::pin(run_last(context, session, query, wrote));
            last = Some(match poll!(running.as_mut()) {
                Poll::Ready(end) => futures_util::future::Either::Left(std::future::ready(end)),
                Poll::Pending => futures_util::future::Either::Right(running),
            });
            break;
        }
        let changes_names = text.facts.may_change_names(&query.statement.params);
        match send(context, session, query, plan).await {
            Ok(running) => flight.push(running),
            Err(query) => {
                next = Some(TransactionCommand::Query(query));
                break;
            }
        }
        if changes_names {
            break;
        }
    }
    if flight.is_empty()
        && let Some(TransactionCommand::Query(query)) = next
    {
        return Flown::Alone(query);
    }
    // The connection may be lost when COMMIT was carried out, and before the first statement of its flight was answered.
    let work = if last.is_some() { Work::BeforeCommit } else { Work::InTransaction };
    let mut flight: FuturesOrdered<Running<'_>> = flight.into_iter().collect();
    let answers = async {
        while let Some((TransactionQuery { promise, statement, .. }, result)) = flight.next().await {
            let answer = result_in_transaction(session, Ended::Itself(result), work);
            settle(session, promise, &statement, answer, block);
        }
    };
    match join(answers, OptionFuture::from(last)).await {
        ((), Some(end)) => Flown::Ended(end),
        ((), None) => Flown::Landed(next),
    }
}

/// The plan of a statement that can be sent together with others.
fn plan_for_flight(session: &Session, query: &TransactionQuery) -> Option<Arc<Prepared>> {
    let TransactionQuery { promise, statement, cancellation, .. } = query;
    let text = &statement.text;
    let is_simple = text.facts.command == Command::Planned && text.facts.settings_change == SettingsChange::None;
    if !is_simple || cancellation.is_limited() || promise.is_streaming() || statement.describe {
        return None;
    }
    session.plan_of(text, clock()).filter(|plan| !session.needs_savepoint(text, plan))
}

/// Sends a statement. Gives it back if it could not be sent: the types of its parameters may be others than when it was
/// prepared.
async fn send<'a>(
    context: &'a Context,
    session: &'a Arc<Session>,
    mut query: TransactionQuery,
    plan: Arc<Prepared>,
) -> Result<Running<'a>, TransactionQuery> {
    let mut running: Running<'a> = Box::pin(async move {
        let TransactionQuery { promise, statement, .. } = &mut query;
        let result = run(context, session, &plan, statement, promise, &mut Ahead::Savepoint, false).await;
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
