//! Which functions of the database may change settings, and whether statements run them without naming them: in triggers,
//! views, policies, defaults, operators and casts.
//!
//! The server does not report that a function has changed a setting. So the pool looks at the sources of the database's
//! functions: set_config, SET and EXECUTE (which may run anything) make a function suspicious, and so does a call of a
//! suspicious function. Until the answer to a scan has come, and when it is too old, every statement counts as one that
//! may change settings, and so does at any time a statement that calls a function which the scan has not seen.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::sleep;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::connection::probe::cell;
use crate::engine::{clock, lock};
use crate::pool::schema_changes;
use crate::pool::sql_facts::SqlFacts;

/// After so long a scan is forgotten: other processes may have made functions.
const FRESH: Duration = Duration::from_secs(10);

/// Yields whether a trigger may set something, whether anything else may that statements use without naming it, and the
/// names of the functions that set nothing. A function in SQL or PL/pgSQL is judged by its source without comments; of
/// functions in other languages nothing is known, save for those in C, which extensions bring: of these the setters
/// begin with `set` (pg_trgm's set_limit).
const SCAN: &str = r#"
WITH RECURSIVE code AS MATERIALIZED (
  SELECT p.oid, l.lanname, p.pronargs, p.proargtypes, pg_catalog.lower(p.proname) AS name, pg_catalog.regexp_replace(
    pg_catalog.lower(CASE WHEN pg_catalog.to_jsonb(p) -> 'prosqlbody' IN ('null') OR NOT pg_catalog.to_jsonb(p) ? 'prosqlbody'
      THEN p.prosrc ELSE pg_catalog.pg_get_functiondef(p.oid) END), '--[^\n]*|/\*.*?\*/', ' ', 'g') AS source
  FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_language l ON l.oid = p.prolang
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND l.lanname NOT IN ('internal', 'c')
    AND p.prokind IN ('f', 'p')
), suspicious AS (
  SELECT oid, name, pronargs, proargtypes FROM code
  WHERE lanname NOT IN ('sql', 'plpgsql')
    OR source ~ 'set_config|pg_settings|u&"|\mexecute\M|query_to_xml|(^|;|\m(begin|then|else|loop|do)\M)\s*(set|reset|discard)\M'
  UNION
  SELECT code.oid, code.name, code.pronargs, code.proargtypes FROM code
  JOIN suspicious ON pg_catalog.strpos(code.source, suspicious.name) > 0
), uses AS (
  SELECT d.classid FROM pg_catalog.pg_depend d
  JOIN suspicious ON d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.refobjid = suspicious.oid
  WHERE d.classid <> 'pg_catalog.pg_proc'::pg_catalog.regclass
)
SELECT
  EXISTS (SELECT FROM uses WHERE classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass),
  EXISTS (SELECT FROM uses WHERE classid <> 'pg_catalog.pg_trigger'::pg_catalog.regclass)
    OR EXISTS (SELECT FROM suspicious JOIN pg_catalog.pg_type t ON t.oid = proargtypes[0]
      WHERE pronargs = 1 AND t.typtype = 'c'),
  (SELECT pg_catalog.string_agg(DISTINCT pg_catalog.lower(p.proname), ',') FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_language l ON l.oid = p.prolang
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
      AND pg_catalog.lower(p.proname) NOT IN (SELECT name FROM suspicious)
      AND (l.lanname <> 'c' OR p.proname !~ '^set') AND p.prokind IN ('f', 'p', 'w'))"#;

const UNKNOWN: u8 = 0;
const NONE: u8 = 1;
const TRIGGERS: u8 = 2;
const ANY: u8 = 3;

/// What is known of one pool's database.
#[derive(Debug, Default)]
pub(crate) struct Setters {
    found: AtomicU8,
    /// The names, in lower case, of functions that set nothing.
    harmless: Mutex<HashSet<String>>,
    /// When the last scan began, by `clock`.
    scanned: AtomicU64,
    scanning: AtomicBool,
}

impl Setters {
    /// Whether a planned statement may change settings.
    pub(super) fn may_set(&self, facts: &SqlFacts) -> bool {
        let unseen = match self.found.load(Ordering::Relaxed) {
            NONE => false,
            TRIGGERS => facts.writes,
            // ANY or UNKNOWN.
            _ => true,
        };
        unseen || self.is_stale() || !facts.unknown_calls.is_empty() && !self.are_harmless(&facts.unknown_calls)
    }

    fn are_harmless(&self, names: &[String]) -> bool {
        let harmless = lock(&self.harmless);
        names.iter().all(|name| harmless.contains(name))
    }

    fn is_stale(&self) -> bool {
        self.found.load(Ordering::Relaxed) == UNKNOWN
            || schema_changes::any_own_since(self.scanned.load(Ordering::Relaxed))
    }

    /// Whether the caller shall scan the database: no other task does.
    pub(super) fn begin_scan(&self) -> bool {
        self.is_stale() && !self.scanning.swap(true, Ordering::Relaxed)
    }

    /// Scans the database on this connection. Sent when the future is first polled.
    pub(super) async fn scan(self: &Arc<Self>, client: &Client) {
        let began = clock();
        let found = match client.simple_query(SCAN).await {
            Ok(messages) => self.read(&messages),
            // A database that cannot be scanned may have anything.
            Err(_) => ANY,
        };
        self.found.store(found, Ordering::Relaxed);
        self.scanned.store(began, Ordering::Relaxed);
        self.scanning.store(false, Ordering::Relaxed);
        let setters = Arc::downgrade(self);
        drop(tokio::spawn(async move {
            sleep(FRESH).await;
            if let Some(setters) = setters.upgrade() {
                setters.found.store(UNKNOWN, Ordering::Relaxed);
            }
        }));
    }

    fn read(&self, messages: &[SimpleQueryMessage]) -> u8 {
        let row = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let names = row.and_then(|row| cell(row, 2)).unwrap_or_default();
        *lock(&self.harmless) = names.split(',').map(str::to_owned).collect();
        match row.map(|row| (cell(row, 0), cell(row, 1))) {
            Some((Some("f"), Some("f"))) => NONE,
            Some((Some("t"), Some("f"))) => TRIGGERS,
            _ => ANY,
        }
    }
}
