'use strict';

// Random faults for a given time, while every kind of load runs:
//
//   npm run soak -- --minutes 30 [--seed N] [--poolSize 8] [--only 'crashed;frozen and thawed']
//
// After each fault writes must succeed again, the lost node comes back, and the history is checked and forgotten. Verified rows
// are remembered as a sum, which is compared once more after the next fault. So the memory of the checker does not grow, and
// the process should not grow either: its RSS is in each line. Exit code 1 when anything was wrong.

const { numberOf, readArguments, seedOf, someOf } = require('./arguments');
const { judge } = require('./check');
const { FAULTS } = require('./faults');
const { Random } = require('./random');
const { brief } = require('./report');
const { MAX_CONNECTIONS, Scene, startStage } = require('./scene');

/** @typedef {import('./check').Violation} Violation */
/** @typedef {import('./history').Fate} Fate */

const USAGE = `npm run soak -- [--minutes 30] [--seed N] [--poolSize 8] [--only 'fault;fault']
faults: ${FAULTS.map(({ name }) => name).join('; ')}`;
/** Room for the monitor, the listener and the harness. */
const MOST_CONNECTIONS = MAX_CONNECTIONS - 15;
/** Violations of a fault that are printed. */
const SHOWN = 5;
/** After as many faults the process is warm, and its memory is compared from then on. */
const WARM = 5;

/** The verified rows: their number, and a sum that hardly any other set of rows has. */
class Verified {
  /** Rows from this id on are kept in the table. */
  #kept = 0;
  /** Rows from this id on were not there at the last check. */
  next = 0;
  /** Ids whose writes are unknown: they may still be under way. @type {number[]} */
  #unknown = [];
  #sum = '0 rows';

  /** @param {Scene} scene */
  async #sumNow(scene) {
    const [{ sum }] = await scene.primary.sql(
      `SELECT count(*) || ' rows ' || coalesce(sum(hashint4extended(id, part)), 0) AS sum
       FROM written WHERE id >= $1 AND id < $2 AND id <> ALL ($3::int4[])`,
      [this.#kept, this.next, this.#unknown],
    );
    return /** @type {string} */ (sum);
  }

  /** Verified rows must still be there. @param {Scene} scene @returns {Promise<Violation[]>} */
  async verify(scene) {
    if (this.next === 0) return [];
    const sum = await this.#sumNow(scene);
    if (sum === this.#sum) return [];
    return [{ rule: 'lost', kind: 'verified', what: `of rows verified before: ${sum}, and not ${this.#sum}` }];
  }

  /** Adds the rows that are there now. @param {Scene} scene */
  async extend(scene) {
    const writes = [...scene.load.history];
    await scene.primary.sql('DELETE FROM written WHERE id < $1', [this.next]);
    this.#kept = this.next;
    this.#unknown = writes.filter(([, { fate }]) => fate === 'unknown').map(([id]) => id);
    this.next = scene.load.nextId;
    this.#sum = await this.#sumNow(scene);
  }
}

const megabytes = (/** @type {number} */ bytes) => Math.round(bytes / 2 ** 20);

/** The outcomes of all faults. */
class Totals {
  faults = 0;
  violations = 0;
  lost = 0;
  doubled = 0;
  gaps = 0;
  longestPauseMs = 0;
  /** @type {Record<Fate, number>} */
  writes = { acknowledged: 0, 'not-applied': 0, unknown: 0, pending: 0 };
  /** @type {number[]} */
  rss = [];

  /** @param {Scene} scene @param {Violation[]} violations */
  add(scene, violations) {
    const { load } = scene;
    const count = (/** @type {string} */ wanted) => violations.filter(({ rule }) => rule === wanted).length;
    this.faults++;
    this.violations += violations.length;
    this.lost += count('lost');
    this.doubled += count('doubled');
    this.gaps += load.record.gaps.length;
    this.longestPauseMs = Math.max(this.longestPauseMs, load.longestPauseMs());
    for (const { fate } of load.history.values()) this.writes[fate]++;
    globalThis.gc?.();
    this.rss.push(process.memoryUsage().rss);
  }

