//! A pool as the I/O thread has it: its router, the texts of its statements, its open transactions.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::binding::frames::Frame;
use crate::binding::numbers::{
    BEGINS, BINARY, COMMITS, DESCRIBE, FAILED, MANAGED, NAMED, Operation, PIPELINED, PORTAL, PRIMARY, READ, READ_ONLY,
    READ_OPTIONS, SIMPLE, TOKEN,
};
use crate::binding::options::{PoolOptions, ReadCallOptions, split_definition};
use crate::cluster::Cluster;
use crate::cluster::route::{ReadFrom, Route};
use crate::cluster::statistics::StatisticsView;
use crate::connection::authentication::Password;
use crate::connection::failure::NoPassword;
use crate::connection::notices::Room;
use crate::engine::{CompletionQueue, Kind, Message, lock};
use crate::error::ClientError;
use crate::pool::prepared::Shapes;
use crate::pool::router::{PoolStatus, Router};
use crate::pool::statement_text::StatementText;
use crate::query::Context;
use crate::query::batch::{Batch, BatchItems};
use crate::query::begin::Begin;
use crate::query::call::Call;
use crate::query::cancellation::Cancellation;
use crate::query::commit::EndPrepared;
use crate::query::copy::{Copy, Piece};
use crate::query::job::Job;
use crate::query::listen;
use crate::query::pinned::Pin;
use crate::query::pinned::command::{FlightCall, FlightKind, PinnedCommand};
use crate::query::promise::{Counted, Promise};
use crate::query::read::{ReadDefaults, Reads};
use crate::query::script::Script;
use crate::query::single::Query;
use crate::query::statement::Statement;
use crate::query::transaction::command::{TransactionCommand, TransactionQuery};

/// What JavaScript's thread may ask of a pool at any time. Weak, because the objects of JavaScript may outlive the I/O thread.
#[derive(Clone, Debug)]
pub(super) struct PoolView {
    router: Weak<Router<Job>>,
    has_closed: Arc<AtomicBool>,
    statistics: StatisticsView,
}

impl PoolView {
    /// The counts, as JSON; also once the pool has closed.
    pub(super) fn statistics(&self) -> String {
        self.statistics.report()
    }

    fn router(&self) -> Option<Arc<Router<Job>>> {
        self.router.upgrade().filter(|_| !self.has_closed.load(Ordering::Acquire))
    }

    /// None once the pool has closed.
    pub(super) fn status(&self) -> Option<PoolStatus> {
        self.router().map(|router| router.status())
    }

    /// None once the pool has closed.
    pub(super) fn nodes(&self) -> Option<String> {
        self.router().map(|router| router.cluster.report())
    }
}

/// Requests for a password that wait for JavaScript's answer.
type PasswordRequests = Arc<Mutex<HashMap<u32, oneshot::Sender<Result<String, NoPassword>>>>>;

/// A pool that is ready to start.
#[derive(Debug)]
pub(super) struct ReadyPool {
    pub(super) view: PoolView,
    router: Arc<Router<Job>>,
    requests: PasswordRequests,
    route: Route,
    acquire_timeout: Duration,
    types: crate::codec::Types,
    reads: (ReadDefaults, f64),
}

impl ReadyPool {
    /// Makes a pool; it does nothing before the dispatcher starts it.
    pub(super) fn new(number: u32, mut options: PoolOptions, queue: &Arc<CompletionQueue>) -> Result<Self, String> {
        let requests = PasswordRequests::default();
        let password = match options.passwords() {
            Some(passwords) => Password::PerHost(passwords),
            None => ask(number, queue, &requests),
        };
        let events = queue.clone();
        let event_sink = Arc::new(move |event: serde_json::Value| -> Room {
            events.push_text(&Message::new(Kind::Event, number), event.to_string());
            let events = events.clone();
            events.is_full().then(|| Box::pin(async move { events.has_room().await }) as _)
        });
        let (connect_timeout, monitor_interval, policy) =
            (options.connect_timeout(), options.monitor_interval(), (options.policy(), options.read_policy()));
        let route = options.mode.into();
        let access = options.access(password);
        let cluster = Cluster::new(access, route, connect_timeout, monitor_interval, policy, event_sink);
        let router = Router::new(Arc::new(cluster), route, options.limits()).map_err(|error| error.to_string())?;
        let statistics = router.cluster.statistics_view();
        let view = PoolView { router: Arc::downgrade(&router), has_closed: Arc::default(), statistics };
        let reads = (options.read_defaults(), options.hedge_share());
        let (acquire_timeout, types) = (options.acquire_timeout(), options.types.into());
        Ok(Self { view, router, requests, route, acquire_timeout, types, reads })
    }
}

