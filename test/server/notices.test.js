'use strict';

// Notices, and the fields of a result.

const assert = require('node:assert/strict');
const { EventEmitter, once } = require('node:events');
const { describe } = require('node:test');
const { test, failureOf, printedBy, range, until, useCluster } = require('../support/helpers');

const db = useCluster({ nodes: 2, synchronous: false });

const raising = (/** @type {string} */ text) => `DO $$ BEGIN RAISE NOTICE '${text}'; END $$`;

/** Collects the notices of a pool. @param {any} pool */
function heard(pool) {
  /** @type {any[]} */
  const notices = [];
  pool.on('notice', (/** @type {any} */ notice) => notices.push(notice));
  return notices;
}

describe('the event notice', () => {
  test('notice event: has every field that the server sent, and the node', async (t) => {
    const pool = db.pool(t);
    const notices = heard(pool);
    await pool.query(`DO $$ BEGIN RAISE WARNING USING MESSAGE = 'm é', DETAIL = 'd', HINT = 'h', ERRCODE = '01ABC',
      SCHEMA = 's', TABLE = 't', COLUMN = 'c', DATATYPE = 'dt', CONSTRAINT = 'k'; END $$`);
    const [{ where, file, line, routine, ...rest }] = notices;
    const { host, port } = db.cluster.primary();
    assert.deepStrictEqual(rest, {
      severity: 'WARNING',
      code: '01ABC',
      message: 'm é',
      detail: 'd',
      hint: 'h',
      schema: 's',
      table: 't',
      column: 'c',
      dataType: 'dt',
      constraint: 'k',
      node: `${host}:${port}`,
    });
    assert.match(where, /^PL\/pgSQL function inline_code_block line 1 at RAISE/);
    assert.deepEqual([file, routine, typeof line], ['pl_exec.c', 'exec_stmt_raise', 'number']);
    assert.equal(notices.length, 1);
  });

  const WAYS = /** @type {[string, (pool: any, sql: string) => Promise<unknown>][]} */ ([
    ['query()', (pool, sql) => pool.query(sql)],
    ['a batch', (pool, sql) => pool.batch([sql])],
    ['exec()', (pool, sql) => pool.exec(`SELECT 1; ${sql}; SELECT 2`)],
    ['a transaction', (pool, sql) => pool.transaction((/** @type {any} */ tx) => tx.query(sql))],
    ['exec() in a transaction', (pool, sql) => pool.transaction((/** @type {any} */ tx) => tx.exec(sql))],
    ['a statement that fails', (pool, sql) => failureOf(pool.query(sql.replace('END', 'PERFORM 1/0; END')))],
  ]);
  for (const [name, run] of WAYS) {
    test(`notice event: that of ${name} comes before its promise settles`, async (t) => {
      const pool = db.pool(t);
      const notices = heard(pool);
      for (const i of range(20)) {
        await run(pool, raising(`n ${i}`));
        assert.deepEqual(
          notices.map(({ message }) => message),
          range(i + 1).map((n) => `n ${n}`),
        );
      }
    });
  }

  test('notice event: those of streamed rows come in their order', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    await pool.exec(
      "CREATE FUNCTION told(i int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE '%', i; RETURN i; END $$",
    );
    const notices = heard(pool);
    let rows = 0;
    for await (const _ of pool.stream('SELECT told(i) FROM generate_series(1, 5000) i')) rows++;
    assert.deepEqual(
      notices.map(({ message }) => Number(message)),
      range(rows).map((i) => i + 1),
    );
    await pool.query('DROP FUNCTION told');
  });

  test('notice event: none below client_min_messages, and none of another pool', async (t) => {
    const quiet = db.pool(t, { options: { client_min_messages: 'warning' } });
    const loud = db.pool(t);
    const [few, all] = [heard(quiet), heard(loud)];
    await quiet.query(raising('a'));
    await loud.query(raising('b'));
    assert.deepEqual([few, all.map(({ message }) => message)], [[], ['b']]);
  });

  test('notice event: those that the server itself raises arrive', async (t) => {
    const pool = db.pool(t);
    const notices = heard(pool);
    await pool.query('DROP TABLE IF EXISTS not_there');
    await pool.exec('COMMIT');
    assert.deepEqual(
      notices.map(({ severity, code, where }) => [severity, code, where]),
      [
        ['NOTICE', '00000', undefined],
        ['WARNING', '25P01', undefined],
      ],
    );
  });

  test('notice event: idle connections, logins and the monitor raise none', async (t) => {
    const pool = db.pool(t, { monitor: { intervalMs: 20 } });
    const notices = heard(pool);
    await Promise.all(range(10).map(() => pool.query('SELECT pg_sleep(0.1)')));
    await pool.exec('SELECT 1');
    assert.deepEqual(notices, []);
  });
});

