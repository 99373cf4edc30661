'use strict';

// pool.copyFrom() and pool.copyTo(): every value arrives as a parameter would have, a load is there wholly or not at all,
// and whatever ends one, its connection and its source are let go.

const assert = require('node:assert/strict');
const fs = require('node:fs');
const { describe } = require('node:test');
const { Readable } = require('node:stream');
const { pipeline } = require('node:stream/promises');
const { test, failureOf, isPending, ownCluster, range, sleep, until, useCluster } = require('../support/helpers.js');

const db = useCluster({ nodes: 1, synchronous: false });

let tables = 0;

/**
 * A pool and a new table.
 * @param {import('node:test').TestContext} t
 * @param {string} columns
 * @param {Record<string, unknown>} [options]
 */
async function withTable(t, columns, options) {
  const pool = db.pool(t, options);
  const table = `copied_${++tables}`;
  await pool.query(`CREATE TABLE ${table} (${columns})`);
  return { pool, table };
}

/** @param {any} pool @param {string} table */
const countOf = async (pool, table) => Number((await pool.query(`SELECT count(*) AS n FROM ${table}`))[0].n);

/** @param {AsyncIterable<Buffer>} stream */
async function textOf(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

/** A source that tells whether it was let go. @param {any} values @param {(n: number) => void} [before] */
function* watched(values, before, state = /** @type {any} */ (undefined)) {
  let n = 0;
  try {
    for (const value of values) {
      before?.(++n);
      yield value;
    }
    if (state !== undefined) state.ended = true;
  } finally {
    if (state !== undefined) state.left = true;
  }
}

// Each value is loaded beside one that goes as an ordinary parameter; the server then compares what it has.
/** @type {Record<string, unknown[]>} */
const VALUES = {
  bool: [true, false, 'true', 'f', 'yes', ' off '],
  int2: [0, -32768, 32767, 5n, '-7', ' 8 ', '+9'],
  int4: [0, -(2 ** 31), 2 ** 31 - 1, 7n, '2147483647', ' 1'],
  int8: [-(2n ** 63n), 2n ** 63n - 1n, Number.MIN_SAFE_INTEGER, '-9223372036854775808', '007'],
  oid: [0, 4294967295, 1n, '4294967295'],
  float4: [0, -0, 1.5, 3.4e38, NaN, Infinity, -Infinity, '0.1', '1e-45', 'NaN', '-inf', 16777217],
  float8: [
    0,
    -0,
    0.1,
    5e-324,
    1.7976931348623157e308,
    NaN,
    -Infinity,
    '1e-320',
    '.5',
    '-0',
    '1.50',
    '0.30000000000000004',
  ],
  numeric: [
    0,
    -1.5,
    1e-7,
    1e21,
    12345678901234567890n,
    '0.00',
    '-0001.2300',
    'NaN',
    '1e10',
    '.5',
    ' 7 ',
    '9'.repeat(900),
    '1e-300',
  ],
  'numeric(10, 2)': ['1.005', '-99999999.99', 3, 2.675],
  text: [
    '',
    '\\N',
    '\\.',
    '\\',
    'a\tb',
    'a\nb\r\nc',
    '\b\f\v\x01\x7f',
    'é😀漢',
    '"\'',
    5,
    true,
    1.5,
    10n,
    new Date(0),
    { a: 1 },
    'x'.repeat(100_000),
  ],
  'varchar(3)': ['', 'abc', 'é😀漢'],
  'char(4)': ['', 'ab', 'abcd'],
  name: ['', 'a'.repeat(80), 'é'],
  bytea: [
    Buffer.alloc(0),
    Buffer.from('\\x\0\t\n\\'),
    new Uint8Array([0, 255, 92]),
    '\\x00ff',
    'abc\\000\\\\',
    Buffer.alloc(300_000, 7),
  ],
  uuid: [
    '0123abcd-4567-89AB-cdef-000000000001',
    '{0123abcd-4567-89ab-cdef-000000000001}',
    '0123abcd456789abcdef000000000001',
  ],
  json: [{ a: [1, null] }, [1, 'x', { y: true }], '{"a" :  1}', '"s\\n\\\\"', 5, true, 'null'],
  jsonb: [
    { a: 'tab\t, back\\slash, "quote", é😀\n' },
    [1, [2]],
    '{"b":1,"a":2}',
    1.5,
    false,
    new Date(0),
    '12345678901234567890.123',
  ],
  timestamptz: [
    new Date(0),
    new Date(-1),
    new Date(8.64e15),
    '2024-02-29T12:34:56.789123Z',
    '2024-01-01 00:00:00+05:30',
    '2024-01-01T00:00:00-00:30',
    '2024-07-01 12:00:00',
    '2024-07-01',
    'infinity',
    '-infinity',
    '0044-03-15 12:00:00 BC',
    'epoch',
    '2024-01-01 24:00:00Z',
    '2024-01-01T00:00:00.1234567Z',
  ],
  timestamp: [
    new Date(86_399_999),
    '2024-01-01T00:00:00',
    '2024-01-01 00:00:00.000001',
    '2024-01-01T00:00:00+05',
    '1.2.2024',
    'infinity',
  ],
  date: [
    new Date(0),
    new Date(-1),
    '2024-02-29',
    '0001-01-01',
    '9999-12-31',
    'Feb 3 2024',
    '-infinity',
    '20240203',
    '0044-03-15 BC',
  ],
  time: ['00:00:00', '23:59:59.999999', '24:00:00', '04:05 PM', new Date(3_723_004)],
  timetz: ['00:00:00+02', '23:59:59.999999-08:30'],
  interval: ['1 year 2 mons 3 days 04:05:06.7', '-1 day', 'P1Y'],
  inet: ['127.0.0.1', '::1/64'],
  xml: ['<a b="1">é</a>'],
  point: ['(1,2)'],
  int4range: ['[1,10)'],
  'int4[]': [
    [],
    [1, null, 3],
    [
      [1, 2],
      [3, 4],
    ],
    '{1,NULL}',
    new Int32Array([1, 2]),
  ],
  'text[]': [
    ['a\tb', 'c\\d', '"', '', null, 'NULL', '{,}', 'é\n'],
    [['x'], ['y']],
  ],
  'timestamptz[]': [[new Date(0), null]],
  'jsonb[]': [[{ a: 1 }, 'null']],
  'bytea[]': [[Buffer.from([0, 92, 9])]],
  mood: ['sad', 'happy'],
  positive: [1, '2'],
  short: ['ab\t\\'],
};

/** What is refused as a parameter, and so in a load. @type {Record<string, unknown[]>} */
const REFUSED = {
  bool: [1, 'maybe'],
  int2: [40_000, 1.5, '40000'],
  int4: [2 ** 31, 3.5, NaN, 'x', '', '2147483648', true, new Date(), {}, Buffer.alloc(1)],
  int8: [2n ** 63n, 1e20],
  float4: [1e39, '1e39'],
  numeric: ['', 'x', true, Infinity === 0, '1e'],
  'numeric(4, 1)': [10_000],
  text: ['nul\0', 'lone \ud800', Buffer.from('x'), Symbol('x'), () => 1],
  'varchar(3)': ['abcd'],
  uuid: ['0123', 5],
  jsonb: ['{bad', NaN],
  timestamptz: ['yesterdayish', 5, new Date(NaN), '2024-02-30T00:00:00Z'],
  date: ['2023-02-29', 20240101],
  'int4[]': [[1, 'x'], [[1], [2, 3]], 5, [1.5]],
  mood: ['angry'],
  positive: [-1],
};

const TYPES = `CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN positive AS int4 CHECK (VALUE > 0); CREATE DOMAIN short AS varchar(5)`;

describe('copyFrom: rows', () => {
  test('copyFrom: values arrive as parameters do, each type alone and all of them together', {
    timeout: 120_000,
  }, async (t) => {
    const pool = db.pool(t, { options: { TimeZone: 'Asia/Kathmandu' } });
    for (const sql of TYPES.split('; ')) await pool.query(sql);
    const wide = Object.keys(VALUES);
    await pool.query(`CREATE TABLE every (n int4, ${wide.map((type, i) => `c${i} ${type}`).join(', ')})`);
    await pool.query(`CREATE TABLE expected (LIKE every)`);
    const rows = [];
    for (const [i, type] of wide.entries()) {
      const values = [...VALUES[type], null, undefined];
      await pool.query(`CREATE TABLE one_${i} (given ${type}, loaded ${type})`);
      for (const [n, value] of values.entries()) {
        await pool.query(`TRUNCATE one_${i}`);
        const [{ text }] = await pool.query(
          `WITH i AS (INSERT INTO one_${i} (given) VALUES ($1) RETURNING *) SELECT given::text AS text FROM i`,
          [value],
        );
        await pool.query(`TRUNCATE one_${i}`);
        // Alone, and behind a row that can go in binary.
        assert.equal((await pool.copyFrom(`one_${i} (loaded)`, [[null], [value], [null]])).rowCount, 3);
        const got = await pool.query(`SELECT loaded::text AS text FROM one_${i}`);
        assert.deepEqual(
          got.map((/** @type {any} */ row) => row.text),
          [null, text, null],
          `${type} ${String(value)}`,
        );
        const row = [i * 1000 + n, ...wide.map(() => null)];
        row[i + 1] = /** @type {any} */ (value);
        rows.push(row);
        await pool.query(`INSERT INTO expected (n, c${i}) VALUES ($1, $2)`, [row[0], value]);
      }
    }
    await pool.copyFrom('every', rows);
    const different = await pool.query(
      'SELECT n FROM (SELECT n, e::text AS v FROM every e) a FULL JOIN (SELECT n, e::text AS v FROM expected e) b USING (n) WHERE a.v IS DISTINCT FROM b.v',
    );
    assert.deepStrictEqual(different, []);
    // And out again.
    await pool.query('CREATE TABLE again (LIKE every)');
    for (const format of ['text', 'csv', 'binary']) {
      await pool.query('TRUNCATE again');
      const out = pool.copyTo(`COPY every TO STDOUT (FORMAT ${format})`);
      const { rowCount } = await pool.copyFrom(`COPY again FROM STDIN (FORMAT ${format})`, out);
      assert.equal(rowCount, rows.length);
      assert.deepStrictEqual(
        await pool.query('SELECT e::text FROM every e EXCEPT ALL SELECT a::text FROM again a'),
        [],
      );
    }
  });

  test('copyFrom: values that do not fit are refused by row and column, and no row stays', {
    timeout: 120_000,
  }, async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    for (const sql of TYPES.split('; ')) await pool.query(sql).catch(() => {});
    const [{ pid }] = await pool.query('SELECT pg_backend_pid() AS pid');
    for (const [type, values] of Object.entries(REFUSED)) {
      const strict = `strict_${++tables}`;
      await pool.query(`CREATE TABLE ${strict} (id int4, "the value" ${type})`);
      for (const value of values) {
        const what = `${type} ${String(value)}`;
        await failureOf(pool.query(`INSERT INTO ${strict} VALUES (1, $1)`, [value]));
        const error = await failureOf(
          pool.copyFrom(strict, [
            [1, null],
            [2, null],
            [3, value],
            [4, null],
          ]),
        );
        assert.equal(error.row, 3, `${what}: ${error.stack}`);
        assert.equal(error.outcome, 'not-applied', what);
        // A constraint of a domain is checked where the server does not say of which column.
        if (type !== 'positive') assert.equal(error.column, 'the value', what);
        if (error.name === 'ParameterError') {
          assert.match(error.message, /^row 3, column "the value": /);
          assert.equal(error.code, 'ERR_INVALID_PARAM');
        } else {
          assert.match(error.code, /^[0-9A-Z]{5}$/, what);
        }
        assert.equal(await countOf(pool, strict), 0);
      }
    }
    assert.deepStrictEqual(await pool.query('SELECT pg_backend_pid() AS pid'), [{ pid }], 'the connection is kept');
  });

  test('copyFrom: 100,000 rows from a generator, while the event loop goes on', async (t) => {
    const { pool, table } = await withTable(t, 'id int4, name text, at timestamptz, doc jsonb');
    /** @type {{ rows: number, bytes: number }[]} */
    const progress = [];
    let turns = 0;
    const timer = setInterval(() => turns++, 1);
    const made = function* () {
      for (let i = 0; i < 100_000; i++) yield [i, `name ${i}`, new Date(i), { i }];
    };
    const result = await pool.copyFrom(table, made(), { onProgress: (/** @type {any} */ p) => progress.push(p) });
    clearInterval(timer);
    assert.equal(result.rowCount, 100_000);
    assert.ok(turns > 10, `${turns} turns`);
    assert.ok(progress.length > 10);
    for (const [i, { rows, bytes }] of progress.entries()) {
      assert.ok(i === 0 || (rows > progress[i - 1].rows && bytes > progress[i - 1].bytes), 'it grows');
    }
    assert.equal(progress.at(-1)?.rows, 100_000);
    assert.ok(result.bytes >= /** @type {any} */ (progress.at(-1)).bytes);
    const [sums] = await pool.query(
      `SELECT count(DISTINCT id) AS ids, sum((doc->>'i')::int8) AS i, max(name) AS name, max(extract(epoch FROM at))::text AS at FROM ${table}`,
    );
    assert.deepStrictEqual(sums, { ids: 100_000n, i: '4999950000', name: 'name 99999', at: '99.999000' });
  });

  test('copyFrom takes rows as arrays, objects and class instances, from arrays, sets, generators of both kinds and Readables', async (t) => {
    const { pool, table } = await withTable(
      t,
      `a int4, "B b" text, c int4 GENERATED ALWAYS AS (a * 2) STORED, d int4 DEFAULT 7`,
    );
    class Row {
      a = 3;
      get 'B b'() {
        return 'getter';
      }
      d = null;
    }
    const sources = [
      [[1, 'x', null]],
      new Set([{ a: 1, 'B b': 'x', d: undefined }]),
      [new Row()],
      (function* () {
        yield { d: 1, 'B b': 'generator', a: 2 };
      })(),
      (async function* () {
        await sleep(1);
        yield [1, 'async', 2];
        yield { a: 1, 'B b': 'both', d: null };
      })(),
      Readable.from([[5, 'readable', 6]]),
      [],
    ];
    for (const source of sources) await pool.copyFrom(table, source);
    await pool.copyFrom(` ${table.toUpperCase()} ( A , "B b" )`, [{ a: 9, 'B b': null, more: 1 }]);
    await pool.copyFrom(`public."${table}"("B b")`, [['one']]);
    assert.deepStrictEqual(await pool.query(`SELECT * FROM ${table}`, [], { rowMode: 'array' }), [
      [1, 'x', 2, null],
      [1, 'x', 2, null],
      [3, 'getter', 6, null],
      [2, 'generator', 4, 1],
      [1, 'async', 2, 2],
      [1, 'both', 2, null],
      [5, 'readable', 10, 6],
      [9, null, 18, 7],
      [null, 'one', null, 7],
    ]);
  });

  test('copyFrom: a value that is not a row is refused by its number', async (t) => {
    const { pool, table } = await withTable(t, 'a int4, b text');
    /** @type {[unknown, RegExp][]} */
    const bad = [
      [[1], /^row 2 has 1 values for 2 columns$/],
      [[1, 'x', 2], /^row 2 has 3 values for 2 columns$/],
      [{ a: 1 }, /^row 2 has no property "b"/],
      [{ a: 1, b: 2, c: 3 }, /^row 2 has "c", which is no column$/],
      [null, /^row 2 is null/],
      ['row', /^row 2 is a string/],
      [Buffer.from('x'), /^row 2 is a Buffer/],
      [Promise.resolve([1, 'x']), /^row 2 has no property "a"/],
    ];
    for (const [row, message] of bad) {
      const error = await failureOf(pool.copyFrom(table, [[1, 'x'], row]));
      assert.match(error.message, message);
      assert.deepEqual([error.code, error.row, error.outcome], ['ERR_INVALID_PARAM', 2, 'not-applied']);
    }
    await pool.query('CREATE TABLE odd ("__proto__" jsonb, "toString" int4)');
    await failureOf(pool.copyFrom('odd', [{}]));
    await pool.copyFrom('odd', [{ ['__proto__']: { x: 1 }, toString: 2 }]);
    assert.deepStrictEqual(await pool.query('SELECT * FROM odd', [], { rowMode: 'array' }), [[{ x: 1 }, 2]]);
    assert.equal(await countOf(pool, table), 0);
  });

  test('copyFrom: an error of the server names the row, also after the load has changed to the text format', async (t) => {
    const { pool, table } = await withTable(t, 'id int4 PRIMARY KEY, at timestamptz NOT NULL');
    const rows = (/** @type {unknown[][]} */ ...last) => [...range(500).map((i) => [i, new Date(i)]), ...last];
    const now = [1000, 'now'];
    /** @type {[unknown[][], string, number, string | undefined][]} */
    const table_ = [
      [rows([7, new Date()]), '23505', 501, undefined],
      [rows(now, [7, new Date()]), '23505', 502, undefined],
      [rows([501, null]), '23502', 501, 'at'],
      [rows(now, [501, null]), '23502', 502, 'at'],
      [rows(now, [501, 'later']), '22007', 502, 'at'],
    ];
    for (const [source, code, row, column] of table_) {
      const error = await failureOf(pool.copyFrom(table, source));
      assert.deepEqual(
        [error.name, error.code, error.row, error.column],
        ['DatabaseError', code, row, column],
        error.where,
      );
      assert.equal(await countOf(pool, table), 0);
    }
    assert.equal((await pool.copyFrom(table, rows(now, [2000, new Date()]))).rowCount, 502);
    assert.equal(await countOf(pool, table), 502);
  });

  test('copyFrom: a row that the server refuses ends the load at once, and the source is left', async (t) => {
    const { pool, table } = await withTable(t, 'id int4 PRIMARY KEY');
    for (const target of [table, `COPY ${table} FROM STDIN`]) {
      let left = false;
      const endless = (async function* () {
        try {
          for (let n = 0; ; n++) {
            // More than a piece: what is less may wait for its fellows.
            for (const i of range(10_000)) yield target === table ? [n * 10_000 + i] : `${n * 10_000 + i}\n`;
            yield target === table ? [7] : '7\n';
            await sleep(5);
          }
        } finally {
          left = true;
        }
      })();
      const error = await failureOf(pool.copyFrom(target, endless));
      assert.deepEqual([error.code, error.row], ['23505', 10_001], error.where);
      await until('the source is left', () => left);
    }
    const rare = (async function* () {
      for (const row of [[1], ['x']]) yield row;
      await new Promise(() => {});
    })();
    assert.equal((await failureOf(pool.copyFrom(table, rare))).row, 2, 'nor do few rows wait for more');
    const tx = await pool.begin();
    const slow = (async function* () {
      for (;;) {
        for (const i of range(10_000)) yield [i % 100];
        await sleep(5);
      }
    })();
    assert.equal((await failureOf(tx.copyFrom(table, slow))).row, 101);
    await tx.rollback();
    assert.equal(await countOf(pool, table), 0);
  });

  test('copyFrom: large values', async (t) => {
    const { pool, table } = await withTable(t, 'a text, b bytea');
    const text = 'é'.repeat(25_000_000);
    const bytes = Buffer.alloc(50_000_000, 9);
    await pool.copyFrom(table, [
      ['small', null],
      [text, bytes],
      ['after', Buffer.from('x')],
    ]);
    const got = await pool.query(
      `SELECT length(a) AS a, length(b) AS b, md5(b) AS m FROM ${table} ORDER BY length(a) DESC`,
    );
    assert.deepStrictEqual(
      got.map((/** @type {any} */ row) => [row.a, row.b]),
      [
        [25_000_000, 50_000_000],
        [5, null],
        [5, 1],
      ],
    );
    assert.equal(got[0].m, require('node:crypto').createHash('md5').update(bytes).digest('hex'));
  });

  test('copyFrom into a table with a deferred constraint or a trigger that drops rows, and into a view', async (t) => {
    const { pool, table } = await withTable(t, 'id int4, parent int4');
    await pool.query(`ALTER TABLE ${table} ADD PRIMARY KEY (id)`);
    await pool.query(`ALTER TABLE ${table} ADD FOREIGN KEY (parent) REFERENCES ${table} DEFERRABLE INITIALLY DEFERRED`);
    assert.equal((await failureOf(pool.copyFrom(table, [[1, 2]]))).code, '23503');
    assert.equal(await countOf(pool, table), 0);
    await pool.copyFrom(table, [
      [1, 2],
      [2, null],
    ]);
    await pool.query(`CREATE FUNCTION odd_only() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN IF NEW.id % 2 = 0 THEN RETURN NULL; END IF; RETURN NEW; END $$`);
    await pool.query(`CREATE TRIGGER odd BEFORE INSERT ON ${table} FOR EACH ROW EXECUTE FUNCTION odd_only()`);
    assert.equal(
      (
        await pool.copyFrom(
          table,
          range(10).map((i) => [i + 10, null]),
        )
      ).rowCount,
      5,
    );
  });

  test('copyFrom: two loads and other statements at once do not mix', async (t) => {
    const { pool, table } = await withTable(t, 'who int4, n int4', { poolSize: 3 });
    const load = (/** @type {number} */ who) =>
      pool.copyFrom(
        table,
        (async function* () {
          for (let n = 0; n < 20_000; n++) {
            if (n % 5000 === 0) await sleep(5);
            yield [who, n];
          }
        })(),
      );
    const answers = Promise.all(range(200).map((i) => pool.query('SELECT $1::int4 AS i', [i])));
    await Promise.all([load(1), load(2), load(3)]);
    assert.deepStrictEqual(
      (await answers).map(([row]) => row.i),
      range(200),
    );
    const counted = await pool.query(
      `SELECT who, count(DISTINCT n)::int4 AS n FROM ${table} GROUP BY who ORDER BY who`,
    );
    assert.deepStrictEqual(
      counted,
      [1, 2, 3].map((who) => ({ who, n: 20_000 })),
    );
  });
});

