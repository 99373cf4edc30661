//! What is known of the cluster as a whole: which node is the primary, the highest timeline, the primary's positions.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::cluster::node::Lag;

/// How many positions of the primary are kept, to compute by how much time a standby is behind.
const POSITIONS: usize = 600;

/// What is known of the cluster as a whole.
#[derive(Debug)]
pub(super) struct Topology {
    pub(super) primary: Option<usize>,
    /// The previous primary, for the event.
    pub(super) last: Option<usize>,
    pub(super) lost_at: Option<Instant>,
    /// The highest timeline that any node had.
    pub(super) highest_timeline: u32,
    /// The cluster's system identifier.
    pub(super) identity: Option<u64>,
    /// Whether enough nodes have answered to decide which is the primary.
    pub(super) settled: bool,
    /// When the nodes were first asked, and when the first one answered.
    pub(super) began: Option<Instant>,
    pub(super) answered: Option<Instant>,
    /// The primary's write positions, each with the time when it was first seen.
    pub(super) positions: VecDeque<(Instant, u64)>,
    /// The event for a node that does not name its cluster was sent.
    pub(super) warned: bool,
}

impl Topology {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            primary: None,
            last: None,
            lost_at: None,
            highest_timeline: 0,
            identity: None,
            settled: nodes == 1,
            began: None,
            answered: None,
            positions: VecDeque::new(),
            warned: false,
        }
    }

    /// The nodes are being asked.
    pub(super) fn note_search_began(&mut self) {
        self.began.get_or_insert_with(Instant::now);
    }

    pub(super) fn note_position(&mut self, lsn: Option<u64>) {
        let Some(lsn) = lsn.filter(|lsn| self.positions.back().is_none_or(|(_, last)| last < lsn)) else { return };
        if self.positions.len() == POSITIONS {
            self.positions.pop_front();
        }
        self.positions.push_back((Instant::now(), lsn));
    }

    /// How far a standby that is at `lsn` now is behind the positions of the primary.
    pub(super) fn lag(&self, lsn: u64) -> Option<Lag> {
        let (_, newest) = self.positions.back()?;
        let since = self.positions.iter().find(|(_, position)| *position > lsn);
        let time = since.map_or(Duration::ZERO, |(at, _)| at.elapsed());
        Some(Lag { bytes: newest.saturating_sub(lsn), time })
    }

    /// Why a primary on `timeline` is deposed, if it is.
    pub(super) fn deposed(&self, timeline: Option<u32>) -> Option<String> {
        let highest = self.highest_timeline;
        let own = timeline.filter(|own| *own < highest)?;
        Some(format!("is a deposed primary: its timeline is {own}, another node's {highest}"))
    }
}
