//! When the leases of a pool's sessions are renewed (`connection::renewal` says how):
//!
//! - in the background, when a session that is idle has less than `heartbeatSoftRemainingMs` left: the keeper looks at
//!   all of them regularly;
//! - behind a task, for the same reason: the keeper leaves busy sessions alone;
//! - before a task begins, when less than `heartbeatHardWaitRemainingMs` is left: the process may have been frozen, and a
//!   reaper may be about to end the session. Nothing of the task has been sent then, so it can go to another session.
//!
//! Never within a transaction: ROLLBACK would undo the renewal. A session with an open transaction is not reaped.

use std::sync::{Arc, Weak};
use std::time::Duration;

use serde_json::json;
use tokio::time::sleep;

use crate::cluster::Cluster;
use crate::connection::lease::{Leases, OnFailure};
use crate::connection::renewal::{LeaseFailure, SentAhead};
use crate::engine::lock;
use crate::error::{ClientError, is_sqlstate};
use crate::pool::active_connection::ActiveConnection;
use crate::pool::node_pool::NodePool;
use crate::pool::reset::spawn_sent;
use crate::pool::router::Router;
use crate::pool::session::Session;
use crate::pool::task::{Sharing, Task};

/// What came of the renewal before a task.
enum Renewal {
    /// The session may be used.
    Usable,
    /// It has ended, or was closed.
    Unusable,
    /// It may be used, but the next task fails.
    Refused(ClientError),
}

impl Session {
    /// Whether the lease has to be renewed before the session is used.
    pub(super) fn lease_runs_out(&self) -> bool {
        self.conn.lease_runs_out()
    }

    /// Whether the lease has to be renewed when the session has nothing to do.
    pub(super) fn lease_is_due(&self) -> bool {
        self.conn.lease_is_due() && self.is_usable()
    }

    /// Renews the lease of a session that is not in a transaction now, ahead of all that is sent later.
    pub(super) fn send_renewal(self: &Arc<Self>, cluster: &Arc<Cluster>, ahead: SentAhead) {
        let (session, cluster) = (self.clone(), cluster.clone());
        spawn_sent(async move {
            if let Some(renewed) = session.conn.renew_lease_now(ahead).await {
                session.renewal_ended(&cluster, renewed);
            } else if ahead == SentAhead::Nothing
                && let Some(failure) = session.conn.renewal_is_stuck().await
            {
                session.renewal_ended(&cluster, Err(failure));
            }
        });
    }

    /// Whether the lease of a session that its caller has to itself is to be renewed now.
    pub(crate) fn lease_runs_out_soon(&self) -> bool {
        self.conn.lease_is_due()
    }

    /// Renews the lease of a session on which nothing else runs.
    pub(crate) async fn renew_lease(&self, cluster: &Cluster) {
        if let Some(renewed) = self.conn.renew_lease_now(SentAhead::Nothing).await {
            self.renewal_ended(cluster, renewed);
        }
    }

    fn renewal_ended(&self, cluster: &Cluster, renewed: Result<(), LeaseFailure>) -> Renewal {
        let node = self.conn.endpoint.label();
        let Some(leases) = &cluster.leases else { return Renewal::Usable };
        let failure = match renewed {
            Ok(()) => {
                cluster.announce(json!({ "event": "lease", "type": "heartbeat", "node": node }));
                return Renewal::Usable;
            }
            // The end of a session is told by itself.
            Err(LeaseFailure::Ended(_)) if self.conn.is_closed() => return Renewal::Unusable,
            Err(failure) => failure,
        };
        let error = ClientError::Heartbeat { node: node.clone(), reason: failure.to_string() };
        cluster.announce(
            json!({ "event": "lease", "type": "heartbeat-failed", "node": node, "error": error.to_object(0) }),
        );
        let has_ended = matches!(failure, LeaseFailure::Ended(_));
        match leases.on_failure {
            OnFailure::Swallow if !has_ended => Renewal::Usable,
            OnFailure::Throw if !has_ended => Renewal::Refused(error),
            _ => {
                self.conn.break_off(error.to_string());
                Renewal::Unusable
            }
        }
    }

