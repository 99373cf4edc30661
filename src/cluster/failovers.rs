//! The timeline of each failover: what was noticed first and by what, which nodes answered what, which node was chosen,
//! when it acknowledged the first write, and what became of the statements meanwhile.
//!
//! A failover begins when the cluster loses its primary, or a node on a higher timeline takes its place. The first sign
//! is often older: a connection breaks, and the monitor finds out why. It ends with the first write, or at the next answer
//! of a node after [`PATIENCE`] without one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::connection::notices::EventSink;
use crate::engine::{Statistics, lock};

/// How many failovers are kept.
const KEPT: usize = 16;
/// How many answers of nodes are kept of each.
const ANSWERS: usize = 64;
/// A sign that is older did not announce this failover.
const SIGN_LIFE: Duration = Duration::from_secs(10);
/// How long after the choice of a primary its first write is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// No node's first write is waited for.
const NOBODY: usize = usize::MAX;

/// Who has noticed that something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoticedBy {
    /// A statement whose connection broke, or that was refused.
    Statement,
    /// An attempt to connect.
    Connection,
    Monitor,
    /// Another node is the primary on a higher timeline.
    Fence,
}

impl NoticedBy {
    fn name(self) -> &'static str {
        match self {
            Self::Statement => "statement",
            Self::Connection => "connection",
            Self::Monitor => "monitor",
            Self::Fence => "fence",
        }
    }
}

/// Something that may be the beginning of a failover.
#[derive(Clone, Debug)]
struct Sign {
    seen: Instant,
    at: SystemTime,
    by: NoticedBy,
    node: usize,
    reason: String,
    /// Those of the pool before it.
    before: Counts,
}

#[derive(Clone, Debug)]
struct NodeAnswer {
    at: SystemTime,
    node: usize,
    said: &'static str,
    reason: Option<String>,
}

/// The new primary.
#[derive(Clone, Debug)]
struct Choice {
    node: usize,
    found: SystemTime,
    /// `found`, by a clock that nobody sets.
    chosen: Instant,
    timeline: Option<u32>,
    /// How much work waited for a connection then.
    held: usize,
}

/// How often work ran again, and how often its outcome is unknown, from the first sign on.
#[derive(Clone, Copy, Debug)]
struct Counts {
    retried: u64,
    unknown: u64,
}

#[derive(Clone, Debug)]
struct Failover {
    from: usize,
    sign: Sign,
    answers: Vec<NodeAnswer>,
    choice: Option<Choice>,
    first_write: Option<SystemTime>,
    /// Set when it has ended.
    counts: Option<Counts>,
}

#[derive(Debug, Default)]
struct Log {
    failovers: VecDeque<Failover>,
    /// How often another node became the primary.
    changes: u64,
    sign: Option<Sign>,
}

/// The failovers of a pool's cluster.
pub(crate) struct Failovers {
    log: Mutex<Log>,
    /// The new primary whose first write is waited for, so that a write need not lock the log to find out.
    awaited: AtomicUsize,
    statistics: Arc<Statistics>,
    nodes: Vec<String>,
    event_sink: EventSink,
}

impl std::fmt::Debug for Failovers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Failovers").field("log", &self.log).finish_non_exhaustive()
    }
}

/// What a node's answer says of it, for the timeline of a failover.
pub(super) fn answer_of(is_primary: bool, writable: bool) -> &'static str {
    match (is_primary, writable) {
        (false, _) => "standby",
        (true, true) => "primary",
        (true, false) => "fenced",
    }
}

/// Why a primary that accepts no writes is none for this client.
pub(super) fn fence_reason(is_primary: bool, writable: bool, deposed: Option<String>) -> Option<String> {
    let refuses = || "it accepts no writes (default_transaction_read_only)".to_owned();
    (is_primary && !writable).then(|| deposed.unwrap_or_else(refuses))
}

impl Failovers {
    pub(super) fn new(nodes: Vec<String>, statistics: Arc<Statistics>, event_sink: EventSink) -> Self {
        Self { log: Mutex::default(), awaited: AtomicUsize::new(NOBODY), statistics, nodes, event_sink }
    }

    fn sign(&self, by: NoticedBy, node: usize, reason: String) -> Sign {
        Sign { seen: Instant::now(), at: SystemTime::now(), by, node, reason, before: self.counts() }
    }

    /// The counts of the pool now.
    fn counts(&self) -> Counts {
        Counts { retried: self.statistics.retried(), unknown: self.statistics.unknown.get() }
    }

    /// Something went wrong with a node, which may be the beginning of a failover. Must be called before the retry or
    /// the error is counted.
    pub(crate) fn note_sign(&self, by: NoticedBy, node: usize, reason: impl FnOnce() -> String) {
        let mut log = lock(&self.log);
        let is_known = log.sign.as_ref().is_some_and(|sign| sign.node == node && sign.seen.elapsed() < SIGN_LIFE);
        if !is_known && log.open().is_none() {
            log.sign = Some(self.sign(by, node, reason()));
        }
    }

