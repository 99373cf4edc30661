'use strict';

// How long callers wait beyond the time that the cluster makes them wait, in some rounds of one fault:
//
//   node test/chaos/switchover.js [--rounds 10] [--seed N] [--fault switchover]
//
//   switchover  the primary is fenced, another node promoted
//   crash       the primary crashes, another node is promoted
//   freeze      the primary falls silent and no standby is promoted: how long until work in flight is released
//   deposed     an asynchronous cluster: the primary is frozen, another promoted, the old one thawed: what does it still
//               write for the callers?
//
// 32 callers send 300 statements a second, half of them alone, half in transactions with retries. Figures are the median
// of the rounds, with the least and the most. Exit code 1 when anything was lost, doubled or denied.

const { numberOf, oneOf, readArguments, seedOf } = require('./arguments');
const { judge } = require('./check');
const { Probe } = require('./probe');
const { Random } = require('./random');
const { Scene, startStage } = require('./scene');
const { until } = require('../../exports/testing/cluster/until.js');

/** @typedef {import('./check').Violation} Violation */
/** @typedef {import('./history').Entry} Entry */
/** @typedef {import('./scene').Stage} Stage */

const USAGE = 'node test/chaos/switchover.js [--rounds 10] [--seed N] [--fault switchover|crash|freeze|deposed]';
const CALLERS = 32;
const STATEMENTS_PER_SECOND = 300;
/** A call is a single statement or a transaction of two. */
const STATEMENTS_PER_CALL = 1.5;
const SIZE = {
  writers: CALLERS,
  ways: /** @type {const} */ (['autocommit', 'transaction']),
  readers: 0,
  everyMs: (CALLERS * STATEMENTS_PER_CALL * 1000) / STATEMENTS_PER_SECOND,
  thinks: false,
};
/** Steady load before each fault, at most; half of it at least. */
const BEFORE_MS = 1_000;
/** The monitor's default, after which a silent node is given up according to its documentation. */
const NODE_TIMEOUT_MS = 3_000;

/** @typedef {Record<string, number>} Figures what one round came to, by name and unit */

/** @param {Scene} scene */
async function steadily(scene) {
  await scene.flows();
  await scene.rest(BEFORE_MS / 2);
  await until('the load is steady', () => scene.load.acknowledged >= 20);
}

/** How long a call took, without the time in `span`. @param {Entry} call @param {import('./probe').Span} span */
function beyond({ at, end = Infinity }, { from, to }) {
  return end - at - Math.max(0, Math.min(end, to) - Math.max(at, from));
}

/**
 * The primary goes away, and another one is promoted.
 * @param {Scene} scene
 * @param {(old: any) => Promise<unknown>} strike
 * @returns {Promise<Figures>}
 */
async function moved(scene, strike) {
  const probe = await Probe.start(scene.cluster);
  await steadily(scene);
  scene.load.strike();
  await strike(scene.primary);
  await scene.failover();
  await scene.flows();
  const span = await probe.stop();
  const calls = [...scene.load.history.values()].filter(({ end }) => end !== undefined);
  return {
    'no node accepted writes (ms)': span.to - span.from,
    'longest pause of a caller beyond that (ms)': Math.max(...calls.map((call) => beyond(call, span))),
  };
}

/** @param {Scene} scene @returns {Promise<Figures>} */
async function frozen(scene) {
  await steadily(scene);
  const old = scene.primary;
  scene.load.strike();
  await old.freeze();
  const frozenAt = performance.now();
  // Callers send work until all connections are stuck; from then on it waits in the pool.
  await until(
    'all connections are in use',
    () => scene.pool.status().available === 0 && scene.pool.status().waiting > 0,
  );
  const { inUse } = scene.pool.status();
  const inFlight = [...scene.load.history.values()].filter(({ fate }) => fate === 'pending');
  await until('nothing is in flight', () => scene.pool.status().inUse === 0, { everyMs: 1 });
  const freeAt = performance.now();
  // Callers have their answer in the turn in which the connections are free, or in the next.
  await new Promise((resolve) => setImmediate(resolve));
  const told = inFlight.filter(({ fate }) => fate !== 'pending');
  await old.thaw();
  await scene.flows();
  const releasedAt = Math.max(freeAt, ...told.map(({ end }) => Number(end)));
  return {
    'connections stuck': inUse,
    'calls that were told (the others begin again by themselves)': told.length,
    'until all was released (ms)': releasedAt - frozenAt,
    'of nodeTimeoutMs (%)': (100 * (releasedAt - frozenAt)) / NODE_TIMEOUT_MS,
  };
}

