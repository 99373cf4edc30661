'use strict';

const { load, rejection, run } = require('../program.js');
const { DataSource, EntitySchema, In, Like, QueryFailedError } = load('typeorm');

const SCHEMA = 'typeorm_own';

const Person = new EntitySchema({
  name: 'Person',
  tableName: 'person',
  schema: SCHEMA,
  columns: {
    id: { type: Number, primary: true, generated: true },
    name: { type: String, unique: true },
    big: { type: 'bigint', nullable: true },
    price: { type: 'numeric', precision: 20, scale: 4, nullable: true },
    data: { type: 'jsonb', nullable: true },
    born: { type: 'date', nullable: true },
    seen: { type: 'timestamptz', nullable: true },
    local: { type: 'timestamp', nullable: true },
    clock: { type: 'time', nullable: true },
    tags: { type: 'text', array: true, nullable: true },
    numbers: { type: 'int', array: true, nullable: true },
    list: { type: 'simple-array', nullable: true },
    simple: { type: 'simple-json', nullable: true },
    raw: { type: 'bytea', nullable: true },
    key: { type: 'uuid', nullable: true },
    mood: { type: 'enum', enum: ['glad', 'sad'], nullable: true },
    moods: { type: 'enum', enum: ['glad', 'sad'], array: true, nullable: true },
    span: { type: 'interval', nullable: true },
    spot: { type: 'point', nullable: true },
    during: { type: 'tstzrange', nullable: true },
    yes: { type: 'boolean', nullable: true },
    real: { type: 'double precision', nullable: true },
    version: { type: Number, version: true },
  },
  relations: { pets: { type: 'one-to-many', target: 'Pet', inverseSide: 'owner', cascade: true } },
});
const Pet = new EntitySchema({
  name: 'Pet',
  tableName: 'pet',
  schema: SCHEMA,
  columns: {
    id: { type: 'uuid', primary: true, generated: 'uuid' },
    name: { type: String },
  },
  relations: { owner: { type: 'many-to-one', target: 'Person', inverseSide: 'pets', nullable: false } },
});

class First1700000000000 {
  name = 'First1700000000000';
  up = (/** @type {any} */ runner) => runner.query(`CREATE TABLE ${SCHEMA}.migrated (a int)`);
  down = (/** @type {any} */ runner) => runner.query(`DROP TABLE ${SCHEMA}.migrated`);
}

/** @param {any} pg @param {any} settings @param {object} [more] */
function source(pg, { user, ...settings }, more) {
  return new DataSource({
    type: 'postgres',
    driver: pg,
    username: user,
    ...settings,
    schema: SCHEMA,
    poolSize: 5,
    ...more,
  });
}

const ADA = {
  name: 'Ada',
  big: '9007199254740993',
  price: '12345678901234.5678',
  data: { a: [1, null, 'x'], ü: { b: true } },
  born: '1815-12-10',
  seen: new Date('2024-02-29T12:34:56.789Z'),
  local: new Date('2024-07-01T08:00:00.123Z'),
  clock: '12:34:56',
  tags: ['a', 'b,"c"'],
  numbers: [1, -2, 3],
  list: ['x', 'y'],
  simple: { s: 1 },
  raw: Buffer.from([0, 1, 255, 92, 39]),
  key: '6f1ed002-ab55-4cd0-8d1c-5b1f6dd6e0a1',
  mood: 'glad',
  moods: ['sad', 'glad'],
  span: '1 year 2 months 3 days 4 hours',
  spot: '(1.5,-2)',
  during: '["2024-01-01 00:00:00+00","2024-02-01 00:00:00+00")',
  yes: true,
  real: 1.1e-7,
};

