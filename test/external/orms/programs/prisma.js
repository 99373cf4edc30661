'use strict';

// Prisma with its driver adapter, @prisma/adapter-pg. The adapter takes a pool only if it is a Pool of the pg that it loads itself, so
// register puts the face in the place of that pg.

const { load, registered, rejection, run } = require('../program.js');
const { prismaClient } = require('../prisma/generate.js');

/** @param {string} driver @param {any} pg @param {any} settings @param {object} [more] */
function open(driver, pg, settings, more) {
  registered(driver);
  const { PrismaPg } = load('@prisma/adapter-pg');
  const { PrismaClient } = prismaClient();
  const pool = new pg.Pool(settings);
  pool.on('error', () => {});
  return { pool, prisma: new PrismaClient({ adapter: new PrismaPg(pool, { disposeExternalPool: true }), ...more }) };
}

/** What of an error of Prisma is the same on each run: its message shows the place in this file. @param {any} error */
const shown = (error) => ({
  name: error.name,
  code: error.code,
  text: String(error.message).split('\n').at(-1),
  cause: error.meta?.driverAdapterError?.cause ?? error.cause?.cause,
});

const TABLES = `
  DROP SCHEMA IF EXISTS prisma CASCADE;
  CREATE SCHEMA prisma;
  CREATE TYPE prisma."Mood" AS ENUM ('glad', 'sad');
  CREATE TABLE prisma.person (
    id serial PRIMARY KEY, name text NOT NULL UNIQUE, big bigint, price decimal(20,4), data jsonb, born date, seen timestamptz(6),
    local timestamp(6), clock time(6), tags text[], numbers int[], raw bytea, key uuid, mood prisma."Mood", yes boolean NOT NULL DEFAULT true, real float8
  );
  CREATE TABLE prisma.pet (id serial PRIMARY KEY, name text NOT NULL, owner_id int NOT NULL REFERENCES prisma.person ON DELETE CASCADE);`;

