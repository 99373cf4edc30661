'use strict';

// The options of single calls, a row each. client.d.ts is written from these rows (`npm run options`). A mistake is a
// ParameterError, and nothing is sent.

const { ParameterError } = require('../errors.js');
const { DURABILITY, EXACTLY_ONCE_ROW } = require('./exactly-once-rows.js');
const { isToken } = require('../values/token.js');
const { READS } = require('./read-rows.js');
const {
  MAX_MS,
  boolean,
  choice,
  count,
  fn,
  integer,
  kindOf,
  later,
  plainObject,
  refuseUnknown,
} = require('./validate.js');

/** @typedef {import('./validate.js').Row} Row */
/** @typedef {import('./validate.js').Rows} Rows */

/** Not by its class: test runners and polyfills have classes of their own. @param {any} value */
const isSignal = (value) => typeof value?.aborted === 'boolean' && typeof value.addEventListener === 'function';

/** @param {unknown} value @param {string} name */
function signal(value, name) {
  if (!isSignal(value)) throw new ParameterError(`${name} must be an AbortSignal`);
  return value;
}

/** 0 is no limit. @param {unknown} value @param {string} name */
const limit = (value, name) => (value === 0 ? value : integer(name, value, 1, MAX_MS));

/**
 * The two options that can end a call.
 * @param {string} timeout what happens after timeoutMs
 * @param {string} abort what happens when the signal fires
 * @returns {{ timeoutMs: Row, signal: Row }}
 */
const limits = (timeout, abort) => ({
  timeoutMs: { type: 'number', preset: 'none', check: limit, text: timeout },
  signal: { type: 'AbortSignal', preset: 'none', check: signal, text: abort },
});

/** @type {Row} */
const readOnly = {
  type: 'boolean',
  value: false,
  check: boolean,
  text: "the caller's promise that nothing is changed: what loses its connection may run again",
  more: 'Within a transaction it changes nothing, because no statement of one runs again alone.',
};

/** @type {Row} */
const rowMode = {
  type: "'object' | 'array'",
  value: 'object',
  check: choice(['object', 'array']),
  text: "`'array'`: each row is an array of its values in the order of the columns",
};

/** @type {Row} */
const types = {
  type: 'TypeChoices',
  preset: "the pool's",
  check: later,
  text: "what differs from the pool's `types`, for this call",
  more: 'Keep the object: equal ones are told apart by their functions.',
};

/** @satisfies {Rows} */
const QUERY = {
  ...limits(
    'after this the statement is cancelled on the server: {@link QueryTimeoutError}; waiting for a connection counts',
    'when it fires the statement is cancelled on the server: {@link AbortError}',
  ),
  readOnly,
  rowMode,
  types,
};

/** @satisfies {Rows} */
const TOKEN = {
  token: {
    type: 'true',
    value: false,
    check: boolean,
    text: 'the result has a consistency token, `rows.token`, at no round trip of its own: whoever reads with it sees this statement',
    more:
      "Of a pool whose `mode` is `'read-write'` or `'primary'`. A transaction refuses it: a position is known only after COMMIT, so " +
      'ask {@link Pool.token} then.',
  },
};

/** The options of query() and many() of a pool. @satisfies {Rows} */
const POOL_QUERY = { ...QUERY, ...TOKEN };

/** @satisfies {Rows} */
const COMMIT = {
  commit: {
    type: 'boolean',
    value: false,
    check: boolean,
    text: 'the statement is the last one of its transaction: COMMIT goes with it, at no round trip of its own',
    more:
      'The promise resolves when both were answered. The transaction is over then, also if the statement or COMMIT fails: nothing of it ' +
      'is applied, unless the error has another `outcome`. A savepoint and a nested transaction refuse it, and so does `exactlyOnce`.',
  },
};

/** The options of query() of a transaction. @satisfies {Rows} */
const TRANSACTION_QUERY = { ...QUERY, ...COMMIT };

/** @satisfies {Rows} */
const PIECES = {
  batchSize: {
    type: 'number',
    value: 1_000,
    check: count(1, 1_000_000),
    text: 'the most rows of a piece; a piece ends at 32 KiB in any case',
  },
};

/** @satisfies {Rows} */
const STREAM = { ...QUERY, ...PIECES };

/**
 * The row of an option that the pool's `reads` has, too.
 * @param {keyof typeof READS} name
 * @param {string} text
 * @returns {Row}
 */
function ofReads(name, text) {
  const { type, check } = READS[name];
  return { type, check, text, preset: `the pool's \`reads.${name}\`` };
}

/** @param {unknown} value @param {string} name */
function after(value, name) {
  if (isToken(value)) return value;
  const given = typeof value === 'string' ? 'another text' : kindOf(value);
  throw new ParameterError(`${name} must be a consistency token, as pool.token() returns it, not ${given}`);
}

