'use strict';

// The cache in the memory of a process: what it serves, when it asks the database, and what removes entries.

const assert = require('node:assert/strict');
const { setTimeout: sleep } = require('node:timers/promises');
const { ParameterError } = require('../../client.js');
const { endings, failureOf, range, test, until, useCluster } = require('../support/helpers.js');
const { cacheOn } = require('./cache-support.js');

const db = useCluster({ nodes: 1 });

/** What each type of a column may be, with the values that are easily lost. */
const EVERYTHING = `SELECT true AS bool, 1::int2 AS int2, 7 AS int4, 9007199254740993::int8 AS int8, '-0'::float8 AS minus_zero,
  'NaN'::float8 AS nan, '-Infinity'::float8 AS infinite, 1.50::numeric AS numeric, '\\xdeadbeef'::bytea AS bytes, ''::bytea AS no_bytes,
  NULL AS nothing, '{"a": [1, {"__proto__": 2}], "toString": null}'::jsonb AS json, 'null'::json AS json_null, ARRAY[[1, 2], [3, NULL]] AS grid,
  ARRAY['\\x01'::bytea, NULL] AS many_bytes, '{}'::int8[] AS empty, ARRAY[1, 2]::int8[] AS bigs, timestamptz '2024-01-01 12:00:00.123456+02' AS at,
  date 'infinity' AS day, 'é🎈' AS text, ROW(1, 'x') AS record, '1 day'::interval AS pause, 1 AS "__proto__", 2 AS "toString", 3 AS "2", 4 AS "1"`;

/** @param {any} value every object in it with its prototype, in their order */
function shapeOf(value) {
  if (typeof value !== 'object' || value === null) return [];
  const names = Buffer.isBuffer(value) ? [] : Reflect.ownKeys(value);
  const own = names.map((name) => {
    const { value: member, ...flags } = /** @type {any} */ (Object.getOwnPropertyDescriptor(value, name));
    return [name, flags, shapeOf(member)];
  });
  return [Object.getPrototypeOf(value), Object.isFrozen(value), own];
}

/** @param {any} result */
const withoutMark = ({ cached: _, ...rest }) => rest;

const RESULTS = {
  'values of all types': [EVERYTHING],
  'rows as arrays': [EVERYTHING, [], { rowMode: 'array' }],
  'two columns of one name': ['SELECT 1 AS a, 2 AS b, 3 AS a'],
  'two columns of one name, as arrays': ['SELECT 1 AS a, 2 AS b, 3 AS a', [], { rowMode: 'array' }],
  'many rows': ["SELECT n, n::text, ('\\x0' || n % 10)::bytea AS b FROM generate_series(1, 500) n"],
  'no rows': ['SELECT 1 AS a WHERE false'],
  'rows without columns': ['SELECT FROM generate_series(1, 3)'],
  'a statement without a result': ['SET work_mem = 64'],
  Dates: [
    "SELECT timestamptz '2024-01-01' AS a, timestamptz 'infinity' AS b, ARRAY[date '2024-02-29'] AS c",
    [],
    { types: { date: 'date' } },
  ],
  'columns of a table': ['SELECT oid, relname FROM pg_class LIMIT 2'],
  'values of a parser that are plain': [
    "SELECT point '(1,2)' AS p",
    [],
    {
      types: {
        parsers: { point: (/** @type {string} */ text) => ({ text, list: [undefined, 1n], at: new Date(7) }) },
      },
    },
  ],
};

for (const [name, call] of Object.entries(RESULTS)) {
  for (const [form, options] of Object.entries({
    '': {},
    ', compressed': { enableCompression: true, compressionThreshold: 1 },
  })) {
    test(`cache: a hit is exactly what the query returned: ${name}${form}`, async (t) => {
      const one = cacheOn(t, db.pool(t), options);
      const [sql, params, how] = /** @type {[string, any[], any]} */ (call);
      const first = await one.ask(sql, params, how);
      for (const _ of range(2)) {
        const second = await one.ask(sql, params, how);
        assert.deepEqual([first.cached, second.cached, one.statements], [false, true, 1]);
        assert.deepStrictEqual(withoutMark(second), withoutMark(first));
        assert.deepStrictEqual(shapeOf(second.rows), shapeOf(first.rows));
        assert.deepStrictEqual(shapeOf(second.fields), shapeOf(first.fields));
        assert.deepStrictEqual(Object.keys(second), Object.keys(first));
      }
    });
  }
}

