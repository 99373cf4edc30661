'use strict';

// Queries of a pool that are sent behind others (exports/pg/pipelines.js), where something goes wrong or gets slow meanwhile.

const assert = require('node:assert/strict');
const { Pool } = require('../../exports/pg/index.js');
const { QUICK, warm } = require('./pipelines.support.js');
const { failureOf, isPending, loginOf, range, test, until, useCluster } = require('../support/helpers.js');

const db = useCluster({ nodes: 1 });

const IN_FLIGHT = 64;
const ROUNDS = process.env.HYPERION_FULL === '1' ? Number(process.env.HYPERION_ROUNDS ?? 20) : 3;

/** @param {import('node:test').TestContext} t @param {object} [options] @returns {any} */
function poolOf(t, options) {
  const { hosts, ...login } = loginOf(db.cluster);
  const pool = /** @type {any} */ (
    new Pool(/** @type {any} */ ({ ...login, host: hosts.join(','), max: 2, ...options }))
  );
  t.after(() => (pool.ending ? undefined : pool.end()));
  return pool;
}

/** A pool that knows that texts are quick. @param {import('node:test').TestContext} t @param {object} [options] */
async function warmPool(t, options) {
  const pool = poolOf(t, options);
  // A pool with maxUses learns it, too, but does nothing with it.
  if (pool.options.maxUses === Infinity) await warm(pool);
  else for (const i of range(20)) await pool.query(QUICK, [i]);
  return pool;
}

/** Runs queries until a round is over: `IN_FLIGHT` at a time. @param {number} count @param {(i: number) => Promise<unknown>} query */
async function inFlight(count, query) {
  let next = 0;
  await Promise.all(
    range(IN_FLIGHT).map(async () => {
      while (next < count) await query(next++);
    }),
  );
}

/** Whether all clients are idle again. @param {any} pool */
const untilIdle = (pool) =>
  until(
    'no client is busy',
    () => pool.idleCount === pool.totalCount && pool.waitingCount === 0 && pool._pipelines.waiting === 0,
  );

test('pipelines: of 10,000 queries, some of which fail, each has its own rows or its own error', async (t) => {
  const pool = await warmPool(t, { max: 4 });
  const sql = 'SELECT $1::text AS id, 100 / $2::int AS q';
  for (const _ of range(20)) await pool.query(sql, ['', 1]);
  let most = 0;
  await inFlight(10_000, async (i) => {
    const id = `${i}-${Math.random()}`;
    const kind = Math.random();
    // A query that fails costs its client, as with pg.
    if (kind < 0.004) {
      const { code } = await failureOf(pool.query(sql, [id, 0]));
      assert.equal(code, '22012');
    } else if (kind < 0.008) {
      const { code, message } = await failureOf(pool.query('SELECT $1::text::int AS i', [id]));
      assert.deepEqual([code, message.includes(id)], ['22P02', true]);
    } else {
      const answer = pool.query(sql, [id, 10]);
      most = Math.max(most, pool._pipelines.waiting);
      assert.deepEqual((await answer).rows, [{ id, q: 10 }]);
    }
  });
  assert.ok(most > 4, `${most} were sent behind others at a time`);
  await untilIdle(pool);
});

test('pipelines: a unique violation is that of its query, and the rows beside it are there', async (t) => {
  await db.sql('CREATE TABLE uniques (id int PRIMARY KEY)');
  const pool = poolOf(t);
  const sql = 'INSERT INTO uniques VALUES ($1)';
  for (const i of range(20)) await pool.query(sql, [-1 - i]);
  const codes = await Promise.all(
    range(200).map((i) =>
      pool.query(sql, [Math.floor(i / 2)]).then(
        () => 'inserted',
        (/** @type {any} */ { code }) => code,
      ),
    ),
  );
  assert.deepEqual(
    [codes.filter((code) => code === 'inserted').length, codes.filter((code) => code === '23505').length],
    [100, 100],
  );
  assert.deepEqual(await db.sql('SELECT count(*)::int AS n FROM uniques WHERE id >= 0'), [{ n: 100 }]);
  await untilIdle(pool);
});

