'use strict';

// Statements whose names lead elsewhere from one transaction to the next: tenants by search_path, roles with a schema of their
// own, and temporary tables.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { test, range, useCluster } = require('../support/helpers');
const { PLACES, WITHIN, usePlans } = require('../support/plans');

const plans = usePlans(useCluster({ nodes: 1 }));

// Tables, views and functions of the same names with other columns. Column `v` of S2 and `w` of S3 have the type of another column
// elsewhere, so that a value that is decoded by the wrong plan is seen.
const TENANTS = `
  CREATE TABLE S1.t (id int, v int);
  CREATE TABLE S2.t (id int, v text, more bool DEFAULT true);
  CREATE TABLE S3.t (v int, id int DEFAULT 0);
  INSERT INTO S1.t VALUES (1, 10), (2, 11);
  INSERT INTO S2.t VALUES (1, '20'), (2, '21');
  INSERT INTO S3.t (v, id) VALUES (30, 1), (31, 2);
  CREATE VIEW S1.seen AS SELECT * FROM S1.t; CREATE VIEW S2.seen AS SELECT * FROM S2.t; CREATE VIEW S3.seen AS SELECT * FROM S3.t;
  CREATE FUNCTION S1.found(n int) RETURNS SETOF S1.t LANGUAGE sql AS 'SELECT * FROM S1.t WHERE id = n';
  CREATE FUNCTION S2.found(n int) RETURNS TABLE (id int, v text, more bool) LANGUAGE sql AS 'SELECT * FROM S2.t WHERE id = n';
  CREATE FUNCTION S3.found(n int) RETURNS SETOF S3.t LANGUAGE sql AS 'SELECT * FROM S3.t WHERE id = n';
  CREATE FUNCTION S.enter(tenant text) RETURNS void LANGUAGE plpgsql
    AS $$ BEGIN PERFORM set_config('search_path', tenant, true); END $$;`;

const NUMBERS = /** @type {const} */ ([1, 2, 3]);

/** The row with an id and the last digit of its v, as each tenant has it. @type {Record<number, (id: number, last: number) => object>} */
const ROW = {
  1: (id, last) => ({ id, v: 10 + last }),
  2: (id, last) => ({ id, v: `${20 + last}`, more: true }),
  3: (id, last) => ({ v: 30 + last, id }),
};

/**
 * Statements without a schema's name. `v` goes as text, which every tenant's type reads.
 * @type {Record<string, { sql: string, params: (tenant: number) => unknown[], rows: (tenant: number) => object[] }>}
 */
const STATEMENTS = {
  'SELECT *': {
    sql: 'SELECT * FROM t WHERE id < 3 ORDER BY id',
    params: () => [],
    rows: (tenant) => [ROW[tenant](1, 0), ROW[tenant](2, 1)],
  },
  'SELECT * with a parameter': {
    sql: 'SELECT * FROM t WHERE id = $1',
    params: () => [2],
    rows: (tenant) => [ROW[tenant](2, 1)],
  },
  'SELECT by a column that has another type': {
    sql: 'SELECT id FROM t WHERE v = $1 AND id < 3',
    params: (tenant) => [`${tenant}1`],
    rows: () => [{ id: 2 }],
  },
  'INSERT RETURNING *': {
    sql: 'INSERT INTO t (id, v) VALUES ($1, $2) RETURNING *',
    params: (tenant) => [7, `${tenant}7`],
    rows: (tenant) => [ROW[tenant](7, 7)],
  },
  'UPDATE RETURNING *': {
    sql: 'UPDATE t SET v = $2 WHERE id = $1 RETURNING *',
    params: (tenant) => [1, `${tenant}0`],
    rows: (tenant) => [ROW[tenant](1, 0)],
  },
  'SELECT * from a view': {
    sql: 'SELECT * FROM seen WHERE id = $1',
    params: () => [1],
    rows: (tenant) => [ROW[tenant](1, 0)],
  },
  'SELECT * from a function': {
    sql: 'SELECT * FROM found($1)',
    params: () => [2],
    rows: (tenant) => [ROW[tenant](2, 1)],
  },
};

/** How a transaction goes to a tenant. @type {Record<string, (tx: any, tenant: string, within: (sql: string) => string) => Promise<unknown>>} */
const ENTRIES = {
  'SET LOCAL by query()': (tx, tenant) => WITHIN['query()'](tx, [`SET LOCAL search_path = ${tenant}`]),
  'SET LOCAL by exec()': (tx, tenant) => WITHIN['exec()'](tx, [`SET LOCAL search_path = ${tenant}`]),
  'SET LOCAL in a DO block': (tx, tenant) => WITHIN['a DO block'](tx, [`SET LOCAL search_path = ${tenant}`]),
  'set_config()': (tx, tenant) => tx.query("SELECT set_config('search_path', $1, true)", [tenant]),
  'a function': (tx, tenant, within) => tx.query(within('SELECT S.enter($1)'), [tenant]),
};

