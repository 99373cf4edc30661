'use strict';

// maxResultBytes: a result that is too large is an error of its statement alone. The connection goes on, other statements on it
// succeed, and the rows beyond the limit take no memory.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { createPool } = require('../../client.js');
const { endings, test, failureOf, printedBy, range, useCluster } = require('../support/helpers');

const db = useCluster({ nodes: 1 });

const LIMIT = 100_000;
/** A result of one row, several times as large as the limit. */
const ONE = `SELECT repeat('x', ${LIMIT * 3}) AS v`;
/** The same with many rows. */
const MANY = 'SELECT i, repeat(i::text, 10) AS v FROM generate_series(1, 50000) i';

/** @param {any} pool */
const pidOf = (pool) => pool.value('SELECT pg_backend_pid()');

/** @param {any} error */
function assertTooLarge(error) {
  assert.equal(error.code, 'ERR_RESULT_TOO_LARGE', error.stack);
  assert.match(error.message, /maxResultBytes/);
  assert.ok(['not-applied', 'applied', 'unknown'].includes(error.outcome), `outcome: ${error.outcome}`);
  assert.match(error.stack, /limits\.test\.js/);
}

describe('maxResultBytes: a result that is too large', () => {
  for (const [what, sql] of [
    ['one row', ONE],
    ['many rows', MANY],
  ]) {
    test(`maxResultBytes: a result of ${what} beyond the limit is ERR_RESULT_TOO_LARGE, and the same connection goes on`, async (t) => {
      const pool = db.pool(t, { poolSize: 1, maxResultBytes: LIMIT });
      const pid = await pidOf(pool);
      for (const _ of range(3)) {
        assertTooLarge(await failureOf(pool.query(sql)));
        assert.equal(await pidOf(pool), pid);
      }
      for (const options of [{ rowMode: 'array' }, { readOnly: true }, { timeoutMs: 20_000 }]) {
        assertTooLarge(await failureOf(pool.query(sql, [], options)));
      }
      assert.equal(await pidOf(pool), pid);
    });
  }

  test('maxResultBytes: the outcome of ERR_RESULT_TOO_LARGE says whether the statement was applied', async (t) => {
    const pool = db.pool(t, { poolSize: 1, maxResultBytes: LIMIT });
    await pool.query('CREATE TABLE written (v text)');
    for (const rows of [1, 2_000]) {
      const error = await failureOf(
        pool.query(
          `INSERT INTO written SELECT repeat('x', ${(LIMIT * 3) / rows}) FROM generate_series(1, ${rows}) RETURNING v`,
        ),
      );
      assertTooLarge(error);
      const count = await pool.value('SELECT count(*)::int4 FROM written');
      if (error.outcome !== 'unknown') assert.equal(count, error.outcome === 'applied' ? rows : 0);
      await pool.query('TRUNCATE written');
    }
    await pool.query('DROP TABLE written');
  });

  test('maxResultBytes: the other statements on the connection have their results', async (t) => {
    const pool = db.pool(t, { poolSize: 1, maxResultBytes: LIMIT });
    await Promise.all([pool.query('SELECT $1::int4 AS v', [0]), failureOf(pool.query(MANY))]);
    const ended = await endings(
      range(60).map((i) => (i % 7 === 3 ? pool.query(i % 2 ? ONE : MANY) : pool.query('SELECT $1::int4 AS v', [i]))),
    );
    ended.forEach(({ value, error }, i) => {
      if (i % 7 === 3) assertTooLarge(error);
      else assert.deepStrictEqual(value, [{ v: i }]);
    });
  });

  test('maxResultBytes in a transaction: the statement fails, and ROLLBACK works', async (t) => {
    const pool = db.pool(t, { poolSize: 1, maxResultBytes: LIMIT });
    const pid = await pidOf(pool);
    const tx = await pool.begin();
    await tx.query('SELECT 1');
    assertTooLarge(await failureOf(tx.query(MANY)));
    await tx.rollback();
    assertTooLarge(await failureOf(pool.transaction((/** @type {any} */ inner) => inner.query(ONE))));
    assert.equal(await pidOf(pool), pid);
  });

  test('maxResultBytes in a batch: only the statement with the large result fails', async (t) => {
    const pool = db.pool(t, { poolSize: 1, maxResultBytes: LIMIT });
    const pid = await pidOf(pool);
    const ends = await pool.batch([['SELECT 1 AS v'], [MANY], ['SELECT 2 AS v'], [ONE], ['SELECT 3 AS v']]);
    assert.deepEqual(
      ends.map((/** @type {any} */ { value, reason }) => value?.[0].v ?? reason.code),
      [1, 'ERR_RESULT_TOO_LARGE', 2, 'ERR_RESULT_TOO_LARGE', 3],
    );
    const error = await failureOf(pool.batch([['SELECT 1'], [MANY]], { transaction: true }));
    assertTooLarge(error);
    assert.equal(error.statementIndex, 1);
    assert.equal(await pidOf(pool), pid);
  });

  test('maxResultBytes of a script: ERR_RESULT_TOO_LARGE', async (t) => {
    const pool = db.pool(t, { poolSize: 1, maxResultBytes: LIMIT });
    assertTooLarge(await failureOf(pool.exec(`SELECT 1; ${MANY}; SELECT 2`)));
    assertTooLarge(await failureOf(pool.exec(ONE)));
    assert.equal(await pool.value('SELECT 1'), 1);
  });
});

