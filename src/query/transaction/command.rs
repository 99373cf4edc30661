//! What the caller of a transaction asks of it.

use crate::error::ClientError;
use crate::query::cancellation::Cancellation;
use crate::query::commit::Ending;
use crate::query::copy::Copy;
use crate::query::pinned::command::PinnedCommand;
use crate::query::promise::Promise;
use crate::query::script::Script;
use crate::query::statement::Statement;

/// A statement of a transaction.
#[derive(Debug)]
pub(crate) struct TransactionQuery {
    pub(crate) promise: Promise,
    pub(crate) statement: Statement,
    pub(crate) cancellation: Cancellation,
    /// It is the last statement: COMMIT goes with it, or a ROLLBACK if it fails.
    pub(crate) commits: bool,
}

/// What the caller asks of a transaction.
#[derive(Debug)]
pub(crate) enum TransactionCommand {
    Query(TransactionQuery),
    Copy(Box<Copy>),
    Script(Box<Script>),
    /// Of a pinned session.
    Pinned(Box<PinnedCommand>),
    /// COMMIT, or PREPARE TRANSACTION: the SQL is given.
    Commit(Promise, Cancellation, Ending),
    Rollback(Promise),
    /// The handle of the transaction was dropped.
    Abandon,
}

impl TransactionCommand {
    pub(in crate::query) fn promise(&mut self) -> Option<&mut Promise> {
        match self {
            Self::Query(query) => Some(&mut query.promise),
            Self::Commit(promise, ..) | Self::Rollback(promise) => Some(promise),
            Self::Copy(copy) => Some(&mut copy.call.promise),
            Self::Script(script) => Some(&mut script.call.promise),
            Self::Pinned(command) => Some(command.promise()),
            Self::Abandon => None,
        }
    }

    /// Rejects the command, because there is no transaction.
    pub(crate) fn refuse(self, error: &ClientError, attempts: u32, node: Option<usize>) {
        match self {
            Self::Query(TransactionQuery { promise, .. }) | Self::Commit(promise, ..) => {
                promise.reject(error, attempts, node);
            }
            Self::Copy(copy) => copy.call.fail(error, node),
            Self::Script(script) => script.call.fail(error, node),
            Self::Pinned(command) => command.refuse(error, attempts, node),
            // There is nothing to roll back.
            Self::Rollback(promise) => promise.resolve_empty(0),
            Self::Abandon => {}
        }
    }
}
