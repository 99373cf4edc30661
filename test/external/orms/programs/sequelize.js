'use strict';

const { load, rejection, run } = require('../program.js');
const { DataTypes, Op, QueryTypes, Sequelize, UniqueConstraintError } = load('sequelize');

/** @param {any} pg @param {any} settings @param {number} max */
function open(pg, { user, ...settings }, max) {
  return new Sequelize({
    dialect: 'postgres',
    dialectModule: pg,
    username: user,
    ...settings,
    logging: false,
    pool: { max, idle: 60_000 },
  });
}

/** @param {any} db */
function modelsOf(db) {
  const options = { schema: 'sequelize_own', timestamps: false };
  const Person = db.define(
    'person',
    {
      name: { type: DataTypes.STRING, unique: true, allowNull: false },
      big: DataTypes.BIGINT,
      price: DataTypes.DECIMAL(20, 4),
      data: DataTypes.JSONB,
      born: DataTypes.DATEONLY,
      seen: DataTypes.DATE(6),
      clock: DataTypes.TIME,
      tags: DataTypes.ARRAY(DataTypes.TEXT),
      numbers: DataTypes.ARRAY(DataTypes.INTEGER),
      dates: DataTypes.ARRAY(DataTypes.DATE),
      raw: DataTypes.BLOB,
      key: DataTypes.UUID,
      mood: DataTypes.ENUM('glad', 'sad'),
      moods: DataTypes.ARRAY(DataTypes.ENUM('glad', 'sad')),
      during: DataTypes.RANGE(DataTypes.DATE),
      ages: DataTypes.RANGE(DataTypes.INTEGER),
      yes: DataTypes.BOOLEAN,
      real: DataTypes.DOUBLE,
    },
    options,
  );
  const Pet = db.define('pet', { name: DataTypes.STRING }, options);
  Person.hasMany(Pet, { foreignKey: { name: 'owner', allowNull: false }, as: 'pets' });
  Pet.belongsTo(Person, { foreignKey: 'owner', as: 'person' });
  return { Person, Pet };
}

const ADA = {
  name: 'Ada',
  big: '9007199254740993',
  price: '12345678901234.5678',
  data: { a: [1, null, 'x'], ü: { b: true } },
  born: '1815-12-10',
  seen: new Date('2024-02-29T12:34:56.789Z'),
  clock: '12:34:56',
  tags: ['a', 'b,"c"'],
  numbers: [1, -2, 3],
  dates: [new Date('2024-02-29T12:34:56.789Z'), new Date(0)],
  raw: Buffer.from([0, 1, 255, 92, 39]),
  key: '6f1ed002-ab55-4cd0-8d1c-5b1f6dd6e0a1',
  mood: 'glad',
  moods: ['sad', 'glad'],
  during: [new Date('2024-01-01T00:00:00Z'), { value: new Date('2024-02-01T00:00:00Z'), inclusive: true }],
  ages: [1, 10],
  yes: true,
  real: 1.1e-7,
};

/** What Sequelize's errors have beside what all errors have. @param {any} error */
const described = (error) => ({
  error,
  fields: error.fields,
  errors: error.errors?.map((/** @type {any} */ { message, type, path, value }) => ({ message, type, path, value })),
});

