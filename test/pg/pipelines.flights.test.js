'use strict';

// What a pool sends, seen by a relay in front of the server: queries that leave together (exports/pg/pipelines.js), columns that are not
// described again, data of a COPY that is not cut into small pieces. Nothing but the count of messages shows that one of them has stopped.

const assert = require('node:assert/strict');
const { Pool, Client } = require('../../exports/pg/index.js');
const { from: copyFrom } = require('../../exports/pg/copy-streams.js');
const { QUICK, warm } = require('./pipelines.support.js');
const { range, test, useCluster } = require('../support/helpers.js');
const { messagesIn, relayTo } = require('../support/relay.js');

const db = useCluster({ nodes: 1 });

const IN_FLIGHT = 64;

/** A relay, and how it is reached. @param {import('node:test').TestContext} t */
async function relayed(t) {
  const { hosts, user, password, database } = db.cluster;
  const [host, port] = hosts[0].split(':');
  const relay = await relayTo(t, { host, port: Number(port) });
  return { relay, config: { host: '127.0.0.1', port: relay.port, user, password, database } };
}

/** @param {import('node:test').TestContext} t @param {object} [options] */
async function warmPool(t, options) {
  const { relay, config } = await relayed(t);
  const pool = /** @type {any} */ (new Pool({ ...config, max: 4, ...options }));
  t.after(() => pool.end());
  await warm(pool);
  relay.sent();
  return { pool, relay };
}

/** How many Syncs a piece has: each ends a flight (PostgreSQL docs, 54.7). @param {string} piece */
const flightsIn = (piece) => piece.split('S\0\0\0\x04').length - 1;

/** The pieces with statements in them, by how many each has. @param {string[]} pieces */
const flightsOf = (pieces) => pieces.map(flightsIn).filter((count) => count > 0);

/** @param {readonly number[]} counts */
const sum = (counts) => counts.reduce((a, b) => a + b, 0);

/** Runs queries so that as many as possible are in flight all the time. @param {any} pool @param {number} count @param {(i: number) => any} query */
async function steady(pool, count, query) {
  let next = 0;
  let behind = 0;
  await Promise.all(
    range(IN_FLIGHT).map(async () => {
      while (next < count) {
        const answer = query(next++);
        behind = Math.max(behind, pool._pipelines.waiting);
        await answer;
      }
    }),
  );
  return behind;
}

for (const [what, query] of /** @type {const} */ ([
  ['queries', (/** @type {any} */ pool, /** @type {number} */ i) => pool.query(QUICK, [i])],
  [
    'named statements',
    (/** @type {any} */ pool, /** @type {number} */ i) => pool.query({ name: 'quick', text: QUICK, values: [i] }),
  ],
])) {
  test(`flights: in a steady load ${what} leave several together`, async (t) => {
    const { pool, relay } = await warmPool(t);
    await steady(pool, 200, (i) => query(pool, i));
    relay.sent();
    const behind = await steady(pool, 1200, (i) => query(pool, i));
    const flights = flightsOf(relay.sent());
    assert.equal(sum(flights), 1200);
    // Four clients have one query each, and 6 at most.
    assert.ok(behind >= 12, `${behind} were sent behind others at a time`);
    assert.ok(flights.length < 600, `${flights.length} pieces for 1200 statements`);
  });
}

test('flights: most of the queries of a burst are sent behind others', async (t) => {
  const { pool } = await warmPool(t);
  let behind = 0;
  const { join } = Object.getPrototypeOf(pool._pipelines);
  pool._pipelines.join = function counted(/** @type {any[]} */ ...args) {
    behind += 1;
    return join.apply(this, args);
  };
  await Promise.all(range(IN_FLIGHT).map((i) => pool.query(QUICK, [i])));
  assert.ok(behind > IN_FLIGHT / 2, `${behind} of ${IN_FLIGHT}`);
});

test('flights: the query that has taken the client leaves together with those behind it', async (t) => {
  const { pool, relay } = await warmPool(t, { max: 1 });
  await pool.query(QUICK, [0]);
  relay.sent();
  // More rounds than one: the first may be taken up before the others are there.
  let together = 0;
  for (const _ of range(50)) {
    await Promise.all(range(4).map((i) => pool.query(QUICK, [i])));
    const flights = flightsOf(relay.sent());
    assert.equal(sum(flights), 4);
    if (flights.length === 1) together += 1;
  }
  assert.ok(together > 25, `${together} of 50 rounds were sent in one piece`);
});

test('flights: a query alone is one flight, whatever its pool knows of it', async (t) => {
  const { pool, relay } = await warmPool(t);
  for (const i of range(10)) await pool.query(QUICK, [i]);
  assert.deepEqual(flightsOf(relay.sent()), Array(10).fill(1));
});

/** A client behind a relay, and what it sends. @param {import('node:test').TestContext} t */
async function relayedClient(t) {
  const { relay, config } = await relayed(t);
  const client = /** @type {any} */ (new Client(config));
  t.after(() => client.end());
  await client.connect();
  await client.query("SELECT 'the client'");
  // The monitor has a connection of its own.
  const index = relay.conversations().findIndex((text) => text.includes('the client'));
  const sent = () => messagesIn(relay.conversations()[index]);
  /** The types of the messages that it sends while it works. @param {() => Promise<unknown>} work */
  const typesOf = async (work) => {
    const before = sent().length;
    await work();
    return sent()
      .slice(before)
      .map(({ type }) => type);
  };
  return { client, typesOf };
}

test('flights: a named statement is parsed and described once, and then only bound and executed', async (t) => {
  const { client, typesOf } = await relayedClient(t);
  const named = (/** @type {number} */ i) => client.query({ name: 'quick', text: QUICK, values: [i] });
  assert.deepEqual(await typesOf(() => named(1)), ['P', 'B', 'D', 'E', 'S']);
  assert.deepEqual(await typesOf(() => named(2)), ['B', 'E', 'S']);
  assert.deepEqual((await named(3)).rows, [{ i: 3 }]);
});

test('flights: a plain BEGIN leaves with the statement behind it', async (t) => {
  const { client, typesOf } = await relayedClient(t);
  const types = await typesOf(async () => {
    await client.query('BEGIN');
    await client.query(QUICK, [1]);
  });
  assert.deepEqual(types, ['P', 'B', 'E', 'P', 'B', 'D', 'E', 'S']);
  await client.query('ROLLBACK');
});

test('flights: small pieces of a COPY are sent as large ones', async (t) => {
  const { client, typesOf } = await relayedClient(t);
  await client.query('CREATE TEMP TABLE loaded (n int)');
  const types = await typesOf(async () => {
    const load = client.query(copyFrom('COPY loaded FROM STDIN'));
    for (const i of range(5000)) load.write(`${i}\n`);
    load.end();
    await new Promise((resolve, reject) => load.on('finish', resolve).on('error', reject));
  });
  const pieces = types.filter((type) => type === 'd').length;
  assert.ok(pieces > 0 && pieces < 50, `${pieces} CopyData for 5000 writes`);
  assert.deepEqual((await client.query('SELECT count(*)::int AS n FROM loaded')).rows, [{ n: 5000 }]);
});
