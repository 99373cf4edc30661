'use strict';

// The tests of a library that runs on pg: its program (programs/<name>.js) is run on pg and on hyperiondb-client/pg, and must see the same;
// then it writes while the primary is replaced, by a switchover and by a crash. pg, which knows one host, writes beside it.

const assert = require('node:assert/strict');
const { fork } = require('node:child_process');
const path = require('node:path');
const { after, before } = require('node:test');
const { pathToFileURL } = require('node:url');
const { isDeepStrictEqual } = require('node:util');
const { setTimeout: sleep } = require('node:timers/promises');
const { GiveUp, until } = require('../../../exports/testing/cluster/until.js');
const { HANG_MS, test, useCluster } = require('../../support/helpers.js');
const { NotAvailableError, Packages } = require('../packages.js');
const { programOf } = require('../runtimes/install.js');

/** @typedef {import('./program.js').Task} Task */
/** @typedef {import('./program.js').Check} Check */
/** @typedef {import('./program.js').Write} Write */

const packages = new Packages(path.join(__dirname, 'packages'), 'orms');
const INSTALL_MS = 600_000;
const REGISTER = pathToFileURL(path.join(__dirname, '..', '..', '..', 'exports', 'register', 'index.js')).href;
/** How often each fault is played: by default on one version of PostgreSQL only, because a failover is the same on each. */
const ROUNDS = Number(process.env.HYPERION_ROUNDS ?? (process.env.HYPERION_PG_BIN ? 0 : 1));
/** Sessions that each program may have: as many as it has loops, so that each statement in flight may be hit once. */
const CONNECTIONS = 8;
/** Acknowledged writes that show that a program writes. */
const SOME = 40;
/** So long after the first write on the new primary a statement may still meet a connection whose end is on its way. */
const NOTICED_MS = 250;

/** The table of the writers has no constraint: a row that is there twice must be seen. */
const TABLE =
  'DROP TABLE IF EXISTS public.writes; CREATE TABLE public.writes (id bigint NOT NULL, driver text NOT NULL)';

/** A program in its process, and all that it has said. */
class Running {
  /** @type {Check[]} */
  checks = [];
  /** @type {Write[]} */
  writes = [];
  /** Of the writes, those that were acknowledged. */
  acknowledged = 0;
  stderr = '';
  alive = true;
  /** The program has done its work, and has only to end. */
  ended = false;
  /** @type {Promise<number | string | null>} the exit code, or the signal */
  exit;

  /** @param {string} file @param {string} execPath @param {Task} task */
  constructor(file, execPath, task) {
    // NODE_TEST_CONTEXT would make node:test report to this process.
    const { NODE_TEST_CONTEXT: _, NODE_OPTIONS: __, ...env } = process.env;
    this.child = fork(file, {
      execPath,
      execArgv: task.driver === 'register' ? ['--import', REGISTER] : [],
      env: { ...env, TZ: 'Europe/Berlin' },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text) => {
        this.stderr += text;
      });
    }
    this.child.on('message', (/** @type {any} */ message) => this.#take(message));
    this.exit = new Promise((resolve) => {
      this.child.on('close', (code, signal) => {
        this.alive = false;
        resolve(signal ?? code);
      });
    });
    this.child.send(task);
  }

  /** @param {{ check?: Check, write?: Write, ended?: true }} message */
  #take({ check, write, ended }) {
    if (check) this.checks.push(check);
    if (write) {
      this.writes.push(write);
      if (!write.error) this.acknowledged += 1;
    }
    if (ended) this.ended = true;
  }

  /** Resolves when it has written so much more. @param {string} when */
  async writesOn(when) {
    const enough = this.acknowledged + SOME;
    const writes = () => {
      if (!this.alive) throw new GiveUp(`the program has ended: ${this.stderr}`);
      return this.acknowledged >= enough;
    };
    try {
      await until(`the program writes ${when}`, writes, { timeoutMs: HANG_MS / 2 });
    } catch (error) {
      const last = this.writes.at(-1);
      throw new Error(`${/** @type {Error} */ (error).message}; its last write: ${JSON.stringify(last)}`, {
        cause: error,
      });
    }
  }

  kill() {
    this.child.kill('SIGKILL');
    return this.exit;
  }

  stop() {
    if (this.alive) this.child.send('stop');
    return this.exit;
  }
}