test('pipelines: a value that cannot be converted rejects its query alone, and nothing is thrown', async (t) => {
  const pool = await warmPool(t, { max: 1 });
  const bad = {
    toPostgres() {
      throw new RangeError('no such value');
    },
  };
  // The first ones are sent at once; the last wait until they are sent behind others.
  const answers = range(40).map((i) =>
    i % 8 === 3 ? failureOf(pool.query(QUICK, [bad])) : pool.query(QUICK, [i]).then(({ rows }) => rows[0].i),
  );
  for (const [i, answer] of (await Promise.all(answers)).entries()) {
    if (i % 8 === 3) assert.deepEqual([answer.name, answer.message], ['RangeError', 'no such value']);
    else assert.equal(answer, i);
  }
  await untilIdle(pool);
});

test('pipelines: a text that gets slow lets nobody wait behind it, from its first slow time on', async (t) => {
  const pool = await warmPool(t);
  const sql = 'SELECT pg_sleep($1)';
  for (const _ of range(20)) await pool.query(sql, [0]);
  const slow = pool.query(sql, [60]);
  slow.catch(() => {});
  await until('it sleeps', async () => {
    const rows = await db.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
    return rows.length === 1;
  });
  // Those that are known to be quick are all answered by the other client.
  await inFlight(300, (i) => pool.query(QUICK, [i]));
  assert.ok(await isPending(slow));
  await db.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
  await assert.rejects(slow);
});

test('pipelines: a text that fails late is slow, too', async (t) => {
  const pool = await warmPool(t, { max: 1, statement_timeout: 200 });
  const sql = 'SELECT pg_sleep($1)';
  for (const _ of range(20)) await pool.query(sql, [0]);
  assert.equal((await failureOf(pool.query(sql, [60]))).code, '57014');
  await pool.query(QUICK, [0]);
  const again = pool.query(sql, [0]);
  const behind = pool.query(QUICK, [1]);
  assert.equal(pool._pipelines.waiting, 0);
  await Promise.all([again, behind]);
});

test('pipelines: who holds a lock in a transaction is never kept from his commit by a query behind one that waits for it', async (t) => {
  await db.sql('CREATE TABLE locked AS SELECT 1 AS id, 0 AS n');
  const pool = await warmPool(t, { max: 3 });
  const update = 'UPDATE locked SET n = n + $1 WHERE id = 1';
  for (const _ of range(40)) await pool.query(update, [1]);
  const holder = await pool.connect();
  await holder.query('BEGIN');
  await holder.query(update, [1]);
  // One client waits for the lock, the other one has enough to do.
  const waiting = pool.query(update, [1]);
  const load = range(4).map((i) => pool.query(QUICK, [i]));
  assert.deepEqual(
    (await Promise.all(load)).map(({ rows }) => rows[0].i),
    range(4),
  );
  assert.ok(await isPending(waiting));
  await holder.query('COMMIT');
  holder.release();
  await waiting;
  assert.deepEqual(await db.sql('SELECT n FROM locked'), [{ n: 42 }]);
});

test('pipelines: a client that has got settings from a listener runs nothing before them', async (t) => {
  const pool = await warmPool(t, { max: 1 });
  t.mock.method(process, 'emitWarning', () => {});
  pool.on('connect', (/** @type {any} */ client) => {
    client.query("SET application_name = 'first'");
    client.query("SET application_name = 'second'");
  });
  const sql = "SELECT current_setting('application_name') || $1 AS name";
  await pool.query(sql, ['']);
  for (const _ of range(20)) await pool.query(sql, ['']);
  await pool.query('SELECT 1/0').catch(() => {});
  const answers = await Promise.all(range(20).map(() => pool.query(sql, [''])));
  assert.deepEqual([...new Set(answers.map(({ rows }) => rows[0].name))], ['second']);
});

