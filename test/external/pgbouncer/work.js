'use strict';

// Every kind of work that a pool does. Each result contains the number of its caller: when many run at once over few server
// connections, a result that belongs to another caller is noticed.

const assert = require('node:assert/strict');
const { failureOf, range } = require('../../support/helpers');

/** Types that have to be looked up in the catalog, and a table. */
const SCHEMA = `
  CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
  CREATE TYPE place AS (name text, at float8, moods mood[]);
  CREATE DOMAIN percent AS int4 CHECK (VALUE BETWEEN 0 AND 100);
  CREATE TABLE ledger (who int8, n int4, note text, PRIMARY KEY (who, n));`;

const MOODS = ['sad', 'ok', 'happy'];

/**
 * Values of every kind of type, both ways.
 * @param {any} pool
 * @param {number} n
 */
async function types(pool, n) {
  const place = { name: `p${n}`, at: n / 2, moods: [MOODS[n % 3], 'ok'] };
  const [row] = await pool.query(
    `SELECT $1::int4 AS int4, $2::int8 AS int8, $3::numeric AS numeric, $4::text AS text, $5::int4[] AS ints, $6::text[] AS texts,
       $7::jsonb AS json, $8::mood AS mood, $9::mood[] AS moods, $10::place AS place, $11::percent AS percent,
       $12::bytea AS bytea, $13::timestamptz AS at, $14::int4range AS range, $15::bool AS bool, $16::uuid AS uuid`,
    [
      n,
      BigInt(n) << 33n,
      `${n}.50`,
      `text ${n} é`,
      [n, null, n + 1],
      [`a${n}`, 'b,"c"'],
      { n, list: [n, { deep: true }] },
      MOODS[n % 3],
      [MOODS[n % 3], null],
      place,
      n % 100,
      Buffer.from([n & 255, 0, 255]),
      new Date(n * 1000),
      { lower: n, upper: n + 5, bounds: '[)' },
      n % 2 === 0,
      `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`,
    ],
  );
  assert.deepStrictEqual(
    { ...row, bytea: [...row.bytea] },
    {
      int4: n,
      int8: BigInt(n) << 33n,
      numeric: `${n}.50`,
      text: `text ${n} é`,
      ints: [n, null, n + 1],
      texts: [`a${n}`, 'b,"c"'],
      json: { n, list: [n, { deep: true }] },
      mood: MOODS[n % 3],
      moods: [MOODS[n % 3], null],
      place,
      percent: n % 100,
      bytea: [n & 255, 0, 255],
      at: row.at,
      range: `[${n},${n + 5})`,
      bool: n % 2 === 0,
      uuid: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`,
    },
  );
  assert.equal(Date.parse(row.at), n * 1000);
}

/** Many statement texts, some of them again and again. @param {any} pool @param {number} n */
async function statements(pool, n) {
  const answers = await Promise.all(
    range(12).map((i) => pool.query(`SELECT $1::int4 + ${i % 5} AS v, ${n % 7} AS text`, [n * 100 + i])),
  );
  answers.forEach(([row], i) => assert.deepStrictEqual(row, { v: n * 100 + i + (i % 5), text: n % 7 }));
}

/** @param {any} pool @param {number} n */
async function transactions(pool, n) {
  const insert = 'INSERT INTO ledger VALUES ($1, $2, $3)';
  await pool.transaction(async (/** @type {any} */ tx) => {
    const before = await tx.value('SELECT pg_backend_pid()');
    await tx.query(insert, [n, 1, 'kept']);
    await Promise.all(range(3).map((i) => tx.query(insert, [n, 10 + i, `kept ${i}`])));
    assert.equal(await tx.value('SELECT count(*)::int4 FROM ledger WHERE who = $1', [n]), 4);
    assert.equal(await tx.value('SELECT pg_backend_pid()'), before, 'one server connection');
  });
  const error = await failureOf(
    pool.transaction(async (/** @type {any} */ tx) => {
      await tx.query(insert, [n, 2, 'undone']);
      await tx.query(insert, [n, 1, 'a duplicate']);
    }),
  );
  assert.equal(error.code, '23505', error.stack);
  const tx = await pool.begin({ readOnly: true });
  assert.equal((await failureOf(tx.query(insert, [n, 3, 'never']))).code, '25006');
  await tx.rollback();
  assert.equal(await pool.value('SELECT count(*)::int4 FROM ledger WHERE who = $1', [n]), 4);
}

/** @param {any} pool @param {number} n */
async function batches(pool, n) {
  const ends = await pool.batch([
    ['SELECT $1::int4 AS v', [n]],
    ['SELECT 1 / $1::int4', [0]],
    ['SELECT $1::mood AS v', [MOODS[n % 3]]],
    'SELECT 1 AS v',
  ]);
  assert.deepStrictEqual(
    ends.map((/** @type {any} */ end) => end.value?.[0].v ?? end.reason.code),
    [n, '22012', MOODS[n % 3], 1],
  );
  const insert = 'INSERT INTO ledger VALUES ($1, $2)';
  const whole = [
    [insert, [n, 20]],
    ['SELECT count(*)::int4 AS v FROM ledger WHERE who = $1 AND n = 20', [n]],
  ];
  const [, [{ v }]] = await pool.batch(whole, { transaction: true });
  assert.equal(v, 1);
  const error = await failureOf(pool.batch([[insert, [n, 21]], whole[0]], { transaction: true }));
  assert.equal(error.code, '23505', error.stack);
  assert.equal(await pool.value('SELECT count(*)::int4 FROM ledger WHERE who = $1 AND n > 19', [n]), 1);
}

/** @param {any} pool @param {number} n */
async function streams(pool, n) {
  const sql = 'SELECT $1::int4 + i AS v FROM generate_series(1, $2::int4) i';
  let next = n;
  for await (const { v } of pool.stream(sql, [n, 3000], { batchSize: 100 })) assert.equal(v, ++next);
  assert.equal(next, n + 3000);
  for await (const { v } of pool.stream(sql, [n, 1_000_000])) {
    assert.equal(v, n + 1);
    break; // is cancelled on the server
  }
}

/** @param {any} pool @param {number} n */
async function copies(pool, n) {
  const { rowCount } = await pool.copyFrom(
    'ledger (who, n, note)',
    range(500).map((i) => [n, 1000 + i, `row ${i}`]),
  );
  assert.equal(rowCount, 500);
  let text = '';
  for await (const piece of pool.copyTo(
    `COPY (SELECT n FROM ledger WHERE who = ${n} AND n >= 1000 ORDER BY n) TO STDOUT`,
  )) {
    text += piece;
  }
  assert.equal(
    text,
    range(500)
      .map((i) => `${1000 + i}\n`)
      .join(''),
  );
  const error = await failureOf(
    pool.copyFrom('ledger (who, n)', [
      [n, 2000],
      [n, 1000],
    ]),
  );
  assert.equal(error.code, '23505', error.stack);
}

/** @param {any} pool @param {number} n */
async function scripts(pool, n) {
  const [[first], [second]] = await pool.exec(`SELECT ${n} AS v; SELECT '${MOODS[n % 3]}'::mood AS v`);
  assert.deepStrictEqual([first.v, second.v], [n, MOODS[n % 3]]);
  const error = await failureOf(pool.exec(`INSERT INTO ledger VALUES (${n}, 30); SELECT 1 / 0`));
  assert.deepEqual([error.code, error.statementIndex, error.outcome], ['22012', 1, 'not-applied'], error.stack);
  await pool.transaction(async (/** @type {any} */ tx) => {
    await tx.exec(`INSERT INTO ledger VALUES (${n}, 31); INSERT INTO ledger VALUES (${n}, 32)`);
  });
  assert.equal(await pool.value('SELECT count(*)::int4 FROM ledger WHERE who = $1 AND n BETWEEN 30 AND 39', [n]), 2);
}

/** @param {any} pool @param {number} n */
async function errors(pool, n) {
  const table = /** @type {[string, unknown[], string][]} */ ([
    ['SELECT nothing', [], '42703'],
    ['SELEC', [], '42601'],
    ['SELECT $1::int4', ['no number'], '22P02'],
    ['SELECT 1 / $1::int4', [0], '22012'],
    ['SELECT $1::mood', ['angry'], '22P02'],
    [`SELECT $1::int4 FROM nowhere_${n % 3}`, [n], '42P01'],
  ]);
  const found = await Promise.all(table.map(([sql, params]) => failureOf(pool.query(sql, params))));
  assert.deepEqual(
    found.map(({ code }) => code),
    table.map(([, , code]) => code),
  );
  assert.equal(await pool.value('SELECT $1::int4', [n]), n);
}

/** @param {any} pool @param {number} n */
async function cancels(pool, n) {
  const late = await failureOf(pool.query('SELECT pg_sleep(30), $1::int4', [n], { timeoutMs: 50 }));
  assert.deepEqual([late.name, late.outcome], ['QueryTimeoutError', 'not-applied'], late.stack);
  const signal = AbortSignal.timeout(50);
  const ended = await failureOf(pool.query('SELECT pg_sleep(30)', [], { signal }));
  assert.equal(ended.name, 'AbortError', ended.stack);
  assert.equal(await pool.value('SELECT $1::int4', [n]), n);
}

/** @type {Record<string, (pool: any, n: number) => Promise<void>>} */
const WORK = {
  types,
  statements,
  transactions,
  batches,
  streams,
  copies,
  scripts,
  errors,
  cancels,
};

module.exports = { SCHEMA, WORK };
