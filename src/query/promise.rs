//! The JavaScript promise of a piece of work. It is settled exactly once, whatever happens.

use std::pin::Pin;
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::cluster::failovers::NoticedBy;
use crate::codec::Packer;
use crate::engine::{CompletionQueue, Kind, Message, Packed};
use crate::error::{ClientError, Outcome};
use crate::pool::prepared::Shape;
use crate::query::Context;
use crate::query::flow_control::FlowControl;
use crate::query::race::Racer;
use crate::query::retry_policy::is_retryable;

/// What the counts of the pool learn from a promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// It is a statement of a caller.
    Statement,
    /// It is more rows of a statement.
    Rows,
    /// It is an unload, whose result has bytes in place of rows.
    Unload,
    /// Only its error counts: BEGIN, COMMIT, the request for a session.
    Error,
}

/// Where a promise is counted.
#[derive(Clone, Debug)]
struct Account {
    context: Arc<Context>,
    counted: Counted,
}

/// A promise of JavaScript. One that is dropped without an answer (after a panic) is rejected with an internal error.
#[derive(Debug)]
pub(crate) struct Promise {
    outlet: Outlet,
    settled: bool,
    /// The credit of the reader of a stream.
    flow: Option<Arc<FlowControl>>,
    pub(super) company: Company,
    /// Its statement was sent, not only the Parse for it.
    pub(super) was_sent: bool,
    /// The other read that may settle the same promise of JavaScript, if there is one.
    racer: Option<Racer>,
    /// None: it is not counted.
    account: Option<Account>,
    /// How long its work waited for a connection, in microseconds.
    pub(super) waited_us: u64,
    /// Its success is a write that lasts.
    pub(crate) is_write: bool,
    /// The node that its work runs on, if JavaScript is told something else in place of the node.
    pub(super) served_by: Option<usize>,
    /// Rows of its earlier results, or of one that has no end yet.
    pub(super) rows_before: u64,
}

/// Sends rows to JavaScript, for a promise or in its place.
#[derive(Clone, Debug)]
pub(super) struct Outlet {
    id: u32,
    queue: Arc<CompletionQueue>,
    /// Rows were sent.
    delivered: bool,
    /// Rows that were sent before do not count: the statement runs again.
    anew: bool,
}

impl Outlet {
    pub(super) fn send_rows(&mut self, rows: u32, shape: u32, packer: &mut Packer) {
        let anew = std::mem::take(&mut self.anew);
        self.delivered = true;
        self.queue.push(&Message { anew, rows, shape, ..Message::new(Kind::Rows, self.id) }, packer);
    }

    /// An empty buffer for rows.
    pub(super) fn packer(&self) -> Packer {
        self.queue.spare()
    }

    /// Whether rows were sent.
    pub(super) fn has_delivered(&self) -> bool {
        self.delivered
    }

    /// Whether JavaScript is behind.
    pub(super) fn is_full(&self) -> bool {
        self.queue.is_full()
    }

    /// Resolves when JavaScript has caught up.
    pub(super) fn room(&self) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        let queue = self.queue.clone();
        Box::pin(async move { queue.has_room().await })
    }
}

/// What it takes to make a second promise for the same call of JavaScript.
#[derive(Debug)]
pub(super) struct Rival {
    id: u32,
    queue: Arc<CompletionQueue>,
    account: Option<Account>,
}

impl Rival {
    pub(super) fn promise(self, racer: Racer) -> Promise {
        let mut promise = Promise::new(self.id, self.queue);
        promise.racer = Some(racer);
        promise.account = self.account;
        promise
    }
}

/// Which other statements may share the connection with a statement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Company {
    #[default]
    OfOthers,
    /// None is sent behind it.
    Alone,
    /// Also statements of its own batch, which the router does not count.
    OfItsBatch,
}

impl Promise {
    pub(crate) fn new(id: u32, queue: Arc<CompletionQueue>) -> Self {
        Self {
            outlet: Outlet { id, queue, delivered: false, anew: false },
            settled: false,
            flow: None,
            company: Company::default(),
            was_sent: false,
            racer: None,
            account: None,
            waited_us: 0,
            is_write: false,
            served_by: None,
            rows_before: 0,
        }
    }

    /// From now on its end is counted.
    pub(crate) fn counted(mut self, counted: Counted, context: &Arc<Context>) -> Self {
        self.account = Some(Account { context: context.clone(), counted });
        self
    }