/** @param {Record<string, unknown>} [options] */
async function tenants(/** @type {any} */ t, options) {
  const within = await plans.schema(TENANTS);
  const pool = await plans.pool(t, options);
  return {
    pool,
    within,
    /** @param {any} tx @param {number} tenant */
    enter: (tx, tenant, entry = 'SET LOCAL by query()') => ENTRIES[entry](tx, within(`S${tenant}`), within),
    /** @param {any} tx @param {string} what @param {number} tenant */
    check: async (tx, what, tenant) => {
      const { sql, params, rows } = STATEMENTS[what];
      assert.deepEqual(await tx.query(sql, params(tenant)), rows(tenant), `tenant ${tenant}`);
    },
  };
}

describe('search_path within transactions', () => {
  for (const entry of Object.keys(ENTRIES)) {
    for (const what of Object.keys(STATEMENTS)) {
      test(`transactions that go to tenants by ${entry} each have the rows of their tenant: ${what}`, async (t) => {
        const { pool, enter, check } = await tenants(t);
        for (const tenant of [...NUMBERS, ...NUMBERS]) {
          await plans.lasting(pool, async (tx) => {
            await enter(tx, tenant, entry);
            await check(tx, what, tenant);
          });
        }
      });
    }
  }

  for (const place of PLACES) {
    test(`INSERT without RETURNING writes what it was given into the table of its tenant, SET LOCAL in ${place} place`, async (t) => {
      const { pool, enter, within } = await tenants(t);
      for (const tenant of [...NUMBERS, ...NUMBERS]) {
        await plans.lasting(
          pool,
          async (tx) => {
            await enter(tx, tenant);
            const { rowCount } = await tx.query('INSERT INTO t (id, v) VALUES ($1, $2)', [9, `${tenant}9`]);
            assert.equal(rowCount, 1);
          },
          { place },
        );
      }
      for (const tenant of NUMBERS) {
        const rows = await plans.sql(within(`SELECT id, v::text FROM S${tenant}.t WHERE id = 9`));
        assert.deepEqual(
          rows,
          range(2).map(() => ({ id: 9, v: `${tenant}9` })),
        );
      }
    });
  }

  test('one transaction that goes from tenant to tenant has the rows of each', async (t) => {
    const { pool, enter, check } = await tenants(t);
    await plans.lasting(pool, async (tx) => {
      for (const tenant of [1, 2, 1, 3, 2, 3]) {
        await enter(tx, tenant);
        for (const what of Object.keys(STATEMENTS)) await check(tx, what, tenant);
        await tx.query('DELETE FROM t WHERE id = 7');
      }
    });
  });

  test('a transaction is back at its tenant after ROLLBACK TO SAVEPOINT', async (t) => {
    const { pool, enter, check } = await tenants(t);
    await plans.lasting(pool, async (tx) => {
      await enter(tx, 1);
      await check(tx, 'SELECT *', 1);
      for (const entry of Object.keys(ENTRIES)) {
        await tx.query('SAVEPOINT here');
        await enter(tx, 2, entry);
        await check(tx, 'SELECT *', 2);
        await check(tx, 'INSERT RETURNING *', 2);
        await tx.query('ROLLBACK TO here');
        await check(tx, 'SELECT *', 1);
        await tx.query('RELEASE here');
        await check(tx, 'SELECT * with a parameter', 1);
      }
    });
  });

  test('a statement of the pool and one in a transaction each have the rows of their own search_path', async (t) => {
    const { pool, enter, check, within } = await tenants(t, { reset: 'none' });
    await pool.query(within('SET search_path = S1'));
    for (const _ of range(2)) {
      for (const what of Object.keys(STATEMENTS)) {
        await check(pool, what, 1);
        await plans.lasting(pool, async (tx) => {
          await enter(tx, 2);
          await check(tx, what, 2);
        });
        await check(pool, what, 1);
        await pool.query('DELETE FROM t WHERE id = 7');
      }
    }
  });

  test('statements that are sent without waiting each have the rows of the tenant that was set before them', async (t) => {
    const { pool, enter, check } = await tenants(t);
    const what = 'SELECT * with a parameter';
    await plans.lasting(pool, (tx) =>
      Promise.all(
        [1, 2, 3, 1].flatMap((tenant) => [enter(tx, tenant), check(tx, what, tenant), check(tx, 'SELECT *', tenant)]),
      ),
    );
  });
});

