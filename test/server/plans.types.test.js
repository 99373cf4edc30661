'use strict';

// Statements within a transaction whose types have changed since they were prepared: of a column, and so of a parameter, of an enum
// that was dropped and made anew, of a composite type that has another attribute.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { setTimeout: sleep } = require('node:timers/promises');
const { test, range, useCluster } = require('../support/helpers');
const { PLACES, UNSEEN_MS, usePlans, WITHIN } = require('../support/plans');

const plans = usePlans(useCluster({ nodes: 1 }));

/**
 * Types of a column before and after, with a parameter and its text for each. With the old type the new parameter is refused, by
 * the server (22P02) or before it is sent.
 * @type {[from: string, param: unknown, text: string, to: string, param: unknown, text: string][]}
 */
const TYPES = [
  ['int', 7, '7', 'text', 'seven', 'seven'],
  ['text', 'seven', 'seven', 'int', 7, '7'],
  ['text', 'seven', 'seven', 'int', '7', '7'],
  ['int', 7, '7', 'uuid', '5e0cb6d4-0a3f-4b0e-8a57-0d5b3c0e7a11', '5e0cb6d4-0a3f-4b0e-8a57-0d5b3c0e7a11'],
  ['uuid', '5e0cb6d4-0a3f-4b0e-8a57-0d5b3c0e7a11', '5e0cb6d4-0a3f-4b0e-8a57-0d5b3c0e7a11', 'int', 7, '7'],
  ['int', 7, '7', 'bigint', 2 ** 40, '1099511627776'],
  ['bigint', 7n, '7', 'text', 'seven', 'seven'],
  ['int', 7, '7', 'numeric', '7.5', '7.5'],
  ['int', 7, '7', 'bool', true, 'true'],
  ['int', 7, '7', 'int[]', [7, 8], '{7,8}'],
  ['int', 7, '7', 'jsonb', { seven: 8 }, '{"seven": 8}'],
  ['int', 7, '7', 'timestamptz', '2020-02-02 10:00:00Z', '2020-02-02 10:00:00+00'],
  ['text', 'seven', 'seven', 'bytea', Buffer.from([7, 8]), '\\x0708'],
];

/** @type {Record<string, { sql: string, id: number }>} the row whose value shows what came of the statement */
const STATEMENTS = {
  'INSERT without RETURNING': { sql: 'INSERT INTO S.t (id, v) VALUES (2, $1)', id: 2 },
  'INSERT RETURNING': { sql: 'INSERT INTO S.t (id, v) VALUES (2, $1) RETURNING id', id: 2 },
  UPDATE: { sql: 'UPDATE S.t SET v = $1 WHERE id = 1', id: 1 },
  'SELECT in WHERE': { sql: 'SELECT id FROM S.t WHERE v = $1', id: 1 },
  'DELETE in WHERE': { sql: 'DELETE FROM S.t WHERE v = $1 RETURNING 1 AS id', id: 0 },
};

/**
 * A pool that has run the statement with the old type.
 * @param {typeof TYPES[number]} types
 * @param {string} sql
 */
async function scene(/** @type {any} */ t, [from, param, , to, , text], sql) {
  const within = await plans.schema(`CREATE TABLE S.t (id int, v ${from})`);
  const pool = await plans.pool(t);
  await pool.query(within(sql), [param]);
  const change = `ALTER TABLE S.t ALTER COLUMN v TYPE ${to} USING '${text}'`;
  return {
    pool,
    within,
    sql: within(sql),
    change: within(`DELETE FROM S.t; INSERT INTO S.t (id) VALUES (1); ${change}`),
  };
}

/** @param {(sql: string) => string} within @param {number} id @param {string} text */
async function assertStored(within, id, text) {
  const rows = await plans.sql(within('SELECT id, v::text AS v FROM S.t ORDER BY id'));
  if (id === 0) assert.deepEqual(rows, [], 'the row is deleted');
  else assert.deepEqual(rows.at(-1), { id, v: text });
}

