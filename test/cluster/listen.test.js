'use strict';

// LISTEN and NOTIFY: which notifications arrive, in which order, on how many connections, and what a failover does to them.
// test/chaos/ checks that no notification outside of a reported gap is missed.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const {
  test,
  failureOf,
  inChild,
  isPending,
  ownCluster,
  printedBy,
  sleep,
  until,
  useCluster,
} = require('../support/helpers');

const db = useCluster({ nodes: 2 });

/**
 * Sessions of pools with this application_name whose last statement was LISTEN.
 * @param {string} name
 */
const listeners = async (name) =>
  (
    await db.sql(
      "SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND query ~ 'LISTEN|pg_walfile_name|pg_control_system'",
      [name],
    )
  ).map(({ pid }) => pid);

/** A handler that records what it receives. */
function ear() {
  /** @type {string[]} */
  const heard = [];
  return { heard, handler: (/** @type {string} */ payload) => void heard.push(payload) };
}

describe('listen(): notifications that arrive', () => {
  test('listen(): notifications of others and of the pool itself arrive in the order of the commits', async (t) => {
    const pool = db.pool(t);
    /** @type {any[]} */
    const told = [];
    const { heard, handler } = ear();
    await pool.listen('jobs', handler);
    await pool.listen(
      'jobs',
      (/** @type {string} */ _, /** @type {any} */ notification) => void told.push(notification),
    );
    await pool.notify('jobs', 'one');
    await db.sql("NOTIFY jobs, 'two'");
    await pool.notify('jobs');
    await pool.transaction(async (/** @type {any} */ tx) => {
      await tx.query("SELECT pg_notify('jobs', 'three')");
      await pool.notify('jobs', 'before three');
    });
    await until('all are there', () => heard.length === 5);
    assert.deepEqual(heard, ['one', 'two', '', 'before three', 'three']);
    const { processId, ...first } = told[0];
    assert.deepEqual(first, { channel: 'jobs', payload: 'one', node: db.cluster.hosts[0] });
    assert.equal(typeof processId, 'number');
    assert.equal(told.length, 5, 'every handler hears everything');
  });

  test('listen() and notify() take channel names unchanged', async (t) => {
    const pool = db.pool(t);
    const names = [
      'plain',
      'Upper',
      'with space',
      'quo"te',
      "apo'strophe",
      'back\\slash',
      'ümläut',
      '😀',
      'x'.repeat(63),
    ];
    /** @type {string[]} */
    const heard = [];
    for (const name of names) {
      await pool.listen(name, (/** @type {string} */ payload, /** @type {any} */ { channel }) => {
        assert.equal(payload, `to ${channel}`);
        heard.push(channel);
      });
    }
    for (const name of names) await pool.notify(name, `to ${name}`);
    await until('all are there', () => heard.length === names.length);
    assert.deepEqual(heard, names);
  });

  test('listen(): a payload of up to 7999 bytes arrives', async (t) => {
    const pool = db.pool(t);
    const { heard, handler } = ear();
    await pool.listen('large', handler);
    const payloads = ['x'.repeat(7_999), `${'ü'.repeat(3_999)}y`, 'line\nbreak\t"quoted" \\ \u2028'];
    for (const payload of payloads) await pool.notify('large', payload);
    await until('all are there', () => heard.length === payloads.length);
    assert.deepEqual(heard, payloads);
  });

  test('listen(): of a thousand notifications at once none is lost, and they keep their order', async (t) => {
    const pool = db.pool(t);
    const { heard, handler } = ear();
    await pool.listen('flood', handler);
    await pool.query("SELECT pg_notify('flood', i::text) FROM generate_series(1, 1000) AS i");
    await until('all are there', () => heard.length === 1000);
    assert.deepEqual(
      heard,
      Array.from({ length: 1000 }, (_, i) => String(i + 1)),
    );
  });
});

