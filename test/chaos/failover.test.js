'use strict';

// A loaded pool on a synchronous cluster, and a primary that goes away in every way we know. Each time: the pool finds the
// new primary by itself, nothing acknowledged is lost, nothing is there twice, what was called not applied is absent, and
// unknown is only what was in flight.

const assert = require('node:assert/strict');
const { endings, fact, loginOf, ownCluster, poolFor, sleep, until } = require('../helpers');
const { Load, TABLE, check } = require('./load');

/** @typedef {import('../cluster/node').LocalNode} LocalNode */

/**
 * A fault: what is done to the primary, and what is undone later. `proxied` names nodes by proxies in front of them.
 * @typedef {object} Fault
 * @property {string} name
 * @property {string[]} needs
 * @property {boolean} [proxied]
 * @property {boolean} [planned] the fault itself must not be felt: no error at all
 * @property {(old: any, proxy: any) => Promise<unknown>} strike
 * @property {(old: any, proxy: any) => Promise<unknown>} [undo] after the failover: the old one shows up again
 */

/** @type {Fault[]} */
const FAULTS = [
  {
    name: 'fenced, then another is promoted',
    needs: ['fence'],
    planned: true,
    strike: (old) => old.fence(),
    undo: (old) => old.unfence(),
  },
  { name: 'stopped fast', needs: ['stop'], strike: (old) => old.stop('fast') },
  { name: 'stopped immediate', needs: ['stop'], strike: (old) => old.stop('immediate') },
  { name: 'crashed', needs: ['crash'], strike: (old) => old.crash() },
  {
    name: 'crashed, and comes back as a second primary',
    needs: ['crash', 'start'],
    strike: (old) => old.crash(),
    undo: (old) => old.start(),
  },
  { name: 'postmaster killed', needs: ['killPostmaster'], strike: (old) => old.killPostmaster() },
  {
    name: 'frozen, and thawed when another is primary',
    needs: ['freeze'],
    strike: (old) => old.freeze(),
    undo: (old) => old.thaw(),
  },
  {
    name: 'cut off (connections reset)',
    needs: ['proxy'],
    proxied: true,
    strike: (_, proxy) => proxy.cut(),
    undo: (_, proxy) => proxy.heal(),
  },
  {
    name: 'cut off (black hole)',
    needs: ['proxy'],
    proxied: true,
    strike: (_, proxy) => proxy.blackhole(),
    undo: (_, proxy) => proxy.heal(),
  },
];

/**
 * When a node commits a write of ours that is not the pool's.
 * @param {any} node
 */
async function acceptsWrites(node) {
  await until(
    `${node.name} accepts writes`,
    async () => !(await endings([node.sql('INSERT INTO probe DEFAULT VALUES')]))[0].error,
    { everyMs: 2 },
  );
  return performance.now();
}