describe('listeners of the event notice', () => {
  test('notice listeners come and go in every way that an EventEmitter knows', async (t) => {
    const pool = db.pool(t);
    assert.ok(pool instanceof EventEmitter);
    const said = async () => {
      let count = 0;
      const listener = () => count++;
      for (const add of ['on', 'addListener', 'once', 'prependListener', 'prependOnceListener']) {
        assert.equal(pool[add]('notice', listener), pool);
        await pool.query(raising(add));
        pool.off('notice', listener);
        await pool.query(raising('nobody hears'));
      }
      return count;
    };
    assert.equal(await said(), 5);
    heard(pool);
    pool.removeAllListeners();
    assert.equal(await said(), 5);
    const [event] = await Promise.all([once(pool, 'notice'), pool.query(raising('once'))]);
    assert.equal(event[0].message, 'once');
    assert.deepEqual(pool.eventNames(), []);
  });

  test('notice listeners may be added between two statements of a transaction', async (t) => {
    const pool = db.pool(t);
    const tx = await pool.begin();
    await tx.query(raising('before'));
    const notices = heard(pool);
    await tx.query(raising('after'));
    await tx.commit();
    assert.deepEqual(
      notices.map(({ message }) => message),
      ['after'],
    );
  });

  test('notice listeners that throw: an uncaught exception, as of any event, and no statement fails', async () => {
    const lines = await printedBy(
      db,
      `const pool = createPool(options);
       process.on('uncaughtException', (error) => print('uncaught', error.message));
       pool.on('notice', ({ message }) => { throw new Error(message); });
       print(await pool.query(${JSON.stringify(raising('thrown'))}), await pool.query('SELECT 1 AS v'));
       await pool.end();`,
    );
    assert.deepEqual(lines, ['uncaught thrown', '[] [{"v":1}]']);
  });

  test('notice listeners hear nothing after end()', async (t) => {
    const pool = db.pool(t);
    await pool.query('SELECT 1');
    await pool.end();
    heard(pool);
  });
});

describe('a flood of notices', () => {
  const flood = (/** @type {number} */ count) =>
    `DO $$ BEGIN FOR i IN 1..${count} LOOP RAISE NOTICE '% %', i, repeat('x', 2000); END LOOP; END $$`;
  // Half of them in memory would be more than twice as much.
  const MOST_MB = 50;
  const measured = (/** @type {string} */ listener, /** @type {number} */ count) => `
    const pool = createPool(options);
    await pool.query('SELECT 1');
    const before = process.memoryUsage().rss;
    let most = before;
    const look = () => { most = Math.max(most, process.memoryUsage().rss); };
    let count = 0;
    ${listener}
    const timer = setInterval(look, 10);
    await pool.query(${JSON.stringify(flood(count))});
    look();
    clearInterval(timer);
    print(count, Math.round((most - before) / 1e6));
    await pool.end();`;

  test('a flood of notices without a listener takes no memory', async () => {
    const [line] = await printedBy(db, measured('', 200_000));
    const [count, mb] = line.split(' ').map(Number);
    assert.equal(count, 0);
    assert.ok(mb < MOST_MB, `${mb} MB`);
  });

  test('a flood of notices waits in the server for a slow listener', async () => {
    const slow = `pool.on('notice', () => {
      if (++count % 1000 !== 0) return;
      look();
      for (const until = performance.now() + 80; performance.now() < until;);
    });`;
    const [line] = await printedBy(db, measured(slow, 100_000), { flags: ['--max-old-space-size=40'] });
    const [count, mb] = line.split(' ').map(Number);
    assert.equal(count, 100_000, 'none is lost');
    assert.ok(mb < MOST_MB * 2, `${mb} MB`);
  });
});

