//! Reads of `pool.read`: each goes to a node that `cluster::placement` chooses, and to another one when that fails.
//!
//! A read runs as a statement on the route of its node ([`ReadFrom::Node`]). When its node cannot be used, when it was
//! lost with its connection, or when the node does not have the position that the read must see, the read is placed
//! anew, until its deadline. A read that can be placed nowhere waits: for a position (`cluster::replay`), or until
//! something changes.
//!
//! A hedged read that has not answered after a while is sent to a second node, too. The first answer wins, and the other
//! read is cancelled on its server (Dean and Barroso, "The Tail at Scale", 2013). Which one may settle the call:
//! `query::race`; how many reads may be sent twice: `budget`.
//!
//! - `plan`: what a read carries from node to node

mod budget;
mod plan;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::{sleep, sleep_until};

use crate::cluster::Cluster;
use crate::cluster::placement::{Placement, Wish};
use crate::cluster::route::{ReadFrom, Route};
use crate::engine::{RetryCause, clock};
use crate::error::{ClientError, Outcome};
use crate::pool::session::Session;
use crate::pool::task::After;
use crate::query::call::Call;
use crate::query::cancellation::Cancellation;
use crate::query::execute::Ahead;
use crate::query::failure::{retry_cause, run_error};
use crate::query::race::Racer;
use crate::query::read::budget::HedgeBudget;
use crate::query::read::plan::ReadPlan;
use crate::query::retry_policy::Cause;
use crate::query::single::{Attempt, Query};

/// While no node answers, a read looks again after so much longer at the latest.
const LONGEST_WAIT: Duration = Duration::from_millis(50);

/// The options of a pool for its reads, as far as a call may change them.
#[derive(Clone, Debug)]
pub(crate) struct ReadDefaults {
    pub(crate) wish: Wish,
    /// The longest wait for a standby to reach a position.
    pub(crate) wait: Duration,
    /// When a read is sent to a second node, too.
    pub(crate) hedge: Option<Duration>,
}

/// The pool, as its reads need it.
pub(crate) trait ReadRouter: std::fmt::Debug + Send + Sync {
    /// Takes a read for its node. It has begun before, if the pool is closing.
    fn accept(&self, read: Box<Read>);
    /// Whether the pool closes and does not wait for its reads any longer, or is gone.
    fn is_giving_up(&self) -> bool;
    /// A pool that closes waits as long as the answer lives.
    fn hold(&self) -> Box<dyn Send>;
}

/// The reads of a pool.
#[derive(Debug)]
pub(crate) struct Reads {
    pub(crate) defaults: ReadDefaults,
    router: Box<dyn ReadRouter>,
    cluster: Arc<Cluster>,
    budget: HedgeBudget,
}

/// A read.
#[derive(Debug)]
pub(crate) struct Read {
    pub(super) query: Query,
    plan: ReadPlan,
    reads: Arc<Reads>,
}

impl Reads {
    pub(crate) fn new(
        cluster: Arc<Cluster>,
        router: Box<dyn ReadRouter>,
        defaults: ReadDefaults,
        hedge_share: f64,
    ) -> Arc<Self> {
        Arc::new(Self { defaults, router, cluster, budget: HedgeBudget::new(hedge_share) })
    }

    /// Runs a read.
    pub(crate) fn begin(self: &Arc<Self>, query: Query, ReadDefaults { wish, wait, hedge }: ReadDefaults) {
        let system = self.cluster.system();
        if let (Some(theirs), Some(ours)) = (wish.after.map(|token| token.system).filter(|id| *id != 0), system)
            && theirs != ours
        {
            let text = format!("after is a token of another cluster: its system is {theirs}, this cluster's {ours}");
            return query.call.fail(&ClientError::InvalidParam(text), None);
        }
        let plan = ReadPlan::new(wish, Instant::now() + wait);
        let mut read = Box::new(Read { query, plan, reads: self.clone() });
        if let Some(after) = hedge.filter(|_| !read.query.call.promise.is_streaming()) {
            read.hedge(after);
        }
        read.place();
    }
}

impl Read {
    /// Sends it to the node that is the best one now, or lets it wait.
    fn place(mut self: Box<Self>) {
        let (call, plan, reads, now) = (&mut self.query.call, &mut self.plan, self.reads.clone(), Instant::now());
        plan.placed = None;
        if reads.router.is_giving_up() {
            return self.query.call.fail(&ClientError::PoolClosed, None);
        }
        if let Some(given_up) = call.cancellation.reached_limit(now) {
            return self.query.call.fail(&given_up.error(Outcome::NotApplied), None);
        }
        let placement = reads.cluster.place_read(plan.wish_at(now));
        let is_over = now >= call.deadline;
        if let Placement::On(node) = placement
            && !is_over
        {
            plan.placed = Some(reads.cluster.placed(node));
            call.promise.note_node(node);
            call.route = Route::Read { from: ReadFrom::Node(node) };
            return reads.router.accept(self);
        }
        // A second read does not wait: the first one is under way.
        let is_second = call.promise.is_second();
        if is_over || plan.is_hopeless() || is_second {
            if is_second && call.attempts == 0 {
                reads.budget.give_back();
            }
            let error = plan.error(&reads.cluster, now.saturating_duration_since(call.submitted));
            return self.query.call.fail(&error, None);
        }
        // At once: a pool that closes must not find nothing to wait for before the task runs.
        let held = reads.router.hold();
        drop(tokio::spawn(self.wait(placement, held)));
    }

