'use strict';

// Statements within a transaction that read from views and functions, which were replaced, or dropped and made anew, with other
// columns or arguments.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { setTimeout: sleep } = require('node:timers/promises');
const { test, range, useCluster } = require('../support/helpers');
const { PLACES, UNSEEN_MS, WITHIN, usePlans } = require('../support/plans');

const plans = usePlans(useCluster({ nodes: 1 }));

const TABLE = 'CREATE TABLE S.t (a int, b text); INSERT INTO S.t VALUES (1, $$x$$);';
const OLD = { a: 1, b: 'x' };

/** @typedef {{ setup: string, sql: string, params?: unknown[], old?: object, commands: string[], newer: object, newParams?: unknown[], unseen?: boolean }} Case */

/** `unseen`: the server does not notice that its plan is out of date. */

/** What is made, the statement that reads from it, and the row before and after the commands. @type {Record<string, Case>} */
const CASES = {
  'a view that is replaced with one more column': {
    setup: 'CREATE VIEW S.v AS SELECT * FROM S.t',
    sql: 'SELECT * FROM S.v',
    commands: ["CREATE OR REPLACE VIEW S.v AS SELECT *, 'more'::text AS c FROM S.t"],
    newer: { ...OLD, c: 'more' },
  },
  'a view that is dropped and made anew with other columns': {
    setup: 'CREATE VIEW S.v AS SELECT * FROM S.t',
    sql: 'SELECT * FROM S.v',
    commands: ['DROP VIEW S.v', 'CREATE VIEW S.v AS SELECT b AS a, a AS z FROM S.t'],
    newer: { a: 'x', z: 1 },
  },
  'a view that is read by a parameter whose type becomes another': {
    setup: 'CREATE VIEW S.v AS SELECT * FROM S.t',
    sql: 'SELECT * FROM S.v WHERE a = $1',
    params: [1],
    commands: ['DROP VIEW S.v', 'CREATE VIEW S.v AS SELECT b AS a, a AS b FROM S.t'],
    newer: { a: 'x', b: 1 },
    newParams: ['x'],
  },
  'a view of a view': {
    setup: 'CREATE VIEW S.inner AS SELECT * FROM S.t; CREATE VIEW S.v AS SELECT * FROM S.inner',
    sql: 'SELECT * FROM S.v',
    commands: [
      'DROP VIEW S.inner CASCADE',
      'CREATE VIEW S.inner AS SELECT b FROM S.t',
      'CREATE VIEW S.v AS SELECT * FROM S.inner',
    ],
    newer: { b: 'x' },
  },
  'a view that becomes a table': {
    setup: 'CREATE VIEW S.v AS SELECT * FROM S.t',
    sql: 'SELECT * FROM S.v',
    commands: ['DROP VIEW S.v', 'CREATE TABLE S.v AS SELECT true AS z'],
    newer: { z: true },
  },
  'a materialized view that is dropped and made anew': {
    setup: 'CREATE MATERIALIZED VIEW S.v AS SELECT * FROM S.t',
    sql: 'SELECT * FROM S.v',
    commands: ['DROP MATERIALIZED VIEW S.v', 'CREATE MATERIALIZED VIEW S.v AS SELECT *, 3 AS c FROM S.t'],
    newer: { ...OLD, c: 3 },
  },
  'an INSERT RETURNING into a view that is replaced': {
    setup: 'CREATE VIEW S.v AS SELECT * FROM S.t',
    sql: 'INSERT INTO S.v (a, b) VALUES ($1, $2) RETURNING *',
    params: [1, 'x'],
    commands: ["CREATE OR REPLACE VIEW S.v AS SELECT *, 'more'::text AS c FROM S.t"],
    newer: { ...OLD, c: 'more' },
  },
  'a function RETURNS TABLE that is dropped and made anew': {
    setup: "CREATE FUNCTION S.f() RETURNS TABLE (a int, b text) LANGUAGE sql AS 'SELECT * FROM S.t'",
    sql: 'SELECT * FROM S.f()',
    commands: [
      'DROP FUNCTION S.f()',
      "CREATE FUNCTION S.f() RETURNS TABLE (b text, z bool) LANGUAGE sql AS 'SELECT b, true FROM S.t'",
    ],
    newer: { b: 'x', z: true },
  },
  'a function RETURNS TABLE in plpgsql that is dropped and made anew': {
    setup:
      "CREATE FUNCTION S.f(n int) RETURNS TABLE (a int, b text) LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT * FROM S.t; END'",
    sql: 'SELECT * FROM S.f($1)',
    params: [1],
    commands: [
      'DROP FUNCTION S.f(int)',
      "CREATE FUNCTION S.f(n int) RETURNS TABLE (z int) LANGUAGE plpgsql AS 'BEGIN RETURN QUERY SELECT n; END'",
    ],
    newer: { z: 1 },
  },
  'a function RETURNS SETOF a table that has another column': {
    setup: "CREATE FUNCTION S.f() RETURNS SETOF S.t LANGUAGE sql AS 'SELECT * FROM S.t'",
    sql: 'SELECT * FROM S.f()',
    commands: ['ALTER TABLE S.t ADD COLUMN c int DEFAULT 3'],
    newer: { ...OLD, c: 3 },
    unseen: true,
  },
  'a function RETURNS a table, as one value, that has another column': {
    setup: "CREATE FUNCTION S.f() RETURNS S.t LANGUAGE sql AS 'SELECT t FROM S.t t'",
    sql: 'SELECT S.f() AS v',
    old: { v: OLD },
    commands: ['ALTER TABLE S.t ADD COLUMN c int DEFAULT 3'],
    newer: { v: { ...OLD, c: 3 } },
  },
  'a function with OUT parameters that is dropped and made anew': {
    setup: "CREATE FUNCTION S.f(OUT a int, OUT b text) LANGUAGE sql AS 'SELECT * FROM S.t'",
    sql: 'SELECT * FROM S.f()',
    commands: ['DROP FUNCTION S.f()', "CREATE FUNCTION S.f(OUT b text) LANGUAGE sql AS 'SELECT b FROM S.t'"],
    newer: { b: 'x' },
  },
  'a function whose one value becomes of another type': {
    setup: "CREATE FUNCTION S.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    sql: 'SELECT S.f() AS a',
    old: { a: 1 },
    commands: ['DROP FUNCTION S.f()', "CREATE FUNCTION S.f() RETURNS text LANGUAGE sql AS 'SELECT b FROM S.t'"],
    newer: { a: 'x' },
  },
  'a function whose argument becomes of another type': {
    setup: "CREATE FUNCTION S.f(n int) RETURNS int LANGUAGE sql AS 'SELECT n'",
    sql: 'SELECT S.f($1) AS a',
    params: [1],
    old: { a: 1 },
    commands: ['DROP FUNCTION S.f(int)', "CREATE FUNCTION S.f(n text) RETURNS text LANGUAGE sql AS 'SELECT n'"],
    newer: { a: 'one' },
    newParams: ['one'],
  },
  'a procedure with INOUT parameters that is dropped and made anew': {
    setup: "CREATE PROCEDURE S.p(INOUT a int, INOUT b text) LANGUAGE plpgsql AS 'BEGIN END'",
    sql: "CALL S.p(1, 'x')",
    commands: [
      'DROP PROCEDURE S.p(int, text)',
      "CREATE PROCEDURE S.p(INOUT z int, IN b text) LANGUAGE plpgsql AS 'BEGIN END'",
    ],
    newer: { z: 1 },
  },
};

