'use strict';

// The option `reset`: many users of few connections, each of whom sets something by a way that is drawn, or nothing. No user sees
// what another has set. HYPERION_SEED repeats the choices, and HYPERION_FULL (npm run test:full) means ten times as many users.

const assert = require('node:assert/strict');
const { before } = require('node:test');
const { Random, seedFrom } = require('../chaos/random');
const { endings, range, test, useCluster } = require('../support/helpers');
const { changesOf, loginTo, makeDatabase, settingsOf } = require('../support/settings');
const { LEAVING, TAKEN_BACK } = require('../support/settings.statements');

const USERS = process.env.HYPERION_FULL ? 10_000 : 1_000;
const WORKERS = 16;
const seed = seedFrom(process.env.HYPERION_SEED, 'HYPERION_SEED');

const db = useCluster({ nodes: 1 });
before(async () => {
  await db.started;
  await makeDatabase(db.cluster);
});

/** @typedef {import('../support/settings.statements').Row} Row */
/** @typedef {import('../support/settings').Settings} Settings */

const NOTHING = /** @type {Row[]} */ ([
  ['nothing', 'SELECT 1 AS one'],
  ['nothing, with a parameter', 'SELECT $1::int AS one', { params: [1] }],
  ['nothing, from a table', 'SELECT count(*) FROM plain'],
  ['a setting of its transaction', "SELECT set_config('app.tenant', 'secret', true)"],
]);

/** The statements to draw from: those that several sessions may run at a time, again and again. */
function rows() {
  const isFit = (/** @type {Row} */ [, , more = {}]) =>
    !(more.before || more.after || more.isPlainRole || more.isAlone) && (more.since ?? 0) <= db.cluster.version;
  const harmless = TAKEN_BACK.filter(([title]) => /set_config|SET LOCAL|exception|^RESET|DEFAULT$/.test(title));
  return { leaving: LEAVING.filter(isFit), harmless: [...NOTHING, ...harmless] };
}

/**
 * How a user works: it looks at its session first, then runs the statement. Each resolves to what was seen of sessions in which this
 * user has not set anything.
 * @type {Record<string, (pool: any, run: (runner: any) => Promise<unknown>) => Promise<Settings[]>>}
 */
const MANNERS = {
  'two statements': async (pool, run) => {
    const seen = await settingsOf(pool);
    await run(pool);
    return [seen];
  },
  'statements of the same tick': async (pool, run) => {
    const [one, , two] = await Promise.all([settingsOf(pool), run(pool), settingsOf(pool)]);
    return [one, two];
  },
  'a transaction that commits': (pool, run) =>
    pool.transaction(async (/** @type {any} */ tx) => {
      const seen = await settingsOf(tx);
      await run(tx);
      return [seen];
    }),
  'a transaction that rolls back': async (pool, run) => {
    const tx = await pool.begin();
    try {
      const seen = await settingsOf(tx);
      await run(tx);
      return [seen];
    } finally {
      await tx.rollback();
    }
  },
  'a transaction with a savepoint': (pool, run) =>
    pool.transaction(async (/** @type {any} */ tx) => {
      await tx.query('SAVEPOINT one');
      const seen = await settingsOf(tx);
      await run(tx);
      await tx.query('RELEASE one');
      return [seen];
    }),
  'a transaction behind a statement': async (pool, run) => {
    const [, seen] = await Promise.all([run(pool), pool.transaction(settingsOf)]);
    return [seen];
  },
};
const OUTSIDE = Object.entries(MANNERS).filter(([title]) => /statements/.test(title));

test(`reset 'changes': none of ${USERS} users of three connections sees what another has set`, async (t) => {
  const { leaving, harmless } = rows();
  const pool = db.pool(t, { poolSize: 3, ...loginTo(db) });
  const base = await settingsOf(pool);
  /** @type {string[]} */
  const leaks = [];
  let done = 0;
  /** @param {number} worker */
  const work = async (worker) => {
    const random = new Random(seed).fork(`worker ${worker}`);
    while (done < USERS && leaks.length < 20) {
      done++;
      const row = random.pick(random.once(3) ? harmless : leaving);
      const [title, text, { params, isOutside } = {}] = row;
      const [manner, user] = random.pick(isOutside ? OUTSIDE : Object.entries(MANNERS));
      const [{ value, error }] = await endings([user(pool, (runner) => runner.query(text, params))]);
      const changes = (value ?? []).flatMap((/** @type {Settings} */ seen) => changesOf(base, seen));
      // What fails has met something that another user has set: a role without rights, a search_path without tables.
      if (error || changes.length > 0) leaks.push(`user ${done}, ${manner}, ${title}: ${error ?? changes}`);
    }
  };
  await Promise.all(range(WORKERS).map(work));
  t.diagnostic(`seed ${seed}: ${done} users, ${leaks.length} leaks`);
  assert.deepEqual(leaks, [], `HYPERION_SEED=${seed} repeats the choices`);
});
