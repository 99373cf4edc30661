'use strict';

// Behind PgBouncer: all kinds of work with correct results, how a pooler is recognised and what the pool says about it, what
// cannot work there, and failures of the pooler and of the server behind it. docs/pgbouncer.md describes it for users.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { endings, test, failureOf, inChild, range, until, useCluster } = require('../support/helpers');
const { withConnection } = require('../../exports/testing/cluster/sql.js');
const { usePgBouncer } = require('./pgbouncer');
const { SCHEMA, WORK } = require('./pgbouncer/work');

const db = useCluster({ nodes: 1 });
/** Connections to the server; pools are larger, so that they share them. */
const SERVERS = 3;
const shared = usePgBouncer(db, { mode: 'transaction', poolSize: SERVERS });
const session = usePgBouncer(db, { mode: 'session', poolSize: 20 });

/** The last number that was used: no number is used twice. */
let last = 0;

/** @type {Promise<unknown> | undefined} */
let schema;
const prepared = () => {
  schema ??= db.sql(SCHEMA);
  return schema;
};

/** @param {any} pool what it has said in events, as it comes */
function heardBy(pool) {
  /** @type {any[]} */
  const heard = [];
  for (const event of ['notice', 'error'])
    pool.on(event, (/** @type {any} */ detail) => heard.push({ event, ...detail, message: detail.message }));
  return heard;
}

/** The notices about a pooler. @param {any[]} heard */
const aboutPooler = (heard) => heard.filter(({ message }) => /pooler/i.test(message));

describe('PgBouncer: all kinds of work over few server connections', () => {
  /** @type {[string, () => import('./pgbouncer').PgBouncer, Record<string, unknown>][]} */
  const SETTINGS = [
    ['transaction mode, prepare: false', () => shared, { prepare: false }],
    ['transaction mode, prepare unset', () => shared, {}],
    ['session mode, prepare unset', () => session, {}],
    ['session mode, prepare: true', () => session, { prepare: true }],
  ];
  for (const [mode, pooler, options] of SETTINGS) {
    for (const [kind, work] of Object.entries(WORK)) {
      test(`PgBouncer in ${mode}: ${kind}`, async (t) => {
        const pool = pooler().pool(t, { poolSize: 6, acquireTimeoutMs: 30_000, ...options });
        await prepared();
        await Promise.all(range(12).map(() => work(pool, ++last)));
      });
    }

    test(`PgBouncer in ${mode}: everything at once, of two pools`, async (t) => {
      const pools = range(2).map(() => pooler().pool(t, { poolSize: 6, acquireTimeoutMs: 30_000, ...options }));
      await prepared();
      await Promise.all(
        pools.flatMap((pool) => range(3).flatMap(() => Object.values(WORK).map((work) => work(pool, ++last)))),
      );
    });
  }

  test('PgBouncer in transaction mode: the pool shares its server connections', async (t) => {
    const pool = shared.pool(t, { poolSize: 6, prepare: false });
    const pids = await Promise.all(
      range(30).map(() => pool.transaction((/** @type {any} */ tx) => tx.value('SELECT pg_backend_pid()'))),
    );
    assert.ok(new Set(pids).size <= SERVERS, String(pids));
    assert.ok(pool.status().size > SERVERS, 'more connections to the pooler than it has to the server');
  });
});

