'use strict';

// Outdated plans where statements have no names (prepare: false, for servers behind a pooler): the server parses a statement with each
// run, and the client knows its columns from before.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { test, range, useCluster } = require('../support/helpers');
const { PLACES, usePlans } = require('../support/plans');

const plans = usePlans(useCluster({ nodes: 1 }));

/** The statement, its parameters and row before and after each change. @type {[title: string, sql: string, params: [unknown[], unknown[]], rows: [object, object], change: string][]} */
const CASES = [
  ['a column is added', 'SELECT * FROM S.t', [[], []], [{ a: 1 }, { a: 1, b: 2 }], 'ADD COLUMN b int DEFAULT 2'],
  ['a column is renamed', 'TABLE S.t', [[], []], [{ a: 1 }, { z: 1 }], 'RENAME a TO z'],
  [
    'a column has another type',
    'SELECT * FROM S.t WHERE a = $1',
    [[1], ['1']],
    [{ a: 1 }, { a: '1' }],
    'ALTER a TYPE text',
  ],
];

describe('a statement without a name whose columns have changed', () => {
  for (const [title, sql, params, rows, change] of CASES) {
    const scene = async (/** @type {any} */ t) => {
      const within = await plans.schema('CREATE TABLE S.t (a int); INSERT INTO S.t VALUES (1)');
      const pool = await plans.pool(t, { prepare: false });
      const read = (/** @type {any} */ runner, index = 1) => runner.query(within(sql), params[index]);
      for (const _ of range(2)) assert.deepEqual(await read(pool, 0), [rows[0]]);
      await plans.sql(within(`ALTER TABLE S.t ${change}`));
      return { pool, read };
    };

    test(`prepare: false: ${title}, outside of transactions`, async (t) => {
      const { pool, read } = await scene(t);
      for (const _ of range(2)) assert.deepEqual(await read(pool), [rows[1]]);
    });

    for (const place of PLACES) {
      test(`prepare: false: ${title}, in ${place} place of a transaction`, async (t) => {
        const { pool, read } = await scene(t);
        const body = async (/** @type {any} */ tx) => {
          for (const _ of range(2)) assert.deepEqual(await read(tx), [rows[1]]);
        };
        await plans.lasting(pool, body, { place });
      });
    }

    test(`prepare: false: ${title}, in a batch`, async (t) => {
      const { pool, read } = await scene(t);
      const query = { query: (/** @type {string} */ text, /** @type {unknown[]} */ values) => [text, values] };
      const [once, twice] = await pool.batch([read(query), read(query)], { transaction: true });
      assert.deepEqual([once, twice], [[rows[1]], [rows[1]]]);
    });
  }
});
