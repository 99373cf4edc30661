//! The texts of statements: what the pool knows of each, on whichever connection it runs.
//!
//! The text of a statement crosses from JavaScript once; afterwards a small integer stands for it.
//!
//! A text has a generation. When one connection learns that its plan is out of date (DDL), the generation grows, and
//! the other connections prepare the text again before its next use, instead of running into the same error.
//!
//! Some texts mean other tables in other scopes (a schema for each tenant, `search_path`). When the plan of a text
//! changes again and again in scopes of its own, the plans of this text are kept by scope.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::codec::Types;
use crate::engine::{clock, lock};
use crate::pool::sql_facts::SqlFacts;

/// A statement as the caller wrote it.
#[derive(Debug)]
pub(crate) struct StatementText {
    pub(crate) id: u32,
    pub(crate) sql: String,
    /// The option `types` of the statement. None: that of the pool.
    pub(crate) types: Option<Types>,
    pub(crate) facts: SqlFacts,
    /// A moving average of the statement's duration in microseconds. 0: the statement has never run.
    average_us: AtomicU32,
    generation: AtomicU32,
    varies: AtomicBool,
    /// How often in a row, each time soon after the last, the plan changed within a scope, and when it last did.
    changes_in_scope: AtomicU32,
    changed_in_scope: AtomicU64,
    /// The command tag that JavaScript has for the text, without its count.
    tag: Mutex<Option<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Unknown,
    Quick,
    Slow,
}

/// A statement with a longer average duration gets a connection to itself, so that no other statement waits behind it.
const SLOW_US: u32 = 5_000;

/// So many changes of a plan in scopes of its own, each within the time after the last, make its text a varying one.
const VARYING: u32 = 3;
const VARYING_WITHIN_US: u64 = 60_000_000;

impl StatementText {
    pub(crate) fn new(id: u32, sql: String, types: Option<Types>) -> Self {
        let facts = SqlFacts::of(&sql);
        Self {
            id,
            sql,
            types,
            facts,
            average_us: AtomicU32::new(0),
            generation: AtomicU32::new(0),
            varies: AtomicBool::new(false),
            changes_in_scope: AtomicU32::new(0),
            changed_in_scope: AtomicU64::new(0),
            tag: Mutex::new(None),
        }
    }

    /// Notes the command tag that JavaScript learns now. Whether JavaScript has another one.
    pub(crate) fn note_tag(&self, tag: &str) -> bool {
        let mut known = lock(&self.tag);
        let is_new = known.as_deref() != Some(tag);
        if is_new {
            *known = Some(tag.to_owned());
        }
        is_new
    }

    pub(crate) fn pace(&self) -> Pace {
        match self.average_us.load(Ordering::Relaxed) {
            0 => Pace::Unknown,
            us if us > SLOW_US => Pace::Slow,
            _ => Pace::Quick,
        }
    }

    pub(crate) fn record_run(&self, us: u64) {
        let us = u32::try_from(us).unwrap_or(u32::MAX).max(1);
        let before = self.average_us.load(Ordering::Relaxed);
        let average = if before == 0 { us } else { before - before / 8 + us / 8 };
        self.average_us.store(average, Ordering::Relaxed);
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation.load(Ordering::Relaxed)
    }

    /// Whether the plans of the text are kept by scope.
    pub(super) fn varies(&self) -> bool {
        self.varies.load(Ordering::Relaxed)
    }

    /// The server describes the text in another way than before, in this scope (0: outside of any).
    pub(super) fn plan_has_changed(&self, scope: u64) {
        if scope == 0 {
            if !self.varies() {
                self.generation.fetch_add(1, Ordering::Relaxed);
            }
            return;
        }
        let now = clock();
        let before = self.changed_in_scope.swap(now, Ordering::Relaxed);
        let soon = now.saturating_sub(before) < VARYING_WITHIN_US;
        let changes = if soon { self.changes_in_scope.load(Ordering::Relaxed) + 1 } else { 1 };
        self.changes_in_scope.store(changes, Ordering::Relaxed);
        if changes >= VARYING {
            self.varies.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_slow_run_does_not_make_a_statement_slow_for_ever() {
        let text = StatementText::new(1, "select".into(), None);
        assert_eq!(text.pace(), Pace::Unknown);
        text.record_run(100);
        text.record_run(20_000);
        assert_eq!(text.pace(), Pace::Quick);
        for _ in 0..20 {
            text.record_run(20_000);
        }
        assert_eq!(text.pace(), Pace::Slow);
        for _ in 0..20 {
            text.record_run(100);
        }
        assert_eq!(text.pace(), Pace::Quick);
    }

    #[test]
    fn a_text_varies_when_its_plan_changes_again_and_again_in_scopes() {
        let text = StatementText::new(1, "select".into(), None);
        text.plan_has_changed(0);
        assert_eq!((text.generation(), text.varies()), (1, false));
        text.plan_has_changed(7);
        text.plan_has_changed(8);
        assert_eq!((text.generation(), text.varies()), (1, false));
        text.plan_has_changed(7);
        assert_eq!((text.generation(), text.varies()), (1, true));
    }
}
