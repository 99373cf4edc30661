'use strict';

// Values that must equal the text that the server itself prints: types that have no JavaScript value of their own, random values,
// and the columns of the catalogues.

const assert = require('node:assert/strict');
const { describe } = require('node:test');
const { test, range, useCluster } = require('../support/helpers');
const { valueIn } = require('./types.values');

const db = useCluster({ nodes: 1 });

describe('types that only the server can print', () => {
  for (const sql of ['ROW(1, 2)', "'pg_class'::regclass", "'pg_catalog.int4'::regtype", "'a b'::cstring"]) {
    test(`${sql} is the text of the server`, async (t) => {
      const pool = db.pool(t);
      const [row] = await pool.query(
        `SELECT ${sql} AS odd, (${sql})::text AS text, 1::int8 AS big, now() > '2000-01-01' AS b`,
      );
      assert.deepStrictEqual(row, { odd: row.text, text: row.text, big: 1n, b: true });
    });
  }

  test('arrays of types that only the server can print are the text of the server, or arrays of it', async (t) => {
    assert.deepStrictEqual(
      await db
        .pool(t)
        .query(
          "SELECT ARRAY[ROW(1)] AS r, ARRAY['pg_class', NULL]::regclass[] AS c, relacl AS a FROM pg_class WHERE relname = 'pg_type'",
        ),
      [
        {
          r: '{(1)}',
          c: ['pg_class', null],
          a: (await db.sql("SELECT relacl::text[] AS a FROM pg_class WHERE relname = 'pg_type'"))[0].a,
        },
      ],
    );
  });
});

