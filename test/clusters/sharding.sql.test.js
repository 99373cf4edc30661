'use strict';

// The SQL expression for slots, the plan, and a directory that is a table, on a server. With HYPERION_FULL=1 100,000 keys of each type.

const assert = require('node:assert/strict');
const { randomBytes, randomInt, randomUUID } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { Sharding } = require('../../exports/clusters/sharding/index.js');
const { planMoves } = require('../../exports/clusters/sharding/plan.js');
const { checkSharding } = require('../../exports/clusters/sharding/rows.js');
const { partitionsOfSlots, slotExpression, slotOf } = require('../../exports/clusters/sharding/slots.js');
const { failureOf, range, test } = require('../support/helpers.js');
const { useClusters } = require('./support.js');

const KEYS = process.env.HYPERION_FULL ? 100_000 : 2_000;
const AT_ONCE = 10_000;

const clusters = useClusters({ users: { nodes: 1 } });

/** @param {number} bytes */
const integer = (bytes) => randomBytes(bytes).readIntBE(0, bytes);
/** Of any planes, with what escapes and patterns could trip over. */
const CHARACTERS = [...'aZ09 _-\'"\\\n\t%$;äß€漢\ue000\uffff😀𝔘', '\u0301', '\u200b', 'x\\000', '\\\\x'];
const word = () =>
  range(randomInt(1, 30))
    .map(() => CHARACTERS[randomInt(CHARACTERS.length)])
    .join('');

/** What a key of each type may be. @type {Record<string, { keys: () => string | number | bigint, edges: (string | number | bigint)[] }>} */
const TYPES = {
  text: { keys: word, edges: ['\\', "'", '"', ' ', '\u{10ffff}', 'x'.repeat(100_000)] },
  varchar: { keys: word, edges: [' a ', '1'] },
  int2: { keys: () => integer(2), edges: [0, -0, -32_768, 32_767] },
  int4: { keys: () => integer(4), edges: [0, -2_147_483_648, 2_147_483_647] },
  int8: {
    keys: () => randomBytes(8).readBigInt64BE(),
    edges: [0n, 1, '1', -(2n ** 63n), 2n ** 63n - 1n, Number.MAX_SAFE_INTEGER],
  },
  numeric: {
    keys: () => BigInt(`0x${randomBytes(randomInt(1, 40)).toString('hex')}`) * (randomInt(2) ? 1n : -1n),
    edges: [0n, 10n ** 300n],
  },
  uuid: {
    keys: () => randomUUID(),
    edges: ['00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff'],
  },
};

for (const [type, { keys, edges }] of Object.entries(TYPES)) {
  test(`sharding: the slots of ${KEYS} keys of the type ${type} are the same in SQL`, async (t) => {
    const pool = clusters.users.pool(t, { poolSize: 1 });
    const all = [...edges, ...range(KEYS - edges.length).map(keys)];
    const sql = `SELECT ${slotExpression('the "key"')} FROM unnest($1::text[]::${type}[]) WITH ORDINALITY AS t ("the ""key""", n) ORDER BY n`;
    for (let at = 0; at < all.length; at += AT_ONCE) {
      const some = all.slice(at, at + AT_ONCE);
      const rows = await pool.query(sql, [some.map((key) => String(key === 0 ? 0 : key))], { rowMode: 'array' });
      assert.equal(rows.length, some.length);
      const different = some.filter((key, index) => slotOf(key) !== rows[index][0]);
      assert.deepEqual(different, []);
    }
  });
}

test('sharding: the expression of docs/sharding.md that may be stored and indexed has the same slots', async (t) => {
  const pool = clusters.users.pool(t, { poolSize: 1 });
  const page = fs.readFileSync(path.join(__dirname, '..', '..', 'docs', 'sharding.md'), 'utf8');
  const [, column] = /ADD COLUMN (slot int GENERATED ALWAYS AS[^;]*STORED);/.exec(page) ?? [];
  for (const [table, type] of Object.entries({ stored_texts: 'text', stored_integers: 'int8' })) {
    const keys = range(1_000).map(type === 'text' ? word : () => String(TYPES.int8.keys()));
    await pool.query(`CREATE TABLE ${table} (customer ${type}, ${column})`);
    await pool.query(`INSERT INTO ${table} SELECT unnest($1::text[])::${type}`, [keys]);
    const rows = await pool.query(`SELECT customer::text AS key, slot FROM ${table}`);
    assert.equal(rows.length, keys.length);
    for (const { key, slot } of rows) assert.equal(slotOf(key), slot, key);
  }
});

