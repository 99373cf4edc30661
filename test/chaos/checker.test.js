'use strict';

// A test that can only say "nothing was lost" proves nothing: here the checker sees losses, made up ones and real ones.

const assert = require('node:assert/strict');
const { fact, ownCluster, sleep, until } = require('../helpers');
const { Load, TABLE, check } = require('./load');

fact('a doctored history', () => {
  const entry = (/** @type {any} */ fate, rows = 1) => ({ fate, at: 0, rows });
  const history = new Map([
    [1, entry('acknowledged')],
    [2, entry('acknowledged')],
    [3, entry('acknowledged', 2)],
    [4, entry('acknowledged', 2)],
    [5, entry('not-applied')],
    [6, entry('not-applied')],
    [7, entry('unknown')],
    [8, entry('unknown')],
    [9, entry('unknown')],
    [10, entry('pending')],
  ]);
  assert.deepEqual(check(history, [1, 3, 3, 4, 6, 7, 9, 9, 11]), {
    acknowledged: 4,
    unknown: 3,
    pending: 1,
    failed: 2,
    lost: [2, 4],
    doubled: [9],
    denied: [6],
    torn: [4],
    strange: [11],
  });
});

fact(
  'an asynchronous cluster whose replication is cut before the crash loses acknowledged writes, and it shows',
  { timeout: 120_000 },
  async (t) => {
    const own = await ownCluster(t, { nodes: 3, synchronous: false });
    own.needs('promote', 'failover', 'crash', 'follow', 'proxy');
    const { cluster } = own;
    const old = cluster.primary();
    await old.sql(TABLE);
    const link = await old.proxy();
    await Promise.all(cluster.standbys().map((node) => node.follow(link)));
    await until('all stream through the proxy', () => link.connections >= 2);
    const pool = own.pool(t, { poolSize: 8, acquireTimeoutMs: 60_000 });
    const load = new Load(pool);
    const until_ = (/** @type {number} */ count) => until(`${count} writes`, () => load.acknowledged >= count);
    await until_(200);
    await link.blackhole();
    await sleep(50);
    await until_(load.acknowledged + 500);
    await old.crash();
    const next = await cluster.failover();
    await until_(load.acknowledged + 200);
    await load.stop();
    const result = check(
      load.history,
      (await next.sql('SELECT id FROM written')).map(({ id }) => id),
    );
    t.diagnostic(
      `asynchronous: acknowledged ${result.acknowledged}, lost ${result.lost.length}, doubled ${result.doubled.length}, unknown ${result.unknown}`,
    );
    assert.ok(result.lost.length >= 100, `${result.lost.length} lost`);
    assert.deepEqual(result.doubled, []);
  },
);