test('pipelines: a query() that a program has put on a client is called for each query', async (t) => {
  const pool = await warmPool(t, { max: 1 });
  let calls = 0;
  pool.on('connect', (/** @type {any} */ client) => {
    const { query } = client;
    client.query = function counted(/** @type {any[]} */ ...args) {
      calls += 1;
      return query.apply(this, args);
    };
  });
  await pool.query('SELECT 1/0').catch(() => {});
  await pool.query(QUICK, [0]);
  const first = pool.query(QUICK, [1]);
  // It is taken up in the next tick; then the second one finds its client busy.
  await new Promise((resolve) => process.nextTick(resolve));
  await Promise.all([first, pool.query(QUICK, [2])]);
  assert.equal(calls, 3);
});

test('pipelines: a client whose life is over is dropped although queries come all the time', async (t) => {
  const pool = await warmPool(t, { max: 1, maxLifetimeSeconds: 0.2 });
  const pids = new Set();
  const sql = 'SELECT pg_backend_pid() AS pid, $1::int';
  let isOver = false;
  const loops = range(IN_FLIGHT).map(async (i) => {
    while (!isOver) pids.add((await pool.query(sql, [i])).rows[0].pid);
  });
  try {
    await until('the client is another one', () => pids.size > 2);
  } finally {
    isOver = true;
    await Promise.all(loops);
  }
});

test('pipelines: a client with queries behind others is not idle, and is removed when it has been for idleTimeoutMillis', async (t) => {
  const pool = await warmPool(t, { max: 1, idleTimeoutMillis: 150 });
  let removed = 0;
  pool.on('remove', () => {
    removed += 1;
  });
  const { rows } = await pool.query('SELECT pg_backend_pid() AS pid');
  const pids = new Set();
  const end = performance.now() + 300;
  await Promise.all(
    range(IN_FLIGHT).map(async (i) => {
      while (performance.now() < end)
        pids.add((await pool.query('SELECT pg_backend_pid() AS pid, $1::int', [i])).rows[0].pid);
    }),
  );
  assert.deepEqual([[...pids], removed], [[rows[0].pid], 0]);
  await until('the client is removed', () => removed === 1);
  assert.equal(pool.totalCount, 0);
});

test('pipelines: who waits for a client is served before the queries that come later', async (t) => {
  const pool = await warmPool(t, { max: 1 });
  /** @type {string[]} */
  const order = [];
  const before = range(30).map((i) => pool.query(QUICK, [i]).then(() => order.push('before')));
  const client = pool.connect().then((/** @type {any} */ client) => {
    order.push('client');
    client.release();
  });
  const after = range(30).map((i) => pool.query(QUICK, [i]).then(() => order.push('after')));
  await Promise.all([...before, client, ...after]);
  // The client is handed on just before the last answer is delivered, as by pg.
  assert.ok([29, 30].includes(order.indexOf('client')), order.join());
  assert.equal(order.indexOf('after'), 31);
});

test('pipelines: a query that waited and was sent behind others is not told that it has waited for too long', async (t) => {
  await db.sql('CREATE TABLE waited (id int PRIMARY KEY)');
  const pool = poolOf(t, { max: 1, connectionTimeoutMillis: 30 });
  const sql = 'INSERT INTO waited VALUES ($1)';
  for (const i of range(20)) await pool.query(sql, [-1 - i]);
  const outcomes = await Promise.all(
    range(1500).map((i) =>
      pool.query(sql, [i]).then(
        () => i,
        (/** @type {any} */ { message }) => message,
      ),
    ),
  );
  const told = outcomes.filter((outcome) => typeof outcome === 'number');
  for (const outcome of outcomes) assert.ok(typeof outcome === 'number' || /^timeout exceeded/.test(outcome), outcome);
  const rows = await db.sql('SELECT id FROM waited WHERE id >= 0 ORDER BY id');
  assert.deepEqual(
    rows.map(({ id }) => id),
    told,
  );
});

