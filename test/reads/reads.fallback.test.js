'use strict';

// Where reads go when nodes are gone: standbys that crash, freeze, refuse the login, come back; no standby; no primary; nobody.

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
  until,
  useCluster,
} = require('../support/helpers');
const { TOLERANCE, nodeIn, readMany, sessionsOn, untilFit } = require('../support/reads');

const db = useCluster({ nodes: 3 });

/** So that a frozen node is noticed soon; the time itself is not asserted. */
const MONITOR = { intervalMs: 100, nodeTimeoutMs: 600 };

/** Longer than any test may take: what is answered has not waited for it. */
const NEVER_MS = 600_000;

/** @param {any} error */
const reasonsOf = (error) => error.nodes.map((/** @type {any} */ { reason }) => reason);

/** Checks that an error came no earlier than its message says it may. @param {any} error @param {number} leastMs */
function assertWaited(error, leastMs) {
  const [, waitedMs] = /after (\d+) ms$/.exec(error.message) ?? [];
  assert.ok(Number(waitedMs) >= leastMs, error.message);
}

describe('no standby', () => {
  test("fallback 'primary': reads go to the primary while no standby is up, and back to the standbys", async (t) => {
    const own = await ownCluster(t, { nodes: 3, synchronous: false });
    own.needs('stop', 'start');
    const [primary, ...standbys] = own.cluster.nodes;
    const pool = own.pool(t, { monitor: MONITOR, acquireTimeoutMs: NEVER_MS });
    await untilFit(pool, standbys);
    await readMany(pool, 100);
    for (const standby of standbys) await standby.stop();
    const without = await readMany(pool, 300);
    assert.deepEqual(without.failures, []);
    assert.equal(without.of(primary.address), 300);
    for (const standby of standbys) await standby.start();
    await untilFit(pool, standbys);
    const again = await readMany(pool, 300);
    assert.deepEqual(again.failures, []);
    assert.equal(again.of(primary.address), 0);
  });

  test("fallback 'none': NoStandbyError after acquireTimeoutMs, with a reason for each node", async (t) => {
    const own = await ownCluster(t, { nodes: 2, synchronous: false });
    own.needs('stop');
    const [primary, standby] = own.cluster.nodes;
    await standby.stop();
    const pool = own.pool(t, { reads: { fallback: 'none' }, acquireTimeoutMs: 400 });
    await pool.query('SELECT 1');
    const error = await failureOf(pool.read('SELECT 1'));
    assert.deepEqual(
      [error.name, error.code, error.outcome, error.retryable],
      ['NoStandbyError', 'ERR_NO_STANDBY', 'not-applied', true],
    );
    assertWaited(error, 400);
    assert.deepEqual(
      error.nodes.map((/** @type {any} */ { host, port }) => `${host}:${port}`),
      [primary.address, standby.address],
    );
    assert.match(reasonsOf(error)[0], /primary/);
    assert.match(reasonsOf(error)[1], /refused/i);
    const stream = async () => {
      for await (const _ of pool.read.stream('SELECT 1'));
    };
    assert.equal((await failureOf(stream())).code, 'ERR_NO_STANDBY');
  });

  test("fallback of a call overrides the pool's", async (t) => {
    const primary = db.cluster.primary();
    const hosts = [primary.address];
    const with_ = db.pool(t, { hosts, acquireTimeoutMs: 300 });
    assert.equal((await failureOf(with_.read('SELECT 1', [], { fallback: 'none' }))).code, 'ERR_NO_STANDBY');
    assert.equal((await with_.read('SELECT 1')).node, primary.address);
    const without = db.pool(t, { hosts, acquireTimeoutMs: 300, reads: { fallback: 'none' } });
    assert.equal((await without.read('SELECT 1', [], { fallback: 'primary' })).node, primary.address);
    assert.equal((await failureOf(without.read('SELECT 1'))).code, 'ERR_NO_STANDBY');
  });

  test("timeoutMs and signal end the wait for a standby of fallback 'none'", async (t) => {
    const hosts = [db.cluster.primary().address];
    const pool = db.pool(t, { hosts, acquireTimeoutMs: NEVER_MS, reads: { fallback: 'none' } });
    const timedOut = await failureOf(pool.read('SELECT 1', [], { timeoutMs: 100 }));
    assert.deepEqual([timedOut.code, timedOut.outcome], ['57014', 'not-applied']);
    const aborted = await failureOf(pool.read('SELECT 1', [], { signal: AbortSignal.timeout(50) }));
    assert.deepEqual([aborted.name, aborted.outcome], ['AbortError', 'not-applied']);
  });

  test("fallback 'none' under load: while the only standby crashes and comes back, the primary gets no session and no read", async (t) => {
    const own = await ownCluster(t, { nodes: 2, synchronous: false });
    own.needs('crash', 'start');
    const [primary, standby] = own.cluster.nodes;
    const applicationName = named('strict');
    const pool = own.pool(t, {
      applicationName,
      monitor: MONITOR,
      acquireTimeoutMs: NEVER_MS,
      reads: { fallback: 'none', slowStartMs: 0 },
    });
    await untilFit(pool, [standby]);
    for (const _ of range(3)) {
      let over = false;
      const reads = readMany(pool, Infinity, { sql: 'SELECT pg_sleep(0.001)', until: () => over });
      await standby.crash();
      await standby.start();
      await untilFit(pool, [standby]);
      over = true;
      const { failures, of } = await reads;
      assert.deepEqual([failures, of(primary.address)], [[], 0]);
      assert.deepEqual(await sessionsOn(primary, applicationName), []);
    }
  });

  test("a read of fallback 'none' that waits is answered by the standby that comes back", async (t) => {
    const own = await ownCluster(t, { nodes: 2, synchronous: false });
    own.needs('stop', 'start');
    const [, standby] = own.cluster.nodes;
    const pool = own.pool(t, { reads: { fallback: 'none' }, acquireTimeoutMs: NEVER_MS });
    await pool.read('SELECT 1');
    await standby.stop();
    const waiting = range(20).map(() => pool.read('SELECT 1'));
    assert.ok(await isPending(Promise.race(waiting)));
    await standby.start();
    for (const { node } of await Promise.all(waiting)) assert.equal(node, standby.address);
  });
});