describe('maxResultBytes: a result that is not too large', () => {
  test('maxResultBytes: each result counts for itself', async (t) => {
    const pool = db.pool(t, { poolSize: 1, maxResultBytes: LIMIT });
    const small = `SELECT repeat('x', ${Math.round(LIMIT * 0.8)}) AS v`;
    await Promise.all(range(20).map(() => pool.query(small)));
    await pool.transaction(async (/** @type {any} */ tx) => {
      for (const _ of range(5)) await tx.query(small);
    });
  });

  test('maxResultBytes: without the option there is no limit', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const [{ v }] = await pool.query("SELECT repeat('x', 5000000) AS v");
    assert.equal(v.length, 5_000_000);
  });

  test('maxResultBytes is exact: a result of as many bytes passes, one byte more does not', async () => {
    const size = 50_000;
    /** @param {number} maxResultBytes @param {string} sql */
    const fits = async (maxResultBytes, sql) => {
      const pool = createPool(/** @type {any} */ (db.options({ poolSize: 1, maxResultBytes, monitor: false })));
      const [{ error }] = await endings([pool.query(sql)]);
      await pool.end();
      if (error !== undefined) assertTooLarge(error);
      return error === undefined;
    };
    /** The smallest limit with which the result fits. @param {string} sql */
    const least = async (sql) => {
      let [low, high] = [size / 2, size * 2];
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (await fits(middle, sql)) high = middle;
        else low = middle;
      }
      return high;
    };
    const one = await least(`SELECT repeat('x', ${size}) AS v`);
    assert.ok(one >= size && one < size + 200, `${size} bytes of text count as ${one}`);
    assert.equal(await fits(one, `SELECT repeat('x', ${size - 1}) AS v`), true);
    assert.equal(await fits(one, `SELECT repeat('x', ${size + 1}) AS v`), false);
    // In many rows as in one: each row has a few bytes of its own.
    const many = await least(`SELECT repeat('x', ${size / 100}) AS v FROM generate_series(1, 100)`);
    assert.ok(many >= size && many < size + 100 * 32, `${size} bytes in 100 rows count as ${many}`);
  });
});

describe('maxResultBytes: memory', () => {
  /** @type {[string, string, number][]} */
  const HUGE = [
    ['a single row of 200 MB', "SELECT repeat('x', 200000000) AS v", 60],
    ['200 MB in small rows', "SELECT i, repeat('x', 180) AS v FROM generate_series(1, 1000000) i", 60],
  ];
  for (const [what, sql, megabytes] of HUGE) {
    test(`maxResultBytes: a result beyond the limit takes next to no memory: ${what}`, {
      timeout: 180_000,
    }, async () => {
      const [line] = await printedBy(
        db,
        `
        const pool = createPool(options);
        const codes = [];
        await pool.query('SELECT 1');
        const before = process.resourceUsage().maxRSS;
        for (let i = 0; i < 2; i++) await pool.query(${JSON.stringify(sql)}).catch((error) => codes.push(error.code));
        await pool.query('SELECT 1');
        print({ codes, grown: (process.resourceUsage().maxRSS - before) / 1024 });
        await pool.end();`,
        { options: { poolSize: 1, maxResultBytes: 1_000_000 }, killMs: 120_000 },
      );
      const { codes, grown } = JSON.parse(line);
      assert.deepEqual(codes, ['ERR_RESULT_TOO_LARGE', 'ERR_RESULT_TOO_LARGE']);
      assert.ok(grown < megabytes, `${grown} MB`);
    });
  }
});

describe('maxResultBytes: wrong values', () => {
  for (const maxResultBytes of [0, -1, 1.5, '1MB', null, Number.NaN]) {
    test(`maxResultBytes: ${maxResultBytes} is refused`, () => {
      assert.throws(() => createPool(/** @type {any} */ ({ maxResultBytes })), {
        code: 'ERR_INVALID_OPTION',
        message: /^maxResultBytes must be /,
      });
    });
  }
});