describe('copyFrom: ready data', () => {
  const csv = 'id,name\n1,"a, ""b"""\n2,\n';

  test('copyFrom takes ready data from a string, a Buffer, a Readable, a file and an iterable of chunks', async (t) => {
    const { pool, table } = await withTable(t, 'id int4, name text');
    const sql = `COPY ${table} (id, name) FROM STDIN (FORMAT csv, HEADER)`;
    const file = `${__filename}.${process.pid}.csv`;
    fs.writeFileSync(file, csv);
    t.after(() => fs.unlinkSync(file));
    const sources = [
      csv,
      Buffer.from(csv),
      new Uint8Array(Buffer.from(csv)),
      Readable.from([csv.slice(0, 5), csv.slice(5)]),
      fs.createReadStream(file, { highWaterMark: 3 }),
      [...csv],
      (async function* () {
        yield Buffer.from(csv);
      })(),
    ];
    for (const source of sources) {
      assert.deepEqual(await pool.copyFrom(sql, source), { rowCount: 2, bytes: csv.length });
      assert.deepStrictEqual(await pool.query(`DELETE FROM ${table} RETURNING *`), [
        { id: 1, name: 'a, "b"' },
        { id: 2, name: null },
      ]);
    }
    assert.equal((await pool.copyFrom(`copy ${table} from stdin`, '')).rowCount, 0);
  });

  test('copyFrom takes ready data of any size, with progress', async (t) => {
    const { pool, table } = await withTable(t, 'id int4, name text');
    const line = (/** @type {number} */ i) => `${i}\t${'x'.repeat(1000)}\n`;
    const all = Buffer.from(range(20_000).map(line).join(''));
    let bytes = 0;
    const onProgress = (/** @type {any} */ p) => {
      bytes = p.bytes;
    };
    assert.deepEqual(await pool.copyFrom(`COPY ${table} FROM STDIN`, all, { onProgress }), {
      rowCount: 20_000,
      bytes: all.length,
    });
    assert.equal(bytes, all.length);
    assert.ok((await textOf(pool.copyTo(table))) === all.toString());
  });

  test('copyFrom of ready data: errors name the row, and a wrong chunk or a stream that fails ends the load', async (t) => {
    const { pool, table } = await withTable(t, 'id int4');
    const sql = `COPY ${table} FROM STDIN`;
    const error = await failureOf(pool.copyFrom(sql, '1\n2\nx\n'));
    assert.deepEqual([error.code, error.row, error.column], ['22P02', 3, 'id']);
    assert.match((await failureOf(pool.copyFrom(sql, ['1\n', 5]))).message, /^source: chunk 2 /);
    const missing = await failureOf(pool.copyFrom(sql, fs.createReadStream('/nowhere/at/all')));
    assert.equal(missing.code, 'ENOENT');
    const broken = new Readable({ read() {} });
    broken.push('1\n');
    setTimeout(() => broken.destroy(new Error('disk on fire')), 20);
    assert.equal((await failureOf(pool.copyFrom(sql, broken))).message, 'disk on fire');
    assert.equal(await countOf(pool, table), 0);
  });
});