describe('a parameter whose type has changed', () => {
  for (const types of TYPES) {
    const [from, , , to, param, text] = types;
    for (const [what, { sql, id }] of Object.entries(STATEMENTS)) {
      test(`a cached statement in a transaction takes a ${typeof param} after ${from} became ${to}: ${what}`, async (t) => {
        const scened = await scene(t, types, sql);
        await plans.sql(scened.change);
        await plans.lasting(scened.pool, async (tx) => {
          const { rowCount } = await tx.query(scened.sql, [param]);
          assert.equal(rowCount, 1);
        });
        await assertStored(scened.within, id, text);
      });
    }

    test(`a cached statement takes a ${typeof param} after its own transaction made ${from} into ${to}`, async (t) => {
      const { sql, id } = STATEMENTS['INSERT without RETURNING'];
      const scened = await scene(t, types, sql);
      await plans.lasting(scened.pool, async (tx) => {
        await tx.exec(scened.change);
        assert.equal((await tx.query(scened.sql, [param])).rowCount, 1);
      });
      await assertStored(scened.within, id, text);
    });
  }
});

describe('an enum that is dropped and made anew', () => {
  const LABELS = ["'a', 'b'", "'c', 'a'", "'a'"];
  /** @type {[sql: string, params: unknown[], row: object][]} */
  const CASTS = [
    ['SELECT $1::S.mood AS v', ['a'], { v: 'a' }],
    ["SELECT 'a'::S.mood AS v", [], { v: 'a' }],
    ["SELECT ARRAY['a'::S.mood] AS v", [], { v: ['a'] }],
    ['SELECT $1::S.mood[] AS v', [['a']], { v: ['a'] }],
    ["SELECT 1 AS v WHERE 'a'::S.mood = $1", ['a'], { v: 1 }],
  ];

  for (const [sql, params, row] of CASTS) {
    test(`an enum that is dropped and made anew is found by a cached statement in a transaction: ${sql}`, async (t) => {
      const within = await plans.schema('');
      const pool = await plans.pool(t);
      for (const labels of LABELS) {
        await plans.sql(within(`DROP TYPE IF EXISTS S.mood; CREATE TYPE S.mood AS ENUM (${labels})`));
        for (const place of PLACES) {
          await plans.lasting(pool, async (tx) => assert.deepEqual(await tx.query(within(sql), params), [row]), {
            place,
          });
        }
      }
    });
  }

  for (const [how, run] of Object.entries(WITHIN)) {
    test(`an enum that a transaction itself drops and makes anew by ${how} is found by its statements`, async (t) => {
      const within = await plans.schema("CREATE TYPE S.mood AS ENUM ('a')");
      const pool = await plans.pool(t);
      for (const [sql, params, row] of CASTS) assert.deepEqual(await pool.query(within(sql), params), [row]);
      await plans.lasting(pool, async (tx) => {
        for (const labels of LABELS) {
          await run(tx, [within('DROP TYPE S.mood'), within(`CREATE TYPE S.mood AS ENUM (${labels})`)]);
          for (const [sql, params, row] of CASTS) assert.deepEqual(await tx.query(within(sql), params), [row], sql);
        }
      });
    });
  }

  test('a column of an enum that is dropped and made anew: cached statements of a transaction read and write it', async (t) => {
    const within = await plans.schema(
      "CREATE TYPE S.mood AS ENUM ('a'); CREATE TABLE S.t (id int, m S.mood DEFAULT 'a')",
    );
    const pool = await plans.pool(t);
    const insert = within('INSERT INTO S.t (id, m) VALUES ($1, $2)');
    const select = within('SELECT * FROM S.t WHERE m = $1 ORDER BY id');
    for (const n of range(3)) {
      await plans.lasting(pool, async (tx) => {
        await tx.query(insert, [n, 'a']);
        assert.deepEqual(
          await tx.query(select, ['a']),
          range(n + 1).map((id) => ({ id, m: 'a' })),
        );
      });
      await plans.sql(
        within(
          `DROP TYPE S.mood CASCADE; CREATE TYPE S.mood AS ENUM ('z', 'a'); ALTER TABLE S.t ADD COLUMN m S.mood DEFAULT 'a'`,
        ),
      );
    }
  });

  test('a label that is added to an enum is taken and given by cached statements of a transaction', async (t) => {
    const within = await plans.schema("CREATE TYPE S.mood AS ENUM ('a')");
    const pool = await plans.pool(t);
    assert.deepEqual(await pool.query(within('SELECT $1::S.mood AS v'), ['a']), [{ v: 'a' }]);
    await plans.sql(within("ALTER TYPE S.mood ADD VALUE 'b'"));
    await plans.lasting(pool, async (tx) => {
      assert.deepEqual(await tx.query(within('SELECT $1::S.mood AS v'), ['b']), [{ v: 'b' }]);
    });
  });
});

