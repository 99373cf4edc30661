'use strict';

// One client under one load, in a process of its own: gets a job from run.js, answers, ends.

const { canonical } = require('./canonical.js');
const { LOADS } = require('./loads.js');
const { once, repeated, steady } = require('./measure.js');

/** @typedef {import('./types').Answer} Answer */
/** @typedef {import('./types').Db} Db */
/** @typedef {import('./types').Job} Job */
/** @typedef {import('./types').Load} Load */
/** @typedef {import('./types').Measurement} Measurement */

/** Operations whose values are compared between the peers. */
const SAMPLES = 5;

/** @param {Job} job @returns {Promise<Answer>} */
async function execute(job) {
  const load = LOADS.find(({ id }) => id === job.load);
  if (load === undefined) throw new Error(`no load ${job.load}`);
  return load.way.kind === 'cold' ? cold(job, load) : warm(job, load);
}

/** Measures a cold start: the client is loaded within the measurement. @param {Job} job @param {Load} load */
async function cold({ peer: name, opening, dataDir }, load) {
  /** @type {import('./types').Peer | undefined} */
  let peer;
  /** @type {Db | undefined} */
  let db;
  /** @type {import('./types').Result | undefined} */
  let result;
  try {
    const measured = await once(
      async () => {
        peer = /** @type {import('./types').Peer} */ (require(`./peers/${name}.js`));
        db = await peer.open({ ...opening, connections: load.connections });
        result = await load.open(db)(0);
        return result;
      },
      load,
      dataDir,
    );
    return {
      version: peer?.version() ?? '',
      library: peer?.library?.(),
      values: canonical(result),
      measured,
    };
  } finally {
    await db?.close();
  }
}

/** @param {Job} job @param {Load} load */
async function warm({ peer: name, opening, seconds, warmupSeconds, dataDir }, load) {
  /** @type {import('./types').Peer} */
  const peer = require(`./peers/${name}.js`);
  const db = await peer.open({ ...opening, connections: load.connections });
  try {
    let values = '';
    /** @type {Measurement[]} */
    const measured = [];
    for (const variant of load.variants?.(db) ?? [undefined]) {
      const operation = load.open(db, variant);
      const reset = resetter(load, db);
      await reset();
      const samples = canonical(await sampled(operation, load, db));
      if (values !== '' && values !== samples)
        throw new Error(`'${variant}' stores other values than the way before it`);
      values = samples;
      const { way } = load;
      const figures =
        way.kind === 'steady'
          ? await steady(operation, load, { inFlight: way.inFlight, seconds, warmupSeconds, dataDir })
          : await repeated(operation, load, { .../** @type {any} */ (way), reset, dataDir });
      measured.push({ ...figures, variant });
    }
    const [best] = measured.sort((a, b) => b.opsPerSecond - a.opsPerSecond);
    return { version: peer.version(), library: peer.library?.(), values, measured: best };
  } finally {
    await db.close();
  }
}

/** @param {Load} load @param {Db} db */
function resetter({ reset }, db) {
  if (reset === undefined) return async () => {};
  const statement = db.statement('bench_reset', reset.statement);
  return async () => {
    await statement([]);
  };
}

/**
 * @param {(n: number) => PromiseLike<import('./types').Result>} operation
 * @param {Load} load
 * @param {Db} db
 */
async function sampled(operation, { samples = SAMPLES, sample = (result) => result }, db) {
  const results = [];
  for (let n = 0; n < samples; n++) results.push(await sample(await operation(n), db));
  return results;
}

process.once('message', async (job) => {
  const answer = await execute(/** @type {Job} */ (job)).catch((error) => ({ error: String(error.stack) }));
  process.send?.(answer, () => process.disconnect());
});
process.on('disconnect', () => process.exit());