test('pipelines: end() lets the queries that were sent behind others finish', async (t) => {
  const pool = await warmPool(t, { max: 2 });
  const answers = range(12).map((i) => pool.query(QUICK, [i]));
  assert.ok(pool._pipelines.waiting > 4);
  const ended = pool.end();
  const late = failureOf(pool.query(QUICK, [1]));
  assert.deepEqual(
    (await Promise.all(answers)).map(({ rows }) => rows[0].i),
    range(12),
  );
  await ended;
  assert.equal((await late).message, 'Cannot use a pool after calling end on the pool');
  assert.equal(pool.totalCount, 0);
});

for (const [what, options, listener] of /** @type {const} */ ([
  ['with maxUses', { maxUses: 1000 }, ''],
  ["with a listener of 'acquire'", {}, 'acquire'],
  ["with a listener of 'release'", {}, 'release'],
])) {
  test(`pipelines: a pool ${what} sends nothing behind others`, async (t) => {
    const pool = await warmPool(t, options);
    let calls = 0;
    if (listener !== '')
      pool.on(listener, () => {
        calls += 1;
      });
    const answers = range(30).map((i) => pool.query(QUICK, [i]));
    assert.equal(pool._pipelines.waiting, 0);
    await Promise.all(answers);
    assert.equal(calls, listener === '' ? 0 : 30);
  });
}

for (const [what, extra] of /** @type {const} */ ([
  ['', undefined],
  [', with settings and temporary tables of other queries', "SELECT set_config('work_mem', $1, false)"],
])) {
  test(`pipelines: sessions that are terminated under inserts lose and repeat nothing, and each outcome is true${what}`, async (t) => {
    const table = extra === undefined ? 'killed' : 'killed_too';
    await db.sql(`CREATE TABLE ${table} (id int)`);
    const pool = poolOf(t, { max: 4 });
    pool.on('error', () => {});
    const sql = `INSERT INTO ${table} VALUES ($1)`;
    for (const i of range(20)) await pool.query(sql, [-1 - i]);
    /** @type {Map<number, string>} */
    const outcomes = new Map();
    let isOver = false;
    let next = 0;
    const loops = range(IN_FLIGHT).map(async () => {
      while (!isOver) {
        const id = next++;
        if (extra !== undefined && id % 20 === 0) {
          await pool.query(extra, ['8MB']).catch(() => {});
          await pool.query('CREATE TEMP TABLE IF NOT EXISTS mine (n int)').catch(() => {});
        }
        await pool.query(sql, [id]).then(
          () => outcomes.set(id, 'acknowledged'),
          (/** @type {any} */ error) => outcomes.set(id, error.outcome),
        );
      }
    });
    for (const round of range(ROUNDS * 4)) {
      await until('there are inserts', () => outcomes.size > (round + 1) * 200);
      await db.sql(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'INSERT INTO ${table} %' AND pid <> pg_backend_pid() LIMIT $1`,
        [1 + (round % 3)],
      );
    }
    isOver = true;
    await Promise.all(loops);
    const rows = await db.sql(`SELECT id, count(*)::int AS n FROM ${table} WHERE id >= 0 GROUP BY id`);
    const there = new Map(rows.map(({ id, n }) => [id, n]));
    for (const [id, outcome] of outcomes) {
      const n = there.get(id) ?? 0;
      if (outcome === 'acknowledged') assert.equal(n, 1, `${id} was acknowledged`);
      else if (outcome === 'not-applied') assert.equal(n, 0, `${id} was said not to be applied`);
      else assert.ok(outcome === 'unknown' && n <= 1, `${id}: ${outcome}, ${n} times`);
    }
    const counts = [...outcomes.values()].reduce((/** @type {Record<string, number>} */ all, outcome) => {
      all[outcome] = (all[outcome] ?? 0) + 1;
      return all;
    }, {});
    t.diagnostic(JSON.stringify(counts));
    assert.ok(pool.totalCount > 0);
    await untilIdle(pool);
  });
}