describe('copyFrom: a load that is given up', () => {
  test('copyFrom whose source throws rejects with that error, no row stays, and the connection goes on', async (t) => {
    const { pool, table } = await withTable(t, 'id int4', { poolSize: 1 });
    const [{ pid }] = await pool.query('SELECT pg_backend_pid() AS pid');
    for (const at of [1, 2, 50_000]) {
      const enough = new Error('enough');
      const stop = (/** @type {number} */ n) => {
        if (n === at) throw enough;
      };
      const source = watched(
        range(100_000).map((i) => [i]),
        stop,
      );
      assert.equal(await failureOf(pool.copyFrom(table, source)), enough);
      const later = async function* () {
        yield* source;
        yield* range(at).map((i) => [i]);
        throw enough;
      };
      assert.equal(await failureOf(pool.copyFrom(table, later())), enough);
    }
    const bad = () => {
      throw new TypeError('progress');
    };
    const error = await failureOf(pool.copyFrom(table, [[1]], { onProgress: bad }));
    assert.equal(error.message, 'progress');
    assert.equal(await countOf(pool, table), 0);
    assert.deepStrictEqual(await pool.query('SELECT pg_backend_pid() AS pid'), [{ pid }]);
  });

  test('copyFrom that a signal or timeoutMs ends, in every phase: no row stays, and the source is left', async (t) => {
    const { pool, table } = await withTable(t, 'id int4', { poolSize: 1 });
    const [{ pid }] = await pool.query('SELECT pg_backend_pid() AS pid');
    const before = watched([[1]], undefined, {});
    assert.equal(
      (await failureOf(pool.copyFrom(table, before, { signal: AbortSignal.abort('early') }))).cause,
      'early',
    );

    const controller = new AbortController();
    const state = {};
    const act = (/** @type {number} */ n) => {
      if (n === 30_000) controller.abort('midway');
    };
    const endless = watched(
      (function* () {
        for (let i = 0; ; i++) yield [i];
      })(),
      act,
      state,
    );
    const aborted = await failureOf(pool.copyFrom(table, endless, { signal: controller.signal }));
    assert.deepEqual([aborted.code, aborted.cause, aborted.outcome], ['ABORT_ERR', 'midway', 'not-applied']);
    assert.deepEqual(state, { left: true });

    // A source that never answers does not hold it.
    let released = false;
    const stuck = {
      [Symbol.asyncIterator]: () => ({
        next: () => new Promise(() => {}),
        return: async () => {
          released = true;
          return { done: true };
        },
      }),
    };
    const late = await failureOf(pool.copyFrom(table, stuck, { timeoutMs: 100 }));
    assert.deepEqual([late.name, late.code, late.outcome], ['QueryTimeoutError', '57014', 'not-applied']);
    assert.ok(released);
    const readable = new Readable({ read() {} });
    await failureOf(pool.copyFrom(`COPY ${table} FROM STDIN`, readable, { timeoutMs: 50 }));
    assert.ok(readable.destroyed);
    assert.deepStrictEqual(await pool.query('SELECT pg_backend_pid() AS pid'), [{ pid }], 'the connection is kept');

    // The server waits for a lock.
    const holder = await db.pool(t).begin();
    await holder.query(`LOCK TABLE ${table} IN EXCLUSIVE MODE`);
    const blocked = await failureOf(pool.copyFrom(table, [[1]], { timeoutMs: 200 }));
    assert.equal(blocked.code, '57014');
    await holder.rollback();
    // The connection is not to be had.
    const [, waiting] = await Promise.all([
      pool.query('SELECT pg_sleep(0.3)'),
      failureOf(pool.copyFrom(table, watched([[1]]), { timeoutMs: 100 })),
    ]);
    assert.equal(waiting.code, '57014');
    assert.equal(await countOf(pool, table), 0);
  });

  test('copyFrom whose backend is ended: ERR_CONNECTION_LOST, not applied, and no row stays', async (t) => {
    const { pool, table } = await withTable(t, 'id int4', { poolSize: 2 });
    const state = {};
    const source = (async function* () {
      try {
        for (let i = 0; ; i++) {
          if (i === 10_000) {
            await db.sql(
              `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY ${table} %' OR query LIKE 'COPY "${table}" %'`,
            );
          }
          if (i % 1000 === 0) await sleep(1);
          yield [i];
        }
      } finally {
        Object.assign(state, { left: true });
      }
    })();
    const error = await failureOf(pool.copyFrom(table, source));
    assert.deepEqual(
      [error.name, error.code, error.outcome],
      ['ConnectionLostError', 'ERR_CONNECTION_LOST', 'not-applied'],
    );
    await until('the source is left', () => 'left' in state);
    assert.equal(await countOf(pool, table), 0);
    assert.equal((await pool.copyFrom(table, [[1]])).rowCount, 1);
  });

  test('copyFrom and the end of the pool: end() waits for the load, and end() with timeoutMs cancels it', async (t) => {
    const { pool, table } = await withTable(t, 'id int4');
    const gate = { open: () => {} };
    const opened = new Promise((resolve) => {
      gate.open = () => resolve(undefined);
    });
    const slow = (async function* () {
      yield [1];
      await opened;
      yield [2];
    })();
    const load = pool.copyFrom(table, slow);
    await until('it runs', () => pool.status().inUse === 1);
    const ended = pool.end();
    assert.ok(await isPending(ended), 'what runs may end');
    gate.open();
    assert.equal((await load).rowCount, 2);
    await ended;
    assert.equal((await failureOf(pool.copyFrom(table, [[1]]))).code, 'ERR_POOL_CLOSED');
    assert.throws(() => pool.copyTo(table), { code: 'ERR_POOL_CLOSED' });

    const other = db.pool(t);
    const stuck = other.copyFrom(
      table,
      (async function* () {
        yield [3];
        await new Promise(() => {});
      })(),
    );
    await until('it runs', () => other.status().inUse === 1);
    const [error] = await Promise.all([failureOf(stuck), other.end({ timeoutMs: 100 })]);
    assert.equal(error.outcome, 'not-applied');
    assert.deepEqual(
      (await db.sql(`SELECT id FROM ${table} ORDER BY id`)).map(({ id }) => Number(id)),
      [1, 2],
    );
  });
});

