//! Reads of `pool.read`: each goes to a node that `cluster::placement` chooses, and to another one when that fails.
//!
//! A read runs as a statement on the route of its node ([`ReadFrom::Node`]). When its node cannot be used, when it was
//! lost with its connection, or when the node does not have the position that the read must see, the read is placed
//! anew, until its deadline. A read that can be placed nowhere waits: for a position (`cluster::replay`), or until
//! something changes.
//!
//! - `hedge`: a read that is slow is sent to a second node, too

pub(crate) mod hedge;

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::time::{sleep, sleep_until};

use crate::cluster::Cluster;
use crate::cluster::consistency::Token;
use crate::cluster::placement::{PlacedRead, Placement, Wish};
use crate::cluster::replay::LogPlace;
use crate::cluster::route::{ReadFrom, Route};
use crate::error::{ClientError, Outcome};
use crate::pool::router::Router;
use crate::pool::session::Session;
use crate::pool::task::After;
use crate::query::job::Job;
use crate::query::read::hedge::HedgeBudget;
use crate::query::retry_policy::Cause;
use crate::query::single::Query;

/// A read that has lost its connection this often is not sent again: it may be the reason.
const LOSSES: usize = 5;
/// While no node answers, a read looks again after this time at the latest, and at the earliest.
const LONGEST_WAIT: Duration = Duration::from_millis(50);
const SHORTEST_WAIT: Duration = Duration::from_millis(2);

/// The options of a pool for its reads, as far as a call may change them.
#[derive(Clone, Debug)]
pub(crate) struct ReadDefaults {
    pub(crate) wish: Wish,
    /// The longest wait for a standby to reach a position.
    pub(crate) wait: Duration,
    /// When a read is sent to a second node, too.
    pub(crate) hedge: Option<Duration>,
}

/// The reads of a pool.
#[derive(Debug)]
pub(crate) struct Reads {
    pub(crate) defaults: ReadDefaults,
    router: Weak<Router<Job>>,
    cluster: Arc<Cluster>,
    budget: HedgeBudget,
}

/// What a read carries beside what all calls carry.
#[derive(Debug)]
pub(crate) struct ReadPlan {
    reads: Arc<Reads>,
    pub(super) wish: Wish,
    /// Until when it waits for a standby to reach its position.
    wait_until: Instant,
    /// The node that has to answer it now.
    pub(super) placed: Option<PlacedRead>,
    losses: usize,
    /// It could be placed nowhere before.
    has_waited: bool,
    /// Why the last node could not be used, if another attempt cannot help.
    refusal: Option<ClientError>,
}

impl Reads {
    pub(crate) fn new(router: &Arc<Router<Job>>, defaults: ReadDefaults, hedge_share: f64) -> Arc<Self> {
        let (cluster, budget) = (router.cluster.clone(), HedgeBudget::new(hedge_share));
        Arc::new(Self { defaults, router: Arc::downgrade(router), cluster, budget })
    }

    /// Runs a read.
    pub(crate) fn begin(self: &Arc<Self>, mut query: Box<Query>, ReadDefaults { wish, wait, hedge }: ReadDefaults) {
        let system = self.cluster.system();
        if let (Some(theirs), Some(ours)) = (wish.after.map(|token| token.system).filter(|id| *id != 0), system)
            && theirs != ours
        {
            let text = format!("after is a token of another cluster: its system is {theirs}, this cluster's {ours}");
            return query.call.fail(&ClientError::InvalidParam(text), None);
        }
        let wait_until = Instant::now() + wait;
        query.call.read = Some(Box::new(self.plan(wish, wait_until)));
        if let Some(after) = hedge.filter(|_| !query.call.promise.is_streaming()) {
            hedge::begin(self, &mut query, after, wait_until);
        }
        place(query);
    }

    fn plan(self: &Arc<Self>, wish: Wish, wait_until: Instant) -> ReadPlan {
        ReadPlan { reads: self.clone(), wish, wait_until, placed: None, losses: 0, has_waited: false, refusal: None }
    }
}

impl ReadPlan {
    /// The position that the session must have, if it is not known to have it.
    pub(super) fn unproven_position(&self, session: &Session) -> Option<Token> {
        self.wish.after.filter(|token| !session.has_position(token.lsn))
    }

    /// The error for a read that was not answered in time.
    fn error(&mut self, waited: Duration) -> ClientError {
        if let Some(refusal) = self.refusal.take() {
            return refusal;
        }
        let (waited_ms, nodes) = (waited.as_millis() as u64, self.reads.cluster.why_unfit(&self.wish));
        if self.wish.fallback {
            ClientError::NoPrimary { wanted: "standby or primary to read from", waited_ms, nodes }
        } else {
            ClientError::NoStandby { waited_ms, nodes }
        }
    }

    /// Notes how an attempt at its node ended that has to be repeated.
    pub(super) fn note_attempt(&mut self, cause: &Cause) {
        let Some(placed) = self.placed.take() else { return };
        match cause {
            Cause::NotReplayed => self.wish.may_try = false,
            // A conflict with recovery says nothing about the node.
            Cause::Server(error) if !error.ends_session => self.wish.failed.push(placed.node()),
            _ => {
                placed.failed();
                self.losses += 1;
                self.wish.failed.push(placed.node());
            }
        }
    }

