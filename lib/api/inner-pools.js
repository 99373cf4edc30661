'use strict';

// The options of the small pools that a pool opens beside itself, made of its own, which have been checked.

/** For questions that may not wait for the callers of the pool: what became of a lost COMMIT. */
const ASIDE = { poolSize: 4, idleTimeoutMs: 10_000, ambient: false };

/** None of them ends sessions: the pool does. @param {Readonly<Record<string, any>>} options */
const withoutReaper = ({ lease, ...others }) => ({
  ...others,
  lease: lease === null ? null : Object.freeze({ ...lease, reaper: false }),
});

/** @param {Readonly<Record<string, any>>} options of the pool */
const asideOptions = (options) => Object.freeze({ ...withoutReaper(options), ...ASIDE });

/**
 * One connection to one node, which is not waited for long.
 * @param {Readonly<Record<string, any>>} options of the pool
 * @param {object} host
 */
function nodeOptions(options, host) {
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
  });
}

module.exports = { ASIDE, asideOptions, nodeOptions };
