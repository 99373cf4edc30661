//! Takes an environment's frames on the I/O thread and gives them to its pools and transactions.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::binding::frames::{self, Frame, Unreadable};
use crate::binding::numbers::{DESCRIBE, FAILED, HAS_SIGNAL, MANAGED, Operation, READ_ONLY, READ_ROUTE, STREAM};
use crate::binding::options::PoolOptions;
use crate::cluster::Cluster;
use crate::cluster::route::{ReadFrom, Route};
use crate::connection::authentication::Password;
use crate::connection::failure::NoPassword;
use crate::connection::notices::Room;
use crate::engine::{ADAPTIVE_SPIN, CompletionQueue, Kind, Message, lock};
use crate::error::ClientError;
use crate::pool::prepared::{Shapes, StatementText};
use crate::pool::router::{Router, Status};
use crate::query::Context;
use crate::query::batch::{Batch, Items};
use crate::query::begin::Begin;
use crate::query::call::Call;
use crate::query::cancellation::{Abort, Cancellation};
use crate::query::copy::{Copy, Piece};
use crate::query::flow_control::FlowControl;
use crate::query::job::Job;
use crate::query::listen;
use crate::query::promise::Promise;
use crate::query::script::Script;
use crate::query::single::Query;
use crate::query::statement::Statement;
use crate::query::transaction::Command;

/// What comes in from JavaScript.
#[derive(Debug)]
pub(super) enum Request {
    Open(u32, Box<Opened>),
    /// The pool has ended.
    Forget(u32),
    Frames(Vec<u8>),
}

/// What JavaScript's thread may ask of a pool at any time.
#[derive(Clone, Debug)]
pub(super) struct PoolHandle {
    router: Arc<Router<Job>>,
}

impl PoolHandle {
    pub(super) fn status(&self) -> Status {
        self.router.status()
    }

    pub(super) fn nodes(&self) -> String {
        self.router.cluster.report()
    }
}

/// Requests for a password that wait for JavaScript's answer.
type PasswordRequests = Arc<Mutex<HashMap<u32, oneshot::Sender<Result<String, NoPassword>>>>>;

/// A pool that is ready to start.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) handle: PoolHandle,
    requests: PasswordRequests,
    route: Route,
    acquire_timeout: Duration,
    types: crate::codec::Types,
}

/// Makes a pool; it does nothing before the desk starts it.
pub(super) fn open(pool: u32, mut options: PoolOptions, queue: &Arc<CompletionQueue>) -> Result<Opened, String> {
    let requests = PasswordRequests::default();
    let password = match options.passwords() {
        Some(passwords) => Password::PerHost(passwords),
        None => ask(pool, queue, &requests),
    };
    let events = queue.clone();
    let event_sink = Arc::new(move |event: serde_json::Value| -> Room {
        events.push_text(&Message::new(Kind::Event, pool), event.to_string());
        let events = events.clone();
        events.is_full().then(|| Box::pin(async move { events.has_room().await }) as _)
    });
    let (connect_timeout, monitor_interval, policy) =
        (options.connect_timeout(), options.monitor_interval(), options.policy());
    let route = options.mode.into();
    let access = options.access(password);
    let cluster = Cluster::new(access, route, connect_timeout, monitor_interval, policy, event_sink);
    let router = Router::new(Arc::new(cluster), route, options.limits()).map_err(|error| error.to_string())?;
    let (acquire_timeout, types) = (options.acquire_timeout(), options.types.into());
    Ok(Opened { route, handle: PoolHandle { router }, requests, acquire_timeout, types })
}

/// One number for each question of the process: JavaScript finds an error by it.
static NEXT: AtomicU32 = AtomicU32::new(1);

/// Passwords that JavaScript is asked for.
fn ask(pool: u32, queue: &Arc<CompletionQueue>, requests: &PasswordRequests) -> Password {
    let (queue, requests) = (queue.clone(), requests.clone());
    Password::Ask(Box::new(move || {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = oneshot::channel();
        let mut waiting = lock(&requests);
        waiting.retain(|_, waiting| !waiting.is_closed());
        waiting.insert(number, answer);
        drop(waiting);
        queue.push_text(&Message { rows: number, ..Message::new(Kind::Password, pool) }, String::new());
        let closed = || Err(NoPassword { reason: "the pool is closed".into(), request: 0 });
        Box::pin(async move { answered.await.unwrap_or_else(|_| closed()) })
    }))
}

