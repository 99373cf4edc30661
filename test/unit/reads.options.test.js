'use strict';

// The option `reads`: what the core is told, and what is refused; the options of a single read.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { parseOptions } = require('../../lib/options/options.js');
const { POOL_QUERY, QUERY, READ, READ_STREAM, STREAM, callOptions } = require('../../lib/options/call-options.js');
const { HOME, core, refused, shown } = require('../support/configured.js');
const { test } = require('../support/helpers.js');

const hosts = ['db1', 'db2:5433', 'db3', '[::1]:6000', '/run/pg'];

/** @param {unknown} reads */
const told = (reads) => core({ hosts, reads }).reads;

test('reads: without members the core is told every default', () => {
  assert.deepEqual(told({}), {
    poolSize: 10,
    balance: 'least-connections',
    weights: [1, 1, 1, 1, 1],
    maxLagMs: null,
    maxLagBytes: null,
    fallback: 'primary',
    waitMs: 500,
    hedgeMs: null,
    hedgeShare: 0.05,
    slowStartMs: 5_000,
    healthThreshold: 0,
  });
  assert.deepEqual(core({ hosts }).reads, told({}));
});

describe('reads: what is given is told', () => {
  const GIVEN = [
    { poolSize: 3 },
    ...['round-robin', 'random', 'weighted', 'least-connections', 'response-time', 'health-aware'].map((balance) => ({
      balance,
    })),
    { maxLagMs: 0 },
    { maxLagBytes: 16_777_216 },
    { fallback: 'none' },
    { waitMs: 0 },
    { hedgeMs: 1 },
    { hedgeShare: 0 },
    { hedgeShare: 1 },
    { slowStartMs: 0 },
  ];
  for (const given of GIVEN) {
    test(shown(given), () => assert.deepEqual(told(given), { ...told({}), ...given }));
  }

  test('a function balances in JavaScript, and the core chooses by least-connections behind it', () => {
    const balance = (/** @type {object[]} */ [first]) => first;
    assert.equal(told({ balance }).balance, 'least-connections');
    assert.equal(parseOptions({ hosts, reads: { balance } }, { HOME }).reads.balance, balance);
  });
});

describe('reads.weights: one number for each host, in their order', () => {
  const WEIGHTS = /** @type {[Record<string, number>, number[]][]} */ ([
    [{}, [1, 1, 1, 1, 1]],
    [{ 'db2:5433': 3 }, [1, 3, 1, 1, 1]],
    [{ db2: 3 }, [1, 3, 1, 1, 1]],
    [{ db1: 0, 'db3:5432': 2.5 }, [0, 1, 2.5, 1, 1]],
    [{ '[::1]:6000': 4 }, [1, 1, 1, 4, 1]],
    [{ '[::1]': 4 }, [1, 1, 1, 4, 1]],
    [{ '::1': 4 }, [1, 1, 1, 4, 1]],
    [{ '/run/pg': 5 }, [1, 1, 1, 1, 5]],
    [{ '/run/pg:5432': 5 }, [1, 1, 1, 1, 5]],
  ]);
  for (const [weights, expected] of WEIGHTS) {
    test(shown(weights), () => assert.deepEqual(told({ weights }).weights, expected));
  }
});