describe('copyTo', () => {
  test('copyTo gives what COPY sends, unchanged', async (t) => {
    const { pool, table } = await withTable(t, 'a int4, "B" text');
    await pool.copyFrom(table, [
      [1, 'x\ty'],
      [2, null],
    ]);
    assert.equal(await textOf(pool.copyTo(table)), '1\tx\\ty\n2\t\\N\n');
    assert.equal(await textOf(pool.copyTo(`${table} ("B")`)), 'x\\ty\n\\N\n');
    const sql = `COPY (SELECT a, "B" FROM ${table} ORDER BY a DESC) TO STDOUT (FORMAT csv, HEADER)`;
    assert.equal(await textOf(pool.copyTo(sql)), 'a,B\n2,\n1,x\ty\n');
    assert.equal(await textOf(pool.copyTo('COPY (SELECT 1 WHERE false) TO STDOUT')), '');
    const out = pool.copyTo(`COPY (INSERT INTO ${table} VALUES (3, 'y') RETURNING a) TO STDOUT`);
    assert.equal(await textOf(out), '3\n');
    assert.equal(await countOf(pool, table), 3, 'it is committed');
  });

  test('copyTo: an error behind the data fails the stream, and nothing is committed', async (t) => {
    const { pool, table } = await withTable(t, 'a int4');
    await pool.query(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$`);
    await pool.query(`CREATE TRIGGER refuse AFTER INSERT ON ${table} EXECUTE FUNCTION refuse()`);
    const error = await failureOf(textOf(pool.copyTo(`COPY (INSERT INTO ${table} VALUES (3) RETURNING a) TO STDOUT`)));
    assert.deepEqual([error.code, error.message, error.outcome], ['P0001', 'no', 'not-applied']);
    assert.equal((await failureOf(pool.copyFrom(table, [[1]]))).message, 'no');
    assert.equal(await countOf(pool, table), 0);
  });

  test('copyTo that is read slowly holds the data in the server, not in memory, and works in pipeline()', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const stream = pool.copyTo(`COPY (SELECT repeat('x', 1000) FROM generate_series(1, 2000000)) TO STDOUT`, {
      highWaterMark: 16_384,
    });
    const iterator = stream[Symbol.asyncIterator]();
    await iterator.next();
    const before = process.memoryUsage().rss;
    await sleep(300);
    assert.ok(process.memoryUsage().rss - before < 64e6);
    stream.destroy();
    await until('the connection is back', () => pool.status().inUse === 0);
    let bytes = 0;
    await pipeline(
      pool.copyTo(`COPY (SELECT repeat('x', 999) FROM generate_series(1, 50000)) TO STDOUT`),
      async (/** @type {AsyncIterable<Buffer>} */ source) => {
        for await (const chunk of source) bytes += chunk.length;
      },
    );
    assert.equal(bytes, 50_000_000);
  });

  test('copyTo that is left early, aborted or too late is cancelled, and its connection is free', async (t) => {
    const pool = db.pool(t, { poolSize: 1 });
    const endless = `COPY (SELECT generate_series(1, 1000000000)) TO STDOUT`;
    const [{ pid }] = await pool.query('SELECT pg_backend_pid() AS pid');
    for await (const chunk of pool.copyTo(endless)) {
      assert.ok(chunk.length > 0);
      break;
    }
    assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
    assert.equal((await failureOf(textOf(pool.copyTo(endless, { timeoutMs: 100 })))).code, '57014');
    const controller = new AbortController();
    setTimeout(() => controller.abort('enough'), 50);
    const aborted = await failureOf(textOf(pool.copyTo(endless, { signal: controller.signal })));
    assert.deepEqual([aborted.code, aborted.cause], ['ABORT_ERR', 'enough']);
    const unread = pool.copyTo(endless);
    unread.destroy();
    await until('nothing runs', () => pool.status().inUse === 0);
    assert.deepStrictEqual(await pool.query('SELECT pg_backend_pid() AS pid'), [{ pid }], 'the connection is kept');
  });

  test('copyTo: errors are errors of the stream', async (t) => {
    const pool = db.pool(t);
    assert.equal((await failureOf(textOf(pool.copyTo('nowhere')))).code, '42P01');
    const halfway = `COPY (SELECT 1 / (5000 - g) FROM generate_series(1, 10000) g) TO STDOUT`;
    const error = await failureOf(textOf(pool.copyTo(halfway)));
    assert.deepEqual([error.name, error.code, error.outcome], ['DatabaseError', '22012', 'not-applied']);
    assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
  });

  test('copyTo begins when it is read, and fails as not applied when its backend is ended', async (t) => {
    const pool = db.pool(t, { poolSize: 2 });
    const sql = `COPY (SELECT generate_series(1, 1000000000)) TO STDOUT`;
    const stream = pool.copyTo(sql);
    await sleep(20);
    assert.equal(pool.status().size, 0);
    const iterator = stream[Symbol.asyncIterator]();
    await iterator.next();
    await db.sql(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = $1`, [sql]);
    const error = await failureOf(
      (async () => {
        while (!(await iterator.next()).done);
      })(),
    );
    assert.equal(error.outcome, 'not-applied', String(error));
    assert.deepStrictEqual(await pool.query('SELECT 1 AS v'), [{ v: 1 }]);
  });
});

