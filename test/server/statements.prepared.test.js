'use strict';

// Prepared statements go on after DDL and after DEALLOCATE ALL of the caller, and statementCacheSize bounds their number.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { endings, test, failureOf, range, useCluster } = require('../support/helpers');

const db = useCluster({ nodes: 1 });

describe('prepared statements and DDL', () => {
  for (const poolSize of [1, 3]) {
    test(`prepared statements go on after DDL, over ${poolSize} connections`, async (t) => {
      const pool = db.pool(t, { poolSize });
      const everywhere = async (
        /** @type {string} */ sql,
        /** @type {any[]} */ params,
        /** @type {object[]} */ rows,
      ) => {
        for (const answer of await Promise.all(range(poolSize * 4).map(() => pool.query(sql, params))))
          assert.deepStrictEqual(answer, rows);
      };
      const name = `ddl_${poolSize}`;
      const all = `SELECT * FROM ${name}`;
      const one = `SELECT b FROM ${name} WHERE a = $1`;
      await pool.query(`CREATE TABLE ${name} (a int4, b int4)`);
      await pool.query(`INSERT INTO ${name} VALUES (1, 2)`);
      await everywhere(all, [], [{ a: 1, b: 2 }]);
      await everywhere(one, [1], [{ b: 2 }]);

      await pool.query(`ALTER TABLE ${name} ADD COLUMN c text DEFAULT 'c'`);
      await everywhere(all, [], [{ a: 1, b: 2, c: 'c' }]);

      await pool.query(`ALTER TABLE ${name} ALTER COLUMN b TYPE text`);
      await everywhere(one, [1], [{ b: '2' }]);
      await everywhere(all, [], [{ a: 1, b: '2', c: 'c' }]);

      await pool.query(`ALTER TABLE ${name} ALTER COLUMN a TYPE int8`);
      await everywhere(one, [1n], [{ b: '2' }]);
      await everywhere(one, [2 ** 40], []);

      await pool.query(`ALTER TABLE ${name} ALTER COLUMN a TYPE text`);
      await everywhere(one, ['1'], [{ b: '2' }]);

      await pool.query(`DROP TABLE ${name}`);
      const error = await failureOf(pool.query(all));
      assert.equal(error.code, '42P01');
      await pool.query(`CREATE TABLE ${name} (z bool)`);
      await pool.query(`INSERT INTO ${name} VALUES (true)`);
      await everywhere(all, [], [{ z: true }]);
      await pool.query(`ALTER TABLE ${name} RENAME COLUMN z TO y`);
      await everywhere(all, [], [{ y: true }]);
      await pool.query(`DROP TABLE ${name}`);
    });
  }

  test('prepared statements in flight go on after DDL, and each INSERT is done once', async (t) => {
    const pool = db.pool(t, { poolSize: 2, acquireTimeoutMs: 30_000 });
    await pool.query('CREATE TABLE busy (n int4)');
    const insert = 'INSERT INTO busy VALUES ($1) RETURNING *';
    let columns = 0;
    const ended = await endings(
      range(300).map((i) => {
        if (i % 30 === 29) return pool.query(`ALTER TABLE busy ADD COLUMN c${columns++} int4`);
        return pool.query(insert, [i]);
      }),
    );
    for (const { error } of ended) assert.equal(error, undefined);
    assert.deepStrictEqual(
      (await pool.query('SELECT n FROM busy ORDER BY n')).map((/** @type {any} */ { n }) => n),
      range(300).filter((i) => i % 30 !== 29),
    );
    await pool.query('DROP TABLE busy');
  });

  test('prepared statements go on after DEALLOCATE ALL and DISCARD ALL of the caller', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    for (const sql of ['DEALLOCATE ALL', 'DISCARD ALL']) {
      assert.deepStrictEqual(await pool.query('SELECT $1::int4 AS v', [1]), [{ v: 1 }]);
      await pool.query(sql);
      assert.deepStrictEqual(await pool.query('SELECT $1::int4 AS v', [1]), [{ v: 1 }], sql);
      await pool.query('CREATE TEMP TABLE once (n int4)');
      await pool.query('INSERT INTO once VALUES (1)');
      await pool.query('DEALLOCATE ALL');
      await pool.query('INSERT INTO once VALUES (1)');
      assert.deepStrictEqual(await pool.query('SELECT count(*)::int4 AS n FROM once'), [{ n: 2 }]);
      await pool.query('DROP TABLE once');
    }
  });

  test('prepared statements go on after a type is dropped and made again', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    for (const labels of ["'a', 'b'", "'c', 'a'"]) {
      await pool.query(`CREATE TYPE mood AS ENUM (${labels})`);
      assert.deepStrictEqual(await pool.query('SELECT $1::mood AS v', ['a']), [{ v: 'a' }]);
      assert.deepStrictEqual(await pool.query("SELECT ARRAY['a'::mood] AS v"), [{ v: ['a'] }]);
      await pool.query('DROP TYPE mood');
    }
  });
});

describe('statementCacheSize', () => {
  test('statementCacheSize bounds the prepared statements on the server, and the least recently used goes first', async (t) => {
    const pool = db.pool(t, { poolSize: 1, statementCacheSize: 5 });
    const prepared = async () =>
      (await pool.query('SELECT statement FROM pg_prepared_statements')).map((/** @type {any} */ row) => row.statement);
    for (let i = 0; i < 100; i++) {
      await pool.query(`SELECT ${i} AS v`);
      await pool.query("SELECT 'favourite' AS v");
    }
    const statements = await prepared();
    assert.ok(statements.length <= 6, `${statements.length} statements`);
    assert.ok(statements.includes("SELECT 'favourite' AS v"));
    assert.ok(statements.includes('SELECT 99 AS v'));
    assert.ok(!statements.includes('SELECT 10 AS v'));
    assert.deepStrictEqual(await pool.query('SELECT 10 AS v'), [{ v: 10 }]);
  });

  test('prepared statements: those that fail do not pile up on the server', async (t) => {
    const pool = db.pool(t, { poolSize: 1, statementCacheSize: 50 });
    for (let i = 0; i < 20; i++) {
      await failureOf(pool.query('SELECT nothing'));
      await failureOf(pool.query('SELECT $1::int4', ['x']));
      await failureOf(pool.query('SELECT $1::int4', []));
    }
    const [{ n }] = await pool.query('SELECT count(*)::int4 AS n FROM pg_prepared_statements');
    assert.ok(n <= 4, `${n} statements`);
  });

  test('statementCacheSize 8 with thousands of texts at once: each has its own answer', async (t) => {
    const pool = db.pool(t, { poolSize: 2, statementCacheSize: 8, acquireTimeoutMs: 30_000 });
    for (let round = 0; round < 4; round++) {
      const answers = await Promise.all(range(500).map((i) => pool.query(`SELECT ${i + round * 500} AS v`)));
      answers.forEach(([{ v }], i) => assert.equal(v, i + round * 500));
    }
  });
});