test('cache: an invalid Date comes back as one', async (t) => {
  const one = cacheOn(t, db.pool(t));
  const types = { parsers: { int4: () => new Date(NaN) } };
  for (const _ of range(2)) {
    const { at } = (await one.ask('SELECT 1 AS at', [], { types })).rows[0];
    assert.ok(at instanceof Date && Number.isNaN(at.getTime()));
  }
  assert.equal(one.statements, 1);
});

test('cache: an entry that was changed by its caller is served unchanged', async (t) => {
  const one = cacheOn(t, db.pool(t));
  const sql = "SELECT '\\xdeadbeef'::bytea AS bytes, '{\"a\": [1]}'::jsonb AS json, ARRAY[1, 2] AS list";
  const expected = [{ bytes: Buffer.from('deadbeef', 'hex'), json: { a: [1] }, list: [1, 2] }];
  for (const _ of range(3)) {
    const { rows } = await one.ask(sql);
    assert.deepStrictEqual([...rows], expected);
    const [row] = /** @type {any} */ (rows);
    row.bytes.fill(0);
    row.json.a.push(2);
    row.list.length = 0;
    row.more = true;
    rows.push({});
  }
  assert.equal(one.statements, 1);
});

class Point {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
  }
}

/** Values of parsers that no copy can equal. */
const WITHOUT_COPY = {
  'an instance of a class': (/** @type {string} */ text) => new Point(text),
  'a function': (/** @type {string} */ text) => () => text,
  'a symbol': Symbol,
  'an object without a prototype': (/** @type {string} */ text) => Object.assign(Object.create(null), { text }),
  'a frozen object': (/** @type {string} */ text) => Object.freeze({ text }),
  'an object with a getter': (/** @type {string} */ text) =>
    Object.defineProperty({}, 'text', { get: () => text, enumerable: true }),
  'an object with a hidden member': (/** @type {string} */ text) => Object.defineProperty({}, 'text', { value: text }),
  'an object with a symbol': (/** @type {string} */ text) => ({ [Symbol.for('a')]: text }),
  'an array with a member': (/** @type {string} */ text) => Object.assign([1], { text }),
  'an array with holes': (/** @type {string} */ text) => Object.assign(new Array(3), { 0: text }),
  'a Map': (/** @type {string} */ text) => new Map([[text, 1]]),
  'an Error': (/** @type {string} */ text) => new Error(text),
  'a typed array': () => new Float64Array(1),
  'a Date with a member': (/** @type {string} */ text) => Object.assign(new Date(0), { text }),
  'an object that contains itself': (/** @type {string} */ text) => {
    const object = /** @type {any} */ ({ text });
    object.self = object;
    return object;
  },
};

for (const [name, parser] of Object.entries(WITHOUT_COPY)) {
  test(`cache: a result with ${name} is not cached, and every caller has his own`, async (t) => {
    const one = cacheOn(t, db.pool(t));
    const types = { parsers: { point: parser } };
    const ask = () => one.ask("SELECT point '(1,2)' AS p", [], { types });
    await ask();
    const results = await Promise.all([ask(), ask(), ask()]);
    assert.deepEqual(
      results.map(({ cached }) => cached),
      [false, false, false],
    );
    assert.equal(one.statements, 4);
    if (name === 'an instance of a class') for (const { rows } of results) assert.ok(rows[0].p instanceof Point);
  });
}

test('cache: 1,000 callers of one missing entry run one statement, and each has a result of his own', async (t) => {
  const one = cacheOn(t, db.pool(t));
  const results = await Promise.all(range(1_000).map(() => one.ask('SELECT pg_sleep(0.05), $1::int4 AS n', [7])));
  assert.equal(one.statements, 1);
  assert.equal(new Set(results.map(({ rows }) => rows[0])).size, 1_000);
  for (const { rows } of results) assert.equal(rows[0].n, 7);
  assert.deepEqual(one.cache.stats().misses, 1);
  assert.deepEqual(one.cache.stats().hits, 999);
  assert.equal(one.cache.stats().hitRate, 0.999);
});

