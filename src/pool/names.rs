//! What the names in a statement mean on a connection, as far as the client can tell.
//!
//! - A *doubt* arises when something has run on the connection that may have changed what names mean: DDL, SET
//!   search_path, a call of an unknown function, DEALLOCATE, a rollback of these. A plan that the server has accepted
//!   since the last doubt is good as far as this connection is concerned.
//! - An *epoch* is a transaction, or the part of it after a doubt. A statement that depends on tables alone, and ran
//!   before in the same epoch, is held by its locks: nobody else can change the tables either.
//! - A *scope* is a number for the settings that decide what names mean (`search_path`, `role`) and for the DDL of the
//!   transaction so far: equal statements in the same order lead to the same scope. 0: the session as it was opened.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::engine::clock;
use crate::pool::schema_changes;
use crate::pool::statement_text::{Pace, StatementText};

/// What is known of the names of one session. Outside of transactions there is no scope, and only doubts are noted.
#[derive(Debug)]
pub(crate) struct SessionNames {
    doubts: AtomicU64,
    epoch: AtomicU64,
    scope: AtomicU64,
    /// How many doubts there were when the transaction began.
    doubts_at_begin: AtomicU64,
    /// The transaction has changed a schema.
    altered: AtomicBool,
    /// The transaction has made something that may hide what had its name before: a temporary table hides a table. The
    /// server does not count that as a reason to plan a statement anew.
    hides: AtomicBool,
    /// The scope of the transaction will not come again: it has run a script, or made something for the first time, such
    /// as a temporary table with a name of its own.
    is_unique: AtomicBool,
    /// The transaction may have taken the client's prepared statements away.
    deallocates: AtomicBool,
}

impl Default for SessionNames {
    fn default() -> Self {
        // New plans have the epoch 0, which is nobody's.
        Self {
            doubts: AtomicU64::new(0),
            epoch: AtomicU64::new(1),
            scope: AtomicU64::new(0),
            doubts_at_begin: AtomicU64::new(0),
            altered: AtomicBool::new(false),
            hides: AtomicBool::new(false),
            is_unique: AtomicBool::new(false),
            deallocates: AtomicBool::new(false),
        }
    }
}

impl SessionNames {
    /// A transaction begins.
    pub(crate) fn transaction_begins(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
        self.doubts_at_begin.store(self.doubts(), Ordering::Relaxed);
    }

    /// A transaction ends: what it has changed may be undone. Returns whether its scopes will not come again.
    pub(crate) fn transaction_ends(&self) -> bool {
        if self.doubts() != self.doubts_at_begin.load(Ordering::Relaxed) {
            self.doubt();
        }
        if self.altered.swap(false, Ordering::Relaxed) {
            schema_changes::note_own();
        }
        self.hides.store(false, Ordering::Relaxed);
        self.deallocates.store(false, Ordering::Relaxed);
        self.scope.store(0, Ordering::Relaxed);
        self.is_unique.swap(false, Ordering::Relaxed)
    }

    /// Something may have changed what names mean.
    pub(crate) fn doubt(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
        self.doubts.fetch_add(1, Ordering::Relaxed);
    }

    /// A script has run in the transaction.
    pub(crate) fn note_script(&self, alters_schema: bool) {
        self.altered.fetch_or(alters_schema, Ordering::Relaxed);
        self.hides.store(true, Ordering::Relaxed);
        self.deallocates.store(true, Ordering::Relaxed);
        self.is_unique.store(true, Ordering::Relaxed);
        // No other transaction is in this scope.
        self.enter_scope(clock());
    }

    /// A statement of a transaction has run, with these parameters. It may have changed what names mean.
    pub(super) fn note_statement(&self, text: &StatementText, params: &[u8]) {
        let facts = &text.facts;
        self.altered.fetch_or(facts.alters_schema, Ordering::Relaxed);
        self.hides.fetch_or(facts.creates, Ordering::Relaxed);
        self.is_unique.fetch_or(facts.creates && text.pace() == Pace::Unknown, Ordering::Relaxed);
        self.deallocates.fetch_or(facts.may_deallocate, Ordering::Relaxed);
        self.enter_scope((text.id, params));
    }

    /// The transaction goes on in the scope to which `change` leads from the present one.
    fn enter_scope(&self, change: impl Hash) {
        self.doubt();
        let mut hasher = DefaultHasher::new();
        (self.scope(), change).hash(&mut hasher);
        self.scope.store(hasher.finish().max(1), Ordering::Relaxed);
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    pub(super) fn doubts(&self) -> u64 {
        self.doubts.load(Ordering::Relaxed)
    }

    /// Whether something in the present transaction may hide what had its name before.
    pub(super) fn may_hide(&self) -> bool {
        self.hides.load(Ordering::Relaxed)
    }

    /// Whether the present transaction may have taken the client's prepared statements away.
    pub(super) fn may_be_deallocated(&self) -> bool {
        self.deallocates.load(Ordering::Relaxed)
    }

    pub(super) fn scope(&self) -> u64 {
        self.scope.load(Ordering::Relaxed)
    }
}
