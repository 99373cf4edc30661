//! Looks at every node in the background, over one light connection each.
//!
//! Every second while all is well; every 100 ms while no primary is known; at once when a connection breaks, an
//! attempt fails or a fence is seen (`Node::poke`). A node that answers nothing for [`NODE_TIMEOUT`] is down, and what
//! runs on it is released: TCP alone would let it hang for minutes.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::conn::{Conn, Probe};
use super::connect::{HostFailure, open};
use super::node::Node;
use super::{Cluster, Observation};
use crate::engine::clock;

const INTERVAL: Duration = Duration::from_secs(1);
const INTERVAL_WITHOUT_PRIMARY: Duration = Duration::from_millis(100);
/// How long a node may be silent, counted from its last answer.
const NODE_TIMEOUT: Duration = Duration::from_secs(3);
/// But a probe gets at least this long.
const LEAST_PATIENCE: Duration = Duration::from_secs(1);
/// Pokes closer together than this are one.
const QUIET: Duration = Duration::from_millis(10);

pub(super) fn start(cluster: &Arc<Cluster>) -> Vec<JoinHandle<()>> {
    let watch_one = |node: &Arc<Node>| tokio::spawn(watch(Arc::downgrade(cluster), node.clone()));
    cluster.nodes.iter().map(watch_one).collect()
}

async fn watch(cluster: Weak<Cluster>, node: Arc<Node>) {
    let mut conn: Option<Conn> = None;
    let mut answered = Instant::now();
    loop {
        let Some(strong) = cluster.upgrade() else { return };
        let patience = NODE_TIMEOUT.saturating_sub(answered.elapsed()).max(LEAST_PATIENCE);
        let probed = match timeout(patience, probe(&strong, &node, &mut conn)).await {
            Ok(probed) => probed,
            Err(_) => Err(HostFailure::Silent(answered.elapsed())),
        };
        match probed {
            Ok(probe) => {
                answered = Instant::now();
                strong.observe(&node, Observation::Alive(probe));
            }
            Err(failure) => {
                conn = None;
                strong.observe(&node, Observation::Lost(failure));
            }
        }
        let interval = if strong.lacks_primary() { INTERVAL_WITHOUT_PRIMARY } else { jittered(INTERVAL) };
        // Between two looks the cluster may be dropped: hold it weakly.
        drop(strong);
        tokio::select! {
            () = sleep(interval) => {}
            () = node.poke.notified() => sleep(QUIET).await,
            () = broken(conn.as_ref()) => {}
        }
    }
}

/// Resolves when the monitor's connection breaks.
async fn broken(conn: Option<&Conn>) {
    match conn {
        Some(conn) => conn.ended().await,
        None => std::future::pending().await,
    }
}

async fn probe(cluster: &Cluster, node: &Arc<Node>, conn: &mut Option<Conn>) -> Result<Probe, HostFailure> {
    if let Some(open) = conn.as_mut().filter(|conn| !conn.is_closed())
        && let Ok(probe) = open.probe().await
    {
        return Ok(probe);
    }
    // A broken connection may have been one backend's end: only a new one tells whether the node is gone.
    let (opened, probe) = open(cluster, &cluster.monitor_config, node).await?;
    *conn = Some(opened);
    Ok(probe)
}

/// ±10 %, so that many processes do not ask at the same moment.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + (clock() % 200) as f64 / 1000.0)
}
