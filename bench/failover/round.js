'use strict';

// One client under one scenario, on a cluster of its own.

const { fork } = require('node:child_process');
const { once } = require('node:events');
const path = require('node:path');
const { setTimeout: sleep } = require('node:timers/promises');
const { startCluster } = require('../../test/support/cluster');
const { waitUntilCaughtUp } = require('../../exports/testing/cluster/replication.js');
const { CLEAN_MS, HUNG_MS, History, RECOVERY_MS, figures, worksAgain } = require('./figures.js');
const { CONNECTIONS, SCHEMA, WRITTEN, now } = require('./load.js');

/** @typedef {import('../../test/support/cluster').Cluster} Cluster */
/** @typedef {import('../../test/support/cluster').Node} Node */
/** @typedef {import('./types').Job} Job */
/** @typedef {import('./types').Message} Message */
/** @typedef {import('./types').Timeline} Timeline */
/** @typedef {import('./types').Variant} Variant */

const CALM_MS = 2_000;
/** Longer than any statement takes in a healthy cluster. */
const OLD_MS = 1_000;
/** A client that has not run its first statement by then never will. */
const START_MS = 20_000;
/** How much of the last output of a process is kept: the error comes first. */
const WORDS = 4_000;

/** A client and its load. */
class Driven {
  history = new History();
  version = '';
  /** Why its process has ended by itself. @type {string | undefined} */
  died;
  #child;
  #stderr = '';
  #over = false;

  /** @param {Job} job */
  constructor(job) {
    this.#child = fork(path.join(__dirname, 'child.js'), {
      execArgv: [], // the test runner's own would change what an uncaught error does
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text) => {
      if (this.#stderr.length < WORDS) this.#stderr += text;
    });
    // Not at 'exit': output may still arrive.
    this.#child.on('close', (code, signal) => {
      if (!this.#over) this.died = /^\w*error: .*$/im.exec(this.#stderr)?.[0] ?? `ended by itself (${signal ?? code})`;
    });
    this.#child.on('message', (/** @type {Message} */ message) => {
      if (message.kind === 'told') this.history.add(message.events);
    });
    this.#child.send(job);
  }

  /** Resolves when its first statement has succeeded. */
  async ready() {
    const [message] = /** @type {[Message]} */ (
      await Promise.race([
        once(this.#child, 'message'),
        once(this.#child, 'close').then(() => [{ kind: 'failed', error: this.died ?? '' }]),
        sleep(START_MS, undefined, { ref: false }).then(() => [{ kind: 'failed', error: 'it hung at its start' }]),
      ])
    );
    if (message.kind === 'failed') throw new Error(message.error);
    if (message.kind === 'ready') this.version = message.version;
  }

  async kill() {
    this.#over = true;
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, 'exit');
    this.#child.kill('SIGKILL');
    await gone;
  }
}

/**
 * Watches until the client works as before or its time is over, and until statements that hang are known to hang. What was
 * acknowledged counts when the new primary has it.
 *
 * @param {Driven} driven
 * @param {Timeline} timeline
 * @param {Node} primary
 */
async function observe(driven, timeline, primary) {
  const { overAt } = timeline;
  while (driven.died === undefined && now() < overAt + RECOVERY_MS) {
    await sleep(200);
    const statements = driven.history.all;
    const waits = statements.some(({ begunAt, endedAt }) => endedAt === undefined && begunAt < now() - OLD_MS);
    if (waits && now() < overAt + HUNG_MS + OLD_MS) continue;
    if (!worksAgain(statements, timeline, now())) continue;
    const present = await written(primary);
    if (worksAgain(statements, timeline, now(), ({ id }) => present.has(id))) break;
    await sleep(CLEAN_MS / 2); // it is not the client that is asked: not too often
  }
  return now();
}

/** @param {Node} node @returns {Promise<Map<number, number>>} how often each id is there */
async function written(node) {
  return new Map((await node.sql(WRITTEN)).map(({ id, times }) => [id, times]));
}

/** What the old primary has: it lives, or was stopped in peace and is started alone. @param {Node} old @param {string} scenario */
async function onOld(old, scenario) {
  if (scenario === 'kill') return new Set();
  if (!old.running) await old.start();
  return new Set((await written(old)).keys());
}

/**
 * @param {import('./types').Scenario} scenario
 * @param {string} client file of the client
 * @param {Variant} variant
 */
async function round(scenario, client, { primary, settings }) {
  const cluster = await startCluster({ nodes: 3, synchronous: scenario.synchronous });
  /** @type {Driven | undefined} */
  let driven;
  try {
    const old = cluster.primary();
    for (const statement of SCHEMA) await old.sql(statement);
    await Promise.all(cluster.standbys().map((standby) => waitUntilCaughtUp(standby, old)));
    const { user, password, database } = cluster;
    const hosts = primary === 'first' ? cluster.hosts : [...cluster.hosts].reverse();
    driven = new Driven({ client, opening: { hosts, user, password, database, connections: CONNECTIONS }, settings });
    await driven.ready();
    await sleep(CALM_MS);
    const timeline = await scenario.play(cluster);
    const endedAt = await observe(driven, timeline, cluster.primary());
    const { died } = driven;
    await driven.kill();
    const rows = { present: await written(cluster.primary()), onOld: await onOld(old, scenario.id) };
    return {
      version: driven.version,
      postgresql: cluster.version,
      figures: figures(driven.history.all, timeline, endedAt, rows, died),
    };
  } finally {
    await driven?.kill();
    await cluster.stop();
  }
}

module.exports = { round };
