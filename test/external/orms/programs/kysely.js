'use strict';

const { load, rejection, run } = require('../program.js');
const { CamelCasePlugin, Kysely, PostgresDialect, sql } = load('kysely');
const { Migrator } = load('kysely/migration');

/** @param {any} pg @param {any} settings @param {object} [more] */
const open = (pg, settings, more) =>
  new Kysely({ dialect: new PostgresDialect({ pool: new pg.Pool({ ...settings, max: 5 }), ...more }) });

run({
  async checks({ pg, settings, check }) {
    const Cursor = pg.Cursor ?? load('pg-cursor');
    const db = open(pg, settings, { cursor: Cursor });
    await sql`DROP SCHEMA IF EXISTS kysely CASCADE`.execute(db);
    await sql`CREATE SCHEMA kysely`.execute(db);
    const own = db.withSchema('kysely');

    const migrations = {
      1: {
        up: async (/** @type {any} */ on) => {
          await sql`CREATE TYPE kysely.mood AS ENUM ('glad', 'sad')`.execute(on);
          await on.schema
            .withSchema('kysely')
            .createTable('person')
            .addColumn('id', 'serial', (/** @type {any} */ c) => c.primaryKey())
            .addColumn('name', 'text', (/** @type {any} */ c) => c.notNull().unique())
            .addColumn('big', 'bigint')
            .addColumn('price', sql`numeric(20,4)`)
            .addColumn('data', 'jsonb')
            .addColumn('born', 'date')
            .addColumn('seen', 'timestamptz')
            .addColumn('local', 'timestamp')
            .addColumn('tags', sql`text[]`)
            .addColumn('numbers', sql`int[]`)
            .addColumn('raw', 'bytea')
            .addColumn('key', 'uuid')
            .addColumn('mood', sql`kysely.mood`)
            .addColumn('span', sql`interval`)
            .addColumn('yes', 'boolean')
            .addColumn('real', 'double precision')
            .execute();
        },
        down: async (/** @type {any} */ on) => {
          await on.schema.withSchema('kysely').dropTable('person').execute();
          await sql`DROP TYPE kysely.mood`.execute(on);
        },
      },
      2: {
        up: (/** @type {any} */ on) =>
          on.schema
            .withSchema('kysely')
            .createTable('pet')
            .addColumn('id', 'serial', (/** @type {any} */ c) => c.primaryKey())
            .addColumn('owner', 'integer', (/** @type {any} */ c) => c.references('kysely.person.id').notNull())
            .addColumn('name', 'text')
            .execute(),
        down: (/** @type {any} */ on) => on.schema.withSchema('kysely').dropTable('pet').execute(),
      },
    };
    const migrator = new Migrator({
      db,
      provider: { getMigrations: async () => migrations },
      migrationTableSchema: 'kysely',
    });
    await check('migrations run to the latest', () => migrator.migrateToLatest());
    await check('a migration is undone', () => migrator.migrateDown());
    await check('migrations run again', () => migrator.migrateToLatest());
    await check('introspection finds the tables', async () =>
      (await db.introspection.getTables()).filter((/** @type {any} */ { schema }) => schema === 'kysely'),
    );

    const ada = {
      name: 'Ada',
      big: '9007199254740993',
      price: '12345678901234.5678',
      data: JSON.stringify({ a: [1, null, 'x'], ü: { b: true } }),
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
    await check('a row is inserted and returned with every type', () =>
      own.insertInto('person').values(ada).returningAll().executeTakeFirstOrThrow(),
    );
    await check('insert without returning says how many', () =>
      own
        .insertInto('person')
        .values([{ name: 'Bob' }, { name: 'Cyd', data: 'null' }])
        .executeTakeFirst(),
    );
    await check('update says how many', () =>
      own.updateTable('person').set({ yes: false }).where('name', 'in', ['Bob', 'Cyd']).executeTakeFirst(),
    );
    await check('select with where and order', () =>
      own.selectFrom('person').select(['name', 'yes', 'data']).where('yes', '=', false).orderBy('name').execute(),
    );
    await check('upsert', () =>
      own
        .insertInto('person')
        .values({ name: 'Bob', real: 7 })
        .onConflict((/** @type {any} */ oc) =>
          oc.column('name').doUpdateSet({ real: (/** @type {any} */ eb) => eb.ref('excluded.real') }),
        )
        .returning(['name', 'real'])
        .execute(),
    );
    await check('join, aggregate and group', async () => {
      await own
        .insertInto('pet')
        .values(
          (await own.selectFrom('person').select('id').execute()).map((/** @type {any} */ { id }) => ({
            owner: id,
            name: `pet${id}`,
          })),
        )
        .execute();
      return own
        .selectFrom('person')
        .innerJoin('pet', 'pet.owner', 'person.id')
        .select([
          'person.name',
          (/** @type {any} */ eb) => eb.fn.countAll().as('pets'),
          (/** @type {any} */ eb) => eb.fn.sum('pet.id').as('sum'),
        ])
        .groupBy('person.name')
        .orderBy('person.name')
        .execute();
    });
    await check('a raw statement with values', () =>
      sql`SELECT ${1}::int AS a, ${'x'}::text AS b, ${null}::text AS c`.execute(db),
    );
    await check('camel case plugin', () =>
      sql`SELECT 1 AS snake_case_name`.execute(db.withPlugin(new CamelCasePlugin())),
    );
    await check('a unique violation', () =>
      rejection(() => own.insertInto('person').values({ name: 'Ada' }).execute()),
    );
    await check('a foreign key violation', () =>
      rejection(() => own.insertInto('pet').values({ owner: 999 }).execute()),
    );
    await check('a mistake in SQL', () => rejection(() => sql`SELECT * FROM kysely.missing`.execute(db)));
    await check('no result', () =>
      rejection(() => own.selectFrom('person').selectAll().where('name', '=', 'nobody').executeTakeFirstOrThrow()),
    );

    const names = () => own.selectFrom('person').select('name').where('name', 'like', 'T%').orderBy('name').execute();
    await check('a transaction commits', async () => {
      const value = await own.transaction().execute(async (/** @type {any} */ tx) => {
        await tx.insertInto('person').values({ name: 'T1' }).execute();
        return tx.insertInto('person').values({ name: 'T2' }).returning('name').execute();
      });
      return [value, await names()];
    });
    await check('a transaction that throws is rolled back', async () => [
      await rejection(() =>
        own.transaction().execute(async (/** @type {any} */ tx) => {
          await tx.insertInto('person').values({ name: 'T3' }).execute();
          throw new RangeError('on purpose');
        }),
      ),
      await names(),
    ]);
    await check('an error of the server ends the transaction', async () => [
      await rejection(() =>
        own.transaction().execute(async (/** @type {any} */ tx) => {
          await tx.insertInto('person').values({ name: 'T4' }).execute();
          await rejection(() => sql`SELECT 1/0`.execute(tx));
          await tx.insertInto('person').values({ name: 'T5' }).execute();
        }),
      ),
      await names(),
    ]);
    await check('an isolation level and access mode', () =>
      own
        .transaction()
        .setIsolationLevel('serializable')
        .setAccessMode('read only')
        .execute((/** @type {any} */ tx) =>
          sql`SELECT current_setting('transaction_isolation') AS i, current_setting('transaction_read_only') AS r`.execute(
            tx,
          ),
        ),
    );
    await check('a controlled transaction with savepoints', async () => {
      const tx = await own.startTransaction().execute();
      await tx.insertInto('person').values({ name: 'T6' }).execute();
      const after = await tx.savepoint('one').execute();
      await after.insertInto('person').values({ name: 'T7' }).execute();
      const back = await after.rollbackToSavepoint('one').execute();
      await back.insertInto('person').values({ name: 'T8' }).execute();
      await (await back.releaseSavepoint('one').execute()).commit().execute();
      return names();
    });
    await check('a connection of its own', () =>
      db.connection().execute(async (/** @type {any} */ one) => {
        await sql`CREATE TEMP TABLE only_here (a int)`.execute(one);
        await sql`INSERT INTO only_here VALUES (1), (2)`.execute(one);
        return sql`SELECT a FROM only_here ORDER BY a`.execute(one);
      }),
    );
    await check('a stream through a cursor', async () => {
      const seen = [];
      const rows = db.selectFrom(sql`generate_series(1, 250)`.as('n')).select(sql`n`.as('n')).stream(100);
      for await (const row of rows) seen.push(row);
      return [seen.length, seen[0], seen[249]];
    });
    await check('a stream that is left early gives its connection back', async () => {
      for (let times = 0; times < 7; times++) {
        for await (const _ of db.selectFrom(sql`generate_series(1, 250)`.as('n')).select(sql`n`.as('n')).stream(10))
          break;
      }
      return sql`SELECT 1 AS one`.execute(db);
    });
    await check('50 statements at once on 5 connections', async () => {
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, n) => sql`SELECT ${n}::int AS n, pg_sleep(0.005)`.execute(db)),
      );
      return answers.map(({ rows }) => rows[0].n);
    });
    await check('10 transactions at once on 5 connections', async () => {
      await Promise.all(
        Array.from({ length: 10 }, (_, n) =>
          own.transaction().execute((/** @type {any} */ tx) =>
            tx
              .insertInto('person')
              .values({ name: `U${n}` })
              .execute(),
          ),
        ),
      );
      return own.selectFrom('person').select('name').where('name', 'like', 'U%').orderBy('name').execute();
    });
    await check('delete says how many', () => own.deleteFrom('person').where('name', 'like', 'U%').executeTakeFirst());
    await check(
      'explain',
      async () => (await own.selectFrom('person').select('id').where('id', '=', 1).explain()).length > 0,
    );
    await check('the pool ends', () => db.destroy());
    await check('a statement after the end', () => rejection(() => sql`SELECT 1`.execute(db)));
  },

  async writers({ pg, settings, driver }) {
    const db = new Kysely({ dialect: new PostgresDialect({ pool: new pg.Pool({ ...settings, max: 8 }) }) });
    return {
      one: (id) => db.insertInto('writes').values({ id, driver }).execute(),
      two: (first, second) =>
        db.transaction().execute(async (/** @type {any} */ tx) => {
          await tx.insertInto('writes').values({ id: first, driver }).execute();
          await tx.insertInto('writes').values({ id: second, driver }).execute();
        }),
      end: () => db.destroy(),
    };
  },
});