  /** @param {number} minutes @param {string} setting */
  summary(minutes, setting) {
    const { acknowledged, unknown, pending } = this.writes;
    const mean = (/** @type {number[]} */ list) => list.reduce((sum, each) => sum + each, 0) / list.length;
    const warm = this.rss.slice(WARM);
    const third = Math.ceil(warm.length / 3);
    const memory =
      warm.length < 3
        ? `RSS ${megabytes(this.rss.at(-1) ?? process.memoryUsage().rss)} MB`
        : `RSS ${megabytes(mean(warm.slice(0, third)))} MB in the first third, ${megabytes(mean(warm.slice(-third)))} MB in the last`;
    return [
      `soak: ${minutes.toFixed(1)} minutes, ${setting}: ${this.faults} faults, ${acknowledged} writes acknowledged`,
      `${this.writes['not-applied']} failed, ${unknown} unknown, ${pending} hanging, ${this.lost} lost, ${this.doubled} doubled`,
      `${this.violations - this.lost - this.doubled} other violations, ${this.gaps} gaps`,
      `longest pause ${(this.longestPauseMs / 1000).toFixed(1)} s, ${memory}`,
    ].join(', ');
  }
}

/**
 * One fault, the checks that wait for its consequences, and the check of the history.
 * @param {import('./scene').Stage} stage
 * @param {Scene} scene
 * @param {Verified} verified
 * @param {import('./faults').Fault} fault
 */
async function strike(stage, scene, verified, fault) {
  const { load } = scene;
  await scene.play(fault);
  const deposed = await scene.deposed(verified.next);
  await stage.restore();
  await scene.flows(1);
  await load.quiet();
  const truth = { rows: await scene.rows(verified.next), deposed };
  const { violations } = judge(load.record, truth, { planned: fault.planned });
  return [...violations, ...(await verified.verify(scene))];
}

/** @returns {{ stopped: boolean }} */
function untilInterrupted() {
  const state = { stopped: false };
  for (const signal of /** @type {const} */ (['SIGINT', 'SIGTERM'])) {
    process.on(signal, () => {
      if (state.stopped) process.exit(130);
      state.stopped = true;
      console.log(`${signal}: ends after this fault; once more: at once`);
    });
  }
  return state;
}

async function main() {
  const { minutes, seed, poolSize, faults } = readArguments(
    USAGE,
    ['minutes', 'seed', 'poolSize', 'only'],
    (values) => ({
      faults: someOf('only', values.only, FAULTS),
      minutes: numberOf('minutes', values.minutes, { usual: 30, least: 0, most: 10_000, whole: false }),
      seed: seedOf(values.seed),
      poolSize: numberOf('poolSize', values.poolSize, { usual: 8, least: 1, most: MOST_CONNECTIONS }),
    }),
  );
  const interrupted = untilInterrupted();
  const stage = await startStage();
  const setting = `PostgreSQL ${stage.cluster.version}, pool of ${poolSize}, seed ${seed}`;
  console.log(`soak: ${minutes} minutes, ${setting}; --seed ${seed} repeats the choices`);
  const totals = new Totals();
  let playing = 'the beginning';
  const started = performance.now();
  const elapsed = () => (performance.now() - started) / 60_000;
  try {
    const random = new Random(seed);
    const scene = await Scene.open(stage, { proxied: true, random: random.fork('load'), pool: { poolSize } });
    const verified = new Verified();
    const choices = random.fork('faults');
    // Each round plays all faults in random order, so that a short run has every fault, too.
    /** @type {import('./faults').Fault[]} */
    let round = [];
    try {
      do {
        if (round.length === 0) round = choices.shuffled(faults);
        const fault = /** @type {import('./faults').Fault} */ (round.pop());
        playing = fault.name;
        const violations = await strike(stage, scene, verified, fault);
        totals.add(scene, violations);
        const at = elapsed().toFixed(1).padStart(6);
        console.log(
          `${at} min  ${brief(fault.name, scene.load, violations)}, RSS ${megabytes(totals.rss.at(-1) ?? 0)} MB`,
        );
        for (const { rule, kind, what } of violations.slice(0, SHOWN)) console.log(`    ${rule} (${kind}) ${what}`);
        await verified.extend(scene);
        scene.load.forget();
        scene.load.resume();
      } while (!interrupted.stopped && elapsed() < minutes);
      await scene.load.stop();
    } finally {
      await scene.end();
    }
  } catch (error) {
    totals.violations++;
    console.error(`    ${playing}: ${error instanceof Error ? error.stack : error}`);
  } finally {
    await stage.stop();
  }
  console.log(totals.summary(elapsed(), setting));
  process.exitCode = totals.violations > 0 ? 1 : 0;
}

main();