/** When the processes of a node have ended. @param {import('../../support/cluster').Node} node */
async function endOf(node) {
  while (node.running) await sleep(2);
  return Date.now();
}

/** The longest time without an acknowledged write. @param {readonly Write[]} writes */
function longestPause(writes) {
  const times = writes.filter(({ error }) => !error).map(({ at }) => at);
  times.sort((a, b) => a - b);
  const pauses = times.slice(1).map((to, i) => ({ from: times[i], to }));
  return pauses.reduce((longest, each) => (each.to - each.from > longest.to - longest.from ? each : longest));
}

/** What came of the errors, for a line of the report. @param {readonly Write[]} writes */
function codesOf(writes) {
  /** @type {Record<string, number>} */
  const counts = {};
  for (const { error } of writes) {
    if (!error) continue;
    const within = /** @type {Record<string, unknown>} */ (error.within ?? {});
    const code = String(error.code ?? within.code ?? within.message ?? error.message).slice(0, 60);
    counts[code] = (counts[code] ?? 0) + 1;
  }
  const listed = Object.entries(counts).map(([code, count]) => `${count} x ${code}`);
  return listed.length === 0 ? 'none' : listed.join(', ');
}

/**
 * @param {string} name of the program, and in the titles
 * @param {{ node?: 20 | 22 | 24 }} [needs] the least version of Node that the library supports
 */