describe('SET LOCAL ROLE with "$user" in search_path', () => {
  for (const how of Object.keys(WITHIN)) {
    test(`transactions of several roles each have the table of their role, SET LOCAL ROLE by ${how}`, async (t) => {
      const { pool, within } = await tenants(t);
      const roles = NUMBERS.map((tenant) => within(`S${tenant}`));
      for (const role of roles) {
        await plans.sql(`
          CREATE ROLE ${role}; GRANT ${role} TO CURRENT_USER; GRANT USAGE ON SCHEMA ${role} TO ${role};
          GRANT ALL ON ALL TABLES IN SCHEMA ${role} TO ${role};`);
      }
      t.after(() => plans.sql(roles.map((role) => `DROP OWNED BY ${role}; DROP ROLE ${role}`).join(';')));
      for (const tenant of [...NUMBERS, ...NUMBERS]) {
        const { sql, params, rows } = STATEMENTS['SELECT * with a parameter'];
        await plans.lasting(pool, async (tx) => {
          await WITHIN[how](tx, [`SET LOCAL ROLE ${roles[tenant - 1]}`]);
          assert.deepEqual(await tx.query(sql, params(tenant)), rows(tenant));
          const inserted = STATEMENTS['INSERT RETURNING *'];
          assert.deepEqual(await tx.query(inserted.sql, inserted.params(tenant)), inserted.rows(tenant));
        });
      }
    });
  }
});

describe('temporary tables of one name', () => {
  /** The columns of each time, what goes in as `v`, and the row that comes out. @type {[columns: string, v: unknown, row: object][]} */
  const TIMES = [
    ['id int, v int', 5, { id: 1, v: 5 }],
    ['id int, v text', 'five', { id: 1, v: 'five' }],
    ['v bool, id int, more int DEFAULT 3', true, { v: true, id: 1, more: 3 }],
    ['id int, v int[]', [5, 6], { id: 1, v: [5, 6] }],
  ];

  for (const [how, run] of Object.entries(WITHIN)) {
    test(`CREATE TEMP TABLE ON COMMIT DROP by ${how} with other columns each time: statements have the rows`, async (t) => {
      const pool = await plans.pool(t);
      for (const [columns, v, row] of [...TIMES, ...TIMES]) {
        await plans.lasting(pool, async (tx) => {
          await run(tx, [`CREATE TEMP TABLE scratch (${columns}) ON COMMIT DROP`]);
          assert.equal((await tx.query('INSERT INTO scratch (id, v) VALUES ($1, $2)', [1, v])).rowCount, 1, columns);
          assert.deepEqual(await tx.query('SELECT * FROM scratch'), [row], columns);
          assert.deepEqual(await tx.query('SELECT * FROM scratch WHERE id = $1 AND v = $2', [1, v]), [row], columns);
          assert.deepEqual(await tx.query('DELETE FROM scratch WHERE id = $1 RETURNING *', [1]), [row], columns);
        });
      }
    });
  }

  for (const place of PLACES) {
    test(`CREATE TEMP TABLE AS ON COMMIT DROP in ${place} place with other columns each time: SELECT * has the rows`, async (t) => {
      const pool = await plans.pool(t);
      for (const row of [{ a: 1 }, { b: 'x' }, { a: 1, b: 2 }, { a: true }, { a: 1 }]) {
        const columns = Object.entries(row).map(
          ([name, value]) => `${typeof value === 'string' ? `'${value}'::text` : value} AS ${name}`,
        );
        await plans.lasting(
          pool,
          async (tx) => {
            await tx.query(`CREATE TEMP TABLE scratch ON COMMIT DROP AS SELECT ${columns}`);
            assert.deepEqual(await tx.query('SELECT * FROM scratch'), [row]);
          },
          { place },
        );
      }
    });
  }

  test('a temporary table that is dropped and made anew within a transaction: statements have the rows', async (t) => {
    const pool = await plans.pool(t);
    await plans.lasting(pool, async (tx) => {
      for (const [columns, v, row] of TIMES) {
        await tx.query(`CREATE TEMP TABLE scratch (${columns}) ON COMMIT DROP`);
        await tx.query('INSERT INTO scratch (id, v) VALUES ($1, $2)', [1, v]);
        assert.deepEqual(await tx.query('SELECT * FROM scratch'), [row], columns);
        await tx.query('DROP TABLE scratch');
      }
    });
  });
});
