'use strict';

// What spans say of texts: the summary and the sanitised text, by the convention's own examples and by PostgreSQL's forms of literals;
// parameters as text; the comment of sqlcommenter.

const assert = require('node:assert/strict');
const api = require('@opentelemetry/api');
const { parameterAttributes } = require('../../exports/otel/parameters.js');
const { QueryTexts } = require('../../exports/otel/query-text.js');
const { withComment } = require('../../exports/otel/sqlcommenter.js');
const { test } = require('../support/helpers.js');

const texts = new QueryTexts();

/** A text, its summary, its operation. @type {[sql: string, summary: string, operation: string][]} */
const SUMMARIES = [
  // The examples of the convention; PostgreSQL has no table in single quotes.
  ['SELECT *\n FROM wuser_table\n WHERE username = ?', 'SELECT wuser_table', 'SELECT'],
  [
    'INSERT INTO shipping_details (order_id, address) SELECT order_id, address FROM orders WHERE order_id = 1',
    'INSERT shipping_details SELECT orders',
    'INSERT',
  ],
  ['SELECT * FROM songs, artists WHERE songs.artist_id = artists.id', 'SELECT songs artists', 'SELECT'],
  [
    'SELECT order_date FROM (SELECT * FROM orders o JOIN customers c ON o.customer_id = c.customer_id)',
    'SELECT SELECT orders customers',
    'SELECT',
  ],
  ['SELECT * FROM "song list", artists', 'SELECT "song list" artists', 'SELECT'],
  ['call some_stored_procedure(1)', 'call some_stored_procedure', 'call'],
  // Others.
  ['SELECT 1', 'SELECT', 'SELECT'],
  ['', '', ''],
  ['-- nothing', '', ''],
  ['(SELECT a FROM b) UNION ALL (SELECT c FROM d)', 'SELECT b SELECT d', 'SELECT'],
  ['VALUES (1), (2)', 'VALUES', 'VALUES'],
  ['TABLE x', 'TABLE x', 'TABLE'],
  ['SELECT * FROM a JOIN b USING (id), ONLY s."c" AS d', 'SELECT a b s."c"', 'SELECT'],
  ['SELECT extract(year FROM at) FROM t WHERE a IS DISTINCT FROM b FOR UPDATE OF t', 'SELECT t', 'SELECT'],
  ['SELECT * FROM generate_series(1, 9) AS n', 'SELECT generate_series', 'SELECT'],
  [
    'WITH a AS (SELECT * FROM x), b AS (DELETE FROM y RETURNING *) INSERT INTO z SELECT * FROM a ON CONFLICT DO UPDATE SET q = 1',
    'SELECT x DELETE y INSERT z SELECT a',
    'INSERT',
  ],
  ['UPDATE ONLY t SET a = (SELECT b FROM u) FROM v WHERE t.id = v.id', 'UPDATE t SELECT u v', 'UPDATE'],
  ['DELETE FROM a USING b WHERE a.id = b.id', 'DELETE a b', 'DELETE'],
  [
    'MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET a = 1 WHEN NOT MATCHED THEN INSERT VALUES (1)',
    'MERGE t s',
    'MERGE',
  ],
  ['TRUNCATE TABLE a, b', 'TRUNCATE a b', 'TRUNCATE'],
  ['COPY t (a, b) FROM STDIN', 'COPY t', 'COPY'],
  ['COPY (SELECT * FROM t) TO STDOUT', 'COPY SELECT t', 'COPY'],
  ['EXPLAIN (ANALYZE, BUFFERS) SELECT * FROM t', 'EXPLAIN SELECT t', 'EXPLAIN'],
  ["SET work_mem = '1MB'", 'SET', 'SET'],
  ['GRANT SELECT, UPDATE ON t TO u', 'GRANT', 'GRANT'],
  ['CREATE TABLE IF NOT EXISTS s.t (r int REFERENCES q ON DELETE CASCADE)', 'CREATE TABLE s.t', 'CREATE TABLE'],
  ['CREATE UNIQUE INDEX CONCURRENTLY i ON s.t (a)', 'CREATE INDEX s.t', 'CREATE INDEX'],
  ['CREATE MATERIALIZED VIEW v AS SELECT * FROM t', 'CREATE MATERIALIZED VIEW v SELECT t', 'CREATE MATERIALIZED VIEW'],
  ['CREATE POLICY p ON t FOR SELECT USING (true)', 'CREATE POLICY p', 'CREATE POLICY'],
  ['DROP TABLE IF EXISTS a', 'DROP TABLE a', 'DROP TABLE'],
  ['CREATE TABLE a (id int); INSERT INTO a VALUES (1); SELECT * FROM a', 'CREATE TABLE a INSERT a SELECT a', ''],
];