    /// Whether the read may be sent once more.
    pub(super) fn may_try_again(&self) -> bool {
        self.losses < LOSSES
    }
}

/// Sends a read to the node that is the best one now, or lets it wait.
pub(super) fn place(mut query: Box<Query>) {
    let Some(plan) = query.call.read.as_mut() else { return };
    let (reads, now) = (plan.reads.clone(), Instant::now());
    plan.placed = None;
    let Some(router) = reads.router.upgrade().filter(|router| !router.is_giving_up()) else {
        return query.call.fail(&ClientError::PoolClosed, None);
    };
    if let Some(given_up) = query.call.cancellation.reached_limit(now) {
        return query.call.fail(&given_up.error(Outcome::NotApplied), None);
    }
    plan.wish.may_wait = now < plan.wait_until;
    let placement = reads.cluster.place_read(&plan.wish);
    if let Placement::On(node) = placement {
        plan.placed = Some(reads.cluster.placed(node));
        query.call.promise.note_node(node);
        query.call.route = Route::Read { from: ReadFrom::Node(node) };
        return router.accept(Job::Query(query));
    }
    let is_hopeless = plan.refusal.is_some() && plan.wish.failed.len() >= reads.cluster.nodes.len();
    // A second read does not wait: the first one is under way.
    let is_second = query.call.promise.is_second();
    if now >= query.call.deadline || is_hopeless || is_second {
        if is_second && query.call.attempts == 0 {
            reads.budget.give_back();
        }
        let error = plan.error(now.saturating_duration_since(query.call.submitted));
        return query.call.fail(&error, None);
    }
    drop(tokio::spawn(wait_and_place(query, placement, router, reads)));
}

/// Waits until a read can be placed, or its time is over.
async fn wait_and_place(mut query: Box<Query>, placement: Placement, router: Arc<Router<Job>>, reads: Arc<Reads>) {
    // A pool that closes waits for it.
    let held = router.hold();
    let deadline = query.call.deadline;
    let Some(plan) = query.call.read.as_mut() else { return };
    let cluster = &reads.cluster;
    if let (Placement::AfterReplay(nodes), Some(token)) = (placement, plan.wish.after) {
        let limit = plan.wait_until.min(deadline);
        until(&query, limit, cluster.replayed(token.lsn, &nodes)).await;
    } else {
        if plan.has_waited && cluster.is_unknown() {
            // The monitor may be refused, and does not say so. A search does.
            let any = Route::Read { from: ReadFrom::Any };
            plan.refusal = cluster.connect(any).await.err().and_then(|failure| failure.hopeless());
            if let Some(refusal) = plan.refusal.take() {
                return query.call.fail(&refusal, None);
            }
        }
        plan.has_waited = true;
        // What has failed before may be well again.
        plan.wish.failed.clear();
        let limit = deadline.min(Instant::now() + LONGEST_WAIT);
        let changed = async {
            sleep(SHORTEST_WAIT).await;
            cluster.changed().await;
        };
        until(&query, limit, changed).await;
    }
    place(query);
    drop(held);
}

/// Waits for `ready`, but no longer than until `limit`, or until the read is given up.
async fn until(query: &Query, limit: Instant, ready: impl Future<Output = ()>) {
    let mut ready = pin!(ready);
    tokio::select! {
        () = ready.as_mut() => {}
        () = sleep_until(limit.into()) => {}
        _ = query.call.cancellation.wait_for_limit() => {}
    }
}

/// The read got no connection to its node. It goes to another one, unless nothing can help.
pub(super) fn after_failure(mut query: Box<Query>, error: ClientError) {
    let is_final = matches!(
        error,
        ClientError::PoolClosed | ClientError::Timeout { .. } | ClientError::Aborted { .. } | ClientError::Internal(_)
    );
    let is_over = Instant::now() >= query.call.deadline;
    let is_busy = is_over && matches!(error, ClientError::AcquireTimeout { .. });
    let Some(plan) = query.call.read.as_mut().filter(|_| !is_final && !is_busy) else {
        return query.call.fail(&error, None);
    };
    let placed = plan.placed.take();
    if let Some(placed) = placed {
        placed.failed();
        plan.wish.failed.push(placed.node());
    }
    plan.refusal = (!matches!(error, ClientError::NoPrimary { .. })).then_some(error);
    place(query);
}

/// A read has run and was not answered. It runs again, on another node where there is one.
pub(super) async fn run_again(mut query: Box<Query>, session: &Session, cause: &Cause) -> After<Box<Query>> {
    if let Some(plan) = query.call.read.as_mut() {
        plan.note_attempt(cause);
    }
    if matches!(cause, Cause::NotReplayed) {
        query.call.promise.start_again();
    } else {
        query.call.prepare_retry(session).await;
    }
    After::Settled(Box::new(move || place(query)))
}

/// Whether a session's server has a position. Remembers what it learns.
pub(super) fn proves(session: &Session, token: Token, place: LogPlace) -> bool {
    match place {
        LogPlace::Replayed(lsn) => {
            session.note_position(lsn);
            lsn >= token.lsn
        }
        LogPlace::Writes(timeline) => timeline >= token.timeline,
    }
}