#[derive(Debug)]
struct Transaction {
    commands: UnboundedSender<Command>,
    /// A callback ends it; the pool's end waits for that.
    managed: bool,
}

#[derive(Debug)]
struct Pool {
    router: Arc<Router<Job>>,
    context: Arc<Context>,
    requests: PasswordRequests,
    texts: HashMap<u32, Arc<StatementText>>,
    transactions: HashMap<u32, Transaction>,
    /// There once somebody listens.
    listener: Option<UnboundedSender<listen::Command>>,
}

/// Pieces of a stream that may be on their way before its reader has taken one.
const FIRST_CREDIT: u32 = 2;

/// One environment's pools.
#[derive(Debug)]
pub(super) struct Dispatcher {
    queue: Arc<CompletionQueue>,
    shapes: Arc<Shapes>,
    pools: HashMap<u32, Pool>,
    aborts: HashMap<u32, Weak<Abort>>,
    flows: HashMap<u32, Weak<FlowControl>>,
    loads: HashMap<u32, UnboundedSender<Piece>>,
}

impl Dispatcher {
    pub(super) fn new(queue: Arc<CompletionQueue>) -> Self {
        let shapes = Arc::new(Shapes::new(queue.clone()));
        Self {
            queue,
            shapes,
            pools: HashMap::new(),
            aborts: HashMap::new(),
            flows: HashMap::new(),
            loads: HashMap::new(),
        }
    }

    /// Works until the environment is gone.
    pub(super) async fn work(mut self, mut inbox: UnboundedReceiver<Request>) {
        while let Some(mail) = inbox.recv().await {
            match mail {
                Request::Open(number, opened) => self.open(number, *opened),
                Request::Forget(number) => drop(self.pools.remove(&number)),
                Request::Frames(bytes) => {
                    ADAPTIVE_SPIN.note_activity();
                    for frame in frames::read(&bytes) {
                        match frame {
                            Ok(frame) => self.take(&frame),
                            Err(unreadable) => self.refuse(unreadable),
                        }
                    }
                }
            }
        }
        for pool in self.pools.into_values() {
            drop((pool.transactions, pool.listener));
            drop(tokio::spawn(async move { pool.router.close(Some(Duration::ZERO)).await }));
        }
    }

    fn open(&mut self, number: u32, opened: Opened) {
        let Opened { handle: PoolHandle { router }, requests, route, acquire_timeout, types } = opened;
        let cluster = router.cluster.clone();
        let shapes = self.shapes.clone();
        let context =
            Arc::new(Context { cluster, shapes, types, announced_types: Mutex::default(), route, acquire_timeout });
        router.start();
        let (texts, transactions) = (HashMap::new(), HashMap::new());
        let pool = Pool { router, context, requests, texts, transactions, listener: None };
        self.pools.insert(number, pool);
    }

    /// A frame cannot be carried out. Where even its caller is unknown, JavaScript is told that nobody may wait any more.
    fn refuse(&self, Unreadable { id, reason }: Unreadable) {
        Promise::new(id.unwrap_or(0), self.queue.clone()).fail(&ClientError::Internal(reason), 0, None);
    }

