'use strict';

// Records which node accepts writes, without the pool: a thread has a connection to each node and asks again and again, so that
// nothing in the test delays it. A node that is a primary commits a row; the time of its answer and its timeline are an
// "acceptance". A connection that hangs stays (its node is frozen, or waits for a standby that it has lost, and accepts nothing);
// a connection that breaks is replaced at once.

const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads');
const { setTimeout: sleep } = require('node:timers/promises');
const { Client } = require('pg');
const { GiveUp, until } = require('../../../exports/testing/cluster/until.js');

/** @typedef {{ host: string, port: number, user: string, password: string, database: string }} Login */
/** @typedef {{ node: string, timeline: number, at: number }} Acceptance `at` is Date.now() */

const EVERY_MS = 5;
/** For as long two primaries may seem to take turns, while the connections of the watch are being replaced. */
const ROLLED_BACK_MS = 5_000;
const TABLE = 'CREATE TABLE probe (node text NOT NULL)';
const PROBE = `INSERT INTO probe VALUES ($1) RETURNING left(pg_walfile_name(pg_current_wal_lsn()), 8) AS timeline`;

class Watch {
  /** The first acceptance on each timeline. @type {Acceptance[]} */
  reigns = [];
  /** The latest acceptance. @type {Acceptance | undefined} */
  latest;
  /** When each timeline last had an acceptance. @type {Map<number, number>} */
  #lastOn = new Map();
  #worker;
  /** @type {Error | null} */
  #broken = null;

  /** @param {Login[]} logins */
  constructor(logins) {
    this.#worker = new Worker(__filename, { workerData: logins });
    this.#worker.on('error', (error) => {
      this.#broken = error;
    });
    this.#worker.on('message', (message) => {
      if (message.acceptance === undefined) return;
      this.latest = /** @type {Acceptance} */ (message.acceptance);
      this.#lastOn.set(this.latest.timeline, this.latest.at);
      if (message.first) this.reigns.push(this.latest);
    });
  }

  /** Whether only a node on an old timeline accepts writes, and has done so for more than a moment. */
  get isRolledBack() {
    const highest = Math.max(...this.reigns.map(({ timeline }) => timeline));
    const last = this.#lastOn.get(highest) ?? Infinity;
    return (this.latest?.at ?? 0) > last + ROLLED_BACK_MS;
  }

  /** The first acceptance on a timeline above `timeline`. @param {number} timeline @param {number} timeoutMs */
  successor(timeline, timeoutMs) {
    return until(
      `a node accepts writes on a timeline above ${timeline}`,
      () => {
        if (this.#broken !== null) throw new GiveUp('the watch is broken', { cause: this.#broken });
        return this.reigns.find((reign) => reign.timeline > timeline);
      },
      { timeoutMs, everyMs: 5 },
    );
  }

  /** Ends the watch. @returns {Promise<Acceptance[]>} everything it saw, in order */
  async stop() {
    if (this.#broken !== null) throw this.#broken;
    const seen = new Promise((resolve, reject) => {
      this.#worker.once('error', reject);
      this.#worker.on('message', ({ all }) => all && resolve(all));
    });
    this.#worker.postMessage('stop');
    try {
      return /** @type {Acceptance[]} */ (await seen);
    } finally {
      await this.#worker.terminate();
    }
  }
}

/** The code of the thread. @param {Login[]} logins */
function watch(logins) {
  /** @type {Acceptance[]} */
  const all = [];
  const timelines = new Set();
  /** @param {string} node @param {string} timeline */
  const accepted = (node, timeline) => {
    const acceptance = { node, timeline: Number.parseInt(timeline, 16), at: Date.now() };
    all.push(acceptance);
    parentPort?.postMessage({ acceptance, first: !timelines.has(timeline) });
    timelines.add(timeline);
  };
  for (const login of logins) ask(login, (timeline) => accepted(`${login.host}:${login.port}`, timeline));
  parentPort?.on('message', () => parentPort?.postMessage({ all }));
}

/** It never ends by itself. @param {Login} login @param {(timeline: string) => void} accepted */
async function ask(login, accepted) {
  for (;;) {
    const client = new Client({ ...login, ssl: false, application_name: 'hyperion-watch' });
    client.on('error', () => {}); // the running statement fails with it
    try {
      await client.connect();
      await askOver(client, login.host, accepted);
    } catch {
      client.end().catch(() => {});
    }
    await sleep(EVERY_MS);
  }
}

/** @param {import('pg').Client} client @param {string} name @param {(timeline: string) => void} accepted */
async function askOver(client, name, accepted) {
  for (;;) {
    const [{ standby }] = (await client.query('SELECT pg_is_in_recovery() AS standby')).rows;
    if (!standby) {
      const [{ timeline }] = (await client.query({ name: 'probe', text: PROBE, values: [name] })).rows;
      accepted(timeline);
    }
    await sleep(EVERY_MS);
  }
}

if (!isMainThread && Array.isArray(workerData)) watch(workerData);

exports.Watch = Watch;
exports.TABLE = TABLE;
