'use strict';

// testPool(): a pool that ends with its test, or a test that is skipped because nothing answers. What answers and refuses is an error.

const assert = require('node:assert/strict');
const net = require('node:net');
const { testPool } = require('hyperiondb-client/testing');
const { freePort } = require('../../exports/testing/cluster/ports.js');
const { failureOf, test, useCluster } = require('../support/helpers.js');

const db = useCluster({ nodes: 1 });

/** The context of a test as a runner gives it; `ends` are what it would call at the end. @param {'after' | 'onTestFinished'} [method] */
function contextOf(method) {
  /** @type {string[]} */
  const skipped = [];
  /** @type {(() => Promise<void>)[]} */
  const ends = [];
  const skip = (/** @type {string} */ reason) => skipped.push(reason);
  const later = (/** @type {() => Promise<void>} */ end) => ends.push(end);
  return { skipped, ends, skip, ...(method === undefined ? {} : { [method]: later }) };
}

/** How each runner calls something at the end of a test. @type {[string, 'after' | 'onTestFinished'][]} */
const ENDS = [
  ['node:test', 'after'],
  ['vitest', 'onTestFinished'],
];
for (const [runner, method] of ENDS) {
  test(`testPool(options, t) of ${runner}: the pool works, and ends with the test`, async () => {
    const t = contextOf(method);
    const pool = await testPool(db.options(), t);
    assert.equal(await pool?.value('SELECT 1'), 1);
    assert.equal(t.ends.length, 1);
    const sleeper = failureOf(/** @type {any} */ (pool).query('SELECT pg_sleep(3600)')); // a test that has failed leaves it
    await t.ends[0]();
    await sleeper;
    assert.equal((await failureOf(/** @type {any} */ (pool).query('SELECT 1'))).code, 'ERR_POOL_CLOSED');
    assert.deepEqual(t.skipped, []);
  });
}

test('testPool(options, t) without a way to end: the pool is left to its caller', async () => {
  const pool = await testPool(db.options(), contextOf());
  assert.equal(await pool?.value('SELECT 1'), 1);
  await pool?.end();
});

test('testPool takes a connection string', async () => {
  const { user, password, database, hosts } = db.cluster;
  const pool = await testPool(`postgres://${user}:${password}@${hosts[0]}/${database}`);
  assert.equal(await pool.value('SELECT 1'), 1);
  await pool.end();
});

test('testPool: nothing answers: the test is skipped, and the reason names each host', async () => {
  const hosts = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  const t = contextOf();
  assert.equal(await testPool({ ...db.options(), hosts }, t), undefined);
  assert.deepEqual(t.skipped, [`no PostgreSQL answers (${hosts.map((host) => `${host}: ECONNREFUSED`).join('; ')})`]);
});

test('testPool: nothing answers, and skip() throws: that goes on', async () => {
  const pending = new Error('skipped');
  const t = {
    skip() {
      throw pending;
    },
  };
  const hosts = [`127.0.0.1:${await freePort()}`];
  assert.equal(await failureOf(testPool({ ...db.options(), hosts }, t)), pending);
});

test('testPool without a test: nothing answers is an error', async () => {
  const hosts = [`127.0.0.1:${await freePort()}`];
  const error = await failureOf(testPool({ ...db.options(), hosts }));
  assert.deepEqual(
    [error.code, error.message],
    ['ERR_NO_PRIMARY', `no PostgreSQL answers (${hosts[0]}: ECONNREFUSED)`],
  );
});

test('testPool: one host of several that answers is enough', async () => {
  const t = contextOf();
  const hosts = [`127.0.0.1:${await freePort()}`, ...db.cluster.hosts];
  const pool = await testPool({ ...db.options(), hosts }, t);
  assert.equal(await pool?.value('SELECT 1'), 1);
  await pool?.end();
});

for (const [what, options, code] of /** @type {[string, object, string][]} */ ([
  ['a wrong password', { password: 'wrong' }, '28P01'],
  ['an unknown database', { database: 'nowhere' }, '3D000'],
  ['an unknown option', { poolSzie: 1 }, 'ERR_INVALID_OPTION'],
])) {
  test(`testPool: ${what} is an error, and skips nothing`, async () => {
    const t = contextOf();
    assert.equal((await failureOf(testPool({ ...db.options(), ...options }, t))).code, code);
    assert.deepEqual(t.skipped, []);
  });
}

test('testPool: what answers and is no PostgreSQL is an error, and skips nothing', async (t) => {
  const server = net.createServer((socket) => socket.destroy());
  await new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve(undefined));
  });
  t.after(() => server.close());
  const { port } = /** @type {net.AddressInfo} */ (server.address());
  const context = contextOf();
  const options = { ...db.options(), hosts: [`127.0.0.1:${port}`], acquireTimeoutMs: 200 };
  assert.equal((await failureOf(testPool(options, context))).code, 'ERR_NO_PRIMARY');
  assert.deepEqual(context.skipped, []);
});
