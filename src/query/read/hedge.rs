//! Hedged reads: a read that has not answered after a while is sent to a second node, too. The first answer wins, and
//! the other one is cancelled on its server (Dean and Barroso, "The Tail at Scale", 2013).
//!
//! Both reads hold a promise of the same call of JavaScript. A [`Race`] decides which of them may settle it. A budget
//! bounds the share of reads that are sent twice.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::sleep;

use crate::engine::lock;
use crate::query::call::Call;
use crate::query::cancellation::Cancellation;
use crate::query::read::{Reads, place};
use crate::query::single::Query;

/// At most so many reads are hedged at once after a quiet time.
const BURST: f64 = 10.0;

/// How many reads may be sent twice: each read adds the share, each second sending takes 1.
#[derive(Debug)]
pub(super) struct HedgeBudget {
    share: f64,
    saved: Mutex<f64>,
}

impl HedgeBudget {
    pub(super) fn new(share: f64) -> Self {
        Self { share, saved: Mutex::new(0.0) }
    }

    fn note_read(&self) {
        let mut saved = lock(&self.saved);
        *saved = (*saved + self.share).min(BURST.max(self.share));
    }

    fn take(&self) -> bool {
        let mut saved = lock(&self.saved);
        // Twenty shares of 0.05 add up to a little less than 1.
        let may = *saved > 1.0 - 1e-9;
        if may {
            *saved -= 1.0;
        }
        may
    }

    pub(super) fn give_back(&self) {
        *lock(&self.saved) += 1.0;
    }
}

/// Nobody has answered yet.
const OPEN: usize = usize::MAX;

/// Which of two reads of the same call has answered.
#[derive(Debug)]
pub(crate) struct Race {
    winner: AtomicUsize,
    /// How many of them are under way.
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
    fn first() -> Self {
        let (winner, running, node) = (AtomicUsize::new(OPEN), AtomicUsize::new(1), AtomicUsize::new(OPEN));
        Self { race: Arc::new(Race { winner, running, node, decided: Notify::new() }), place: 0 }
    }

    fn second(&self) -> Self {
        self.race.running.fetch_add(1, Ordering::Relaxed);
        Self { race: self.race.clone(), place: 1 }
    }

    pub(crate) fn is_second(&self) -> bool {
        self.place == 1
    }

    /// Whether this read may settle the call: it answers first, or has done so.
    pub(crate) fn claim(&self) -> bool {
        let before = self.race.winner.compare_exchange(OPEN, self.place, Ordering::Relaxed, Ordering::Relaxed);
        match before {
            Ok(_) => {
                self.race.decided.notify_waiters();
                true
            }
            Err(winner) => winner == self.place,
        }
    }

    /// Whether the other read has answered.
    pub(crate) fn has_lost(&self) -> bool {
        ![OPEN, self.place].contains(&self.race.winner.load(Ordering::Relaxed))
    }

    /// Resolves when the other read has answered.
    pub(crate) async fn lost(&self) {
        loop {
            let decided = self.race.decided.notified();
            if self.has_lost() {
                return;
            }
            decided.await;
        }
    }

    /// Leaves without an answer. True: the other read is still under way, or has answered.
    pub(crate) fn leave(&self) -> bool {
        self.has_lost() || self.race.running.fetch_sub(1, Ordering::Relaxed) > 1
    }

    pub(crate) fn note_node(&self, node: usize) {
        if self.place == 0 {
            self.race.node.store(node, Ordering::Relaxed);
        }
    }

    fn is_open(&self) -> bool {
        self.race.winner.load(Ordering::Relaxed) == OPEN && self.race.running.load(Ordering::Relaxed) > 0
    }
}

/// Lets a read be sent to a second node if it has not answered after a while.
pub(super) fn begin(reads: &Arc<Reads>, query: &mut Query, after: Duration, wait_until: Instant) {
    reads.budget.note_read();
    let racer = Racer::first();
    let rival = query.call.promise.enter_race(racer.clone());
    query.call.cancellation.racer = Some(racer.clone());
    let (reads, context) = (reads.clone(), query.call.context.clone());
    let (statement, cancellation, deadline) =
        (query.statement.clone(), query.call.cancellation.clone(), query.call.deadline);
    let wish = query.call.read.as_ref().map(|plan| plan.wish.clone()).unwrap_or_default();
    drop(tokio::spawn(async move {
        tokio::select! {
            () = sleep(after) => {}
            () = racer.race.decided.notified() => return,
        }
        if !racer.is_open() || !reads.budget.take() {
            return;
        }
        let second = racer.second();
        let cancellation = Cancellation { racer: Some(second.clone()), ..cancellation };
        let mut call = Call::new(rival.promise(second), context, cancellation);
        call.deadline = deadline;
        let mut plan = reads.plan(wish, wait_until);
        plan.wish.failed.push(racer.race.node.load(Ordering::Relaxed));
        plan.wish.chosen = None;
        call.read = Some(Box::new(plan));
        place(Box::new(Query { call, statement }));
    }));
}
