//! What is known of a session, and how its statements are named. The stream and the users of the connection share it.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use crate::engine::{lock, random};
use crate::protocol::flight::Flight;

/// The most parameters that a server may report: PostgreSQL 18 reports 16.
const REPORTED: usize = 256;

const APPLICATION_NAME: &[u8] = b"application_name";

/// A parameter as the server reported it at the login, or when it was last reset, and as it reports it now.
#[derive(Debug)]
struct Reported {
    initial: Vec<u8>,
    current: Vec<u8>,
}

/// Whether a session cannot change a reported parameter, or another part of the client watches it (the fence).
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

/// The names under which statements are prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// The names that tokio-postgres gives.
    AsTheyAre,
    /// The names of tokio-postgres with a prefix that no other process has.
    Prefixed,
    /// No names: a statement's text is sent again each time it runs.
    None,
}

#[derive(Debug, Default)]
pub(crate) struct SessionState {
    /// The process of the server, by its BackendKeyData; 0: the server sent none.
    pub(crate) pid: AtomicU32,
    /// Counts the commands that have changed the session since it was new or last reset.
    changes: AtomicU32,
    /// How many reported parameters are not as they were at the login, or when they were last reset.
    differing: AtomicU32,
    /// How many resets (`RESET_SETTINGS`) were sent and are not answered.
    resets_due: AtomicU32,
    parameters: Mutex<HashMap<Vec<u8>, Reported>>,
    /// The client keeps a name of its own in `application_name` (a lease): another name is no change to undo.
    keeps_application_name: AtomicBool,
    /// A transaction block is open.
    in_block: AtomicBool,
    /// Counts the transaction blocks that were opened.
    blocks: AtomicU32,
    /// The last command tag was ROLLBACK, which a COMMIT gets, too, after an error.
    pub(crate) rolled_back: AtomicBool,
    /// How many ReadyForQuery the server still owes.
    pub(crate) flights: AtomicU32,
    naming: AtomicU8,
    /// So many of the next Binds of named statements go behind a savepoint (see `frontend`).
    savepoints: AtomicU32,
    /// COMMIT goes behind the last one of these.
    commit: AtomicBool,
    /// A statement of tokio-postgres was completed.
    completed: AtomicBool,
    /// See [`Self::take_deallocated`].
    deallocated: AtomicBool,
    /// The secret key of BackendKeyData, as far as the first four bytes.
    pub(crate) secret: AtomicU32,
    /// What `frontend` sends in place of the next markers.
    flights_due: Mutex<VecDeque<Flight>>,
    /// Gets the parameters that the server reports after the login.
    parameter_watcher: Mutex<Option<ParameterWatcher>>,
}

/// Gets the name and the value of a parameter.
pub(crate) struct ParameterWatcher(pub(crate) WatchParameter);

type WatchParameter = Box<dyn Fn(&str, &str) + Send>;

impl std::fmt::Debug for ParameterWatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ParameterWatcher")
    }
}

impl SessionState {
    /// The process of the server, as the login named it.
    pub(crate) fn pid(&self) -> Option<u32> {
        Some(self.pid.load(Ordering::Relaxed)).filter(|&pid| pid != 0)
    }

    /// Counts the commands that have changed the session since it was new or last reset.
    pub(crate) fn changes(&self) -> u32 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Whether the session has changed, as far as the server has reported, and no reset is under way.
    pub(crate) fn has_changed(&self) -> bool {
        (self.changes() > 0 || self.differing.load(Ordering::Relaxed) > 0)
            && self.resets_due.load(Ordering::Relaxed) == 0
    }

    /// A reset was sent.
    pub(super) fn note_reset_sent(&self) {
        self.resets_due.fetch_add(1, Ordering::Relaxed);
    }

    /// A reset was answered: what was changed before it is undone.
    pub(super) fn note_reset_answered(&self) {
        self.end_reset(u32::MAX);
        self.resets_due.fetch_sub(1, Ordering::Relaxed);
    }

    /// Sets the count back to `before`: what ran since then changed nothing beyond its transaction (SET LOCAL).
    pub(crate) fn restore_changes(&self, before: u32) {
        self.changes.store(before, Ordering::Relaxed);
    }

    /// Returns the count and sets it to 0: a reset begins. Other statements may change the session meanwhile.
    pub(crate) fn begin_reset(&self) -> u32 {
        self.changes.swap(0, Ordering::Relaxed)
    }

    /// The reset has ended. Its own commands counted as `own` changes, which are taken off again.
    pub(crate) fn end_reset(&self, own: u32) {
        self.restore_changes(self.changes().saturating_sub(own));
        for reported in lock(&self.parameters).values_mut() {
            reported.initial.clone_from(&reported.current);
        }
        self.differing.store(0, Ordering::Relaxed);
    }

    /// Whether a transaction is open.
    pub(crate) fn is_in_block(&self) -> bool {
        self.in_block.load(Ordering::Relaxed)
    }

    /// Counts the transaction blocks that were opened: the count grows with a successful BEGIN, even if its block is
    /// over.
    pub(crate) fn blocks(&self) -> u32 {
        self.blocks.load(Ordering::Relaxed)
    }

    /// Notes the status of a ReadyForQuery.
    pub(crate) fn set_in_block(&self, in_block: bool) {
        if in_block && !self.in_block.swap(in_block, Ordering::Relaxed) {
            self.blocks.fetch_add(1, Ordering::Relaxed);
        }
        self.in_block.store(in_block, Ordering::Relaxed);
    }

    /// Whether the last command rolled back.
    pub(crate) fn has_rolled_back(&self) -> bool {
        self.rolled_back.load(Ordering::Relaxed)
    }