describe('PgBouncer: two processes', () => {
  // Names of prepared statements belong to a process: s0 of one is another statement than s0 of the other.
  const CODE = `
    const pool = createPool(options);
    const texts = Array.from({ length: 16 }, (_, i) => \`SELECT '\${process.env.WHO}' AS who, $1::int4 AS n, \${i} AS text\`);
    const wrong = [];
    let errors = 0;
    const one = async (n) => {
      try {
        const rows = await pool.query(texts[n % 16], [n]);
        const [{ who, n: number, text }] = rows;
        if (rows.length !== 1 || who !== process.env.WHO || number !== n || text !== n % 16) wrong.push(rows);
      } catch (error) {
        errors++;
        print('error', error.code, error.message);
      }
    };
    for (let from = 0; from < 800; from += 16) await Promise.all(Array.from({ length: 16 }, (_, i) => one(from + i)));
    await pool.end();
    print({ wrong, errors });`;

  for (const options of [{ prepare: false }, {}]) {
    test(`PgBouncer: two processes never get each other's results: 1600 statements, ${JSON.stringify(options)}`, async () => {
      const poolOptions = shared.options({ poolSize: 4, ...options });
      const ends = await Promise.all(
        ['one', 'other'].map((WHO) => inChild(db, CODE, { env: { WHO }, options: poolOptions })),
      );
      for (const { code, lines, stderr } of ends) {
        assert.deepEqual([code, stderr, lines], [0, '', ['{"wrong":[],"errors":0}']]);
      }
    });
  }

  test("PgBouncer: two processes never get each other's results with prepare: true, where statements fail", async () => {
    const poolOptions = shared.options({ poolSize: 4, prepare: true });
    const ends = await Promise.all(
      ['one', 'other'].map((WHO) => inChild(db, CODE, { env: { WHO }, options: poolOptions })),
    );
    for (const { lines } of ends) assert.deepEqual(JSON.parse(/** @type {string} */ (lines.at(-1))).wrong, []);
  });
});

describe('PgBouncer is recognised', () => {
  test('PgBouncer is recognised once for each pool, by a notice that names it and what follows', async (t) => {
    const pool = shared.pool(t, { poolSize: 4 });
    const heard = heardBy(pool);
    await Promise.all(range(40).map((i) => pool.query('SELECT $1::int4 AS recognised', [i])));
    await until('it was told', () => aboutPooler(heard).length > 0);
    await Promise.all(range(40).map((i) => pool.query('SELECT $1::int4 + 1 AS recognised', [i])));
    assert.equal(aboutPooler(heard).length, 1, JSON.stringify(heard));
    assert.match(aboutPooler(heard)[0].message, /without names/);
    // (The sessions are shared, and have statements of other tests.)
    assert.deepEqual(await preparedNames('recognised'), [], 'and no statement has a name');
  });

  for (const prepare of [true, false]) {
    test(`PgBouncer: no notice where the option is given: prepare: ${prepare}`, async (t) => {
      const pool = shared.pool(t, { poolSize: 2, prepare });
      const heard = heardBy(pool);
      await endings(range(10).map((i) => pool.query('SELECT $1::int4', [i])));
      await pool.end();
      assert.deepEqual(aboutPooler(heard), []);
    });
  }

  test('PgBouncer: a PostgreSQL server is not taken for one', async (t) => {
    const pool = db.pool(t);
    const heard = heardBy(pool);
    for (const i of range(5)) await pool.query('SELECT $1::int4', [i]);
    assert.equal(
      await pool.value("SELECT count(*)::int4 FROM pg_prepared_statements WHERE statement LIKE '%$1::int4'"),
      1,
    );
    assert.deepEqual(aboutPooler(heard), []);
  });
});

/**
 * Names of statements prepared on the server connections. Transactions of their own hold all of the connections meanwhile, so
 * that each is asked.
 * @param {string} part of the statement's text
 */
async function preparedNames(part) {
  const rows = await onEachServer('SELECT name, statement FROM pg_prepared_statements WHERE NOT from_sql');
  return rows.filter(({ statement }) => statement.includes(part)).map(({ name }) => name);
}

/** Rows of `sql` on each server connection of the pooler in transaction mode. @param {string} sql */
async function onEachServer(sql) {
  const { user, password, database } = db.cluster;
  const [host, port] = shared.address.split(':');
  const login = { host, port: Number(port), user, password, database };
  let asked = 0;
  /** @type {() => void} */
  let release = () => {};
  const all = new Promise((/** @type {(value?: undefined) => void} */ resolve) => {
    release = resolve;
  });
  const rows = await Promise.all(
    range(SERVERS).map(() =>
      withConnection(login, async (query) => {
        await query('BEGIN');
        const found = await query(sql);
        asked++;
        if (asked === SERVERS) release();
        await all;
        await query('ROLLBACK');
        return found;
      }),
    ),
  );
  return rows.flat();
}

