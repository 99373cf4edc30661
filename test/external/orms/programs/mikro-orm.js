'use strict';

const { load, rejection, run } = require('../program.js');
const { createPostgreSqlTypeParsers, defineEntity, MikroORM, p, raw, UniqueConstraintViolationException } =
  load('@mikro-orm/postgresql');
const { LockMode } = load('@mikro-orm/core');
const { PostgresDialect } = load('kysely');
const arrays = load('postgres-array');

const SCHEMA = 'mikro_own';

const Person = defineEntity({
  name: 'Person',
  tableName: 'person',
  schema: SCHEMA,
  properties: {
    id: p.integer().primary().autoincrement(),
    name: p.string().unique(),
    big: p.bigint().nullable(),
    bigText: p.bigint('string').nullable(),
    price: p.decimal().precision(20).scale(4).nullable(),
    data: p.json().nullable(),
    born: p.date().nullable(),
    seen: p.datetime(3).nullable(),
    local: p.datetime(3).nullable().columnType('timestamp(3)'),
    clock: p.time().nullable(),
    tags: p.array().nullable(),
    raw: p.blob().nullable(),
    key: p.uuid().nullable(),
    mood: p.enum(['glad', 'sad']).nullable(),
    span: p.interval().nullable(),
    yes: p.boolean().nullable(),
    real: p.double().nullable(),
    version: p.integer().version().default(1),
    pets: () => p.oneToMany(Pet).mappedBy('owner'),
  },
});
const Pet = defineEntity({
  name: 'Pet',
  tableName: 'pet',
  schema: SCHEMA,
  properties: {
    id: p.integer().primary().autoincrement(),
    name: p.string(),
    owner: () => p.manyToOne(Person),
  },
});
const Written = defineEntity({
  name: 'Written',
  tableName: 'writes',
  schema: 'public',
  properties: { id: p.bigint('number').primary(), driver: p.text() },
});

/** On pg, and under register, as MikroORM itself opens it; on the face as docs/orms.md shows: a dialect of Kysely, with MikroORM's parsers. */
async function open(
  /** @type {any} */ { pg, settings, driver },
  /** @type {any[]} */ entities,
  /** @type {number} */ max,
) {
  const { database, ...rest } = settings;
  const options = { dbName: database, entities, logger: () => {}, ensureDatabase: false };
  if (driver !== 'face') return MikroORM.init({ ...options, ...rest, pool: { min: 0, max } });
  const types = new pg.TypeOverrides();
  for (const [oid, parse] of Object.entries(createPostgreSqlTypeParsers(arrays.parse)))
    types.setTypeParser(Number(oid), parse);
  const pool = new pg.Pool({ ...settings, max, types });
  return MikroORM.init({ ...options, driverOptions: new PostgresDialect({ pool, cursor: pg.Cursor }) });
}

const ADA = {
  name: 'Ada',
  big: 9007199254740993n,
  bigText: '9007199254740993',
  price: '12345678901234.5678',
  data: { a: [1, null, 'x'], ü: { b: true } },
  born: '1815-12-10',
  seen: new Date('2024-02-29T12:34:56.789Z'),
  local: new Date('2024-07-01T08:00:00.123Z'),
  clock: '12:34:56',
  tags: ['a', 'b,"c"'],
  raw: Buffer.from([0, 1, 255, 92, 39]),
  key: '6f1ed002-ab55-4cd0-8d1c-5b1f6dd6e0a1',
  mood: 'glad',
  span: '1 year 2 mons 3 days 04:05:06',
  yes: true,
  real: 1.1e-7,
};

/** An entity without MikroORM's wrapper. @param {any} entity */
const pojo = (entity) =>
  JSON.parse(JSON.stringify(entity, (_, value) => (typeof value === 'bigint' ? `${value}n` : value)));

