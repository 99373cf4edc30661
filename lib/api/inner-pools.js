'use strict';

// The options of the small pools that a pool opens beside itself, made of its own, which have been checked.

const { OUTER } = require('../core/observer.js');

/** For questions that may not wait for the callers of the pool: what became of a lost COMMIT. */
const ASIDE = { poolSize: 4, idleTimeoutMs: 10_000, ambient: false };

/** None of them ends sessions: the pool does. @param {Readonly<Record<string, any>>} options */
const withoutReaper = ({ lease, ...others }) => ({
  ...others,
  lease: lease === null ? null : Object.freeze({ ...lease, reaper: false }),
});

/**
 * In whose name it runs statements: of the pool, or of the one in whose name that runs them.
 * @param {any} options
 * @param {object} pool
 */
const within = (options, pool) => ({ [OUTER]: options[OUTER] ?? pool });

/** @param {Readonly<Record<string, any>>} options of the pool @param {object} pool */
const asideOptions = (options, pool) =>
  Object.freeze({ ...withoutReaper(options), ...ASIDE, ...within(options, pool) });

/**
 * One connection to one node, which is not waited for long.
 * @param {Readonly<Record<string, any>>} options of the pool
 * @param {object} host
 * @param {object} pool
 */
function nodeOptions(options, host, pool) {
  const { acquireTimeoutMs, connectTimeoutMs, reads } = options;
  return Object.freeze({
    ...withoutReaper(options),
    hosts: [host],
    reads: { ...reads, weights: [1] },
    mode: 'any',
    poolSize: 1,
    monitor: null,
    ambient: false,
    transactionRetries: 0,
    acquireTimeoutMs: Math.min(acquireTimeoutMs, connectTimeoutMs),
    ...within(options, pool),
  });
}

module.exports = { ASIDE, asideOptions, nodeOptions };
