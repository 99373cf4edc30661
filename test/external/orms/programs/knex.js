'use strict';

const { load, rejection, run } = require('../program.js');
const knex = load('knex');
const PostgresClient = load('knex/lib/dialects/postgres/index.js');

/** Knex 3.3 takes a pool of pg's as it is. @param {any} pg @param {any} settings @param {number} max */
const onPool = (pg, settings, max) => {
  const pool = new pg.Pool({ ...settings, max });
  return { db: knex({ client: 'pg', connectionPool: pool }), pool };
};

/** Its own pool, of pg's Clients: what all versions of Knex can. @param {any} pg @param {any} settings @param {number} max */
function onClients(pg, settings, max) {
  class Client extends PostgresClient {
    _driver() {
      return pg;
    }
  }
  return knex({ client: Client, connection: { ...settings }, pool: { min: 0, max } });
}

const ADA = {
  name: 'Ada',
  big: '9007199254740993',
  price: '12345678901234.5678',
  data: { a: [1, null, 'x'], ü: { b: true } },
  plain: JSON.stringify([1, 2]),
  born: '1815-12-10',
  seen: new Date('2024-02-29T12:34:56.789Z'),
  local: '2024-07-01 08:00:00.123456',
  tags: ['a', 'b,"c"', null],
  numbers: [1, -2, 3],
  raw: Buffer.from([0, 1, 255, 92, 39]),
  key: '6f1ed002-ab55-4cd0-8d1c-5b1f6dd6e0a1',
  mood: 'glad',
  span: '1 year 2 mons 3 days 04:05:06.789',
  yes: true,
  real: 1.1e-7,
};

/** @type {Record<string, any>} */
const MIGRATIONS = {
  1: {
    up: (/** @type {any} */ on) =>
      on.schema.withSchema('knex_own').createTable('people', (/** @type {any} */ t) => {
        t.increments('id');
        t.text('name').notNullable().unique();
        t.bigInteger('big');
        t.decimal('price', 20, 4);
        t.jsonb('data');
        t.json('plain');
        t.date('born');
        t.timestamp('seen', { useTz: true });
        t.timestamp('local', { useTz: false });
        t.specificType('tags', 'text[]');
        t.specificType('numbers', 'int[]');
        t.binary('raw');
        t.uuid('key');
        t.enu('mood', ['glad', 'sad'], { useNative: true, enumName: 'mood', schemaName: 'knex_own' });
        t.specificType('span', 'interval');
        t.boolean('yes');
        t.double('real');
      }),
    down: (/** @type {any} */ on) =>
      on.schema.withSchema('knex_own').dropTable('people').raw('DROP TYPE knex_own.mood'),
  },
  2: {
    up: (/** @type {any} */ on) =>
      on.schema.withSchema('knex_own').createTable('pets', (/** @type {any} */ t) => {
        t.increments('id');
        t.integer('owner').notNullable().references('id').inTable('knex_own.people');
        t.text('name');
      }),
    down: (/** @type {any} */ on) => on.schema.withSchema('knex_own').dropTable('pets'),
  },
};
const migrations = {
  migrationSource: {
    getMigrations: async () => Object.keys(MIGRATIONS),
    getMigrationName: (/** @type {string} */ name) => name,
    getMigration: async (/** @type {string} */ name) => MIGRATIONS[name],
  },
  schemaName: 'knex_own',
};