describe('reads: refused by name', () => {
  const WRONG = /** @type {[unknown, RegExp][]} */ ([
    [5, /^reads must be an object, not number$/],
    [{ balanse: 'random' }, /^unknown option 'reads\.balanse': did you mean 'reads\.balance'\?$/],
    [{ maxLag: 5 }, /^unknown option 'reads\.maxLag': did you mean 'reads\.maxLagMs'\?$/],
    [{ poolSize: 0 }, /^reads\.poolSize must be from 1 to 10000, not 0$/],
    [{ balance: 'fastest' }, /^reads\.balance must be one of 'round-robin', .*'health-aware', not 'fastest'$/],
    [{ balance: 5 }, /^reads\.balance must be the name of a strategy or a function, not number$/],
    [{ maxLagMs: -1 }, /^reads\.maxLagMs must be from 0 to /],
    [{ maxLagBytes: 1.5 }, /^reads\.maxLagBytes must be an integer, not 1\.5$/],
    [{ fallback: 'standby' }, /^reads\.fallback must be one of 'primary', 'none', not 'standby'$/],
    [{ waitMs: '5' }, /^reads\.waitMs must be an integer, not string$/],
    [{ hedgeMs: 0 }, /^reads\.hedgeMs must be from 1 to /],
    [{ hedgeShare: 1.1 }, /^reads\.hedgeShare must be a number from 0 to 1, not 1\.1$/],
    [{ hedgeShare: '5%' }, /^reads\.hedgeShare must be a number from 0 to 1, not string$/],
    [{ hedgeShare: Number.NaN }, /^reads\.hedgeShare must be a number from 0 to 1, not NaN$/],
    [{ slowStartMs: -5 }, /^reads\.slowStartMs must be from 0 to /],
    [{ weights: 3 }, /^reads\.weights must be an object, not number$/],
    [{ weights: { db1: -1 } }, /^reads\.weights: the weight of 'db1' must be a finite number from 0, not -1$/],
    [{ weights: { db1: Infinity } }, /the weight of 'db1' must be a finite number from 0, not Infinity$/],
    [{ weights: { db1: '3' } }, /the weight of 'db1' must be a finite number from 0, not string$/],
    [
      { weights: { db9: 1 } },
      /^reads\.weights: 'db9' is no host of the pool: db1:5432, db2:5433, db3:5432, \[::1\]:6000, /,
    ],
    [{ weights: { 'db1:5433': 1 } }, /^reads\.weights: 'db1:5433' is no host of the pool: /],
    [{ weights: { db1: 1, 'db1:5432': 2 } }, /^reads\.weights: db1:5432 is named more than once$/],
    [{ weights: { 'postgres://u:hunter2@db1': 1 } }, /^reads\.weights: a key is no host of the pool: /],
  ]);
  for (const [reads, message] of WRONG) test(shown(reads), () => refused({ hosts, reads }, {}, message));

  test('reads.weights: a host with several ports must be named with one of them', () => {
    const message = /^reads\.weights: 'db1' is listed with the ports 5432, 5433: name one$/;
    refused({ hosts: 'db1,db1:5433', reads: { weights: { db1: 2 } } }, {}, message);
    assert.deepEqual(core({ hosts: 'db1,db1:5433', reads: { weights: { 'db1:5433': 2 } } }).reads.weights, [1, 2]);
  });
});

describe('the options of a single read', () => {
  const TOKEN = '6f3a-1-3000148';
  test('all of them are accepted', () => {
    const given = {
      maxLagMs: 0,
      maxLagBytes: 0,
      after: TOKEN,
      waitMs: 0,
      hedgeMs: 5,
      fallback: 'none',
      timeoutMs: 5,
      signal: AbortSignal.timeout(60_000),
      rowMode: 'array',
      types: {},
    };
    assert.deepEqual(Object.keys(given).sort(), Object.keys(READ).sort(), 'and no other is missing here');
    assert.equal(callOptions(given, READ), given);
    const { hedgeMs, ...others } = given;
    assert.deepEqual(Object.keys({ ...others, batchSize: 1 }).sort(), Object.keys(READ_STREAM).sort());
  });

  const WRONG = /** @type {[object, RegExp][]} */ ([
    [{ after: 5 }, /^after must be a consistency token, as pool\.token\(\) returns it, not number$/],
    [{ after: null }, /^after must be a consistency token, .* not null$/],
    [{ after: 'hunter2' }, /^after must be a consistency token, .* not another text$/],
    [{ maxLagMs: -1 }, /^maxLagMs must be from 0/],
    [{ maxLagBytes: '1MB' }, /^maxLagBytes must be an integer, not string$/],
    [{ waitMs: -1 }, /^waitMs must be from 0/],
    [{ hedgeMs: 0 }, /^hedgeMs must be from 1/],
    [{ fallback: 'standby' }, /^fallback must be one of 'primary', 'none', not 'standby'$/],
    [{ readOnly: true }, /^unknown option 'readOnly'$/],
    [{ maxlag: 5 }, /^unknown option 'maxlag': did you mean 'maxLagMs'\?$/],
  ]);
  for (const [given, message] of WRONG) {
    test(`refused: ${shown(given)}`, () =>
      assert.throws(() => callOptions(given, READ), { code: 'ERR_INVALID_PARAM', message }));
  }

  test('a stream refuses hedgeMs, and says why', () => {
    const message = 'hedgeMs: a stream is not sent to two nodes';
    assert.throws(() => callOptions({ hedgeMs: 5 }, READ_STREAM), { code: 'ERR_INVALID_PARAM', message });
  });

  test('token is an option of the statements of a pool alone', () => {
    assert.doesNotThrow(() => callOptions({ token: true }, POOL_QUERY));
    const refusals = /** @type {const} */ ([
      [QUERY, /^token: the position of a transaction is known only after COMMIT: call pool\.token\(\) then$/],
      [STREAM, /^token: a stream has no result/],
      [READ, /^unknown option 'token'$/],
    ]);
    for (const [rows, message] of refusals) {
      assert.throws(() => callOptions({ token: true }, rows), { code: 'ERR_INVALID_PARAM', message });
    }
    assert.throws(() => callOptions({ token: 'yes' }, POOL_QUERY), { message: /^token must be a boolean/ });
  });
});
