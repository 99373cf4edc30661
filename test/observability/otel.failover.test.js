'use strict';

// The span of a failover: its times are those of the phases, of what the client told of it.

const assert = require('node:assert/strict');
const { channel } = require('node:diagnostics_channel');
const { setTimeout: sleep } = require('node:timers/promises');
const { test, until, useCluster } = require('../support/helpers.js');
const { facts, instrumented } = require('./otel-sdk.js');

const db = useCluster({ nodes: 2, synchronous: false });

/** A time of the SDK, in ms since 1970. @param {[number, number]} time */
const msOf = ([seconds, nanos]) => seconds * 1_000 + nanos / 1e6;

/** What a test compares of the events of a span. @param {any} span */
const eventsOf = (span) =>
  span.events.map((/** @type {any} */ { name, attributes, time }) => [name, { ...attributes }, msOf(time)]);

test('otel: a failover is a span of its own, with an event for each phase at its time', async (t) => {
  const pool = db.pool(t);
  const { spans, tracerProvider } = instrumented(t, pool);
  const at = (/** @type {number} */ ms) => new Date(1_800_000_000_000 + ms);
  const failover = {
    from: 'a:5432',
    to: 'b:5433',
    noticed: at(0),
    by: { source: 'statement', node: 'a:5432', reason: 'the server closed the connection' },
    asked: [
      { at: at(10), node: 'a:5432', answer: 'down', reason: 'connection refused' },
      { at: at(20), node: 'b:5433', answer: 'standby', reason: null },
      { at: at(900), node: 'b:5433', answer: 'primary', reason: null },
    ],
    found: at(905),
    timeline: 7,
    firstWrite: at(950),
    held: 12,
    retried: 3,
    unknown: 1,
  };
  await tracerProvider.getTracer('app').startActiveSpan('request', async (request) => {
    channel('hyperiondb:failover').publish({ ...failover, pool });
    request.end();
  });
  const [span] = spans();
  assert.deepEqual(facts(span), {
    name: 'failover',
    kind: 'INTERNAL',
    attributes: {
      'db.system.name': 'postgresql',
      'db.namespace': db.cluster.database,
      'hyperiondb.failover.from': 'a:5432',
      'hyperiondb.failover.to': 'b:5433',
      'hyperiondb.failover.timeline': 7,
      'hyperiondb.failover.held': 12,
      'hyperiondb.failover.retried': 3,
      'hyperiondb.failover.unknown': 1,
    },
    status: 'UNSET',
  });
  // It is of no caller.
  assert.equal(span.parentSpanContext, undefined);
  const start = at(0).getTime();
  assert.deepEqual([msOf(span.startTime), msOf(span.endTime)], [start, start + 950]);
  const node = { 'hyperiondb.node': 'b:5433' };
  assert.deepEqual(eventsOf(span), [
    [
      'noticed',
      {
        'hyperiondb.failover.source': 'statement',
        'hyperiondb.node': 'a:5432',
        'hyperiondb.reason': 'the server closed the connection',
      },
      start,
    ],
    [
      'asked',
      { 'hyperiondb.node': 'a:5432', 'hyperiondb.answer': 'down', 'hyperiondb.reason': 'connection refused' },
      start + 10,
    ],
    ['asked', { ...node, 'hyperiondb.answer': 'standby' }, start + 20],
    ['asked', { ...node, 'hyperiondb.answer': 'primary' }, start + 900],
    ['found', { ...node, 'hyperiondb.timeline': 7 }, start + 905],
    ['first write', node, start + 950],
  ]);
});

test('otel: a failover that found no primary has failed, and one without a write has not', (t) => {
  const pool = db.pool(t);
  const { spans } = instrumented(t, pool);
  const noticed = new Date(1_800_000_000_000);
  const asked = [{ at: new Date(1_800_000_000_400), node: 'a:5432', answer: 'down', reason: 'refused' }];
  const by = { source: 'monitor', node: 'a:5432', reason: 'silent' };
  const counts = { held: 0, retried: 0, unknown: 0 };
  const none = { from: null, to: null, noticed, by, asked, found: null, timeline: null, firstWrite: null, ...counts };
  const found = { ...none, to: 'b:5432', found: new Date(1_800_000_000_500), timeline: 2 };
  for (const failover of [none, found]) channel('hyperiondb:failover').publish({ ...failover, pool });
  const [failed, ended] = spans();
  assert.deepEqual(failed.status, { code: 2, message: 'no new primary was found' });
  assert.equal(failed.attributes['error.type'], 'no_primary');
  assert.ok(!('hyperiondb.failover.to' in failed.attributes));
  assert.equal(msOf(failed.endTime) - msOf(failed.startTime), 400);
  assert.equal(facts(ended).status, 'UNSET');
  assert.equal(msOf(ended.endTime) - msOf(ended.startTime), 500);
});

test('otel: a failover of a cluster has a span, and a statement that waits for it is one span', async (t) => {
  const pool = db.pool(t);
  await pool.exec('CREATE TABLE written (n int)');
  const { spans, metrics } = instrumented(t, pool);
  /** @type {any} */
  let told;
  pool.once('failover', (/** @type {any} */ failover) => {
    told = failover;
  });
  let isOver = false;
  let written = 0;
  const writer = async () => {
    while (!isOver) {
      await pool.query('INSERT INTO written VALUES ($1)', [written]);
      written += 1;
      await sleep(5);
    }
  };
  const writing = writer();
  const [old, next] = [db.cluster.primary(), db.cluster.standbys()[0]];
  await until('it writes', () => written > 5);
  await old.fence();
  await next.promote();
  await until('the failover was told', () => told !== undefined);
  isOver = true;
  await writing;
  const failovers = spans().filter(({ name }) => name === 'failover');
  assert.equal(failovers.length, 1);
  const [span] = failovers;
  assert.equal(span.attributes['hyperiondb.failover.to'], `${next.host}:${next.port}`);
  assert.equal(msOf(span.startTime), told.noticed.getTime());
  assert.equal(msOf(span.endTime), told.firstWrite.getTime());
  assert.deepEqual(
    span.events.map(({ name }) => name).filter((name) => name !== 'asked'),
    ['noticed', 'found', 'first write'],
  );
  // Each write is one span, those that ran again included: "the span should cover the duration of the logical operation with all retries".
  const inserts = spans().filter(({ name }) => name === 'INSERT written');
  assert.equal(inserts.length, written);
  for (const insert of inserts) assert.equal(facts(insert).status, 'UNSET');
  const nodes = new Set(inserts.map(({ attributes }) => attributes['server.port']));
  assert.ok(nodes.has(next.port) && nodes.size === 2);
  const { 'db.client.operation.duration': duration } = await metrics();
  const count = duration.dataPoints.reduce(
    (/** @type {number} */ sum, /** @type {any} */ { value }) => sum + value.count,
    0,
  );
  assert.equal(count, written);
});