    fn take(&mut self, frame: &Frame<'_>) {
        let cancellation = self.cancellation(frame);
        let promise = || match &cancellation.flow {
            Some(flow) => Promise::streaming(frame.id, self.queue.clone(), flow.clone()),
            None => Promise::new(frame.id, self.queue.clone()),
        };
        if frame.operation == Operation::Cancel {
            if let Some(abort) = self.aborts.remove(&frame.id).and_then(|abort| abort.upgrade()) {
                abort.fire();
                self.pools.values().for_each(|pool| pool.router.look_again());
            }
            return;
        }
        if frame.operation == Operation::Credit {
            if let Some(flow) = self.flows.get(&frame.id).and_then(Weak::upgrade) {
                flow.grant(frame.extra);
            }
            return;
        }
        if matches!(frame.operation, Operation::Data | Operation::EndData) {
            return self.feed(frame);
        }
        let Some(pool) = self.pools.get_mut(&frame.pool) else {
            if wants_answer(frame.operation) {
                promise().fail(&ClientError::PoolClosed, 0, None);
            }
            return;
        };
        match frame.operation {
            Operation::Define => {
                let (types, sql) = crate::binding::options::split_definition(&frame.text());
                pool.texts.insert(frame.statement, Arc::new(StatementText::new(frame.statement, sql, types)));
            }
            Operation::Forget => drop(pool.texts.remove(&frame.statement)),
            Operation::Query => pool.query(frame, promise(), cancellation.clone()),
            Operation::Batch => pool.batch(frame, promise(), cancellation.clone(), &self.queue),
            Operation::Begin => pool.begin(frame, promise(), cancellation.clone()),
            Operation::Commit => pool.end_transaction(frame, Command::Commit(promise(), cancellation.clone())),
            Operation::Rollback => pool.end_transaction(frame, Command::Rollback(promise())),
            Operation::Load => match serde_json::from_slice(frame.payload) {
                Ok(target) => {
                    let (pieces, inbox) = unbounded_channel();
                    self.loads.retain(|_, load| !load.is_closed());
                    self.loads.insert(frame.id, pieces);
                    let call = Call::new(promise(), pool.context.clone(), cancellation.clone());
                    pool.copy(frame, Copy::load(call, target, inbox));
                }
                Err(error) => promise().fail(&ClientError::Internal(error.to_string()), 0, None),
            },
            Operation::Unload => {
                let call = Call::new(promise(), pool.context.clone(), cancellation.clone());
                pool.copy(frame, Copy::unload(call, frame.text()));
            }
            Operation::Script => {
                let call = Call::new(promise(), pool.context.clone(), cancellation.clone());
                let (types, sql) = crate::binding::options::split_definition(&frame.text());
                let script = Box::new(Script { call, sql, types });
                if frame.transaction == 0 {
                    pool.router.submit(Job::Script(script));
                } else {
                    pool.command(frame, Command::Script(script));
                }
            }
            Operation::Notices => pool.context.cluster.want_notices(frame.count > 0),
            Operation::Listen => pool.listener(listen::Command::Listen(frame.text(), promise())),
            Operation::Unlisten => pool.listener(listen::Command::Unlisten(frame.text(), promise())),
            Operation::Abandon => pool.end_transaction(frame, Command::Abandon),
            Operation::Password => pool.password(frame),
            Operation::End => {
                let promise = promise();
                if let Some(pool) = self.pools.remove(&frame.pool) {
                    let number = frame.pool;
                    let limit = (frame.timeout_ms > 0).then(|| Duration::from_millis(frame.timeout_ms));
                    self.pools.insert(number, pool.end(limit, promise));
                }
            }
            Operation::Panic => {
                let call = Call::new(promise(), pool.context.clone(), Cancellation::default());
                pool.router.submit(Job::Panic(Box::new(call)));
            }
            Operation::Cancel | Operation::Credit | Operation::Data | Operation::EndData => {}
        }
    }

