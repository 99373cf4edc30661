'use strict';

// One peer under one load, in a process of its own: gets a job from run.js, answers, ends.

const { canonical } = require('./canonical.js');
const { LOADS } = require('./loads.js');
const { measure } = require('./measure.js');

/** Operations whose values are compared between the peers. */
const SAMPLES = 5;

/**
 * @param {import('./types').Job} job
 * @returns {Promise<import('./types').Answer>}
 */
async function execute({ peer: name, load: id, opening, seconds }) {
  /** @type {import('./types').Peer} */
  const peer = require(`./peers/${name}.js`);
  const load = LOADS.find((each) => each.id === id);
  if (load === undefined) throw new Error(`no load ${id}`);
  const db = await peer.open({ ...opening, connections: load.connections });
  try {
    const operation = load.open(db);
    const samples = [];
    for (let n = 0; n < SAMPLES; n++) samples.push(await operation(n));
    const measured = await measure(operation, { ...load, seconds });
    return { version: peer.version(), library: peer.library?.(), values: canonical(samples), measured };
  } finally {
    await db.close();
  }
}

process.once('message', async (job) => {
  const answer = await execute(/** @type {any} */ (job)).catch((error) => ({ error: String(error.stack) }));
  process.send?.(answer, () => process.disconnect());
});
process.on('disconnect', () => process.exit());
