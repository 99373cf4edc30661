//! Asks standbys for the position that they have replayed, while reads wait for one.
//!
//! No server up to PostgreSQL 18 can be told to answer when a position is reached (`pg_wal_replay_wait` was taken out of
//! 17 and of 18 before their releases, `WAIT FOR LSN` comes with 19), so a watcher asks every few milliseconds.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::sleep;

use crate::cluster::attempt::open;
use crate::cluster::cluster::Cluster;
use crate::cluster::node::Node;
use crate::cluster::replay::LogPlace;
use crate::connection::connection::Connection;
use crate::connection::probe::Probe;
use crate::engine::{clock, lock};

/// The pauses of a watcher between two questions.
const FIRST_PAUSE: Duration = Duration::from_micros(500);
const LONGEST_PAUSE: Duration = Duration::from_millis(10);

impl Cluster {
    /// Resolves when one of these nodes has replayed the position, or when a node was promoted. The caller limits the
    /// time, and looks again at which node has reached it.
    pub(crate) async fn replayed(self: &Arc<Self>, lsn: u64, nodes: &[usize]) {
        let reached = lock(&self.replay_queue).add(lsn);
        for node in nodes {
            self.ask_for_replay(*node);
        }
        let _ = reached.await;
    }

    /// Asks a node for its position: once, and then as long as anybody waits.
    pub(super) fn ask_for_replay(self: &Arc<Self>, node: usize) {
        if !self.nodes[node].replay.is_watched.swap(true, Ordering::Relaxed) {
            drop(tokio::spawn(watch(Arc::downgrade(self), node)));
        }
    }
}

/// Asks one node for its position, and goes on while anybody waits.
async fn watch(cluster: Weak<Cluster>, index: usize) {
    let Some(node) = cluster.upgrade().map(|cluster| cluster.nodes[index].clone()) else { return };
    let mut conn = lock(&node.replay.idle).take().filter(|conn| !conn.is_closed());
    let mut pause = FIRST_PAUSE;
    loop {
        let Some(strong) = cluster.upgrade() else { return };
        let Some(place) = ask(&strong, &node, &mut conn).await else {
            conn = None;
            node.endpoint.request_check();
            break;
        };
        let LogPlace::Replayed(lsn) = place else {
            node.replay.forget();
            node.endpoint.request_check();
            // Whoever waits looks again.
            lock(&strong.replay_queue).reach(u64::MAX);
            break;
        };
        node.replay.note(lsn, clock());
        let has_woken = lock(&strong.replay_queue).reach(lsn);
        if node.replay.is_closed() {
            return;
        }
        if lock(&strong.replay_queue).is_idle() {
            break;
        }
        pause = if has_woken { FIRST_PAUSE } else { pause.mul_f64(1.5).min(LONGEST_PAUSE) };
        drop(strong);
        sleep(pause).await;
    }
    *lock(&node.replay.idle) = conn;
    node.replay.is_watched.store(false, Ordering::Relaxed);
}

/// Asks over the watcher's connection, which is opened if need be. None: the node does not answer.
async fn ask(cluster: &Arc<Cluster>, node: &Arc<Node>, conn: &mut Option<Connection>) -> Option<LogPlace> {
    if conn.as_ref().is_none_or(Connection::is_closed) {
        let (opened, _) =
            open(cluster, &cluster.monitor_config, node, |probe: &Probe| probe.role.in_recovery).await.ok()?;
        opened.join();
        *conn = Some(opened);
    }
    conn.as_ref()?.keep_lease().await;
    LogPlace::ask(&conn.as_ref()?.client).await.ok().flatten()
}