describe('values as the server prints them', () => {
  // type, a random value of it by the server
  const GENERATED = /** @type {[string, string][]} */ ([
    ['numeric', '(random() - 0.5)::numeric * (10::numeric ^ (i % 60 - 30))'],
    ['numeric', 'round(((random() - 0.5) * 1e15)::numeric, i % 12)'],
    ['numeric', '(i * 10000)::numeric / (1 + i % 7)'],
    ['numeric', "('1e' || (i * 7 - 700))::numeric"],
    [
      'interval',
      'make_interval(i % 13 - 6, i % 25 - 12, 0, i % 63 - 31, i % 49 - 24, i % 121 - 60, (random() * 120 - 60)::numeric(9,6)::float8)',
    ],
    ['interval', "(random() * 1e9 - 5e8) * interval '1 second'"],
    ['inet', "('10.' || i % 256 || '.0.' || i % 200 || '/' || i % 33)::inet"],
    [
      'inet',
      "(to_hex(i) || CASE WHEN i % 2 = 0 THEN '::' ELSE '::1:0:0:' END || to_hex(i * 7) || '/' || i % 129)::inet",
    ],
    ['cidr', "network(('10.' || i % 256 || '.0.' || i % 200 || '/' || i % 33)::inet)::cidr"],
    ['macaddr', "(lpad(to_hex(i * 65537), 12, 'a'))::macaddr"],
    ['money', '((random() - 0.5) * 1e12)::numeric::money'],
    ['varbit', '(i * 7919)::bit(17)::varbit'],
    ['point', 'point((random() - 0.5) * 10 ^ (i % 40 - 20), random())'],
    ['box', 'box(point(random(), i), point(i, random()))'],
    ['circle', 'circle(point(random(), i), i)'],
    ['path', "('[(0,0),(' || i || ',' || random() || ')]')::path"],
    ['polygon', "('((0,0),(' || i || ',1),(2,' || random() || '))')::polygon"],
    ['line', 'line(point(random(), i), point(i + 1, random()))'],
    ['int4range', "int4range(i, i + i % 3, (ARRAY['[]','[)','(]','()'])[1 + i % 4])"],
    ['numrange', "numrange(random()::numeric, CASE WHEN i % 5 > 0 THEN i + 1 END, '(]')"],
    ['tsrange', "tsrange(timestamp '2000-01-01' + i * interval '1 hour 1 second', NULL)"],
    ['daterange', "daterange(date '2000-01-01' - i * 5000, date '2000-01-01' + i)"],
    ['tsvector', "to_tsvector('simple', 'word' || i || ' it''s back\\slash ' || md5(i::text))"],
    ['tsquery', "to_tsquery('simple', 'a' || i || ' & !(b | c:*) <-> d')"],
    ['timetz', "(time '00:00' + i * interval '123.456789 seconds')::time AT TIME ZONE 'UTC'"],
    ['uuid', 'md5(i::text)::uuid'],
    ['xid', 'i::text::xid'],
    ['pg_lsn', "('0/0'::pg_lsn + i * 123456789::numeric)"],
    ['tid', "('(' || i || ',' || i % 100 || ')')::tid"],
    ['"char"', '(1 + i % 127)::"char"'],
    ['jsonpath', "('$.a[' || i || '] ? (@ > ' || i || ')')::jsonpath"],
    ['int8', '(random() * 9e18)::int8 * (i % 2 * 2 - 1)'],
    ['time', "time '00:00' + i * interval '123.456789 seconds'"],
  ]);
  for (const [type, expression] of GENERATED) {
    test(`random values of ${type} are the text of the server: ${expression}`, async (t) => {
      const pool = db.pool(t, { types: { int8: 'string' } });
      const rows = await pool.query(
        `SELECT v, format('%s', v) AS t FROM (SELECT (${expression})::${type} AS v FROM generate_series(1, 200) i) s`,
      );
      assert.equal(rows.length, 200);
      for (const { v, t: text } of rows) assert.equal(v, text);
    });
  }

  test('random float4 and float8 are the numbers that the text of the server means', async (t) => {
    const pool = db.pool(t);
    const bits = new DataView(new ArrayBuffer(8));
    const random = () => {
      for (let at = 0; at < 8; at += 4) bits.setUint32(at, Math.random() * 2 ** 32);
      return bits;
    };
    const doubles = range(2_000).map(() => random().getFloat64(0));
    const floats = range(2_000).map(() => random().getFloat32(0));
    const rows = await pool.query(
      'SELECT d, d::text AS dt, f, f::text AS ft FROM unnest($1::float8[], $2::float4[]) AS u(d, f)',
      [doubles, floats],
    );
    rows.forEach((/** @type {any} */ { d, dt, f, ft }, /** @type {number} */ i) => {
      assert.ok(Object.is(d, doubles[i]) && Object.is(d, Number(dt)), dt);
      // The shortest decimal that is this float4, as a number.
      assert.ok(Object.is(f, Number(ft)) && Object.is(Math.fround(f), Math.fround(floats[i])), ft);
    });
    for (let i = 0; i < 200; i++)
      assert.deepStrictEqual(await pool.query('SELECT $1::float8 AS d, $2::float4 AS f', [doubles[i], floats[i]]), [
        { d: doubles[i], f: rows[i].f },
      ]);
  });

  test('random int2, int4, int8, oid and bool are read and sent', async (t) => {
    const pool = db.pool(t);
    const word = () => Math.floor((Math.random() - 0.5) * 2 ** 32);
    for (let i = 0; i < 200; i++) {
      const row = {
        a: word() >> 16,
        b: word(),
        c: BigInt.asIntN(64, BigInt(word()) * BigInt(word())),
        d: word() >>> 0,
        e: i % 2 === 0,
      };
      assert.deepStrictEqual(
        await pool.query(
          'SELECT $1::int2 AS a, $2::int4 AS b, $3::int8 AS c, $4::oid AS d, $5::bool AS e',
          Object.values(row),
        ),
        [row],
      );
    }
  });

  test('timestamps and dates from the first to the last are the text of the server', async (t) => {
    const pool = db.pool(t);
    const rows = await pool.query(`
      SELECT ts, ts AT TIME ZONE 'UTC' AS plain, ts::date AS day, to_char(ts AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US BC') AS t
      FROM (SELECT timestamptz '2000-01-01 00:00:00+00' + CASE WHEN i < 0 THEN i * interval '4 years' ELSE i * interval '190 years' END
        + i * interval '1 day 1.000001 seconds' AS ts FROM generate_series(-1500, 1499) i) s`);
    assert.equal(rows.length, 3_000);
    for (const { ts, plain, day, t: text } of rows) {
      const [, y, date, time, micros, era] = /^(\d+)-(\S+) (\S+)\.(\d{6}) (AD|BC)$/.exec(text) ?? [];
      const year = era === 'BC' ? 1 - Number(y) : Number(y);
      const iso =
        year >= 0 && year <= 9999
          ? String(year).padStart(4, '0')
          : `${year < 0 ? '-' : '+'}${String(Math.abs(year)).padStart(6, '0')}`;
      const fraction = micros.endsWith('000') ? micros.slice(0, 3) : micros;
      assert.equal(ts, `${iso}-${date}T${time}.${fraction}Z`);
      assert.equal(plain, `${iso}-${date}T${time}.${fraction}`);
      assert.equal(day, `${iso}-${date}`);
    }
  });

  test('a Date that is sent comes back the same', async (t) => {
    const pool = db.pool(t, { types: { date: 'date' } });
    const dates = range(500).map((i) => new Date(Math.floor(((i - 250) / 250) * 1.9e14) + i));
    assert.deepStrictEqual(await valueIn(pool, 'SELECT $1::timestamptz[] AS v', [dates]), dates);
    for (const date of dates.slice(0, 100))
      assert.deepStrictEqual(await pool.query('SELECT $1::timestamptz AS v, $1 AS w', [date]), [{ v: date, w: date }]);
  });

  test('text of every character is read and sent', async (t) => {
    const pool = db.pool(t);
    const characters = [
      ...range(0x3000).slice(1),
      ...range(0x400).map((i) => 0x1f300 + i),
      0xffff,
      0xfffe,
      0x10ffff,
      0xd7ff,
      0xe000,
    ].map((code) => String.fromCodePoint(code));
    const all = characters.join('');
    assert.equal(await valueIn(pool, 'SELECT $1::text AS v', [all]), all);
    assert.deepStrictEqual(await valueIn(pool, 'SELECT $1::text[] AS v', [characters]), characters);
    assert.equal(await valueIn(pool, 'SELECT length($1::text) AS v', [all]), characters.length);
    for (const length of range(140)) {
      for (const character of ['a', 'é', '€', '😀']) {
        const text = character.repeat(length);
        const [row] = await pool.query('SELECT $1::text AS v, $2::text AS w', [text, `${text}|`]);
        assert.ok(row.v === text && row.w === `${text}|`, `${length} times ${character}`);
      }
    }
  });

  test('bytea of all bytes and lengths is read and sent', async (t) => {
    const pool = db.pool(t);
    for (const length of [...range(70), 255, 4_095, 65_536]) {
      const bytes = Buffer.from(range(length).map((i) => (i * 7) % 256));
      assert.deepStrictEqual(await pool.query('SELECT $1::bytea AS v', [bytes]), [{ v: bytes }]);
    }
    const kept = await Promise.all(
      range(100).map((i) => pool.query('SELECT $1::bytea AS v', [Buffer.alloc(1_000, i)])),
    );
    kept.forEach(([{ v }], i) =>
      assert.ok(v.equals(Buffer.alloc(1_000, i)), 'a kept Buffer is not overwritten by later results'),
    );
  });

  test('a JSON document that is sent comes back the same', async (t) => {
    const pool = db.pool(t);
    /** @param {number} depth @returns {any} */
    const document = (depth) => {
      const kind = Math.floor(Math.random() * (depth > 0 ? 8 : 6));
      switch (kind) {
        case 0:
          return Math.random() < 0.5;
        case 1:
          return Math.floor((Math.random() - 0.5) * 2 ** 50);
        case 2:
          return (Math.random() - 0.5) * 10 ** Math.floor(Math.random() * 40 - 20);
        case 3:
          return 'é"\\\n\u2028😀'.slice(0, Math.floor(Math.random() * 6)).replace(/[\ud800-\udfff]/g, '');
        case 4:
          return null;
        case 5:
          return '';
        case 6:
          return range(Math.floor(Math.random() * 5)).map(() => document(depth - 1));
        default:
          return Object.fromEntries(range(Math.floor(Math.random() * 5)).map((i) => [`k${i}é"`, document(depth - 1)]));
      }
    };
    const documents = range(300).map(() => ({ d: document(5) }));
    for (const type of ['json', 'jsonb']) {
      const answers = await Promise.all(documents.map((one) => valueIn(pool, `SELECT $1::${type} AS v`, [one])));
      assert.deepStrictEqual(answers, documents);
      const rows = await pool.query(`SELECT v FROM unnest($1::${type}[]) v`, [documents]);
      assert.deepStrictEqual(
        rows.map((/** @type {any} */ { v }) => v),
        documents,
      );
    }
    const deep = JSON.parse(`${'['.repeat(1_000)}${']'.repeat(1_000)}`);
    assert.deepStrictEqual(await valueIn(pool, 'SELECT $1::jsonb AS v', [{ deep }]), { deep });
  });
});

test('the columns of the catalogues are the text of the server', async (t) => {
  const pool = db.pool(t, { types: { int8: 'string', json: 'string' } });
  // Some rows of each column of the catalogues, whatever its type.
  const columns = await pool.query(`
    SELECT c.relname::text AS rel, a.attname::text AS col, t.typname::text AS type FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
    WHERE c.relnamespace = 'pg_catalog'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND t.typname NOT IN ('bool', 'bytea', 'timestamptz', 'float4', 'float8')`);
  const seen = new Set();
  for (const { rel, col, type } of columns) {
    if (seen.has(type)) continue;
    seen.add(type);
    const rows = await pool.query(
      `SELECT "${col}" AS v, format('%s', "${col}") AS t FROM pg_catalog."${rel}" LIMIT 50`,
    );
    for (const { v, t: text } of rows)
      if (!Array.isArray(v)) assert.equal(String(v ?? ''), text, `${rel}.${col} ${type}`);
  }
  assert.ok(seen.size > 15);
});
