//! Looks at a node in the background, over one light connection for all pools that have it.
//!
//! A [`Watch`] belongs to a server as a user sees it (host, port, user, database, settings: being read-only may depend on all
//! of them). Pools that agree in these share it, and each draws its own conclusions (`view`). It looks every second while
//! all is well; every 100 ms while one of the pools knows no node to use; at once when a connection breaks, an attempt fails
//! or a fence is seen ([`Watch::poke`]). A node that answers nothing for `node_timeout` (no look of ours, no statement of
//! anybody's) is down, and what runs on it is released: TCP alone would let it hang for minutes.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout_at};
use tokio_postgres::config::{ChannelBinding, Host};

use crate::cluster::discovery::open;
use crate::cluster::node::Node;
use crate::cluster::{Cluster, Observation};
use crate::connection::authentication::Access;
use crate::connection::connection::Connection;
use crate::connection::failure::{HostFailure, Stage};
use crate::connection::link::Link;
use crate::connection::probe::Probe;
use crate::connection::require_auth::Requirement;
use crate::connection::tls::Encryption;
use crate::engine::{clock, lock, random};

/// How the monitor looks (the public option `monitor`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MonitorInterval {
    pub(crate) interval: Duration,
    /// How long a node may be silent.
    pub(crate) node_timeout: Duration,
}

impl Default for MonitorInterval {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1), node_timeout: Duration::from_secs(3) }
    }
}

impl MonitorInterval {
    /// Often enough to see a silence of `node_timeout` in time.
    pub(crate) fn interval(self) -> Duration {
        self.interval.min(self.node_timeout / 3)
    }
}

const INTERVAL_WITHOUT_NODE: Duration = Duration::from_millis(100);
/// Pokes closer together than this are one.
const QUIET: Duration = Duration::from_millis(10);
/// A deadline that passed by more than this was not watched: our own process was stopped, not the node.
const ASLEEP: Duration = Duration::from_millis(200);
/// What the node said meanwhile is read in this time.
const AWAKENING: Duration = Duration::from_millis(250);

/// What two pools must agree in to share a watch.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    host: String,
    address: Option<IpAddr>,
    port: u16,
    /// What one pool trusts need not be what another does.
    trust: (Option<Encryption>, ChannelBinding, Requirement),
    user: Option<String>,
    database: Option<String>,
    settings: Option<String>,
    connect_timeout: Duration,
    monitor_interval: Option<MonitorInterval>,
}

static WATCHES: Mutex<Vec<(Key, Weak<Watch>)>> = Mutex::new(Vec::new());

/// One of those that share a watch, with its node.
type Sharer = (Arc<Cluster>, Arc<Node>);

/// The look-out at one server, shared by the pools that have it.
#[derive(Debug)]
pub(crate) struct Watch {
    state: Mutex<State>,
    poked: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    pools: Vec<(Weak<Cluster>, usize)>,
    task: Option<JoinHandle<()>>,
    /// Of the connection that looks.
    link: Weak<Link>,
}

impl Watch {
    /// The one there is, or a new one, which does not look before somebody joins.
    pub(crate) fn of(
        (host, address, port): (&Host, Option<IpAddr>, u16),
        Access { config, encryption, requirement, .. }: &Access,
        connect_timeout: Duration,
        monitor_interval: Option<MonitorInterval>,
    ) -> Arc<Self> {
        let key = Key {
            host: format!("{host:?}"),
            address,
            port,
            trust: (encryption.clone(), config.get_channel_binding(), requirement.clone()),
            user: config.get_user().map(str::to_owned),
            database: config.get_dbname().map(str::to_owned),
            settings: config.get_options().map(str::to_owned),
            connect_timeout,
            monitor_interval,
        };
        let mut watches = lock(&WATCHES);
        watches.retain(|(_, watch)| watch.strong_count() > 0);
        if let Some(watch) = watches.iter().find(|(known, _)| *known == key).and_then(|(_, watch)| watch.upgrade()) {
            return watch;
        }
        let watch = Arc::new(Self { state: Mutex::default(), poked: Arc::default() });
        watches.push((key, Arc::downgrade(&watch)));
        watch
    }

    /// Asks for a look at once.
    pub(crate) fn poke(&self) {
        self.poked.notify_one();
    }

    /// What wakes the monitor for a look at once.
    pub(crate) fn check(&self) -> Arc<Notify> {
        self.poked.clone()
    }