    pub(crate) fn note_change(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes the body of a ParameterStatus. A change by a function (`set_config`) has no command tag, but of a reported
    /// parameter it shows here.
    pub(crate) fn note_parameter(&self, body: &[u8], is_login: bool) -> Result<(), String> {
        let mut texts = body.split(|&byte| byte == 0);
        let (Some(name), Some(value)) = (texts.next(), texts.next()) else { return Ok(()) };
        if !is_login && let Some(watcher) = &*lock(&self.parameter_watcher) {
            (watcher.0)(&String::from_utf8_lossy(name), &String::from_utf8_lossy(value));
        }
        let mut parameters = lock(&self.parameters);
        if let Some(known) = parameters.get_mut(name) {
            let differed = known.current != known.initial;
            value.clone_into(&mut known.current);
            let is_kept = name == APPLICATION_NAME && self.keeps_application_name.load(Ordering::Relaxed);
            if is_login || is_kept || belongs_to_server(name) {
                return Ok(());
            }
            match (differed, known.current != known.initial) {
                (false, true) => self.differing.fetch_add(1, Ordering::Relaxed),
                (true, false) => self.differing.fetch_sub(1, Ordering::Relaxed),
                _ => 0,
            };
        } else {
            if parameters.len() >= REPORTED {
                return Err(format!("the server reported more than {REPORTED} parameters"));
            }
            parameters.insert(name.to_vec(), Reported { initial: value.to_vec(), current: value.to_vec() });
        }
        Ok(())
    }

    /// Tells the watcher of each report of a parameter from now on. Returns what was reported before.
    pub(crate) fn watch_parameters(&self, watcher: ParameterWatcher) -> Vec<(String, String)> {
        lock(&self.parameter_watcher).replace(watcher);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        lock(&self.parameters).iter().map(|(name, reported)| (text(name), text(&reported.current))).collect()
    }

    /// `frontend` sends this in place of the next marker, behind those that were added before.
    pub(crate) fn add_flight(&self, flight: Flight) {
        lock(&self.flights_due).push_back(flight);
    }

    pub(super) fn take_flight(&self) -> Option<Flight> {
        lock(&self.flights_due).pop_front()
    }

    /// From now on the client itself changes `application_name`.
    pub(crate) fn keep_application_name(&self) {
        self.keeps_application_name.store(true, Ordering::Relaxed);
    }

    /// Whether the server has last reported another `application_name`.
    pub(crate) fn has_other_application_name(&self, name: &str) -> bool {
        lock(&self.parameters).get(APPLICATION_NAME).is_some_and(|reported| reported.current != name.as_bytes())
    }

    /// Whether the response that is being read answers the last message that was sent.
    pub(crate) fn answers_last_message(&self) -> bool {
        self.flights.load(Ordering::Relaxed) <= 1
    }

    /// Notes that the server has forgotten all prepared statements.
    pub(super) fn note_deallocated(&self) {
        self.deallocated.store(true, Ordering::Relaxed);
    }

    /// Whether the server has forgotten all prepared statements since the last call.
    pub(crate) fn take_deallocated(&self) -> bool {
        self.deallocated.load(Ordering::Relaxed) && self.deallocated.swap(false, Ordering::Relaxed)
    }

    /// Whether the next Bind of tokio-postgres goes behind a savepoint. `true` again, before that Bind is written: the one behind it,
    /// too. `false`: none does.
    pub(crate) fn set_savepoint(&self, savepoint: bool) {
        if savepoint {
            self.savepoints.fetch_add(1, Ordering::Relaxed);
        } else if self.savepoints.load(Ordering::Relaxed) > 0 {
            self.savepoints.store(0, Ordering::Relaxed);
        }
    }

    pub(super) fn has_savepoint(&self) -> bool {
        self.savepoints.load(Ordering::Relaxed) > 0
    }

    /// The Bind that is written now goes behind a savepoint.
    pub(super) fn use_savepoint(&self) {
        self.savepoints.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether COMMIT goes behind the last statement that is bound behind a savepoint, in its flight: the server skips it if it cannot
    /// bind or run the statement.
    pub(crate) fn set_commit(&self, commit: bool) {
        self.commit.store(commit, Ordering::Relaxed);
        if commit {
            self.completed.store(false, Ordering::Relaxed);
        }
    }

    /// A command tag came.
    pub(super) fn note_completed(&self) {
        self.completed.store(true, Ordering::Relaxed);
    }

    /// Whether a statement was completed since the last [`Self::set_commit`].
    pub(crate) fn has_completed(&self) -> bool {
        self.completed.load(Ordering::Relaxed)
    }

    /// Whether COMMIT goes behind the statement whose Bind was written last.
    pub(super) fn take_commit(&self) -> bool {
        !self.has_savepoint() && self.commit.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn naming(&self) -> Naming {
        match self.naming.load(Ordering::Relaxed) {
            0 => Naming::AsTheyAre,
            1 => Naming::Prefixed,
            _ => Naming::None,
        }
    }

    /// Must be called before the first statement is prepared.
    pub(crate) fn set_naming(&self, naming: Naming) {
        let number = match naming {
            Naming::AsTheyAre => 0,
            Naming::Prefixed => 1,
            Naming::None => 2,
        };
        self.naming.store(number, Ordering::Relaxed);
    }
}

/// The prefix of this process for the names of its statements, for a server that other clients share.
pub(crate) fn prefix() -> &'static str {
    static PREFIX: OnceLock<String> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let draw = || (random() * f64::from(u32::MAX)) as u32;
        format!("hy{:08x}{:08x}_", draw(), draw())
    })
}