run({
  async checks({ pg, settings, check }) {
    const db = open(pg, settings, 5);
    await check('it authenticates', () => db.authenticate());
    await check("the server's version", () => db.databaseVersion());
    await db.query('DROP SCHEMA IF EXISTS sequelize_own CASCADE');
    await db.createSchema('sequelize_own', {});
    const { Person, Pet } = modelsOf(db);
    /** @param {any} [models] */
    const plainly = (models) =>
      Array.isArray(models) ? models.map((each) => each.get({ plain: true })) : models?.get({ plain: true });

    await check('the tables are made by sync', () =>
      db.sync().then(() => db.getQueryInterface().describeTable({ tableName: 'people', schema: 'sequelize_own' })),
    );
    await check('sync with alter finds nothing to do', () => Pet.sync({ alter: true }).then(() => true));
    await check('the query interface changes a table', async () => {
      const table = { tableName: 'pets', schema: 'sequelize_own' };
      const queries = db.getQueryInterface();
      await queries.addColumn(table, 'age', { type: DataTypes.INTEGER, defaultValue: 3 });
      await queries.addIndex(table, ['age'], { name: 'pets_age' });
      const before = Object.keys(await queries.describeTable(table));
      const indexes = (await queries.showIndex(table)).map((/** @type {any} */ { name }) => name).sort();
      await queries.removeColumn(table, 'age');
      return [before, indexes, Object.keys(await queries.describeTable(table))];
    });

    await check('create returns every type', async () => plainly(await Person.create(ADA)));
    await check('find reads every type', async () => plainly(await Person.findOne({ where: { name: 'Ada' } })));
    await check('raw rows', () => Person.findAll({ where: { name: 'Ada' }, raw: true }));
    await check('bulkCreate returns', async () =>
      plainly(await Person.bulkCreate([{ name: 'Bob' }, { name: 'Cyd' }], { returning: ['id', 'name'] })),
    );
    await check('update says how many', () =>
      Person.update({ yes: false }, { where: { name: { [Op.in]: ['Bob', 'Cyd'] } } }),
    );
    await check('update returns', async () => {
      const [times, changed] = await Person.update(
        { real: 5 },
        { where: { name: 'Cyd' }, returning: ['name', 'real'] },
      );
      return [times, plainly(changed).map((/** @type {any} */ { name, real }) => ({ name, real }))];
    });
    await check('upsert', async () => {
      const [person, created] = await Person.upsert({ name: 'Bob', real: 7 }, { returning: true });
      return [person.name, person.real, created];
    });
    await check('findOrCreate', async () => [
      (await Person.findOrCreate({ where: { name: 'Eve' } }))[1],
      (await Person.findOrCreate({ where: { name: 'Eve' } }))[1],
    ]);
    await check('associations', async () => {
      const bob = await Person.findOne({ where: { name: 'Bob' } });
      await bob.createPet({ name: 'Rex' });
      await bob.createPet({ name: 'Tom' });
      const found = await Person.findAll({
        include: [{ model: Pet, as: 'pets' }],
        order: ['name', [{ model: Pet, as: 'pets' }, 'name', 'ASC']],
      });
      return found.map((/** @type {any} */ { name, pets }) => ({
        name,
        pets: pets.map((/** @type {any} */ pet) => pet.name),
      }));
    });
    await check('count, sum, max, findAndCountAll', async () => [
      await Person.count(),
      await Person.sum('real'),
      await Person.max('name'),
      (await Person.findAndCountAll({ limit: 2, order: ['name'] })).count,
    ]);
    await check('a query of JSON', async () =>
      plainly(await Person.findAll({ attributes: ['name'], where: { 'data.ü.b': true } })),
    );
    await check('raw queries of each kind', async () => [
      await db.query('SELECT $1::int AS a, $2::text AS b', { bind: [1, 'x'], type: QueryTypes.SELECT }),
      await db.query('SELECT :a AS a', { replacements: { a: "it's" }, type: QueryTypes.SELECT }),
      await db.query("UPDATE sequelize_own.people SET yes = true WHERE name = 'Eve'", { type: QueryTypes.UPDATE }),
      await db.query("DELETE FROM sequelize_own.people WHERE name = 'nobody'", { type: QueryTypes.BULKDELETE }),
      await db.query('SELECT 1 AS one', { plain: true, type: QueryTypes.SELECT }),
    ]);
    await check('a unique violation', async () => {
      const error = await rejection(() => Person.create({ name: 'Ada' }));
      return [error instanceof UniqueConstraintError, described(error)];
    });
    await check('a foreign key violation', async () =>
      described(await rejection(() => Pet.create({ name: 'Tux', owner: 999 }))),
    );
    await check('a mistake in SQL', async () =>
      described(await rejection(() => db.query('SELECT * FROM sequelize_own.missing'))),
    );
    await check('a value of the wrong type', async () => described(await rejection(() => db.query("SELECT 'x'::int"))));

    const names = async () =>
      (await Person.findAll({ where: { name: { [Op.like]: 'T%' } }, order: ['name'] })).map(
        (/** @type {any} */ { name }) => name,
      );
    await check('a transaction commits', async () => {
      const value = await db.transaction(async (/** @type {any} */ transaction) => {
        await Person.create({ name: 'T1' }, { transaction });
        return (await Person.create({ name: 'T2' }, { transaction })).name;
      });
      return [value, await names()];
    });
    await check('a transaction that throws is rolled back', async () => [
      await rejection(() =>
        db.transaction(async (/** @type {any} */ transaction) => {
          await Person.create({ name: 'T3' }, { transaction });
          throw new RangeError('on purpose');
        }),
      ),
      await names(),
    ]);
    await check('an error of the server ends the transaction', async () => [
      await rejection(() =>
        db.transaction(async (/** @type {any} */ transaction) => {
          await Person.create({ name: 'T4' }, { transaction });
          await rejection(() => db.query('SELECT 1/0', { transaction }));
          await Person.create({ name: 'T5' }, { transaction });
        }),
      ),
      await names(),
    ]);
    await check('a transaction that is ended by hand, with a lock', async () => {
      const transaction = await db.transaction({ isolationLevel: 'REPEATABLE READ' });
      await Person.findOne({ where: { name: 'Bob' }, lock: true, transaction });
      const [{ i }] = await db.query("SELECT current_setting('transaction_isolation') AS i", {
        transaction,
        type: QueryTypes.SELECT,
      });
      await Person.create({ name: 'T6' }, { transaction });
      await transaction.rollback();
      return [i, await names()];
    });
    await check('nested transactions are savepoints', async () => {
      await db.transaction(async (/** @type {any} */ transaction) => {
        await Person.create({ name: 'T6' }, { transaction });
        await rejection(() =>
          db.transaction({ transaction }, async (/** @type {any} */ inner) => {
            await Person.create({ name: 'T7' }, { transaction: inner });
            await Person.create({ name: 'T6' }, { transaction: inner });
          }),
        );
        await db.transaction({ transaction }, (/** @type {any} */ inner) =>
          Person.create({ name: 'T8' }, { transaction: inner }),
        );
      });
      return names();
    });
    await check('50 statements at once on 5 connections', async () => {
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, n) =>
          db.query('SELECT $1::int AS n, pg_sleep(0.005)', { bind: [n], type: QueryTypes.SELECT }),
        ),
      );
      return answers.map(([{ n }]) => n);
    });
    await check('10 transactions at once on 5 connections', async () => {
      await Promise.all(
        Array.from({ length: 10 }, (_, n) =>
          db.transaction((/** @type {any} */ transaction) => Person.create({ name: `U${n}` }, { transaction })),
        ),
      );
      return Person.count({ where: { name: { [Op.like]: 'U%' } } });
    });
    await check('destroy says how many', () => Person.destroy({ where: { name: { [Op.like]: 'U%' } } }));
    await check('the pool ends', () => db.close());
    await check('a statement after the end', () => rejection(() => db.query('SELECT 1')));
  },

  async writers({ pg, settings, driver }) {
    const db = open(pg, settings, 8);
    const Written = db.define(
      'written',
      { id: { type: DataTypes.BIGINT, primaryKey: true }, driver: DataTypes.TEXT },
      { tableName: 'writes', timestamps: false },
    );
    return {
      one: (id) => Written.create({ id, driver }),
      two: (first, second) =>
        db.transaction(async (/** @type {any} */ transaction) => {
          await Written.create({ id: first, driver }, { transaction });
          await Written.create({ id: second, driver }, { transaction });
        }),
      end: () => db.close(),
    };
  },
});
