//! The monitor of one server, shared by the pools that use the server.
//!
//! A [`Watch`] belongs to a server as one user sees it: whether it is read-only may depend on user, database and
//! settings. Pools that agree in all of these share the watch, and each draws its own conclusions (`observation`). `P`
//! is the pool's view of its cluster; `monitor` has the task that checks the server.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_postgres::config::{ChannelBinding, Host};

use crate::connection::authentication::Access;
use crate::connection::lease::Leases;
use crate::connection::link::Link;
use crate::connection::require_auth::Requirement;
use crate::connection::tls::Encryption;
use crate::engine::lock;

/// How often the monitor checks a node (the public option `monitor`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct MonitorInterval {
    pub(crate) interval: Duration,
    /// How long a node may be silent before it counts as down.
    pub(crate) node_timeout: Duration,
}

impl Default for MonitorInterval {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1), node_timeout: Duration::from_secs(3) }
    }
}

impl MonitorInterval {
    /// Short enough to notice a silence of `node_timeout` in time.
    pub(crate) fn interval(self) -> Duration {
        self.interval.min(self.node_timeout / 3)
    }
}

/// What two pools must have in common to share a watch.
#[derive(Debug, PartialEq, Eq)]
struct Key {
    host: String,
    address: Option<IpAddr>,
    port: u16,
    /// Which servers a pool trusts, and how it proves who it is.
    trust: (Option<Encryption>, ChannelBinding, Requirement),
    user: Option<String>,
    database: Option<String>,
    settings: Option<String>,
    /// The sessions of one pool's service must not carry the name of another.
    leases: Option<Arc<Leases>>,
    connect_timeout: Duration,
    monitor_interval: Option<MonitorInterval>,
}

/// All watches of the process.
#[derive(Debug)]
pub(super) struct Watches<P>(Mutex<Vec<(Key, Weak<Watch<P>>)>>);

impl<P> Watches<P> {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The existing watch over this server, or a new one, which checks nothing until a pool joins it.
    pub(super) fn of(
        &self,
        (host, address, port): (&Host, Option<IpAddr>, u16),
        Access { config, encryption, requirement, leases, .. }: &Access,
        connect_timeout: Duration,
        monitor_interval: Option<MonitorInterval>,
    ) -> Arc<Watch<P>> {
        let key = Key {
            host: format!("{host:?}"),
            address,
            port,
            trust: (encryption.clone(), config.get_channel_binding(), requirement.clone()),
            user: config.get_user().map(str::to_owned),
            database: config.get_dbname().map(str::to_owned),
            settings: config.get_options().map(str::to_owned),
            leases: leases.clone(),
            connect_timeout,
            monitor_interval,
        };
        let mut watches = lock(&self.0);
        watches.retain(|(_, watch)| watch.strong_count() > 0);
        if let Some(watch) = watches.iter().find(|(known, _)| *known == key).and_then(|(_, watch)| watch.upgrade()) {
            return watch;
        }
        let watch = Arc::new(Watch { state: Mutex::default(), wake_up: Arc::default() });
        watches.push((key, Arc::downgrade(&watch)));
        watch
    }
}

/// The watch over one server.
#[derive(Debug)]
pub(super) struct Watch<P> {
    pub(super) state: Mutex<WatchState<P>>,
    wake_up: Arc<Notify>,
}

#[derive(Debug)]
pub(super) struct WatchState<P> {
    /// The pools that share the watch, each with the place of the server in its list of hosts.
    pub(super) pools: Vec<(Weak<P>, usize)>,
    pub(super) task: Option<JoinHandle<()>>,
    /// The link of the monitor's connection.
    pub(super) link: Weak<Link>,
}

impl<P> Default for WatchState<P> {
    fn default() -> Self {
        Self { pools: Vec::new(), task: None, link: Weak::new() }
    }
}

impl<P> Watch<P> {
    /// Its notification makes the monitor check the server at once.
    pub(super) fn wake_up(&self) -> Arc<Notify> {
        self.wake_up.clone()
    }

    /// The pool has ended. With the last pool the monitor ends, too; then this returns the link of its connection,
    /// which is being closed.
    pub(super) async fn leave(&self, pool: &Arc<P>) -> Option<Arc<Link>> {
        let (task, link) = {
            let mut state = lock(&self.state);
            state
                .pools
                .retain(|(other, _)| other.strong_count() > 0 && !std::ptr::eq(other.as_ptr(), Arc::as_ptr(pool)));
            if !state.pools.is_empty() {
                // The connection may be logged in as that pool.
                self.wake_up.notify_one();
                return None;
            }
            (state.task.take()?, state.link.upgrade())
        };
        task.abort();
        let _ = task.await;
        link
    }

    /// The pools that still use the watch, each with the place of the server in its list; None: the monitor may end.
    pub(super) fn pools(&self) -> Option<Vec<(Arc<P>, usize)>> {
        let mut state = lock(&self.state);
        state.pools.retain(|(pool, _)| pool.strong_count() > 0);
        let pools: Vec<_> = state.pools.iter().filter_map(|(pool, node)| Some((pool.upgrade()?, *node))).collect();
        if pools.is_empty() {
            state.task = None;
            return None;
        }
        Some(pools)
    }
}

impl<P> Drop for Watch<P> {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.state).task.take() {
            task.abort();
        }
    }
}
