'use strict';

// Which options of reads are refused, of createPool and of calls: with an error that names the option, and before anything is sent.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { createPool, OptionError, ParameterError } = require('../../client.js');
const { failureOf, poolFor, test, useCluster } = require('../support/helpers');
const { relayTo } = require('../support/relay');

const db = useCluster({ nodes: 1 });

describe('createPool({ reads }) refuses', () => {
  const HOSTS = ['h1:1', 'h1:2', 'h2:1', '[::1]:5'];
  // What is given, what the error says.
  const TABLE = /** @type {[string, any, RegExp][]} */ ([
    ['reads that are null', null, /^reads must be an object, not null$/],
    ['reads that are an array', [], /^reads must be an object, not array$/],
    ['reads that are the name of a strategy', 'random', /^reads must be an object, not string$/],
    ['a member that does not exist', { foo: 1 }, /^unknown option 'reads\.foo'$/],
    [
      'a member that is nearly right',
      { maxLag: 1 },
      /^unknown option 'reads\.maxLag': did you mean 'reads\.maxLagMs'\?$/,
    ],
    ['poolSize 0', { poolSize: 0 }, /^reads\.poolSize must be from 1 to 10000, not 0$/],
    ['a poolSize that is too large', { poolSize: 10_001 }, /^reads\.poolSize must be from 1 to 10000, not 10001$/],
    ['half a connection', { poolSize: 1.5 }, /^reads\.poolSize must be an integer, not 1\.5$/],
    ['a poolSize that is text', { poolSize: '3' }, /^reads\.poolSize must be an integer, not string$/],
    ['an unknown strategy', { balance: 'fastest' }, /^reads\.balance must be one of 'round-robin', .*, not 'fastest'$/],
    [
      'a strategy that is a number',
      { balance: 3 },
      /^reads\.balance must be the name of a strategy or a function, not number$/,
    ],
    ['weights that are an array', { weights: [1, 2] }, /^reads\.weights must be an object, not array$/],
    [
      'a negative weight',
      { weights: { 'h2:1': -1 } },
      /^reads\.weights: the weight of 'h2:1' must be a finite number from 0, not -1$/,
    ],
    ['an infinite weight', { weights: { 'h2:1': Infinity } }, /^reads\.weights: the weight of 'h2:1' .* not Infinity$/],
    ['a weight that is NaN', { weights: { 'h2:1': NaN } }, /^reads\.weights: the weight of 'h2:1' .* not NaN$/],
    ['a weight that is text', { weights: { 'h2:1': '1' } }, /^reads\.weights: the weight of 'h2:1' .* not string$/],
    [
      'a weight for an unknown host',
      { weights: { 'h9:1': 1 } },
      /^reads\.weights: 'h9:1' is no host of the pool: h1:1, h1:2, h2:1, \[::1\]:5$/,
    ],
    ['a weight for an unknown port', { weights: { 'h2:2': 1 } }, /^reads\.weights: 'h2:2' is no host of the pool/],
    [
      'a weight for a host of several ports',
      { weights: { h1: 1 } },
      /^reads\.weights: 'h1' is listed with the ports 1, 2: name one$/,
    ],
    ['two weights for one node', { weights: { h2: 1, 'h2:1': 2 } }, /^reads\.weights: h2:1 is named more than once$/],
    ['a negative maxLagMs', { maxLagMs: -1 }, /^reads\.maxLagMs must be from 0 to 2147483647, not -1$/],
    [
      'a maxLagMs that is too long',
      { maxLagMs: 2 ** 31 },
      /^reads\.maxLagMs must be from 0 to 2147483647, not 2147483648$/,
    ],
    ['a maxLagMs that is null', { maxLagMs: null }, /^reads\.maxLagMs must be an integer, not null$/],
    ['a negative maxLagBytes', { maxLagBytes: -1 }, /^reads\.maxLagBytes must be from 0 to 9007199254740991, not -1$/],
    ['a maxLagBytes that is a bigint', { maxLagBytes: 1n }, /^reads\.maxLagBytes must be an integer, not bigint$/],
    [
      'an unknown fallback',
      { fallback: 'standby' },
      /^reads\.fallback must be one of 'primary', 'none', not 'standby'$/,
    ],
    [
      'a fallback that is a boolean',
      { fallback: false },
      /^reads\.fallback must be one of 'primary', 'none', not boolean$/,
    ],
    ['a negative waitMs', { waitMs: -1 }, /^reads\.waitMs must be from 0 to 2147483647, not -1$/],
    ['an endless waitMs', { waitMs: Infinity }, /^reads\.waitMs must be an integer, not Infinity$/],
    ['hedgeMs 0', { hedgeMs: 0 }, /^reads\.hedgeMs must be from 1 to 2147483647, not 0$/],
    ['a hedgeShare above 1', { hedgeShare: 1.01 }, /^reads\.hedgeShare must be a number from 0 to 1, not 1\.01$/],
    ['a negative hedgeShare', { hedgeShare: -0.1 }, /^reads\.hedgeShare must be a number from 0 to 1, not -0\.1$/],
    ['a hedgeShare that is text', { hedgeShare: '5%' }, /^reads\.hedgeShare must be a number from 0 to 1, not string$/],
    ['a negative slowStartMs', { slowStartMs: -1 }, /^reads\.slowStartMs must be from 0 to 2147483647, not -1$/],
  ]);
  for (const [what, reads, message] of TABLE) {
    test(`createPool refuses ${what}, by name`, () => {
      assert.throws(
        () => createPool({ hosts: HOSTS, monitor: false, reads }),
        (/** @type {any} */ error) => {
          assert.ok(error instanceof OptionError, String(error));
          assert.match(error.message, message);
          return true;
        },
      );
    });
  }

  test('a key of weights that may have a password in it is not repeated', () => {
    const key = 'postgres://me:hunter2@h2:1';
    const open = () => createPool({ hosts: HOSTS, monitor: false, reads: { weights: { [key]: 1 } } });
    assert.throws(
      open,
      (/** @type {any} */ error) => /^reads\.weights/.test(error.message) && !error.message.includes('hunter2'),
    );
  });

  test('what is allowed is taken: limits of every range, and all weights 0', async () => {
    const all = {
      poolSize: 10_000,
      balance: () => 'h2:1',
      weights: { 'h1:1': 0, 'h1:2': 0, h2: 0, '::1': 0 },
      maxLagMs: 0,
      maxLagBytes: Number.MAX_SAFE_INTEGER,
      fallback: 'none',
      waitMs: 0,
      hedgeMs: 1,
      hedgeShare: 1,
      slowStartMs: 0,
    };
    await createPool({ hosts: HOSTS, monitor: false, reads: all }).end();
    const none = Object.fromEntries(Object.keys(all).map((name) => [name, undefined]));
    await createPool({ hosts: HOSTS, monitor: false, reads: none }).end();
  });
});

