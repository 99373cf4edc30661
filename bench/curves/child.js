'use strict';

// One step of a curve for one client, in a process of its own: gets a job from bench/curves.js, answers, ends.

const { CURVES } = require('./kinds');

process.once('message', async (job) => {
  const { curve, series } = /** @type {import('./types').Job} */ (job);
  const measure = async () => {
    const found = CURVES.find(({ name }) => name === curve);
    if (found === undefined) throw new Error(`no curve '${curve}'`);
    const figures = await found.measure(/** @type {any} */ (job));
    return { figures, version: require(`../peers/${series.peer}.js`).version() };
  };
  const answer = await measure().catch((error) => ({ error: String(error.stack) }));
  process.send?.(answer, () => process.disconnect());
});
process.on('disconnect', () => process.exit());