describe('result.fields', () => {
  const none = { tableOid: null, columnNumber: null };
  /** Each way to get the fields of a result. @type {[string, (pool: any, sql: string) => Promise<any>][]} */
  const WAYS = [
    ['query()', async (pool, sql) => (await pool.query(sql)).fields],
    ['rowMode array', async (pool, sql) => (await pool.query(sql, [], { rowMode: 'array' })).fields],
    ['batch()', async (pool, sql) => (await pool.batch([sql]))[0].value.fields],
    ['exec()', async (pool, sql) => (await pool.exec(`SELECT 1; ${sql}`))[1].fields],
    ['exec(), rowMode array', async (pool, sql) => (await pool.exec(sql, { rowMode: 'array' }))[0].fields],
    ['tx.query()', (pool, sql) => pool.transaction(async (/** @type {any} */ tx) => (await tx.query(sql)).fields)],
    ['tx.exec()', (pool, sql) => pool.transaction(async (/** @type {any} */ tx) => (await tx.exec(sql))[0].fields)],
  ];
  for (const [name, fieldsOf] of WAYS) {
    test(`result.fields of ${name} describe the columns`, async (t) => {
      const pool = db.pool(t);
      await pool.exec(`CREATE TYPE hue AS ENUM ('red');
        CREATE TABLE described (id int8, gone int, name varchar(10), price numeric(8, 2), h hue, hs hue[]);
        ALTER TABLE described DROP COLUMN gone`);
      const [{ oid, hue, hues }] = await db.sql(
        "SELECT 'described'::regclass::oid AS oid, 'hue'::regtype::oid AS hue, 'hue[]'::regtype::oid AS hues",
      );
      const column = (
        /** @type {string} */ title,
        /** @type {number} */ typeOid,
        /** @type {string} */ typeName,
        /** @type {number} */ columnNumber,
        typeModifier = -1,
      ) => ({ name: title, typeOid: Number(typeOid), typeName, typeModifier, tableOid: Number(oid), columnNumber });
      const fields = [
        column('id', 20, 'int8', 1),
        column('called', 1043, 'varchar', 3, 14),
        column('price', 1700, 'numeric', 4, (8 << 16) + 2 + 4),
        column('h', hue, 'hue', 5),
        column('hs', hues, '_hue', 6),
        { name: '?column?', typeOid: 23, typeName: 'int4', typeModifier: -1, ...none },
        { name: 'id', typeOid: 25, typeName: 'text', typeModifier: -1, ...none },
        { name: '__proto__', typeOid: 16, typeName: 'bool', typeModifier: -1, ...none },
      ];
      const select = `SELECT id, name AS called, price, h, hs, 1 + 1, 'x'::text AS id, true AS "__proto__" FROM described`;
      assert.deepStrictEqual(await fieldsOf(pool, select), fields, 'no rows');
      await pool.query("INSERT INTO described VALUES (1, 'a', 1, 'red', '{red}')");
      assert.deepStrictEqual(await fieldsOf(pool, select), fields, 'rows');
      assert.deepStrictEqual(await fieldsOf(pool, 'DELETE FROM described RETURNING id'), fields.slice(0, 1));
      for (const without of [
        'SELECT',
        'SELECT FROM described',
        'DELETE FROM described',
        'SET DateStyle = ISO',
        'CREATE TABLE other (id int)',
        'DROP TABLE other',
      ])
        assert.deepStrictEqual(await fieldsOf(pool, without), [], without);
      await pool.exec('DROP TABLE described; DROP TYPE hue');
    });
  }

  test('result.fields are not enumerable, and a repeated statement has the same', async (t) => {
    const pool = db.pool(t);
    const [first, second] = [await pool.query('SELECT 1 AS v'), await pool.query('SELECT 1 AS v')];
    assert.equal(first.fields, second.fields);
    const [scripted] = await pool.exec('SELECT 1 AS v');
    for (const rows of [first, scripted])
      assert.deepEqual([Object.keys(rows), JSON.stringify(rows)], [['0'], '[{"v":1}]']);
  });
});

test('a notice does not hold back other pools', async (t) => {
  const [noisy, other] = [db.pool(t, { poolSize: 1 }), db.pool(t)];
  const notices = heard(noisy);
  const flood = noisy.query("DO $$ BEGIN FOR i IN 1..20000 LOOP RAISE NOTICE '%', i; END LOOP; END $$");
  for (const i of range(20)) assert.deepEqual(await other.query('SELECT $1::int AS v', [i]), [{ v: i }]);
  await flood;
  await until('all are told', () => notices.length === 20_000);
});