describe('a call of read refuses', () => {
  // What is given, what the error says.
  const TABLE = /** @type {[string, any, RegExp][]} */ ([
    ['options that are a number', 5, /^options must be an object, not number$/],
    ['options that are an array', [], /^options must be an object, not array$/],
    ['a negative maxLagMs', { maxLagMs: -1 }, /^maxLagMs must be from 0/],
    ['a maxLagMs that is null', { maxLagMs: null }, /^maxLagMs must be an integer, not null$/],
    ['a fraction of maxLagBytes', { maxLagBytes: 1.5 }, /^maxLagBytes must be an integer, not 1\.5$/],
    ['an after that is a number', { after: 7 }, /^after must be a consistency token.* not number$/],
    ['an after that is no token', { after: 'hunter2' }, /^after must be a consistency token.* not another text$/],
    ['an after that is half a token', { after: '1-1' }, /^after must be a consistency token/],
    ['an after in upper case', { after: '1-1-A0' }, /^after must be a consistency token/],
    ['a negative waitMs', { waitMs: -1 }, /^waitMs must be from 0/],
    ['an unknown fallback', { fallback: 'standby' }, /^fallback must be one of 'primary', 'none', not 'standby'$/],
    ['a negative timeoutMs', { timeoutMs: -1 }, /^timeoutMs must be from/],
    ['a signal that is none', { signal: {} }, /^signal must be an AbortSignal$/],
    ['an unknown rowMode', { rowMode: 'map' }, /^rowMode must be one of 'object', 'array', not 'map'$/],
    ['readOnly, which it is anyway', { readOnly: true }, /^unknown option 'readOnly'/],
    ['token, which is of writes', { token: true }, /^unknown option 'token'/],
    ['balance, which is of the pool', { balance: 'random' }, /^unknown option 'balance'/],
    ['poolSize, which is of the pool', { poolSize: 1 }, /^unknown option 'poolSize'/],
    ['hedgeShare, which is of the pool', { hedgeShare: 1 }, /^unknown option 'hedgeShare'/],
    ['an option that is nearly right', { maxLag: 1 }, /^unknown option 'maxLag': did you mean 'maxLagMs'\?$/],
    ['a node', { node: 0 }, /^unknown option 'node'/],
  ]);
  const OF_ROWS = /** @type {typeof TABLE} */ ([
    ...TABLE,
    ['hedgeMs 0', { hedgeMs: 0 }, /^hedgeMs must be from 1/],
    ['batchSize, which is of streams', { batchSize: 5 }, /^unknown option 'batchSize'/],
  ]);
  const OF_STREAMS = /** @type {typeof TABLE} */ ([
    ...TABLE,
    ['hedgeMs, because a stream is not sent twice', { hedgeMs: 5 }, /^hedgeMs: a stream is not sent to two nodes$/],
    ['batchSize 0', { batchSize: 0 }, /^batchSize must be from 1/],
  ]);

  /**
   * A pool whose connections are seen: it has made none.
   * @param {import('node:test').TestContext} t
   */
  async function watchedPool(t) {
    const relay = await relayTo(t, db.cluster.primary());
    const pool = poolFor(t, { ...db.options({ hosts: [relay.host] }), monitor: false });
    return { pool, connections: () => relay.conversations().length };
  }

  for (const [what, options, message] of OF_ROWS) {
    test(`read refuses ${what}, by name, and sends nothing`, async (t) => {
      const { pool, connections } = await watchedPool(t);
      for (const method of ['one', 'maybeOne', 'many', 'value', null]) {
        const call = method === null ? pool.read : pool.read[method];
        const error = await failureOf(call('SELECT 1', [], options));
        assert.ok(error instanceof ParameterError, String(error));
        assert.match(error.message, message, method ?? 'read');
      }
      assert.equal(connections(), 0);
    });
  }

  for (const [what, options, message] of OF_STREAMS) {
    test(`read.stream refuses ${what}, by name, and sends nothing`, async (t) => {
      const { pool, connections } = await watchedPool(t);
      assert.throws(
        () => pool.read.stream('SELECT 1', [], options),
        (/** @type {any} */ error) => error instanceof ParameterError && message.test(error.message),
      );
      assert.equal(connections(), 0);
    });
  }

  // The arguments, what the error says.
  const CALLS = /** @type {[string, any[], RegExp][]} */ ([
    ['no statement', [], /^sql must be a string, not undefined$/],
    ['a statement that is a number', [7], /^sql must be a string, not number$/],
    ['params that are no array', ['SELECT $1::int4', 7], /^params must be an array$/],
    ['a parameter that cannot be sent', ['SELECT $1', [Symbol('s')]], /^parameter \$1: a symbol cannot be sent$/],
  ]);
  for (const [what, args, message] of CALLS) {
    test(`read refuses ${what}, as query() does, and sends nothing`, async (t) => {
      const { pool, connections } = await watchedPool(t);
      for (const call of [pool.read, pool.query.bind(pool)]) {
        const error = await failureOf(call(...args));
        assert.ok(error instanceof ParameterError, String(error));
        assert.match(error.message, message);
      }
      assert.equal(connections(), 0);
    });
  }

  test('an error about after does not repeat what was given', async (t) => {
    const { pool } = await watchedPool(t);
    const { message } = await failureOf(pool.read('SELECT 1', [], { after: 'hunter2' }));
    assert.ok(!message.includes('hunter2'), message);
  });
});