test('cache: an error of the statement goes to all who wait, and is not cached', async (t) => {
  const one = cacheOn(t, db.pool(t));
  const ends = await endings(range(5).map(() => one.ask('SELECT pg_sleep(0.05), 1 / $1::int4', [0])));
  assert.deepEqual(
    ends.map(({ error }) => error.code),
    Array(5).fill('22012'),
  );
  assert.equal(one.statements, 1);
  assert.equal((await failureOf(one.ask('SELECT pg_sleep(0.05), 1 / $1::int4', [0]))).code, '22012');
  assert.equal(one.statements, 2);
});

test('cache: when the first caller gives up, the next one runs the statement for the rest', async (t) => {
  const one = cacheOn(t, db.pool(t));
  const sql = 'SELECT pg_sleep(0.2), 1 AS n';
  const controller = new AbortController();
  const reason = new Error('enough');
  const first = failureOf(one.ask(sql, [], { signal: controller.signal }));
  const late = failureOf(one.ask(sql, [], { timeoutMs: 50 }));
  const others = range(3).map(() => one.ask(sql));
  assert.deepEqual(
    [(await late).name, (await late).code, (await late).outcome],
    ['QueryTimeoutError', '57014', 'not-applied'],
  );
  controller.abort(reason);
  assert.deepEqual([(await first).name, (await first).cause], ['AbortError', reason]);
  assert.deepEqual(
    (await Promise.all(others)).map(({ cached }) => cached),
    [false, true, true],
  );
  assert.equal(one.statements, 2);
});

test('cache: the timeout of the first caller is not that of those who wait', async (t) => {
  const one = cacheOn(t, db.pool(t));
  const sql = 'SELECT pg_sleep(0.2), 1 AS n';
  const first = failureOf(one.ask(sql, [], { timeoutMs: 50 }));
  const second = one.ask(sql, [], { timeoutMs: 30_000 });
  assert.equal((await first).name, 'QueryTimeoutError');
  assert.equal((await second).cached, false);
  assert.equal(one.statements, 2);
});

test('cache: a caller that waits is stopped by its own signal', async (t) => {
  const one = cacheOn(t, db.pool(t));
  const sql = 'SELECT pg_sleep(0.2), 1 AS n';
  const first = one.ask(sql);
  const controller = new AbortController();
  const second = failureOf(one.ask(sql, [], { signal: controller.signal }));
  controller.abort(new Error('enough'));
  assert.deepEqual([(await second).code, (await second).cause.message], ['ABORT_ERR', 'enough']);
  assert.equal((await first).cached, false);
  const hit = failureOf(one.ask(sql, [], { signal: controller.signal }));
  assert.equal((await hit).code, 'ABORT_ERR', 'a signal that has fired stops a hit, too');
});

test('cache: an invalidation while the query runs: who asked before has its result, who asks after runs anew, and the old is not stored', async (t) => {
  const pool = db.pool(t);
  await pool.exec('DROP TABLE IF EXISTS flight; CREATE TABLE flight (n int); INSERT INTO flight VALUES (1)');
  const one = cacheOn(t, pool);
  const sql = 'SELECT n, pg_sleep(0.2) FROM flight';
  const before = [one.ask(sql), one.ask(sql)];
  await until('it runs', () => one.statements === 1);
  await sleep(50);
  await pool.query('UPDATE flight SET n = 2');
  assert.equal(await one.cache.invalidate({ schema: 'public' }), 0);
  const after = one.ask(sql);
  assert.deepEqual(
    (await Promise.all([...before, after])).map(({ rows }) => rows[0].n),
    [1, 1, 2],
  );
  const { rows, cached } = await one.ask(sql);
  assert.deepEqual([rows[0].n, cached, one.statements], [2, true, 2]);
});

const SELECTIONS = /** @type {[any, number[]][]} */ ([
  [{ schema: 'shop' }, [0, 1]],
  [{ cluster: 'b' }, [1, 2]],
  [{ tags: ['x'] }, [0, 2]],
  [{ tags: ['x', 'y'] }, [0, 1, 2]],
  [{ tags: [] }, []],
  [{ key: 'user:1' }, [0]],
  [{ pattern: 'user:*' }, [0, 1]],
  [{ pattern: 'user:?' }, [0, 1]],
  [{ pattern: 'user:??' }, []],
  [{ pattern: '*' }, [0, 1, 2]],
  [{ pattern: '*:*1' }, [0]],
  [{ pattern: 'é?:🎈?' }, []],
  [{ pattern: '?é:🎈*' }, [2]],
  [{ pattern: '[user]:1' }, []],
]);

