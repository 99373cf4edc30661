'use strict';

// ServerlessClient while its server fails: what is retried, what its hooks are told, and that nothing ends the process. An unhandled
// rejection or an uncaught exception fails the test in which it comes up.

const assert = require('node:assert/strict');
const { before, describe } = require('node:test');
const { TcpProxy } = require('../../exports/testing/cluster/proxy.js');
const { freePort } = require('../../exports/testing/cluster/ports.js');
const { endings, failureOf, ownCluster, sleep, test, until, useCluster } = require('../support/helpers.js');
const { clientFor, notingHooks } = require('./clients.js');

/** No attempt waits for long, and many are made. */
const PATIENT = { acquireTimeoutMs: 100, retries: 1_000, minBackoff: 10, maxBackoff: 50 };

describe('a server that is away', () => {
  const db = useCluster({ nodes: 1, synchronous: false });

  test('faults: a server that refuses is tried again, until it answers', async (t) => {
    const { hooks, toldTo } = notingHooks();
    const proxy = await TcpProxy.open(db.cluster.primary());
    t.after(() => proxy.close());
    await proxy.cut();
    const client = clientFor(t, db, { hosts: proxy.address, ...PATIENT, hooks });
    const running = [
      client.query('SELECT 1 AS one'),
      client.transaction(async (tx) => tx.query('SELECT 1 AS one')),
      client.connect(),
    ];
    await until('each was told', () => toldTo('onReconnect').length >= 3);
    await proxy.heal();
    const [query, transaction] = await Promise.all(running);
    assert.deepEqual([query?.rows, [...transaction]], [[{ one: 1 }], [{ one: 1 }]]);
    const [{ retries, delay, err }] = toldTo('onReconnect');
    assert.deepEqual([retries, err.code], [1, 'ERR_NO_PRIMARY']);
    assert.ok(delay >= 10 && delay <= 50);
    assert.deepEqual(toldTo('onQueryRetry'), []);
  });

  test('faults: a server that stays away is an error when maxConnectRetryTimeMs has passed', async (t) => {
    const { hooks, toldTo } = notingHooks();
    const hosts = `127.0.0.1:${await freePort()}`;
    const client = clientFor(t, db, { hosts, ...PATIENT, maxConnectRetryTimeMs: 300, maxQueryRetryTimeMs: 0, hooks });
    const began = performance.now();
    for (const call of [
      () => client.query('SELECT 1'),
      () => client.connect(),
      () => client.transaction(async () => {}),
    ]) {
      const error = await failureOf(call());
      assert.deepEqual([error.code, error.nodes.length], ['ERR_NO_PRIMARY', 1]);
    }
    assert.ok(performance.now() - began >= 900);
    assert.ok(toldTo('onReconnect').length >= 3);
    assert.equal(toldTo('onQueryError').length, 1);
  });

  test('faults: a server that has no connection left (53300) is tried again, until it has one', async (t) => {
    const { user, password } = db.cluster.app;
    const holder = clientFor(t, db, { user, password });
    await holder.connect();
    await db.sql(`ALTER ROLE ${user} CONNECTION LIMIT 1`);
    t.after(() => db.sql(`ALTER ROLE ${user} CONNECTION LIMIT -1`));
    const { hooks, toldTo } = notingHooks();
    const client = clientFor(t, db, { user, password, ...PATIENT, hooks });
    const running = client.query('SELECT 1 AS one');
    await until('it was refused', () => toldTo('onReconnect').length >= 2);
    assert.match(toldTo('onReconnect')[0].err.nodes[0].reason, /53300/);
    await holder.end();
    assert.deepEqual((await running).rows, [{ one: 1 }]);
  });

  test('faults: a session that is ended by an administrator is told to onClientDead, and the next query has another', async (t) => {
    const { hooks, toldTo } = notingHooks();
    const client = clientFor(t, db, { hooks });
    const { rows } = await client.query('SELECT pg_backend_pid() AS pid');
    // What is under way on the session (a heartbeat) would have the reason for itself.
    await until('the session is at rest', async () => {
      const atRest = "state = 'idle' AND clock_timestamp() - state_change > interval '100 ms'";
      return (await db.sql(`SELECT FROM pg_stat_activity WHERE pid = $1 AND ${atRest}`, [rows[0].pid])).length === 1;
    });
    await db.sql('SELECT pg_terminate_backend($1)', [rows[0].pid]);
    await until('the hook is called', () => toldTo('onClientDead').length > 0);
    const [{ source, err, meta }] = toldTo('onClientDead');
    assert.deepEqual([source, meta], ['error', { sqlstate: '57P01' }]);
    assert.match(err.message, /administrator/);
    const again = await client.query('SELECT pg_backend_pid() AS pid');
    assert.notEqual(again.rows[0].pid, rows[0].pid);
    assert.equal(toldTo('onConnect').length, 2);
    assert.deepEqual(toldTo('onQueryError'), []);
  });

  test('faults: a session that the client itself closes is not told to onClientDead', async (t) => {
    const { hooks, toldTo } = notingHooks();
    const client = clientFor(t, db, { hooks });
    await client.query('SELECT 1');
    await client.end();
    await sleep(50);
    assert.deepEqual(toldTo('onClientDead'), []);
  });

  test('faults: a password function that throws is the error of the call, and no error event ends the process', async (t) => {
    const mine = new Error('no token');
    const password = () => {
      throw mine;
    };
    const client = clientFor(t, db, { password, acquireTimeoutMs: 200, retries: 1 });
    const error = await failureOf(client.query('SELECT 1'));
    assert.equal(error.cause, mine);
  });
});

