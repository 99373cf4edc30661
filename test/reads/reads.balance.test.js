'use strict';

// How the reads of a pool are shared out over three standbys, by each strategy of `reads.balance`, and by a function of the caller.
// The strategies themselves are tested by tables and by a simulation in src/cluster/balance/; here real standbys answer.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { ParameterError } = require('../../client.js');
const { failureOf, range, test, until, useCluster } = require('../support/helpers');
const { TOLERANCE, nodeIn, readMany, untilFit } = require('../support/reads');

const db = useCluster({ nodes: 4 });

const standbys = () => db.cluster.standbys();

/**
 * A pool that knows its standbys.
 * @param {import('node:test').TestContext} t
 * @param {object} reads
 * @param {object} [options]
 */
async function poolOf(t, reads, options) {
  const pool = db.pool(t, { reads, ...options });
  await untilFit(pool, standbys());
  return pool;
}

/** Weights for the standbys, in their order. @param {number[]} weights */
const weightsOf = (weights) => Object.fromEntries(weights.map((weight, i) => [standbys()[i].address, weight]));

/**
 * Checks that reads were shared out like these weights.
 * @param {{ total: number, of: (address: string) => number, failures: any[] }} result
 * @param {number[]} weights
 */
function assertShares({ total, of, failures }, weights) {
  assert.deepEqual(failures, []);
  assert.equal(of(db.cluster.primary().address), 0, 'the primary answers none');
  const sum = weights.reduce((a, b) => a + b);
  const counts = standbys().map(({ address }) => of(address));
  for (const [i, count] of counts.entries()) {
    const promised = (total * weights[i]) / sum;
    const isNear = Math.abs(count - promised) <= promised * TOLERANCE;
    assert.ok(isNear, `${count} reads instead of ${promised.toFixed(0)} at standby ${i + 1}; all: ${counts}`);
  }
}

/** A read that takes longer on the first standby. */
const slowOnFirst = () => `SELECT pg_sleep(CASE inet_server_port() WHEN ${standbys()[0].port} THEN 0.1 ELSE 0.002 END)`;

