'use strict';

// The load, the same for all clients: callers that each run one statement after another, at a pace that leaves every client
// most of its time. What is measured is how a client behaves, not how fast it is.

/** The callers, and how many statements they begin in a second in all, if none has to wait. */
const CALLERS = 32;
const PER_SECOND = 300;
/** One statement of this many is a read. */
const READ_EVERY = 4;
const CONNECTIONS = 10;

/** No unique index: a write that is applied twice has to be seen, not refused. */
const SCHEMA = [
  'CREATE TABLE written (id int4 NOT NULL)',
  'CREATE INDEX ON written (id)',
  'CREATE TABLE probe (at timestamptz NOT NULL DEFAULT clock_timestamp())',
];
const WRITE = 'INSERT INTO written (id) VALUES ($1)';
const READ = 'SELECT id FROM written WHERE id = $1';
const WRITTEN = 'SELECT id, count(*)::int4 AS times FROM written GROUP BY id';

/** The ids that one caller writes. */
const IDS = 1_000_000;

/** The machine's clock, finer than Date.now(), and the same in all processes. */
const now = () => performance.timeOrigin + performance.now();

module.exports = { CALLERS, PER_SECOND, READ_EVERY, CONNECTIONS, SCHEMA, WRITE, READ, WRITTEN, IDS, now };
