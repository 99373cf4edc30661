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
use std::sync::atomic::{AtomicU64, Ordering};

use crate::engine::clock;
use crate::pool::prepared::Prepared;
use crate::pool::session::Session;
use crate::pool::sql_facts::Command;
use crate::pool::statement_text::StatementText;

/// A statement without columns fails only if the type of a column has changed. A plan of such a statement that was
/// accepted so recently goes without a savepoint.
const CONFIRMED_US: u64 = 1_000_000;

/// For how long after a change of the schema no plan counts as confirmed.
const SUSPICION_US: u64 = 300_000_000;

/// When this process last learned that a schema changes, by `clock`. 0: never.
static SCHEMA_CHANGED: AtomicU64 = AtomicU64::new(0);

/// A schema changes, or has changed: tables, views, types.
pub(crate) fn note_schema_change() {
    SCHEMA_CHANGED.store(clock().max(1), Ordering::Relaxed);
}

fn has_schema_changed_lately() -> bool {
    let changed = SCHEMA_CHANGED.load(Ordering::Relaxed);
    changed != 0 && clock().saturating_sub(changed) < SUSPICION_US
}

impl Session {
    /// The scope in which the plan of a text is kept.
    fn scope_of(&self, text: &StatementText) -> u64 {
        if text.varies() { self.names.scope() } else { 0 }
    }

    /// The plan of a text, if this connection has one that is not known to be out of date.
    pub(crate) fn plan_of(&self, text: &StatementText) -> Option<Arc<Prepared>> {
        self.prepared.get((text.id, self.scope_of(text)), text.generation())
    }

    /// Remembers the plan of a text.
    pub(crate) fn keep_plan(&self, text: &StatementText, plan: Arc<Prepared>) {
        // The server does not notice when the columns of such a statement change.
        if text.facts.command != Command::Borrowed {
            self.prepared.insert((text.id, self.scope_of(text)), plan);
        }
    }

    pub(crate) fn forget_plan(&self, text: &StatementText) {
        self.prepared.remove((text.id, self.scope_of(text)));
    }

    /// Notes that a text was prepared anew because its plan may have been out of date.
    pub(crate) fn note_new_plan(&self, text: &StatementText, before: &Prepared, now: &Arc<Prepared>) {
        if before.is_like(now) {
            return;
        }
        text.plan_has_changed(self.names.scope());
        note_schema_change();
    }

    /// Whether the plan, within a transaction that cannot begin again, must be bound behind a savepoint.
    pub(crate) fn needs_savepoint(&self, text: &StatementText, plan: &Prepared) -> bool {
        if text.facts.command != Command::Planned {
            return false;
        }
        let epoch = self.names.epoch();
        if text.facts.is_held_by_locks && plan.is_confirmed_in(epoch) {
            return false;
        }
        plan.has_columns()
            || self.names.have_changed()
            || plan.unconfirmed_for() > CONFIRMED_US
            || has_schema_changed_lately()
    }

    /// The server has accepted the plan in the present transaction.
    pub(crate) fn confirm_in_transaction(&self, plan: &Prepared) {
        plan.confirm_in(self.names.epoch());
    }
}