/** @satisfies {Rows} */
const ANY_READ = {
  maxLagMs: ofReads('maxLagMs', 'a standby that is further behind than this is not fit'),
  maxLagBytes: ofReads('maxLagBytes', 'the same in bytes of the WAL'),
  after: {
    type: 'string',
    preset: 'none',
    check: after,
    text: 'a consistency token: the read sees all that the primary had committed when the token was made',
    more:
      'A standby that has not replayed so much is waited for, `waitMs` at most. A token of another cluster is a ' +
      '{@link ParameterError}; one of a timeline that was left behind is answered by the primary.',
  },
  waitMs: ofReads('waitMs', 'the longest wait for a standby to reach the token; then the read goes to the primary'),
  fallback: ofReads(
    'fallback',
    "where the read goes when no standby is fit; `'none'`: nowhere, {@link NoStandbyError}",
  ),
  ...limits(
    'after this the read is cancelled on the server: {@link QueryTimeoutError}; all waiting counts',
    'when it fires the read is cancelled on the server: {@link AbortError}',
  ),
  rowMode,
  types,
};

/** @satisfies {Rows} */
const READ = {
  ...ANY_READ,
  hedgeMs: ofReads('hedgeMs', 'if there is no answer after this time, the read is sent to a second node, too'),
};

/** @satisfies {Rows} */
const READ_STREAM = { ...ANY_READ, ...PIECES };

/** @satisfies {Rows} */
const EXEC = {
  ...limits(
    'after this the script is cancelled on the server: {@link QueryTimeoutError}; waiting for a connection counts',
    'when it fires the script is cancelled on the server: {@link AbortError}',
  ),
  rowMode,
  types,
};

/** @satisfies {Rows} */
const BATCH = {
  transaction: {
    type: 'false',
    value: false,
    check: later,
    text: '`true`, or options of BEGIN: all in one transaction, see {@link TransactionBatchOptions}; `false`: each for itself',
  },
  ...limits(
    'for the whole batch: what has not ended after this is cancelled on the server',
    'for the whole batch: what has not ended when it fires is cancelled on the server',
  ),
  readOnly,
  rowMode,
  types,
};

/** @satisfies {Rows} */
const LOAD = {
  ...limits(
    'after this the load is undone: {@link QueryTimeoutError}; waiting for a connection and for the source counts',
    'when it fires the load is undone: {@link AbortError}',
  ),
  onProgress: {
    type: '(progress: CopyProgress) => void',
    preset: 'none',
    check: fn,
    text: 'called after each piece of about 64 KiB; what it throws ends the load and is what the load rejects with',
  },
};

/** @satisfies {Rows} */
const UNLOAD = {
  ...limits(
    "after this the unload is cancelled on the server: {@link QueryTimeoutError}; the reader's time counts, too",
    'when it fires the unload is cancelled on the server: {@link AbortError}',
  ),
  highWaterMark: {
    type: 'number',
    preset: "Node's",
    check: count(1, MAX_MS),
    text: "the Readable's, in bytes; up to three pieces of 64 KiB may be on their way besides",
  },
};

/** @type {Record<string, string>} */
const ISOLATION = {
  'read uncommitted': 'READ UNCOMMITTED',
  'read committed': 'READ COMMITTED',
  'repeatable read': 'REPEATABLE READ',
  serializable: 'SERIALIZABLE',
};

/** @param {unknown} value @param {string} name */
function isolation(value, name) {
  if (typeof value !== 'string' || !Object.hasOwn(ISOLATION, value.toLowerCase())) {
    const names = Object.keys(ISOLATION).map((one) => `'${one}'`);
    throw new ParameterError(`${name} must be one of ${names.join(', ')}`);
  }
  return value;
}

/** The options of BEGIN. For what is not given the server has a default. @satisfies {Rows} */
const MODES_OF_BEGIN = {
  isolation: {
    type: 'Isolation',
    preset: "the server's default_transaction_isolation",
    check: isolation,
    text: 'what the transaction sees of others',
  },
  readOnly: {
    type: 'boolean',
    preset: "the server's default_transaction_read_only",
    check: boolean,
    text: 'READ ONLY or READ WRITE',
  },
  deferrable: {
    type: 'boolean',
    preset: "the server's default_transaction_deferrable",
    check: boolean,
    text: 'of a serializable, read-only transaction: it waits until it cannot fail',
  },
  durability: DURABILITY,
};

/** @satisfies {Rows} */
const BEGIN = {
  ...MODES_OF_BEGIN,
  ...limits(
    'for the whole transaction: after this its statements fail with {@link QueryTimeoutError}',
    'for the whole transaction: when it fires its statements fail with {@link AbortError}',
  ),
};

