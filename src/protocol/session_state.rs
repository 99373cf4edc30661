//! What the wire knows of a session, and how it is to send: shared by the stream and by whoever has the connection.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use crate::engine::{lock, random};

/// Parameters that a server reports: PostgreSQL 18 has 16.
const REPORTED: usize = 256;

/// A parameter as the server reported it at the login, or when it was last reset, and as it reports it now.
#[derive(Debug)]
struct Reported {
    initial: Vec<u8>,
    current: Vec<u8>,
}

/// Reported parameters that are not the session's own to change, or with which others deal.
fn belongs_to_server(name: &[u8]) -> bool {
    matches!(
        name,
        b"in_hot_standby"
            | b"default_transaction_read_only"
            | b"is_superuser"
            | b"server_version"
            | b"server_encoding"
            | b"integer_datetimes"
    )
}

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
pub(crate) struct SessionState {
    /// The process that the server said it is; 0: it did not.
    pub(crate) pid: AtomicU32,
    /// What has made the session another than it was at its beginning, counted.
    changes: AtomicU32,
    parameters: Mutex<HashMap<Vec<u8>, Reported>>,
    /// A transaction is open.
    in_block: AtomicBool,
    /// Transactions that have been open, counted.
    blocks: AtomicU32,
    /// The last command that was carried out was ROLLBACK, whatever was asked for.
    pub(crate) rolled_back: AtomicBool,
    /// Answers, each up to its ReadyForQuery, that are to come for what has been sent.
    pub(crate) flights: AtomicU32,
    naming: AtomicU8,
}

impl SessionState {
    /// The process that the server said it is, when the session began.
    pub(crate) fn pid(&self) -> Option<u32> {
        Some(self.pid.load(Ordering::Relaxed)).filter(|&pid| pid != 0)
    }

    /// How much has changed in the session.
    pub(crate) fn changes(&self) -> u32 {
        self.changes.load(Ordering::Relaxed)
    }

    /// To what there was before nothing has been added that lasts.
    pub(crate) fn changes_are(&self, before: u32) {
        self.changes.store(before, Ordering::Relaxed);
    }

    /// All of it, to be undone; more may be added meanwhile.
    pub(crate) fn take_changes(&self) -> u32 {
        self.changes.swap(0, Ordering::Relaxed)
    }

    /// It is undone. `own`: what that itself added.
    pub(crate) fn are_undone(&self, own: u32) {
        self.changes_are(self.changes().saturating_sub(own));
        for reported in lock(&self.parameters).values_mut() {
            reported.initial.clone_from(&reported.current);
        }
    }

    /// Whether a transaction is open.
    pub(crate) fn is_in_block(&self) -> bool {
        self.in_block.load(Ordering::Relaxed)
    }

    /// How many transactions have been open so far: more than before a BEGIN once that has begun one, even if it is over.
    pub(crate) fn blocks(&self) -> u32 {
        self.blocks.load(Ordering::Relaxed)
    }

    /// The status that comes with ReadyForQuery.
    pub(crate) fn set_in_block(&self, in_block: bool) {
        if in_block && !self.in_block.swap(in_block, Ordering::Relaxed) {
            self.blocks.fetch_add(1, Ordering::Relaxed);
        }
        self.in_block.store(in_block, Ordering::Relaxed);
    }

    /// Whether what was answered last has rolled back.
    pub(crate) fn has_rolled_back(&self) -> bool {
        self.rolled_back.load(Ordering::Relaxed)
    }

    pub(crate) fn note_change(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// The body of a ParameterStatus. What functions change (`set_config`) has no command tag; some of it shows here.
    pub(crate) fn note_parameter(&self, body: &[u8], is_login: bool) -> Result<(), String> {
        let mut texts = body.split(|&byte| byte == 0);
        let (Some(name), Some(value)) = (texts.next(), texts.next()) else { return Ok(()) };
        let mut parameters = lock(&self.parameters);
        if let Some(known) = parameters.get_mut(name) {
            value.clone_into(&mut known.current);
            if known.current != known.initial && !is_login && !belongs_to_server(name) {
                self.note_change();
            }
        } else {
            if parameters.len() >= REPORTED {
                return Err(format!("the server reported more than {REPORTED} parameters"));
            }
            parameters.insert(name.to_vec(), Reported { initial: value.to_vec(), current: value.to_vec() });
        }
        Ok(())
    }

    /// Whether what is being answered is the last thing that was sent.
    pub(crate) fn answers_the_last(&self) -> bool {
        self.flights.load(Ordering::Relaxed) <= 1
    }

    pub(crate) fn naming(&self) -> Naming {
        match self.naming.load(Ordering::Relaxed) {
            0 => Naming::AsTheyAre,
            1 => Naming::Prefixed,
            _ => Naming::None,
        }
    }

    /// To be called before a statement is prepared.
    pub(crate) fn set_naming(&self, naming: Naming) {
        let number = match naming {
            Naming::AsTheyAre => 0,
            Naming::Prefixed => 1,
            Naming::None => 2,
        };
        self.naming.store(number, Ordering::Relaxed);
    }
}

/// What this process's statements are called by when others have statements, too.
pub(crate) fn prefix() -> &'static str {
    static PREFIX: OnceLock<String> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let draw = || (random() * f64::from(u32::MAX)) as u32;
        format!("hy{:08x}{:08x}_", draw(), draw())
    })
}
