'use strict';

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { load, rejection, run } = require('../program.js');
const { asc, count, eq, inArray, like, relations, sql } = load('drizzle-orm');
const { drizzle } = load('drizzle-orm/node-postgres');
const { migrate } = load('drizzle-orm/node-postgres/migrator');
const columns = load('drizzle-orm/pg-core');
const {
  bigint,
  boolean,
  customType,
  date,
  doublePrecision,
  integer,
  interval,
  jsonb,
  numeric,
  pgSchema,
  pgTable,
  serial,
  text,
} = columns;
const { time, timestamp, uuid } = columns;

const bytea = customType({ dataType: () => 'bytea' });
const schema = pgSchema('drizzle_own');
const mood = schema.enum('mood', ['glad', 'sad']);
const people = schema.table('people', {
  id: serial('id').primaryKey(),
  name: text('name').notNull().unique('people_name_key'),
  big: bigint('big', { mode: 'bigint' }),
  small: bigint('small', { mode: 'number' }),
  price: numeric('price', { precision: 20, scale: 4 }),
  data: jsonb('data'),
  born: date('born'),
  bornDate: date('born_date', { mode: 'date' }),
  seen: timestamp('seen', { withTimezone: true }),
  seenText: timestamp('seen_text', { withTimezone: true, mode: 'string' }),
  local: timestamp('local', { precision: 6 }),
  clock: time('clock'),
  tags: text('tags').array(),
  numbers: integer('numbers').array(),
  raw: bytea('raw'),
  key: uuid('key'),
  mood: mood('mood'),
  span: interval('span'),
  yes: boolean('yes'),
  real: doublePrecision('real'),
});
const pets = schema.table('pets', {
  id: serial('id').primaryKey(),
  owner: integer('owner')
    .notNull()
    .references(() => people.id),
  name: text('name'),
});
const peopleRelations = relations(people, (/** @type {any} */ { many }) => ({ pets: many(pets) }));
const petsRelations = relations(pets, (/** @type {any} */ { one }) => ({
  person: one(people, { fields: [pets.owner], references: [people.id] }),
}));

/** What drizzle-kit would have written. */
const MIGRATIONS = [
  `CREATE SCHEMA "drizzle_own";
--> statement-breakpoint
CREATE TYPE "drizzle_own"."mood" AS ENUM('glad', 'sad');
--> statement-breakpoint
CREATE TABLE "drizzle_own"."people" ("id" serial PRIMARY KEY, "name" text NOT NULL, "big" bigint, "small" bigint,
  "price" numeric(20, 4), "data" jsonb, "born" date, "born_date" date, "seen" timestamptz, "seen_text" timestamptz,
  "local" timestamp(6), "clock" time, "tags" text[], "numbers" integer[], "raw" bytea, "key" uuid, "mood" "drizzle_own"."mood",
  "span" interval, "yes" boolean, "real" double precision, CONSTRAINT "people_name_key" UNIQUE("name"));`,
  'CREATE TABLE "drizzle_own"."pets" ("id" serial PRIMARY KEY, "owner" integer NOT NULL REFERENCES "drizzle_own"."people" ("id"), "name" text);',
];

/** @param {number} count of the migrations */
function migrationsFolder(count) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'orms-drizzle-'));
  fs.mkdirSync(path.join(folder, 'meta'));
  const entries = MIGRATIONS.slice(0, count).map((text, idx) => {
    fs.writeFileSync(path.join(folder, `000${idx}.sql`), text);
    return { idx, version: '7', when: 1_700_000_000_000 + idx, tag: `000${idx}`, breakpoints: true };
  });
  fs.writeFileSync(
    path.join(folder, 'meta', '_journal.json'),
    JSON.stringify({ version: '7', dialect: 'postgresql', entries }),
  );
  return folder;
}

