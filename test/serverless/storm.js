'use strict';

// A storm: waves of processes that connect, run a statement and freeze with their sessions open, and are never thawed. Here is what
// runs one; storm.test.js is a small one, and bench/serverless/storm.js a large one with figures.

const { Connection } = require('../../exports/testing/cluster/connection.js');
const { sleep, until } = require('../support/helpers.js');
const { Processes } = require('./processes.js');

/** @typedef {import('../support/cluster').Cluster} Cluster */
/** What became of a process: its first row came, or its error, so many ms after it had begun to connect. @typedef {{ served?: number, failed?: number, codes?: string[], message?: string, rss?: number }} Ending */
/** @typedef {{ locked: boolean, killed: number, durationMs: number }} Pass of the reaper, in a process that was not frozen before its end */
/** @typedef {{ at: number, sessions: number, inPass: number, frozen: number, waiting: number, refused: number }} Sample `at`: ms from the first wave; `inPass`: sessions in a transaction, and only passes of the reaper have one */

/**
 * @typedef {object} Storm
 * @property {'hyperion' | 'pg'} client
 * @property {object} options of the client
 * @property {number} waves
 * @property {number} processes of each wave
 * @property {number} everyMs from one wave to the next
 * @property {'steady' | 'one-by-one'} pace whether that time begins with the wave, or when its processes are frozen or have given up
 * @property {number} patienceMs how long a process tries to get a session
 * @property {number} work how many ms a process works on after its first row, before it freezes
 */

const TOO_MANY = '53300';
const HANG_MS = 60_000;
const SAMPLE_MS = 50;
const SAMPLE = `
  SELECT count(*)::int AS sessions, count(*) FILTER (WHERE state LIKE 'idle in transaction%')::int AS "inPass"
  FROM pg_stat_activity WHERE backend_type = 'client backend' AND usename = $1`;
const SLOTS = `
  SELECT sum(CASE name WHEN 'max_connections' THEN 1 ELSE -1 END * setting::int)::int AS slots FROM pg_settings
  WHERE name IN ('max_connections', 'superuser_reserved_connections', 'reserved_connections')`;

/** How many sessions roles without special rights can have; the superuser who counts has one. @param {Cluster} cluster @returns {Promise<number>} */
async function slotsOf(cluster) {
  const [{ slots }] = await cluster.primary().sql(SLOTS);
  return slots - 1;
}

/** A wave. Its processes are loaded before it begins. */
class Wave {
  /** @type {Ending[]} */
  endings = [];
  /** @type {Pass[]} */
  passes = [];
  hasBegun = false;
  #loaded = 0;
  #processes;

  /** @param {Processes} processes @param {import('./processes.js').Job} job @param {number} size */
  constructor(processes, job, size) {
    const onEvent = (/** @type {any} */ event) => {
      if ('loaded' in event) this.#loaded++;
      else if ('pass' in event) this.passes.push(event.pass);
      else this.endings.push(event);
    };
    this.#processes = Array.from({ length: size }, () => processes.start(job, onEvent));
  }

  get served() {
    return this.endings.filter(({ served }) => served !== undefined).length;
  }

  get refused() {
    return this.endings.filter(({ codes }) => codes?.includes(TOO_MANY)).length;
  }

  get waiting() {
    return this.hasBegun ? this.#processes.length - this.endings.length : 0;
  }

  async loaded() {
    await until('the processes of a wave are loaded', () => this.#loaded === this.#processes.length);
  }

  /** Each process has its first row, or has given up. @param {number} patienceMs */
  async over(patienceMs) {
    const fact = 'the processes of a wave are served, or have given up';
    const timeoutMs = HANG_MS + patienceMs;
    await until(fact, () => this.endings.length === this.#processes.length, { timeoutMs });
  }

  begin() {
    this.hasBegun = true;
    for (const { go } of this.#processes) go();
  }
}

/** The sessions of a role over time, by a superuser, for whom the server keeps connections. */
class Sampler {
  /** @type {Sample[]} */
  samples = [];
  #began = performance.now();
  #isStopped = false;
  #connection;
  #running;

  /** @param {Connection} connection @param {string} user @param {Wave[]} waves */
  constructor(connection, user, waves) {
    this.#connection = connection;
    this.#running = this.#run(user, waves);
  }

  /** @param {string} user @param {Wave[]} waves */
  async #run(user, waves) {
    const sum = (/** @type {'served' | 'waiting' | 'refused'} */ name) =>
      waves.reduce((all, wave) => all + wave[name], 0);
    while (!this.#isStopped) {
      const at = performance.now() - this.#began;
      const [{ sessions, inPass }] = await this.#connection.query(SAMPLE, [user]);
      const [frozen, waiting, refused] = [sum('served'), sum('waiting'), sum('refused')];
      this.samples.push({ at, sessions, inPass, frozen, waiting, refused });
      await sleep(SAMPLE_MS);
    }
  }

  async stop() {
    this.#isStopped = true;
    await this.#running;
  }

  /** Resolves when the role has no session left. @param {string} user */
  async end(user) {
    const isQuiet = async () => (await this.#connection.query(SAMPLE, [user]))[0].sessions === 0;
    await until('the sessions of the storm have ended', isQuiet);
    await this.#connection.end();
  }
}

/**
 * Runs a storm on the cluster's primary, as the role of an application, and kills its processes.
 * @param {Cluster} cluster
 * @param {Storm} storm
 */
async function runStorm(cluster, storm) {
  const { host, port, login } = /** @type {any} */ (cluster.primary());
  const app = /** @type {{ user: string, password: string }} */ (cluster.app);
  const { client, options, patienceMs, work } = storm;
  const job = { client, login: { host, port, ...app, database: cluster.database }, options, patienceMs, work };
  const connection = await Connection.open(login, 'storm', HANG_MS);
  const processes = new Processes();
  /** @type {Wave[]} */
  const waves = [];
  /** @type {Sampler | undefined} */
  let sampler;
  try {
    let due = performance.now();
    while (waves.length < storm.waves) {
      const wave = new Wave(processes, job, storm.processes);
      waves.push(wave);
      await wave.loaded();
      await sleep(Math.max(0, due - performance.now()));
      sampler ??= new Sampler(connection, app.user, waves);
      wave.begin();
      if (storm.pace === 'one-by-one') await wave.over(patienceMs);
      due = performance.now() + storm.everyMs;
    }
    for (const wave of waves) await wave.over(patienceMs);
  } finally {
    await sampler?.stop();
    await processes.close();
    await sampler?.end(app.user);
  }
  return {
    samples: sampler?.samples ?? [],
    waves: waves.map(({ endings, passes, served, refused }) => ({ endings, passes, served, refused })),
  };
}

module.exports = { runStorm, slotsOf };
