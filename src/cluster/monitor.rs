//! Checks a node in the background, over one connection for all pools that use the node (`watch`).
//!
//! The monitor probes the node every second while all is well, every 100 ms while one of the pools has no usable node,
//! and at once when a connection breaks, an attempt fails or a fence is seen ([`Endpoint::request_check`]). A node that
//! answers neither a probe nor a statement for `node_timeout` counts as down, and its running statements fail: by TCP
//! alone they would hang for minutes.
//!
//! [`Endpoint::request_check`]: crate::connection::endpoint::Endpoint::request_check

use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout, timeout_at};

use crate::cluster::attempt::open;
use crate::cluster::cluster::Cluster;
use crate::cluster::node::Node;
use crate::cluster::observation::Observation;
use crate::cluster::watch::{MonitorInterval, Watch};
use crate::connection::connection::Connection;
use crate::connection::failure::{ConnectStage, HostFailure};
use crate::connection::probe::Probe;
use crate::engine::{clock, lock, random};

/// How long closing a pool waits until its sockets are closed.
const CLOSING: Duration = Duration::from_secs(1);
const INTERVAL_WITHOUT_NODE: Duration = Duration::from_millis(100);
/// Requests for a check that are closer together than this count as one.
const QUIET: Duration = Duration::from_millis(10);
/// If a deadline is noticed later than this, this process itself was stopped, not the node.
const ASLEEP: Duration = Duration::from_millis(200);
/// How long the node then gets, so that an answer that came meanwhile is read.
const AWAKENING: Duration = Duration::from_millis(250);

/// One of the pools that share a watch, with its node.
type Sharer = (Arc<Cluster>, Arc<Node>);

impl Cluster {
    /// Starts to check the nodes in the background, if the pool has a monitor.
    pub(crate) fn watch(self: &Arc<Self>) {
        if self.monitor_interval.is_some() {
            self.note_search_began();
            for (node, watch) in self.watches.iter().enumerate() {
                join_watch(watch, self, node);
            }
        }
    }

    /// Stops checking the nodes, and resolves when the pool's connections are closed.
    pub(crate) async fn close(self: &Arc<Self>) {
        let mut links: Vec<_> = self.nodes.iter().flat_map(|node| node.endpoint.links()).collect();
        self.nodes.iter().for_each(|node| node.replay.close());
        for watch in &self.watches {
            links.extend(watch.leave(self).await);
        }
        let _ = timeout(CLOSING, join_all(links.iter().map(|link| link.ended()))).await;
    }
}

/// Adds the pool to those that get the watch's observations.
fn join_watch(watch: &Arc<Watch<Cluster>>, cluster: &Arc<Cluster>, node: usize) {
    let mut state = lock(&watch.state);
    state.pools.push((Arc::downgrade(cluster), node));
    // The I/O thread ends with the last environment, and the task with it.
    if state.task.as_ref().is_none_or(JoinHandle::is_finished)
        && let Some(monitor_interval) = cluster.monitor_interval
    {
        state.task = Some(tokio::spawn(monitor_server(Arc::downgrade(watch), watch.wake_up(), monitor_interval)));
    } else {
        watch.wake_up().notify_one();
    }
}

async fn monitor_server(watch: Weak<Watch<Cluster>>, wake_up: Arc<Notify>, monitor_interval: MonitorInterval) {
    let mut conn: Option<Connection> = None;
    // The pool whose user and password the connection has.
    let mut owner: Weak<Cluster> = Weak::new();
    // When the node answered last; None: it did not answer the last probe.
    let mut answered = None;
    loop {
        // The watch and its pools are held only during a check, so that they can be dropped between two checks.
        let Some(strong) = watch.upgrade() else { return };
        let Some(pools) = strong.pools() else { return };
        let pools: Vec<Sharer> =
            pools.into_iter().map(|(cluster, node)| (cluster.clone(), cluster.nodes[node].clone())).collect();
        let owned = pools.iter().find(|(cluster, _)| std::ptr::eq(Arc::as_ptr(cluster), owner.as_ptr()));
        let chosen = owned.unwrap_or_else(|| {
            conn = None;
            owner = Arc::downgrade(&pools[0].0);
            &pools[0]
        });
        let seen = match check_node(&pools, chosen, &mut conn, answered, monitor_interval).await {
            Ok(probe) => {
                answered = Some(Instant::now());
                Observation::Alive(probe)
            }
            Err(failure) => {
                (conn, answered) = (None, None);
                Observation::Lost(failure)
            }
        };
        lock(&strong.state).link = conn.as_ref().map_or_else(Weak::new, |conn| Arc::downgrade(conn.link()));
        for (cluster, node) in &pools {
            node.watch_at(conn.as_ref().map(Connection::address));
            cluster.observe(node, seen.clone());
            if cluster.is_unsettled() && matches!(seen, Observation::Alive(_)) {
                // A pool without connections must not wait for a frozen node either.
                let cluster = cluster.clone();
                drop(tokio::spawn(async move { cluster.settled().await }));
            }
        }
        let wanted = pools.iter().any(|(cluster, _)| cluster.lacks_some_node());
        let interval =
            if wanted { INTERVAL_WITHOUT_NODE.min(monitor_interval.interval()) } else { monitor_interval.interval() };
        drop((strong, pools));
        tokio::select! {
            () = sleep(jittered(interval)) => {}
            () = wake_up.notified() => sleep(QUIET).await,
            () = broken(conn.as_ref()) => {}
        }
    }
}

/// Resolves when the monitor's connection breaks.
async fn broken(conn: Option<&Connection>) {
    match conn {
        Some(conn) => conn.ended().await,
        None => std::future::pending().await,
    }
}

/// One check. It ends with an answer, or when the node has been silent for too long.
async fn check_node(
    pools: &[Sharer],
    owner: &Sharer,
    conn: &mut Option<Connection>,
    answered: Option<Instant>,
    monitor_interval: MonitorInterval,
) -> Result<Probe, HostFailure> {
    let began = Instant::now();
    let mut probing = pin!(probe(owner, conn));
    let Some(answered) = answered else {
        // A login takes several round trips, and has a deadline of its own.
        return probing.await;
    };
    let mut deadline = (answered + monitor_interval.node_timeout).max(began + monitor_interval.interval());
    loop {
        if let Ok(probed) = timeout_at(deadline.into(), probing.as_mut()).await {
            return probed;
        }
        let now = Instant::now();
        let last_answer = pools.iter().map(|(_, node)| node.endpoint.last_answer()).max().unwrap_or(0);
        let silence = Duration::from_micros(clock().saturating_sub(last_answer));
        if now.duration_since(deadline) > ASLEEP {
            deadline = now + AWAKENING;
        } else if last_answer > 0 && silence < monitor_interval.node_timeout {
            // The node answers statements: only the backend of this connection is silent.
            deadline = now + monitor_interval.node_timeout.saturating_sub(silence);
        } else {
            return Err(HostFailure::Silent(now.duration_since(answered), ConnectStage::Asking));
        }
    }
}

async fn probe((cluster, node): &Sharer, conn: &mut Option<Connection>) -> Result<Probe, HostFailure> {
    if let Some(open) = conn.as_ref().filter(|conn| !conn.is_closed())
        && let Ok(probe) = open.probe().await
    {
        open.keep_lease().await;
        return Ok(probe);
    }
    // One backend may have ended: only a new connection shows whether the node is down.
    let (opened, probe) = open(cluster, &cluster.monitor_config, node, Probe::is_writable).await?;
    *conn = Some(opened);
    Ok(probe)
}

/// The interval ±10 %, so that many processes do not probe at the same moment.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + 0.2 * random())
}
