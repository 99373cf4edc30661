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
use tokio_postgres::{Client, Error, SimpleQueryMessage, SimpleQueryRow};

use crate::connection::probe::cell;
use crate::engine::{clock, lock};
use crate::pool::schema_changes;
use crate::pool::sql_facts::SqlFacts;

/// After so long a scan is forgotten: other processes may have made functions.
const FRESH: Duration = Duration::from_secs(10);

/// Yields whether a trigger may set something, whether anything else may that statements use without naming it, the names
/// of the functions that set nothing (none of them, if they are too many), and a fingerprint of all functions and of
/// what uses them. If that is the one in place of KNOWN, the rest is not looked up: in a database with many functions
/// that takes long. A function in SQL or PL/pgSQL is judged by its source without comments; of functions in other
/// languages nothing is known, save for those in C, which extensions bring: of these the setters begin with `set`
/// (pg_trgm's set_limit).
///
/// The planner's estimates for the recursion are far too high: without `jit = off` the compiler takes 300 ms.
const SCAN: &str = r#"
SELECT pg_catalog.set_config('jit', 'off', true);
WITH RECURSIVE seen AS MATERIALIZED (
  SELECT pg_catalog.concat(
    (SELECT pg_catalog.sum(pg_catalog.hashtext(p.oid::pg_catalog.text || p.xmin::pg_catalog.text))
      FROM pg_catalog.pg_proc p WHERE p.pronamespace <> 'pg_catalog'::pg_catalog.regnamespace), '/',
    (SELECT pg_catalog.sum(pg_catalog.hashtext(d.classid::pg_catalog.text || d.objid::pg_catalog.text || '-'
        || d.refobjid::pg_catalog.text))
      FROM pg_catalog.pg_depend d WHERE d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass)) AS fingerprint
), code AS MATERIALIZED (
  SELECT p.oid, l.lanname, p.pronargs, p.proargtypes, pg_catalog.lower(p.proname) AS name, pg_catalog.regexp_replace(
    pg_catalog.lower(CASE WHEN pg_catalog.to_jsonb(p) -> 'prosqlbody' IN ('null') OR NOT pg_catalog.to_jsonb(p) ? 'prosqlbody'
      THEN p.prosrc ELSE pg_catalog.pg_get_functiondef(p.oid) END), '--[^\n]*|/\*.*?\*/', ' ', 'g') AS source
  FROM pg_catalog.pg_proc p
  JOIN pg_catalog.pg_language l ON l.oid = p.prolang
  JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
  WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND l.lanname NOT IN ('internal', 'c')
    AND p.prokind IN ('f', 'p') AND (SELECT fingerprint FROM seen) <> 'KNOWN'
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
  (SELECT CASE WHEN pg_catalog.sum(pg_catalog.length(p.proname) + 1) < 200000
      THEN pg_catalog.string_agg(DISTINCT pg_catalog.lower(p.proname), ',') END FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_language l ON l.oid = p.prolang
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
      AND pg_catalog.lower(p.proname) NOT IN (SELECT name FROM suspicious)
      AND (l.lanname <> 'c' OR p.proname !~ '^set') AND p.prokind IN ('f', 'p', 'w')
      AND (SELECT fingerprint FROM seen) <> 'KNOWN'),
  (SELECT fingerprint FROM seen)"#;

const UNKNOWN: u8 = 0;
const NONE: u8 = 1;
const TRIGGERS: u8 = 2;
const ANY: u8 = 3;

/// What is known of one pool's database.
#[derive(Debug, Default)]
pub(crate) struct Setters {
    found: AtomicU8,
    /// The fingerprint of what the last scan saw, and what it found.
    last: Mutex<Option<(String, u8)>>,
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

    /// Scans the database on this connection. The request is sent when the future is first polled.
    pub(super) async fn scan(self: &Arc<Self>, client: &Client) {
        let began = clock();
        // A database that cannot be scanned may have anything.
        let found = self.look(client).await.unwrap_or(ANY);
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

    /// Scans the database, unless it is as it was.
    async fn look(&self, client: &Client) -> Result<u8, Error> {
        let known = lock(&self.last).clone();
        let fingerprint = known.as_ref().map_or("", |(fingerprint, _)| fingerprint);
        // One message: when its answer comes, somebody else may have a transaction open on the connection.
        let messages = client.simple_query(&SCAN.replace("KNOWN", fingerprint)).await?;
        let row = last_row(&messages);
        let seen = row.and_then(|row| cell(row, 3)).unwrap_or_default();
        if let Some((fingerprint, found)) = known
            && fingerprint == seen
        {
            return Ok(found);
        }
        let names = row.and_then(|row| cell(row, 2)).unwrap_or_default();
        *lock(&self.harmless) = names.split(',').map(str::to_owned).collect();
        let found = match row.map(|row| (cell(row, 0), cell(row, 1))) {
            Some((Some("f"), Some("f"))) => NONE,
            Some((Some("t"), Some("f"))) => TRIGGERS,
            _ => ANY,
        };
        *lock(&self.last) = Some((seen.to_owned(), found));
        Ok(found)
    }
}

fn last_row(messages: &[SimpleQueryMessage]) -> Option<&SimpleQueryRow> {
    messages.iter().rev().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    })
}
