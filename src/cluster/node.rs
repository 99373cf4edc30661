//! One node of the cluster: where it is, and what is known of it right now.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::connection::endpoint::Endpoint;
use crate::connection::probe::{Probe, Role};
use crate::connection::socket::Address;
use crate::engine::lock;

/// Whether a node can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum NodeState {
    /// Nobody has asked it yet.
    #[default]
    Unknown,
    Up,
    /// It answers nothing, or refuses connections.
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
    /// None too while it is refused for belonging to another cluster.
    pub(crate) role: Option<Role>,
    pub(crate) timeline: Option<u32>,
    /// Round trip of the last probe.
    pub(crate) latency: Option<Duration>,
    /// A primary's write position, a standby's replay position.
    pub(crate) lsn: Option<u64>,
    /// None: a primary, or no primary was seen yet.
    pub(crate) lag: Option<Lag>,
    pub(crate) last_error: Option<String>,
    /// Why the last attempt of the pool to connect failed, if it did: a server that is full serves the monitor.
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
    /// A connection attempt failed and nobody has seen it alive since: do not choose it first.
    pub(crate) suspect: AtomicBool,
    /// What it said before it was known which cluster the nodes belong to.
    pub(crate) early: Mutex<Option<Probe>>,
    /// Where the monitor's connection goes.
    watched: Mutex<Option<Address>>,
}

impl Node {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint: Arc::new(endpoint),
            status: Mutex::default(),
            suspect: AtomicBool::new(false),
            early: Mutex::default(),
            watched: Mutex::default(),
        }
    }

    /// The monitor looks at this address of it.
    pub(crate) fn watch_at(&self, address: Option<&Address>) {
        *lock(&self.watched) = address.cloned();
    }

    /// Whether what is seen at this address is seen of the node: another may be another server's.
    pub(crate) fn is_watched_at(&self, address: &Address) -> bool {
        lock(&self.watched).as_ref().is_none_or(|watched| watched == address)
    }
}