for (const [selector, removed] of SELECTIONS) {
  test(`cache: invalidate(${JSON.stringify(selector)}) removes what it selects, and nothing else`, async (t) => {
    const one = cacheOn(t, db.pool(t));
    const calls = [
      { clusterId: 'a', schema: 'shop', tags: ['x', 'y'], cacheKey: 'user:1' },
      { clusterId: 'b', schema: 'shop', tags: ['y'], cacheKey: 'user:2' },
      { clusterId: 'b', schema: 'other', tags: ['x'], cacheKey: '🎈é:🎈 long' },
      { clusterId: 'c' },
    ];
    for (const call of calls) await one.ask('SELECT 1', [], call);
    assert.equal(one.cache.stats().entries, 4);
    assert.equal(await one.cache.invalidate(selector), removed.length);
    assert.equal(one.cache.stats().entries, 4 - removed.length);
    for (const [index, call] of calls.entries()) {
      assert.equal((await one.ask('SELECT 1', [], call)).cached, !removed.includes(index), `call ${index}`);
    }
  });
}

test('cache: two calls that differ in their tags alone have two entries, so that each tag removes its own', async (t) => {
  const one = cacheOn(t, db.pool(t));
  await one.ask('SELECT 1', [], { tags: ['a'] });
  assert.equal((await one.ask('SELECT 1', [], { tags: ['b'] })).cached, false);
  assert.equal(await one.cache.invalidate({ tags: ['b'] }), 1);
  assert.equal((await one.ask('SELECT 1', [], { tags: ['b'] })).cached, false);
  assert.equal((await one.ask('SELECT 1', [], { tags: ['a'] })).cached, true);
});

test('cache: an invalidation without exactly one selector is a ParameterError', async (t) => {
  const { cache } = cacheOn(t, db.pool(t));
  for (const wrong of [
    undefined,
    null,
    {},
    { schema: 'a', key: 'b' },
    { tag: 'a' },
    { schema: '' },
    { schema: 1 },
    { tags: 'a' },
    { tags: [1] },
    'a',
  ]) {
    const error = await failureOf(cache.invalidate(wrong));
    assert.ok(error instanceof ParameterError, `${JSON.stringify(wrong)}: ${error}`);
  }
});

test('cache: a mistake in cacheTtl, cacheKey or tags is a ParameterError by its name, and nothing is sent', async (t) => {
  const one = cacheOn(t, db.pool(t));
  const wrong = {
    cacheTtl: [{ ttlMs: 0 }, { ttlMs: '1' }, { ttlMs: 1.5 }],
    cacheKey: [{ cacheKey: '' }, { cacheKey: 1 }],
    tags: [{ tags: 'a' }, { tags: [''] }, { tags: range(101).map(String) }],
  };
  for (const [name, calls] of Object.entries(wrong)) {
    for (const call of calls) {
      const error = await failureOf(one.ask('SELECT 1', [], call));
      assert.ok(error instanceof ParameterError && error.message.includes(name), `${JSON.stringify(call)}: ${error}`);
    }
  }
  assert.equal(one.statements, 0);
});

test('cache: the least recently used entry goes first, by number', async (t) => {
  const one = cacheOn(t, db.pool(t), { maxSize: 2 });
  const ask = (/** @type {number} */ n) => one.ask('SELECT $1::int4', [n], { cacheKey: `k${n}` });
  await ask(1);
  await ask(2);
  await ask(1);
  await ask(3);
  assert.deepEqual(one.told('cacheEviction'), [{ key: 'k2', schema: 'public', reason: 'size' }]);
  assert.deepEqual([(await ask(1)).cached, (await ask(3)).cached, one.cache.stats().entries], [true, true, 2]);
});

test('cache: entries have a limit in bytes, and one that is larger alone is not stored', async (t) => {
  const one = cacheOn(t, db.pool(t), { maxBytes: 11_000 });
  const ask = (/** @type {number} */ n, /** @type {number} */ size) =>
    one.ask("SELECT $1::int4, repeat('x', $2)", [n, size]);
  for (const n of range(4)) await ask(n, 3_000);
  const { entries, bytes } = one.cache.stats();
  assert.equal(entries, 3);
  assert.ok(bytes > 9_000 && bytes <= 11_000, `${bytes}`);
  assert.deepEqual(
    one.told('cacheEviction').map(({ reason }) => reason),
    ['bytes'],
  );
  await ask(9, 20_000);
  assert.equal((await ask(9, 20_000)).cached, false);
  assert.equal(one.cache.stats().entries, 3);
  await one.cache.invalidate({ cluster: 'a' });
  assert.deepEqual([one.cache.stats().entries, one.cache.stats().bytes], [0, 0]);
});

