//! Which statement runs on which connection, and which waits.
//!
//! Work waits first come first served (`waiting`). An idle connection is always preferred; when none is idle, a statement
//! that allows it is sent down a connection that is busy (pipelining), unless that one has been silent for a while;
//! meanwhile the pool grows up to its size. For each task that needs a connection to itself (a transaction, a statement
//! that can be cancelled) one busy connection is reserved: nothing more is sent down, so that it comes free. Statements
//! that take long leave the last connection to the others, as long as there are such others.
//!
//! deadpool owns the connections; a [`ActiveConnection`] is one that is out of deadpool with work on it. When the last work of a
//! lane ends and nothing waits, it goes back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use deadpool::managed;
use deadpool_postgres::Timeouts;
use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio::time::{sleep, sleep_until, timeout};

use crate::cluster::Cluster;
use crate::connection::failure::ConnectFailure;
use crate::engine::{Backoff, clock, lock};
use crate::error::ClientError;
use crate::pool::active_connection::ActiveConnection;
use crate::pool::node_pool::{Manager, Object, build};
use crate::pool::session::Session;
use crate::pool::task::{After, Sharing, Task};
use crate::pool::wait_queue::WaitQueue;

/// How a pool behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) size: usize,
    pub(crate) idle_timeout: Duration,
    pub(crate) max_lifetime: Duration,
    /// Statements a connection keeps prepared.
    pub(crate) statements: usize,
    /// Statements on one connection at a time.
    pub(crate) depth: usize,
}

/// So long after the last quick statement others are expected.
const QUICK_US: u64 = 100_000;
/// A smaller pool has no connection to spare for quick statements.
const LEAST_TO_SPARE: usize = 4;
/// Attempts to get one more connection at a time: a pool of a hundred must not knock a hundred times at a server that has just
/// come up.
const MOST_ATTEMPTS: usize = 4;
/// How long a cancelled statement may take to end when the pool does.
const CANCEL_GRACE: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct State<T> {
    waiting: WaitQueue<T>,
    active: Vec<Arc<ActiveConnection>>,
    /// When a statement that may share was handed in, by [`clock`].
    last_quick: u64,
    /// Tasks that are about to get a connection from deadpool, usually a new one.
    acquiring: usize,
    /// The last attempt to get one failed.
    failing: bool,
    closing: bool,
    /// When the sweeper looks next; none: it does not run.
    next_sweep: Option<Instant>,
}

/// The public `status()`, readable from any thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Status {
    pub(crate) size: usize,
    pub(crate) in_use: usize,
    pub(crate) waiting: usize,
    pub(crate) pipelined: u64,
}

/// The pool: connections, and the work that waits for them.
#[derive(Debug)]
pub(crate) struct Router<T> {
    pub(crate) cluster: Arc<Cluster>,
    objects: managed::Pool<Manager>,
    limits: Limits,
    state: Mutex<State<T>>,
    sweep: Notify,
    /// Something ended: [`Self::close`] looks again.
    drained: Notify,
    /// How many tasks were sent down a connection that had others on it.
    pipelined: AtomicU64,
}

impl<T: Task> Router<T> {
    pub(crate) fn new(cluster: Arc<Cluster>, limits: Limits) -> Result<Arc<Self>, managed::BuildError> {
        let objects = build(&cluster, limits.size, limits.max_lifetime, limits.statements)?;
        let state = State {
            waiting: WaitQueue::default(),
            last_quick: 0,
            active: Vec::new(),
            acquiring: 0,
            failing: false,
            closing: false,
            next_sweep: None,
        };
        let state = Mutex::new(state);
        let pipelined = AtomicU64::new(0);
        Ok(Arc::new(Self { cluster, objects, limits, state, sweep: Notify::new(), drained: Notify::new(), pipelined }))
    }

    /// Starts the background work; on the I/O thread.
    pub(crate) fn start(self: &Arc<Self>) {
        self.cluster.watch();
        drop(tokio::spawn(keep_house(Arc::downgrade(self))));
    }

    pub(crate) fn status(&self) -> Status {
        let state = lock(&self.state);
        let size = self.objects.status().size;
        let in_use = state.active.len().min(size);
        Status { size, in_use, waiting: state.waiting.len(), pipelined: self.pipelined.load(Ordering::Relaxed) }
    }

    /// Takes work.
    pub(crate) fn submit(self: &Arc<Self>, task: T) {
        let mut state = lock(&self.state);
        if state.closing {
            drop(state);
            return task.fail(ClientError::PoolClosed);
        }
        let wakes_at = task.wakes_at();
        if task.sharing() == Sharing::Any {
            state.last_quick = clock();
        }
        state.waiting.push_back(task);
        self.dispatch(&mut state);
        if !state.waiting.is_empty() {
            self.watch(&mut state, wakes_at);
        }
    }