describe('a composite type that has another attribute', () => {
  const SETUP = `
    CREATE TYPE S.pair AS (a int, b text);
    CREATE TABLE S.t (id int, p S.pair, ps S.pair[]);
    INSERT INTO S.t VALUES (1, (1, 'x'), ARRAY[(2, 'y')::S.pair]);
    CREATE FUNCTION S.made() RETURNS SETOF S.pair LANGUAGE sql AS 'SELECT p FROM S.t';`;
  const x = { a: 1, b: 'x' };
  const y = { a: 2, b: 'y' };
  /** @type {Record<string, { command: string, more: object }>} */
  const CHANGES = {
    'an attribute is added': { command: 'ALTER TYPE S.pair ADD ATTRIBUTE c int', more: { c: null } },
    'an attribute is dropped': { command: 'ALTER TYPE S.pair DROP ATTRIBUTE b', more: { b: undefined } },
  };
  /**
   * Of an attribute that is added the server tells nobody who takes a composite apart: its plan has the columns of before. `unseen`:
   * nor does it notice that one is dropped; the client prepares such a statement anew when it is old.
   * @type {Record<string, { sql: string, params?: (x: object, y: object) => unknown[], row: (x: object, y: object) => object, not?: RegExp, unseen?: boolean }>}
   */
  const STATEMENTS = {
    'a value': { sql: 'SELECT p FROM S.t', row: (p) => ({ p }) },
    'an array': { sql: 'SELECT ps FROM S.t', row: (_, p) => ({ ps: [p] }) },
    'a whole table': { sql: 'SELECT * FROM S.t', row: (p, q) => ({ id: 1, p, ps: [q] }) },
    'its columns': { sql: 'SELECT (p).* FROM S.t', row: (p) => p, not: /added/, unseen: true },
    'rows of a function': { sql: 'SELECT * FROM S.made()', row: (p) => p, not: /added/, unseen: true },
    'a parameter': { sql: 'SELECT $1::S.pair AS p', params: (p) => [p], row: (p) => ({ p }) },
    'an array as a parameter': {
      sql: 'SELECT $1::S.pair[] AS ps',
      params: (p, q) => [[p, q]],
      row: (p, q) => ({ ps: [p, q] }),
    },
    'UPDATE RETURNING': {
      sql: 'UPDATE S.t SET p = $1, ps = $2 RETURNING *',
      params: (p, q) => [p, [q]],
      row: (p, q) => ({ id: 1, p, ps: [q] }),
    },
  };

  /** Without the members that are undefined. @param {object} value */
  const given = (value) => Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined));

  for (const [change, { command, more }] of Object.entries(CHANGES)) {
    const [newX, newY] = [given({ ...x, ...more }), given({ ...y, ...more })];
    for (const [what, { sql, params = () => [], row, not, unseen }] of Object.entries(STATEMENTS)) {
      if (not?.test(change)) continue;
      for (const own of [false, true]) {
        const by = own ? 'its own transaction' : 'another session';
        test(`a composite in a cached statement of a transaction when ${change} by ${by}: ${what}`, async (t) => {
          const within = await plans.schema(SETUP);
          const pool = await plans.pool(t);
          assert.deepEqual(await pool.query(within(sql), params(x, y)), [row(x, y)]);
          if (!own) await plans.sql(within(command));
          if (!own && unseen) await sleep(UNSEEN_MS);
          await plans.lasting(pool, async (tx) => {
            if (own) await tx.query(within(command));
            for (const _ of range(2)) {
              assert.deepEqual(await tx.query(within(sql), params(newX, newY)), [row(newX, newY)]);
            }
          });
          assert.deepEqual(await pool.query(within(sql), params(newX, newY)), [row(newX, newY)]);
        });
      }
    }
  }
});