test('otel: the summary of a text has its operations and their targets in its order, as it writes them', () => {
  for (const [sql, summary, operation] of SUMMARIES) {
    const facts = texts.read(sql, false);
    assert.deepEqual([facts.summary, facts.operation], [summary, operation], sql);
  }
});

test('otel: a summary is cut at 255 characters, and not within a name', () => {
  const tables = Array.from({ length: 60 }, (_, n) => `table_${n}`);
  const { summary } = texts.read(`SELECT * FROM ${tables.join(', ')} WHERE a = $1`, true);
  assert.ok(summary.length <= 255 && summary.length > 240);
  assert.equal(summary, ['SELECT', ...tables.slice(0, summary.split(' ').length - 1)].join(' '));
});

/** A text, and the same without its literals. @type {[sql: string, sanitised: string][]} */
const LITERALS = [
  ["SELECT 'a', 'it''s', '', 'x' 'y'", 'SELECT ?, ?, ?, ? ?'],
  ["SELECT E'it\\'s', e'\\\\', U&'\\0061', u&'x', N'n', B'01', x'1F'", 'SELECT ?, ?, ?, ?, ?, ?, ?'],
  ['SELECT $$a; b$$, $t$ $$ $t$', 'SELECT ?, ?'],
  ['SELECT 1, -2.5, .5, 1e10, 1.5E-3, 0x1F, 0o17, 0b11, 1_000, 1.', 'SELECT ?, -?, ?, ?, ?, ?, ?, ?, ?, ?'],
  ['SELECT true, FALSE, null, a1, t.b2, "c3" FROM t4', 'SELECT ?, ?, null, a1, t.b2, "c3" FROM t4'],
  ['SELECT a[1], b::varchar(10) LIMIT 5', 'SELECT a[?], b::varchar(?) LIMIT ?'],
  ["SELECT 1 -- password 'x'\n/* 'secret' */ + 2", 'SELECT ? + ?'],
  ["SELECT DATE '2020-01-01', INTERVAL '1 day'", 'SELECT DATE ?, INTERVAL ?'],
  ["ALTER ROLE u PASSWORD 'secret'", 'ALTER ROLE u PASSWORD ?'],
  ["SELECT fn'x', an'x'", 'SELECT fn?, an?'],
  ["SELECT 'never closed", 'SELECT ?'],
];

test('otel: a text without parameters loses every literal', () => {
  for (const [sql, sanitised] of LITERALS) assert.equal(texts.read(sql, false).text, sanitised, sql);
});

test('otel: a text with parameters stays as it is', () => {
  const sql = "SELECT 'a', 1 -- why\n FROM t WHERE id = $1";
  assert.equal(texts.read(sql, true).text, sql);
  // The same text without parameters is another one.
  assert.equal(texts.read(sql, false).text, 'SELECT ?, ? FROM t WHERE id = $1');
});