    /// Something may have become possible, or impossible, for what waits.
    pub(crate) fn look_again(self: &Arc<Self>) {
        self.sweep.notify_one();
    }

    /// Gives what waits to whoever can take it.
    fn dispatch(self: &Arc<Self>, state: &mut State<T>) {
        loop {
            let long = self.may_begin_long(state);
            if state.waiting.len() == if long { 0 } else { state.waiting.long() } {
                break;
            }
            let (active, task) = match self.check_out() {
                Some(object) => {
                    let active = ActiveConnection::new(object);
                    state.active.push(active.clone());
                    (Some(active), state.waiting.pop_oldest(long))
                }
                None => {
                    let growing = self.grow(state);
                    self.reserve_lanes(state);
                    let active = match state.waiting.first_sharing() {
                        // It may be slow: better a new connection of its own, if there may be one.
                        None | Some(Sharing::Alone | Sharing::Long) => None,
                        Some(Sharing::Last) if growing => None,
                        Some(Sharing::Last | Sharing::Any) => self.best_shared(state),
                    };
                    let task = active.as_ref().and_then(|_| state.waiting.pop_sharing());
                    (active, task)
                }
            };
            let (Some(active), Some(task)) = (active, task) else { break };
            let sharing = task.sharing();
            active.join();
            self.seat(&active, sharing);
            drop(tokio::spawn(self.clone().work(active, task, sharing)));
        }
    }

    /// Whether one of those that wait and take long may begin.
    fn may_begin_long(&self, state: &State<T>) -> bool {
        state.waiting.long() > 0 && self.room_for_long(state) > 0
    }

    /// How many more statements that take long may begin.
    fn room_for_long(&self, state: &State<T>) -> usize {
        let spare = self.limits.size >= LEAST_TO_SPARE && clock() - state.last_quick < QUICK_US;
        let most = self.limits.size - usize::from(spare);
        most.saturating_sub(state.active.iter().filter(|active| active.is_long()).count())
    }

    /// Makes as many lanes come free as there are tasks that need one alone, beside those that are on their way.
    fn reserve_lanes(&self, state: &State<T>) {
        let long = if self.may_begin_long(state) { state.waiting.long().min(self.room_for_long(state)) } else { 0 };
        let coming = if state.failing { 0 } else { state.acquiring };
        let wanted = (state.waiting.alone() + long).saturating_sub(coming);
        let mut reserved = state.active.iter().filter(|active| active.is_reserved()).count();
        while reserved < wanted {
            let free = state.active.iter().filter(|active| !active.is_reserved() && !active.is_long());
            let Some(active) = free.min_by_key(|active| active.load()) else { return };
            active.reserve(true);
            reserved += 1;
        }
    }

