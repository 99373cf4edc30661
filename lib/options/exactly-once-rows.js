'use strict';

// The options of exactly-once transactions and of their durability, a row each: those of a pool and those of a call.

const { OptionError } = require('../errors.js');
const { boolean, choice, integer, members, nonEmpty } = require('./validate.js');

/** @typedef {import('./validate.js').Row} Row */
/** @typedef {import('./validate.js').Rows} Rows */

/** PostgreSQL's NAMEDATALEN without the final NUL, and with room for the end of an index's name. */
const LONGEST_NAME = 60;
/** An entry of a B-tree has room for 2,704 bytes. */
const LONGEST_KEY = 1_024;
/** A marker must outlive the question what has become of its transaction. */
const SHORTEST_KEEP_MS = 60_000;
const YEAR_MS = 365 * 86_400_000;

/** @param {unknown} value @param {string} name */
function table(value, name) {
  const parts = nonEmpty(name, value).split('.');
  const isName = (/** @type {string} */ part) => part !== '' && Buffer.byteLength(part) <= LONGEST_NAME;
  if (parts.length > 2 || !parts.every(isName)) {
    throw new OptionError(
      `${name} must be 'table' or 'schema.table', each part of 1 to ${LONGEST_NAME} bytes and without quotes around it`,
    );
  }
  return value;
}

/** @param {unknown} value @param {string} name */
const keepMs = (value, name) => (value === 0 ? value : integer(name, value, SHORTEST_KEEP_MS, YEAR_MS));

/** @param {unknown} value @param {string} name */
function key(value, name) {
  if (Buffer.byteLength(nonEmpty(name, value)) > LONGEST_KEY) {
    throw new OptionError(`${name} must have at most ${LONGEST_KEY} bytes`);
  }
  return value;
}

/** The options of a pool. @satisfies {Rows} */
const OUTCOMES = {
  exactlyOnceTable: {
    local: true,
    type: 'string',
    value: 'hyperiondb_outcome',
    check: table,
    text: "the table of `transaction()` with `exactlyOnce`, also `'schema.table'`; both names as they are, without quotes",
    link: '[exactly-once.md](exactly-once.md)',
    more: '`npx hyperiondb-client setup exactly-once` makes it.',
  },
  exactlyOnceKeepMs: {
    local: true,
    type: 'number',
    value: 86_400_000,
    check: keepMs,
    text: 'how long the rows of that table are kept, and so how long a key is known; 0: for ever',
    more: 'From 60000. The pools that share a table should agree. What is older is deleted in small pieces, behind calls with `exactlyOnce`.',
  },
};

/** The members of `exactlyOnce`. @satisfies {Rows} */
const EXACTLY_ONCE = {
  key: {
    type: 'string',
    check: key,
    text: 'what is done once: no two transactions with the same key commit, in this process or another',
    more:
      'A second call waits for the first. If that has committed, the second resolves without running its callback; if it has ' +
      'not, the second runs. At most 1024 bytes.',
  },
  remember: {
    type: 'boolean',
    value: false,
    check: boolean,
    text: 'keeps what the callback returns, as JSON; a later call with `remember` and the same key resolves with it',
    more: 'What JSON cannot hold is a {@link ParameterError} before COMMIT. Without it a later call resolves with `undefined`.',
  },
};

/** @param {unknown} value @param {string} name */
function exactlyOnce(value, name) {
  if (typeof value === 'boolean') return value;
  const given = members(name, value, EXACTLY_ONCE);
  if (given.key === undefined) throw new OptionError(`${name}.key is missing`);
  return given;
}

/** @type {Row} */
const EXACTLY_ONCE_ROW = {
  type: 'boolean | ExactlyOnceOptions',
  value: false,
  check: exactlyOnce,
  text: 'a lost answer to COMMIT is found out instead of reported as unknown; with a `key` the work is done once for all callers',
  more:
    'Needs the table that `npx hyperiondb-client setup exactly-once` makes: without it {@link HyperionError} ' +
    '`ERR_EXACTLY_ONCE_TABLE`, before the callback runs. What had not been committed is run again (`retries`, 3 unless given). ' +
    'docs/exactly-once.md has the proof and the limits.',
};

/** The levels of synchronous_commit at which COMMIT may be answered before the commit is safe from a crash or a failover. */
const WEAK = ['local', 'off'];

/** @type {Row} */
const DURABILITY = {
  type: "'remote_apply' | 'on' | 'remote_write' | 'local' | 'off'",
  preset: "the session's synchronous_commit",
  check: choice(['remote_apply', 'on', 'remote_write', ...WEAK]),
  text: 'what COMMIT waits for: `synchronous_commit` of this transaction, which goes with BEGIN at no round trip of its own',
};

module.exports = { DURABILITY, EXACTLY_ONCE, EXACTLY_ONCE_ROW, OUTCOMES, WEAK };
