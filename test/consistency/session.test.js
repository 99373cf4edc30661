'use strict';

// pool.session(): within it reads follow the writes that the session has made before them, whatever wrote.
//
// Both standbys are paused while a session writes. A read that does not follow the write is answered at once, without it.

const assert = require('node:assert/strict');
const { ParameterError, sql } = require('../../client.js');
const { failureOf, isPending, named, range, sleep, test, until, useCluster } = require('../support/helpers');
const { tableFor } = require('../support/transactions');
const { ENDLESS_MS, LOGGED, resume, standbysOf, statementsOn, untilAllFit, whilePaused } = require('./standbys');

const db = useCluster({ nodes: 3, settings: LOGGED });

/** Waiting for a standby ends the test by its time limit. */
const PATIENT = { acquireTimeoutMs: ENDLESS_MS, reads: { waitMs: ENDLESS_MS } };

/** A pool that knows all nodes, and a table. @param {import('node:test').TestContext} t @param {object} [options] */
async function stage(t, options) {
  const pool = db.pool(t, { ...PATIENT, ...options });
  const table = await tableFor(db, t);
  // All nodes have the table.
  await pool.read(`SELECT FROM ${table}`, [], { after: await pool.token() });
  await untilAllFit(pool, db);
  const count = () => pool.read.value(`SELECT count(*)::int FROM ${table}`);
  return { pool, table, count };
}

/** Resumes the standbys. */
const resumeAll = () => Promise.all(db.cluster.standbys().map(resume));

/** @param {AsyncIterable<unknown>} stream */
async function drain(stream) {
  for await (const _ of stream);
}

/** Each way to write one row. @type {[string, (pool: any, table: string) => Promise<unknown>][]} */
const WAYS = [
  ['query()', (pool, table) => pool.query(`INSERT INTO ${table} VALUES (1)`)],
  ['query() with token: true', (pool, table) => pool.query(`INSERT INTO ${table} VALUES (1)`, [], { token: true })],
  ['one()', (pool, table) => pool.one(`INSERT INTO ${table} VALUES (1) RETURNING id`)],
  ['value()', (pool, table) => pool.value(`INSERT INTO ${table} VALUES (1) RETURNING id`)],
  ['sql``', (pool, table) => pool.sql`INSERT INTO ${sql.id(table)} VALUES (${1})`],
  ['batch()', (pool, table) => pool.batch([[`INSERT INTO ${table} VALUES ($1)`, [1]], 'SELECT 1'])],
  ['batch({ transaction })', (pool, table) => pool.batch([`INSERT INTO ${table} VALUES (1)`], { transaction: true })],
  ['exec()', (pool, table) => pool.exec(`SELECT 1; INSERT INTO ${table} VALUES (1)`)],
  [
    'transaction()',
    (pool, table) => pool.transaction((/** @type {any} */ tx) => tx.query(`INSERT INTO ${table} VALUES (1)`)),
  ],
  [
    'begin() and commit()',
    async (pool, table) => {
      const tx = await pool.begin();
      await tx.query(`INSERT INTO ${table} VALUES (1)`);
      await tx.commit();
    },
  ],
  [
    'begin() and COMMIT as a statement of exec()',
    async (pool, table) => pool.exec(`BEGIN; INSERT INTO ${table} VALUES (1); COMMIT`),
  ],
  ['copyFrom()', (pool, table) => pool.copyFrom(`${table} (id)`, [[1]])],
  ['stream()', (pool, table) => drain(pool.stream(`INSERT INTO ${table} VALUES (1) RETURNING id`))],
  ['copyTo()', (pool, table) => drain(pool.copyTo(`COPY (INSERT INTO ${table} VALUES (1) RETURNING id) TO STDOUT`))],
];

for (const [title, write] of WAYS) {
  test(`session(): a read follows a write by ${title}`, async (t) => {
    const { pool, table, count } = await stage(t);
    await whilePaused(db.cluster.standbys(), () =>
      pool.session(async () => {
        assert.equal(await count(), 0, 'a session that has not written does not wait');
        await write(pool, table);
        const read = count();
        assert.ok(await isPending(read), 'the read waits');
        await resumeAll();
        assert.equal(await read, 1);
        const rows = await pool.read('SELECT 1');
        assert.ok(standbysOf(db).includes(rows.node), 'standbys go on to answer');
      }),
    );
  });
}