run({
  async checks({ pg, settings, driver, check }) {
    const { pool, prisma } = open(driver, pg, { ...settings, max: 4 });
    const { Prisma } = prismaClient();
    await pool.query(TABLES);
    /** @param {() => unknown} call */
    const refused = async (call) => shown(await rejection(call));

    await check('a row is created and returned with every type', () =>
      prisma.person.create({
        data: {
          name: 'Ada',
          big: 9007199254740993n,
          price: new Prisma.Decimal('12345678901234.5678'),
          data: { a: [1, null, 'x'], ü: { b: true } },
          born: new Date('1815-12-10'),
          seen: new Date('2024-02-29T12:34:56.789Z'),
          local: new Date('2024-07-01T08:00:00.123Z'),
          clock: new Date('1970-01-01T04:05:06.789Z'),
          tags: ['a', 'b,"c"'],
          numbers: [1, -2],
          raw: Buffer.from([0, 1, 255]),
          key: '6f1ed002-ab55-4cd0-8d1c-5b1f6dd6e0a1',
          mood: 'glad',
          real: 1.1e-7,
        },
      }),
    );
    await check('rows are created and found', async () => [
      await prisma.person.createMany({
        data: [{ name: 'Bob', data: Prisma.JsonNull }, { name: 'Cyd', mood: 'sad' }, { name: 'Bob' }],
        skipDuplicates: true,
      }),
      await prisma.person.findMany({
        where: { OR: [{ mood: 'sad' }, { data: { equals: Prisma.JsonNull } }] },
        select: { name: true, mood: true },
        orderBy: { name: 'asc' },
      }),
      await prisma.person.findUnique({ where: { name: 'nobody' } }),
      await prisma.person.findFirst({
        where: { tags: { has: 'a' }, data: { path: ['a', '2'], equals: 'x' } },
        select: { name: true },
      }),
      await prisma.person.count(),
    ]);
    await check('relations', async () => [
      await prisma.person
        .update({
          where: { name: 'Bob' },
          data: { pets: { create: [{ name: 'Rex' }, { name: 'Tom' }] } },
          include: { pets: { orderBy: { name: 'asc' }, select: { name: true } } },
        })
        .then((/** @type {any} */ { pets }) => pets),
      await prisma.pet.findMany({
        where: { owner: { name: 'Bob' } },
        select: { name: true, owner: { select: { name: true } } },
        orderBy: { id: 'desc' },
      }),
      await prisma.person.findMany({
        select: { name: true, _count: { select: { pets: true } } },
        orderBy: { name: 'asc' },
      }),
    ]);
    await check('upsert, update and delete', async () => [
      await prisma.person.upsert({
        where: { name: 'Bob' },
        create: { name: 'Bob' },
        update: { real: { increment: 2 }, yes: false },
        select: { name: true, yes: true },
      }),
      await prisma.person.updateMany({ where: { yes: true }, data: { big: { set: 7n } } }),
      await prisma.person.delete({ where: { name: 'Cyd' }, select: { name: true, big: true } }),
      await prisma.person.deleteMany({ where: { name: 'nobody' } }),
    ]);
    await check('aggregates and groups', async () => [
      await prisma.person.aggregate({ _sum: { big: true, price: true }, _max: { name: true }, _count: true }),
      await prisma.person.groupBy({ by: ['yes'], _count: { _all: true }, orderBy: { yes: 'asc' } }),
    ]);
    await check('raw statements', async () => [
      await prisma.$queryRaw`SELECT ${1}::int AS a, ${'x'} AS b, ${null}::text AS c, ${2n}::bigint AS d, ${new Date(0)}::timestamptz AS e, 1.5::numeric AS f, '{1,2}'::int[] AS g, '1 day'::interval::text AS h`,
      await prisma.$queryRawUnsafe('SELECT name FROM prisma.person WHERE name = $1', 'Ada'),
      await prisma.$executeRaw`UPDATE prisma.person SET real = ${2.5} WHERE name IN (${Prisma.join(['Ada', 'Bob'])})`,
    ]);
    const names = () =>
      prisma.person.findMany({
        where: { name: { startsWith: 'T' } },
        select: { name: true },
        orderBy: { name: 'asc' },
      });
    await check('a batch is one transaction', async () => [
      (await prisma.$transaction([prisma.person.create({ data: { name: 'T1' } }), prisma.person.count()]))[1],
      await refused(() =>
        prisma.$transaction([
          prisma.person.create({ data: { name: 'T2' } }),
          prisma.person.create({ data: { name: 'Ada' } }),
        ]),
      ),
      await names(),
    ]);
    await check('an interactive transaction commits', async () => {
      const level = await prisma.$transaction(
        async (/** @type {any} */ tx) => {
          await tx.person.create({ data: { name: 'T3' } });
          return tx.$queryRaw`SELECT current_setting('transaction_isolation') AS level`;
        },
        { isolationLevel: 'Serializable' },
      );
      return [level, await names()];
    });
    await check('an interactive transaction that throws is rolled back', async () => [
      await refused(() =>
        prisma.$transaction(async (/** @type {any} */ tx) => {
          await tx.person.create({ data: { name: 'T4' } });
          throw new RangeError('on purpose');
        }),
      ),
      await refused(() =>
        prisma.$transaction(async (/** @type {any} */ tx) => {
          await refused(() => tx.$queryRaw`SELECT 1/0`);
          await tx.person.create({ data: { name: 'T5' } });
        }),
      ),
      await names(),
    ]);
    await check('an interactive transaction that takes too long', async () => [
      (
        await refused(() =>
          prisma.$transaction(
            async (/** @type {any} */ tx) => {
              await tx.$queryRaw`SELECT 1 FROM pg_sleep(0.3)`;
              await tx.person.create({ data: { name: 'T6' } });
            },
            { timeout: 100 },
          ),
        )
      ).code,
      await names(),
    ]);
    await check('errors of the server have the codes of Prisma', async () => [
      await refused(() => prisma.person.create({ data: { name: 'Ada' } })),
      await refused(() => prisma.pet.create({ data: { name: 'x', ownerId: 999 } })),
      await refused(() => prisma.person.update({ where: { name: 'nobody' }, data: { yes: true } })),
      await refused(() => prisma.$queryRaw`SELECT * FROM prisma.missing`),
      await refused(() => prisma.$queryRaw`SELECT missing FROM prisma.person`),
      await refused(() => prisma.$queryRaw`SELECT 1/0`),
      await refused(() => prisma.$executeRaw`INSERT INTO prisma.person (name) VALUES (NULL)`),
    ]);
    await check('50 statements at once on 4 connections', async () => {
      const rows = await Promise.all(
        Array.from({ length: 50 }, (_, n) => prisma.$queryRaw`SELECT ${n}::int AS n FROM pg_sleep(0.005)`),
      );
      return rows.map(([{ n }]) => n);
    });
    await check('10 interactive transactions at once', async () => {
      await Promise.all(
        Array.from({ length: 10 }, (_, n) =>
          prisma.$transaction((/** @type {any} */ tx) => tx.person.create({ data: { name: `U${n}` } })),
        ),
      );
      return prisma.person.count({ where: { name: { startsWith: 'U' } } });
    });
    await check('a wrong password', async () => {
      const wrong = open(driver, pg, { ...settings, password: 'wrong' });
      const error = await refused(() => wrong.prisma.person.count());
      await wrong.prisma.$disconnect();
      return error;
    });
    await check('it disconnects, and the pool with it', async () => {
      await prisma.$disconnect();
      return pool.ended;
    });
  },

  async writers({ pg, settings, driver }) {
    const { prisma } = open(driver, pg, { ...settings, max: 8 });
    const create = (/** @type {any} */ on, /** @type {number} */ id) =>
      on.write.create({ data: { id: BigInt(id), driver } });
    return {
      one: (id) => create(prisma, id),
      two: (first, second) =>
        prisma.$transaction(
          async (/** @type {any} */ tx) => {
            await create(tx, first);
            await create(tx, second);
          },
          { maxWait: 30_000, timeout: 30_000 },
        ),
      end: () => prisma.$disconnect(),
    };
  },
});
