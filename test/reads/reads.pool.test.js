'use strict';

// The connections of pool.read(): how many there are, what waits for them, and what the end of a pool means for reads.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const {
  endings,
  failureOf,
  isPending,
  named,
  ownCluster,
  range,
  sleep,
  test,
  useCluster,
} = require('../support/helpers');
const { sessionsOn, untilFit } = require('../support/reads');

const db = useCluster({ nodes: 3 });

const primary = () => db.cluster.primary();

describe('reads.poolSize', () => {
  test('no connection for reads is made before the first read', async (t) => {
    const applicationName = named('before');
    const pool = db.pool(t, { applicationName });
    await Promise.all(range(20).map(() => pool.query('SELECT pg_sleep(0.01)')));
    await untilFit(pool, db.cluster.standbys());
    for (const node of db.cluster.standbys()) assert.deepEqual(await sessionsOn(node, applicationName), []);
    await pool.read('SELECT 1');
    const all = await Promise.all(db.cluster.standbys().map((node) => sessionsOn(node, applicationName)));
    assert.equal(all.flat().length, 1, 'the first read makes one');
  });

  test('reads.poolSize is the most connections to each standby, apart from poolSize', async (t) => {
    const applicationName = named('bound');
    const pool = db.pool(t, { applicationName, poolSize: 1, reads: { poolSize: 3 } });
    await untilFit(pool, db.cluster.standbys());
    let over = false;
    const reads = Promise.all(range(60).map(() => pool.read('SELECT pg_sleep(0.05)'))).then(() => {
      over = true;
    });
    const most = db.cluster.nodes.map(() => 0);
    while (!over) {
      for (const [i, node] of db.cluster.nodes.entries()) {
        most[i] = Math.max(most[i], (await sessionsOn(node, applicationName)).length);
      }
    }
    await reads;
    assert.deepEqual(most, [0, 3, 3]);
    await Promise.all(range(5).map(() => pool.query('SELECT pg_sleep(0.02)')));
    assert.equal((await sessionsOn(primary(), applicationName)).length, 1, 'poolSize is for query()');
    assert.equal(pool.status().size, 1, 'status() counts the connections of poolSize');
  });

  test('reads that fill their connections hold up no write, and writes no read', async (t) => {
    const pool = db.pool(t, { poolSize: 1, reads: { poolSize: 1 } });
    await Promise.all([pool.query('SELECT 1'), pool.read('SELECT 1')]);
    const long = 'SELECT pg_sleep(600)';
    const controller = new AbortController();
    const options = { signal: controller.signal };
    const reads = range(8).map(() => pool.read(long, [], options));
    assert.equal(await pool.value('SELECT 1'), 1);
    const writes = [pool.query(long, [], options)];
    assert.ok(await isPending(Promise.race([...reads, ...writes])));
    controller.abort();
    for (const { error } of await endings([...reads, ...writes])) assert.equal(error?.name, 'AbortError');
  });

  test('a read that gets no connection within acquireTimeoutMs: AcquireTimeoutError', async (t) => {
    const pool = db.pool(t, { hosts: [primary().address], reads: { poolSize: 1 }, acquireTimeoutMs: 200 });
    const controller = new AbortController();
    const long = pool.read('SELECT pg_sleep(600)', [], { signal: controller.signal });
    const error = await failureOf(pool.read('SELECT 1', [], { timeoutMs: 60_000 }));
    assert.deepEqual([error.code, error.outcome], ['ERR_ACQUIRE_TIMEOUT', 'not-applied']);
    controller.abort();
    await endings([long]);
  });
});

describe('the end of a pool', () => {
  test('end() waits for reads, and a read after it is refused', async (t) => {
    const pool = db.pool(t, { reads: { poolSize: 2 } });
    const { read } = pool;
    await read('SELECT 1');
    // More than there are connections: some of them wait.
    const reads = range(12).map((i) => read.value('SELECT $1::int4 FROM pg_sleep(0.05)', [i]));
    const ended = pool.end();
    const error = await failureOf(read('SELECT 1'));
    assert.equal(error.code, 'ERR_POOL_CLOSED');
    assert.throws(() => read.stream('SELECT 1'), { code: 'ERR_POOL_CLOSED' });
    await ended;
    assert.deepEqual(await Promise.all(reads), range(12));
  });

  test('end({ timeoutMs }) ends the reads that run, and those that wait for a connection', async (t) => {
    const pool = db.pool(t, { reads: { poolSize: 1 } });
    await pool.read('SELECT 1');
    const reads = endings(range(6).map(() => pool.read('SELECT pg_sleep(600)')));
    await sleep(50);
    await pool.end({ timeoutMs: 50 });
    for (const { error } of await reads) assert.ok(error !== undefined, 'a read of ten minutes was answered');
  });

  test('end({ timeoutMs }) ends a read that waits for a standby', async (t) => {
    const pool = db.pool(t, { hosts: [primary().address], reads: { fallback: 'none' }, acquireTimeoutMs: 600_000 });
    await pool.query('SELECT 1');
    const waiting = endings([pool.read('SELECT 1')]);
    assert.ok(await isPending(waiting));
    await pool.end({ timeoutMs: 50 });
    const [{ error }] = await waiting;
    assert.equal(error?.code, 'ERR_POOL_CLOSED');
  });

  test('end() waits for a read that waits for a standby, which is answered when there is one', async (t) => {
    const own = await ownCluster(t, { nodes: 2, synchronous: false });
    own.needs('stop', 'start');
    const [standby] = own.cluster.standbys();
    await standby.stop();
    const pool = own.pool(t, { reads: { fallback: 'none' }, acquireTimeoutMs: 600_000 });
    await pool.query('SELECT 1');
    const waiting = pool.read('SELECT 1');
    assert.ok(await isPending(waiting));
    const ended = pool.end();
    assert.ok(await isPending(ended), 'end() waits for it');
    await standby.start();
    assert.equal((await waiting).node, standby.address);
    await ended;
  });

  test('end() waits for a read that waits for any node at all', async (t) => {
    const own = await ownCluster(t, { nodes: 1 });
    own.needs('stop', 'start');
    const [node] = own.cluster.nodes;
    await node.stop();
    const pool = own.pool(t, { acquireTimeoutMs: 600_000 });
    const waiting = pool.read('SELECT 1');
    assert.ok(await isPending(waiting));
    const ended = pool.end();
    assert.ok(await isPending(ended), 'end() waits for it');
    await node.start();
    assert.equal((await waiting).node, node.address);
    await ended;
  });
});
