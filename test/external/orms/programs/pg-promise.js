'use strict';

// pg-promise loads pg itself, so register puts the face in its place.

const { load, registered, rejection, run } = require('../program.js');

/** @param {string} driver @param {object} [initial] */
function pgPromise(driver, initial) {
  registered(driver);
  return load('pg-promise')({ noWarnings: true, ...initial });
}

const TABLE = `
  DROP SCHEMA IF EXISTS pgp CASCADE;
  CREATE SCHEMA pgp;
  CREATE TABLE pgp.users (
    id serial PRIMARY KEY, name text NOT NULL UNIQUE, big bigint, price numeric(20,4), data jsonb, born date,
    seen timestamptz, tags text[], raw bytea, yes boolean, level int
  );`;

run({
  async checks({ pg, settings, driver, check }) {
    /** @type {string[]} */
    const events = [];
    /** @type {string[]} */
    const queries = [];
    const pgp = pgPromise(driver, {
      connect: (/** @type {any} */ { client, useCount }) => {
        events.push(`connect ${useCount > 0 ? 'again' : 'new'} ${typeof client.processID}`);
      },
      disconnect: () => events.push('disconnect'),
      query: (/** @type {any} */ { query }) => queries.push(typeof query === 'string' ? query : query.text),
      receive: (/** @type {any} */ { data }) => events.push(`receive ${data.length}`),
      error: (/** @type {any} */ _, /** @type {any} */ { query }) => events.push(`error of ${query}`),
      schema: ['pgp', 'public'],
    });
    const db = pgp({ ...settings, max: 4 });
    await check('the pg of pg-promise is the one that is tested', () => driver === 'pg' || pgp.pg.Pool === pg.Pool);
    await check('a script of several statements', async () =>
      (await db.multi(TABLE)).map((/** @type {any[]} */ rows) => rows.length),
    );
    await check('none, one, many and their errors', async () => [
      await db.none('INSERT INTO users (name, level) VALUES ($1, $2), ($3, $4)', ['Ada', 1, 'Bob', 2]),
      await db.one('SELECT name FROM users WHERE level = ${level}', { level: 1 }),
      await db.oneOrNone('SELECT name FROM users WHERE level = 9'),
      await db.many('SELECT name FROM users ORDER BY name'),
      await rejection(() => db.one('SELECT * FROM users WHERE level = 9')),
      await rejection(() => db.none('SELECT name FROM users')),
      await rejection(() => db.many('SELECT * FROM users WHERE level = 9')),
      await rejection(() => db.one('SELECT name FROM users')),
    ]);
    await check('every type', async () => {
      const ada = {
        big: '9007199254740993',
        price: '12345678901234.5678',
        data: { a: [1, null, 'x'] },
        born: '1815-12-10',
        seen: new Date('2024-02-29T12:34:56.789Z'),
        tags: ['a', 'b,"c"'],
        raw: Buffer.from([0, 1, 255, 92, 39]),
        yes: true,
      };
      const set = pgp.helpers.update(ada, null, new pgp.helpers.TableName({ table: 'users', schema: 'pgp' }));
      return db.one(`${set} WHERE name = 'Ada' RETURNING *`);
    });
    await check('a result with its fields', async () => {
      const result = await db.result('SELECT id, name FROM users WHERE level = $1', [1]);
      return [
        result.rowCount,
        result.command,
        result.rows,
        result.fields.map((/** @type {any} */ { name, dataTypeID }) => [name, dataTypeID]),
        typeof result.duration,
      ];
    });
    await check('several results', async () => {
      const results = await db.multiResult(
        'SELECT 1 AS a; SELECT 2 AS b UNION ALL SELECT 3; DELETE FROM users WHERE level = 99',
      );
      return results.map((/** @type {any} */ { rows, command, rowCount }) => ({ rows, command, rowCount }));
    });
    await check('map, each and a function of the database', async () => [
      await db.map('SELECT level FROM users ORDER BY level', [], (/** @type {any} */ { level }) => level * 10),
      await db.each('SELECT name FROM users ORDER BY name', [], (/** @type {any} */ row) => {
        row.seen = true;
      }),
      await db.func('upper', ['abc']),
    ]);
    await check('formatting', () => [
      pgp.as.format('$1, $2:name, $3:json, $4:csv, $5^, $6:value', [
        new Date(0),
        'a"b',
        { x: "it's" },
        [1, 'b', null],
        'raw',
        'v',
      ]),
      pgp.as.format('${this:json} ${a} ${b:raw}', { a: Buffer.from('hi'), b: 1 }),
      pgp.as.array([1, ['x', null]]),
      pgp.as.date(new Date(Date.UTC(2024, 1, 29))),
      pgp.as.text("O'Reilly \\"),
      pgp.as.value(7n),
    ]);
    await check('many rows by helpers.insert', async () => {
      const columns = new pgp.helpers.ColumnSet(['name', 'level', { name: 'data', mod: ':json', def: null }], {
        table: { table: 'users', schema: 'pgp' },
      });
      const rows = Array.from({ length: 100 }, (_, level) => ({ name: `n${level}`, level, data: { level } }));
      await db.none(pgp.helpers.insert(rows, columns));
      return db.one("SELECT count(*), sum(level), sum((data->>'level')::int) AS data FROM users WHERE name LIKE 'n%'");
    });
    await check('an update of many rows by helpers.update', async () => {
      const rows = [
        { name: 'n1', level: -1 },
        { name: 'n2', level: -2 },
      ];
      const columns = new pgp.helpers.ColumnSet(['?name', 'level'], { table: { table: 'users', schema: 'pgp' } });
      return db.result(
        `${pgp.helpers.update(rows, columns)} WHERE v.name = t.name`,
        null,
        (/** @type {any} */ { rowCount }) => rowCount,
      );
    });
    await check('a prepared statement', async () => {
      const byLevel = new pgp.PreparedStatement({ name: 'by-level', text: 'SELECT name FROM users WHERE level = $1' });
      byLevel.values = [-1];
      const first = await db.one(byLevel);
      return [first, await db.one({ name: 'by-level', text: 'SELECT name FROM users WHERE level = $1', values: [-2] })];
    });
    await check('one name for two texts', () =>
      rejection(() =>
        db.task(async (/** @type {any} */ t) => {
          await t.any({ name: 'same', text: 'SELECT 1', values: [] });
          await t.any({ name: 'same', text: 'SELECT 2', values: [] });
        }),
      ),
    );
    await check('a parametrised query, rows as arrays', () =>
      db.any(
        new pgp.ParameterizedQuery({ text: 'SELECT $1::int AS a, $2::text AS a', values: [1, 'x'], rowMode: 'array' }),
      ),
    );
    await check('a task has one session', () =>
      db.task('t', async (/** @type {any} */ t) => {
        const [one, two] = await t.batch([
          t.one('SELECT pg_backend_pid() AS p'),
          t.one('SELECT pg_backend_pid() AS p'),
        ]);
        return [one.p === two.p, t.ctx.tag, t.ctx.level];
      }),
    );
    const names = () =>
      db.map("SELECT name FROM users WHERE name LIKE 'T%' ORDER BY name", [], (/** @type {any} */ { name }) => name);
    const add = (/** @type {any} */ t, /** @type {string} */ name) =>
      t.none('INSERT INTO users (name) VALUES ($1)', name);
    await check('a transaction commits, with its mode', async () => {
      const mode = new pgp.txMode.TransactionMode({ tiLevel: pgp.txMode.isolationLevel.serializable, readOnly: false });
      const value = await db.tx({ mode }, async (/** @type {any} */ t) => {
        await add(t, 'T1');
        return t.one("SELECT current_setting('transaction_isolation') AS i");
      });
      return [value, await names()];
    });
    await check('a transaction that throws is rolled back, a nested one alone', async () => {
      await db.tx(async (/** @type {any} */ t) => {
        await add(t, 'T2');
        await rejection(() =>
          t.tx(async (/** @type {any} */ inner) => {
            await add(inner, 'T3');
            throw new Error('inner');
          }),
        );
        await add(t, 'T4');
      });
      return [
        await rejection(() =>
          db.tx(async (/** @type {any} */ t) => {
            await add(t, 'T5');
            throw new RangeError('outer');
          }),
        ),
        await names(),
      ];
    });
    await check('an error of the server', async () => [
      await rejection(() => add(db, 'Ada')),
      await rejection(() => db.any('SELECT * FROM missing')),
      await rejection(() => db.any('SELECT $1/0', [1])),
      await rejection(() =>
        db.tx(async (/** @type {any} */ t) => {
          await rejection(() => t.any('SELECT 1/0'));
          await add(t, 'T6');
        }),
      ),
      (await rejection(() => add(db, 'Ada'))) instanceof pgp.pg.DatabaseError,
    ]);
    await check('a shared connection', async () => {
      const shared = await db.connect();
      await shared.none('CREATE TEMP TABLE here (a int)');
      await shared.none('INSERT INTO here VALUES (1)');
      const rows = await shared.any('SELECT a FROM here');
      await shared.done();
      return rows;
    });
    await check('a connection of its own hears notifications', async () => {
      const direct = await db.connect({ direct: true });
      /** @type {any[]} */
      const heard = [];
      const two = new Promise((resolve) => {
        direct.client.on('notification', (/** @type {any} */ { channel, payload }) => {
          heard.push([channel, payload]);
          if (heard.length === 2) resolve(heard);
        });
      });
      await direct.none('LISTEN $1:name', 'a channel');
      await db.none('NOTIFY "a channel", \'one\'');
      await db.any('SELECT pg_notify($1, $2)', ['a channel', 'zwei ☃']);
      await two;
      await direct.done();
      return heard;
    });
    await check('a stream', async () => {
      const QueryStream = load('pg-query-stream');
      let sum = 0;
      const { processed } = await db.stream(
        new QueryStream('SELECT n FROM generate_series(1, $1) AS n', [1000]),
        (/** @type {any} */ stream) =>
          stream.on('data', (/** @type {any} */ { n }) => {
            sum += n;
          }),
      );
      return [processed, sum];
    });
    await check('a stream that fails', () => {
      const QueryStream = load('pg-query-stream');
      return rejection(() =>
        db.stream(new QueryStream('SELECT 1/(5 - n) FROM generate_series(1, 10) AS n'), (/** @type {any} */ stream) =>
          stream.resume(),
        ),
      );
    });
    await check('a parser of types of its own', async () => {
      pgp.pg.types.setTypeParser(20, BigInt);
      try {
        return await db.one('SELECT 9007199254740993::int8 AS big');
      } finally {
        pgp.pg.types.setTypeParser(20, String);
      }
    });
    await check('50 statements at once on 4 connections', async () => {
      const rows = await Promise.all(
        Array.from({ length: 50 }, (_, n) => db.one('SELECT $1::int AS n, pg_sleep(0.005)', [n])),
      );
      return rows.map(({ n }) => n);
    });
    await check('the counts of its pool', () => {
      const { totalCount, idleCount, waitingCount } = db.$pool;
      return { totalCount, idleCount, waitingCount };
    });
    await check('what its events were', () => [[...new Set(events)].sort(), queries.length]);
    await check('the pool ends', () => db.$pool.end());
    await check('a statement after the end', () => rejection(() => db.any('SELECT 1')));
    await check('a wrong password', () => rejection(() => pgp({ ...settings, password: 'wrong' }).any('SELECT 1')));
    await check('pgp ends', () => pgp.end());
  },

  async writers({ settings, driver }) {
    const pgp = pgPromise(driver);
    const db = pgp({ ...settings, max: 8 });
    const insert = 'INSERT INTO writes VALUES ($1, $2)';
    return {
      one: (id) => db.none(insert, [id, driver]),
      two: (first, second) =>
        db.tx(async (/** @type {any} */ t) => {
          await t.none(insert, [first, driver]);
          await t.none(insert, [second, driver]);
        }),
      end: async () => pgp.end(),
    };
  },
});