/** What users do, on either way to have a driver. @param {any} db @param {(name: string, body: () => unknown) => Promise<void>} check */
async function checksOf(db, check) {
  await db.raw('DROP SCHEMA IF EXISTS knex_own CASCADE');
  await db.raw('CREATE SCHEMA knex_own');
  /** @param {string} name @param {any} [on] */
  const table = (name, on = db) => on(name).withSchema('knex_own');

  await check('migrations run to the latest', () => db.migrate.latest(migrations));
  await check('a batch is undone', () => db.migrate.rollback(migrations));
  await check('migrations run one by one', async () => [
    await db.migrate.up(migrations),
    await db.migrate.up(migrations),
  ]);
  await check('migrations: what has run', () => db.migrate.list(migrations));
  await check('columns of a table', () => table('people').columnInfo());
  await check('hasTable, hasColumn', async () => [
    await db.schema.withSchema('knex_own').hasTable('people'),
    await db.schema.withSchema('knex_own').hasColumn('people', 'nothing'),
  ]);

  await check('a row is inserted and returned with every type', () => table('people').insert(ADA).returning('*'));
  await check('insert without returning gives the result of pg', async () => {
    const { command, rowCount, rows, fields, oid } = await table('people').insert([{ name: 'Bob' }, { name: 'Cyd' }]);
    return { command, rowCount, rows, fields, oid };
  });
  await check('update says how many', () => table('people').whereIn('name', ['Bob', 'Cyd']).update({ yes: false }));
  await check('select, first, pluck', async () => [
    await table('people').select('name', 'yes').orderBy('name'),
    await table('people').where({ name: 'Ada' }).first('big', 'price'),
    await table('people').orderBy('name').pluck('name'),
    await table('people').where({ name: 'nobody' }).first(),
  ]);
  await check('upsert', () =>
    table('people').insert({ name: 'Bob', real: 7 }).onConflict('name').merge().returning(['name', 'real']),
  );
  await check('join, count, sum', async () => {
    const owners = await table('people').pluck('id');
    await table('pets').insert(owners.map((/** @type {number} */ owner) => ({ owner, name: `pet${owner}` })));
    return table('people as p')
      .join('pets as t', 't.owner', 'p.id')
      .groupBy('p.name')
      .orderBy('p.name')
      .select('p.name')
      .count('t.id as pets')
      .sum('t.id as sum');
  });
  await check('raw with bindings', async () => {
    const { rows, command, rowCount, fields } = await db.raw('SELECT ?::int AS a, :b::text AS b'.replace(':b', '?'), [
      1,
      'x',
    ]);
    return { rows, command, rowCount, fields };
  });
  await check('raw with several statements', async () =>
    (await db.raw('SELECT 1 AS a; SELECT 2 AS b')).map((/** @type {any} */ { rows, command }) => ({ rows, command })),
  );
  await check(
    'arrays as rows through options()',
    async () => (await db.raw('SELECT 1 AS a, 2 AS a').options({ rowMode: 'array' })).rows,
  );
  await check('a unique violation', () => rejection(() => table('people').insert({ name: 'Ada' })));
  await check('a foreign key violation', () => rejection(() => table('pets').insert({ owner: 999 })));
  await check('a mistake in SQL', () => rejection(() => db.raw('SELECT * FROM knex_own.missing')));

  const names = () => table('people').where('name', 'like', 'T%').orderBy('name').pluck('name');
  await check('a transaction commits', async () => {
    const value = await db.transaction(async (/** @type {any} */ tx) => {
      await table('people', tx).insert({ name: 'T1' });
      return table('people', tx).insert({ name: 'T2' }).returning('name');
    });
    return [value, await names()];
  });
  await check('a transaction that throws is rolled back', async () => [
    await rejection(() =>
      db.transaction(async (/** @type {any} */ tx) => {
        await table('people', tx).insert({ name: 'T3' });
        throw new RangeError('on purpose');
      }),
    ),
    await names(),
  ]);
  await check('an error of the server ends the transaction', async () => [
    await rejection(() =>
      db.transaction(async (/** @type {any} */ tx) => {
        await table('people', tx).insert({ name: 'T4' });
        await rejection(() => tx.raw('SELECT 1/0'));
        await table('people', tx).insert({ name: 'T5' });
      }),
    ),
    await names(),
  ]);
  await check('a transaction that is ended by hand', async () => {
    const tx = await db.transaction();
    await table('people', tx).insert({ name: 'T6' });
    await tx.rollback();
    return [tx.isCompleted(), await names()];
  });
  await check('nested transactions are savepoints', async () => {
    await db.transaction(async (/** @type {any} */ tx) => {
      await table('people', tx).insert({ name: 'T6' });
      await rejection(() =>
        tx.transaction(async (/** @type {any} */ inner) => {
          await table('people', inner).insert({ name: 'T7' });
          await table('people', inner).insert({ name: 'T6' });
        }),
      );
      await tx.transaction((/** @type {any} */ inner) => table('people', inner).insert({ name: 'T8' }));
    });
    return names();
  });
  await check('an isolation level, read only', () =>
    db.transaction(
      async (/** @type {any} */ tx) =>
        (
          await tx.raw(
            "SELECT current_setting('transaction_isolation') AS i, current_setting('transaction_read_only') AS r",
          )
        ).rows,
      { isolationLevel: 'serializable', readOnly: true },
    ),
  );
  await check('50 statements at once on 5 connections', async () => {
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, n) => db.raw('SELECT ?::int AS n, pg_sleep(0.005)', [n])),
    );
    return answers.map(({ rows }) => rows[0].n);
  });
  await check('10 transactions at once on 5 connections', async () => {
    await Promise.all(
      Array.from({ length: 10 }, (_, n) =>
        db.transaction((/** @type {any} */ tx) => table('people', tx).insert({ name: `U${n}` })),
      ),
    );
    return table('people').where('name', 'like', 'U%').orderBy('name').pluck('name');
  });
  await check('batchInsert', async () => {
    const rows = Array.from({ length: 30 }, (_, n) => ({ name: `V${n}` }));
    return (await db.batchInsert('knex_own.people', rows, 7).returning('name')).length;
  });
  await check('delete says how many', () => table('people').where('name', 'like', 'U%').del());
}

