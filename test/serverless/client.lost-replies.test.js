'use strict';

// ServerlessClient: statements whose reply is lost. A write is never sent twice and is reported as unknown; what is declared readOnly is
// sent again and answered. With HYPERION_FULL=1 there are 1,000 of each.

const assert = require('node:assert/strict');
const { before, describe } = require('node:test');
const { endings, range, test, useCluster } = require('../support/helpers.js');
const { LossyRelay } = require('../exactly-once/lossy-relay.js');
const { clientFor, notingHooks } = require('./clients.js');
const { SwallowingRelay, WAYS } = require('./swallowing-relay.js');

const IS_FULL = Boolean(process.env.HYPERION_FULL);
const COUNT = IS_FULL ? 1_000 : 60;
const SESSIONS = IS_FULL ? 60 : 20;
/** A silent session is given up after this, and after the time that the cancelling of its statement is given. */
const LIMIT = { timeoutMs: 1_000 };

const db = useCluster({ nodes: 1, synchronous: false });
before(async () => {
  await db.started;
  await db.sql('CREATE TABLE orders (mark text)');
});

/** The marks of as many statements: a third is lost in each way. @param {number} count */
const marks = (count) => range(count).map((index) => `${WAYS[index % WAYS.length]}-${index}`);

/** How often each of the marks is in the table. @returns {Promise<Map<string, number>>} */
async function inserted() {
  const rows = await db.sql('SELECT mark, count(*)::int AS n FROM orders GROUP BY mark');
  await db.sql('TRUNCATE orders');
  return new Map(rows.map(({ mark, n }) => [/** @type {string} */ (mark), /** @type {number} */ (n)]));
}

/**
 * @param {import('node:test').TestContext} t
 * @param {string} hosts
 */
function clientBehind(t, hosts) {
  const { hooks, toldTo } = notingHooks();
  return { client: clientFor(t, db, { hosts, poolSize: SESSIONS, pipeline: false, hooks }), toldTo };
}

/**
 * Runs a statement for each mark, as many at a time as there are sessions: whoever waits for one would be out of time. One that was
 * out of time before it was sent has no reply that could be lost: it is run anew.
 * @param {SwallowingRelay} relay
 * @param {readonly string[]} given
 * @param {(mark: string, limit: { timeoutMs?: number }) => Promise<any>} run
 */
async function eachOf(relay, given, run) {
  const left = given.map((mark, index) => ({ mark, index }));
  /** @type {Awaited<ReturnType<typeof endings>>} */
  const ended = [];
  const work = async () => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      const limit = next.mark.startsWith('silence') ? LIMIT : {};
      do {
        [ended[next.index]] = await endings([run(next.mark, limit)]);
      } while (!relay.seen.has(next.mark) && ended[next.index].error?.outcome === 'not-applied');
    }
  };
  await Promise.all(range(SESSIONS).map(work));
  return ended;
}

// Side by side, because most of their time is waiting.
describe('lost replies', { concurrency: true }, () => {
  test(`lost replies: of ${COUNT} INSERTs none is doubled, and each is reported as unknown`, {
    timeout: 300_000,
  }, async (t) => {
    const relay = await SwallowingRelay.open(t, db.cluster.primary());
    const { client, toldTo } = clientBehind(t, relay.address);
    const given = marks(COUNT);
    const ended = await eachOf(relay, given, (mark, limit) =>
      client.query('INSERT INTO orders VALUES ($1)', [mark], limit),
    );
    const told = ended.map(({ error }) => error?.outcome);
    const rows = await inserted();
    const doubled = [...rows.values()].filter((n) => n > 1).length;
    const unknown = told.filter((one) => one === 'unknown').length;
    t.diagnostic(`${COUNT} INSERTs: ${unknown} unknown, ${doubled} doubled, ${rows.size} applied`);
    assert.deepEqual([unknown, doubled], [COUNT, 0]);
    assert.deepEqual(
      [...relay.seen].filter(([, times]) => times !== 1),
      [],
    );
    // What the server has got is there once; what it has not got is not there.
    const got = given.filter((mark) => !mark.startsWith('before'));
    assert.deepEqual([...rows].sort(), got.map((mark) => [mark, 1]).sort());
    assert.deepEqual(toldTo('onQueryRetry'), []);
  });

  test(`lost replies: ${COUNT} statements that are declared readOnly are answered`, { timeout: 300_000 }, async (t) => {
    const relay = await SwallowingRelay.open(t, db.cluster.primary());
    const { client } = clientBehind(t, relay.address);
    const given = marks(COUNT);
    const ended = await eachOf(relay, given, (mark, limit) =>
      client.query('SELECT $1::text AS mark', [mark], { ...limit, readOnly: true }),
    );
    assert.deepEqual(
      ended.map(({ value, error }) => error ?? value.rows[0].mark),
      given,
    );
    for (const mark of given) assert.ok(/** @type {number} */ (relay.seen.get(mark)) > 1, mark);
  });
});

describe('lost commits', () => {
  /** @type {import('../exactly-once/lossy-relay.js').Fault[]} */
  const FAULTS = ['cut before', 'cut after', 'deaf after'];
  for (const fault of FAULTS) {
    test(`lost replies: a transaction whose COMMIT is lost (${fault}) is reported as unknown, and not run again`, async (t) => {
      const relay = await LossyRelay.open(db.cluster.primary());
      const { client } = clientBehind(t, relay.address);
      t.after(() => relay.close());
      relay.fault = () => fault;
      let runs = 0;
      const running = client.transaction(async (/** @type {any} */ tx) => {
        runs += 1;
        await tx.query('INSERT INTO orders VALUES ($1)', [fault]);
      });
      const [{ error }] = await endings([running]);
      assert.deepEqual([error?.outcome, error?.retryable, runs], ['unknown', false, 1]);
      assert.deepEqual([...(await inserted())], fault === 'cut before' ? [] : [[fault, 1]]);
    });
  }
});