    /// Counts its statement now, and its error not at all: that is counted once, for a whole batch or transaction.
    pub(super) fn count_without_error(&mut self) {
        if let Some(Account { context, counted: Counted::Statement | Counted::Unload }) = self.account.take() {
            context.cluster.statistics.queries.add(1);
        }
    }

    /// Counts a success. `rows`: rows returned or changed.
    fn count_success(&self, rows: u64, node: usize) {
        let Some(Account { context, counted }) = &self.account else { return };
        let Cluster { statistics, failovers, .. } = &*context.cluster;
        if matches!(counted, Counted::Statement | Counted::Unload) {
            statistics.queries.add(1);
        }
        if matches!(counted, Counted::Statement | Counted::Rows) {
            statistics.rows.add(rows + self.rows_before);
        }
        if self.is_write {
            failovers.note_write(self.served_by.unwrap_or(node));
        }
        if self.is_second() {
            statistics.hedges_won.add(1);
        }
    }

    fn count_error(&self, error: &ClientError, node: Option<usize>) {
        let Some(Account { context, counted }) = &self.account else { return };
        let Cluster { statistics, failovers, .. } = &*context.cluster;
        if matches!(counted, Counted::Statement | Counted::Unload) {
            statistics.queries.add(1);
        }
        // The reader of a stream that left early sees no error.
        let was_left = self.flow.as_ref().is_some_and(|flow| flow.was_left());
        if was_left && matches!(error, ClientError::Aborted { .. }) {
            return;
        }
        if error.outcome() == Some(Outcome::Unknown) {
            if let (ClientError::ConnectionLost { reason, .. }, Some(node)) = (error, self.served_by.or(node)) {
                failovers.note_sign(NoticedBy::Statement, node, || reason.clone());
            }
            statistics.unknown.add(1);
        }
        statistics.count_error(error.code());
    }

    /// Lets a second read settle the call of JavaScript, too: the first answer counts.
    pub(super) fn enter_race(&mut self, racer: Racer) -> Rival {
        self.racer = Some(racer);
        Rival { id: self.outlet.id, queue: self.outlet.queue.clone(), account: self.account.clone() }
    }

    pub(super) fn is_second(&self) -> bool {
        self.racer.as_ref().is_some_and(Racer::is_second)
    }

    /// Notes the node to which the read goes.
    pub(super) fn note_node(&self, node: usize) {
        if let Some(racer) = &self.racer {
            racer.note_node(node);
        }
    }

    /// Whether an answer may go to JavaScript: no other read has answered before.
    fn may_answer(&self) -> bool {
        self.racer.as_ref().is_none_or(Racer::claim)
    }

    /// A promise whose caller reads the rows as they come.
    pub(crate) fn streaming(id: u32, queue: Arc<CompletionQueue>, flow: Arc<FlowControl>) -> Self {
        let mut promise = Self::new(id, queue);
        promise.flow = Some(flow);
        promise
    }

    /// Whether the caller reads the rows as they come.
    pub(crate) fn is_streaming(&self) -> bool {
        self.flow.is_some()
    }

    /// Whether the reader of a stream has got rows, which cannot be taken back.
    pub(crate) fn has_streamed(&self) -> bool {
        self.outlet.delivered && self.flow.is_some()
    }

    /// The most rows of a piece.
    pub(crate) fn piece_rows(&self) -> u32 {
        self.flow.as_ref().map_or(u32::MAX, |flow| flow.piece_rows)
    }

    /// Whether the reader of the rows has left.
    pub(crate) fn reader_has_left(&self) -> bool {
        self.flow.as_ref().is_some_and(|flow| flow.is_closed())
    }

    /// Whether its rows may be sent without it: nobody else may answer its call, and no reader gives credit.
    pub(super) fn may_be_direct(&self) -> bool {
        self.racer.is_none() && self.flow.is_none() && self.company != Company::OfItsBatch
    }

    /// Sends rows in its place.
    pub(super) fn outlet(&self) -> Outlet {
        Outlet { delivered: false, ..self.outlet.clone() }
    }

    /// Notes whether rows were sent in its place.
    pub(super) fn note_delivered(&mut self, delivered: bool) {
        if delivered {
            (self.outlet.delivered, self.outlet.anew) = (true, false);
        }
    }