/// One number for each request of the process: JavaScript finds the function's error by it.
static NEXT_REQUEST: AtomicU32 = AtomicU32::new(1);

/// Asks JavaScript for a password at each login.
fn ask(pool: u32, queue: &Arc<CompletionQueue>, requests: &PasswordRequests) -> Password {
    let (queue, requests) = (queue.clone(), requests.clone());
    Password::Ask(Box::new(move || {
        let number = NEXT_REQUEST.fetch_add(1, Ordering::Relaxed);
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
struct OpenTransaction {
    /// Its drop rolls the transaction back once the commands before it are done.
    commands: UnboundedSender<TransactionCommand>,
    /// A callback ends the transaction, and closing the pool waits for that.
    managed: bool,
}

/// A pool that takes work; it lives on the I/O thread.
#[derive(Debug)]
pub(super) struct RunningPool {
    view: PoolView,
    router: Arc<Router<Job>>,
    context: Arc<Context>,
    requests: PasswordRequests,
    reads: Arc<Reads>,
    texts: HashMap<u32, Arc<StatementText>>,
    transactions: HashMap<u32, OpenTransaction>,
    /// Started by the first LISTEN.
    listener: Option<UnboundedSender<listen::ListenCommand>>,
}

impl RunningPool {
    /// Starts the background work.
    pub(super) fn start(ready: ReadyPool, shapes: Arc<Shapes>) -> Self {
        let ReadyPool { view, router, requests, route, acquire_timeout, types, reads: (defaults, hedge_share) } = ready;
        let reads = Reads::new(router.cluster.clone(), Box::new(Arc::downgrade(&router)), defaults, hedge_share);
        let cluster = router.cluster.clone();
        let context =
            Arc::new(Context { cluster, shapes, types, announced_types: Mutex::default(), route, acquire_timeout });
        router.start();
        let (texts, transactions) = (HashMap::new(), HashMap::new());
        Self { view, router, context, requests, reads, texts, transactions, listener: None }
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        &self.context
    }

    /// A signal fired: the work that waits for a connection checks whether it was cancelled.
    pub(super) fn check_waiting(&self) {
        self.router.wake_sweeper();
    }

    /// Begins the work that has come since the last call.
    pub(super) fn begin_submitted(&self) {
        self.router.begin_submitted();
    }

    pub(super) fn define(&mut self, frame: &Frame<'_>) {
        let (types, sql) = split_definition(&frame.text());
        self.texts.insert(frame.statement, Arc::new(StatementText::new(frame.statement, sql, types)));
    }

    pub(super) fn forget(&mut self, frame: &Frame<'_>) {
        self.texts.remove(&frame.statement);
    }

    pub(super) fn query(&mut self, frame: &Frame<'_>, mut promise: Promise, cancellation: Cancellation) {
        let Some(text) = self.texts.get(&frame.statement).cloned() else {
            return promise.reject(&ClientError::Internal("unknown statement".into()), 0, None);
        };
        let (read, params) = match self.read_options(frame) {
            Ok(read) => read,
            Err(error) => return promise.reject(&error, 0, None),
        };
        promise.is_write = text.facts.writes && frame.transaction == 0;
        let statement = Statement {
            text,
            params: params.to_vec(),
            count: frame.count,
            read_only: frame.has(READ_ONLY),
            describe: frame.has(DESCRIBE),
            token: frame.has(TOKEN),
        };
        if frame.transaction == 0 {
            let mut call = Call::new(promise, self.context.clone(), cancellation);
            if frame.has(PRIMARY) && !call.route.wants_primary() {
                call.route = Route::Read { from: ReadFrom::Primary };
            }
            let query = Query::new(call, statement);
            match read {
                Some(_) if self.router.is_closing() => query.call.fail(&ClientError::PoolClosed, None),
                Some(read) => self.reads.begin(query, read),
                None => self.router.submit(Job::Query(Box::new(query))),
            }
        } else {
            let commits = frame.has(COMMITS);
            let command = TransactionCommand::Query(TransactionQuery { promise, statement, cancellation, commits });
            if commits {
                self.end_transaction(frame, command);
            } else {
                self.command(frame, command);
            }
        }
    }

    /// What a statement asks for if it is a read, and its parameters.
    fn read_options<'a>(&self, frame: &Frame<'a>) -> Result<(Option<ReadDefaults>, &'a [u8]), ClientError> {
        if !frame.has(READ_OPTIONS) {
            return Ok((frame.has(READ).then(|| self.reads.defaults.clone()), frame.payload));
        }
        let unreadable = || ClientError::Internal("unreadable options of a read".into());
        let (json, params) = frame.read_options().ok_or_else(unreadable)?;
        let options = ReadCallOptions::parse(json).map_err(ClientError::Internal)?;
        let read = options.over(&self.reads.defaults);
        Ok((Some(read.ok_or_else(|| ClientError::InvalidParam("after is no consistency token".into()))?), params))
    }

    pub(super) fn batch(
        &self,
        frame: &Frame<'_>,
        promise: Promise,
        cancellation: Cancellation,
        queue: &Arc<CompletionQueue>,
    ) {
        let Some((begin, items)) = frame.items() else {
            return promise.reject(&ClientError::Internal("unreadable batch".into()), 0, None);
        };
        let mut statements = Vec::with_capacity(items.len());
        for item in items {
            let mut promise = Promise::new(item.id, queue.clone()).counted(Counted::Statement, &self.context);
            let Some(text) = self.texts.get(&item.statement).cloned() else {
                promise.reject(&ClientError::Internal("unknown statement".into()), 0, None);
                continue;
            };
            promise.is_write = text.facts.writes;
            let (params, read_only) = (item.params.to_vec(), frame.has(READ_ONLY));
            let (count, describe, token) = (item.count, false, false);
            statements.push((promise, Statement { text, params, count, read_only, describe, token }));
        }
        let items = if begin.is_empty() {
            let query = |(promise, statement)| {
                let call = Call::new(promise, self.context.clone(), Cancellation::default());
                Box::new(Query::new(call, statement))
            };
            BatchItems::Each(statements.into_iter().map(query).collect())
        } else {
            BatchItems::Transaction(begin, statements)
        };
        let call = Call::new(promise, self.context.clone(), cancellation);
        self.router.submit(Job::Batch(Box::new(Batch { call, items })));
    }

    pub(super) fn begin(&mut self, frame: &Frame<'_>, promise: Promise, cancellation: Cancellation) {
        let (sender, commands) = unbounded_channel();
        let managed = frame.has(MANAGED);
        self.transactions.retain(|_, transaction| !transaction.commands.is_closed());
        self.transactions.insert(frame.transaction, OpenTransaction { commands: sender, managed });
        let call = Call::new(promise, self.context.clone(), cancellation);
        let begin = Begin { call, sql: frame.text(), commands, first: None, managed };
        self.router.submit(Job::Begin(Box::new(begin)));
    }

    /// Loads a table; returns where its data goes.
    pub(super) fn load(
        &self,
        frame: &Frame<'_>,
        promise: Promise,
        cancellation: Cancellation,
    ) -> Option<UnboundedSender<Piece>> {
        let target = match serde_json::from_slice(frame.payload) {
            Ok(target) => target,
            Err(error) => {
                promise.reject(&ClientError::Internal(error.to_string()), 0, None);
                return None;
            }
        };
        let (pieces, inbox) = unbounded_channel();
        let call = Call::new(promise, self.context.clone(), cancellation);
        self.copy(frame, Copy::load(call, target, inbox));
        Some(pieces)
    }

    pub(super) fn unload(&self, frame: &Frame<'_>, promise: Promise, cancellation: Cancellation) {
        let call = Call::new(promise, self.context.clone(), cancellation);
        self.copy(frame, Copy::unload(call, frame.text()));
    }

    pub(super) fn script(&self, frame: &Frame<'_>, promise: Promise, cancellation: Cancellation) {
        let call = Call::new(promise, self.context.clone(), cancellation);
        let (types, sql) = split_definition(&frame.text());
        let script = Box::new(Script { call, sql, types });
        if frame.transaction == 0 {
            self.router.submit(Job::Script(script));
        } else {
            self.command(frame, TransactionCommand::Script(script));
        }
    }

    pub(super) fn end_prepared(&self, frame: &Frame<'_>, promise: Promise, cancellation: Cancellation) {
        let call = Call::new(promise, self.context.clone(), cancellation);
        self.router.submit(Job::EndPrepared(Box::new(EndPrepared { call, sql: frame.text() })));
    }

    pub(super) fn pin(&mut self, frame: &Frame<'_>, promise: Promise, cancellation: Cancellation) {
        let (sender, commands) = unbounded_channel();
        self.transactions.retain(|_, transaction| !transaction.commands.is_closed());
        self.transactions.insert(frame.transaction, OpenTransaction { commands: sender, managed: false });
        let call = Call::new(promise, self.context.clone(), cancellation);
        self.router.submit(Job::Pin(Box::new(Pin { call, number: frame.transaction, commands })));
    }

    pub(super) fn flight(&self, frame: &Frame<'_>, promise: Promise, cancellation: Cancellation) {
        let Some(text) = self.texts.get(&frame.statement).cloned() else {
            return promise.reject(&ClientError::Internal("unknown statement".into()), 0, None);
        };
        let kind = match frame.operation {
            Operation::Fetch => FlightKind::Fetch(frame.extra),
            Operation::ClosePortal => FlightKind::Close,
            _ if frame.has(SIMPLE) => FlightKind::Simple,
            _ if frame.has(PORTAL) => FlightKind::Open(frame.extra),
            _ => FlightKind::Statement { named: frame.has(NAMED) },
        };
        let (params, count) = (frame.payload.to_vec(), frame.count);
        let (is_binary, is_pipelined, begins) = (frame.has(BINARY), frame.has(PIPELINED), frame.has(BEGINS));
        let call = FlightCall { promise, cancellation, text, params, count, kind, is_binary, is_pipelined, begins };
        self.command(frame, TransactionCommand::Pinned(Box::new(PinnedCommand::Run(call))));
    }

    pub(super) fn check(&self, frame: &Frame<'_>, promise: Promise) {
        self.command(frame, TransactionCommand::Pinned(Box::new(PinnedCommand::Check(promise))));
    }

    pub(super) fn want_notices(&self, wanted: bool) {
        self.context.cluster.want_notices(wanted);
    }

    pub(super) fn panic(&self, promise: Promise) {
        let call = Call::new(promise, self.context.clone(), Cancellation::default());
        self.router.submit(Job::Panic(Box::new(call)));
    }

    fn copy(&self, frame: &Frame<'_>, copy: Copy) {
        let copy = Box::new(copy);
        if frame.transaction == 0 {
            self.router.submit(Job::Copy(copy));
        } else {
            self.command(frame, TransactionCommand::Copy(copy));
        }
    }

    fn command(&self, frame: &Frame<'_>, command: TransactionCommand) {
        let unsent = match self.transactions.get(&frame.transaction) {
            Some(transaction) => transaction.commands.send(command).err().map(|error| error.0),
            None => Some(command),
        };
        if let Some(command) = unsent {
            command.refuse(&ClientError::Transaction("the transaction has ended".into()), 0, None);
        }
    }

    pub(super) fn listener(&mut self, command: listen::ListenCommand) {
        let listener = self.listener.get_or_insert_with(|| listen::start(&self.context));
        // Its task runs as long as this sender exists.
        let _ = listener.send(command);
    }

    pub(super) fn end_transaction(&mut self, frame: &Frame<'_>, command: TransactionCommand) {
        self.command(frame, command);
        self.transactions.remove(&frame.transaction);
    }

    /// Rolls back a transaction that JavaScript has dropped.
    pub(super) fn abandon(&mut self, transaction: u32) {
        self.transactions.remove(&transaction);
    }

    pub(super) fn password(&self, frame: &Frame<'_>) {
        if let Some(request) = lock(&self.requests).remove(&frame.id) {
            let answer = if frame.has(FAILED) {
                Err(NoPassword { reason: frame.text(), request: frame.id })
            } else {
                Ok(frame.text())
            };
            let _ = request.send(answer);
        }
    }

    /// Takes no more work, and is over when the router has closed. Transactions that no callback will end are rolled back when their
    /// last statement has finished.
    pub(super) fn close(&mut self, limit: Option<Duration>) -> impl Future<Output = ()> + use<> {
        self.transactions.retain(|_, transaction| transaction.managed);
        self.listener = None;
        let (router, view) = (self.router.clone(), self.view.clone());
        async move {
            router.close(limit).await;
            view.has_closed.store(true, Ordering::Release);
        }
    }

    /// Closes at once, because the environment has ended.
    pub(super) fn cut_off(mut self) {
        self.transactions.clear();
        drop(tokio::spawn(self.close(Some(Duration::ZERO))));
    }
}