describe('listen(): connections and handlers', () => {
  test('listen(): all channels share one connection beside the poolSize, which is closed with the last channel', async (t) => {
    const applicationName = `listen ${process.pid}`;
    const pool = db.pool(t, { applicationName, poolSize: 1 });
    await pool.query('SELECT 1');
    const { handler } = ear();
    const subscriptions = [];
    for (const channel of ['a', 'b', 'c']) subscriptions.push(await pool.listen(channel, handler));
    const first = await listeners(applicationName);
    assert.equal(first.length, 1);
    await pool.transaction(() => pool.listen('d', handler));
    assert.deepEqual(await listeners(applicationName), first);
    for (const subscription of subscriptions) await subscription.unlisten();
    assert.deepEqual(await listeners(applicationName), first, 'one channel is left');
    await pool.unlisten();
    await until('it is closed', async () => (await listeners(applicationName)).length === 0);
  });

  test('listen(): each handler is removed by itself', async (t) => {
    const pool = db.pool(t);
    const [one, two, three] = [ear(), ear(), ear()];
    const first = await pool.listen('shared', one.handler);
    await pool.listen('shared', two.handler);
    await pool.listen('shared', three.handler);
    await pool.listen('other', one.handler);
    await pool.notify('shared', '1');
    await until('the first', () => three.heard.length === 1);
    await first.unlisten();
    await first.unlisten();
    await pool.unlisten('shared', three.handler);
    await pool.unlisten('nobody listens here');
    await pool.notify('shared', '2');
    await pool.notify('other', '3');
    await until('the last', () => one.heard.length === 2);
    assert.deepEqual([one.heard, two.heard, three.heard], [['1', '3'], ['1', '2'], ['1']]);
    await pool.unlisten('shared');
    await pool.notify('shared', '4');
    await pool.notify('other', '5');
    await until('the very last', () => one.heard.length === 3);
    assert.deepEqual(two.heard, ['1', '2']);
  });

  test('listen() and unlisten() many times on one channel: the last call counts', async (t) => {
    const pool = db.pool(t);
    const { heard, handler } = ear();
    /** @type {Promise<unknown>[]} */
    const orders = [];
    for (let i = 0; i < 20; i++) orders.push(pool.listen('fro', handler), pool.unlisten('fro'));
    orders.push(pool.listen('fro', handler));
    await Promise.all(orders);
    await pool.notify('fro', 'x');
    await until('it is heard', () => heard.length > 0);
    assert.deepEqual(heard, ['x']);
  });

  test('listen(): a handler that throws or rejects is an error event, and the other handlers are called', async (t) => {
    const pool = db.pool(t);
    const { heard, handler } = ear();
    /** @type {string[]} */
    const errors = [];
    await pool.listen('bad', () => {
      throw new Error('thrown');
    });
    await pool.listen('bad', async () => {
      throw new Error('rejected');
    });
    await pool.listen('bad', handler);
    await pool.notify('bad', 'nobody listens to errors');
    await until('it is heard', () => heard.length === 1);
    pool.on('error', (/** @type {Error} */ { message }) => errors.push(message));
    await pool.notify('bad', 'x');
    await until('both are told', () => errors.length === 2);
    assert.deepEqual(errors, ['thrown', 'rejected']);
  });

  test('listen() is on the primary, whatever the mode of the pool', async (t) => {
    for (const mode of ['standby', 'read-only', 'prefer-standby', 'any', 'primary']) {
      const pool = db.pool(t, { mode });
      const { heard, handler } = ear();
      await pool.listen('modes', handler);
      await db.sql("NOTIFY modes, 'x'");
      await until(`${mode} hears`, () => heard.length === 1);
    }
  });
});