    /// The pool wants to hear what is seen.
    pub(crate) fn join(self: &Arc<Self>, cluster: &Arc<Cluster>, node: usize) {
        let mut state = lock(&self.state);
        state.pools.push((Arc::downgrade(cluster), node));
        // The I/O thread may have ended, and with it the task, when its last environment did.
        if state.task.as_ref().is_none_or(JoinHandle::is_finished)
            && let Some(monitor_interval) = cluster.monitor_interval
        {
            state.task = Some(tokio::spawn(look_out(Arc::downgrade(self), self.poked.clone(), monitor_interval)));
        } else {
            self.poke();
        }
    }

    /// The pool has ended. When it was the last one nobody looks any more; then it returns the connection that did, which
    /// is being closed.
    pub(crate) async fn leave(&self, cluster: &Arc<Cluster>) -> Option<Arc<Link>> {
        let (task, link) = {
            let mut state = lock(&self.state);
            state
                .pools
                .retain(|(pool, _)| pool.strong_count() > 0 && !std::ptr::eq(pool.as_ptr(), Arc::as_ptr(cluster)));
            if !state.pools.is_empty() {
                // The connection may be that pool's.
                self.poke();
                return None;
            }
            (state.task.take()?, state.link.upgrade())
        };
        task.abort();
        let _ = task.await;
        link
    }

    /// The pools that are left, each with its node; none: the task that asks may end.
    fn pools(&self) -> Option<Vec<Sharer>> {
        let mut state = lock(&self.state);
        state.pools.retain(|(pool, _)| pool.strong_count() > 0);
        let alive = |(pool, node): &(Weak<Cluster>, usize)| {
            let cluster = pool.upgrade()?;
            let node = cluster.nodes[*node].clone();
            Some((cluster, node))
        };
        let pools: Vec<_> = state.pools.iter().filter_map(alive).collect();
        if pools.is_empty() {
            state.task = None;
            return None;
        }
        Some(pools)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.state).task.take() {
            task.abort();
        }
    }
}

async fn look_out(watch: Weak<Watch>, poked: Arc<Notify>, monitor_interval: MonitorInterval) {
    let mut conn: Option<Connection> = None;
    // Whose name and password the connection has.
    let mut owner: Weak<Cluster> = Weak::new();
    // When the node answered last; none: it did not when it was asked last.
    let mut answered = None;
    loop {
        // Between two looks the watch and its pools may be dropped: they are held only while looking.
        let Some(strong) = watch.upgrade() else { return };
        let Some(pools) = strong.pools() else { return };
        let owned = pools.iter().find(|(cluster, _)| std::ptr::eq(Arc::as_ptr(cluster), owner.as_ptr()));
        let chosen = owned.unwrap_or_else(|| {
            conn = None;
            owner = Arc::downgrade(&pools[0].0);
            &pools[0]
        });
        let seen = match look(&pools, chosen, &mut conn, answered, monitor_interval).await {
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
                // A pool that only looks must not wait for a node that is frozen either.
                let cluster = cluster.clone();
                drop(tokio::spawn(async move { cluster.settled().await }));
            }
        }
        let wanted = pools.iter().any(|(cluster, _)| cluster.lacks_node());
        let interval =
            if wanted { INTERVAL_WITHOUT_NODE.min(monitor_interval.interval()) } else { monitor_interval.interval() };
        drop((strong, pools));
        tokio::select! {
            () = sleep(jittered(interval)) => {}
            () = poked.notified() => sleep(QUIET).await,
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

/// One look, which ends in an answer or when the node has been silent for too long.
async fn look(
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
        let heard = pools.iter().map(|(_, node)| node.endpoint.last_answer()).max().unwrap_or(0);
        let silence = Duration::from_micros(clock().saturating_sub(heard));
        if now.duration_since(deadline) > ASLEEP {
            deadline = now + AWAKENING;
        } else if heard > 0 && silence < monitor_interval.node_timeout {
            // It is only this connection's backend that says nothing.
            deadline = now + monitor_interval.node_timeout.saturating_sub(silence);
        } else {
            return Err(HostFailure::Silent(now.duration_since(answered), Stage::Asking));
        }
    }
}

async fn probe((cluster, node): &Sharer, conn: &mut Option<Connection>) -> Result<Probe, HostFailure> {
    if let Some(open) = conn.as_ref().filter(|conn| !conn.is_closed())
        && let Ok(probe) = open.probe().await
    {
        return Ok(probe);
    }
    // A broken connection may have been one backend's end: only a new one tells whether the node is gone.
    let (opened, probe) = open(cluster, &cluster.monitor_config, node, Probe::is_writable).await?;
    *conn = Some(opened);
    Ok(probe)
}

/// ±10 %, so that many processes do not ask at the same moment.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + 0.2 * random())
}
