'use strict';

// What the tests of the cache begin with: a cache in front of a pool, which counts the statements that reach the database.

const { QueryCache } = require('../../exports/clusters/cache/index.js');
const { checkCache } = require('../../exports/clusters/cache/rows.js');

/** @typedef {import('node:test').TestContext} TestContext */

/**
 * What MultiClusterPostgres makes of the rows of a pool.
 * @param {any} rows
 */
function resultOf(rows) {
  const { rowCount, command, fields, node } = rows;
  return { rows, rowCount, command, fields, clusterId: 'a', node, cached: false };
}

/**
 * A cache that ends with its test.
 * @param {TestContext} t
 * @param {any} pool
 * @param {Record<string, unknown>} [options] the option `cache`
 * @param {() => any} [channelPool]
 */
function cacheOn(t, pool, options = {}, channelPool = () => pool) {
  /** @type {[event: string, payload: any][]} */
  const events = [];
  const cache = new QueryCache(checkCache(options), {
    emit: (event, payload) => events.push([event, payload]),
    channelPool,
  });
  t.after(() => cache.close());
  const one = {
    cache,
    events,
    /** How many statements were run. */
    statements: 0,
    /** What `events` has of one kind. @param {string} name */
    told: (name) => events.filter(([event]) => event === name).map(([, payload]) => payload),
    /**
     * A call through the cache.
     * @param {string} sql
     * @param {readonly unknown[]} [params]
     * @param {Record<string, any>} [options]
     */
    ask(sql, params, options = {}) {
      const call = { clusterId: 'a', schema: 'public', identity: 'me', sql, params, ...options };
      return cache.fetch(call, async ({ params: given, signal, timeoutMs }) => {
        one.statements += 1;
        const { rowMode, types } = /** @type {any} */ (options);
        return resultOf(await pool.query(sql, given, { signal, timeoutMs, rowMode, types }));
      });
    },
  };
  return one;
}

module.exports = { cacheOn, resultOf };