    /// The cluster has lost its primary.
    pub(super) fn begin(&self, from: usize, by: NoticedBy, reason: String) {
        let mut log = lock(&self.log);
        let sign = log.sign.take().filter(|sign| sign.node == from && sign.seen.elapsed() < SIGN_LIFE);
        let sign = sign.unwrap_or_else(|| self.sign(by, from, reason));
        self.awaited.store(NOBODY, Ordering::Relaxed);
        let unfinished = log.open().map(|last| self.end(last));
        if log.failovers.len() == KEPT {
            log.failovers.pop_front();
        }
        let (answers, choice, first_write, counts) = (Vec::new(), None, None, None);
        log.failovers.push_back(Failover { from, sign, answers, choice, first_write, counts });
        drop(log);
        // The primary that was chosen last has acknowledged nothing.
        if let Some(event) = unfinished {
            drop((self.event_sink)(event));
        }
    }

    /// A node has answered, or has not. Only what it says while there is no primary is kept.
    pub(super) fn note_answer(&self, node: usize, answer: &'static str, reason: Option<String>) {
        let mut log = lock(&self.log);
        if log.open().and_then(|open| open.choice.as_ref()).is_some_and(|choice| choice.chosen.elapsed() > PATIENCE) {
            return self.finish(log, None);
        }
        let is_well = answer == "primary" && log.open().is_none();
        if is_well && log.sign.as_ref().is_some_and(|sign| sign.node == node) {
            log.sign = None;
        }
        let Some(open) = log.without_primary() else { return };
        let last = open.answers.iter().rev().find(|other| other.node == node);
        let is_news = last.is_none_or(|last| last.said != answer || last.reason != reason);
        if is_news && open.answers.len() < ANSWERS {
            open.answers.push(NodeAnswer { at: SystemTime::now(), node, said: answer, reason });
        }
    }

    /// The cluster has a primary again.
    pub(super) fn found(&self, node: usize, timeline: Option<u32>) {
        let mut log = lock(&self.log);
        let Some(open) = log.without_primary() else { return };
        let is_change = open.from != node;
        let (found, chosen, held) = (SystemTime::now(), Instant::now(), self.statistics.waiting());
        open.choice = Some(Choice { node, found, chosen, timeline, held });
        log.changes += u64::from(is_change);
        drop(log);
        self.awaited.store(node, Ordering::Relaxed);
    }

    /// A node has acknowledged a write.
    pub(crate) fn note_write(&self, node: usize) {
        if self.awaited.load(Ordering::Relaxed) == node {
            self.finish(lock(&self.log), Some(SystemTime::now()));
        }
    }

    /// Ends the failover whose new primary is chosen.
    fn finish(&self, mut log: MutexGuard<'_, Log>, first_write: Option<SystemTime>) {
        let Some(open) = log.open().filter(|open| open.choice.is_some()) else { return };
        open.first_write = first_write;
        let event = self.end(open);
        log.sign = None;
        drop(log);
        self.awaited.store(NOBODY, Ordering::Relaxed);
        drop((self.event_sink)(event));
    }

    /// Ends a failover. Returns its event.
    fn end(&self, failover: &mut Failover) -> Value {
        failover.counts = Some(self.counts_since(&failover.sign));
        let mut event = self.describe(failover);
        event["event"] = "failover".into();
        event
    }

    /// What was counted since a sign.
    fn counts_since(&self, sign: &Sign) -> Counts {
        let (now, before) = (self.counts(), sign.before);
        Counts { retried: now.retried - before.retried, unknown: now.unknown - before.unknown }
    }

    fn describe(&self, failover: &Failover) -> Value {
        let name = |node: usize| self.nodes.get(node).cloned();
        let Counts { retried, unknown } = failover.counts.unwrap_or_else(|| self.counts_since(&failover.sign));
        let choice = failover.choice.as_ref();
        let describe = |answer: &NodeAnswer| {
            json!({
                "at": millis(answer.at), "node": name(answer.node), "answer": answer.said, "reason": answer.reason,
            })
        };
        let asked: Vec<_> = failover.answers.iter().map(describe).collect();
        let sign = &failover.sign;
        json!({
            "from": name(failover.from),
            "to": choice.and_then(|choice| name(choice.node)),
            "noticed": millis(sign.at),
            "by": { "source": sign.by.name(), "node": name(sign.node), "reason": sign.reason },
            "asked": asked,
            "found": choice.map(|choice| millis(choice.found)),
            "timeline": choice.and_then(|choice| choice.timeline),
            "firstWrite": failover.first_write.map(millis),
            "held": choice.map_or_else(|| self.statistics.waiting(), |choice| choice.held),
            "retried": retried,
            "unknown": unknown,
        })
    }

    /// The last failovers, oldest first.
    pub(super) fn report(&self) -> Value {
        lock(&self.log).failovers.iter().map(|failover| self.describe(failover)).collect()
    }

    /// How often another node became the primary.
    pub(super) fn count(&self) -> u64 {
        lock(&self.log).changes
    }
}

impl Log {
    /// The failover that is under way, if there is one: later signs belong to it.
    fn open(&mut self) -> Option<&mut Failover> {
        self.failovers.back_mut().filter(|last| last.counts.is_none())
    }

    /// The failover that is under way, if no primary is chosen yet.
    fn without_primary(&mut self) -> Option<&mut Failover> {
        self.open().filter(|open| open.choice.is_none())
    }
}

/// Milliseconds since the epoch, as `Date` counts them.
fn millis(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}
