'use strict';

// The option `reads` of createPool: how pool.read() chooses among the nodes. A row for each member; the weights are checked again
// when the hosts are known.

const { OptionError } = require('../errors.js');
const { labelOf } = require('./hosts.js');
const { choice, count, finite, kindOf, ms, oneOf, plainObject, share } = require('./validate.js');

/** @typedef {import('./validate.js').Rows} Rows */

/** The strategies of src/cluster/balance/. */
const STRATEGIES = ['round-robin', 'random', 'weighted', 'least-connections', 'response-time', 'health-aware'];
/** What chooses where a function of the caller has not chosen: the node that it named has failed, or none was fit. */
const BEHIND_FUNCTION = 'least-connections';

const FALLBACKS = ['primary', 'none'];

/** A key of `weights` may be a piece of a URL with a password. @param {string} key */
const shown = (key) => (key.includes('@') ? 'a key' : `'${key}'`);

/** @param {unknown} value @param {string} name */
function balance(value, name) {
  if (typeof value === 'function') return value;
  if (typeof value === 'string') return oneOf(name, value, STRATEGIES);
  throw new OptionError(`${name} must be the name of a strategy or a function, not ${kindOf(value)}`);
}

/** @param {unknown} value @param {string} name */
function weights(value, name) {
  for (const [host, weight] of Object.entries(plainObject(name, value))) {
    finite(`${name}: the weight of ${shown(host)}`, weight, Number.MAX_VALUE);
  }
  return value;
}

/** @satisfies {Rows} */
const READS = {
  poolSize: {
    type: 'number',
    value: 10,
    check: count(1, 10_000),
    text: 'the most connections to each standby, beside `poolSize`',
    more: 'They are made when they are first needed.',
  },
  balance: {
    type: 'Balance | BalanceFunction',
    value: 'least-connections',
    check: balance,
    text: 'which of the fit nodes gets a read: the name of a strategy, or `(nodes) => node`',
    more:
      "The function is called for each read with the nodes of `nodes()` that are fit, and returns one of them or its `'host:port'`. " +
      'When that node fails, or is behind the bounds of the call, `least-connections` chooses another; when none is fit the ' +
      'function is not called. A read rejects with what the function throws, and with a {@link ParameterError} when it returns ' +
      'anything else.',
  },
  weights: {
    type: 'Readonly<Record<string, number>>',
    value: {},
    preset: '1 each',
    check: weights,
    text: "how much of the reads each node gets: `{ 'db2:5432': 3 }`, or by the host alone if one port of it is listed",
    more: 'Used by `weighted` and `health-aware`. A node with 0 is used only when nothing else is fit.',
  },
  maxLagMs: {
    type: 'number',
    value: null,
    preset: 'none',
    check: ms(0),
    text: 'a standby that is further behind than this is not fit',
    more: 'Nor is one whose lag is not known: it may be cut off from its primary.',
  },
  maxLagBytes: {
    type: 'number',
    value: null,
    preset: 'none',
    check: count(0, Number.MAX_SAFE_INTEGER),
    text: 'the same in bytes of the WAL',
  },
  fallback: {
    type: "'primary' | 'none'",
    value: 'primary',
    check: choice(FALLBACKS),
    text: "where a read goes when no standby is fit; `'none'`: nowhere, `ERR_NO_STANDBY` after `acquireTimeoutMs`",
  },
  waitMs: {
    type: 'number',
    value: 500,
    check: ms(0),
    text: 'the longest wait for a standby to reach the token in `after`; then the read goes to the primary',
  },
  hedgeMs: {
    type: 'number',
    value: null,
    preset: 'none',
    check: ms(1),
    text: 'a read that has no answer after this time is sent to a second node, too',
    more: 'The first answer wins, and the other statement is cancelled.',
  },
  hedgeShare: {
    type: 'number',
    value: 0.05,
    check: share,
    text: 'the most of all reads that may be sent twice, from 0 to 1',
  },
  slowStartMs: {
    type: 'number',
    value: 5_000,
    check: ms(0),
    text: 'a node that has come back gets its share of the reads back over this time',
  },
  healthThreshold: {
    type: 'number',
    value: 0,
    preset: '0: no',
    check: share,
    text: 'a node of whose reads a smaller share has succeeded of late is used only when nothing else is fit, from 0 to 1',
    more: 'Used by `health-aware`.',
  },
};

/**
 * The places in the list of hosts that a key of `weights` names.
 * @param {string} key
 * @param {readonly string[]} labels
 * @param {readonly import('./hosts.js').Host[]} hosts
 */
function placesOf(key, labels, hosts) {
  const places = (/** @type {(place: number) => boolean} */ isMeant) => [...labels.keys()].filter(isMeant);
  const exact = places((place) => labels[place] === key);
  if (exact.length > 0) return exact;
  const bare = /^\[(.*)\]$/.exec(key)?.[1] ?? key;
  const found = places((place) => hosts[place].host === bare);
  const ports = new Set(found.map((place) => hosts[place].port));
  if (ports.size > 1) {
    throw new OptionError(`reads.weights: ${shown(key)} is listed with the ports ${[...ports].join(', ')}: name one`);
  }
  if (found.length === 0) {
    throw new OptionError(`reads.weights: ${shown(key)} is no host of the pool: ${labels.join(', ')}`);
  }
  return found;
}

/**
 * The weight of each host, in the order of the hosts.
 * @param {Readonly<Record<string, number>>} given
 * @param {readonly import('./hosts.js').Host[]} hosts
 */
function weightsOf(given, hosts) {
  const labels = hosts.map(labelOf);
  /** @type {number[]} */
  const found = [];
  for (const [key, weight] of Object.entries(given)) {
    for (const place of placesOf(key, labels, hosts)) {
      if (place in found) throw new OptionError(`reads.weights: ${labels[place]} is named more than once`);
      found[place] = weight;
    }
  }
  return hosts.map((_, place) => found[place] ?? 1);
}

/**
 * The option as the core reads it.
 * @param {Record<string, any>} reads
 */
function readsForCore({ balance, ...others }) {
  return { ...others, balance: typeof balance === 'function' ? BEHIND_FUNCTION : balance };
}

module.exports = { READS, readsForCore, weightsOf };