/** @param {Scene} scene @returns {Promise<Figures>} */
async function deposed(scene) {
  await steadily(scene);
  const old = scene.primary;
  const { primaries } = scene.load.record;
  const before = primaries.length;
  scene.load.strike();
  await old.freeze();
  await scene.failover();
  await until('the pool tells of the new primary', () => primaries.length > before);
  const toldAt = primaries[before].at;
  await scene.flows();
  await old.thaw();
  await scene.flows();
  await scene.seesDeposed(old);
  // The old primary has run all that was on its way when the sessions of the pool are gone; the monitor's session stays.
  const sessions = `SELECT count(*)::int AS count FROM pg_stat_activity
    WHERE usename = $1 AND backend_type = 'client backend' AND application_name NOT LIKE '% monitor'`;
  await until('the old sessions are gone', async () => (await old.sql(sessions, [scene.login.user]))[0].count === 0);
  const [{ rows }] = await scene.deposed();
  const elsewhere = new Set((await scene.rows()).map(({ id }) => id));
  const only = [...new Set(rows.map(({ id }) => id))].filter((id) => !elsewhere.has(id));
  const entries = only.map((id) => /** @type {Entry} */ (scene.load.history.get(id)));
  return {
    'writes only the old primary has, handed in after the event': entries.filter(({ at }) => at > toldAt).length,
    'in flight before the event': entries.filter(({ at, fate }) => at <= toldAt && fate !== 'acknowledged').length,
    'acknowledged before it froze (lost by asynchronous replication)': entries.filter(
      ({ at, fate }) => at <= toldAt && fate === 'acknowledged',
    ).length,
  };
}

/** @type {Record<string, { synchronous: boolean, planned?: boolean, play: (scene: Scene) => Promise<Figures> }>} */
const FAULTS = {
  switchover: { synchronous: true, planned: true, play: (scene) => moved(scene, (old) => old.fence()) },
  crash: { synchronous: true, play: (scene) => moved(scene, (old) => old.crash()) },
  freeze: { synchronous: true, play: frozen },
  deposed: { synchronous: false, play: deposed },
};

/** @param {number[]} values */
function spread(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const median = (sorted[Math.ceil(middle) - 1] + sorted[Math.floor(middle)]) / 2;
  return `${Math.round(median)} (${Math.round(sorted[0])} to ${Math.round(sorted[sorted.length - 1])})`;
}

/** The figures of all rounds. */
class Result {
  /** The id of the next round's first write. */
  from = 0;
  calls = 0;
  failed = 0;
  unknown = 0;
  /** @type {Violation[]} */
  violations = [];
  /** @type {Figures[]} */
  figures = [];

  /** @param {import('./history').History} history @param {Figures} figures @param {Violation[]} violations */
  add(history, figures, violations) {
    const fates = [...history.writes.values()].map(({ fate }) => fate);
    this.calls += fates.length;
    this.failed += fates.filter((fate) => fate === 'not-applied').length;
    this.unknown += fates.filter((fate) => fate === 'unknown').length;
    this.figures.push(figures);
    this.violations.push(...violations);
  }

  /** @param {string} rule */
  #broken(rule) {
    return this.violations.filter((violation) => violation.rule === rule).length;
  }

  /** @param {string} setting */
  summary(setting) {
    const [lost, doubled] = [this.#broken('lost'), this.#broken('doubled')];
    const others = this.violations.length - lost - doubled;
    return [
      `${setting}: ${this.calls} calls, ${this.failed} failed, ${this.unknown} unknown, ${lost} lost, ${doubled} doubled, ${others} other violations`,
      ...Object.keys(this.figures[0] ?? {}).map(
        (name) => `  ${name}: ${spread(this.figures.map((figures) => figures[name]))}`,
      ),
    ].join('\n');
  }
}

/**
 * @param {Stage} stage
 * @param {Scene} scene
 * @param {typeof FAULTS[string]} fault
 * @param {Result} result
 */
async function round(stage, scene, { play, planned, synchronous }, result) {
  const { from } = result;
  const figures = await play(scene);
  const deposedTruth = await scene.deposed(from);
  await stage.restore();
  await scene.load.quiet();
  const { record } = scene.load;
  const { violations } = judge(record, { rows: await scene.rows(from), deposed: deposedTruth }, { planned });
  // An asynchronous cluster may lose acknowledged writes; the figures count them.
  const counted = synchronous ? violations : violations.filter(({ rule }) => rule !== 'lost' && rule !== 'torn');
  result.add(record, figures, counted);
  scene.load.forget();
  result.from = scene.load.nextId;
  scene.load.resume();
  const text = Object.entries(figures).map(([name, value]) => `${name} ${Math.round(value)}`);
  console.log(`round ${result.figures.length}: ${text.join(', ')}`);
  for (const { rule, kind, what } of counted) console.log(`    ${rule} (${kind}) ${what}`);
}

async function main() {
  const { rounds, seed, name } = readArguments(USAGE, ['rounds', 'seed', 'fault'], (values) => ({
    rounds: numberOf('rounds', values.rounds, { usual: 10, least: 1, most: 1000 }),
    seed: seedOf(values.seed),
    name: oneOf('fault', values.fault, Object.keys(FAULTS)),
  }));
  const fault = FAULTS[name];
  const stage = await startStage(fault);
  const result = new Result();
  const setting = `${name}, ${rounds} rounds, seed ${seed}, PostgreSQL ${stage.cluster.version}`;
  console.log(setting);
  try {
    const scene = await Scene.open(stage, { proxied: false, random: new Random(seed), size: SIZE });
    try {
      for (let each = 0; each < rounds; each++) await round(stage, scene, fault, result);
    } finally {
      await scene.end();
    }
  } finally {
    await stage.stop();
  }
  console.log(result.summary(setting));
  process.exitCode = result.violations.length > 0 ? 1 : 0;
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