test('session(): in a pool of mode any, whose statements bring no token, a read follows a write by query()', async (t) => {
  const { pool, table, count } = await stage(t, { mode: 'any' });
  await whilePaused(db.cluster.standbys(), () =>
    pool.session(async () => {
      // Side by side they run on all nodes; on a standby they fail.
      const inserted = await until('one ran on the primary', async () => {
        const insert = () => pool.query(`INSERT INTO ${table} SELECT 1 FROM pg_sleep(0.01)`);
        const ended = await Promise.allSettled(range(8).map(insert));
        return ended.filter(({ status }) => status === 'fulfilled').length;
      });
      const read = count();
      assert.ok(await isPending(read));
      await resumeAll();
      assert.equal(await read, inserted);
    }),
  );
});

test('session(): all forms of read() follow a write', async (t) => {
  const { pool, table } = await stage(t);
  const text = `SELECT id FROM ${table}`;
  await whilePaused(db.cluster.standbys(), () =>
    pool.session(async () => {
      await pool.exec(`INSERT INTO ${table} VALUES (7)`);
      const streamed = (async () => {
        for await (const row of pool.read.stream(text)) return [row];
        return [];
      })();
      const reads = [
        pool.read(text),
        pool.read.one(text).then((/** @type {any} */ row) => [row]),
        pool.read.maybeOne(text).then((/** @type {any} */ row) => [row]),
        pool.read.many(text),
        pool.read.value(text).then((/** @type {any} */ id) => [{ id }]),
        pool.read.sql`SELECT id FROM ${sql.id(table)}`,
        streamed,
      ];
      for (const read of reads) assert.ok(await isPending(read));
      await resumeAll();
      for (const read of reads) assert.deepStrictEqual([...(await read)], [{ id: 7 }]);
    }),
  );
});

test('session(): a read follows the later of its own token and that of the session', async (t) => {
  const { pool, table, count } = await stage(t);
  const early = await pool.token();
  await whilePaused(db.cluster.standbys(), () =>
    pool.session(async () => {
      await pool.query(`INSERT INTO ${table} VALUES (1)`);
      const read = pool.read.value(`SELECT count(*)::int FROM ${table}`, [], { after: early });
      assert.ok(await isPending(read), 'an early token of the caller takes nothing away');
      await resumeAll();
      assert.equal(await read, 1);
    }),
  );
  await whilePaused(db.cluster.standbys(), () =>
    pool.session(async () => {
      await pool.query('SELECT 1');
      await db.sql(`INSERT INTO ${table} VALUES (2)`);
      const read = pool.read.value(`SELECT count(*)::int FROM ${table}`, [], { after: await pool.token() });
      assert.ok(await isPending(read), 'a late token of the caller counts');
      await resumeAll();
      assert.equal(await read, 2);
      // The token was that read's alone: another one may go to the standby that is still behind.
      await until('both standbys have it', async () => (await count()) === 2);
    }),
  );
});

test('session(): a failed write that is certainly not applied makes no read wait', async (t) => {
  const { pool, table, count } = await stage(t);
  await whilePaused(db.cluster.standbys(), () =>
    pool.session(async () => {
      // Meanwhile others write.
      await db.sql(`INSERT INTO ${table} VALUES (1)`);
      await assert.rejects(pool.query('SELECT 1/0'), { outcome: 'not-applied' });
      await assert.rejects(pool.query(`INSERT INTO ${table} VALUES ($1)`, []), { code: 'ERR_INVALID_PARAM' });
      assert.equal(await count(), 0);
    }),
  );
});

/** Whether commits wait for a standby that does not exist. @param {boolean} wait */
async function letCommitsWait(wait) {
  const primary = db.cluster.primary();
  await primary.sql(
    `ALTER SYSTEM ${wait ? "SET synchronous_standby_names = 'nobody'" : 'RESET synchronous_standby_names'}`,
  );
  await primary.sql('SELECT pg_reload_conf()');
  await until('new sessions have it', async () => {
    const [{ names }] = await primary.sql("SELECT current_setting('synchronous_standby_names') AS names");
    return (names === 'nobody') === wait;
  });
}