describe('the shares of three standbys', () => {
  // strategy, weights, their promised shares, reads. Random shares need more reads to be as near as that (five sigma).
  const TABLE = /** @type {[string, number[] | null, number[], number][]} */ ([
    ['round-robin', null, [1, 1, 1], 10_000],
    ['random', null, [1, 1, 1], 20_000],
    ['weighted', null, [1, 1, 1], 10_000],
    ['weighted', [3, 2, 1], [3, 2, 1], 10_000],
    ['weighted', [3, 2, 0], [3, 2, 0], 10_000],
    ['weighted', [0.5, 0, 1.5], [1, 0, 3], 10_000],
    ['round-robin', [1, 0, 1], [1, 0, 1], 10_000],
    ['round-robin', [3, 2, 1], [1, 1, 1], 10_000],
    ['random', [0, 5, 1], [0, 1, 1], 20_000],
  ]);
  for (const [balance, weights, shares, count] of TABLE) {
    test(`${balance} with ${weights === null ? 'no weights' : `weights ${weights}`}: ${count} reads are shared out ${shares.join(':')}`, async (t) => {
      const pool = await poolOf(t, { balance, weights: weights === null ? {} : weightsOf(weights) });
      assertShares(await readMany(pool, count), shares);
    });
  }

  test('least-connections: 10000 reads that take equally long are shared out 1:1:1', async (t) => {
    const pool = await poolOf(t, { balance: 'least-connections', poolSize: 20 });
    // Most of the time they sleep, so that a busy machine makes no standby slower than the others.
    assertShares(await readMany(pool, 10_000, { clients: 48, sql: 'SELECT pg_sleep(0.02)' }), [1, 1, 1]);
  });

  test('least-connections: a read goes where the fewest are in flight', async (t) => {
    const pool = await poolOf(t, { balance: 'least-connections' });
    const controller = new AbortController();
    const { signal } = controller;
    const long = range(11).map(() => failureOf(pool.read('SELECT pg_sleep(600)', [], { signal })));
    const inFlight = () => standbys().map((node) => nodeIn(pool, node).inFlight);
    await until('they are on their way', () => inFlight().reduce((a, b) => a + b) === 11);
    assert.deepEqual(inFlight().sort(), [3, 4, 4]);
    const least = standbys()[inFlight().indexOf(3)];
    for (const _ of range(10)) assert.equal((await pool.read('SELECT 1')).node, least.address);
    controller.abort();
    await Promise.all(long);
  });

  test('least-connections is what a pool without reads.balance uses', async (t) => {
    const pool = await poolOf(t, {});
    // One read after the other: none is in flight, so they take turns.
    assertShares(await readMany(pool, 60, { clients: 1, sql: slowOnFirst() }), [1, 1, 1]);
    // Side by side, a standby that takes fifty times as long has finished fewer.
    const { of } = await readMany(pool, 1_000, { sql: slowOnFirst() });
    const [slow, second, third] = standbys().map(({ address }) => of(address));
    assert.ok(slow < second / 2 && slow < third / 2, `${[slow, second, third]}`);
  });

  for (const balance of ['response-time', 'health-aware']) {
    test(`${balance}: a standby that takes long gets few reads, even if nothing is in flight there`, async (t) => {
      const pool = await poolOf(t, { balance });
      const { of, total, failures } = await readMany(pool, 150, { clients: 1, sql: slowOnFirst() });
      assert.deepEqual(failures, []);
      const slow = of(standbys()[0].address);
      assert.ok(slow < total / 5, `${slow} of ${total}`);
    });

    test(`${balance}: none of three standbys is left out of 10000 reads`, async (t) => {
      const pool = await poolOf(t, { balance });
      const { of, failures } = await readMany(pool, 10_000, { sql: 'SELECT pg_sleep(0.002)' });
      assert.deepEqual(failures, []);
      const counts = standbys().map(({ address }) => of(address));
      assert.ok(Math.min(...counts) >= 100, String(counts));
    });

    test(`${balance}: a standby of weight 0 gets no reads while another is fit`, async (t) => {
      const pool = await poolOf(t, { balance, weights: weightsOf([0, 1, 1]) });
      const { of } = await readMany(pool, 1_000);
      assert.equal(of(standbys()[0].address), 0);
    });
  }

  test('health-aware: of equally fast standbys, one of a thousandfold weight gets most reads', async (t) => {
    const pool = await poolOf(t, { balance: 'health-aware', weights: weightsOf([1_000, 1, 1]) });
    const { of, total } = await readMany(pool, 300, { clients: 1, sql: 'SELECT pg_sleep(0.002)' });
    const heavy = of(standbys()[0].address);
    assert.ok(heavy > total / 2, `${heavy} of ${total}`);
  });

  test('random: standbys do not take turns', async (t) => {
    const pool = await poolOf(t, { balance: 'random' });
    const nodes = [];
    for (const _ of range(60)) nodes.push((await pool.read('SELECT 1')).node);
    // By chance alone this fails in one of ten thousand million runs.
    assert.ok(nodes.some((node, i) => node === nodes[i + 1]));
  });

  test('round-robin: a standby that takes long gets as many reads as the others', async (t) => {
    const pool = await poolOf(t, { balance: 'round-robin' });
    assertShares(await readMany(pool, 300, { sql: slowOnFirst() }), [1, 1, 1]);
  });

  test('round-robin: reads one after the other go to one standby after the other', async (t) => {
    const pool = await poolOf(t, { balance: 'round-robin' });
    const nodes = [];
    for (const _ of range(12)) nodes.push((await pool.read('SELECT 1')).node);
    assert.equal(new Set(nodes.slice(0, 3)).size, 3);
    assert.deepEqual(nodes.slice(3), nodes.slice(0, -3));
  });

  for (const balance of ['weighted', 'round-robin', 'random', 'least-connections', 'response-time', 'health-aware']) {
    test(`${balance}: a standby of weight 0 is used when no other is fit`, async (t) => {
      const [first] = standbys();
      const pool = db.pool(t, {
        hosts: [db.cluster.primary().address, first.address],
        reads: { balance, weights: { [first.address]: 0 } },
      });
      await untilFit(pool, [first]);
      const { of, total } = await readMany(pool, 50);
      assert.equal(of(first.address), total, 'rather it than the primary');
    });
  }
});

test('nodes() has the weight of each node, and its reads in flight', async (t) => {
  const pool = await poolOf(t, { balance: 'round-robin', weights: weightsOf([3, 0, 1]) });
  const seen = standbys().map((node) => nodeIn(pool, node));
  assert.deepEqual(
    seen.map(({ weight, inFlight, fit, reason }) => [weight, inFlight, fit, reason]),
    [3, 0, 1].map((weight) => [weight, 0, true, null]),
  );
  const primary = nodeIn(pool, db.cluster.primary());
  assert.deepEqual([primary.weight, primary.fit, primary.reason], [1, false, 'is the primary']);
  const controller = new AbortController();
  const reads = range(6).map(() => failureOf(pool.read('SELECT pg_sleep(600)', [], { signal: controller.signal })));
  const inFlight = () => standbys().map((node) => nodeIn(pool, node).inFlight);
  await until('they are on their way', () => inFlight().reduce((a, b) => a + b) === 6);
  assert.deepEqual(inFlight(), [3, 0, 3]);
  controller.abort();
  await Promise.all(reads);
  await until('they are over', () => inFlight().every((count) => count === 0));
});

