'use strict';

// Programs written for pg insert numbers, each once, in every way there is, while the nodes break or change their roles. In the end
// every acknowledged number is there, none is there twice, and none that was said to be not applied is there. Nobody listens to
// 'error' anywhere, and the process lives. HYPERION_ROUNDS says how many faults are played, HYPERION_SEED in which order.

const assert = require('node:assert/strict');
const { after, before } = require('node:test');
const { Client, Pool, Query } = require('../../exports/pg/index.js');
const { Random } = require('../chaos/random.js');
const { startStage } = require('../chaos/scene.js');
const { HANG_MS, named, range, sleep, test, until } = require('../support/helpers.js');

/** @typedef {{ pool: any, limited: any, config: Record<string, any> }} Program */

const ROUNDS = Number(process.env.HYPERION_ROUNDS ?? (process.env.HYPERION_FULL ? 40 : 4));
const SEED = Number(process.env.HYPERION_SEED ?? 20);
/** Of a pool. */
const MAX = 8;
/** Writers of each kind. */
const WRITERS = 3;
/** Each kind has numbers of its own. */
const SPAN = 10_000_000;
const INSERT = 'INSERT INTO written VALUES ($1)';
/** How many more of each kind must succeed after a fault. */
const FLOW = 15;

/**
 * @param {any} pool
 * @param {(client: any) => Promise<unknown>} work
 */
async function withClient(pool, work) {
  const client = await pool.connect();
  let failure;
  try {
    await work(client);
  } catch (error) {
    failure = error;
    throw error;
  } finally {
    client.release(failure);
  }
}

/** The ways to insert a number, as programs do it. @type {Record<string, (program: Program, id: number) => Promise<unknown>>} */
const WAYS = {
  text: ({ pool }, id) => pool.query(INSERT, [id]),
  named: ({ pool }, id) => pool.query({ name: 'insert', text: INSERT, values: [id] }),
  several: ({ pool }, id) => pool.query(`SELECT 1; INSERT INTO written VALUES (${id}); SELECT 2`),
  block: ({ pool }, id) => pool.query(`BEGIN; INSERT INTO written VALUES (${id}); COMMIT`),
  callback: ({ pool }, id) =>
    new Promise((resolve, reject) => {
      pool.query(INSERT, [id], (/** @type {any} */ error, /** @type {any} */ result) =>
        error ? reject(error) : resolve(result),
      );
    }),
  object: ({ pool }, id) =>
    new Promise((resolve, reject) => {
      pool.query(new Query(INSERT, [id]), (/** @type {any} */ error, /** @type {any} */ result) =>
        error ? reject(error) : resolve(result),
      );
    }),
  client: ({ pool }, id) => withClient(pool, (client) => client.query({ name: 'own', text: INSERT, values: [id] })),
  transaction: ({ pool }, id) =>
    withClient(pool, async (client) => {
      await client.query('BEGIN');
      await client.query(INSERT, [id]);
      await client.query('COMMIT');
    }),
  limited: ({ limited }, id) => limited.query(INSERT, [id]),
  async alone({ config }, id) {
    const client = /** @type {any} */ (new Client(config));
    try {
      await client.connect();
      await client.query(INSERT, [id]);
    } finally {
      await client.end();
    }
  },
};
const KINDS = Object.keys(WAYS);

/** Writers that go on until stop(), and what they were told. */
class Load {
  /** @type {Set<number>} */
  acknowledged = new Set();
  /** @type {Map<number, any>} */
  failed = new Map();
  /** How many of each kind have succeeded. */
  counts = KINDS.map(() => 0);
  #next = KINDS.map(() => 0);
  #isOver = false;
  #running;

  /** @param {Program} program */
  constructor(program) {
    this.#running = KINDS.flatMap((kind, i) => range(WRITERS).map(() => this.#write(program, WAYS[kind], i)));
  }

  /** @param {Program} program @param {(program: Program, id: number) => Promise<unknown>} write @param {number} kind */
  async #write(program, write, kind) {
    while (!this.#isOver) {
      const id = kind * SPAN + this.#next[kind]++;
      try {
        await write(program, id);
        this.acknowledged.add(id);
        this.counts[kind]++;
      } catch (error) {
        this.failed.set(id, error);
        await sleep(10);
      }
    }
  }

  /** Waits until every kind succeeds again. */
  async flows() {
    const from = [...this.counts];
    const isSlow = (/** @type {number} */ kind) => this.counts[kind] < from[kind] + FLOW;
    await until('every kind of write goes on', () => {
      const slow = KINDS.filter((_, kind) => isSlow(kind));
      if (slow.length > 0) throw new Error(`not yet: ${slow.join()}`);
      return true;
    });
  }

  async stop() {
    this.#isOver = true;
    await Promise.all(this.#running);
  }
}

/** @type {any} */
let stage;
before(
  async () => {
    stage = await startStage();
  },
  { timeout: HANG_MS * 2 },
);
after(() => stage.stop(), { timeout: HANG_MS });

const TERMINATE = `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
  WHERE application_name = $1 AND random() < 0.5`;