/** @satisfies {Rows} */
const TRANSACTION = {
  ...BEGIN,
  exactlyOnce: EXACTLY_ONCE_ROW,
  retries: {
    type: 'number',
    preset: "the pool's `transactionRetries`; with `exactlyOnce` at least 3",
    check: count(0, Number.MAX_SAFE_INTEGER),
    text: 'how often the callback is run again after a failure that is `retryable`: 40001, 40P01, a connection lost before COMMIT',
    more:
      'The pauses between the tries are random, 5 to 500 ms, and all together no longer than `acquireTimeoutMs`. For a ' +
      'connection (ERR_NO_PRIMARY, ERR_ACQUIRE_TIMEOUT) the pool has waited already: these are not tried again.',
  },
  nested: {
    type: "'join' | 'savepoint' | 'error'",
    value: 'join',
    check: choice(['join', 'savepoint', 'error']),
    text: "within another transaction of a pool with `ambient`: `'join'` runs the callback in that one, `'savepoint'` in a savepoint of it",
    more: "`'error'` refuses it (ERR_TRANSACTION_OPEN). Other options must be those of the open transaction, or are refused by name.",
  },
};

/** The options of tx.transaction(). @satisfies {Rows} */
const SAVEPOINT = limits(
  'for this part of the transaction: after this it is undone: {@link QueryTimeoutError}',
  'for this part of the transaction: when it fires it is undone: {@link AbortError}',
);

/** The options of tx.batch(). @satisfies {Rows} */
const JOINED_BATCH = {
  ...limits(
    'for the whole batch: after this it is undone: {@link QueryTimeoutError}',
    'for the whole batch: when it fires it is undone: {@link AbortError}',
  ),
  rowMode,
  types,
};

/** @satisfies {Rows} */
const END = { timeoutMs: limits('after this what still runs is cancelled on the server', '').timeoutMs };

/** Why a part of a transaction refuses options of transaction(). */
const ofTheWhole = Object.fromEntries(
  ['isolation', 'readOnly', 'deferrable', 'retries', 'durability', 'exactlyOnce', 'remember', 'nested'].map((name) => [
    name,
    'it belongs to the transaction as a whole, not to a part of it',
  ]),
);

const OF_TRANSACTION = 'there is no transaction here that it could commit: it belongs to query() of a transaction';
const AFTER_COMMIT = 'the position of a transaction is known only after COMMIT: call pool.token() then';
const OF_TX_QUERY = 'only query() of a transaction can bring COMMIT with it';

/** Why options of other calls are refused. */
const REFUSALS = new Map(
  /** @type {[Rows, { reasons: Record<string, string> }][]} */ ([
    [QUERY, { reasons: { token: AFTER_COMMIT } }],
    [TRANSACTION_QUERY, { reasons: { token: AFTER_COMMIT } }],
    [POOL_QUERY, { reasons: { commit: OF_TRANSACTION } }],
    [READ, { reasons: { commit: OF_TRANSACTION } }],
    [
      STREAM,
      {
        reasons: {
          token: 'a stream has no result that could have it: call pool.token() after it',
          commit: OF_TX_QUERY,
        },
      },
    ],
    [BEGIN, { reasons: { exactlyOnce: 'begin() cannot run its caller again: use pool.transaction(callback)' } }],
    [
      MODES_OF_BEGIN,
      { reasons: { exactlyOnce: 'a batch cannot find out what became of it: use pool.transaction(callback)' } },
    ],
    [EXEC, { reasons: { commit: OF_TX_QUERY } }],
    [LOAD, { reasons: { commit: OF_TX_QUERY } }],
    [UNLOAD, { reasons: { commit: OF_TX_QUERY } }],
    [BATCH, { reasons: { token: 'call pool.token() after the batch', commit: OF_TRANSACTION } }],
    [SAVEPOINT, { reasons: ofTheWhole }],
    [
      JOINED_BATCH,
      {
        reasons: {
          ...ofTheWhole,
          transaction: 'the batch is a part of the transaction it is called on',
          commit: 'a batch in a transaction is a savepoint: give it to the last tx.query() of the transaction',
        },
      },
    ],
    [READ_STREAM, { reasons: { hedgeMs: 'a stream is not sent to two nodes' } }],
  ]),
);

/** The options of a call that gives none. */
const NONE = Object.freeze({ timeoutMs: 0, signal: undefined });

/**
 * The options of one call, checked.
 * @param {unknown} options
 * @param {Rows} [rows]
 * @returns {Record<string, any>}
 */
function callOptions(options, rows = QUERY) {
  if (options === undefined || options === null) return NONE;
  try {
    const given = plainObject('options', options);
    refuseUnknown(given, rows, REFUSALS.get(rows));
    for (const [name, value] of Object.entries(given)) {
      if (value !== undefined) rows[name].check(value, name);
    }
    return given;
  } catch (error) {
    if (error instanceof ParameterError) throw error;
    throw new ParameterError(/** @type {Error} */ (error).message);
  }
}

module.exports = {
  BATCH,
  BEGIN,
  COMMIT,
  END,
  EXEC,
  ISOLATION,
  JOINED_BATCH,
  LOAD,
  MODES_OF_BEGIN,
  NONE,
  POOL_QUERY,
  QUERY,
  READ,
  READ_STREAM,
  SAVEPOINT,
  STREAM,
  TOKEN,
  TRANSACTION,
  TRANSACTION_QUERY,
  UNLOAD,
  callOptions,
};
