//! Whether a node is fit to be read from, and why not.
//!
//! With a bound on its lag, a standby must be known to keep it. What is known: the position that the standby had
//! replayed when it was last asked, and the positions of the primary, each with the time at which it was asked for. The
//! standby has everything that the primary had written up to the last time at which the primary was not beyond the
//! standby's position (`Topology::current_at`), and its lag is counted from that time on. So the lag is never
//! underestimated, and it grows while nothing is known: of a standby that is cut off from its primary, and of all while
//! the primary does not answer. Receive minus replay would be 0 on a standby that is cut off, and the time of the last
//! replayed transaction grows on an idle primary.

use std::fmt;
use std::time::{Duration, Instant};

use crate::cluster::cluster::Cluster;
use crate::cluster::node::{Node, NodeState};
use crate::cluster::read_policy::Bounds;
use crate::engine::lock;

/// What is known of the whole cluster at the moment of a choice.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) now: Instant,
    pub(super) primary: Option<usize>,
    pub(super) highest_timeline: u32,
    /// When the primary was last asked for its position.
    primary_asked: Option<Instant>,
}

/// Why a node is not fit to be read from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Unfit {
    /// It has not answered yet, is down, or belongs to another cluster.
    Silent,
    Primary,
    /// There is a bound, and nothing to compare with.
    LagUnknown,
    /// There is a bound, and the standby is not known to follow the primary's timeline.
    Timeline {
        own: Option<u32>,
        highest: u32,
    },
    LagMs {
        lag: Duration,
        bound: Duration,
    },
    LagBytes {
        lag: u64,
        bound: u64,
    },
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silent => f.write_str("does not answer"),
            Self::Primary => f.write_str("is the primary"),
            Self::LagUnknown => f.write_str("its lag is not known"),
            Self::Timeline { own: Some(own), highest } => {
                write!(f, "its lag is not known: it follows timeline {own}, and the newest is {highest}")
            }
            Self::Timeline { own: None, .. } => {
                f.write_str("its lag is not known: the user may not ask for its timeline")
            }
            Self::LagMs { lag, bound } => {
                write!(f, "is up to {} ms behind (maxLagMs: {})", lag.as_millis(), bound.as_millis())
            }
            Self::LagBytes { lag, bound } => write!(f, "is {lag} bytes behind (maxLagBytes: {bound})"),
        }
    }
}

impl Cluster {
    pub(super) fn moment(&self) -> Moment {
        let topology = lock(&self.topology);
        Moment {
            now: Instant::now(),
            primary: topology.primary,
            highest_timeline: topology.highest_timeline,
            primary_asked: topology.primary_asked(),
        }
    }

    /// Whether a node in this state may be tried. Without a monitor nobody would notice that it is up again.
    pub(super) fn counts_as_up(&self, state: NodeState) -> bool {
        state == NodeState::Up || (self.monitor_interval.is_none() && state == NodeState::Down)
    }

    /// Why a node is not fit to be read from as a standby. None: it is fit.
    pub(super) fn unfit(&self, node: &Node, bounds: Bounds, moment: &Moment) -> Option<Unfit> {
        let seen = lock(&node.status);
        match seen.role {
            Some(role) if !role.in_recovery => return Some(Unfit::Primary),
            Some(_) if self.counts_as_up(seen.state) => {}
            _ => return Some(Unfit::Silent),
        }
        if !bounds.are_set() {
            return None;
        }
        if seen.timeline.is_none_or(|own| own < moment.highest_timeline) {
            return Some(Unfit::Timeline { own: seen.timeline, highest: moment.highest_timeline });
        }
        if let Some(bound) = bounds.max_lag {
            let Some(current_at) = seen.current_at else { return Some(Unfit::LagUnknown) };
            let lag = moment.now.saturating_duration_since(current_at);
            if lag > bound {
                return Some(Unfit::LagMs { lag, bound });
            }
        }
        let bound = bounds.max_lag_bytes?;
        // Positions that are older say nothing of the lag of now.
        let recent = self.monitor_interval.unwrap_or_default();
        let recent = recent.node_timeout + recent.interval();
        let is_recent =
            |asked: Option<Instant>| asked.is_some_and(|at| moment.now.saturating_duration_since(at) < recent);
        match seen.lag {
            Some(lag) if is_recent(seen.asked) && is_recent(moment.primary_asked) => {
                (lag.bytes > bound).then_some(Unfit::LagBytes { lag: lag.bytes, bound })
            }
            _ => Some(Unfit::LagUnknown),
        }
    }
}
