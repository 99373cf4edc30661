'use strict';

// What the channels tell of statements and transactions that a failover hits, and the channel hyperiondb:failover.

const assert = require('node:assert/strict');
const { subscribe, unsubscribe } = require('node:diagnostics_channel');
const { failureOf, ownCluster, printedBy, test, until } = require('../support/helpers.js');
const { FAILURE, SUCCESS, listenTo } = require('./listen.js');

/**
 * A cluster of two nodes whose table `moved` is replicated.
 * @param {import('node:test').TestContext} t
 */
async function twoNodes(t) {
  const own = await ownCluster(t, { nodes: 2, synchronous: false });
  own.needs('promote', 'fence', 'kill');
  const [old, next] = own.cluster.nodes;
  const pool = own.pool(t, { poolSize: 4, acquireTimeoutMs: 20_000 });
  await pool.query('CREATE TABLE moved (id int)');
  await until('replicated', async () => (await next.sql("SELECT 1 FROM pg_class WHERE relname = 'moved'")).length > 0);
  return { old, next, pool };
}

/**
 * What hyperiondb:failover tells until the test ends.
 * @param {import('node:test').TestContext} t
 */
function failoversOf(t) {
  /** @type {any[]} */
  const heard = [];
  const listener = (/** @type {any} */ message) => heard.push(message);
  subscribe('hyperiondb:failover', listener);
  t.after(() => void unsubscribe('hyperiondb:failover', listener));
  return heard;
}

test('failover: statements of all kinds that wait for the new primary are told once, with its node', async (t) => {
  const { old, next, pool } = await twoNodes(t);
  const queries = listenTo(t, 'hyperiondb:query', pool);
  const transactions = listenTo(t, 'hyperiondb:transaction', pool);
  const failovers = failoversOf(t);
  /** @type {any[]} */
  const emitted = [];
  pool.on('failover', (/** @type {any} */ event) => emitted.push(event));
  await old.fence();
  const work = [
    pool.query('INSERT INTO moved VALUES (1)'),
    pool.batch(['INSERT INTO moved VALUES (2)', 'INSERT INTO moved VALUES (3)']),
    pool.copyFrom('moved', [[4]]),
    pool.exec('INSERT INTO moved VALUES (5)'),
    pool.transaction((/** @type {any} */ tx) => tx.query('INSERT INTO moved VALUES (6)'), { retries: 5 }),
  ];
  await until('they wait', () => pool.status().waiting > 0);
  await next.promote();
  await Promise.all(work);
  await until('the failover is told', () => failovers.length > 0);
  const ended = queries.ended();
  assert.deepEqual(ended.map(({ operation }) => operation).sort(), ['batch', 'copyFrom', 'exec', 'query', 'query']);
  for (const { node, error, waitMs } of ended) {
    assert.deepEqual([node, error], [next.address, undefined]);
    assert.ok(waitMs >= 0);
  }
  assert.ok(Math.max(...ended.map(({ waitMs }) => waitMs)) > 0, 'the wait for the new primary is a wait');
  const [{ outcome, node }] = transactions.ended();
  assert.deepEqual([outcome, node], ['committed', next.address]);
  // One message, though the small pools beside the pool see it, too.
  const [{ pool: told, ...failover }, ...more] = failovers.filter((message) => message.pool === pool);
  assert.deepEqual(more, []);
  assert.equal(told, pool);
  assert.deepEqual(failover, emitted[0]);
  assert.deepEqual([failover.from, failover.to], [old.address, next.address]);
});

test('failover: a statement that a crash hits is told once: a write with its unknown outcome, a read with its success', async (t) => {
  const { old, next, pool } = await twoNodes(t);
  const { heard } = listenTo(t, 'hyperiondb:query', pool);
  const write = failureOf(pool.query('INSERT INTO moved SELECT 1 FROM pg_sleep(30)'));
  const read = pool.query('SELECT count(*)::int AS moved FROM moved, pg_sleep(0.5)', [], { readOnly: true });
  await until(
    'both run',
    async () => (await old.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'")).length === 2,
  );
  await old.kill();
  await next.promote();
  const [error] = await Promise.all([write, read]);
  assert.equal(error.outcome, 'unknown');
  const of = (/** @type {string} */ word) => heard.filter(({ message }) => message.sql.startsWith(word));
  assert.deepEqual(
    of('INSERT').map(({ event }) => event),
    FAILURE,
  );
  assert.equal(of('INSERT')[0].message.error, error);
  assert.deepEqual(
    of('SELECT').map(({ event }) => event),
    SUCCESS,
  );
  assert.deepEqual([of('SELECT')[0].message.node, of('SELECT')[0].message.error], [next.address, undefined]);
});

test('failover: a subscriber of hyperiondb:failover that throws disturbs no statement, and no listener of the event', async (t) => {
  const own = await ownCluster(t, { nodes: 2, synchronous: false });
  own.needs('promote', 'fence');
  const [old, next] = own.cluster.nodes;
  const fences = `const { createPool: open } = require(${JSON.stringify(require.resolve('../../client.js'))});`;
  await old.sql('CREATE TABLE moved (id int)');
  await until('replicated', async () => (await next.sql("SELECT 1 FROM pg_class WHERE relname = 'moved'")).length > 0);
  const running = printedBy(
    own,
    `
    ${fences}
    const caught = [];
    process.on('uncaughtException', (error) => caught.push(error.message));
    require('node:diagnostics_channel').subscribe('hyperiondb:failover', () => { throw new Error('of a subscriber'); });
    const pool = open({ ...options, acquireTimeoutMs: 20_000 });
    let over;
    const told = new Promise((resolve) => { over = resolve; });
    pool.on('failover', over);
    await pool.query('SELECT 1');
    await pool.query("INSERT INTO moved VALUES (1)");
    while ((await pool.query('INSERT INTO moved VALUES (2)')).node !== '${next.address}') await new Promise((resolve) => setTimeout(resolve, 10));
    await told;
    await pool.end();
    print(caught);
    `,
  );
  await until('it writes', async () => (await old.sql('SELECT 1 FROM moved LIMIT 1')).length > 0);
  await old.fence();
  await next.promote();
  assert.deepEqual(await running, ['["of a subscriber"]']);
});