/** What happens to the primary, and to whom. @type {Record<string, (name: string, random: Random) => Promise<unknown>>} */
const FAULTS = {
  async 'sessions are terminated'(name, random) {
    for (let i = 0; i < 5; i++) {
      await stage.cluster.primary().sql(TERMINATE, [name]);
      await sleep(random.int(0, 60));
    }
  },
  async 'kill -9, another one is promoted'(_name, random) {
    await stage.cluster.primary().crash();
    await sleep(random.int(0, 200));
    await stage.cluster.failover();
  },
  async 'a switchover'(_name, random) {
    await stage.cluster.primary().fence();
    await sleep(random.int(0, 200));
    await stage.cluster.failover();
  },
  async 'frozen, another one is promoted'(_name, random) {
    await stage.cluster.primary().freeze();
    await sleep(random.int(0, 200));
    await stage.cluster.failover();
  },
  async 'fenced and unfenced'(_name, random) {
    const primary = stage.cluster.primary();
    await primary.fence();
    await sleep(random.int(0, 500));
    await primary.unfence();
  },
  async 'frozen and thawed'(_name, random) {
    const primary = stage.cluster.primary();
    await primary.freeze();
    await sleep(random.int(0, 1_500));
    await primary.thaw();
  },
  async 'stopped fast, another one is promoted'(_name, random) {
    await stage.cluster.primary().stop('fast');
    await sleep(random.int(0, 200));
    await stage.cluster.failover();
  },
  async 'killed and started again'(_name, random) {
    const primary = stage.cluster.primary();
    await primary.crash();
    await sleep(random.int(0, 200));
    await primary.start();
  },
};

/** @param {string} name of the application @returns {Promise<string[]>} the sessions that nodes have for it */
async function sessionsOf(name) {
  const nodes = stage.cluster.nodes.filter((/** @type {any} */ { running, frozen }) => running && !frozen);
  const rows = await Promise.all(
    nodes.map((/** @type {any} */ node) =>
      node.sql('SELECT state, query FROM pg_stat_activity WHERE application_name = $1', [name]),
    ),
  );
  return rows.flat().map(({ state, query }) => `${state} ${query}`);
}

/** @param {Load} load @param {string} when */
async function judge({ acknowledged, failed }, when) {
  const ids = (await stage.cluster.primary().sql('SELECT id FROM written')).map((/** @type {any} */ { id }) =>
    Number(id),
  );
  const there = new Set(ids);
  /** @param {number} id */
  const shown = (id) => `${KINDS[Math.floor(id / SPAN)]} ${id}`;
  const missing = [...acknowledged].filter((id) => !there.has(id)).map(shown);
  const untrue = [...failed].filter(([id, { outcome }]) => outcome === 'not-applied' && there.has(id));
  assert.deepEqual(missing, [], `acknowledged and missing ${when}`);
  assert.equal(ids.length - there.size, 0, `there twice ${when}`);
  assert.deepEqual(
    untrue.map(([id, error]) => `${shown(id)}: ${error}`),
    [],
    `said to be not applied, and there ${when}`,
  );
}

/** How often writes have failed with each error. @param {Load} load */
function errorsOf({ failed }) {
  /** @type {Record<string, number>} */
  const counts = {};
  for (const [id, error] of failed) {
    const key = `${KINDS[Math.floor(id / SPAN)]}: ${error.outcome} ${error.code ?? ''} ${error.message}`;
    counts[key] = (counts[key] ?? 0) + 1;
  }
  return counts;
}

test('writes in every way while nodes break: none lost, none twice, no untrue outcome, no session left', {
  timeout: HANG_MS + ROUNDS * 30_000,
}, async (t) => {
  const random = new Random(SEED);
  const { cluster } = stage;
  const { hosts, user, password, database } = cluster;
  const name = named('pg-chaos');
  const config = { host: hosts.join(), user, password, database, application_name: name };
  const options = { ...config, max: MAX, connectionTimeoutMillis: 30_000 };
  await cluster.primary().sql('DROP TABLE IF EXISTS written');
  await cluster.primary().sql('CREATE TABLE written (id int)');
  const pool = /** @type {any} */ (new Pool(options));
  const limited = /** @type {any} */ (new Pool({ ...options, query_timeout: 400 }));
  const load = new Load({ pool, limited, config: { ...config, connectionTimeoutMillis: 10_000 } });
  const names = Object.keys(FAULTS);
  for (const round of range(ROUNDS)) {
    const fault = round < names.length ? names[round] : names[random.int(0, names.length - 1)];
    await load.flows();
    await FAULTS[fault](name, random);
    await load.flows();
    for (const one of [pool, limited]) assert.ok(one.totalCount <= MAX, `${one.totalCount} clients after: ${fault}`);
    await stage.restore();
  }
  await load.flows();
  await load.stop();
  await judge(load, `after ${ROUNDS} faults`);
  for (const one of [pool, limited]) {
    await until('all clients are idle', () => one.totalCount === one.idleCount);
    assert.equal(one.waitingCount, 0);
    await one.end();
  }
  await until('no session is left', async () => {
    const left = await sessionsOf(name);
    if (left.length > 0) throw new Error(left.join('\n'));
    return true;
  });
  t.diagnostic(`${load.acknowledged.size} acknowledged, ${load.failed.size} failed`);
  if (process.env.HYPERION_FULL) t.diagnostic(Object.entries(errorsOf(load)).join('; '));
});