describe('PgBouncer in transaction mode with prepare: true', () => {
  test('PgBouncer in transaction mode with prepare: true fails with an error that names the cure', async (t) => {
    /** @type {any} */
    let failure;
    await until('a statement missed its name', async () => {
      const pools = range(2).map(() => shared.pool(t, { poolSize: 4, prepare: true }));
      const ended = await endings(
        pools.flatMap((pool) => range(200).map((i) => pool.query(`SELECT $1::int4 + ${i % 8}`, [i]))),
      );
      failure = ended.find(({ error }) => ['26000', '08P01', '42P05'].includes(error?.code))?.error;
      await Promise.all(pools.map((pool) => pool.end()));
      return failure !== undefined;
    });
    assert.match(failure.hint, /prepare: false/);
    assert.equal(failure.outcome, 'not-applied');
  });

  test('PgBouncer: statements that prepare: true left on server connections disturb no pool with prepare: false', async (t) => {
    const pool = shared.pool(t, { poolSize: 6, prepare: false });
    await prepared();
    await Promise.all(range(20).map(() => WORK.statements(pool, ++last)));
    await Promise.all(range(6).map(() => WORK.types(pool, ++last)));
  });
});

describe('PgBouncer refuses startup settings', () => {
  /** @type {[string, Record<string, unknown>][]} */
  const REFUSED = [
    ['statementTimeoutMs', { statementTimeoutMs: 10_000 }],
    ['options', { options: { work_mem: '8MB' } }],
  ];
  for (const [name, options] of REFUSED) {
    test(`PgBouncer refuses ${name}: 08P01 at once, with a hint`, async (t) => {
      const pool = shared.pool(t, { prepare: false, acquireTimeoutMs: 50_000, ...options });
      const error = await failureOf(pool.query('SELECT 1'));
      assert.deepEqual([error.code, error.outcome], ['08P01', 'not-applied'], error.stack);
      assert.match(error.hint, new RegExp(name));
      assert.match(error.hint, /pooler|PgBouncer/);
    });
  }
});

test('PgBouncer: notify() reaches those who listen on the server itself', async (t) => {
  /** @type {string[]} */
  const heard = [];
  const subscription = await db.pool(t).listen('news', (/** @type {string} */ payload) => heard.push(payload));
  await shared.pool(t, { poolSize: 1 }).notify('news', 'through the pooler');
  await until('it was heard', () => heard.length > 0);
  assert.deepEqual(heard, ['through the pooler']);
  await subscription.unlisten();
});

describe('PgBouncer: nothing is left on the server connections', () => {
  test('PgBouncer: all kinds of work leave nothing on the server connections', async (t) => {
    const pool = shared.pool(t, { poolSize: 6, prepare: false, acquireTimeoutMs: 30_000 });
    await prepared();
    await Promise.all(Object.values(WORK).map((work) => work(pool, ++last)));
    await pool.end();
    // PgBouncer itself sets what its clients send at startup.
    const settings = await onEachServer(`
      SELECT name, setting FROM pg_settings
      WHERE source = 'session' AND name NOT IN ('client_encoding', 'application_name', 'DateStyle', 'TimeZone',
        'standard_conforming_strings', 'extra_float_digits')`);
    assert.deepEqual(settings, []);
    assert.deepEqual(await onEachServer('SELECT pg_listening_channels()'), []);
    assert.deepEqual(await onEachServer("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"), []);
    assert.deepEqual(await onEachServer('SELECT 1 FROM pg_class WHERE relnamespace = pg_my_temp_schema()'), []);
    assert.deepEqual(await onEachServer('SELECT 1 FROM pg_cursors'), []);
  });
});