for (const [title, write] of WAYS.filter(([title]) =>
  ['query()', 'batch({ transaction })', 'begin() and commit()'].includes(title),
)) {
  test(`session(): a read follows a write by ${title} that failed with an unknown outcome`, async (t) => {
    const applicationName = named('unknown');
    const { pool, table, count } = await stage(t, { applicationName });
    await whilePaused(db.cluster.standbys(), () =>
      pool.session(async () => {
        // The commit is done, and nobody is told: its session ends while it waits for a standby.
        await letCommitsWait(true);
        try {
          const failure = failureOf(write(pool, table));
          await until('the commit waits, and its session ends', async () => {
            const ended = await db.sql(
              `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE application_name = $1 AND wait_event = 'SyncRep'`,
              [applicationName],
            );
            return ended.length > 0;
          });
          assert.notEqual((await failure).outcome, 'not-applied');
        } finally {
          await letCommitsWait(false);
        }
        const read = count();
        assert.ok(await isPending(read), 'the read waits');
        await resumeAll();
        assert.equal(await read, 1);
      }),
    );
  });
}

test('session(): within another one it is the same session', async (t) => {
  const { pool, table, count } = await stage(t);
  await whilePaused(db.cluster.standbys(), () =>
    pool.session(async () => {
      await pool.session(() => pool.query(`INSERT INTO ${table} VALUES (1)`));
      const read = count();
      assert.ok(await isPending(read), 'the outer one follows the inner one');
      const inner = pool.session(count);
      assert.ok(await isPending(inner), 'the inner one follows the outer one');
      await resumeAll();
      assert.deepEqual(await Promise.all([read, inner]), [1, 1]);
    }),
  );
});

test('session(): sessions side by side do not wait for the writes of one another', async (t) => {
  const { pool, table, count } = await stage(t);
  await whilePaused(db.cluster.standbys(), async () => {
    /** @type {Promise<any>[]} */
    const reads = [];
    const sessions = range(10).map((id) =>
      pool.session(async () => {
        if (id % 2 === 0) await pool.query(`INSERT INTO ${table} VALUES ($1)`, [id]);
        await sleep(1);
        reads[id] = count();
        return reads[id];
      }),
    );
    const readers = await Promise.all(sessions.filter((_, id) => id % 2 === 1));
    assert.deepEqual(readers, [0, 0, 0, 0, 0]);
    assert.equal(await count(), 0, 'outside of all sessions nothing is waited for');
    for (const id of [0, 2, 4, 6, 8]) {
      await until('the session reads', () => reads[id] !== undefined);
      assert.ok(await isPending(reads[id]));
    }
    await resumeAll();
    await Promise.all(sessions);
  });
});

test('session(): the session of one pool is none of another', async (t) => {
  const { pool, table } = await stage(t);
  const { pool: other } = await stage(t);
  await whilePaused(db.cluster.standbys(), () =>
    pool.session(async () => {
      await other.query(`INSERT INTO ${table} VALUES (1)`);
      assert.equal(await pool.read.value(`SELECT count(*)::int FROM ${table}`), 0);
      await pool.query(`INSERT INTO ${table} VALUES (2)`);
      assert.equal(await other.read.value(`SELECT count(*)::int FROM ${table}`), 0);
    }),
  );
});

test('session(): it lasts across timers, events and parallel work', async (t) => {
  const { pool, table, count } = await stage(t);
  await whilePaused(db.cluster.standbys(), () =>
    pool.session(async () => {
      await sleep(5);
      await new Promise((resolve) => setImmediate(resolve));
      await Promise.all([1, 2].map((id) => sleep(id).then(() => pool.query(`INSERT INTO ${table} VALUES ($1)`, [id]))));
      const read = new Promise((resolve, reject) => {
        setTimeout(() => process.nextTick(() => count().then(resolve, reject)), 2);
      });
      assert.ok(await isPending(read));
      await resumeAll();
      assert.equal(await read, 2);
    }),
  );
});

