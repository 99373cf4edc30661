'use strict';

// What the tests of the cache in Redis have in common.

const assert = require('node:assert/strict');
const { until } = require('../support/helpers.js');
const { cacheOn } = require('./cache-support.js');

/** @typedef {import('node:test').TestContext} TestContext */
/** @typedef {'ioredis' | 'ioredis cluster' | 'node-redis' | 'node-redis cluster'} Kind */

/**
 * A cache in Redis, as one of several processes would have it.
 * @param {TestContext} t
 * @param {any} pool
 * @param {any} server
 * @param {Kind} kind
 * @param {Record<string, unknown>} [provider]
 * @param {Record<string, unknown>} [options]
 */
async function cacheInRedis(t, pool, server, kind, provider = {}, options = {}) {
  const client = await server.client(t, kind);
  const one = cacheOn(t, pool, { ...options, provider: { redis: client, ...provider } });
  await one.cache.start();
  return Object.assign(one, { client });
}

/** A call whose result is in Redis when it has resolved: a call does not wait for that. @param {any} one @param {any[]} args */
async function stored(one, ...args) {
  const first = await one.ask(...args);
  assert.equal((await one.ask(...args)).cached, true);
  return first;
}

/** Waits until a cache serves from Redis. @param {any} one */
const untilItServes = (one) =>
  until('the cache uses Redis again', async () => {
    await one.ask('SELECT 0 AS probe');
    return (await one.ask('SELECT 0 AS probe')).cached;
  });

module.exports = { cacheInRedis, stored, untilItServes };
