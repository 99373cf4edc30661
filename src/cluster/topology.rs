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
    /// The primary's write positions, oldest first.
    pub(super) positions: VecDeque<Position>,
    /// The event for a node that does not name its cluster was sent.
    pub(super) warned: bool,
}

/// A position at which the primary was.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    lsn: u64,
    /// When it was seen first and last.
    first: Instant,
    last: Instant,
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

    /// The primary was asked for its position at this time.
    pub(super) fn note_position(&mut self, lsn: Option<u64>, asked: Instant) {
        let Some(lsn) = lsn else { return };
        match self.positions.back_mut() {
            Some(newest) if newest.lsn == lsn => newest.last = newest.last.max(asked),
            Some(newest) if newest.lsn > lsn => {}
            _ => {
                if self.positions.len() == POSITIONS {
                    self.positions.pop_front();
                }
                self.positions.push_back(Position { lsn, first: asked, last: asked });
            }
        }
    }

    /// How far a standby that is at `lsn` now is behind the positions of the primary.
    pub(super) fn lag(&self, lsn: u64) -> Option<Lag> {
        let newest = self.positions.back()?;
        let since = self.positions.iter().find(|position| position.lsn > lsn);
        let time = since.map_or(Duration::ZERO, |position| position.first.elapsed());
        Some(Lag { bytes: newest.lsn.saturating_sub(lsn), time })
    }

    /// A time up to which a standby that has replayed `lsn` has all that the primary had written. None: unknown.
    pub(super) fn current_at(&self, lsn: u64) -> Option<Instant> {
        self.positions.iter().rev().find(|position| position.lsn <= lsn).map(|position| position.last)
    }

    /// When the primary was last asked for its position.
    pub(super) fn primary_asked(&self) -> Option<Instant> {
        self.positions.back().map(|position| position.last)
    }

    /// Why a primary on `timeline` is deposed, if it is.
    pub(super) fn deposed(&self, timeline: Option<u32>) -> Option<String> {
        let highest = self.highest_timeline;
        let own = timeline.filter(|own| *own < highest)?;
        Some(format!("is a deposed primary: its timeline is {own}, another node's {highest}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_to_when_a_standby_has_everything() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut topology = Topology::new(2);
        assert_eq!((topology.current_at(9), topology.primary_asked()), (None, None));
        // (when the primary was asked, its position)
        for (ms, lsn) in [(0, 100), (10, 100), (20, 200), (30, 150), (40, 300)] {
            topology.note_position(Some(lsn), at(ms));
        }
        topology.note_position(None, at(50));
        let table = [(99, None), (100, Some(10)), (199, Some(10)), (200, Some(20)), (300, Some(40)), (999, Some(40))];
        for (lsn, expected) in table {
            assert_eq!(topology.current_at(lsn), expected.map(at), "{lsn}");
        }
        assert_eq!(topology.primary_asked(), Some(at(40)));
    }
}