test('otel: no secret is left at the place where a long text is cut', () => {
  const { text } = texts.read(`SELECT '${'secret'.repeat(10)}'${", 'secret', 123456".repeat(5_000)}`, false);
  assert.ok(text.length < 17_000);
  assert.doesNotMatch(text, /secret|1234/);
});

test('otel: texts of any form are read in bounded time and memory', () => {
  for (const piece of [
    "'",
    '"',
    '(',
    ')',
    '$',
    '/*',
    '--',
    '.',
    'x.',
    'WITH a AS (',
    ', ',
    '\u0000',
    "e'\\",
    'SELECT FROM ',
  ]) {
    for (const hasParameters of [false, true]) texts.read(piece.repeat(200_000), hasParameters);
  }
  const many = new QueryTexts();
  for (let n = 0; n < 5_000; n++) assert.equal(many.read(`SELECT * FROM t${n}`, false).summary, `SELECT t${n}`);
});

test('otel: parameters become text', () => {
  const circle = {};
  Object.assign(circle, { circle });
  const values = ['a', 1, 2n, null, undefined, true, new Date(0), Buffer.from([1, 255]), { a: 1n }, [1, 'b'], circle];
  assert.deepEqual(Object.values(parameterAttributes(values)), [
    ...['a', '1', '2', 'null', 'undefined', 'true', '1970-01-01T00:00:00.000Z', '\\x01ff', '{"a":"1"}', '[1,"b"]'],
    '[object]',
  ]);
  const [[key, long]] = Object.entries(parameterAttributes(['x'.repeat(100_000)]));
  assert.deepEqual([key, long.length], ['db.query.parameter.0', 1_027]);
  assert.ok(parameterAttributes([Buffer.alloc(10_000_000)])['db.query.parameter.0'].length < 2_000);
});

/** A span in a context that was received. @param {object} [more] */
const spanOf = (more) =>
  api.trace.wrapSpanContext({
    traceId: '4bf92f3577b34da6a3ce929d0e0e4736',
    spanId: '00f067aa0ba902b7',
    traceFlags: 1,
    ...more,
  });

test('sqlcommenter: the example of the convention', () => {
  const traceState = api.createTraceState('congo=t61rcWkgMzE,rojo=00f067aa0ba902b7');
  assert.equal(
    withComment(api, true, spanOf({ traceState }), 'SELECT * FROM songs'),
    "SELECT * FROM songs /*traceparent='00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'," +
      "tracestate='congo%3Dt61rcWkgMzE%2Crojo%3D00f067aa0ba902b7'*/",
  );
});

test('sqlcommenter: keys are sorted, and nothing in a value ends the comment or the string', () => {
  const propagator = {
    inject(/** @type {any} */ _context, /** @type {any} */ carrier, /** @type {any} */ setter) {
      setter.set(carrier, 'route', "/a b*/ ' \\ (c)!");
      setter.set(carrier, "k'1", 'x');
    },
    extract: (/** @type {any} */ context) => context,
    fields: () => [],
  };
  assert.equal(
    withComment(api, { propagator }, spanOf(), 'SELECT 1'),
    "SELECT 1 /*k%271='x',route='%2Fa%20b%2A%2F%20%27%20%5C%20%28c%29%21'*/",
  );
});

test('sqlcommenter: a statement with a comment stays as it is, and so does one whose trace is not sampled', () => {
  for (const sql of ['SELECT 1 -- a', 'SELECT 1 /* a */', '/* a */ SELECT 1', "SELECT 1 /*controller='index'*/"]) {
    assert.equal(withComment(api, true, spanOf(), sql), sql);
  }
  assert.equal(withComment(api, true, spanOf({ traceFlags: 0 }), 'SELECT 1'), 'SELECT 1');
  // These are no comments.
  for (const sql of ["SELECT '-- a'", 'SELECT "/* a */"', 'SELECT $$--$$']) {
    assert.ok(withComment(api, true, spanOf(), sql).startsWith(`${sql} /*traceparent=`), sql);
  }
});
