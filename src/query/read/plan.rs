//! What a read carries from node to node: what it asks for, where it is, and what it has seen.

use std::time::{Duration, Instant};

use crate::cluster::Cluster;
use crate::cluster::placement::{PlacedRead, Wish};
use crate::error::ClientError;
use crate::query::retry_policy::Cause;

/// A read that has lost its connection this often is not sent again: it may be the reason.
const LOSSES: usize = 5;
/// How long a read that can be placed nowhere waits at least.
const FIRST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct ReadPlan {
    pub(super) wish: Wish,
    /// Until when it waits for a standby to reach its position.
    pub(super) wait_until: Instant,
    /// The node that has to answer it now.
    pub(super) placed: Option<PlacedRead>,
    /// It could be placed nowhere before.
    pub(super) has_waited: bool,
    losses: usize,
    pause: Duration,
    /// Why the last node could not be used, if another attempt there cannot help.
    refusal: Option<ClientError>,
}

impl ReadPlan {
    pub(super) fn new(wish: Wish, wait_until: Instant) -> Self {
        Self { wish, wait_until, placed: None, has_waited: false, losses: 0, pause: FIRST_PAUSE, refusal: None }
    }

    /// What it asks for at this time.
    pub(super) fn wish_at(&mut self, now: Instant) -> &Wish {
        self.wish.may_wait = now < self.wait_until;
        &self.wish
    }

    /// Does not go to this node.
    pub(super) fn avoid(&mut self, node: usize) {
        self.wish.failed.push(node);
        self.wish.chosen = None;
    }

    /// The node has answered, after so many microseconds; 0: that says nothing about its speed.
    pub(super) fn note_answer(&self, us: u64) {
        if let Some(placed) = &self.placed {
            placed.answered(us);
        }
    }

    /// The read was given up after so many microseconds.
    pub(super) fn note_patience(&self, us: u64) {
        if let Some(placed) = &self.placed {
            placed.took(us);
        }
    }

    /// The node was lost under it.
    pub(super) fn note_loss(&mut self) {
        if let Some(placed) = self.placed.take() {
            placed.failed();
            self.avoid(placed.node());
        }
    }

    /// There was no connection to its node.
    pub(super) fn note_no_connection(&mut self, error: ClientError) {
        self.note_loss();
        let refuses = !matches!(error, ClientError::NoPrimary { .. } | ClientError::AcquireTimeout { .. });
        self.refusal = refuses.then_some(error);
    }

    /// It has run and was not answered. False: it must not run again.
    pub(super) fn note_failure(&mut self, cause: &Cause) -> bool {
        let Some(node) = self.placed.as_ref().map(PlacedRead::node) else { return false };
        match cause {
            // The first time the node may only have been a little late.
            Cause::NotReplayed if std::mem::take(&mut self.wish.may_try) => {}
            // A node that lacks the position although it was said to have it is several servers. A conflict with
            // recovery says nothing about the node.
            Cause::NotReplayed => self.avoid(node),
            Cause::Server(error) if !error.ends_session => self.avoid(node),
            _ => {
                self.losses += 1;
                self.note_loss();
            }
        }
        self.losses < LOSSES
    }

    /// Whether the last node that it could go to refuses this client, so that another attempt cannot help.
    pub(super) fn is_hopeless(&self) -> bool {
        self.refusal.is_some()
    }

    /// How long it waits at least before it looks again: longer each time, because nodes may fail at once each time.
    pub(super) fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        pause
    }

    /// The error for a read that was not answered in time.
    pub(super) fn error(&mut self, cluster: &Cluster, waited: Duration) -> ClientError {
        if let Some(refusal) = self.refusal.take() {
            return refusal;
        }
        let (waited_ms, nodes) = (waited.as_millis() as u64, cluster.why_unfit(&self.wish));
        if self.wish.fallback {
            ClientError::NoPrimary { wanted: "standby or primary to read from", waited_ms, nodes }
        } else {
            ClientError::NoStandby { waited_ms, nodes }
        }
    }
}