run({
  async checks({ pg, settings, check, driver }) {
    const orm = await open({ pg, settings, driver }, [Person, Pet], 5);
    await orm.em.getConnection().execute(`DROP SCHEMA IF EXISTS ${SCHEMA} CASCADE`);
    /** @template T @param {(em: any) => T} body */
    const fork = (body) => body(orm.em.fork());

    await check('it is connected', () => orm.checkConnection());
    await check('the schema is made', async () => {
      const sql = await orm.schema.getCreateSchemaSQL();
      await orm.schema.create();
      return sql;
    });
    await check('a second update finds nothing to do', () => orm.schema.getUpdateSchemaSQL());
    await check('an update adds a column', async () => {
      await orm.em.getConnection().execute(`ALTER TABLE ${SCHEMA}.pet DROP COLUMN name`);
      const sql = await orm.schema.getUpdateSchemaSQL();
      await orm.schema.update();
      return [sql, await orm.schema.getUpdateSchemaSQL()];
    });

    await check('an entity is persisted', () =>
      fork(async (em) => {
        const ada = em.create('Person', ADA);
        await em.persist(ada).flush();
        return [ada.id, ada.version];
      }),
    );
    await check('and read with every type', () =>
      fork(async (em) => {
        const ada = await em.findOneOrFail('Person', { name: 'Ada' });
        return Object.fromEntries(Object.keys(ADA).map((name) => [name, ada[name]]));
      }),
    );
    await check('several are persisted, with what belongs to them', () =>
      fork(async (em) => {
        em.create('Person', { name: 'Bob', pets: [{ name: 'Rex' }, { name: 'Tom' }] });
        em.create('Person', { name: 'Cyd' });
        await em.flush();
        return pojo(
          await em
            .fork()
            .find(
              'Person',
              { name: { $in: ['Bob', 'Cyd'] } },
              { populate: ['pets'], fields: ['name', 'pets.name'], orderBy: { name: 1, pets: { name: 1 } } },
            ),
        );
      }),
    );
    await check('only what has changed is written', () =>
      fork(async (em) => {
        const bob = await em.findOneOrFail('Person', { name: 'Bob' });
        bob.real = 7;
        await em.flush();
        return [bob.version, await em.count('Person', { real: 7 })];
      }),
    );
    await check('an optimistic lock', () =>
      rejection(() =>
        fork((em) => em.findOneOrFail('Person', { name: 'Bob' }, { lockMode: LockMode.OPTIMISTIC, lockVersion: 1 })),
      ),
    );
    await check('insertMany, nativeUpdate, upsert, count, nativeDelete', () =>
      fork(async (em) => [
        (await em.insertMany('Person', [{ name: 'Dan' }, { name: 'Eve' }])).length,
        await em.nativeUpdate('Person', { name: { $in: ['Dan', 'Eve'] } }, { yes: false }),
        (await em.upsert('Person', { name: 'Dan', real: 9 })).real,
        await em.count('Person'),
        await em.nativeDelete('Person', { name: 'Eve' }),
      ]),
    );
    await check('findAndCount with paging', () =>
      fork(async (em) => {
        const [found, total] = await em.findAndCount(
          'Person',
          {},
          { limit: 2, offset: 1, orderBy: { name: 1 }, fields: ['name'] },
        );
        return [found.map((/** @type {any} */ { name }) => name), total];
      }),
    );
    await check('a query builder', () =>
      fork((em) =>
        em
          .createQueryBuilder('Person', 'q')
          .leftJoin('q.pets', 't')
          .select(['q.name', raw('count(t.id) as pets')])
          .groupBy('q.name')
          .orderBy({ 'q.name': 1 })
          .execute(),
      ),
    );
    await check('raw statements', async () => [
      await orm.em.getConnection().execute('SELECT ?::int AS a, ?::text AS b', [1, 'x']),
      await orm.em.getConnection().execute(`UPDATE ${SCHEMA}.person SET yes = true WHERE name = ?`, ['Dan'], 'run'),
      await orm.em
        .getConnection()
        .execute("SELECT now() > '2020-01-01' AS later, '2024-01-01'::timestamptz AS at, 5::int8 AS big", [], 'get'),
    ]);
    await check('a unique violation', async () => {
      const error = /** @type {any} */ (await rejection(() => fork((em) => em.insert('Person', { name: 'Ada' }))));
      return [
        error instanceof UniqueConstraintViolationException,
        error.constructor.name,
        error.code,
        error.constraint,
        error.message,
      ];
    });
    await check('a foreign key violation', async () => {
      const error = /** @type {any} */ (
        await rejection(() => fork((em) => em.insert('Pet', { name: 'Tux', owner: 999 })))
      );
      return [error.constructor.name, error.code, error.message];
    });
    await check('a mistake in SQL', async () => {
      const error = /** @type {any} */ (
        await rejection(() => orm.em.getConnection().execute(`SELECT * FROM ${SCHEMA}.missing`))
      );
      return [error.constructor.name, error.code, error.message];
    });

    const names = () =>
      fork(async (em) =>
        (await em.find('Person', { name: { $like: 'T%' } }, { orderBy: { name: 1 } })).map(
          (/** @type {any} */ { name }) => name,
        ),
      );
    await check('a transaction commits', async () => {
      await orm.em.fork().transactional(async (/** @type {any} */ em) => {
        em.create('Person', { name: 'T1' });
        await em.insert('Person', { name: 'T2' });
      });
      return names();
    });
    await check('a transaction that throws is rolled back', async () => [
      await rejection(() =>
        orm.em.fork().transactional(async (/** @type {any} */ em) => {
          await em.insert('Person', { name: 'T3' });
          throw new RangeError('on purpose');
        }),
      ),
      await names(),
    ]);
    await check('an error of the server ends the transaction', async () => [
      (
        await rejection(() =>
          orm.em.fork().transactional(async (/** @type {any} */ em) => {
            await em.insert('Person', { name: 'T4' });
            await rejection(() => em.execute('SELECT 1/0'));
            await em.insert('Person', { name: 'T5' });
          }),
        )
      ).message,
      await names(),
    ]);
    await check('nested transactions are savepoints', async () => {
      await orm.em.fork().transactional(async (/** @type {any} */ em) => {
        await em.insert('Person', { name: 'T6' });
        await rejection(() =>
          em.transactional(async (/** @type {any} */ inner) => {
            await inner.insert('Person', { name: 'T7' });
            await inner.insert('Person', { name: 'T6' });
          }),
        );
        await em.transactional((/** @type {any} */ inner) => inner.insert('Person', { name: 'T8' }));
      });
      return names();
    });
    await check('begin and rollback by hand, a pessimistic lock', async () => {
      const em = orm.em.fork();
      await em.begin({ isolationLevel: 'serializable' });
      const [{ i }] = await em.execute("SELECT current_setting('transaction_isolation') AS i");
      await em.findOne('Person', { name: 'Bob' }, { lockMode: LockMode.PESSIMISTIC_WRITE });
      await em.insert('Person', { name: 'T9' });
      await em.rollback();
      return [i, await names()];
    });
    await check('a stream', () =>
      fork(async (em) => {
        await em.insertMany(
          'Person',
          Array.from({ length: 120 }, (_, n) => ({ name: `S${n}` })),
        );
        const seen = [];
        for await (const person of em.stream('Person', { where: { name: { $like: 'S%' } }, orderBy: { id: 1 } }))
          seen.push(person.name);
        await em.nativeDelete('Person', { name: { $like: 'S%' } });
        return [seen.length, seen[0], seen[119]];
      }),
    );
    await check('50 statements at once on 5 connections', async () => {
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, n) =>
          orm.em.getConnection().execute('SELECT ?::int AS n, pg_sleep(0.005)', [n]),
        ),
      );
      return answers.map(([{ n }]) => n);
    });
    await check('10 transactions at once on 5 connections', async () => {
      await Promise.all(
        Array.from({ length: 10 }, (_, n) =>
          orm.em.fork().transactional((/** @type {any} */ em) => em.insert('Person', { name: `U${n}` })),
        ),
      );
      return fork((em) => em.count('Person', { name: { $like: 'U%' } }));
    });
    await check('an entity is removed', () =>
      fork(async (em) => {
        em.remove(await em.findOneOrFail('Person', { name: 'U0' }));
        await em.flush();
        return em.count('Person', { name: { $like: 'U%' } });
      }),
    );
    await check('the pool ends', () => orm.close(true));
    await check('it is not connected after the end', async () => (await orm.checkConnection()).ok);
  },

  async writers({ pg, settings, driver }) {
    const orm = await open({ pg, settings, driver }, [Written], 8);
    return {
      one: (id) => orm.em.fork().insert('Written', { id, driver }),
      two: (first, second) =>
        orm.em.fork().transactional(async (/** @type {any} */ em) => {
          await em.insert('Written', { id: first, driver });
          await em.insert('Written', { id: second, driver });
        }),
      end: () => orm.close(true),
    };
  },
});