describe('copyFrom and copyTo in a transaction', () => {
  test('copyFrom in a transaction is a part of it', async (t) => {
    const { pool, table } = await withTable(t, 'id int4');
    await pool.transaction(async (/** @type {any} */ tx) => {
      await tx.query(`INSERT INTO ${table} VALUES (0)`);
      assert.equal(
        (
          await tx.copyFrom(
            table,
            range(1000).map((i) => [i + 1]),
          )
        ).rowCount,
        1000,
      );
      assert.equal(Number((await tx.query(`SELECT count(*) AS n FROM ${table}`))[0].n), 1001);
      assert.equal((await textOf(tx.copyTo(table))).split('\n').length, 1002);
    });
    assert.equal(await countOf(pool, table), 1001);
    const tx = await pool.begin();
    await tx.copyFrom(table, [[5000], ['6000'], [' 7000 ']]);
    await tx.rollback();
    assert.equal(await countOf(pool, table), 1001);
    assert.equal((await failureOf(tx.copyFrom(table, [[1]]))).code, 'ERR_TRANSACTION_ENDED');
  });

  test('copyFrom that fails in a transaction aborts it, until ROLLBACK TO a savepoint', async (t) => {
    const { pool, table } = await withTable(t, 'id int4 PRIMARY KEY');
    const tx = await pool.begin();
    await tx.query(`INSERT INTO ${table} VALUES (1)`);
    const throwing = function* () {
      yield [2];
      throw new Error('source');
    };
    /** @type {[() => Promise<unknown>, string][]} */
    const failures = [
      [() => tx.copyFrom(table, throwing()), 'source'],
      [() => tx.copyFrom(table, [[2], [2.5]]), 'row 2, column "id": number does not fit int4'],
      [() => tx.copyFrom(table, [[2], [1]]), `duplicate key value violates unique constraint "${table}_pkey"`],
      [
        () =>
          tx.copyFrom(
            table,
            (async function* () {
              await new Promise(() => {});
              yield [1];
            })(),
            { timeoutMs: 50 },
          ),
        'statement timed out after 50 ms and was cancelled',
      ],
      [() => textOf(tx.copyTo('nowhere')), 'relation "nowhere" does not exist'],
    ];
    for (const [run, message] of failures) {
      await tx.query('SAVEPOINT s');
      assert.equal((await failureOf(run())).message, message);
      assert.equal((await failureOf(tx.query('SELECT 1'))).code, '25P02');
      await tx.query('ROLLBACK TO s');
    }
    await tx.copyFrom(table, [[3]]);
    await tx.commit();
    assert.deepStrictEqual(await pool.query(`SELECT id FROM ${table}`, [], { rowMode: 'array' }), [[1], [3]]);
    const spoilt = await pool.begin();
    await failureOf(spoilt.copyFrom(table, throwing()));
    assert.equal((await failureOf(spoilt.commit())).code, '25P02');
  });
});

