'use strict';

// slonik. Its driver, @slonik/pg-driver, loads pg, pg-types and pg-query-stream, so register puts the face in their places.

const { setTimeout: sleep } = require('node:timers/promises');
const { load, registered, rejection, run } = require('../program.js');

/**
 * Slonik reads a connection string as a URL, so a list of hosts with ports stands in its parameter, without a user.
 * @param {import('../program.js').Settings} settings
 */
function uriOf({ user, password, host, port, database }) {
  if (port !== undefined) return `postgres://${user}:${encodeURIComponent(password)}@${host}:${port}/${database}`;
  Object.assign(process.env, { PGUSER: user, PGPASSWORD: password });
  return `postgres:///${database}?host=${encodeURIComponent(host)}`;
}

/** @param {string} driver @param {import('../program.js').Settings} settings @param {object} more */
function open(driver, settings, more) {
  registered(driver);
  const { createPool } = load('slonik');
  const { createPgDriverFactory } = load('@slonik/pg-driver');
  return createPool(uriOf(settings), { driverFactory: createPgDriverFactory(), ...more });
}

run({
  async checks({ settings, driver, check }) {
    registered(driver);
    const { createTypeParserPreset, sql } = load('slonik');
    const { z } = load('zod');
    /** @type {string[]} */
    const heard = [];
    const pool = await open(driver, settings, {
      maximumPoolSize: 4,
      typeParsers: [
        ...createTypeParserPreset(),
        { name: 'money', parse: (/** @type {string} */ text) => ({ money: text }) },
      ],
      interceptors: [
        {
          name: 'test',
          afterPoolConnection: async () => {
            heard.push('afterPoolConnection');
            return null;
          },
          queryExecutionError: async (/** @type {any} */ _, /** @type {any} */ __, /** @type {Error} */ error) => {
            heard.push(error.name);
            return null;
          },
        },
      ],
    });
    const run = (/** @type {TemplateStringsArray} */ parts) => pool.query(sql.unsafe(parts));
    await run`DROP SCHEMA IF EXISTS slonik CASCADE`;
    await run`CREATE SCHEMA slonik`;
    await run`CREATE TABLE slonik.person (id serial PRIMARY KEY, name text NOT NULL UNIQUE, big bigint, price numeric(20,4), cash money,
      data jsonb, born date, seen timestamptz, local timestamp, span interval, tags text[], numbers int[], raw bytea, level int CHECK (level > 0))`;

    await check('a row is inserted and returned with every type', () =>
      pool.one(sql.unsafe`INSERT INTO slonik.person (name, big, price, cash, data, born, seen, local, span, tags, numbers, raw, level)
        VALUES (${'Ada'}, ${9007199254740991n}, ${'12345678901234.5678'}, '12.34', ${sql.jsonb({ a: [1, null, 'x'] })}, ${sql.date(new Date(Date.UTC(1815, 11, 10)))},
          ${sql.timestamp(new Date(Date.UTC(2024, 1, 29)))}, '2024-07-01 08:00:00.123456', ${sql.interval({ days: 3, hours: 4 })}, ${sql.array(['a', 'b,"c"'], 'text')},
          ${sql.array([1, 2], 'int4')}, ${sql.binary(Buffer.from([0, 1, 255]))}, 1) RETURNING *`),
    );
    const Person = z.object({ name: z.string(), level: z.number().nullable() });
    await check('the query methods', async () => [
      await pool.any(sql.type(Person)`SELECT name, level FROM slonik.person`),
      await pool.maybeOne(sql.unsafe`SELECT 1 AS a WHERE false`),
      await pool.oneFirst(sql.unsafe`SELECT 7`),
      await pool.manyFirst(sql.unsafe`SELECT n FROM generate_series(1, 3) AS n`),
      await pool.exists(sql.unsafe`SELECT 1 FROM slonik.person WHERE level = 9`),
      await rejection(() => pool.one(sql.unsafe`SELECT 1 WHERE false`)),
      await rejection(() => pool.one(sql.unsafe`SELECT n FROM generate_series(1, 3) AS n`)),
      await rejection(() => pool.many(sql.unsafe`SELECT 1 WHERE false`)),
    ]);
    await check('a result with its fields', async () => {
      const { command, fields, notices, rowCount, rows, type } = await pool.query(
        sql.unsafe`UPDATE slonik.person SET level = 2 RETURNING name`,
      );
      return { command, fields, notices, rowCount, rows, type };
    });
    await check('fragments, identifiers, joins and unnest', async () => [
      await pool.query(
        sql.unsafe`INSERT INTO slonik.person (name, level) SELECT * FROM ${sql.unnest(
          [
            ['U1', 1],
            ['U2', 2],
            ['U3', 3],
          ],
          ['text', 'int4'],
        )}`,
      ),
      await pool.any(sql.unsafe`SELECT ${sql.identifier(['person', 'name'])} FROM slonik.person
        WHERE ${sql.join([sql.fragment`level >= ${2}`, sql.fragment`name LIKE ${'U%'}`], sql.fragment` AND `)} ORDER BY 1`),
      await pool.any(sql.unsafe`SELECT * FROM (VALUES (${sql.literalValue("it's")})) AS v (a)`),
    ]);
    await check('a notice', async () => {
      const { notices } = await pool.query(sql.unsafe`DO $$ BEGIN RAISE NOTICE 'from the server'; END $$`);
      return notices;
    });
    await check('connect() has one session, that is reset afterwards', async () => {
      const inside = await pool.connect(async (/** @type {any} */ connection) => {
        const pids = [
          await connection.oneFirst(sql.unsafe`SELECT pg_backend_pid()`),
          await connection.oneFirst(sql.unsafe`SELECT pg_backend_pid()`),
        ];
        await connection.query(sql.unsafe`SET search_path TO slonik`);
        await connection.query(sql.unsafe`CREATE TEMP TABLE here (a int)`);
        return pids[0] === pids[1];
      });
      const after = await Promise.all(
        Array.from({ length: 4 }, () =>
          pool.one(sql.unsafe`SELECT current_setting('search_path') AS path, to_regclass('here') AS here`),
        ),
      );
      return [inside, after];
    });
    const names = () => pool.anyFirst(sql.unsafe`SELECT name FROM slonik.person WHERE name LIKE 'T%' ORDER BY name`);
    const add = (/** @type {any} */ on, /** @type {string} */ name) =>
      on.query(sql.unsafe`INSERT INTO slonik.person (name) VALUES (${name})`);
    await check('a transaction commits, a nested one is a savepoint', async () => {
      await pool.transaction(async (/** @type {any} */ tx) => {
        await add(tx, 'T1');
        await rejection(() =>
          tx.transaction(async (/** @type {any} */ inner) => {
            await add(inner, 'T2');
            throw new Error('inner');
          }),
        );
        await add(tx, 'T3');
      });
      return names();
    });
    await check('a transaction that throws is rolled back', async () => [
      await rejection(() =>
        pool.transaction(async (/** @type {any} */ tx) => {
          await add(tx, 'T4');
          throw new RangeError('on purpose');
        }),
      ),
      await names(),
    ]);
    await check('errors of the server have the classes of slonik', async () => [
      await rejection(() => add(pool, 'Ada')),
      await rejection(() => pool.query(sql.unsafe`INSERT INTO slonik.person (name) VALUES (NULL)`)),
      await rejection(() => pool.query(sql.unsafe`INSERT INTO slonik.person (name, level) VALUES ('x', -1)`)),
      await rejection(() => pool.query(sql.unsafe`SELECT ${'x'}::int`)),
      await rejection(() => pool.query(sql.unsafe`SELEC 1`)),
      await rejection(() => pool.query(sql.unsafe`SELECT * FROM slonik.missing`)),
    ]);
    await check('two statements in one text', () => rejection(() => pool.query(sql.unsafe`SELECT 1; SELECT 2`)));
    await check('a stream', async () => {
      /** @type {any[]} */
      const rows = [];
      const result = await pool.stream(
        sql.unsafe`SELECT n, n::text AS t FROM generate_series(1, ${500}) AS n`,
        (/** @type {any} */ stream) => {
          stream.on('data', (/** @type {any} */ chunk) => rows.push(chunk));
        },
      );
      return [rows.length, rows[1].data ?? rows[1], rows[1].fields, rows[499].data ?? rows[499], Object.keys(result)];
    });
    await check('a stream of a mistake', () =>
      rejection(() =>
        pool.stream(sql.unsafe`SELECT * FROM slonik.missing`, (/** @type {any} */ stream) => stream.resume()),
      ),
    );
    await check('a statement that takes too long', async () => {
      const quick = await open(driver, settings, { statementTimeout: 50, maximumPoolSize: 1 });
      const error = await rejection(() => quick.query(sql.unsafe`SELECT pg_sleep(5)`));
      const after = await quick.oneFirst(sql.unsafe`SELECT 1`);
      await quick.end();
      return [error, after];
    });
    await check('a session that is ended', async () => {
      const error = await rejection(() => pool.query(sql.unsafe`SELECT pg_terminate_backend(pg_backend_pid())`));
      return [error.constructor.name, await pool.oneFirst(sql.unsafe`SELECT 1`)];
    });
    await check('50 statements at once on 4 connections', () =>
      Promise.all(
        Array.from({ length: 50 }, (_, n) => pool.oneFirst(sql.unsafe`SELECT ${n}::int FROM pg_sleep(0.005)`)),
      ),
    );
    await check('the state of the pool', async () => {
      while (pool.state().pendingReleaseConnections > 0) await sleep(5);
      return pool.state();
    });
    await check('what its interceptors heard', () => [...new Set(heard)].sort());
    await check('the pool ends', () => pool.end());
    await check('a statement after the end', () => rejection(() => pool.query(sql.unsafe`SELECT 1`)));
    await check('a wrong password', () =>
      rejection(async () => (await open(driver, { ...settings, password: 'wrong' }, {})).query(sql.unsafe`SELECT 1`)),
    );
  },

  async writers({ settings, driver }) {
    registered(driver);
    const { sql } = load('slonik');
    const pool = await open(driver, settings, { maximumPoolSize: 8, transactionRetryLimit: 0, queryRetryLimit: 0 });
    const add = (/** @type {any} */ on, /** @type {number} */ id) =>
      on.query(sql.unsafe`INSERT INTO writes VALUES (${id}, ${driver})`);
    return {
      one: (id) => add(pool, id),
      two: (first, second) =>
        pool.transaction(async (/** @type {any} */ tx) => {
          await add(tx, first);
          await add(tx, second);
        }),
      end: () => pool.end(),
    };
  },
});