/** @param {any} db @param {number} count */
async function migrated(db, count) {
  const folder = migrationsFolder(count);
  try {
    await migrate(db, { migrationsFolder: folder, migrationsSchema: 'drizzle_migrations' });
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
  return (await db.execute(sql`SELECT count(*) FROM drizzle_migrations.__drizzle_migrations`)).rows;
}

const ADA = {
  name: 'Ada',
  big: 9007199254740993n,
  small: 42,
  price: '12345678901234.5678',
  data: { a: [1, null, 'x'], ü: { b: true } },
  born: '1815-12-10',
  bornDate: new Date('1815-12-10T00:00:00Z'),
  seen: new Date('2024-02-29T12:34:56.789Z'),
  seenText: '2024-02-29 12:34:56.789+00',
  local: new Date('2024-07-01T08:00:00.123Z'),
  clock: '12:34:56.5',
  tags: ['a', 'b,"c"'],
  numbers: [1, -2, 3],
  raw: Buffer.from([0, 1, 255, 92, 39]),
  key: '6f1ed002-ab55-4cd0-8d1c-5b1f6dd6e0a1',
  mood: 'glad',
  span: '1 year 2 mons 3 days 04:05:06.789',
  yes: true,
  real: 1.1e-7,
};

run({
  async checks({ pg, settings, check }) {
    const pool = new pg.Pool({ ...settings, max: 5 });
    const db = drizzle(pool, { schema: { people, pets, peopleRelations, petsRelations } });
    await db.execute(sql`DROP SCHEMA IF EXISTS drizzle_own CASCADE`);
    await db.execute(sql`DROP SCHEMA IF EXISTS drizzle_migrations CASCADE`);

    await check('migrations run', () => migrated(db, 1));
    await check('migrations run on', () => migrated(db, 2));
    await check('migrations that have run are passed over', () => migrated(db, 2));

    await check('a row is inserted and returned with every type', () => db.insert(people).values(ADA).returning());
    await check('insert gives the result of pg', async () => {
      const { command, rowCount, rows, fields } = await db.insert(people).values([{ name: 'Bob' }, { name: 'Cyd' }]);
      return { command, rowCount, rows, fields };
    });
    await check('select of columns', () =>
      db.select({ name: people.name, yes: people.yes }).from(people).orderBy(asc(people.name)),
    );
    await check('select of everything', () => db.select().from(people).where(eq(people.name, 'Ada')));
    await check('update returns', () =>
      db
        .update(people)
        .set({ yes: false })
        .where(inArray(people.name, ['Bob', 'Cyd']))
        .returning({ name: people.name, yes: people.yes }),
    );
    await check('upsert', () =>
      db
        .insert(people)
        .values({ name: 'Bob', real: 7 })
        .onConflictDoUpdate({ target: people.name, set: { real: sql`excluded.real` } })
        .returning({ name: people.name, real: people.real }),
    );
    await check('relational query', async () => {
      const all = await db.select({ id: people.id }).from(people).orderBy(asc(people.id));
      await db.insert(pets).values(all.map((/** @type {any} */ { id }) => ({ owner: id, name: `pet${id}` })));
      return db.query.people.findMany({
        columns: { name: true, big: true, seen: true },
        with: { pets: { columns: { name: true } } },
        orderBy: [asc(people.name)],
      });
    });
    await check('relational query of one', () =>
      db.query.pets.findFirst({ with: { person: true }, where: eq(pets.name, 'pet1') }),
    );
    await check('join and aggregate', () =>
      db
        .select({ name: people.name, pets: count(pets.id), sum: sql`sum(${pets.id})` })
        .from(people)
        .leftJoin(pets, eq(pets.owner, people.id))
        .groupBy(people.name)
        .orderBy(asc(people.name)),
    );
    await check('a raw statement', async () => {
      const { rows, rowCount, command } = await db.execute(
        sql`SELECT ${1}::int AS a, ${'x'}::text AS b, now() > '2020-01-01' AS c, '2024-01-01'::timestamptz AS t, 5::int8 AS i, '1.5'::numeric AS n`,
      );
      return { rows, rowCount, command };
    });
    await check('a prepared statement by name, three times', async () => {
      const byName = db
        .select({ name: people.name, big: people.big })
        .from(people)
        .where(eq(people.name, sql.placeholder('name')))
        .prepare('people_by_name');
      return [
        await byName.execute({ name: 'Ada' }),
        await byName.execute({ name: 'Bob' }),
        await byName.execute({ name: 'nobody' }),
      ];
    });
    await check('$count', () => db.$count(people, like(people.name, '%a')));
    await check('a unique violation', () => rejection(() => db.insert(people).values({ name: 'Ada' })));
    await check('a foreign key violation', () => rejection(() => db.insert(pets).values({ owner: 999 })));
    await check('a mistake in SQL', () => rejection(() => db.execute(sql`SELECT * FROM drizzle_own.missing`)));

    const names = () =>
      db.select({ name: people.name }).from(people).where(like(people.name, 'T%')).orderBy(asc(people.name));
    await check('a transaction commits', async () => {
      const value = await db.transaction(async (/** @type {any} */ tx) => {
        await tx.insert(people).values({ name: 'T1' });
        return tx.insert(people).values({ name: 'T2' }).returning({ name: people.name });
      });
      return [value, await names()];
    });
    await check('a transaction that throws is rolled back', async () => [
      await rejection(() =>
        db.transaction(async (/** @type {any} */ tx) => {
          await tx.insert(people).values({ name: 'T3' });
          throw new RangeError('on purpose');
        }),
      ),
      await names(),
    ]);
    await check('tx.rollback()', async () => [
      await rejection(() =>
        db.transaction(async (/** @type {any} */ tx) => {
          await tx.insert(people).values({ name: 'T3' });
          tx.rollback();
        }),
      ),
      await names(),
    ]);
    await check('an error of the server ends the transaction', async () => [
      await rejection(() =>
        db.transaction(async (/** @type {any} */ tx) => {
          await tx.insert(people).values({ name: 'T4' });
          await rejection(() => tx.execute(sql`SELECT 1/0`));
          await tx.insert(people).values({ name: 'T5' });
        }),
      ),
      await names(),
    ]);
    await check('nested transactions are savepoints', async () => {
      await db.transaction(async (/** @type {any} */ tx) => {
        await tx.insert(people).values({ name: 'T6' });
        await rejection(() =>
          tx.transaction(async (/** @type {any} */ inner) => {
            await inner.insert(people).values({ name: 'T7' });
            await inner.insert(people).values({ name: 'T6' });
          }),
        );
        await tx.transaction((/** @type {any} */ inner) => inner.insert(people).values({ name: 'T8' }));
      });
      return names();
    });
    await check('an isolation level and access mode', () =>
      db.transaction(
        async (/** @type {any} */ tx) =>
          (
            await tx.execute(
              sql`SELECT current_setting('transaction_isolation') AS i, current_setting('transaction_read_only') AS r`,
            )
          ).rows,
        { isolationLevel: 'serializable', accessMode: 'read only' },
      ),
    );
    await check('50 statements at once on 5 connections', async () => {
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, n) => db.execute(sql`SELECT ${n}::int AS n, pg_sleep(0.005)`)),
      );
      return [answers.map(({ rows }) => rows[0].n), pool.totalCount, pool.idleCount, pool.waitingCount];
    });
    await check('10 transactions at once on 5 connections', async () => {
      await Promise.all(
        Array.from({ length: 10 }, (_, n) =>
          db.transaction((/** @type {any} */ tx) => tx.insert(people).values({ name: `U${n}` })),
        ),
      );
      return db.$count(people, like(people.name, 'U%'));
    });
    await check('a client of the pool', async () => {
      const client = await pool.connect();
      try {
        const one = drizzle(client);
        await one.execute(sql`CREATE TEMP TABLE only_here (a int)`);
        await one.transaction((/** @type {any} */ tx) => tx.execute(sql`INSERT INTO only_here VALUES (1), (2)`));
        return (await one.execute(sql`SELECT a FROM only_here ORDER BY a`)).rows;
      } finally {
        client.release();
      }
    });
    await check('a Client of its own', async () => {
      const client = new pg.Client(settings);
      await client.connect();
      const value = await drizzle(client).select({ name: people.name }).from(people).where(eq(people.name, 'Ada'));
      await client.end();
      return value;
    });
    await check('delete', async () => (await db.delete(people).where(like(people.name, 'U%'))).rowCount);
    await check('the pool ends', () => db.$client.end());
    await check('a statement after the end', () => rejection(() => db.execute(sql`SELECT 1`)));
  },

  async writers({ pg, settings, driver }) {
    const db = drizzle(new pg.Pool({ ...settings, max: 8 }));
    const writes = pgTable('writes', { id: bigint('id', { mode: 'number' }), driver: text('driver') });
    return {
      one: (id) => db.insert(writes).values({ id, driver }),
      two: (first, second) =>
        db.transaction(async (/** @type {any} */ tx) => {
          await tx.insert(writes).values({ id: first, driver });
          await tx.insert(writes).values({ id: second, driver });
        }),
      end: () => db.$client.end(),
    };
  },
});