describe('copyFrom and copyTo: mistakes', () => {
  test('copyFrom and copyTo refuse wrong arguments by name, and send nothing', async (t) => {
    const pool = db.pool(t);
    /** @type {[unknown[], RegExp][]} */
    const calls = [
      [[undefined, []], /^target must be a string/],
      [['', []], /^target/],
      [['a b', []], /^target: 'b' was not expected/],
      [['a (b', []], /^target: '\)' is missing/],
      [['a (b); DROP TABLE a', []], /^target: '; DROP TABLE a'/],
      [['a (b + 1)', []], /^target/],
      [['a ()', []], /^target/],
      [['a\0', []], /^target contains a NUL/],
      [['COPY a TO STDOUT', ''], /^target: SQL must be COPY \.\.\. FROM STDIN/],
      [["COPY a FROM '/etc/passwd'", ''], /^target: SQL must be/],
      [["COPY a FROM PROGRAM 'id'", ''], /^target: SQL must be/],
      [['copy (a)', []], /a table named "copy" needs quotes/],
      [['a', undefined], /^source must be an iterable/],
      [['a', 5], /^source must be/],
      [['a', 'text'], /^source: ready data needs/],
      [['a', Buffer.from('x')], /^source: ready data needs/],
      [['COPY a FROM STDIN', null], /^source must be a Readable/],
      [['a', [], { onprogress: 1 }], /^unknown option 'onprogress'/],
      [['a', [], { onProgress: 1 }], /^onProgress must be a function/],
      [['a', [], { timeoutMs: -1 }], /^timeoutMs/],
      [['a', [], { signal: 1 }], /^signal/],
    ];
    for (const [args, message] of calls) {
      const error = await failureOf(pool.copyFrom(...args));
      assert.equal(error.code, 'ERR_INVALID_PARAM', String(error.stack));
      assert.match(error.message, message);
    }
    for (const [target, options] of [
      ['COPY a FROM STDIN'],
      ["COPY a TO '/x'"],
      ['a', { highWaterMark: 0 }],
      ['a', { x: 1 }],
    ]) {
      assert.throws(() => pool.copyTo(target, options), { code: 'ERR_INVALID_PARAM' });
    }
    assert.equal(pool.status().size, 0);
  });

  test('copyFrom: an error in the target comes before any row is taken from the source', async (t) => {
    const { pool, table } = await withTable(t, 'a int4');
    for (const [target, code] of [
      ['nowhere', '42P01'],
      [`${table} (b)`, '42703'],
      [`COPY ${table} (b) FROM STDIN`, '42703'],
      [`COPY ${table} FROM STDIN (FORMAT none)`, '22023'],
    ]) {
      const source = watched([], () => assert.fail('it was asked'));
      const error = await failureOf(pool.copyFrom(target, source));
      assert.deepEqual([error.code, error.outcome], [code, 'not-applied']);
    }
    await pool.query('CREATE TABLE without ()');
    assert.match((await failureOf(pool.copyFrom('without', []))).message, /^target: the table has no columns/);
  });

  test('copyFrom and copyTo: the logger is called once for each copy', async (t) => {
    /** @type {any[]} */
    const events = [];
    const { pool, table } = await withTable(t, 'a int4', { logger: (/** @type {any} */ event) => events.push(event) });
    events.length = 0;
    await pool.copyFrom(table, [[1], [2]]);
    await textOf(pool.copyTo(table));
    await failureOf(pool.copyFrom(table, [['x']]));
    assert.deepEqual(
      events.map(({ sql, rowCount, error, node }) => [sql, rowCount, error?.code, typeof node]),
      [
        [table, 2, undefined, 'string'],
        [`COPY "${table}" TO STDOUT`, undefined, undefined, 'string'],
        [table, undefined, '22P02', 'string'],
      ],
    );
  });
});