run({
  async checks({ pg, settings, check }) {
    const setup = new pg.Client(settings);
    await setup.connect();
    await setup.query(`DROP SCHEMA IF EXISTS ${SCHEMA} CASCADE; CREATE SCHEMA ${SCHEMA}`);
    await setup.end();
    const db = source(pg, settings, { entities: [Person, Pet], migrations: [First1700000000000] });
    await check('it connects', async () => (await db.initialize()).isInitialized);
    const people = db.getRepository('Person');
    const pets = db.getRepository('Pet');

    await check('the schema is synchronised', () => db.synchronize());
    await check(
      'a second synchronisation finds nothing to do',
      async () => (await db.driver.createSchemaBuilder().log()).upQueries,
    );
    await check('migrations run', async () => (await db.runMigrations()).map(({ name }) => name));
    await check('a migration is undone', async () => {
      await db.undoLastMigration();
      return db.showMigrations();
    });
    await check('the columns of a table', async () => {
      const runner = db.createQueryRunner();
      try {
        const table = await runner.getTable(`${SCHEMA}.person`);
        return table?.columns.map((/** @type {any} */ { name, type, isArray, isNullable, isUnique, enum: values }) => [
          name,
          type,
          isArray,
          isNullable,
          isUnique,
          values,
        ]);
      } finally {
        await runner.release();
      }
    });

    await check('an entity is saved', async () => {
      const { id, version } = await people.save({ ...ADA });
      return { id, version };
    });
    await check('and read with every type', () => people.findOneBy({ name: 'Ada' }));
    await check('many are saved, with what belongs to them', async () => {
      const saved = await people.save([{ name: 'Bob', pets: [{ name: 'Rex' }, { name: 'Tom' }] }, { name: 'Cyd' }]);
      return saved.map(({ id, name, pets: own }) => ({ id, name, pets: own?.length }));
    });
    await check('an entity is changed', async () => {
      const bob = await people.findOneByOrFail({ name: 'Bob' });
      bob.real = 7;
      const { real, version } = await people.save(bob);
      return { real, version };
    });
    await check('insert gives identifiers and what was generated', async () => {
      const { identifiers, generatedMaps, raw } = await people.insert([{ name: 'Dan' }, { name: 'Eve' }]);
      return { identifiers, generatedMaps, raw };
    });
    await check('update says how many', () => people.update({ name: In(['Dan', 'Eve']) }, { yes: false }));
    await check('upsert', async () => {
      await people.upsert([{ name: 'Dan', real: 9 }], ['name']);
      return people.findOne({ where: { name: 'Dan' }, select: { name: true, real: true } });
    });
    await check('find with relations, order and paging', async () => {
      const found = await people.find({
        relations: { pets: true },
        order: { name: 'ASC', pets: { name: 'ASC' } },
        skip: 1,
        take: 2,
      });
      return found.map(({ name, pets: own }) => ({ name, pets: own.map((/** @type {any} */ pet) => pet.name) }));
    });
    await check('findAndCount, count, exists, sum, increment', async () => [
      (await people.findAndCount({ where: { name: Like('%a%') } }))[1],
      await people.count(),
      await people.existsBy({ name: 'nobody' }),
      await people.sum('real'),
      await people.increment({ name: 'Dan' }, 'real', 1),
    ]);
    await check('a query builder', () =>
      people
        .createQueryBuilder('p')
        .leftJoin('p.pets', 't')
        .select(['p.name AS name', 'count(t.id) AS pets'])
        .where('p.name IN (:...names)', { names: ['Ada', 'Bob'] })
        .groupBy('p.name')
        .orderBy('p.name')
        .getRawMany(),
    );
    await check('raw queries', async () => [
      await db.query('SELECT $1::int AS a, $2::text AS b', [1, 'x']),
      await db.query(`UPDATE ${SCHEMA}.person SET yes = true WHERE name = $1`, ['Dan']),
      await db.query(`DELETE FROM ${SCHEMA}.person WHERE name = 'nobody' RETURNING id`),
    ]);
    await check('a unique violation', async () => {
      const error = await rejection(() => people.insert({ name: 'Ada' }));
      return [error instanceof QueryFailedError, error];
    });
    await check('a foreign key violation', () => rejection(() => pets.insert({ name: 'Tux', owner: { id: 999 } })));
    await check('a mistake in SQL', () => rejection(() => db.query(`SELECT * FROM ${SCHEMA}.missing`)));
    await check('not found', () => rejection(() => people.findOneByOrFail({ name: 'nobody' })));

    const names = async () =>
      (await people.find({ where: { name: Like('T%') }, order: { name: 'ASC' } })).map(({ name }) => name);
    await check('a transaction commits', async () => {
      await db.transaction(async (/** @type {any} */ tx) => {
        await tx.getRepository('Person').insert({ name: 'T1' });
        await tx.getRepository('Person').save({ name: 'T2' });
      });
      return names();
    });
    await check('a transaction that throws is rolled back', async () => [
      await rejection(() =>
        db.transaction(async (/** @type {any} */ tx) => {
          await tx.getRepository('Person').insert({ name: 'T3' });
          throw new RangeError('on purpose');
        }),
      ),
      await names(),
    ]);
    await check('an error of the server ends the transaction', async () => [
      await rejection(() =>
        db.transaction(async (/** @type {any} */ tx) => {
          await tx.getRepository('Person').insert({ name: 'T4' });
          await rejection(() => tx.query('SELECT 1/0'));
          await tx.getRepository('Person').insert({ name: 'T5' });
        }),
      ),
      await names(),
    ]);
    await check('nested transactions are savepoints', async () => {
      await db.transaction(async (/** @type {any} */ tx) => {
        await tx.getRepository('Person').insert({ name: 'T6' });
        await rejection(() =>
          tx.transaction(async (/** @type {any} */ inner) => {
            await inner.getRepository('Person').insert({ name: 'T7' });
            await inner.getRepository('Person').insert({ name: 'T6' });
          }),
        );
        await tx.transaction((/** @type {any} */ inner) => inner.getRepository('Person').insert({ name: 'T8' }));
      });
      return names();
    });
    await check('an isolation level', () =>
      db.transaction('SERIALIZABLE', (/** @type {any} */ tx) =>
        tx.query("SELECT current_setting('transaction_isolation') AS i"),
      ),
    );
    await check('a query runner has one connection', async () => {
      const runner = db.createQueryRunner();
      try {
        await runner.connect();
        await runner.query('CREATE TEMP TABLE only_here (a int)');
        await runner.startTransaction();
        await runner.query('INSERT INTO only_here VALUES (1), (2)');
        await runner.commitTransaction();
        return await runner.query('SELECT a FROM only_here ORDER BY a');
      } finally {
        await runner.release();
      }
    });
    await check('a pessimistic lock', () =>
      db.transaction((/** @type {any} */ tx) =>
        tx
          .getRepository('Person')
          .findOne({ where: { name: 'Bob' }, select: { name: true }, lock: { mode: 'pessimistic_write' } }),
      ),
    );
    await check('a stream', async () => {
      const runner = db.createQueryRunner();
      const seen = [];
      try {
        for await (const row of await runner.stream('SELECT n FROM generate_series(1, $1::int) AS n', [250]))
          seen.push(row);
      } finally {
        await runner.release();
      }
      return [seen.length, seen[0], seen[249]];
    });
    await check('50 statements at once on 5 connections', async () => {
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, n) => db.query('SELECT $1::int AS n, pg_sleep(0.005)', [n])),
      );
      return answers.map(([{ n }]) => n);
    });
    await check('10 transactions at once on 5 connections', async () => {
      await Promise.all(
        Array.from({ length: 10 }, (_, n) =>
          db.transaction((/** @type {any} */ tx) => tx.getRepository('Person').insert({ name: `U${n}` })),
        ),
      );
      return people.countBy({ name: Like('U%') });
    });
    await check('entities are removed', async () => {
      const found = await people.find({ where: { name: Like('U%') }, order: { name: 'ASC' }, take: 3 });
      await people.remove(found);
      return [await people.delete({ name: Like('U%') }), await people.countBy({ name: Like('U%') })];
    });
    await check('the pool ends', () => db.destroy());
    await check('a statement after the end', () => rejection(() => db.query('SELECT 1')));
  },

  async writers({ pg, settings, driver }) {
    const Written = new EntitySchema({
      name: 'Written',
      tableName: 'writes',
      schema: 'public',
      columns: { id: { type: Number, primary: true }, driver: { type: String } },
    });
    const db = await source(pg, settings, {
      entities: [Written],
      schema: 'public',
      poolSize: 8,
      extra: { idleTimeoutMillis: 60_000 },
    }).initialize();
    const written = db.getRepository('Written');
    return {
      one: (id) => written.insert({ id, driver }),
      two: (first, second) =>
        db.transaction(async (/** @type {any} */ tx) => {
          await tx.getRepository('Written').insert({ id: first, driver });
          await tx.getRepository('Written').insert({ id: second, driver });
        }),
      end: () => db.destroy(),
    };
  },
});
