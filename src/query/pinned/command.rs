//! What JavaScript asks of a pinned session.

use std::sync::Arc;

use crate::error::ClientError;
use crate::pool::statement_text::StatementText;
use crate::query::cancellation::Cancellation;
use crate::query::promise::Promise;

/// What JavaScript asks of a pinned session.
#[derive(Debug)]
pub(crate) enum PinnedCommand {
    Run(FlightCall),
    /// Asks whether the node still accepts writes.
    Check(Promise),
}

impl PinnedCommand {
    pub(crate) fn promise(&mut self) -> &mut Promise {
        match self {
            Self::Run(call) => &mut call.promise,
            Self::Check(promise) => promise,
        }
    }

    pub(crate) fn refuse(self, error: &ClientError, attempts: u32, node: Option<usize>) {
        match self {
            Self::Run(call) => call.promise.reject(error, attempts, node),
            Self::Check(promise) => promise.reject(error, attempts, node),
        }
    }
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FlightKind {
    /// The text by the simple protocol: any number of statements.
    Simple,
    /// One statement with its parameters. `named`: the first of the parameters is the name under which it is prepared.
    Statement { named: bool },
    /// Opens a portal, and reads so many rows.
    Open(u32),
    /// Reads so many rows more.
    Fetch(u32),
    /// Closes the portal.
    Close,
}

/// A flight that JavaScript asks for.
#[derive(Debug)]
pub(crate) struct FlightCall {
    pub(crate) promise: Promise,
    pub(crate) cancellation: Cancellation,
    pub(crate) text: Arc<StatementText>,
    pub(crate) params: Vec<u8>,
    pub(crate) count: usize,
    pub(crate) kind: FlightKind,
    /// The result of the statement arrives as the bytes of the binary format.
    pub(crate) is_binary: bool,
    /// The flight may be sent together with others: its caller cannot cancel it.
    pub(crate) is_pipelined: bool,
    /// A BEGIN goes ahead of the statement; if the server refuses it, the statement does not run.
    pub(crate) begins: bool,
}