test('sharding: the conditions of a plan choose exactly the rows that move, and each row once', async (t) => {
  const pool = clusters.users.pool(t, { poolSize: 1 });
  await pool.exec(`CREATE SCHEMA "Plan";
    CREATE TABLE "Plan"."the rows" (user_id int8 PRIMARY KEY);
    INSERT INTO "Plan"."the rows" SELECT generate_series(1, 2000)`);
  for (const [from, to] of [
    [1, 2],
    [4, 5],
    [5, 4],
    [4, 8],
    [16, 17],
  ]) {
    const plan = planMoves(from, to, { key: 'user_id', table: 'Plan.the rows' });
    const [now, then] = [partitionsOfSlots(from), partitionsOfSlots(to)];
    let slots = 0;
    for (const move of plan.moves) {
      slots += move.slots;
      const rows = await pool.query(`SELECT user_id FROM "Plan"."the rows" WHERE ${move.condition} ORDER BY 1`);
      const expected = range(2_000)
        .map((i) => BigInt(i + 1))
        .filter((key) => now[slotOf(key)] === move.from && then[slotOf(key)] === move.to);
      assert.deepEqual(
        rows.map((/** @type {any} */ { user_id }) => user_id),
        expected,
        `${from} to ${to}: ${move.from} to ${move.to}`,
      );
      assert.equal(await pool.value(move.sql.count), BigInt(expected.length));
      const copied = await pool.copyTo(move.sql.copy).toArray();
      assert.equal(Buffer.concat(copied).toString().split('\n').length - 1, expected.length);
      await assert.rejects(
        pool.transaction(async (/** @type {any} */ tx) => {
          assert.equal((await tx.query(move.sql.delete)).rowCount, expected.length);
          throw new Error('rolled back');
        }),
        /rolled back/,
      );
    }
    assert.equal(slots, plan.moved);
    assert.equal(slots, [...now].filter((partition, slot) => partition !== then[slot]).length);
  }
});

for (const type of ['text', 'int4', 'int8', 'uuid']) {
  test(`sharding: a directory in a table whose key is ${type}`, async (t) => {
    const pool = clusters.users.pool(t, { poolSize: 2 });
    const key = type === 'uuid' ? 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11' : '7';
    const table = `places_${type}`;
    await pool.exec(`CREATE TABLE ${table} (key ${type} PRIMARY KEY, shard ${type === 'int8' ? 'int8' : 'int2'} NOT NULL);
      INSERT INTO ${table} VALUES ('${key}', 1)`);
    const options = {
      strategy: 'directory',
      key: 'user_id',
      shards: [{ hosts: 'a' }, { hosts: 'b' }],
      directory: { table },
    };
    const lookup = (/** @type {number} */ shard, /** @type {string} */ sql, /** @type {unknown[]} */ params) => {
      assert.equal(shard, 0);
      return pool.query(sql, params);
    };
    const sharding = new Sharding(checkSharding(options, 'sharding'), { clusterId: 'users', lookup });
    for (const same of type === 'uuid' ? [key] : [7, 7n, '7']) assert.equal(await sharding.shardOf(same), 1);
    const missing = type === 'uuid' ? randomUUID() : '8';
    const error = await failureOf(/** @type {Promise<number>} */ (sharding.shardOf(missing)));
    assert.equal(error.code, 'ERR_INVALID_PARAM');
  });
}

test('sharding: ranges of texts have the order of COLLATE "C"', async (t) => {
  const pool = clusters.users.pool(t, { poolSize: 1 });
  const [low, high] = ['k', '\ue000'];
  const ranges = [
    { from: null, to: low, shard: 0 },
    { from: low, to: high, shard: 1 },
    { from: high, to: null, shard: 2 },
  ];
  const options = { strategy: 'range', key: 'name', shards: [{ hosts: 'a' }, { hosts: 'b' }, { hosts: 'c' }], ranges };
  const lookup = async () => assert.fail('nothing is looked up');
  const sharding = new Sharding(checkSharding(options, 'sharding'), { clusterId: 'users', lookup });
  const words = [...CHARACTERS, ...range(1_000).map(word)];
  const rows = await pool.query(
    `SELECT CASE WHEN w COLLATE "C" < $2 THEN 0 WHEN w COLLATE "C" < $3 THEN 1 ELSE 2 END
     FROM unnest($1::text[]) WITH ORDINALITY AS t (w, n) ORDER BY n`,
    [words, low, high],
    { rowMode: 'array' },
  );
  assert.deepEqual(
    words.map((one) => sharding.shardOf(one)),
    rows.flat(),
  );
});