/** @param {Case} it */
async function scene(
  /** @type {any} */ t,
  { setup, sql, params = [], old = OLD, commands, newer, newParams = params },
) {
  const within = await plans.schema(`${TABLE} ${setup}`);
  const pool = await plans.pool(t);
  assert.deepEqual(await pool.query(within(sql), params), [old], 'before the change');
  return {
    pool,
    commands: commands.map(within),
    /** @param {any} runner */
    check: async (runner) => assert.deepEqual(await runner.query(within(sql), newParams), [newer]),
  };
}

describe('views and functions that are made anew', () => {
  for (const [what, it] of Object.entries(CASES)) {
    for (const place of PLACES) {
      test(`a cached statement in ${place} place of a transaction has the new columns: ${what}`, async (t) => {
        const { pool, commands, check } = await scene(t, it);
        await plans.sql(commands.join(';'));
        if (it.unseen) await sleep(UNSEEN_MS);
        await plans.lasting(
          pool,
          async (tx) => {
            for (const _ of range(2)) await check(tx);
          },
          { place },
        );
        await check(pool);
      });
    }

    test(`a cached statement has the new columns after its own transaction has made it anew: ${what}`, async (t) => {
      const { pool, commands, check } = await scene(t, it);
      await plans.lasting(pool, async (tx) => {
        await WITHIN['query()'](tx, commands);
        for (const _ of range(2)) await check(tx);
      });
      await check(pool);
    });
  }

  for (const how of Object.keys(WITHIN).filter((name) => name !== 'query()')) {
    test(`views and functions that a transaction makes anew by ${how} have their new columns in it`, async (t) => {
      // Of what a function does nobody learns, the server for its plans included.
      const cases = Object.values(CASES).filter(({ unseen }) => how !== 'a function' || !unseen);
      const all = await Promise.all(cases.map((it) => scene(t, it)));
      for (const { pool, commands, check } of all) {
        await plans.lasting(pool, async (tx) => {
          await WITHIN[how](tx, commands);
          await check(tx);
        });
      }
    });
  }
});
