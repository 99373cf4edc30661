//! Which of two reads of the same call answers it (`read`: hedged reads). Both hold a promise of the same call of
//! JavaScript; the first answer claims it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Nobody has answered yet; or the first read is on no node.
const NONE: usize = usize::MAX;

#[derive(Debug)]
struct Race {
    winner: AtomicUsize,
    /// How many reads are under way.
    running: AtomicUsize,
    /// Where the first read is.
    node: AtomicUsize,
    decided: Notify,
}

/// One of the reads in a race.
#[derive(Clone, Debug)]
pub(crate) struct Racer {
    race: Arc<Race>,
    place: usize,
}

impl Racer {
    pub(super) fn first() -> Self {
        let (winner, running, node) = (AtomicUsize::new(NONE), AtomicUsize::new(1), AtomicUsize::new(NONE));
        Self { race: Arc::new(Race { winner, running, node, decided: Notify::new() }), place: 0 }
    }

    /// A second read enters the race.
    pub(super) fn second(&self) -> Self {
        self.race.running.fetch_add(1, Ordering::Relaxed);
        Self { race: self.race.clone(), place: 1 }
    }

    pub(super) fn is_second(&self) -> bool {
        self.place == 1
    }

    /// Whether this read may settle the call: it answers first, or has done so.
    pub(super) fn claim(&self) -> bool {
        match self.race.winner.compare_exchange(NONE, self.place, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => {
                self.race.decided.notify_waiters();
                true
            }
            Err(winner) => winner == self.place,
        }
    }

    /// Whether the other read has answered.
    pub(super) fn has_lost(&self) -> bool {
        ![NONE, self.place].contains(&self.race.winner.load(Ordering::Relaxed))
    }

    /// Resolves when the other read has answered.
    pub(super) async fn lost(&self) {
        loop {
            let decided = self.race.decided.notified();
            if self.has_lost() {
                return;
            }
            decided.await;
        }
    }

    /// Leaves without an answer. True: the other read is still under way, or has answered.
    pub(super) fn leave(&self) -> bool {
        let others = self.race.running.fetch_sub(1, Ordering::Relaxed) > 1;
        if !others {
            self.race.decided.notify_waiters();
        }
        others || self.has_lost()
    }

    /// Whether a second read may enter: the first one is under way, and has not answered.
    pub(super) fn is_open(&self) -> bool {
        self.race.winner.load(Ordering::Relaxed) == NONE && self.race.running.load(Ordering::Relaxed) > 0
    }

    /// Resolves when the race is over.
    pub(super) async fn over(&self) {
        let decided = self.race.decided.notified();
        if self.is_open() {
            decided.await;
        }
    }

    /// The first read goes to this node.
    pub(super) fn note_node(&self, node: usize) {
        if self.place == 0 {
            self.race.node.store(node, Ordering::Relaxed);
        }
    }

    /// Where the first read is.
    pub(super) fn first_node(&self) -> usize {
        self.race.node.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_answer_counts() {
        let first = Racer::first();
        let second = first.second();
        assert!(first.is_open() && !first.has_lost() && !second.has_lost());
        assert!(second.claim() && second.claim(), "it may send more");
        assert!(!first.claim() && first.has_lost() && !second.has_lost() && !first.is_open());
    }

    #[test]
    fn a_read_without_an_answer_leaves_it_to_the_other_one() {
        let first = Racer::first();
        let second = first.second();
        assert!(first.leave(), "the second one is under way");
        assert!(!second.leave(), "nobody is left, so this one reports its error");
        assert!(second.claim());
        let alone = Racer::first();
        assert!(!alone.leave() && !alone.is_open(), "no second read enters any more");
    }
}