    /// Hands data to a load; one that has ended needs none.
    fn feed(&mut self, frame: &Frame<'_>) {
        let piece = match frame.operation {
            Operation::Data => Piece::Data(frame.payload.to_vec(), frame.count),
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
        use Operation::{Batch, Begin, Commit, Load, Query, Script, Unload};
        if !matches!(frame.operation, Query | Batch | Begin | Commit | Load | Script | Unload) {
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

/// Whether somebody in JavaScript waits for the operation's end.
fn wants_answer(operation: Operation) -> bool {
    use Operation::{Abandon, Cancel, Credit, Data, Define, EndData, Forget, Notices, Password};
    !matches!(operation, Abandon | Cancel | Credit | Data | Define | EndData | Forget | Notices | Password)
}

impl Pool {
    fn query(&mut self, frame: &Frame<'_>, promise: Promise, cancellation: Cancellation) {
        let Some(text) = self.texts.get(&frame.statement).cloned() else {
            return promise.fail(&ClientError::Internal("unknown statement".into()), 0, None);
        };
        let (params, read_only) = (frame.payload.to_vec(), frame.has(READ_ONLY));
        let describe = frame.has(DESCRIBE);
        let statement = Statement { text, params, count: frame.count, read_only, describe };
        if frame.transaction == 0 {
            let mut call = Call::new(promise, self.context.clone(), cancellation);
            if frame.has(READ_ROUTE) {
                call.route = Route::Read { from: ReadFrom::PreferStandby };
            }
            let query = Query { call, statement };
            self.router.submit(Job::Query(Box::new(query)));
        } else {
            self.command(frame, Command::Query { promise, statement, cancellation });
        }
    }

    fn batch(&mut self, frame: &Frame<'_>, promise: Promise, cancellation: Cancellation, queue: &Arc<CompletionQueue>) {
        let Some((begin, items)) = frame.items() else {
            return promise.fail(&ClientError::Internal("unreadable batch".into()), 0, None);
        };
        let mut statements = Vec::with_capacity(items.len());
        for item in items {
            let promise = Promise::new(item.id, queue.clone());
            let Some(text) = self.texts.get(&item.statement).cloned() else {
                promise.fail(&ClientError::Internal("unknown statement".into()), 0, None);
                continue;
            };
            let (params, read_only) = (item.params.to_vec(), frame.has(READ_ONLY));
            statements.push((promise, Statement { text, params, count: item.count, read_only, describe: false }));
        }
        let items = if begin.is_empty() {
            let query = |(promise, statement)| {
                let call = Call::new(promise, self.context.clone(), Cancellation::default());
                Box::new(Query { call, statement })
            };
            Items::Each(statements.into_iter().map(query).collect())
        } else {
            Items::Transaction(begin, statements)
        };
        let call = Call::new(promise, self.context.clone(), cancellation);
        self.router.submit(Job::Batch(Box::new(Batch { call, items })));
    }

    fn begin(&mut self, frame: &Frame<'_>, promise: Promise, cancellation: Cancellation) {
        let (sender, commands) = unbounded_channel();
        let managed = frame.has(MANAGED);
        self.transactions.retain(|_, transaction| !transaction.commands.is_closed());
        self.transactions.insert(frame.transaction, Transaction { commands: sender, managed });
        let call = Call::new(promise, self.context.clone(), cancellation);
        let begin = Begin { call, sql: frame.text(), commands, first: None, managed };
        self.router.submit(Job::Begin(Box::new(begin)));
    }

    fn copy(&mut self, frame: &Frame<'_>, copy: Copy) {
        let copy = Box::new(copy);
        if frame.transaction == 0 {
            self.router.submit(Job::Copy(copy));
        } else {
            self.command(frame, Command::Copy(copy));
        }
    }

    fn command(&mut self, frame: &Frame<'_>, command: Command) {
        let unsent = match self.transactions.get(&frame.transaction) {
            Some(transaction) => transaction.commands.send(command).err().map(|error| error.0),
            None => Some(command),
        };
        if let Some(command) = unsent {
            command.refuse(&ClientError::Transaction("the transaction has ended".into()), 0, None);
        }
    }

    fn listener(&mut self, command: listen::Command) {
        let listener = self.listener.get_or_insert_with(|| listen::start(&self.context));
        // It outlives this sender.
        let _ = listener.send(command);
    }

    fn end_transaction(&mut self, frame: &Frame<'_>, command: Command) {
        self.command(frame, command);
        self.transactions.remove(&frame.transaction);
    }

    fn password(&self, frame: &Frame<'_>) {
        if let Some(request) = lock(&self.requests).remove(&frame.id) {
            let answer = if frame.has(FAILED) {
                Err(NoPassword { reason: frame.text(), request: frame.id })
            } else {
                Ok(frame.text())
            };
            let _ = request.send(answer);
        }
    }

    /// Closes the router in the background. Transactions that no callback will end are rolled back when their last
    /// statement has finished: dropping the sender is the last thing in their mailbox.
    fn end(mut self, limit: Option<Duration>, promise: Promise) -> Self {
        self.transactions.retain(|_, transaction| transaction.managed);
        self.listener = None;
        let router = self.router.clone();
        drop(tokio::spawn(async move {
            router.close(limit).await;
            promise.done_empty(0);
        }));
        self
    }
}
