'use strict';

// The options of ServerlessClient: those of createPool, the members of its option `lease`, and those that have a row here. index.d.ts
// is written from the rows (`npm run options`).

const client = /** @type {any} */ (require('../../client.js'));

const { ELSEWHERE, LEASE, POOL, count, fn, members, ms, plainObject, refuseUnknown } =
  client[Symbol.for('hyperiondb-client.options')];

/** More would be no limit. */
const MOST_RETRIES = 1_000_000;

/** @param {string} payload its type @param {string} text */
const hook = (payload, text) => ({ type: `(payload: ${payload}) => unknown`, preset: 'none', check: fn, text });

const HOOKS = {
  onConnect: hook('{ node: string }', 'a session was opened, on this node (`host:port`)'),
  onReconnect: hook(
    '{ retries: number; delay: number; err: Error }',
    'no session could be opened: the next attempt, number `retries` from 1, is made after `delay` ms',
  ),
  onQueryStart: hook('{ startedAt: number }', '`query()` was called, at this time (ms since 1970)'),
  onQueryEnd: hook('{ duration: number }', '`query()` has succeeded, after `duration` ms, retries included'),
  onQueryError: hook('{ err: Error; duration: number }', '`query()` has failed for good, after `duration` ms'),
  onQueryRetry: hook(
    '{ retries: number; delay: number; err: Error }',
    'a statement has failed and runs again: attempt number `retries` from 1, after `delay` ms',
  ),
  onHeartbeat: hook('{ node: string }', 'the lease of a session was renewed'),
  onHeartbeatFail: hook('{ err: Error }', 'the lease of a session could not be renewed'),
  onReap: hook(
    '{ locked: boolean; killed: number; durationMs: number; err?: Error }',
    'a pass of the reaper has ended; `err`: it has failed; `locked: false`: another process was at it',
  ),
  onSlowQuery: {
    ...hook('SlowEvent', 'an attempt has taken `slowQueryMs` or longer'),
    link: '[slow statements](observability.md#slow-statements)',
  },
  onClientDead: hook(
    "{ source: 'error' | 'end'; err?: Error; meta: { sqlstate: string | null } }",
    "a session has ended that this client has not closed; `source` is `'error'` when there is a reason, which is `err`",
  ),
};

const OWN = {
  poolSize: {
    ...POOL.poolSize,
    value: 1,
    text: 'the most connections; each is one of max_connections while the process is frozen, too',
  },
  monitor: {
    ...POOL.monitor,
    value: false,
    preset: undefined,
    text: 'how the nodes are watched, which takes a second session of each process; `false`: not at all',
    more: 'Without it a statement on a node that falls silent waits for `tcpUserTimeoutMs` or its own `timeoutMs`.',
  },
  retries: {
    type: 'number',
    value: 3,
    check: count(0, MOST_RETRIES),
    text: 'how often work is run again at most that has certainly changed nothing, or is declared `readOnly`',
    more:
      'Also the `retries` of each `transaction()` that names none: `transactionRetries` goes before it. A statement within a ' +
      'transaction never runs again alone.',
  },
  minBackoff: {
    type: 'number',
    value: 100,
    check: ms(0),
    text: 'the shortest pause before a retry of `query()` and `connect()`, in ms',
  },
  maxBackoff: {
    type: 'number',
    value: 2_000,
    check: ms(0),
    text: 'the longest pause, in ms; a pause is `min(maxBackoff, random(minBackoff, 3 * previous))`',
  },
  maxConnectRetryTimeMs: {
    type: 'number',
    value: 15_000,
    check: ms(0),
    text: 'when no session can be had: so long after the call no other attempt is decided on',
    more: 'Each attempt waits for a session for up to `acquireTimeoutMs`.',
  },
  maxQueryRetryTimeMs: {
    type: 'number',
    value: 15_000,
    check: ms(0),
    text: 'after any other failure: so long after the call no other attempt is decided on',
  },
  hooks: {
    type: 'ServerlessHooks',
    value: {},
    preset: '`{}`',
    check: (/** @type {unknown} */ value, /** @type {string} */ name) => members(name, value, HOOKS),
    text: 'functions that are told what happens',
  },
};

const { lease: _, ...OF_POOL } = POOL;
const ALL = { ...OF_POOL, ...LEASE, ...OWN };

const HINTS = {
  // What pg-aequor calls some of them, in small letters.
  elsewhere: {
    ...ELSEWHERE,
    secret: 'coordinationSecret',
    connutilization: 'reaperRunProbability',
    maxretries: 'retries',
  },
  reasons: { lease: `its members are options of ServerlessClient: ${Object.keys(LEASE).join(', ')}` },
};

/** What is given of the options that have rows. @param {Record<string, unknown>} given @param {object} rows */
const partOf = (given, rows) =>
  Object.fromEntries(Object.entries(given).filter(([name, value]) => Object.hasOwn(rows, name) && value !== undefined));

/**
 * @param {unknown} given
 * @returns {{ own: Record<string, any>, pool: import('../../client.js').PoolOptions }} `pool`: for createPool, which checks them
 */
function checkOptions(given = {}) {
  const options = plainObject('options', given);
  refuseUnknown(options, ALL, HINTS);
  const own = Object.fromEntries(
    Object.entries(OWN).map(([name, { value, check }]) => [
      name,
      check(options[name] === undefined ? value : options[name], name),
    ]),
  );
  const { minBackoff, maxBackoff, retries } = own;
  if (minBackoff > maxBackoff) {
    throw new client.OptionError(`minBackoff (${minBackoff}) must not be larger than maxBackoff (${maxBackoff})`);
  }
  const defaults = { poolSize: OWN.poolSize.value, monitor: OWN.monitor.value, transactionRetries: retries };
  return { own, pool: { ...defaults, ...partOf(options, OF_POOL), lease: partOf(options, LEASE) } };
}

const PATH = new RegExp(`\\blease\\.(?=(${Object.keys(LEASE).join('|')})\\b)`, 'g');

/**
 * The pool. In its errors the members of `lease` are called as they are here, where they are options of their own.
 * @param {import('../../client.js').PoolOptions} options
 */
function openPool(options) {
  try {
    return client.createPool(options);
  } catch (error) {
    if (error instanceof client.OptionError)
      throw new client.OptionError(/** @type {Error} */ (error).message.replaceAll(PATH, ''));
    throw error;
  }
}

module.exports = { HOOKS, OWN, checkOptions, openPool };