describe('a server that is killed (kill -9)', () => {
  const db = useCluster({ nodes: 1, synchronous: false });
  before(async () => {
    await db.started;
    await db.sql('CREATE TABLE written (id int)');
  });

  /** Short, because the server does not come back. */
  const options = { acquireTimeoutMs: 100, retries: 1 };

  /** What a client does when its server is killed, and what becomes of that. @type {Record<string, (client: any, kill: () => Promise<void>) => Promise<void>>} */
  const STATES = {
    'before connect': async (client, kill) => {
      await kill();
      assert.equal((await failureOf(client.connect())).code, 'ERR_NO_PRIMARY');
    },
    'while it connects': async (client, kill) => {
      const [[{ error }]] = await Promise.all([endings([client.connect()]), kill()]);
      if (error !== undefined) assert.equal(error.code, 'ERR_NO_PRIMARY');
    },
    'while it is idle': async (client, kill) => {
      await client.connect();
      await kill();
    },
    'in a query': async (client, kill) => {
      await client.connect();
      const running = failureOf(client.query('INSERT INTO written SELECT 1 FROM pg_sleep(60)'));
      await until('it runs', async () => {
        const [{ n }] = await db.sql(
          "SELECT count(*)::int AS n FROM pg_stat_activity WHERE query LIKE 'INSERT%' AND state = 'active'",
        );
        return n === 1;
      });
      await kill();
      assert.equal((await running).outcome, 'unknown');
    },
    'in a transaction': async (client, kill) => {
      const running = client.transaction(async (/** @type {any} */ tx) => {
        await tx.query('INSERT INTO written VALUES (1)');
        await kill();
        await tx.query('INSERT INTO written VALUES (2)');
      });
      assert.equal((await failureOf(running)).outcome, 'not-applied');
    },
    'in the pause before a retry': async (client, kill) => {
      await kill();
      const running = failureOf(client.query('SELECT 1'));
      await sleep(50);
      assert.equal((await running).code, 'ERR_NO_PRIMARY');
    },
    'after its end': async (client, kill) => {
      await client.connect();
      await client.end();
      await kill();
      assert.equal((await failureOf(client.query('SELECT 1'))).code, 'ERR_POOL_CLOSED');
    },
  };

  for (const [state, run] of Object.entries(STATES)) {
    test(`faults: a server that is killed ${state} ends nothing but the call`, async (t) => {
      db.needs('crash');
      const node = db.cluster.primary();
      const { hooks, names } = notingHooks();
      assert.ok(names.length > 0);
      const client = clientFor(t, db, { ...options, hooks });
      try {
        await run(client, () => node.crash());
        if (state !== 'after its end') await endings([client.query('SELECT 1')]);
      } finally {
        if (!node.running) await node.start();
      }
      if (state === 'after its end') return;
      const patient = clientFor(t, db, PATIENT);
      assert.deepEqual((await patient.query('SELECT 1 AS one')).rows, [{ one: 1 }]);
      await until(
        'the client is well again',
        async () => (await endings([client.query('SELECT 1')]))[0].error === undefined,
      );
    });
  }
});

test('faults: a failover of the cluster is lived through, with the next primary', async (t) => {
  const db = await ownCluster(t, { nodes: 2, synchronous: false });
  const [old, next] = db.cluster.nodes;
  const client = clientFor(t, db, PATIENT);
  await client.query('CREATE TABLE kept (id int)');
  await old.crash();
  const running = client.query('SELECT inet_server_port() AS port');
  await db.cluster.failover(next);
  assert.equal((await running).rows[0].port, next.port);
  await client.query('INSERT INTO kept VALUES (1)');
});
