//! What the names in a statement mean on a connection, as far as the client can tell.
//!
//! - An *epoch* is a span of a transaction in which nothing has changed what names mean: no DDL, no SET, no call of an
//!   unknown function. A statement that depends on tables alone, and ran before in the same epoch, is held by its locks.
//! - A *scope* is a number for the settings that decide what names mean (`search_path`, `role`) and for the DDL of the
//!   transaction so far: equal statements in the same order lead to the same scope. 0: the session as it was opened.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::pool::sql_facts::{Command, SettingsChange, mentions_naming};
use crate::pool::statement_text::StatementText;

/// What is known of the names of one session.
#[derive(Debug)]
pub(crate) struct SessionNames {
    epoch: AtomicU64,
    /// Whether something in the present transaction has changed what names mean, or may have.
    changed: AtomicBool,
    scope: AtomicU64,
}

impl Default for SessionNames {
    fn default() -> Self {
        // Plans begin with epoch 0, which is nobody's.
        Self { epoch: AtomicU64::new(1), changed: AtomicBool::new(false), scope: AtomicU64::new(0) }
    }
}

impl SessionNames {
    /// A transaction begins or ends.
    pub(crate) fn renew(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
        self.changed.store(false, Ordering::Relaxed);
        self.scope.store(0, Ordering::Relaxed);
    }

    /// Something has run that may have changed anything.
    pub(crate) fn note_anything(&self) {
        self.epoch.fetch_add(1, Ordering::Relaxed);
        self.changed.store(true, Ordering::Relaxed);
    }

    /// A statement of a transaction has run, with these parameters.
    pub(crate) fn note_statement(&self, text: &StatementText, params: &[u8]) {
        let facts = &text.facts;
        if facts.command == Command::Planned && !facts.may_set && !facts.runs_code {
            return;
        }
        self.note_anything();
        let only_sets = facts.settings_change != SettingsChange::None || facts.may_set && !facts.runs_code;
        if only_sets && !facts.mentions_naming && !mentions_naming(&String::from_utf8_lossy(params)) {
            return;
        }
        let mut hasher = DefaultHasher::new();
        (self.scope.load(Ordering::Relaxed), text.id, params).hash(&mut hasher);
        self.scope.store(hasher.finish().max(1), Ordering::Relaxed);
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    pub(super) fn have_changed(&self) -> bool {
        self.changed.load(Ordering::Relaxed)
    }

    pub(super) fn scope(&self) -> u64 {
        self.scope.load(Ordering::Relaxed)
    }
}