for (const { name, needs, proxied = false, planned = false, strike, undo } of FAULTS) {
  fact(`the primary is ${name}`, { timeout: 120_000 }, async (t) => {
    const own = await ownCluster(t, { nodes: 3 });
    own.needs('promote', 'failover', ...needs);
    own.needsSynchronous();
    const { cluster } = own;
    const old = cluster.primary();
    await old.sql(TABLE);
    await old.sql('CREATE TABLE probe (id int GENERATED ALWAYS AS IDENTITY)');
    const proxies = proxied ? await Promise.all(cluster.nodes.map((node) => node.proxy())) : [];
    const hosts = proxied ? proxies.map(({ address }) => address) : cluster.hosts;
    const pool = poolFor(t, { ...loginOf(cluster), hosts, poolSize: 8, acquireTimeoutMs: 60_000 });
    const load = new Load(pool);
    const more = (/** @type {number} */ count) => {
      const from = load.acknowledged;
      return until(`${count} more writes`, () => load.acknowledged >= from + count);
    };
    await more(300);

    await strike(old, proxies[0]);
    const next = await cluster.mostAdvanced();
    const accepting = acceptsWrites(next);
    const promoting = performance.now();
    await cluster.failover(next);
    const accepted = await accepting;
    await more(300);
    if (undo) {
      await undo(old, proxies[0]);
      await sleep(1_500);
      await more(300);
    }
    await load.stop();

    const present = (await next.sql('SELECT id FROM written')).map(({ id }) => id);
    const result = check(load.history, present);
    const { lost, doubled, denied, torn, strange } = result;
    const first = load.firstAfter(promoting);
    t.diagnostic(
      [
        `${name}: acknowledged ${result.acknowledged}, lost ${lost.length}, doubled ${doubled.length}, failed ${result.failed}, unknown ${result.unknown}`,
        `reads ${load.reads} (${load.readErrors.length} failed), longest pause ${Math.round(load.longestPauseMs())} ms`,
        `first write ${Math.round(first - accepted)} ms after the promoted node accepted one`,
        JSON.stringify(load.errors()),
      ].join(', '),
    );
    assert.deepEqual(
      { lost, doubled, denied, torn, strange, pending: result.pending },
      { lost: [], doubled: [], denied: [], torn: [], strange: [], pending: 0 },
    );
    assert.ok(result.unknown <= load.writers, `${result.unknown} unknown of ${load.writers} in flight`);
    assert.deepEqual(load.readErrors.map(String), [], 'declared reads are run again');
    for (const { fate, error } of load.history.values()) {
      if (fate === 'unknown') assert.equal(error.outcome, 'unknown', error.stack);
      if (fate === 'not-applied')
        assert.ok(error.code === 'ERR_CONNECTION_LOST' || /^(57P0|25006|25P02)/.test(error.code), error.stack);
    }
    if (planned) assert.deepEqual(load.errors(), {});
    const [{ address }] = [next];
    const primary = pool.nodes().find((/** @type {any} */ node) => node.role === 'primary' && node.state === 'up');
    assert.equal(`${primary.host}:${primary.port}`, proxied ? proxies[cluster.nodes.indexOf(next)].address : address);
    // The old one, where it lives, has nothing that was written after the failover.
    await pool.end();
  });
}

fact('three failovers in a row, each old primary coming back as a standby', { timeout: 180_000 }, async (t) => {
  const own = await ownCluster(t, { nodes: 3 });
  own.needs('promote', 'failover', 'crash', 'rejoin');
  own.needsSynchronous();
  const { cluster } = own;
  await cluster.primary().sql(TABLE);
  const pool = own.pool(t, { poolSize: 8, acquireTimeoutMs: 60_000 });
  /** @type {string[]} */
  const told = [];
  pool.on('primary', (/** @type {any} */ { to }) => told.push(to));
  const load = new Load(pool);
  const more = (/** @type {number} */ count) => {
    const from = load.acknowledged;
    return until(`${count} more writes`, () => load.acknowledged >= from + count);
  };
  const primaries = [cluster.primary().address];
  await more(200);
  for (let round = 0; round < 3; round++) {
    const old = cluster.primary();
    await old.crash();
    primaries.push((await cluster.failover()).address);
    await more(200);
    await old.rejoin(cluster.primary());
    await more(200);
  }
  await load.stop();
  const { lost, doubled, denied, torn, ...rest } = check(
    load.history,
    (await cluster.primary().sql('SELECT id FROM written')).map(({ id }) => id),
  );
  t.diagnostic(
    `three crashes: acknowledged ${rest.acknowledged}, lost ${lost.length}, doubled ${doubled.length}, failed ${rest.failed}, unknown ${rest.unknown}, longest pause ${Math.round(load.longestPauseMs())} ms`,
  );
  assert.deepEqual({ lost, doubled, denied, torn }, { lost: [], doubled: [], denied: [], torn: [] });
  assert.ok(rest.unknown <= 3 * load.writers);
  assert.deepEqual(told, primaries);
});