    /// Sends rows of a result that is not complete yet. Waits while JavaScript is behind.
    pub(crate) async fn send_rows(&mut self, rows: u32, shape: u32, packer: &mut Packer) {
        if !self.may_answer() {
            return;
        }
        self.outlet.send_rows(rows, shape, packer);
        match &self.flow {
            Some(flow) => flow.use_credit().await,
            None => self.outlet.queue.has_room().await,
        }
    }

    /// Allows a load to send more pieces. `sent`: bytes that were sent to the server; `columns`: those of the table, as
    /// JSON.
    pub(crate) fn grant(&self, pieces: u32, sent: u64, columns: String) {
        let message = Message { rows: pieces, row_count: sent, ..Message::new(Kind::Grant, self.outlet.id) };
        self.outlet.queue.push_text(&message, columns);
    }

    /// Sends a piece of an unload, the bytes in `piece.bin`. Waits for credit.
    pub(crate) async fn send_bytes(&mut self, piece: &mut Packed) {
        self.outlet.delivered = true;
        let bytes = piece.bin.len() as u32;
        self.outlet.queue.push(&Message { rows: bytes, ..Message::new(Kind::Bytes, self.outlet.id) }, piece);
        if let Some(flow) = &self.flow {
            flow.use_credit().await;
        }
    }

    /// Sends the last rows and resolves.
    pub(crate) fn resolve(mut self, finished: Finished, node: usize) {
        self.settled = true;
        if !self.may_answer() {
            return;
        }
        let message = Message {
            anew: self.outlet.anew,
            structure: finished.takes_structure,
            rows: finished.rows,
            shape: finished.shape.as_ref().map_or(0, |shape| shape.id),
            row_count: finished.row_count,
            node: node as i32,
            waited_us: self.waited_us as u32,
            ..Message::new(Kind::Done, self.outlet.id)
        };
        self.count_success(finished.row_count, node);
        self.outlet.queue.push_last(&message, finished.packer);
        // The shapes must live until their rows are sent.
        drop(finished.held);
    }

    /// Notes that the statement will run again.
    pub(crate) fn start_again(&mut self) {
        self.outlet.anew |= std::mem::take(&mut self.outlet.delivered);
    }

    /// Resolves without rows.
    pub(crate) fn resolve_empty(self, node: usize) {
        self.resolve(Finished::default(), node);
    }

    /// Resolves before the work has ended; later errors go to other promises.
    pub(crate) fn resolve_early(&mut self, node: usize) {
        if !std::mem::replace(&mut self.settled, true) {
            self.count_success(0, node);
            let waited_us = self.waited_us as u32;
            let message = Message { node: node as i32, waited_us, ..Message::new(Kind::Done, self.outlet.id) };
            self.outlet.queue.push(&message, &mut Packer::default());
        }
    }

    pub(crate) fn is_settled(&self) -> bool {
        self.settled
    }

    /// Rejects, unless it was resolved before.
    pub(crate) fn reject(mut self, error: &ClientError, attempts: u32, node: Option<usize>) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        // What kept one read from its answer need not keep the other.
        let leaves = |racer: &Racer| error.is_of_the_way() && racer.leave();
        if !self.racer.as_ref().is_some_and(leaves) && self.may_answer() {
            self.send_error(error, attempts, node);
        }
    }

    fn send_error(&self, error: &ClientError, attempts: u32, node: Option<usize>) {
        self.count_error(error, node);
        let waited_us = self.waited_us as u32;
        let node = node.map_or(-1, |node| node as i32);
        self.outlet.queue.push_text(
            &Message { node, waited_us, ..Message::new(Kind::Error, self.outlet.id) },
            error.to_json(attempts, is_retryable(error)),
        );
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if !self.settled && !self.racer.as_ref().is_some_and(Racer::leave) {
            self.send_error(&ClientError::Internal("the work ended without an answer".into()), 0, None);
        }
    }
}

/// The end of a result.
#[derive(Debug, Default)]
pub(crate) struct Finished {
    /// Rows in `packer`.
    pub(crate) rows: u32,
    /// None: a statement without rows. Held until the rows are sent, so that the shape is not forgotten before.
    pub(crate) shape: Option<Arc<Shape>>,
    /// Rows returned or changed in all.
    pub(crate) row_count: u64,
    pub(crate) packer: Packer,
    /// Whether the statement takes objects by their members.
    pub(crate) takes_structure: bool,
    /// How long the server was busy with it, in microseconds; 0 if it was prepared before it ran, which takes longer.
    pub(crate) busy_us: u64,
    /// More shapes, held for the same reason.
    pub(crate) held: Vec<Arc<Shape>>,
}