describe('PgBouncer: failures', () => {
  test('PgBouncer dies and comes back: the pool goes on', async (t) => {
    const pool = shared.pool(t, { poolSize: 4, acquireTimeoutMs: 30_000 });
    await pool.query('SELECT 1');
    const sleeping = failureOf(pool.query('SELECT pg_sleep(30)'));
    await until('it runs', () => running('SELECT pg_sleep(30)%'));
    t.after(() => shared.run());
    await shared.kill();
    const error = await sleeping;
    assert.deepEqual([error.code, error.outcome], ['ERR_OUTCOME_UNKNOWN', 'unknown'], error.stack);
    await until('it is down', () => pool.nodes()[0].state === 'down');
    const waiting = pool.query('SELECT 1 AS v');
    await shared.run();
    assert.deepStrictEqual(await waiting, [{ v: 1 }]);
    await until('it is up', () => pool.nodes()[0].state === 'up');
  });

  test('PgBouncer whose server dies under a statement: the outcome is unknown', async (t) => {
    db.needs('crash', 'start');
    const pool = shared.pool(t, { poolSize: 4, prepare: false, acquireTimeoutMs: 30_000 });
    const write = failureOf(pool.query('SELECT pg_sleep(30) /* a write, for all we know */'));
    const read = pool.query('SELECT 1 AS v FROM pg_sleep(0.5)', [], { readOnly: true });
    await until('both run', async () => (await running('%pg_sleep(30)%')) && running('%pg_sleep(0.5)%'));
    await db.cluster.primary().crash();
    const error = await write;
    // PgBouncer's own error ("server conn crashed?", FATAL), or a lost connection.
    assert.equal(error.outcome, 'unknown', error.stack);
    await db.cluster.primary().start();
    assert.deepStrictEqual(await read, [{ v: 1 }], 'a declared read is run again');
    await until('work goes on', async () => (await endings([pool.query('SELECT 1')]))[0].value);
    assert.equal(pool.nodes()[0].state, 'up');
  });

  test('PgBouncer without a server for a while: declared reads wait, and no statement is said to be applied', async (t) => {
    db.needs('stop', 'start');
    const pool = shared.pool(t, { poolSize: 4, prepare: false, acquireTimeoutMs: 30_000 });
    await Promise.all(range(8).map((i) => pool.query('SELECT $1::int4', [i])));
    await db.cluster.primary().stop('immediate');
    const reads = endings(range(8).map((i) => pool.query('SELECT $1::int4 AS v', [i], { readOnly: true })));
    const others = endings(range(8).map((i) => pool.query('SELECT $1::int4 AS v', [i])));
    await db.cluster.primary().start();
    (await reads).forEach(({ value, error }, i) => {
      assert.ifError(error);
      assert.deepStrictEqual(value, [{ v: i }]);
    });
    for (const { error } of await others) assert.ok(error === undefined || error.outcome !== 'applied', error?.stack);
    await until('work goes on', async () => (await endings([pool.query('SELECT 1')]))[0].value);
  });

  test('PgBouncer whose server connections are ended: the next statements use others', async (t) => {
    const pool = shared.pool(t, { poolSize: 4, acquireTimeoutMs: 30_000 });
    await Promise.all(range(8).map((i) => pool.query('SELECT $1::int4', [i])));
    await db.sql(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
    );
    await until('work goes on', async () => {
      const ended = await endings(range(8).map((i) => pool.query('SELECT $1::int4 AS v', [i])));
      ended.forEach(({ value }, i) => value === undefined || assert.deepStrictEqual(value, [{ v: i }]));
      return ended.every(({ error }) => error === undefined);
    });
  });
});

/** @param {string} sql whether the server runs what is like it */
const running = async (sql) =>
  (
    await db.sql(
      "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE $1 AND query NOT LIKE '%pg_stat_activity%'",
      [sql],
    )
  ).length > 0;
