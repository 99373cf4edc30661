//! What the wire knows of a session, and how it is to send: shared by the stream and by whoever has the connection.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};

use crate::engine::random;

/// Under which names statements are prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// Those of tokio-postgres.
    AsTheyAre,
    /// The same with a prefix that no other process has.
    Prefixed,
    /// Without any: they are sent anew with each run.
    None,
}

#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// The process that the server said it is; 0: it did not.
    pub(super) pid: AtomicU32,
    /// The session is not what it was at its beginning.
    pub(super) changed: AtomicBool,
    /// It is again, when the answer under way is over.
    pub(super) settled: AtomicBool,
    /// A transaction is open.
    pub(super) in_block: AtomicBool,
    naming: AtomicU8,
}

impl Facts {
    /// The process that the server said it is, when the session began.
    pub(crate) fn pid(&self) -> Option<u32> {
        Some(self.pid.load(Ordering::Relaxed)).filter(|&pid| pid != 0)
    }

    pub(super) fn naming(&self) -> Naming {
        match self.naming.load(Ordering::Relaxed) {
            0 => Naming::AsTheyAre,
            1 => Naming::Prefixed,
            _ => Naming::None,
        }
    }

    /// To be called before a statement is prepared.
    pub(crate) fn name(&self, naming: Naming) {
        let number = match naming {
            Naming::AsTheyAre => 0,
            Naming::Prefixed => 1,
            Naming::None => 2,
        };
        self.naming.store(number, Ordering::Relaxed);
    }
}

/// What this process's statements are called by when others have statements, too.
pub(super) fn prefix() -> &'static str {
    static PREFIX: OnceLock<String> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let draw = || (random() * f64::from(u32::MAX)) as u32;
        format!("hy{:08x}{:08x}_", draw(), draw())
    })
}