describe('copyFrom on a cluster', () => {
  test('copyFrom goes to the primary, waits out a fence, and is refused where nothing may be written', async (t) => {
    const own = await ownCluster(t, { nodes: 2 });
    own.needs('fence');
    const pool = own.pool(t, { acquireTimeoutMs: 20_000 });
    await pool.query('CREATE TABLE loaded (id int4)');
    await own.cluster.primary().fence();
    let asked = false;
    const load = pool.copyFrom(
      'loaded',
      watched([[1], [2]], () => {
        asked = true;
      }),
    );
    await sleep(300);
    assert.equal(asked, false, 'nothing is taken while there is no primary');
    await own.cluster.primary().unfence();
    assert.equal((await load).rowCount, 2);
    const standby = own.pool(t, { mode: 'standby' });
    await until('it is replayed', async () => (await textOf(standby.copyTo('loaded'))) === '1\n2\n');
    const refused = await failureOf(standby.copyFrom('loaded', [[3]]));
    assert.deepEqual([refused.code, refused.outcome], ['25006', 'not-applied']);
    const fenced = await failureOf(
      own.pool(t, { options: { default_transaction_read_only: 'on' }, mode: 'primary' }).copyFrom('loaded', [[3]]),
    );
    assert.equal(fenced.code, '25006');
  });

  test('copyFrom whose wait for its standby is cancelled is unknown, never a success', async (t) => {
    const own = await ownCluster(t, { nodes: 2 });
    own.needsSynchronous();
    const pool = own.pool(t);
    await pool.query('CREATE TABLE loaded (id int4)');
    const [standby] = own.cluster.standbys();
    await standby.freeze();
    t.after(() => standby.thaw());
    const error = await failureOf(pool.copyFrom('loaded', [[1]], { timeoutMs: 500 }));
    assert.equal(error.outcome, 'unknown', String(error));
  });
});