describe('listen(): mistakes', () => {
  test('listen() and notify() refuse wrong arguments by name, and send nothing', async (t) => {
    const pool = db.pool(t);
    const handler = () => {};
    /** @type {[string, () => Promise<unknown>, RegExp][]} */
    const table = [
      ['no channel', () => pool.listen(undefined, handler), /^channel must be a string, not empty$/],
      ['an empty one', () => pool.listen('', handler), /^channel must be a string, not empty$/],
      ['a number', () => pool.listen(5, handler), /^channel must be a string/],
      ['64 bytes', () => pool.listen('x'.repeat(64), handler), /^channel is longer than 63 bytes$/],
      ['64 bytes in 32 letters', () => pool.listen('ü'.repeat(32), handler), /^channel is longer than 63 bytes$/],
      ['NUL', () => pool.listen('a\0b', handler), /^channel contains a NUL character$/],
      ['no handler', () => pool.listen('a'), /^handler must be a function$/],
      ['no function', () => pool.listen('a', 'b'), /^handler must be a function$/],
      ['unlisten 5', () => pool.unlisten(5), /^channel must be a string/],
      ['unlisten, no function', () => pool.unlisten('a', 5), /^handler must be a function$/],
      ['notify nobody', () => pool.notify(''), /^channel must be a string, not empty$/],
      ['an object', () => pool.notify('a', { b: 1 }), /^payload must be a string, not object$/],
      ['8000 bytes', () => pool.notify('a', 'x'.repeat(8_000)), /^payload is longer than 7999 bytes$/],
      ['NUL in it', () => pool.notify('a', 'x\0y'), /^payload contains a NUL character$/],
    ];
    for (const [name, call, message] of table) {
      const error = await failureOf(call());
      assert.equal(error.code, 'ERR_INVALID_PARAM', name);
      assert.match(error.message, message, name);
    }
    assert.equal(pool.status().size, 0, 'not even connected');
  });

  test('listen() fails at once with a wrong password, in time without a server, and on a closed pool', async (t) => {
    const handler = () => {};
    const wrong = db.pool(t, { password: 'wrong' });
    const refused = await failureOf(wrong.listen('a', handler));
    assert.equal(refused.code, '28P01');
    assert.match(refused.stack, /listen\.test\.js/);
    const nowhere = db.pool(t, { hosts: ['127.0.0.1:1'], acquireTimeoutMs: 100 });
    const error = await failureOf(nowhere.listen('a', handler));
    assert.equal(error.code, 'ERR_NO_PRIMARY');
    assert.equal(error.nodes.length, 1);
    const pool = db.pool(t);
    const { heard, handler: hears } = ear();
    const subscription = await pool.listen('a', hears);
    await pool.end();
    for (const late of [pool.listen('a', handler), pool.notify('a')]) {
      assert.equal((await failureOf(late)).code, 'ERR_POOL_CLOSED');
    }
    await subscription.unlisten();
    await pool.unlisten();
    assert.deepEqual(heard, []);
  });

  test('listen() that waits for a primary fails when the pool ends', async (t) => {
    const pool = db.pool(t, { hosts: ['127.0.0.1:1'], acquireTimeoutMs: 60_000 });
    const waiting = failureOf(pool.listen('a', () => {}));
    await sleep(50);
    await pool.end();
    assert.equal((await waiting).code, 'ERR_POOL_CLOSED');
  });
});

describe('listen() and the process', () => {
  test('listen(): the process lives while a handler is there, and no longer', async () => {
    const { code, signal } = await inChild(db, "await createPool(options).listen('a', () => {});", { killMs: 1_500 });
    assert.deepEqual([code, signal], [null, 'SIGKILL'], 'it would have gone on');
    const lines = await printedBy(
      db,
      `const pool = createPool(options);
      const subscription = await pool.listen('alive', async (payload) => { print(payload); await subscription.unlisten(); });
      await pool.notify('alive', 'heard');`,
    );
    assert.deepEqual(lines, ['heard']);
  });

  test('listen(): a pool that only its handlers refer to is not collected', async () => {
    const lines = await printedBy(
      db,
      `const { promise, resolve } = (() => { let resolve; return { promise: new Promise((r) => { resolve = r; }), resolve }; })();
      await (async () => { await createPool(options).listen('kept', resolve); })();
      for (let i = 0; i < 20; i++) { global.gc(); await new Promise((r) => setTimeout(r, 10)); }
      await createPool(options).notify('kept', 'still there');
      print(await promise);
      process.exit();`,
      { flags: ['--expose-gc'] },
    );
    assert.deepEqual(lines, ['still there']);
  });
});

