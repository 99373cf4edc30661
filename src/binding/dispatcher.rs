//! Takes an environment's frames on the I/O thread and gives them to its pools and transactions.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, WeakUnboundedSender};

use crate::binding::frames::{self, Frame, Unreadable};
use crate::binding::numbers::{DESCRIBE, FAILED, HAS_SIGNAL, OWN, Operation, STREAM};
use crate::binding::running_pool::{ReadyPool, RunningPool};
use crate::engine::{ADAPTIVE_SPIN, CompletionQueue};
use crate::error::ClientError;
use crate::pool::prepared::Shapes;
use crate::query::cancellation::{Abort, Cancellation};
use crate::query::commit::Ending;
use crate::query::copy::Piece;
use crate::query::flow_control::FlowControl;
use crate::query::listen;
use crate::query::promise::{Counted, Promise};
use crate::query::transaction::command::TransactionCommand;

/// What JavaScript asks of the I/O thread.
#[derive(Debug)]
pub(super) enum Request {
    Open(u32, Box<ReadyPool>),
    /// Close a pool; the call, if there is one, waits for that.
    Close {
        pool: u32,
        call: Option<u32>,
        limit: Option<Duration>,
    },
    /// A pool has closed: the dispatcher tells itself.
    Closed(u32),
    /// Roll back a transaction that JavaScript has dropped.
    Abandon {
        pool: u32,
        transaction: u32,
    },
    Frames(Bytes),
}

/// Pieces of a stream that may be on their way before its reader has taken one.
const FIRST_CREDIT: u32 = 2;

/// Gives the work of one environment to its pools.
#[derive(Debug)]
pub(super) struct Dispatcher {
    queue: Arc<CompletionQueue>,
    /// Its own requests; weak, because the last sender's drop is the environment's end.
    requests: WeakUnboundedSender<Request>,
    shapes: Arc<Shapes>,
    pools: HashMap<u32, RunningPool>,
    aborts: HashMap<u32, Weak<Abort>>,
    flows: HashMap<u32, Weak<FlowControl>>,
    loads: HashMap<u32, UnboundedSender<Piece>>,
}

impl Dispatcher {
    pub(super) fn new(queue: Arc<CompletionQueue>, requests: WeakUnboundedSender<Request>) -> Self {
        let shapes = Arc::new(Shapes::new(queue.clone()));
        let (pools, aborts, flows, loads) = (HashMap::new(), HashMap::new(), HashMap::new(), HashMap::new());
        Self { queue, requests, shapes, pools, aborts, flows, loads }
    }

    /// Works until the environment has ended.
    pub(super) async fn work(mut self, mut inbox: UnboundedReceiver<Request>) {
        while let Some(request) = inbox.recv().await {
            match request {
                Request::Open(number, ready) => {
                    self.pools.insert(number, RunningPool::start(*ready, self.shapes.clone()));
                }
                Request::Close { pool, call, limit } => self.close(pool, call, limit),
                Request::Closed(pool) => drop(self.pools.remove(&pool)),
                Request::Abandon { pool, transaction } => {
                    if let Some(pool) = self.pools.get_mut(&pool) {
                        pool.abandon(transaction);
                    }
                }
                Request::Frames(bytes) => {
                    ADAPTIVE_SPIN.note_activity();
                    for frame in frames::read(&bytes) {
                        match frame {
                            Ok(frame) => self.carry_out(&frame, &bytes),
                            Err(unreadable) => self.refuse(unreadable),
                        }
                    }
                    self.pools.values().for_each(RunningPool::begin_submitted);
                }
            }
        }
        self.pools.into_values().for_each(RunningPool::cut_off);
    }

    fn close(&mut self, number: u32, call: Option<u32>, limit: Option<Duration>) {
        let promise = call.map(|id| Promise::new(id, self.queue.clone()));
        let Some(pool) = self.pools.get_mut(&number) else {
            if let Some(promise) = promise {
                promise.reject(&ClientError::PoolClosed, 0, None);
            }
            return;
        };
        let (closed, requests) = (pool.close(limit), self.requests.clone());
        drop(tokio::spawn(async move {
            closed.await;
            if let Some(requests) = requests.upgrade() {
                let _ = requests.send(Request::Closed(number));
            }
            if let Some(promise) = promise {
                promise.resolve_empty(0);
            }
        }));
    }

    /// A frame cannot be carried out. Where its caller is unknown, too, id 0 makes JavaScript reject all calls.
    fn refuse(&self, Unreadable { id, reason }: Unreadable) {
        Promise::new(id.unwrap_or(0), self.queue.clone()).reject(&ClientError::Internal(reason), 0, None);
    }

    fn carry_out(&mut self, frame: &Frame<'_>, bytes: &Bytes) {
        match frame.operation {
            Operation::Cancel => self.cancel(frame),
            Operation::Credit => {
                if let Some(flow) = self.flows.get(&frame.id).and_then(Weak::upgrade) {
                    flow.grant(frame.extra);
                }
            }
            Operation::Data | Operation::EndData => self.feed(frame, bytes),
            _ => self.give_to_pool(frame),
        }
    }

