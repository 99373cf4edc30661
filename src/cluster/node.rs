//! One node of the cluster, and what was last seen of it.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::cluster::read_health::ReadHealth;
use crate::cluster::replay::Replay;
use crate::connection::endpoint::Endpoint;
use crate::connection::probe::{Probe, Role};
use crate::connection::socket::Address;
use crate::engine::lock;

/// Whether a node can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum NodeState {
    /// It was not asked yet.
    #[default]
    Unknown,
    Up,
    /// It does not answer, or refuses connections.
    Down,
    /// It is a primary that accepts no writes (`default_transaction_read_only`), or a deposed one.
    Fenced,
}

impl NodeState {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Unknown | Self::Down => "down",
            Self::Fenced => "fenced",
        }
    }
}

/// How far a standby's replay is behind the primary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lag {
    pub(crate) bytes: u64,
    pub(crate) time: Duration,
}

/// What was last seen of a node.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeStatus {
    pub(crate) state: NodeState,
    /// None: it has not answered, or is refused because it belongs to another cluster.
    pub(crate) role: Option<Role>,
    pub(crate) timeline: Option<u32>,
    /// Round trip of the last probe.
    pub(crate) latency: Option<Duration>,
    /// A primary's write position, a standby's replay position.
    pub(crate) lsn: Option<u64>,
    /// None: the node is a primary, or no primary was seen yet.
    pub(crate) lag: Option<Lag>,
    /// When the node was last asked successfully.
    pub(crate) asked: Option<Instant>,
    /// A time up to which the standby has all that the primary had written. None: unknown.
    pub(crate) current_at: Option<Instant>,
    pub(crate) last_error: Option<String>,
    /// Why the pool's last attempt to connect has failed. The monitor may still reach a server that accepts no more
    /// connections.
    pub(crate) refusal: Option<String>,
}

impl NodeStatus {
    pub(crate) fn role_name(&self) -> &'static str {
        match self.role {
            Some(role) if role.in_recovery => "standby",
            Some(_) => "primary",
            None => "unknown",
        }
    }
}

/// A host of a pool's list.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) status: Mutex<NodeStatus>,
    /// An attempt to connect has failed, and the node has not answered since: it is not the first choice.
    pub(crate) suspect: AtomicBool,
    /// Its answer from the time before the topology was settled.
    pub(crate) early: Mutex<Option<Probe>>,
    /// The address of the monitor's connection.
    watched: Mutex<Option<Address>>,
    pub(super) replay: Replay,
    /// How the node answers reads.
    pub(super) health: Mutex<ReadHealth>,
    /// When a pool without a monitor last asked the node because it knew nothing of it, by `clock`.
    pub(super) asked_at: AtomicU64,
    /// Reads of the pool that the node has to answer, waiting ones included.
    pub(super) reads: AtomicUsize,
    /// The option `reads.weights`.
    pub(super) weight: f64,
}

impl Node {
    pub(crate) fn new(endpoint: Endpoint, weight: f64, slow_start: Duration) -> Self {
        Self {
            endpoint: Arc::new(endpoint),
            status: Mutex::default(),
            suspect: AtomicBool::new(false),
            early: Mutex::default(),
            watched: Mutex::default(),
            replay: Replay::default(),
            health: Mutex::new(ReadHealth::new(slow_start)),
            asked_at: AtomicU64::new(0),
            reads: AtomicUsize::new(0),
            weight,
        }
    }

    /// Notes the address of the monitor's connection.
    pub(crate) fn watch_at(&self, address: Option<&Address>) {
        *lock(&self.watched) = address.cloned();
    }

    /// Whether an answer from this address is the node's: another address of its name may be another server.
    pub(crate) fn is_watched_at(&self, address: &Address) -> bool {
        lock(&self.watched).as_ref().is_none_or(|watched| watched == address)
    }
}