/**
 * What Knex 3.3.0 cannot do on a pool that it was given, with pg, either: it releases the client of a stream twice, which ends the process, and
 * it has no driver to open the connection that cancels.
 * @param {any} db @param {(name: string, body: () => unknown) => Promise<void>} check
 */
async function checksOfClients(db, check) {
  await check('a stream', async () => {
    const seen = [];
    for await (const row of db.select('n').from(db.raw('generate_series(1, 250) AS n')).stream({ highWaterMark: 40 }))
      seen.push(row);
    return [seen.length, seen[0], seen[249]];
  });
  await check('a stream whose statement is wrong', () =>
    rejection(async () => {
      for await (const _ of db.select('*').from('knex_own.missing').stream());
    }),
  );
  await check('a statement that takes too long is cancelled', async () => [
    await rejection(() => db.raw('SELECT pg_sleep(20)').timeout(200, { cancel: true })),
    (
      await db.raw(
        "SELECT count(*)::int AS left FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(20)' AND state = 'active'",
      )
    ).rows,
  ]);
}

run({
  async checks({ pg, settings, check }) {
    const { db, pool } = onPool(pg, settings, 5);
    await checksOf(db, (name, body) => check(`on a pool: ${name}`, body));
    await db.destroy();
    await check('on a pool: the pool ends', () => pool.end());
    await check('on a pool: a statement after the end', () => rejection(() => db.raw('SELECT 1')));

    const own = onClients(pg, settings, 5);
    await checksOf(own, (name, body) => check(`on clients: ${name}`, body));
    await checksOfClients(own, (name, body) => check(`on clients: ${name}`, body));
    await check('on clients: the pool ends', () => own.destroy());
    await check('on clients: a statement after the end', () => rejection(() => own.raw('SELECT 1')));
  },

  async writers({ pg, settings, driver }) {
    const { db, pool } = onPool(pg, settings, 4);
    const own = onClients(pg, settings, 4);
    /** @param {number} id */
    const way = (id) => (id % 2 === 0 ? db : own);
    return {
      one: (id) => way(id)('writes').insert({ id, driver }),
      two: (first, second) =>
        way(first).transaction(async (/** @type {any} */ tx) => {
          await tx('writes').insert({ id: first, driver });
          await tx('writes').insert({ id: second, driver });
        }),
      end: () => Promise.all([own.destroy(), pool.end()]),
    };
  },
});