describe('no primary', () => {
  test('while the primary is gone, reads go on at the standbys and none fails', async (t) => {
    const own = await ownCluster(t, { nodes: 3 });
    own.needs('crash');
    const [primary, ...standbys] = own.cluster.nodes;
    const pool = own.pool(t, { acquireTimeoutMs: 500, monitor: MONITOR });
    await untilFit(pool, standbys);
    let crashed = false;
    const crash = primary.crash().then(() => {
      crashed = true;
    });
    const during = await readMany(pool, Infinity, { until: () => crashed });
    await crash;
    const after = await readMany(pool, 1_000);
    for (const { failures, of } of [during, after]) {
      assert.deepEqual(failures, []);
      assert.equal(of(primary.address), 0);
    }
    assert.equal((await failureOf(pool.query('SELECT 1'))).code, 'ERR_NO_PRIMARY');
    const fresh = own.pool(t, { acquireTimeoutMs: 5_000 });
    const first = await readMany(fresh, 100);
    assert.deepEqual(first.failures, [], 'a pool that never saw the primary reads, too');
  });

  test('the only node restarts under reads: they wait for it, and none fails', async (t) => {
    const own = await ownCluster(t, { nodes: 1 });
    own.needs('crash', 'start');
    const [node] = own.cluster.nodes;
    const pool = own.pool(t, { monitor: MONITOR, acquireTimeoutMs: NEVER_MS });
    for (const _ of range(3)) {
      let over = false;
      const reads = readMany(pool, Infinity, { sql: 'SELECT pg_sleep(0.001)', until: () => over });
      await until('reads are answered', async () => (await readMany(pool, 20)).total === 20);
      await node.crash();
      await node.start();
      await until('reads are answered again', async () => (await readMany(pool, 20)).total === 20);
      over = true;
      assert.deepEqual((await reads).failures, []);
    }
  });

  test('neither standby nor primary: an error after acquireTimeoutMs with all reasons; with a node reads go on', async (t) => {
    const own = await ownCluster(t, { nodes: 2, synchronous: false });
    own.needs('crash', 'start');
    const pool = own.pool(t, { acquireTimeoutMs: 400, monitor: MONITOR });
    await pool.read('SELECT 1');
    for (const node of own.cluster.nodes) await node.crash();
    const ended = await endings([pool.read('SELECT 1'), pool.read('SELECT 2', [], { fallback: 'none' })]);
    assert.deepEqual(
      ended.map(({ error }) => [error?.code, error?.outcome]),
      [
        ['ERR_NO_PRIMARY', 'not-applied'],
        ['ERR_NO_STANDBY', 'not-applied'],
      ],
    );
    for (const { error } of ended) {
      assertWaited(error, 400);
      for (const reason of reasonsOf(error)) assert.match(reason, /refused/i);
    }
    const patient = own.pool(t, { acquireTimeoutMs: NEVER_MS, monitor: MONITOR });
    const waiting = patient.read('SELECT 1');
    assert.ok(await isPending(waiting));
    await own.cluster.nodes[1].start();
    assert.equal((await waiting).node, own.cluster.nodes[1].address);
  });
});

