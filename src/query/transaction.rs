//! A transaction that is open, to its COMMIT or ROLLBACK.
//!
//! A transaction has its connection to itself and runs its commands in their order: one after another, or several in one
//! flight (`flight`). COMMIT may travel with the last statement (`last`). However the transaction ends (COMMIT, ROLLBACK,
//! its handle is dropped, the pool is closed), the connection is used again only if the server has confirmed that no
//! transaction is open; if not, it is closed.

pub(super) mod block;
pub(crate) mod command;
mod flight;
mod last;

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::error::{ClientError, Outcome};
use crate::pool::session::Session;
use crate::pool::task::After;
use crate::query::Context;
use crate::query::commit::{aborted_error, roll_back};
use crate::query::transaction::block::{Block, End, InTransaction, lost_error, run_query, settle};
use crate::query::transaction::command::{TransactionCommand, TransactionQuery};
use crate::query::transaction::flight::{Flown, fly};
use crate::query::transaction::last::{commit_answered, run_commit, run_last};

/// Its first command.
pub(super) enum First {
    /// It was answered.
    Answered(Block),
    /// It was a statement with COMMIT, and was answered; COMMIT was not sent.
    Last(Box<(TransactionQuery, InTransaction)>),
}

/// Runs the commands of an open transaction to its end.
pub(super) async fn serve_transaction<T>(
    context: &Context,
    session: &Arc<Session>,
    mut commands: UnboundedReceiver<TransactionCommand>,
    first: First,
) -> After<T> {
    let statistics = &context.cluster.statistics;
    statistics.begun.add(1);
    let mut next = VecDeque::new();
    let End { confirmed, committed, answer } = match first {
        First::Answered(block) => run_commands(context, session, &mut commands, &mut next, block).await,
        First::Last(last) => {
            let (query, answer) = *last;
            Box::pin(commit_answered(context, session, query, answer)).await
        }
    };
    (if committed { &statistics.committed } else { &statistics.rolled_back }).add(1);
    for command in next {
        command.refuse(&lost_error(session, Outcome::NotApplied), 0, None);
    }
    if !confirmed {
        session.conn.cut();
        // More commands may follow. A task of its own rejects them, because this task occupies the connection.
        drop(tokio::spawn(refuse_all(commands, lost_error(session, Outcome::NotApplied))));
    }
    After::Settled(answer)
}

/// Runs commands until one ends the transaction. `next`: the commands that come ahead of those in `commands`.
async fn run_commands(
    context: &Context,
    session: &Arc<Session>,
    commands: &mut UnboundedReceiver<TransactionCommand>,
    next: &mut VecDeque<TransactionCommand>,
    mut block: Block,
) -> End {
    loop {
        if session.conn.is_closed() {
            return End::silent(false);
        }
        let command = match next.pop_front() {
            Some(command) => command,
            None => tokio::select! {
                biased;
                command = commands.recv() => command.unwrap_or(TransactionCommand::Abandon),
                () = session.conn.ended() => return End::silent(false),
            },
        };
        match command {
            TransactionCommand::Query(query) => {
                // Most statements: nothing waits behind them.
                let query = if next.is_empty() && commands.is_empty() {
                    query
                } else {
                    match Box::pin(fly(context, session, query, next, commands, &mut block)).await {
                        Flown::Alone(query) => query,
                        Flown::Landed => continue,
                        Flown::Ended(end) => return end,
                    }
                };
                if query.commits {
                    return Box::pin(run_last(context, session, query, block.wrote, None)).await;
                }
                let TransactionQuery { mut promise, statement, cancellation, .. } = query;
                let answer = run_query(context, session, &mut promise, &statement, &cancellation).await;
                settle(session, promise, &statement, answer, &mut block);
            }
            TransactionCommand::Copy(copy) => {
                block.wrote = true;
                copy.run_in_transaction(session, &mut block.aborted).await;
            }
            TransactionCommand::Script(script) => {
                block.wrote = true;
                script.run_in_transaction(session, &mut block.aborted).await;
            }
            command @ TransactionCommand::Pinned(_) => {
                command.refuse(&ClientError::Internal("no command of a transaction".into()), 0, None);
            }
            TransactionCommand::Commit(promise, ..) if block.aborted => {
                let ended = roll_back(context, session).await;
                return End::failed(ended, promise, aborted_error(), session.conn.endpoint.index);
            }
            TransactionCommand::Commit(mut promise, cancellation, ending) => {
                promise.is_write = block.wrote;
                return run_commit(context, session, promise, &cancellation, ending.sql()).await;
            }
            TransactionCommand::Rollback(promise) => {
                let ended = roll_back(context, session).await;
                // If the connection is lost, the server has rolled back.
                return End::rolled_back(ended, promise, session.conn.endpoint.index);
            }
            TransactionCommand::Abandon => return End::silent(roll_back(context, session).await),
        }
    }
}

/// Like [`refuse_all`], for an error that was counted as that of BEGIN, or of the request for a session.
pub(super) async fn refuse_rest(mut commands: UnboundedReceiver<TransactionCommand>, error: ClientError) {
    while let Some(mut command) = commands.recv().await {
        if let Some(promise) = command.promise() {
            promise.count_without_error();
        }
        command.refuse(&error, 0, None);
    }
}

/// Rejects all commands until the caller has dropped its handle.
pub(super) async fn refuse_all(mut commands: UnboundedReceiver<TransactionCommand>, error: ClientError) {
    while let Some(command) = commands.recv().await {
        command.refuse(&error, 0, None);
    }
}
