//! The plans of a session: which one a statement runs with, and whether it may be out of date.
//!
//! A prepared statement is a plan of the server. The server plans it anew when a table or the search_path has changed,
//! but refuses it with an error when its columns or the types of its parameters are then others. Outside of a
//! transaction, and as a transaction's first statement, it simply runs again with a new plan. Later in a transaction the
//! error would take the transaction with it, so a plan that may be out of date is bound behind a savepoint
//! (`protocol::frontend`), in the same flight:
//!
//!     SAVEPOINT; Bind; RELEASE; Execute
//!
//! Only Bind can find that a plan is out of date, so nothing of the statement itself runs in the subtransaction, which
//! therefore never gets a transaction id.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::engine::clock;
use crate::pool::prepared::Prepared;
use crate::pool::schema_changes;
use crate::pool::session::Session;
use crate::pool::sql_facts::Command;
use crate::pool::statement_text::StatementText;
use crate::protocol::Naming;

/// How long a plan is kept at most. The server goes on with the old types of the parameters when those of the columns
/// have changed in a way that it can convert: a float8 column would get float4 values.
const LIFETIME_US: u64 = 60_000_000;

/// How long, if the statement has columns of a row type, of which the server does not notice the changes.
const EXPANDED_US: u64 = 1_000_000;

impl Session {
    /// The scope in which the plan of a text is kept.
    fn scope_of(&self, text: &StatementText) -> u64 {
        if text.varies() || self.names.may_hide() { self.names.scope() } else { 0 }
    }

    /// The plan of a text, if this connection has one that it can rely on.
    pub(crate) fn plan_of(&self, text: &StatementText, now: u64) -> Option<Arc<Prepared>> {
        self.known_plan_of(text, now).filter(|plan| !self.must_describe_anew(text, plan))
    }

    /// The plan of a text, if this connection has one that is not known to be out of date.
    pub(crate) fn known_plan_of(&self, text: &StatementText, now: u64) -> Option<Arc<Prepared>> {
        if self.conn.session_state.take_deallocated() {
            self.prepared.clear();
        }
        let plan = self.prepared.get((text.id, self.scope_of(text)), text.generation())?;
        let is_good = match text.facts.command {
            // The server may not notice that the plan is out of date.
            Command::Planned => {
                let longest = if text.facts.expands_types { EXPANDED_US } else { LIFETIME_US };
                now.saturating_sub(plan.since) < longest && !schema_changes::any_own_since(plan.since)
            }
            // Such a statement cannot be bound behind a savepoint.
            _ => !self.names.may_be_deallocated(),
        };
        is_good.then_some(plan)
    }

    /// Whether a statement without a name must be described before it runs. It is parsed with each run, so the client
    /// would learn only after the statement has run that its columns are others.
    fn must_describe_anew(&self, text: &StatementText, plan: &Prepared) -> bool {
        self.conn.session_state.naming() == Naming::None
            && plan.has_columns()
            && (text.facts.returns_all || !plan.has_built_in_types())
            && self.is_doubtful(plan)
    }

    /// Whether the plan of a statement that names its columns may be out of date. Such a plan fails only if the type of
    /// a column has changed, which is rarer than a new column. A connection that repeats its work without a pause has no
    /// doubts.
    fn is_doubtful(&self, plan: &Prepared) -> bool {
        !self.is_undoubted(plan)
            || plan.confirmed_pauses.load(Ordering::Relaxed) != self.conn.pauses()
            || schema_changes::any_lately()
    }

    /// The plan of a text, if nothing has changed what names mean since the server accepted it.
    pub(crate) fn undoubted_plan_of(&self, text: &StatementText) -> Option<Arc<Prepared>> {
        self.plan_of(text, clock()).filter(|plan| self.is_undoubted(plan))
    }

    /// Whether there is a plan of the text that serves all scopes.
    pub(crate) fn has_plan_for_all_scopes(&self, text: &StatementText) -> bool {
        !text.varies() && !self.names.may_hide() && self.plan_of(text, clock()).is_some()
    }

    /// Whether nothing has changed what names mean since the server accepted the plan.
    fn is_undoubted(&self, plan: &Prepared) -> bool {
        plan.confirmed_doubts.load(Ordering::Relaxed) == self.names.doubts()
    }

    /// Remembers the plan of a text.
    pub(crate) fn keep_plan(&self, text: &StatementText, plan: Arc<Prepared>) {
        self.confirm_plan(&plan);
        // The server does not notice when the columns of a borrowed one change. A traced one is never asked for again, and
        // would push out another one.
        if text.facts.command != Command::Borrowed && !text.facts.is_traced {
            self.prepared.insert((text.id, self.scope_of(text)), plan);
        }
    }

    pub(crate) fn forget_plan(&self, text: &StatementText) {
        self.prepared.remove(text.id);
    }

    /// Forgets what the server has said of types that are not built in.
    pub(crate) fn forget_types(&self) {
        self.types_since.store(clock(), Ordering::Relaxed);
        self.conn.client.clear_type_cache();
    }

    /// Like [`Self::forget_types`], if types may have changed since the last time.
    pub(crate) fn forget_changed_types(&self) {
        if schema_changes::any_seen_since(self.types_since.load(Ordering::Relaxed)) {
            self.forget_types();
        }
    }

    /// The server has accepted the plan.
    pub(crate) fn confirm_plan(&self, plan: &Prepared) {
        plan.confirmed_pauses.store(self.conn.pauses(), Ordering::Relaxed);
        plan.confirmed_doubts.store(self.names.doubts(), Ordering::Relaxed);
        plan.confirmed_epoch.store(self.names.epoch(), Ordering::Relaxed);
    }

    /// Notes what a statement that has run, with these parameters, may have changed.
    pub(crate) fn note_statement(&self, text: &StatementText, params: &[u8]) {
        if !text.facts.may_change_names(params) {
            return;
        }
        if text.facts.alters_schema {
            schema_changes::note_own();
        }
        if self.conn.session_state.is_in_block() {
            return self.names.note_statement(text, params);
        }
        self.names.doubt();
        if text.facts.creates {
            // What was made may hide what had its name before.
            self.prepared.clear();
        }
    }

    /// Notes that a text was prepared anew because its plan may have been out of date.
    pub(crate) fn note_new_plan(&self, text: &StatementText, before: &Prepared, now: &Arc<Prepared>) {
        if before.is_like(now) {
            return;
        }
        text.plan_has_changed(self.names.scope());
        schema_changes::note_seen();
    }

    /// Whether the plan, within a transaction that cannot begin again, must be bound behind a savepoint.
    pub(crate) fn needs_savepoint(&self, text: &StatementText, plan: &Prepared) -> bool {
        if text.facts.command != Command::Planned {
            return false;
        }
        let is_held = text.facts.is_held_by_locks && plan.has_built_in_types();
        if is_held && plan.confirmed_epoch.load(Ordering::Relaxed) == self.names.epoch() {
            return false;
        }
        text.facts.returns_all || plan.has_columns() && !plan.has_built_in_types() || self.is_doubtful(plan)
    }
}