function testLibrary(name, { node = 20 } = {}) {
  const db = useCluster({ nodes: 3 });
  const file = path.join(__dirname, 'programs', `${name}.js`);
  let execPath = process.execPath;
  /** Why the program cannot run here. */
  let missing = '';

  before(
    async () => {
      try {
        await packages.install();
        if (Number(process.versions.node.split('.')[0]) < node) execPath = await programOf('node-24');
      } catch (error) {
        if (!(error instanceof NotAvailableError)) throw error;
        missing = error.message;
      }
    },
    { timeout: INSTALL_MS },
  );

  /** @param {Task['driver']} driver */
  const settingsOf = (driver) => {
    const { user, password, database } = db.cluster;
    const { host, port } = db.cluster.primary();
    const reached = driver === 'pg' ? { host, port } : { host: db.cluster.hosts.join(',') };
    return { user, password, database, ...reached };
  };
  /** @type {Running[]} */
  const started = [];
  after(() => Promise.all(started.map((program) => program.kill())));
  /** @param {Task['driver']} driver @param {Task['mode']} mode */
  function start(driver, mode) {
    const program = new Running(file, execPath, { driver, mode, settings: settingsOf(driver) });
    started.push(program);
    return program;
  }

  /** @param {Task['driver']} driver */
  async function checksOn(driver) {
    const program = start(driver, 'checks');
    assert.equal(await program.exit, 0, `the program on ${driver} has not ended as it should: ${program.stderr}`);
    assert.ok(program.ended, `the program on ${driver} has ended before its work was done: ${program.stderr}`);
    return program.checks;
  }

  /** @type {Promise<Check[]> | undefined} */
  let onPg;
  /** What pg says, which is asked once. */
  async function checksOnPg() {
    onPg ??= checksOn('pg');
    const checks = await onPg;
    const refused = checks.filter(({ ok }) => !ok);
    assert.deepEqual(refused, [], 'a check that pg itself does not pass says nothing');
    return checks;
  }

  for (const [driver, where] of /** @type {const} */ ([
    ['face', 'on hyperiondb-client/pg'],
    ['register', 'under hyperiondb-client/register'],
  ])) {
    test(`${name}: its program sees the same ${where} as on pg`, async (t) => {
      if (missing) return t.skip(missing);
      const stock = await checksOnPg();
      const face = new Map((await checksOn(driver)).map((check) => [check.name, check]));
      const differing = [];
      for (const check of stock) {
        const other = face.get(check.name);
        if (isDeepStrictEqual(other, check)) continue;
        differing.push({ check: check.name, onPg: check.value, onFace: other?.value ?? 'was not reached' });
      }
      t.diagnostic(`${name}: ${stock.length} checks: pg ${stock.length}, ${where} ${stock.length - differing.length}`);
      assert.equal(differing.length, 0, JSON.stringify(differing, null, 2));
      assert.equal(face.size, stock.length);
    });
  }

  /** @type {Running | undefined} the program on the face, which lives through all faults */
  let writing;

  /**
   * @param {import('node:test').TestContext} t
   * @param {string} fault
   * @param {(old: any) => Promise<unknown>} play replaces the primary
   */
  async function survives(t, fault, play) {
    if (writing === undefined) {
      await db.sql(TABLE);
      writing = start('face', 'failover');
    }
    const face = writing;
    await face.writesOn('before the fault');
    const stock = start('pg', 'failover');
    await stock.writesOn('before the fault');
    const [before, stockBefore] = [face.writes.length, stock.writes.length];
    const old = db.cluster.primary();
    const [gone] = await Promise.all([endOf(old), play(old)]);
    await face.writesOn('after the fault');
    const writes = face.writes.slice(before);
    const stockWrites = stock.writes.slice(stockBefore);
    const ofStock = stock.alive ? 'its process lives' : 'its process has ended';
    // It may never end by itself: where all clients of its pool are lost, pool.end() waits for ever.
    await stock.kill();
    const errors = writes.filter(({ error }) => error);
    const { from: paused, to: resumed } = longestPause(face.writes.slice(Math.max(0, before - SOME)));
    const late = errors.filter(({ from }) => from > resumed + NOTICED_MS);
    t.diagnostic(
      `${name}, ${fault}, the face: ${errors.length} errors (${codesOf(errors)}), ${late.length} of them begun after it wrote again; ` +
        `no write was acknowledged for ${resumed - paused} ms`,
    );
    t.diagnostic(
      `${name}, ${fault}, pg: ${stockWrites.filter(({ error }) => error).length} errors (${codesOf(stockWrites)}), ` +
        `${stockWrites.filter(({ error, from }) => !error && from > gone).length} writes acknowledged afterwards; ${ofStock}`,
    );
    assert.ok(face.alive, `the process has ended: ${face.stderr}`);
    assert.ok(
      errors.length <= CONNECTIONS,
      `${errors.length} errors of ${CONNECTIONS} connections: ${codesOf(errors)}`,
    );
    assert.deepEqual(late, [], 'errors go on after the new primary is there');
  }

  for (let round = 1; round <= ROUNDS; round++) {
    test(`${name}: it writes on after a switchover, and only what was in flight fails (round ${round})`, async (t) => {
      if (missing) return t.skip(missing);
      db.needs('switchover');
      await survives(t, 'switchover', () => db.cluster.switchover());
    });

    test(`${name}: it writes on after the primary has crashed, and only what was in flight fails (round ${round})`, async (t) => {
      if (missing) return t.skip(missing);
      db.needs('crash', 'failover', 'rejoin');
      const old = db.cluster.primary();
      await survives(t, 'crash', async () => {
        await old.crash();
        await db.cluster.failover();
      });
      await old.rejoin(db.cluster.primary());
    });
  }

  test(`${name}: no acknowledged row is lost by a failover, none is there twice, no transaction is torn`, async (t) => {
    if (missing) return t.skip(missing);
    if (writing === undefined) return t.skip('no failover could be played');
    assert.equal(await writing.stop(), 0, `the process has not ended as it should: ${writing.stderr}`);
    const rows = await db.sql(
      "SELECT id::int AS id, count(*)::int AS times FROM writes WHERE driver = 'face' GROUP BY id",
    );
    const times = new Map(rows.map((/** @type {any} */ { id, times: found }) => [id, found]));
    const { writes } = writing;
    const acknowledged = writes.filter(({ error }) => !error).flatMap(({ ids }) => ids);
    const lost = acknowledged.filter((id) => !times.has(id));
    const doubled = [...times].filter(([, found]) => found !== 1);
    const torn = writes.filter(({ ids }) => new Set(ids.map((id) => times.has(id))).size !== 1);
    t.diagnostic(
      `${name}: ${acknowledged.length} rows acknowledged, ${lost.length} lost, ${doubled.length} doubled, ${torn.length} torn; ` +
        `${writes.filter(({ error }) => error).length} errors in ${2 * ROUNDS} failovers`,
    );
    assert.deepEqual({ lost, doubled, torn }, { lost: [], doubled: [], torn: [] });
    assert.ok(acknowledged.length > SOME);
  });
}

module.exports = { INSTALL_MS, packages, testLibrary };