test('session(): a write that has not ended yet makes no read wait', async (t) => {
  const { pool, table, count } = await stage(t);
  await pool.session(async () => {
    const tx = await pool.begin();
    await tx.query(`INSERT INTO ${table} VALUES (1)`);
    assert.equal(await count(), 0);
    await tx.rollback();
    assert.equal(await count(), 0);
  });
});

test('session(): a session that does not write sends nothing but its reads', async (t) => {
  const applicationName = named('reader');
  const { pool, count } = await stage(t, { applicationName, reads: { waitMs: ENDLESS_MS, poolSize: 1 } });
  const since = new Map(db.cluster.nodes.map((node) => [node, /** @type {any} */ (node).log().length]));
  await pool.session(async () => {
    for (const _ of range(10)) await count();
    await pool.query('SELECT 10', [], { readOnly: true });
    for (const _ of range(10)) await count();
  });
  const lists = await Promise.all(db.cluster.nodes.map((node) => statementsOn(node, applicationName, since.get(node))));
  // A connection that has rested for 100 ms is asked for its role: a busy machine rests, too.
  const sent = lists
    .flat()
    .filter((text) => !/^SHOW transaction_read_only|pg_control_system\(\)|default_transaction_read_only/.test(text));
  assert.deepEqual(
    new Set(sent.map((text) => text.replace(/FROM \w+/, 'FROM t'))),
    new Set(['SELECT count(*)::int FROM t', 'SELECT 10']),
  );
  assert.equal(sent.length, 21);
});

test('session(): after a write by batch() the primary is asked once for all reads that follow it', async (t) => {
  const applicationName = named('asker');
  const { pool, table, count } = await stage(t, { applicationName });
  const primary = /** @type {any} */ (db.cluster.primary());
  const since = primary.log().length;
  await pool.session(async () => {
    await pool.batch([`INSERT INTO ${table} VALUES (1)`]);
    assert.deepEqual(await Promise.all(range(20).map(count)), Array(20).fill(1));
    assert.equal(await count(), 1);
    await pool.query('SELECT 10', [], { readOnly: true });
    assert.equal(await count(), 1);
  });
  const asked = (await statementsOn(primary, applicationName, since)).filter((/** @type {string} */ text) =>
    text.includes('pg_current_wal_insert_lsn'),
  );
  assert.equal(asked.length, 1);
});

test('session(): it resolves with what fn returns, and rejects with what fn throws', async (t) => {
  const pool = db.pool(t);
  const value = { a: 1 };
  assert.equal(await pool.session(() => value), value);
  assert.equal(await pool.session(async () => value), value);
  const error = new Error('mine');
  assert.equal(
    await failureOf(
      pool.session(() => {
        throw error;
      }),
    ),
    error,
  );
  assert.equal(await failureOf(pool.session(() => Promise.reject(error))), error);
});

test('session(): what is no function is refused, and so is a closed pool', async (t) => {
  const pool = db.pool(t);
  for (const fn of [undefined, null, 'fn', {}, Promise.resolve()]) {
    assert.ok((await failureOf(pool.session(fn))) instanceof ParameterError);
  }
  await pool.end();
  assert.equal((await failureOf(pool.session(() => 1))).code, 'ERR_POOL_CLOSED');
});

test('session(): a pool of standbys alone runs fn, and its reads wait for nothing', async (t) => {
  const pool = db.pool(t, { hosts: standbysOf(db), mode: 'standby' });
  await pool.session(async () => {
    assert.equal(await pool.value('SELECT 1'), 1);
    assert.equal(await pool.read.value('SELECT 2'), 2);
  });
});

test('session(): while the position cannot be asked for, reads after a write reject, and later ones follow it', async (t) => {
  const { pool, table } = await stage(t);
  await pool.session(async () => {
    await pool.batch([`INSERT INTO ${table} VALUES (1)`]);
    const primary = db.cluster.primary();
    await primary.freeze();
    try {
      const read = pool.read.value(`SELECT count(*)::int FROM ${table}`, [], { timeoutMs: 200 });
      assert.equal((await failureOf(read)).code, '57014');
    } finally {
      await primary.thaw();
    }
    assert.equal(await pool.read.value(`SELECT count(*)::int FROM ${table}`), 1);
  });
});