    /// Waits until it can be placed, or its time is over.
    async fn wait(mut self: Box<Self>, placement: Placement, held: Box<dyn Send>) {
        let reads = self.reads.clone();
        let deadline = self.query.call.deadline;
        if let (Placement::AfterReplay(nodes), Some(token)) = (placement, self.plan.wish.after) {
            let began = Instant::now();
            self.wait_for(self.plan.wait_until, reads.cluster.replayed(token.lsn, &nodes)).await;
            // That was no wait for a connection.
            self.query.call.deadline += began.elapsed();
        } else {
            if let Some(refusal) = self.find_refusal().await {
                return self.query.call.fail(&refusal, None);
            }
            // What has failed before may be well again.
            self.plan.wish.failed.clear();
            let pause = self.plan.next_pause();
            let changed = async {
                sleep(pause).await;
                reads.cluster.changed().await;
            };
            self.wait_for(deadline.min(Instant::now() + pause + LONGEST_WAIT), changed).await;
        }
        self.place();
        drop(held);
    }

    /// Waits for `ready`, but no longer than until `limit`, or until the read is given up.
    async fn wait_for(&self, limit: Instant, ready: impl Future<Output = ()>) {
        let mut ready = pin!(ready);
        let given_up_by_pool = async {
            while !self.reads.router.is_giving_up() {
                sleep(LONGEST_WAIT).await;
            }
        };
        tokio::select! {
            () = ready.as_mut() => {}
            () = sleep_until(limit.into()) => {}
            _ = self.query.call.cancellation.wait_for_limit() => {}
            () = given_up_by_pool => {}
        }
    }

    /// Why no node lets the client in, if that is so. The monitor does not say why it was refused; a search does.
    async fn find_refusal(&mut self) -> Option<ClientError> {
        let has_waited = std::mem::replace(&mut self.plan.has_waited, true);
        if !has_waited || !self.reads.cluster.is_unknown() {
            return None;
        }
        self.reads.cluster.connect(Route::Read { from: ReadFrom::Any }).await.err()?.hopeless()
    }

    /// It got no connection to its node. It goes to another one, unless nothing can help.
    pub(super) fn fail(mut self: Box<Self>, error: ClientError) {
        let is_over = Instant::now() >= self.query.call.deadline;
        let is_final = match error {
            ClientError::AcquireTimeout { .. } => is_over,
            ClientError::PoolClosed
            | ClientError::Timeout { .. }
            | ClientError::Aborted { .. }
            | ClientError::Internal(_) => true,
            _ => false,
        };
        if is_final {
            return self.query.call.fail(&error, None);
        }
        self.plan.note_no_connection(error);
        self.place();
    }

    /// Runs it once.
    pub(super) async fn run(mut self: Box<Self>, session: &Arc<Session>) -> After<Box<Self>> {
        let node = session.conn.endpoint.index;
        let unproven = self.plan.wish.after.filter(|token| !session.has_position(token.lsn));
        let ahead = unproven.map_or(Ahead::Nothing, Ahead::Place);
        let began = clock();
        match self.query.attempt(session, ahead).await {
            Attempt::Finished(finished) => {
                self.plan.note_answer(finished.busy_us);
                After::Settled(Box::new(move || self.query.call.promise.resolve(finished, node)))
            }
            Attempt::Failed(error) => {
                // An error of the statement is an answer, too.
                if error.is_of_the_way() {
                    self.plan.note_loss();
                } else {
                    self.plan.note_answer(0);
                }
                self.query.call.failed(error, Some(node))
            }
            Attempt::GivenUp(error, node) => {
                self.plan.note_patience(clock() - began);
                self.query.call.failed(error, node)
            }
            Attempt::Again { cause, outcome, .. } => {
                if !self.plan.note_failure(&cause) {
                    return self.query.call.failed(run_error(cause, session, outcome), Some(node));
                }
                if matches!(cause, Cause::NotReplayed) {
                    self.query.call.promise.start_again();
                    self.query.call.context.cluster.statistics.count_retry(RetryCause::Standby);
                } else {
                    self.query.call.prepare_retry(session, retry_cause(&cause)).await;
                }
                After::Settled(Box::new(move || self.place()))
            }
        }
    }

    /// Lets it be sent to a second node if it has not answered after a while.
    fn hedge(&mut self, after: Duration) {
        let (reads, call) = (self.reads.clone(), &mut self.query.call);
        reads.budget.note_read();
        let racer = Racer::first();
        let rival = call.promise.enter_race(racer.clone());
        call.cancellation.racer = Some(racer.clone());
        let (context, cancellation, deadline) = (call.context.clone(), call.cancellation.clone(), call.deadline);
        let (statement, mut plan) =
            (self.query.statement.clone(), ReadPlan::new(self.plan.wish.clone(), self.plan.wait_until));
        drop(tokio::spawn(async move {
            tokio::select! {
                () = sleep(after) => {}
                () = racer.over() => return,
            }
            if !racer.is_open() || !reads.budget.take() {
                return;
            }
            reads.cluster.statistics.hedges.add(1);
            plan.avoid(racer.first_node());
            let second = racer.second();
            let cancellation = Cancellation { racer: Some(second.clone()), ..cancellation };
            let mut call = Call::new(rival.promise(second), context, cancellation);
            call.deadline = deadline;
            Box::new(Self { query: Query::new(call, statement), plan, reads }).place();
        }));
    }
}