test('cache: entries from the threshold on are smaller with compression', async (t) => {
  const plain = cacheOn(t, db.pool(t), { enableCompression: false });
  const packed = cacheOn(t, db.pool(t), { enableCompression: true });
  for (const one of [plain, packed]) await one.ask("SELECT repeat('x', 5000)");
  assert.ok(plain.cache.stats().bytes > 5_000);
  assert.ok(packed.cache.stats().bytes < 600, `${packed.cache.stats().bytes}`);
  for (const one of [plain, packed]) {
    await one.cache.invalidate({ cluster: 'a' });
    await one.ask("SELECT repeat('x', 500)");
  }
  assert.equal(plain.cache.stats().bytes, packed.cache.stats().bytes, 'below the threshold nothing is compressed');
});

test('cache: an entry expires after its ttl, which a call may choose', async (t) => {
  const one = cacheOn(t, db.pool(t), { ttl: 60_000 });
  await one.ask('SELECT 1', [], { ttlMs: 50, cacheKey: 'short' });
  await one.ask('SELECT 2', [], { cacheKey: 'long' });
  assert.equal((await one.ask('SELECT 2', [], { cacheKey: 'long', ttlMs: 60_000 })).cached, true);
  await sleep(60);
  assert.equal(
    (await one.ask('SELECT 2', [], { cacheKey: 'long', ttlMs: 50 })).cached,
    false,
    'it is too old for this call',
  );
  assert.equal((await one.ask('SELECT 1', [], { ttlMs: 50, cacheKey: 'short' })).cached, false);
  assert.deepEqual(one.told('cacheEviction'), [{ key: 'short', schema: 'public', reason: 'expired' }]);
  await sleep(60);
  assert.equal(one.cache.stats().entries, 0, 'an expired entry that nobody asks for is not counted');
});

test('cache: hits and misses are counted and told with the key and the schema', async (t) => {
  const one = cacheOn(t, db.pool(t));
  assert.deepEqual(one.cache.stats(), { hits: 0, misses: 0, hitRate: 0, entries: 0, bytes: 0 });
  for (const _ of range(4)) await one.ask('SELECT 1', [], { cacheKey: 'mine' });
  await one.ask('SELECT 1', [new Point('a value without a key')]).catch(() => {});
  const { hits, misses, hitRate, entries } = one.cache.stats();
  assert.deepEqual({ hits, misses, hitRate, entries }, { hits: 3, misses: 2, hitRate: 0.6, entries: 1 });
  assert.deepEqual(one.told('cacheMiss')[0], { key: 'mine', schema: 'public' });
  assert.deepEqual(one.told('cacheHit')[0], { key: 'mine', schema: 'public' });
  await one.ask('SELECT 1');
  assert.match(one.told('cacheMiss').at(-1).key, /^[\w-]{43}$/, 'without a name it is the SHA-256');
});

test('cache: parameters that are changed after the call do not change what is stored', async (t) => {
  const one = cacheOn(t, db.pool(t));
  const bytes = Buffer.from('one');
  const sql = 'SELECT pg_sleep(0.1), convert_from($1, $$UTF8$$) AS text';
  const controller = new AbortController();
  const first = failureOf(one.ask(sql, [bytes], { signal: controller.signal }));
  const second = one.ask(sql, [bytes]);
  bytes.write('two');
  // The second runs now, for itself: its parameters are those that it was called with.
  controller.abort();
  await first;
  assert.equal((await second).rows[0].text, 'one');
  assert.equal((await one.ask(sql, [Buffer.from('one')])).rows[0].text, 'one');
  assert.equal((await one.ask(sql, [bytes])).rows[0].text, 'two');
});

test('cache: after close() calls go to the database', async (t) => {
  const one = cacheOn(t, db.pool(t));
  await one.ask('SELECT 1');
  await one.cache.close();
  assert.equal((await one.ask('SELECT 1')).cached, false);
  assert.equal(one.cache.stats().entries, 0);
});
