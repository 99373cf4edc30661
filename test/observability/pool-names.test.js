'use strict';

// The names of pools, which metrics and traces show. No server is asked.

const assert = require('node:assert/strict');
const { createPool, OptionError, Pool } = require('../../client.js');
const { MultiClusterPostgres } = require('../../exports/clusters/index.js');
const pg = require('../../exports/pg/index.js');
const { printedBy, test } = require('../support/helpers.js');

const LOGIN = { hosts: '127.0.0.1:1', user: 'nobody', password: 'none', monitor: false };

/** @param {import('node:test').TestContext} t @param {object} [options] */
function open(t, options) {
  const pool = createPool({ ...LOGIN, ...options });
  t.after(() => pool.end());
  return pool;
}

test('name: by default the lowest number that no open pool has', async (t) => {
  const [first, second, third] = [open(t), open(t), open(t)];
  assert.deepEqual(
    [first, second, third].map(({ name }) => name),
    ['pool1', 'pool2', 'pool3'],
  );
  await second.end();
  assert.equal(open(t).name, 'pool2');
  assert.equal(open(t).name, 'pool4');
  assert.equal(second.name, 'pool2', 'a closed pool keeps its name');
});

test('name: the option, and with a number when another open pool has it', async (t) => {
  const [first, second, third] = [open(t, { name: 'a' }), open(t, { name: 'a' }), open(t, { name: 'a#2' })];
  assert.deepEqual(
    [first, second, third].map(({ name }) => name),
    ['a', 'a#2', 'a#2#2'],
  );
  await first.end();
  assert.equal(new Pool({ ...LOGIN, name: 'a' }).name, 'a');
  assert.equal(open(t, { name: 'pool1' }).name, 'pool1');
  assert.equal(open(t).name, 'pool2', 'somebody has called a pool as the first would be called');
});

test('name: a pool whose options are refused takes no name', (t) => {
  assert.throws(() => createPool({ ...LOGIN, name: 'refused', poolSize: 0 }), OptionError);
  assert.equal(open(t, { name: 'refused' }).name, 'refused');
});

for (const [name, message] of /** @type {[unknown, RegExp][]} */ ([
  ['', /^name must not be empty$/],
  [5, /^name must be a string, not number$/],
  ['a\0b', /^name contains a NUL character$/],
])) {
  test(`name: ${JSON.stringify(name)} is refused`, () => {
    assert.throws(() => createPool(/** @type {any} */ ({ ...LOGIN, name })), { name: 'OptionError', message });
  });
}

test('name: pools of hyperiondb-client/pg have the one that they are given', async (t) => {
  const pool = /** @type {any} */ (
    new pg.Pool({ host: '127.0.0.1', port: 1, name: 'shop', connectionTimeoutMillis: 500 })
  );
  t.after(() => pool.end());
  // The pool of the core is opened when the first client is asked for.
  await assert.rejects(pool.query('SELECT 1'), { code: 'ECONNREFUSED' });
  assert.equal(open(t, { name: 'shop' }).name, 'shop#2');
});

test('name: a pool of a cluster is called as the cluster, and that of a shard has its number', async (t) => {
  const multi = new MultiClusterPostgres();
  t.after(() => multi.close());
  const shards = [{ hosts: '127.0.0.1:1' }, { hosts: '127.0.0.1:1' }];
  const configuration = {
    ledger: { ...LOGIN, schemas: ['ledger'], acquireTimeoutMs: 1_000 },
    orders: {
      schemas: ['orders'],
      user: 'nobody',
      password: 'none',
      monitor: false,
      acquireTimeoutMs: 1_000,
      sharding: { key: 'id', strategy: 'hash', shards },
    },
  };
  const initialized = multi.initialize(/** @type {any} */ (configuration));
  assert.deepEqual(
    ['ledger', 'orders/0', 'orders/1', 'orders'].map((name) => open(t, { name }).name),
    ['ledger#2', 'orders/0#2', 'orders/1#2', 'orders'],
  );
  await assert.rejects(initialized, { code: 'ERR_INITIALIZE' });
});

test('name: that of a pool which was forgotten and collected is free again', async () => {
  const [first, ...names] = await printedBy(
    null,
    // What a WeakRef has returned is kept until the job ends: the collector runs in a job of its own.
    `const tick = () => new Promise((resolve) => setTimeout(resolve, 10));
     const open = () => createPool(${JSON.stringify({ ...LOGIN, name: 'forgotten' })}).name;
     print(open());
     for (let i = 0; i < 20; i++) { await tick(); global.gc(); await tick(); print(open()); }`,
    { flags: ['--expose-gc'] },
  );
  assert.equal(first, 'forgotten');
  assert.ok(names.includes('forgotten'), names.join());
});