describe('a function as reads.balance', () => {
  const SQL = 'SELECT 1 AS v';

  test('it is called for each read with the nodes that are fit, as nodes() has them', async (t) => {
    /** @type {any[][]} */
    const calls = [];
    const pool = await poolOf(t, {
      balance: (/** @type {any[]} */ nodes) => {
        calls.push(nodes);
        return nodes[0];
      },
    });
    assert.equal(calls.length, 0);
    for (const _ of range(3)) await pool.read(SQL);
    await pool.read.value(SQL);
    for await (const _ of pool.read.stream(SQL));
    await pool.query(SQL);
    assert.equal(calls.length, 5, 'once for each read, and not for query()');
    for (const nodes of calls) {
      assert.deepEqual(
        nodes.map(({ host, port }) => `${host}:${port}`),
        standbys().map(({ address }) => address),
      );
      assert.deepEqual(Object.keys(nodes[0]), Object.keys(pool.nodes()[0]));
      for (const node of nodes) assert.equal(node.fit, true);
    }
  });

  // What may name a node: the object that was given, its label, an object with host and port.
  const CHOICES = /** @type {[string, (node: any) => unknown][]} */ ([
    ['the object that it was given', (node) => node],
    ["the node's 'host:port'", ({ host, port }) => `${host}:${port}`],
    ['an object with host and port', ({ host, port }) => ({ host, port })],
  ]);
  for (const [what, of] of CHOICES) {
    test(`it returns ${what}: that node answers`, async (t) => {
      let turn = 0;
      const pool = await poolOf(t, { balance: (/** @type {any[]} */ nodes) => of(nodes[turn++ % 3]) });
      const answered = [];
      for (const _ of range(9)) answered.push((await pool.read(SQL)).node);
      const inTurn = standbys().map(({ address }) => address);
      assert.deepEqual(answered, [...inTurn, ...inTurn, ...inTurn]);
    });
  }

  test('its choice holds for 10000 reads side by side', async (t) => {
    let turn = 0;
    const pool = await poolOf(t, { balance: (/** @type {any[]} */ nodes) => nodes[turn++ % 6 < 3 ? 0 : 1] });
    assertShares(await readMany(pool, 10_000), [1, 1, 0]);
  });

  test('what it throws is what the read rejects with', async (t) => {
    const mine = new Error('no idea');
    const pool = await poolOf(t, {
      balance: () => {
        throw mine;
      },
    });
    assert.equal(await failureOf(pool.read(SQL)), mine);
    assert.equal(await failureOf(pool.read.value(SQL)), mine);
    const stream = async () => {
      for await (const _ of pool.read.stream(SQL));
    };
    assert.equal(await failureOf(stream()), mine);
    assert.equal(await pool.value(SQL), 1, 'query() does not ask it');
  });

  // What is none of the nodes that it was given.
  const RUBBISH = /** @type {[string, () => unknown][]} */ ([
    ['nothing', () => undefined],
    ['null', () => null],
    ['a number', () => 0],
    ['an object that names no node', () => ({})],
    ['a host without its port', () => '127.0.0.1'],
    ['an unknown node', () => 'nowhere:1'],
    ['the primary, which is not fit', () => db.cluster.primary().address],
    ['an array', () => standbys()],
    ['a promise, because it is async', async () => standbys()[0].address],
  ]);
  for (const [what, balance] of RUBBISH) {
    test(`it returns ${what}: the read rejects with a ParameterError that names reads.balance`, async (t) => {
      const pool = await poolOf(t, { balance });
      const error = await failureOf(pool.read(SQL));
      assert.ok(error instanceof ParameterError, String(error));
      assert.match(error.message, /^reads\.balance must return/);
    });
  }

  test('it is not called when no node is fit: the primary answers', async (t) => {
    const primary = db.cluster.primary();
    const balance = t.mock.fn();
    const pool = db.pool(t, { hosts: [primary.address], reads: { balance } });
    await pool.query(SQL);
    assert.equal((await pool.read(SQL)).node, primary.address);
    assert.equal(balance.mock.callCount(), 0);
  });
});