describe('listen() when its session ends', () => {
  test('listen(): after its session ended a new one listens, and the gap event comes', async (t) => {
    const applicationName = `gap ${process.pid}`;
    const pool = db.pool(t, { applicationName });
    const [a, b] = [ear(), ear()];
    await pool.listen('a', a.handler);
    await pool.listen('b', b.handler);
    /** @type {any[]} */
    const gaps = [];
    pool.on('gap', (/** @type {any} */ gap) => gaps.push(gap));
    await pool.notify('a', 'before');
    await until('it is heard', () => a.heard.length === 1);
    const [pid] = await listeners(applicationName);
    const before = Date.now();
    await db.sql('SELECT pg_terminate_backend($1)', [pid]);
    await until('the gap is told', () => gaps.length > 0);
    const [{ since, until: over, ...gap }] = gaps;
    const [node] = db.cluster.hosts;
    assert.deepEqual(gap, {
      channels: ['a', 'b'],
      from: node,
      to: node,
      reason: 'terminating connection due to administrator command (57P01)',
    });
    assert.ok(since instanceof Date && over instanceof Date);
    assert.ok(since.getTime() <= Date.now() && over.getTime() >= before && since <= over, `${since} ${over}`);
    await pool.notify('b', 'after');
    await until('it is heard', () => b.heard.length === 1);
    assert.equal(gaps.length, 1);
  });

  test('listen() after a failover waits for the new primary, keeps the channels in use, and drops the others', async (t) => {
    const own = await ownCluster(t, { nodes: 2, synchronous: false });
    own.needs('crash', 'promote', 'failover');
    const pool = own.pool(t, { acquireTimeoutMs: 60_000 });
    const [kept, dropped, late] = [ear(), ear(), ear()];
    await pool.listen('kept', kept.handler);
    const unwanted = await pool.listen('dropped', dropped.handler);
    /** @type {any[]} */
    const gaps = [];
    pool.on('gap', (/** @type {any} */ gap) => gaps.push(gap));
    const old = own.cluster.primary();
    const struck = Date.now();
    await old.crash();
    await until('it is seen', () => pool.nodes()[0].state === 'down');
    await unwanted.unlisten();
    const listening = pool.listen('late', late.handler);
    assert.ok(await isPending(listening), 'there is no primary');
    const next = await own.cluster.failover();
    await listening;
    await until('the gap is told', () => gaps.length > 0);
    assert.deepEqual(gaps[0].channels, ['kept'], 'what was not heard before has no gap');
    assert.deepEqual([gaps[0].from, gaps[0].to], [old.address, next.address]);
    assert.ok(gaps[0].since.getTime() <= struck + 100 && gaps[0].until.getTime() >= struck);
    for (const channel of ['dropped', 'kept', 'late']) await pool.notify(channel, 'x');
    await until('both are heard', () => kept.heard.length === 1 && late.heard.length === 1);
    assert.deepEqual(dropped.heard, []);
  });

  test('listen() leaves a primary that was deposed and still runs', async (t) => {
    const own = await ownCluster(t, { nodes: 2, synchronous: false });
    own.needs('promote');
    const pool = own.pool(t);
    const { heard, handler } = ear();
    await pool.listen('a', handler);
    /** @type {any[]} */
    const gaps = [];
    pool.on('gap', (/** @type {any} */ gap) => gaps.push(gap));
    const [old, next] = own.cluster.nodes;
    await next.promote();
    await until('it listens on the new one', () => gaps.length > 0);
    assert.equal(gaps[0].to, next.address);
    await next.sql("NOTIFY a, 'from the new one'");
    await old.sql("NOTIFY a, 'from the old one'");
    await until('it is heard', () => heard.length > 0);
    assert.deepEqual(heard, ['from the new one']);
  });

  test('listen(): a silent session is given up, and one whose notifications are rare is not', async (t) => {
    const applicationName = `silent ${process.pid}`;
    const pool = db.pool(t, { applicationName, monitor: { intervalMs: 50, nodeTimeoutMs: 300 } });
    const { heard, handler } = ear();
    await pool.listen('silent', handler);
    /** @type {any[]} */
    const gaps = [];
    pool.on('gap', (/** @type {any} */ gap) => gaps.push(gap));
    const pids = await listeners(applicationName);
    await sleep(700);
    assert.deepEqual([gaps, await listeners(applicationName)], [[], pids]);
    db.needs('freeze');
    process.kill(pids[0], 'SIGSTOP');
    try {
      await until('it is replaced', () => gaps.length > 0);
    } finally {
      process.kill(pids[0], 'SIGCONT');
    }
    assert.equal(gaps[0].reason, 'no answer within 300 ms');
    await pool.notify('silent', 'x');
    await until('it is heard', () => heard.length === 1);
  });
});