    /// Gives a frame to its pool.
    fn give_to_pool(&mut self, frame: &Frame<'_>) {
        let cancellation = self.cancellation(frame);
        let promise = || match &cancellation.flow {
            Some(flow) => Promise::streaming(frame.id, self.queue.clone(), flow.clone()),
            None => Promise::new(frame.id, self.queue.clone()),
        };
        let Some(pool) = self.pools.get_mut(&frame.pool) else {
            if wants_answer(frame.operation) {
                promise().reject(&ClientError::PoolClosed, 0, None);
            }
            return;
        };
        let promise = || {
            let mut promise = promise();
            promise.is_write = frame.transaction == 0 && changes_data(frame.operation);
            match counted(frame) {
                Some(counted) => promise.counted(counted, pool.context()),
                None => promise,
            }
        };
        match frame.operation {
            Operation::Define => pool.define(frame),
            Operation::Forget => pool.forget(frame),
            Operation::Query => pool.query(frame, promise(), cancellation.clone()),
            Operation::Batch => pool.batch(frame, promise(), cancellation.clone(), &self.queue),
            Operation::Begin => pool.begin(frame, promise(), cancellation.clone()),
            Operation::Commit => {
                let sql = frame.text();
                let ending = if sql.is_empty() { Ending::Commit } else { Ending::Prepare(sql) };
                pool.end_transaction(frame, TransactionCommand::Commit(promise(), cancellation.clone(), ending));
            }
            Operation::Rollback => pool.end_transaction(frame, TransactionCommand::Rollback(promise())),
            Operation::Load => {
                if let Some(pieces) = pool.load(frame, promise(), cancellation.clone()) {
                    self.loads.retain(|_, load| !load.is_closed());
                    self.loads.insert(frame.id, pieces);
                }
            }
            Operation::Unload => pool.unload(frame, promise(), cancellation.clone()),
            Operation::Script => pool.script(frame, promise(), cancellation.clone()),
            Operation::EndPrepared => pool.end_prepared(frame, promise(), cancellation.clone()),
            Operation::Pin => pool.pin(frame, promise(), cancellation.clone()),
            Operation::Flight | Operation::Fetch | Operation::ClosePortal => {
                pool.flight(frame, promise(), cancellation.clone());
            }
            Operation::Check => pool.check(frame, promise()),
            Operation::Notices => pool.want_notices(frame.count > 0),
            Operation::Listen => pool.listener(listen::ListenCommand::Listen(frame.text(), promise())),
            Operation::Unlisten => pool.listener(listen::ListenCommand::Unlisten(frame.text(), promise())),
            Operation::Password => pool.password(frame),
            Operation::Panic => pool.panic(promise()),
            Operation::Cancel | Operation::Credit | Operation::Data | Operation::EndData => {}
        }
    }

    /// The signal of a call fired.
    fn cancel(&mut self, frame: &Frame<'_>) {
        if frame.has(OWN)
            && let Some(flow) = self.flows.get(&frame.id).and_then(Weak::upgrade)
        {
            flow.leave();
        }
        if let Some(abort) = self.aborts.remove(&frame.id).and_then(|abort| abort.upgrade()) {
            abort.fire();
            self.pools.values().for_each(RunningPool::check_waiting);
        }
    }

    /// Hands data to a load, unless the load has ended.
    fn feed(&mut self, frame: &Frame<'_>, bytes: &Bytes) {
        let piece = match frame.operation {
            Operation::Data => Piece::Data(bytes.slice_ref(frame.payload), frame.count),
            _ if frame.has(FAILED) => Piece::Failed,
            _ => Piece::End,
        };
        let is_last = !matches!(piece, Piece::Data(..));
        if let Some(load) = self.loads.get(&frame.id) {
            let _ = load.send(piece);
        }
        if is_last {
            self.loads.remove(&frame.id);
        }
    }

    fn cancellation(&mut self, frame: &Frame<'_>) -> Cancellation {
        use Operation::{Batch, Begin, Commit, EndPrepared, Fetch, Flight, Load, Pin, Query, Script, Unload};
        if !matches!(
            frame.operation,
            Query | Batch | Begin | Commit | EndPrepared | Fetch | Flight | Load | Pin | Script | Unload
        ) {
            return Cancellation::default();
        }
        let abort = frame.has(HAS_SIGNAL).then(|| {
            let abort = Arc::<Abort>::default();
            if self.aborts.len() > 1000 {
                self.aborts.retain(|_, abort| abort.strong_count() > 0);
            }
            self.aborts.insert(frame.id, Arc::downgrade(&abort));
            abort
        });
        let mut cancellation = Cancellation::new(frame.timeout_ms, abort);
        if frame.operation == Load {
            cancellation.flow = Some(Arc::new(FlowControl::of_load()));
        }
        if frame.has(STREAM) {
            let flow = Arc::new(FlowControl::new(FIRST_CREDIT, frame.extra));
            self.flows.retain(|_, flow| flow.strong_count() > 0);
            self.flows.insert(frame.id, Arc::downgrade(&flow));
            cancellation.flow = Some(flow);
        }
        cancellation
    }
}

/// Whether an operation changes data, whatever its text is.
fn changes_data(operation: Operation) -> bool {
    matches!(operation, Operation::Load | Operation::Script | Operation::EndPrepared)
}

/// How the answer to a frame is counted, if it is. The statements of a batch are counted, not the batch.
fn counted(frame: &Frame<'_>) -> Option<Counted> {
    use Operation::{Begin, Commit, EndPrepared, Fetch, Flight, Load, Pin, Query, Rollback, Script, Unload};
    match frame.operation {
        Query if frame.has(DESCRIBE) || frame.has(OWN) => Some(Counted::Error),
        Query | Load | Script | Flight => Some(Counted::Statement),
        Fetch => Some(Counted::Rows),
        Unload => Some(Counted::Unload),
        Begin | Commit | EndPrepared | Pin | Rollback => Some(Counted::Error),
        _ => None,
    }
}

/// Whether a call in JavaScript waits for the operation's end.
fn wants_answer(operation: Operation) -> bool {
    use Operation::{Cancel, Credit, Data, Define, EndData, Forget, Notices, Password};
    !matches!(operation, Cancel | Credit | Data | Define | EndData | Forget | Notices | Password)
}