    /// Tells JavaScript that a session was opened, and later if it ends although nobody has closed it.
    pub(super) fn announce_life(&self, cluster: &Arc<Cluster>) {
        if !self.conn.has_lease() {
            return;
        }
        let node = self.conn.endpoint.label();
        let (refused, crowded) = (cluster.take_was_full(), self.conn.has_found_crowd());
        cluster.announce(
            json!({ "event": "lease", "type": "connect", "node": node, "refused": refused, "crowded": crowded }),
        );
        let (link, cluster) = (self.conn.link().clone(), Arc::downgrade(cluster));
        drop(tokio::spawn(async move {
            link.ended().await;
            let Some((cluster, reason)) = cluster.upgrade().zip(link.reason()) else { return };
            let sqlstate = reason.strip_suffix(')').and_then(|reason| reason.rsplit_once('(')).map(|(_, code)| code);
            let sqlstate = sqlstate.filter(|code| is_sqlstate(code));
            let event =
                json!({ "event": "lease", "type": "dead", "node": node, "reason": reason, "sqlstate": sqlstate });
            cluster.announce(event);
        }));
    }
}

impl<T: Task> Router<T> {
    /// Keeps the leases of idle sessions from now on.
    pub(super) fn keep_leases(self: &Arc<Self>) {
        if let Some(leases) = &self.cluster.leases {
            drop(tokio::spawn(keep_leases_regularly(Arc::downgrade(self), leases.clone())));
        }
    }

    /// Renews the lease of a session before a task uses it. Meanwhile the task waits with the others. Returns the task
    /// that comes next; None: the session is not used further.
    pub(super) async fn renew_before(
        self: &Arc<Self>,
        active: &Arc<ActiveConnection>,
        task: T,
        sharing: Sharing,
    ) -> Option<(T, Sharing)> {
        self.put_back(active, task, sharing);
        let session = active.session();
        session.pause_sharing();
        self.note_awake();
        if active.load() > 1 {
            // The last one of the other workers renews it: what runs may take long.
            return None;
        }
        let renewed = session.conn.renew_due_lease().await;
        session.resume_sharing();
        match renewed.map_or(Renewal::Usable, |renewed| session.renewal_ended(&self.cluster, renewed)) {
            Renewal::Usable => self.begin_next_task(active),
            Renewal::Unusable => None,
            Renewal::Refused(error) => {
                let (task, sharing) = self.begin_next_task(active)?;
                active.end_task(sharing);
                task.fail(error);
                None
            }
        }
    }

    /// Renews the lease behind a task that has ended, if it is due.
    pub(super) fn renew_behind_task(&self, active: &ActiveConnection) {
        let session = active.session();
        if active.load() > 1 {
            // What runs may take long: no more is sent behind it until the lease is renewed.
            if session.lease_is_due() {
                session.pause_sharing();
            }
            return;
        }
        session.resume_sharing();
        if session.lease_is_due() {
            session.send_renewal(&self.cluster, SentAhead::Nothing);
        }
    }

    /// Lets a task that has begun wait again, before all others.
    pub(super) fn put_back(self: &Arc<Self>, active: &ActiveConnection, task: T, sharing: Sharing) {
        active.end_task(sharing);
        self.wait_in_front(task);
    }

    /// Lets a task wait for a connection, before all others.
    pub(super) fn wait_in_front(self: &Arc<Self>, task: T) {
        let mut state = lock(&self.state);
        self.schedule_sweep(&mut state, task.next_check());
        state.route_pool(task.route()).waiting.push_front(task);
    }

    /// Tells JavaScript if this process was frozen.
    fn note_awake(&self) {
        if let Some(frozen) = self.cluster.leases.as_ref().and_then(|leases| leases.frozen_for()) {
            self.cluster.announce(json!({ "event": "lease", "type": "thaw", "frozenMs": frozen.as_millis() as u64 }));
        }
    }

    /// Renews the leases of idle sessions that are due. False: the pool is closed.
    fn keep_idle_leases(&self) -> bool {
        self.note_awake();
        let state = lock(&self.state);
        let nodes = state.routes.iter().flat_map(|pool| &pool.nodes);
        let mut due = Vec::new();
        for node in nodes.clone() {
            due.extend(node.idle_where(|session| session.lease_is_due()));
        }
        let is_open = !nodes.clone().all(NodePool::is_closed);
        drop(state);
        // They are idle until this function returns, because all tasks begin on this thread.
        for session in due {
            session.send_renewal(&self.cluster, SentAhead::Nothing);
        }
        is_open
    }
}

/// How often the keeper looks at the leases: often enough to renew them in the time between soft and hard.
fn interval(leases: &Leases) -> Duration {
    let (soft, hard) = (leases.times.soft, leases.times.hard);
    (soft.saturating_sub(hard) / 3).clamp(Duration::from_millis(20), Duration::from_secs(10))
}

/// Looks at the leases of idle sessions until the pool is closed or dropped.
async fn keep_leases_regularly<T: Task>(router: Weak<Router<T>>, leases: Arc<Leases>) {
    loop {
        sleep(interval(&leases)).await;
        let Some(router) = router.upgrade() else { return };
        if !router.keep_idle_leases() {
            return;
        }
    }
}
