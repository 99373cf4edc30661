'use strict';

// The option `decisions` of MultiClusterPostgres: transactions that span clusters, and what finishes them after a crash.

const { OptionError, [Symbol.for('hyperiondb-client.options')]: options } = /** @type {any} */ (
  require('../../../client.js')
);

const { count, ms } = options;

/** A table's name may have 63 bytes (NAMEDATALEN), its primary key's name is longer by `_pkey`. */
const LONGEST_NAME = 58;
/** Shorter, and a transaction at work might be taken for one that a crash has left. */
const SHORTEST_GRACE_MS = 1_000;
/** A decision to commit is accepted for a day after the transaction's last statement (decision-table.js). */
const LONGEST_GRACE_MS = 3_600_000;

/** @param {unknown} value @param {string} name */
function cluster(value, name) {
  if (typeof value !== 'string' || value === '') throw new OptionError(`${name} must be the id of a cluster`);
  return value;
}

/** @param {unknown} value @param {string} name */
function table(value, name) {
  const parts = typeof value === 'string' && !value.includes('\0') ? value.split('.') : [];
  const isName = (/** @type {string} */ part) => part !== '' && Buffer.byteLength(part) <= LONGEST_NAME;
  if (parts.length < 1 || parts.length > 2 || !parts.every(isName)) {
    throw new OptionError(
      `${name} must be 'table' or 'schema.table', each part of 1 to ${LONGEST_NAME} bytes and without quotes around it`,
    );
  }
  return value;
}

const DECISIONS = {
  cluster: {
    type: 'string',
    value: null,
    preset: 'the first',
    check: cluster,
    text: 'the cluster that has the table of decisions; of a sharded one its first shard',
  },
  table: {
    type: 'string',
    value: 'hyperiondb_decisions',
    check: table,
    text: "the table of decisions, also `'schema.table'`; both names as they are, without quotes",
    more: 'It is made when it is first needed. Processes that share it finish the transactions of each other.',
  },
  recoverIntervalMs: {
    type: 'number',
    value: 30_000,
    check: ms(100),
    text: 'the time between two searches for transactions that a crash has left in doubt',
  },
  graceMs: {
    type: 'number',
    value: 60_000,
    check: count(SHORTEST_GRACE_MS, LONGEST_GRACE_MS),
    text: 'what has been prepared for longer than this without a decision is rolled back; also the longest wait for PREPARE TRANSACTION',
  },
  finishTimeoutMs: {
    type: 'number',
    value: 10_000,
    check: ms(1),
    text: 'how long a call goes on asking for the decision, and after it, goes on trying to commit on each cluster',
    more: 'A cluster that cannot be reached within this time is left to the recovery, and the call has succeeded.',
  },
};

module.exports = { DECISIONS };