describe('a standby that fails', () => {
  for (const balance of ['round-robin', 'least-connections']) {
    test(`${balance}: a standby crashes under reads: none fails, it gets none, and gets its share again later`, {
      timeout: 300_000,
    }, async (t) => {
      const own = await ownCluster(t, { nodes: 4, synchronous: false });
      own.needs('crash', 'start');
      const [primary, victim, ...others] = own.cluster.nodes;
      const pool = own.pool(t, { monitor: MONITOR, reads: { balance, slowStartMs: 1_000 } });
      await untilFit(pool, own.cluster.standbys());
      const count = process.env.HYPERION_FULL ? 100_000 : 8_000;
      let ended = 0;
      const reads = readMany(pool, count, { onAnswer: () => ended++ });
      await until('a quarter has been read', () => ended > count / 4, { everyMs: 1 });
      assert.ok(ended < count, 'the crash comes while reads are on their way');
      await victim.crash();
      const { failures, total, of } = await reads;
      assert.deepEqual(failures, []);
      assert.equal(total, count);
      assert.equal(of(primary.address), 0);
      await until('it is known to be down', () => nodeIn(pool, victim).state === 'down');
      const without = await readMany(pool, 2_000);
      assert.deepEqual(without.failures, []);
      assert.equal(without.of(victim.address), 0);
      assert.equal(nodeIn(pool, victim).fit, false);

      await victim.start();
      await untilFit(pool, own.cluster.standbys());
      const shareOf = async () => {
        const {
          of: answeredBy,
          total: all,
          failures: failed,
        } = await readMany(pool, 1_200, { sql: 'SELECT pg_sleep(0.001)' });
        assert.deepEqual(failed, []);
        assert.equal(
          others.reduce((sum, { address }) => sum + answeredBy(address), answeredBy(victim.address)),
          all,
        );
        return answeredBy(victim.address) / all;
      };
      await until('it has its share again', async () => Math.abs((await shareOf()) * 3 - 1) <= TOLERANCE);
    });
  }

  test('a standby that has come back gets its share gradually, over slowStartMs', async (t) => {
    const own = await ownCluster(t, { nodes: 3, synchronous: false });
    own.needs('crash', 'start');
    const [, victim] = own.cluster.nodes;
    const pool = own.pool(t, { monitor: MONITOR, reads: { balance: 'round-robin', slowStartMs: NEVER_MS } });
    await untilFit(pool, own.cluster.standbys());
    await readMany(pool, 100);
    await victim.crash();
    await readMany(pool, 100);
    await victim.start();
    await untilFit(pool, own.cluster.standbys());
    await until('it answers again', async () => (await readMany(pool, 20)).of(victim.address) > 0);
    const { of, total } = await readMany(pool, 2_000);
    assert.ok(of(victim.address) > 0, 'it gets some');
    assert.ok(of(victim.address) < total / 4, `${of(victim.address)} of ${total}: it has its whole share at once`);
  });

  test('a standby freezes under reads: they are answered elsewhere, later reads do not go there, and it comes back', async (t) => {
    const own = await ownCluster(t, { nodes: 3, synchronous: false });
    own.needs('freeze');
    const [, frozen, other] = own.cluster.nodes;
    const pool = own.pool(t, { monitor: MONITOR, acquireTimeoutMs: NEVER_MS, reads: { balance: 'round-robin' } });
    await untilFit(pool, own.cluster.standbys());
    await Promise.all(range(20).map(() => pool.read('SELECT pg_sleep(0.01)')));
    await frozen.freeze();
    t.after(() => frozen.thaw());
    const caught = await readMany(pool, 40, { clients: 40 });
    assert.deepEqual(caught.failures, []);
    assert.equal(caught.of(frozen.address), 0, 'what is frozen answers nothing');
    assert.equal(caught.of(other.address), 40);
    assert.equal(nodeIn(pool, frozen).state, 'down', 'they were waiting for it until it was known to be down');
    // Sent one after the other, each would wait for nodeTimeoutMs if it went there.
    const later = await readMany(pool, 1_000);
    assert.deepEqual([later.failures, later.of(other.address)], [[], 1_000]);
    await frozen.thaw();
    await until('it answers again', async () => (await readMany(pool, 20)).of(frozen.address) > 0);
  });

  test('a frozen standby at which no read was: no read waits for connectTimeoutMs', async (t) => {
    const own = await ownCluster(t, { nodes: 3, synchronous: false });
    own.needs('freeze');
    const [, frozen, other] = own.cluster.nodes;
    await frozen.freeze();
    t.after(() => frozen.thaw());
    const pool = own.pool(t, { monitor: MONITOR, connectTimeoutMs: 50_000, acquireTimeoutMs: NEVER_MS });
    const { failures, of } = await readMany(pool, 100);
    assert.deepEqual([failures, of(other.address)], [[], 100]);
  });

  test('sessions that are terminated under their reads: the reads run again, and none fails', async (t) => {
    const applicationName = named('terminated');
    const pool = db.pool(t, { applicationName });
    const standbys = db.cluster.standbys();
    await untilFit(pool, standbys);
    let over = false;
    const reads = readMany(pool, Infinity, { sql: 'SELECT pg_sleep(0.01)', until: () => over });
    let terminated = 0;
    while (terminated < 40) {
      for (const node of standbys) {
        const sql = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND state = 'active' LIMIT 2`;
        terminated += (await node.sql(sql, [applicationName])).length;
      }
      await sleep(20);
    }
    over = true;
    assert.deepEqual((await reads).failures, []);
  });

  test('a stream whose standby is lost: before its first row it goes elsewhere, after it the reader gets the error', async (t) => {
    const applicationName = named('stream');
    const pool = db.pool(t, { applicationName, reads: { balance: 'round-robin' } });
    await untilFit(pool, db.cluster.standbys());
    const terminate = (/** @type {string} */ text) =>
      until('its session is terminated', async () => {
        for (const node of db.cluster.standbys()) {
          const sessions = await sessionsOn(node, applicationName);
          const running = sessions.find(({ state, query }) => state === 'active' && query.includes(text));
          if (running !== undefined) return node.sql('SELECT pg_terminate_backend($1)', [running.pid]);
        }
        return null;
      });
    // The first row comes after half a second, or when the other standby is asked.
    const sql = 'SELECT pg_sleep(0.5)::text || pg_backend_pid() AS pid, 1 AS n';
    const quiet = pool.read.stream(sql);
    const first = quiet.next();
    await terminate('pg_sleep');
    assert.equal((await first).value.n, 1);
    await quiet.return();

    const stream = pool.read.stream('SELECT generate_series(1, 1000000000) AS n');
    assert.equal((await stream.next()).value.n, 1);
    await terminate('generate_series');
    const error = await failureOf(
      (async () => {
        for await (const _ of stream);
      })(),
    );
    // What the server said last may have been lost with the connection.
    assert.ok(['57P01', 'ERR_CONNECTION_LOST'].includes(error.code), error.code);
    assert.equal(error.outcome, 'not-applied');
  });

  test('without a monitor, too: a standby is stopped, no read fails, and it is used again later', async (t) => {
    const own = await ownCluster(t, { nodes: 3, synchronous: false });
    own.needs('stop', 'start');
    const [primary, victim, other] = own.cluster.nodes;
    const pool = own.pool(t, { monitor: false, reads: { balance: 'round-robin', slowStartMs: 0 } });
    await until('both standbys answer', async () => {
      const { of } = await readMany(pool, 20);
      return of(victim.address) > 0 && of(other.address) > 0;
    });
    await victim.stop();
    const without = await readMany(pool, 500);
    assert.deepEqual([without.failures, without.of(primary.address)], [[], 0]);
    await victim.start();
    await until('it answers again', async () => (await readMany(pool, 20)).of(victim.address) > 0);
  });

  test('without a monitor, too: a standby that answers late when the pool begins is used later', async (t) => {
    const [first, late] = db.cluster.standbys();
    const proxy = await late.proxy();
    t.after(() => proxy.close());
    proxy.latency(300);
    const hosts = [db.cluster.primary().address, first.address, proxy.address];
    const pool = db.pool(t, { hosts, monitor: false, connectTimeoutMs: 20_000, reads: { balance: 'round-robin' } });
    const { failures, of } = await readMany(pool, 20);
    assert.deepEqual([failures, of(first.address)], [[], 20], 'nobody waits for it');
    proxy.latency(0);
    await until('it answers', async () => (await readMany(pool, 20)).of(proxy.address) > 0, { timeoutMs: 20_000 });
  });
});

describe('logins that are refused', () => {
  test('a standby that refuses the login by pg_hba.conf: reads go to the other one', async (t) => {
    const own = await ownCluster(t, { nodes: 3, synchronous: false });
    own.needs('entrance');
    const [, closed, open] = own.cluster.nodes;
    const app = /** @type {any} */ (own.cluster.app);
    await closed.entrance({ hba: [`host all ${app.user} 127.0.0.1/32 reject`] });
    const pool = own.pool(t, { ...app, acquireTimeoutMs: NEVER_MS, reads: { balance: 'round-robin' } });
    const { failures, of } = await readMany(pool, 200);
    assert.deepEqual(failures, []);
    assert.equal(of(closed.address), 0);
    await until('the pool says why', () => /pg_hba/.test(nodeIn(pool, closed).reason ?? ''));
    assert.ok(of(open.address) > 0);
  });

  test('all standbys refuse the login: the primary answers; with fallback none the error has their reasons', async (t) => {
    const own = await ownCluster(t, { nodes: 3, synchronous: false });
    own.needs('entrance');
    const [primary, ...standbys] = own.cluster.nodes;
    const app = /** @type {any} */ (own.cluster.app);
    for (const node of standbys) await node.entrance({ hba: [`host all ${app.user} 127.0.0.1/32 reject`] });
    const pool = own.pool(t, { ...app, acquireTimeoutMs: NEVER_MS });
    const { failures, of } = await readMany(pool, 100);
    assert.deepEqual([failures, of(primary.address)], [[], 100]);
    const strict = own.pool(t, { ...app, acquireTimeoutMs: 400, reads: { fallback: 'none' } });
    const error = await failureOf(strict.read('SELECT 1'));
    assert.equal(error.outcome, 'not-applied');
    const texts = error.nodes === undefined ? [error.message] : reasonsOf(error).slice(1);
    for (const text of texts) assert.match(text, /pg_hba/);
  });

  test('all nodes refuse the password: 28P01, without waiting for acquireTimeoutMs', async (t) => {
    for (const reads of [{}, { fallback: 'none' }]) {
      const pool = db.pool(t, { password: 'wrong', acquireTimeoutMs: NEVER_MS, reads });
      const ended = await endings([pool.read('SELECT 1'), pool.read.value('SELECT 1'), pool.read('SELECT 2')]);
      assert.deepEqual(
        ended.map(({ error }) => [error?.code, error?.outcome]),
        Array(3).fill(['28P01', 'not-applied']),
        JSON.stringify(reads),
      );
    }
  });

  test('an unknown database: 3D000, without waiting for acquireTimeoutMs', async (t) => {
    const pool = db.pool(t, { database: 'nowhere', acquireTimeoutMs: NEVER_MS });
    assert.equal((await failureOf(pool.read('SELECT 1'))).code, '3D000');
  });
});