    /// A task begins on a lane.
    fn seat(&self, active: &ActiveConnection, sharing: Sharing) {
        active.seat(sharing);
        if active.load() > 1 {
            self.pipelined.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// An idle connection, if there is one that is still good. Never waits: our hook does not, and an attempt to
    /// create one is dropped at once.
    fn check_out(&self) -> Option<Object> {
        const AT_ONCE: Timeouts = Timeouts { wait: Some(Duration::ZERO), create: None, recycle: None };
        if self.objects.status().available == 0 {
            return None;
        }
        self.objects.timeout_get(&AT_ONCE).now_or_never()?.ok()
    }

    /// The busy connection that is best to send one more statement down.
    fn best_shared(&self, state: &State<T>) -> Option<Arc<ActiveConnection>> {
        let now = clock();
        let depth = self.limits.depth;
        let open =
            |active: &&Arc<ActiveConnection>| active.is_open(depth, now) && active.session().is_usable(&self.cluster);
        state.active.iter().filter(open).min_by_key(|active| active.load()).cloned()
    }

    /// Starts getting one more connection, if there may be one more and somebody waits for it.
    /// True: one will come, or the attempt is under way.
    fn grow(self: &Arc<Self>, state: &mut State<T>) -> bool {
        let room = state.active.len() + state.acquiring < self.limits.size;
        let wanted = state.acquiring < state.waiting.len().min(MOST_ATTEMPTS);
        if room && wanted && !(state.failing && state.acquiring > 0) {
            state.acquiring += 1;
            drop(tokio::spawn(self.clone().acquire()));
        }
        state.acquiring > 0 && !state.failing
    }

    /// Gets a connection for what waits; as long as something waits.
    async fn acquire(self: Arc<Self>) {
        let mut backoff = Backoff::default();
        loop {
            let appeared = self.cluster.appeared.notified();
            let mut appeared = std::pin::pin!(appeared);
            appeared.as_mut().enable();
            let got = self.objects.get().await;
            if self.acquired(got) {
                break;
            }
            tokio::select! {
                () = sleep(backoff.next()) => {}
                () = appeared => backoff = Backoff::default(),
            }
            if self.nobody_waits() {
                break;
            }
        }
        self.drained.notify_waiters();
    }

    /// What follows from an attempt to get a connection. True: this task has done its part.
    fn acquired(self: &Arc<Self>, got: Result<Object, managed::PoolError<ConnectFailure>>) -> bool {
        let mut state = lock(&self.state);
        let error = match got {
            Ok(object) => {
                state.acquiring -= 1;
                state.failing = false;
                // Idle for a moment: dispatch takes the idle ones first.
                drop(object);
                self.dispatch(&mut state);
                return true;
            }
            Err(error) => error,
        };
        if let Some(refusal) = hopeless(&error).filter(|_| state.active.is_empty()) {
            state.acquiring -= 1;
            let waiting = state.waiting.take_all();
            drop(state);
            for task in waiting {
                task.fail(refusal.clone());
            }
            return true;
        }
        state.failing = true;
        // One is enough to keep trying for all.
        let needless = state.acquiring > 1 || state.waiting.is_empty() || self.objects.is_closed();
        if needless {
            state.acquiring -= 1;
        }
        needless
    }

    /// Whether an acquiring task has nobody to try for any more; it is counted off then.
    fn nobody_waits(&self) -> bool {
        let mut state = lock(&self.state);
        let nobody = state.waiting.is_empty();
        if nobody {
            state.acquiring -= 1;
            state.failing = false;
        }
        nobody
    }

    /// Runs a task, and then what waits, on one lane.
    async fn work(self: Arc<Self>, active: Arc<ActiveConnection>, first: T, sharing: Sharing) {
        // If a task panics its drop tells its caller; this gives the lane back all the same.
        let seat = Seat { router: self.clone(), active: Some(active.clone()) };
        let (mut task, mut sharing) = (first, sharing);
        loop {
            let after = task.run(active.session()).await;
            if active.session().needs_tidying(&self.cluster) {
                // Boxed: each task carries the room for it.
                Box::pin(active.session().tidy(&self.cluster)).await;
            }
            active.unseat(sharing);
            let answer = match after {
                After::Settled(answer) => Some(answer),
                After::Again(task) => {
                    let mut state = lock(&self.state);
                    self.watch(&mut state, task.wakes_at());
                    state.waiting.push_front(task);
                    None
                }
            };
            let next = self.next_for(&active);
            let Some(next) = next else {
                drop(active);
                drop(seat);
                return answer.into_iter().for_each(|answer| answer());
            };
            if let Some(answer) = answer {
                answer();
            }
            (task, sharing) = next;
        }
    }

    /// What a worker of this lane does next.
    fn next_for(&self, active: &ActiveConnection) -> Option<(T, Sharing)> {
        let mut state = lock(&self.state);
        if !active.session().is_usable(&self.cluster) {
            return None;
        }
        let task = if active.load() == 1 {
            // It is as good as idle.
            active.reserve(false);
            let long = self.may_begin_long(&state);
            state.waiting.pop_oldest(long)
        } else if active.may_follow() && state.waiting.first_sharing().is_some() {
            state.waiting.pop_sharing()
        } else {
            None
        }?;
        let sharing = task.sharing();
        self.seat(active, sharing);
        Some((task, sharing))
    }

    /// A worker leaves its lane; the last one gives the connection back.
    fn leave(self: &Arc<Self>, active: Arc<ActiveConnection>) {
        let mut state = lock(&self.state);
        if active.leave() {
            state.active.retain(|other| !Arc::ptr_eq(other, &active));
            if let Some(active) = Arc::into_inner(active) {
                if active.session().is_usable(&self.cluster) && !state.closing {
                    drop(active.object);
                } else {
                    drop(Object::take(active.object));
                }
            }
        }
        self.dispatch(&mut state);
        drop(state);
        self.drained.notify_waiters();
    }

    /// Makes sure that somebody looks at what waits at this time.
    fn watch(self: &Arc<Self>, state: &mut State<T>, wakes_at: Instant) {
        match state.next_sweep {
            None => {
                state.next_sweep = Some(wakes_at);
                drop(tokio::spawn(self.clone().sweep()));
            }
            Some(at) if wakes_at < at => {
                state.next_sweep = Some(wakes_at);
                self.sweep.notify_one();
            }
            Some(_) => {}
        }
    }

    /// Fails what has waited too long, as long as something waits.
    async fn sweep(self: Arc<Self>) {
        loop {
            let Some(at) = lock(&self.state).next_sweep else { return };
            tokio::select! {
                () = sleep_until(at.into()) => {}
                () = self.sweep.notified() => {}
            }
            let idle = self.fail_expired(Instant::now());
            if idle {
                self.drained.notify_waiters();
                return;
            }
        }
    }

    /// True when nothing waits any more.
    fn fail_expired(&self, now: Instant) -> bool {
        let mut state = lock(&self.state);
        // Busy connections that still suit would have come free: then the pool is too small. Else nothing suits.
        let lacks_connections = !state.active.iter().any(|active| active.session().is_usable(&self.cluster));
        let stunted = (state.failing && state.active.len() < self.limits.size).then_some(state.active.len());
        let failed = state.waiting.take_out(|task| match task.verdict(now) {
            None if task.deadline() <= now => Some(self.out_of_time(task, lacks_connections, stunted, now)),
            verdict => verdict,
        });
        state.next_sweep = state.waiting.wakes_at();
        let idle = state.next_sweep.is_none();
        drop(state);
        for (task, error) in failed {
            task.fail(error);
        }
        idle
    }

    /// `stunted`: so many connections there are, because attempts to make more have failed.
    fn out_of_time(&self, task: &T, lacks_connections: bool, stunted: Option<usize>, now: Instant) -> ClientError {
        let waited_ms = now.duration_since(task.submitted()).as_millis() as u64;
        if lacks_connections {
            let wanted = self.cluster.mode.wanted();
            ClientError::NoPrimary { wanted, waited_ms, nodes: self.cluster.reasons(self.cluster.mode) }
        } else {
            let nodes = stunted.map_or_else(Vec::new, |_| self.cluster.refusals());
            ClientError::AcquireTimeout { size: stunted.unwrap_or(self.limits.size), waited_ms, nodes }
        }
    }

    /// Takes no more work, lets what there is finish (until `limit`, then cancels it), and closes every connection.
    pub(crate) async fn close(self: &Arc<Self>, limit: Option<Duration>) {
        lock(&self.state).closing = true;
        let finished = async {
            loop {
                let drained = self.drained.notified();
                if self.is_drained() {
                    return;
                }
                drained.await;
            }
        };
        match limit {
            None => finished.await,
            Some(limit) => {
                let mut finished = std::pin::pin!(finished);
                if timeout(limit, finished.as_mut()).await.is_err() {
                    self.cancel_all().await;
                    finished.await;
                }
            }
        }
        self.objects.close();
        self.cluster.retired.notify_one();
        self.cluster.close().await;
    }

    fn is_drained(&self) -> bool {
        let state = lock(&self.state);
        state.waiting.is_empty() && state.active.is_empty()
    }

    /// Takes all that waits, and lists what runs.
    fn empty_out(&self) -> (Vec<T>, Vec<Arc<Session>>) {
        let mut state = lock(&self.state);
        let running = state.active.iter().map(|active| active.session().clone()).collect();
        (state.waiting.take_all().collect(), running)
    }

    async fn cancel_all(&self) {
        let (waiting, running) = self.empty_out();
        for task in waiting {
            task.fail(ClientError::PoolClosed);
        }
        let cancels = running.iter().map(|session| session.conn.cancel());
        let _ = timeout(CANCEL_GRACE, futures_util::future::join_all(cancels)).await;
        // What the cancel did not end within a moment ends with its connection.
        let _ = timeout(CANCEL_GRACE, self.drained.notified()).await;
        for session in &running {
            session.conn.cut();
        }
    }

    fn drop_stale(&self) {
        let idle = self.limits.idle_timeout;
        let keep = |session: &Arc<Session>| session.may_be_reused(&self.cluster) && session.conn.idle_for() < idle;
        drop(self.objects.retain(|session, _| keep(session)));
    }
}

/// Counts a worker's place on its lane, panics included.
struct Seat<T: Task> {
    router: Arc<Router<T>>,
    active: Option<Arc<ActiveConnection>>,
}

impl<T: Task> Drop for Seat<T> {
    fn drop(&mut self) {
        if let Some(active) = self.active.take() {
            if std::thread::panicking() {
                active.session().conn.cut();
            }
            self.router.leave(active);
        }
    }
}

/// Drops idle connections that are too old, or whose node was fenced or lost.
async fn keep_house<T: Task>(router: std::sync::Weak<Router<T>>) {
    loop {
        let Some(strong) = router.upgrade() else { return };
        if strong.objects.is_closed() {
            return;
        }
        strong.drop_stale();
        let cluster = strong.cluster.clone();
        let interval = (strong.limits.idle_timeout / 4).clamp(Duration::from_millis(50), Duration::from_secs(10));
        drop(strong);
        tokio::select! {
            () = sleep(interval) => {}
            () = cluster.retired.notified() => {}
        }
    }
}

/// An error that waiting does not mend.
fn hopeless(error: &managed::PoolError<ConnectFailure>) -> Option<ClientError> {
    match error {
        managed::PoolError::Backend(failure) => failure.hopeless(),
        _ => None,
    }
}
