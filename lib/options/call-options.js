'use strict';

// The options of single calls, a row each. client.d.ts is written from these rows (`npm run options`). A mistake is a
// ParameterError, and nothing is sent.

const { ParameterError } = require('../errors.js');
const { MAX_MS, boolean, choice, count, fn, integer, later, plainObject, refuseUnknown } = require('./validate.js');

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
const STREAM = {
  ...QUERY,
  batchSize: {
    type: 'number',
    value: 1_000,
    check: count(1, 1_000_000),
    text: 'the most rows of a piece; a piece ends at 32 KiB in any case',
  },
};

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
  retries: {
    type: 'number',
    preset: "the pool's `transactionRetries`",
    check: count(0, Number.MAX_SAFE_INTEGER),
    text: 'how often the callback is run again after a failure that is `retryable`: 40001, 40P01, a connection lost before COMMIT',
    more:
      'The pauses between the tries are random, 5 to 500 ms, and all together no longer than `acquireTimeoutMs`. For a ' +
      'connection (ERR_NO_PRIMARY, ERR_ACQUIRE_TIMEOUT) the pool has waited already: these are not tried again.',
  },
};

/** @satisfies {Rows} */
const END = { timeoutMs: limits('after this what still runs is cancelled on the server', '').timeoutMs };

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
    refuseUnknown(given, rows);
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
  END,
  EXEC,
  ISOLATION,
  LOAD,
  MODES_OF_BEGIN,
  NONE,
  QUERY,
  STREAM,
  TRANSACTION,
  UNLOAD,
  callOptions,
};
