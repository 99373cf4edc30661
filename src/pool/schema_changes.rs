//! When this process last changed a schema (a table, a view, a type), or saw that one has changed.
//!
//! After a change of its own the process prepares all statements anew, because the server does not always notice that a
//! plan is out of date (`pool::plans`). Others may change a schema at any time. A change that is seen is rarely the only
//! one, so for some time no plan counts as certain.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::clock;
use crate::pool::sql_facts::{Command, SqlFacts};

/// By `clock`. 0: never.
static OWN: AtomicU64 = AtomicU64::new(0);
static SEEN: AtomicU64 = AtomicU64::new(0);

const LATELY_US: u64 = 300_000_000;

/// This process changes a schema, or has just changed it.
pub(crate) fn note_own() {
    OWN.store(clock().max(1), Ordering::Relaxed);
    note_seen();
}

/// A statement is about to run. What it changes may reach other sessions before it has ended.
pub(crate) fn announce_statement(facts: &SqlFacts) {
    if facts.alters_schema {
        note_own();
    } else if facts.runs_code && facts.command != Command::Planned {
        note_seen();
    }
}

/// A schema has changed, or may have.
pub(super) fn note_seen() {
    SEEN.store(clock().max(1), Ordering::Relaxed);
}

/// Whether this process changed a schema after this time by `clock`, or at it.
pub(super) fn any_own_since(time: u64) -> bool {
    OWN.load(Ordering::Relaxed) >= time.max(1)
}

/// Whether a schema changed, as far as is known, after this time by `clock`, or at it.
pub(super) fn any_seen_since(time: u64) -> bool {
    SEEN.load(Ordering::Relaxed) >= time.max(1)
}

pub(super) fn any_lately() -> bool {
    let last = SEEN.load(Ordering::Relaxed);
    last != 0 && clock().saturating_sub(last) < LATELY_US
}
