'use strict';

// json and jsonb are read exactly as JSON.parse reads them, however the core took the document apart.

const assert = require('node:assert/strict');
const { shared } = require('../../lib/core/core-link.js');
const { test, printedBy, range, useCluster } = require('../support/helpers');
const { documents } = require('../support/json.documents');

const db = useCluster({ nodes: 1, synchronous: false });

const SEEDS = 8;
const PER_SEED = 1500;

/** Selects documents of a type, and fails unless each is what JSON.parse makes of its text. */
const COMPARE = `
  const sql = 'SELECT d::' + type + ' AS doc, d::' + type + '::text AS source FROM unnest($1::text[]) WITH ORDINALITY AS _(d, n) ORDER BY n';
  let compared = 0;
  for (const { doc, source } of await pool.query(sql, [texts])) {
    const expected = JSON.parse(source);
    assert.deepStrictEqual(doc, expected, source);
    assert.equal(JSON.stringify(doc), JSON.stringify(expected), source);
    compared++;
  }
  return compared;`;
const compare = new Function('assert', 'pool', 'type', 'texts', `return (async () => {${COMPARE}\n})();`).bind(
  null,
  assert,
);

for (const type of ['json', 'jsonb']) {
  test(`json: generated documents of type ${type} are read as JSON.parse reads them`, async (t) => {
    const pool = db.pool(t, { poolSize: 2 });
    for (const seed of range(SEEDS)) {
      const texts = documents(seed, PER_SEED, type);
      assert.equal(await compare(pool, type, texts), PER_SEED, `seed ${seed}`);
    }
    assert.ok(shared().objects.length > 30, `shapes were compiled: ${shared().objects.length}`);
  });

  test(`json: generated documents of type ${type} where code generation from strings is forbidden`, async () => {
    const code = `
      const assert = require('node:assert/strict');
      const { shared } = require(${JSON.stringify(require.resolve('../../lib/core/core-link.js'))});
      const { documents } = require(${JSON.stringify(require.resolve('../support/json.documents'))});
      const pool = createPool(options);
      const compare = async (type, texts) => {${COMPARE}\n};
      for (const seed of [1, 2]) print(await compare(${JSON.stringify(type)}, documents(seed, ${PER_SEED}, ${JSON.stringify(type)})));
      print(shared().objects.length > 10);
      await pool.end();`;
    const lines = await printedBy(db, code, { flags: ['--disallow-code-generation-from-strings'] });
    assert.deepEqual(lines, [`${PER_SEED}`, `${PER_SEED}`, 'true']);
  });
}

test('json: many connections and small results share the shapes of documents', async (t) => {
  const pool = db.pool(t, { poolSize: 8 });
  const one = async (/** @type {number} */ n) => {
    const doc = { [`k${n % 20}`]: n, name: `name number ${n}`, sub: n % 3 ? { a: [n, null, `${n}`] } : null };
    const [row] = await pool.query('SELECT $1::jsonb AS doc, $1::json AS same', [doc]);
    assert.deepStrictEqual(row.same, doc);
    assert.deepStrictEqual(row.doc, doc);
  };
  for (const round of range(30)) await Promise.all(range(100).map((n) => one(round * 100 + n)));
});

test('json: an object in a document is an ordinary object', async (t) => {
  const pool = db.pool(t);
  const rows = await pool.query(
    `SELECT '{"__proto__": {"x": 1}, "a": [1, 2]}'::json AS doc FROM generate_series(1, 50)`,
  );
  const { doc } = rows[49];
  assert.equal(Object.getPrototypeOf(doc), Object.prototype);
  assert.deepEqual(Object.getOwnPropertyDescriptor(doc, '__proto__'), {
    value: { x: 1 },
    writable: true,
    enumerable: true,
    configurable: true,
  });
  assert.equal(doc.x, undefined);
  assert.ok(Array.isArray(doc.a));
});

test('json: arrays of documents, null documents, and documents as text', async (t) => {
  const pool = db.pool(t);
  const sql = `SELECT ARRAY['{"a": 1}', NULL, '[1, 2]', '"x"']::jsonb[] AS list, NULL::jsonb AS nothing, 'null'::jsonb AS null,
    '{"a": {"b": "c"}}'::json AS doc FROM generate_series(1, 40)`;
  const row = { list: [{ a: 1 }, null, [1, 2], 'x'], nothing: null, null: null, doc: { a: { b: 'c' } } };
  assert.deepStrictEqual(await pool.query(sql), Array(40).fill(row));
  const texts = db.pool(t, { types: { json: 'string' } });
  assert.equal((await texts.query(sql))[39].doc, '{"a": {"b": "c"}}');
});
