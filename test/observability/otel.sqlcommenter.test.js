'use strict';

// sqlcommenter: the server sees the comment of the span, and the statements that are kept prepared stay.

const assert = require('node:assert/strict');
const { channel } = require('node:diagnostics_channel');
const { test, useCluster } = require('../support/helpers.js');
const { instrumented, spanSdk } = require('./otel-sdk.js');
const pg = require('../../exports/pg');

const db = useCluster({ nodes: 1, synchronous: false });

/** The text of the statement that asks, as the server has it. */
const OWN_TEXT = 'SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid() AND $1::int = 1';

/** @param {any} span */
function commentOf(span) {
  const { traceId, spanId } = span.spanContext();
  return `/*traceparent='00-${traceId}-${spanId}-01'*/`;
}

test('sqlcommenter: the server sees a statement with the traceparent of its span', async (t) => {
  const pool = db.pool(t);
  const { spans } = instrumented(t, pool, { sqlcommenter: true });
  const seen = [];
  for (let n = 0; n < 2; n++) seen.push((await pool.query(OWN_TEXT, [1]))[0].query);
  seen.push((await pool.read(OWN_TEXT, [1]))[0].query);
  for await (const { query } of pool.stream(OWN_TEXT, [1])) seen.push(query);
  await pool.transaction(async (/** @type {any} */ tx) => seen.push((await tx.query(OWN_TEXT, [1]))[0].query));
  const ofStatements = spans().filter(({ kind }) => kind === 2);
  assert.deepEqual(
    seen,
    ofStatements.map((span) => `${OWN_TEXT} ${commentOf(span)}`),
  );
  // The span has the text of the caller, and so have rows their command.
  for (const { attributes } of ofStatements) assert.equal(attributes['db.query.text'], OWN_TEXT);
  assert.equal((await pool.query(OWN_TEXT, [1])).command, 'SELECT');
});

test('sqlcommenter: nothing is appended by default, nor in a trace that is not sampled', async (t) => {
  const pool = db.pool(t);
  const plain = instrumented(t, pool);
  assert.equal((await pool.query(OWN_TEXT, [1]))[0].query, OWN_TEXT);
  plain.disable();
  const { AlwaysOffSampler } = require('@opentelemetry/sdk-trace-base');
  const { provider: tracerProvider } = spanSdk({ sampler: new AlwaysOffSampler() });
  instrumented(t, pool, { sqlcommenter: true, tracerProvider });
  assert.equal((await pool.query(OWN_TEXT, [1]))[0].query, OWN_TEXT);
});

test('sqlcommenter: batches, scripts and loads are sent as they are', async (t) => {
  const pool = db.pool(t);
  instrumented(t, pool, { sqlcommenter: true });
  const [batched] = await pool.batch([[OWN_TEXT, [1]]]);
  assert.equal(batched.value[0].query, OWN_TEXT);
  const script = 'SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()';
  const [[{ query: scripted }]] = await pool.exec(script);
  assert.equal(scripted, script);
});

test('sqlcommenter: parameters of every kind, their errors, and serializers are those of the statement', async (t) => {
  class Money {
    constructor(/** @type {number} */ cents) {
      this.cents = cents;
    }
  }
  const serializers = {
    int4: (/** @type {any} */ value) => (value instanceof Money ? String(value.cents) : String(value)),
  };
  const pool = db.pool(t, { types: { serializers } });
  instrumented(t, pool, { sqlcommenter: true });
  for (let n = 0; n < 3; n++) {
    assert.deepEqual(await pool.query('SELECT $1::int4 AS cents, $2::jsonb AS doc', [new Money(n), { a: [n] }]), [
      { cents: n, doc: { a: [n] } },
    ]);
    await assert.rejects(pool.query('SELECT $1::int4', ['x']), { code: /22P02|ERR_INVALID_PARAM/ });
    await assert.rejects(pool.query('SELECT $1::text', [Symbol('x')]), { code: 'ERR_INVALID_PARAM' });
    assert.deepEqual(await pool.query('SELECT $1::text AS t', ['x'], { rowMode: 'array' }), [['x']]);
  }
});

test('sqlcommenter: statements that are prepared stay so', async (t) => {
  const pool = db.pool(t, { poolSize: 1, statementCacheSize: 4 });
  const kept = ['SELECT 1 AS a', 'SELECT 2 AS b', 'SELECT 3 AS c'];
  const prepared = async () => {
    const rows = await pool.query('SELECT statement FROM pg_prepared_statements ORDER BY statement');
    return rows.map(({ statement }) => statement);
  };
  for (const sql of kept) await pool.query(sql);
  const before = await prepared();
  for (const sql of kept) assert.ok(before.includes(sql));
  const { disable } = instrumented(t, pool, { sqlcommenter: true });
  for (let n = 0; n < 40; n++) await pool.query(`SELECT $1::int + ${n % 5} AS n`, [n]);
  disable();
  const { prepared: counts } = pool.stats();
  assert.deepEqual(await prepared(), before);
  for (const sql of kept) await pool.query(sql);
  assert.equal(pool.stats().prepared.misses, counts.misses);
});

test('sqlcommenter: a text that a subscriber sets may not begin or end a transaction', async (t) => {
  const pool = db.pool(t);
  const start = channel('tracing:hyperiondb:query:start');
  const listener = (/** @type {any} */ message) => {
    message.text = 'COMMIT';
  };
  start.subscribe(listener);
  t.after(() => start.unsubscribe(listener));
  await assert.rejects(pool.query('SELECT 1'), {
    code: 'ERR_INVALID_PARAM',
    message: /COMMIT cannot be sent by query/,
  });
});

test('sqlcommenter: hyperiondb-client/pg appends it to statements without a name', async (t) => {
  const { host, port } = db.cluster.primary();
  const { user, password, database } = db.cluster;
  const pool = new pg.Pool({ host, port, user, password, database });
  t.after(() => pool.end());
  instrumented(t, undefined, { sqlcommenter: true });
  const { rows: unnamed } = await pool.query(OWN_TEXT, [1]);
  assert.match(unnamed[0].query, /^SELECT query .* \/\*traceparent='00-[0-9a-f]{32}-[0-9a-f]{16}-01'\*\/$/);
  // A name stands for one text.
  const { rows: named } = await pool.query({ name: 'own', text: OWN_TEXT, values: [1] });
  assert.equal(named[0].query, OWN_TEXT);
});
