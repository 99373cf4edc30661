'use strict';

// Everything at once, with HYPERION_FULL: processes that run transfers between two synchronous clusters are killed, or frozen for longer than
// graceMs, at points of a commit, while primaries of both clusters crash or fall silent and standbys take their places. In the end each transfer is on both clusters or
// on none, and its caller was told the truth.

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const path = require('node:path');
const { loginOf, range, sleep, test, until } = require('../support/helpers.js');
const { useClusters } = require('./support.js');
const {
  ACCOUNTS,
  BALANCE,
  decided,
  makeAccounts,
  money,
  prepareAs,
  prepared,
  twoPhaseOver,
} = require('./two-phase.js');

const FULL = process.env.HYPERION_FULL === '1';
const LOAD_MS = FULL ? 50_000 : 0;
const skip = FULL ? undefined : 'npm run test:full';
const settings = { max_prepared_transactions: 100 };
const clusters = useClusters(FULL ? { a: { nodes: 3, settings }, b: { nodes: 3, settings } } : /** @type {any} */ ({}));
const { a, b } = /** @type {any} */ (clusters);
const OPTIONS = { graceMs: 1_000, recoverIntervalMs: 700, finishTimeoutMs: 4_000 };
const OF_POOL = { acquireTimeoutMs: 8_000, monitor: { intervalMs: 200, nodeTimeoutMs: 1_000 } };
const FOREIGN = ['mine', `hdb:${'f'.repeat(24)}:${'0'.repeat(24)}.0`];

/** @param {number} below */
const random = (below) => Math.floor(Math.random() * below);

/** Processes with clients; what they were told, by the id of the transfer. */
class Processes {
  /** @type {Map<string, string>} */
  told = new Map();
  pending = 0;
  /** @type {Record<string, number>} */
  codes = {};
  made = { killed: 0, frozen: 0 };
  isOver = false;
  #last = 0;
  /** @type {Set<import('node:child_process').ChildProcess>} */
  living = new Set();
  stderr = '';

  /** @param {Record<string, any>} logins */
  begin(logins) {
    const job = { name: `p${++this.#last}`, logins, options: OPTIONS, clients: 4, oneIn: 300 };
    const child = spawn(process.execPath, [path.join(__dirname, 'two-phase.clients.js'), JSON.stringify(job)], {
      env: { ...process.env, NODE_OPTIONS: '' },
    });
    this.living.add(child);
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (piece) => {
      const lines = (text + piece).split('\n');
      text = /** @type {string} */ (lines.pop());
      for (const line of lines) {
        const { signal, id, outcome, code, pending } = JSON.parse(line);
        if (signal === 'SIGKILL') this.made.killed++;
        if (signal === 'SIGSTOP') {
          this.made.frozen++;
          setTimeout(() => child.kill('SIGCONT'), 500 + random(3_000));
        }
        if (signal !== undefined) continue;
        this.told.set(id, outcome);
        if (pending > 0) this.pending++;
        if (code !== undefined) this.codes[code] = (this.codes[code] ?? 0) + 1;
      }
    });
    child.stderr.setEncoding('utf8').on('data', (piece) => {
      this.stderr += piece;
    });
    child.on('close', () => {
      this.living.delete(child);
      if (!this.isOver) this.begin(logins);
    });
  }

  async end() {
    this.isOver = true;
    for (const child of this.living) child.kill('SIGKILL');
    await until('all processes have ended', () => this.living.size === 0);
  }
}

test('torture: every transfer is on both clusters or on none, and was told as it is', {
  timeout: 300_000,
  skip,
}, async (t) => {
  for (const db of [a, b]) {
    await makeAccounts(db);
    // Amounts go up and down at random.
    await db.sql('ALTER TABLE accounts DROP CONSTRAINT accounts_balance_check');
    await db.sql('CREATE TABLE ledger (id text PRIMARY KEY)');
    for (const gid of FOREIGN) await prepareAs(db, gid);
  }
  const logins = { a: { ...loginOf(a.cluster), ...OF_POOL }, b: { ...loginOf(b.cluster), ...OF_POOL } };
  const processes = new Processes();
  t.after(() => processes.end());
  for (const _ of range(3)) processes.begin(logins);
  const end = performance.now() + LOAD_MS;
  let failovers = 0;
  while (performance.now() < end) {
    await sleep(1_000 + random(3_000));
    const { cluster } = random(2) === 0 ? a : b;
    const old = cluster.primary();
    await (random(2) === 0 ? old.crash() : old.freeze());
    await cluster.failover();
    failovers++;
    await old.rejoin(cluster.primary());
  }
  await processes.end();
  const { twoPhase } = twoPhaseOver({ a: a.pool(t, OF_POOL), b: b.pool(t, OF_POOL) }, { ...OPTIONS, graceMs: 0 });
  await until('nothing is in doubt', async () => {
    await twoPhase.recover();
    const left = (await prepared([a, b])).filter((gid) => !FOREIGN.includes(gid));
    // Sessions of processes that were killed may still be at work.
    const [{ n }] = await a.sql(
      "SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'hyperiondb-client' AND state = 'active'",
    );
    return n === 0 && left.length === 0 && (await decided(a)).every(({ outcome }) => outcome !== 'commit');
  });
  await twoPhase.close();
  const [inA, inB] = await Promise.all(
    [a, b].map(async (db) => new Set((await db.sql('SELECT id FROM ledger')).map(({ id }) => id))),
  );
  const onOne = [...inA, ...inB].filter((id) => inA.has(id) !== inB.has(id));
  const wrong = [...processes.told].filter(
    ([id, outcome]) => outcome !== 'unknown' && inA.has(id) !== (outcome === 'applied'),
  );
  const sum = (await money([a, b])).reduce((x, y) => x + y);
  /** @type {Record<string, number>} */
  const outcomes = {};
  for (const outcome of processes.told.values()) outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
  const aborts = (await decided(a)).filter(({ outcome }) => outcome === 'abort').length;
  t.diagnostic(
    `${inA.size} transfers, told ${JSON.stringify(outcomes)}, ${processes.pending} of them pending; ${JSON.stringify(processes.made)} processes, ${failovers} failovers, ` +
      `${aborts} decided to be rolled back; errors ${JSON.stringify(processes.codes)}`,
  );
  assert.deepEqual(
    { onOne, wrong, sum, stderr: processes.stderr },
    { onOne: [], wrong: [], sum: 2 * ACCOUNTS * BALANCE, stderr: '' },
  );
  for (const db of [a, b]) assert.deepEqual((await prepared([db])).sort(), [...FOREIGN].sort());
});
